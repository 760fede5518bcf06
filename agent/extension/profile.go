package extension

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

var (
	profileKeys = []string{"sysobjectid", "sysdescr", "extends", deviceType, "walk"}
	walkKeys    = []string{"bulk", "max_repetitions", "unordered"}
)

// profile is the head of a profile file; its body is read when it is used.
type profile struct {
	name, file string
	entry      string // the name of the file alone, in this pack
	pack       string
	foreign    bool // of a site

	ids        []objectID
	descr      *regexp.Regexp // nil: any
	extends    []string
	deviceType string
	walk       *plan.Walk // nil: that of what it extends

	body *Manifest
}

// objectID is a sysObjectID that a profile is for, or the beginning of one.
type objectID struct {
	oid    string // without the star
	prefix bool
}

// match tells how long the part of sysObjectID is that id names, 0: another
// device. A whole one counts more than any beginning.
func (id objectID) match(sysObjectID string) int {
	switch {
	case id.prefix && (sysObjectID == id.oid || strings.HasPrefix(sysObjectID, id.oid+".")):
		return len(id.oid)
	case sysObjectID == id.oid:
		return len(id.oid) + 1
	}
	return 0
}

// match tells how well the profile fits a device, 0: not at all. Of two with
// the same sysObjectID the one that also asks for the description fits better.
func (p *profile) match(sysObjectID, sysDescr string) int {
	best := 0
	for _, id := range p.ids {
		best = max(best, 2*id.match(sysObjectID))
	}
	if best == 0 || p.descr == nil {
		return best
	}
	if !p.descr.MatchString(sysDescr) {
		return 0
	}
	return best + 1
}

// parseHead reads what tells which devices a profile is for. Only the part of
// the file before its metrics is looked at: a start reads the heads of all.
func parseHead(data []byte, file string) (*profile, error) {
	root, err := parseYAML(headOf(data), file)
	if err != nil {
		return nil, err
	}
	p := manifestParser{reader: reader{file: file}, own: true}
	o := p.object(value{root, ""}, p.keys(manifestKeys, profileFileKeys))
	made := &profile{name: o.text("name"), file: file}
	if made.name == "" {
		o.missing("name", "a name such as edgehold.cisco")
	}
	v, ok := o.get("profile")
	if !ok {
		o.missing("profile", "an object with sysobjectid, or {} where other profiles only extend this one")
		return nil, p.err()
	}
	p.profile(p.object(v, profileKeys), made)
	p.firmly()
	return made, p.err()
}

// headOf cuts a profile off where its body begins.
func headOf(data []byte) []byte {
	end := len(data)
	for _, key := range []string{"\nmetrics:", "\ndimensions:", "\nsnmp:"} {
		if i := bytes.Index(data, []byte(key)); i >= 0 {
			end = min(end, i+1)
		}
	}
	return data[:end]
}

func (p *manifestParser) profile(o object, made *profile) {
	made.extends = o.texts("extends")
	made.deviceType = o.text(deviceType)
	for _, v := range o.list("sysobjectid") {
		oid, prefix := strings.CutSuffix(v.plain(), ".*")
		made.ids = append(made.ids, objectID{oid: p.parseOID(v, oid), prefix: prefix})
	}
	if v, ok := o.get("sysdescr"); ok {
		var err error
		if made.descr, err = regexp.Compile(v.plain()); err != nil {
			p.fail(v.node, v.path, fmt.Sprintf("found %s, which is no regular expression: %v", strconv.Quote(v.plain()), err))
		}
	}
	if v, ok := o.get("walk"); ok {
		wo := p.object(v, walkKeys)
		made.walk = &plan.Walk{
			NoBulk:    !wo.flag("bulk", true),
			Unordered: wo.flag("unordered", false),
			MaxReps:   wo.integer("max_repetitions", 1, 400, 0),
		}
	}
}

// read reads the body, once.
func (p *profile) read() error {
	if p.body != nil {
		return nil
	}
	files, err := unpack(p.pack)
	if err != nil {
		return fmt.Errorf("read %s: %w", p.file, err)
	}
	for _, f := range files {
		if f.name == p.entry {
			return p.parse(f.data)
		}
	}
	return fmt.Errorf("read %s: %w", p.file, fs.ErrNotExist)
}

func (p *profile) parse(data []byte) error {
	root, err := parseYAML(data, p.file)
	if err != nil {
		return err
	}
	mp := manifestParser{reader: reader{file: p.file}, own: true}
	body := mp.manifest(value{root, ""})
	mp.firmly()
	if err := mp.err(); err != nil {
		return err
	}
	p.body = body
	return nil
}

// merge lays a profile over what it extends: a group or subgroup with the name
// of an earlier one takes its place.
func (m *Manifest) merge(o *Manifest) {
	m.common = overlay(m.common, o.common)
	for i := range o.groups {
		m.mergeGroup(&o.groups[i])
	}
}

func (m *Manifest) mergeGroup(g *group) {
	for i := range m.groups {
		if m.groups[i].name == g.name {
			m.groups[i] = m.groups[i].merged(g)
			return
		}
	}
	m.groups = append(m.groups, *g)
}

func (g group) merged(o *group) group {
	made := group{level: o.level, subgroups: append([]level(nil), g.subgroups...)}
	made.dims = overlay(g.dims, o.dims)
	if len(o.metrics) == 0 {
		made.metrics = g.metrics
	}
	made.featureSet = cmp.Or(o.featureSet, g.featureSet)
	made.interval = cmp.Or(o.interval, g.interval)
	for _, sub := range o.subgroups {
		made.subgroups = replace(made.subgroups, sub)
	}
	return made
}

func replace(levels []level, l level) []level {
	for i := range levels {
		if levels[i].name == l.name {
			levels[i] = l
			return levels
		}
	}
	return append(levels, l)
}
