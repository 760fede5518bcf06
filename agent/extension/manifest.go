// Package extension turns packages (extension.yaml) and monitoring
// configurations into plans. It is pure: it is given bytes and file systems and
// touches neither network nor devices.
package extension

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	manifestName = "extension.yaml"
	maxManifest  = 4 << 20 // bytes
)

// Manifest is what an extension.yaml asks to be collected, and what it says of
// that. Screens and pipelines, which only the environment uses, are left alone.
type Manifest struct {
	File        string // as in messages
	Name        string
	Version     string
	MinVersion  string   // minDynatraceVersion
	MinEEC      string   // minEECVersion
	Author      string   // author.name
	FeatureSets []string // every name that a configuration may choose, sorted
	Described   []FeatureSet
	Metrics     []Metadata
	Calculated  []Calculated
	Topology    Topology
	Files       []string // of the package that only the environment uses: dashboards, alerts

	// The nodes of the data sources that run here, nil where it has none. That of
	// snmp is its groups.
	Prometheus *PrometheusNode
	Traps      *TrapsNode
	HTTP       *HTTPNode
	groups     []group

	Unsupported []string // data sources of the package that do not run here

	parts  []string // keys of a configuration that go with it
	asks   asks     // for PermissionsOf
	vars   []variable
	common []dimension // of every group; profiles only
}

// ParseManifest reads extension.yaml at the root of a package. Name is the
// package as its user knows it, for messages. What this version cannot read is
// a Warning where the rest can go on; a package of another data source is an
// *UnsupportedError.
func ParseManifest(fsys fs.FS, name string) (*Manifest, []Warning, error) {
	file := path.Join(name, manifestName)
	data, err := readManifest(fsys)
	if err != nil {
		return nil, nil, fmt.Errorf("read manifest %s: %w", file, err)
	}
	root, err := parseYAML(data, file)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSource(root, file); err != nil {
		return nil, nil, err
	}
	p := manifestParser{reader: reader{file: file}}
	m := p.manifest(value{root, ""})
	if err := p.err(); err != nil {
		return nil, p.warnings, err
	}
	m.asks = asksOf(root, file)
	return m, p.warnings, nil
}

func readManifest(fsys fs.FS) ([]byte, error) { return readBounded(fsys, manifestName) }

// readBounded reads a file that is no larger than any package needs.
func readBounded(fsys fs.FS, name string) ([]byte, error) {
	// Before it is opened: that of a FIFO never ends.
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("the file is larger than %d MiB", maxManifest>>20)
	}
	return data, err
}

type manifestParser struct {
	reader
	own       bool
	declared  map[string]bool // variables
	sets      map[string]bool // feature sets
	standards standards
}

func (p *manifestParser) manifest(root value) *Manifest {
	p.declared, p.sets = make(map[string]bool), make(map[string]bool)
	o := p.object(root, p.keys(manifestKeys, profileFileKeys))
	m := &Manifest{
		File:       p.file,
		Name:       o.text("name"),
		Version:    o.label("version"),
		MinVersion: o.label("minDynatraceVersion"),
		vars:       p.vars(o),
	}
	p.softly(func() { p.head(o, m) })
	if m.Name == "" {
		o.missing("name", "the name of the extension")
	}
	if m.Version == "" {
		o.missing("version", "a version such as 1.0.0")
	}
	if p.own {
		p.declared[deviceType] = true
		m.vars = append(m.vars, variable{id: deviceType})
		m.common = p.dimensions(o, false)
	}
	for _, node := range nodesOf(root.node) {
		node.manifest(p, o, m)
		m.parts = append(m.parts, node.keys...)
	}
	for _, set := range m.Described {
		if set.ID != "" {
			p.sets[set.ID] = true
		}
	}
	m.Unsupported = p.unsupported(root.node)
	m.FeatureSets = slices.Sorted(maps.Keys(p.sets))
	return m
}

// items reads a list of no more entries than any package needs: ten times what
// the environment accepts. Every entry is held against every other.
func (p *manifestParser) items(o object, key string) []value {
	all := o.list(key)
	if most := 10 * maxLevelMetrics; len(all) > most {
		at, _ := o.get(key)
		p.fail(at.node, at.path, fmt.Sprintf("found %d entries, expected at most %d", len(all), most))
		return nil
	}
	return all
}

func (p *manifestParser) featureSet(o object) string {
	name := o.text("featureSet")
	if at, _ := o.get("featureSet"); name == reservedSet && !p.own {
		p.refuse(ruleFeatureSet, at.node, at.path, reservedText+"; "+reservedMend)
	}
	if name != "" {
		p.sets[name] = true
	}
	return name
}

// The one name of a feature set that the environment keeps for what has none.
const (
	reservedSet  = "default"
	reservedText = "the name default is reserved"
	reservedMend = "give the feature set another name, or none where it always runs"
)

// interval reads {minutes: N} or the older text form, 0 where it is missing.
func (p *manifestParser) interval(o object) time.Duration {
	v, ok := o.get("interval")
	if !ok {
		return 0
	}
	if v.kind == kindMap {
		io := p.object(v, intervalKeys)
		if _, ok := io.get("minutes"); !ok {
			io.missing("minutes", "a whole number from 1 to 2880")
		}
		return time.Duration(io.integer("minutes", 1, 2880, 0)) * time.Minute
	}
	var d probes.Duration
	if v.kind != kindText || d.UnmarshalText([]byte(v.node.text)) != nil || d.Std() < time.Second || d.Std() > 48*time.Hour {
		p.fail(v.node, v.path, "found "+v.what()+", expected {minutes: N}, or a text such as 1m")
		return 0
	}
	return d.Std()
}

// key reads the key of a dimension or metric, in old packages its id.
func (p *manifestParser) key(o object) string {
	key := o.text("key")
	if key == "" {
		key = o.text("id")
	}
	if key == "" {
		o.missing("key", "a key")
	}
	return key
}

func (p *manifestParser) filter(o object, d *dimension) {
	text := o.text("filter")
	if text == "" {
		return
	}
	v, _ := o.get("filter")
	id, isVar := strings.CutPrefix(text, "var:")
	expression, isConst := strings.CutPrefix(text, "const:")
	switch {
	case isVar && p.declared[id]:
		d.filterVar = id
	case isVar:
		p.remark(ruleVariable, v.node, v.path, "variable "+strconv.Quote(id)+" is not declared in vars: no filter")
	case isConst:
		var err error
		if d.filter, err = plan.ParseFilter(expression); err != nil {
			p.fail(v.node, v.path, err.Error())
		}
	default:
		p.fail(v.node, v.path, "found "+strconv.Quote(text)+", expected var: or const:")
	}
}
