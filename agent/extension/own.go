package extension

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// deviceType is the variable that `this:device.type` stands for: the word of
// the profile that was chosen.
const deviceType = "device.type"

// parseSource reads a value; profiles know some that packages do not.
func (p *manifestParser) parseSource(text string) (s source, problem, remark string) {
	if !p.own {
		return parseSource(text)
	}
	switch text {
	case "this:chassis.mac":
		return source{kind: plan.FromChassisMAC}, "", ""
	case "this:" + deviceType:
		return source{text: deviceType}, "", ""
	}
	return parseSource(text)
}

// parseArcs reads which arcs of an index are meant, counted from 1: nothing for
// all, N, N-M, N- up to the end, or -N for one counted from the end.
func parseArcs(text string) (plan.Arcs, string) {
	wrong := fmt.Sprintf("found index:%s, expected index:, index:2, index:2-5, index:2- or index:-1", text)
	if text == "" {
		return plan.Arcs{}, ""
	}
	if back, found := strings.CutPrefix(text, "-"); found {
		n, ok := arc(back)
		if !ok {
			return plan.Arcs{}, wrong
		}
		return plan.Arcs{From: -n, Count: 1}, ""
	}
	first, last, isRange := strings.Cut(text, "-")
	from, ok := arc(first)
	if !ok {
		return plan.Arcs{}, wrong
	}
	if !isRange {
		return plan.Arcs{From: from - 1, Count: 1}, ""
	}
	if last == "" {
		return plan.Arcs{From: from - 1}, ""
	}
	to, ok := arc(last)
	if !ok || to < from {
		return plan.Arcs{}, wrong
	}
	return plan.Arcs{From: from - 1, Count: to - from + 1}, ""
}

func arc(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 128
}

// ownLevel reads the columns that say what a subgroup's rows are.
func (p *manifestParser) ownLevel(o object, l *level) {
	l.rows = p.oid(o, "rows")
	l.highSpeed = p.oid(o, "highspeed")
	l.discontinuity = p.oid(o, "discontinuity")
	l.identity = o.texts("identity")
}

// oid reads a field that names an OID, "" where it is missing.
func (p *manifestParser) oid(o object, key string) string {
	text := o.text(key)
	if text == "" {
		return ""
	}
	at, _ := o.get(key)
	return p.parseOID(at, text)
}

// parseOID reads "oid:1.3.6...", with an error where it is none.
func (p *manifestParser) parseOID(at value, text string) string {
	s, problem := parseOID(strings.TrimPrefix(text, "oid:"))
	if problem != "" {
		p.fail(at.node, at.path, problem)
	}
	return s.text
}

// ownSource reads what stands beside a value.
func (p *manifestParser) ownSource(o object, s *source, table bool) {
	for _, v := range o.list("fallback") {
		s.fallback = append(s.fallback, p.parseOID(v, v.plain()))
	}
	at, joined := o.get("join")
	if !joined {
		return
	}
	if s.kind != plan.FromScalar || !table || isInstance(s.text) {
		p.fail(at.node, at.path, "only a column of a table can be joined, expected value: oid: in a subgroup with table: true")
		return
	}
	s.join = true
	arcs, isIndex := strings.CutPrefix(at.plain(), "index:")
	if !isIndex {
		s.joinBy = p.parseOID(at, at.plain())
		return
	}
	var problem string
	if s.arcs, problem = parseArcs(arcs); problem != "" {
		p.fail(at.node, at.path, problem)
	}
}

var textForms = map[string]plan.TextForm{
	"": plan.FormAuto, "text": plan.FormText, "hex": plan.FormHex, "mac": plan.FormMAC,
	"ip": plan.FormIP, "date": plan.FormDate, "bits": plan.FormBits,
}

// ownDimension reads how the value becomes text and what lifts its filter.
func (p *manifestParser) ownDimension(o object, d *dimension) {
	form, known := textForms[o.text("text")]
	if !known {
		at, _ := o.get("text")
		p.fail(at.node, at.path, "found "+strconv.Quote(at.plain())+", expected text, hex, mac, ip, date or bits")
	}
	if form != plan.FormAuto {
		d.source.form = form
	}
	d.enum = p.enum(o)
	if d.unless = o.text("unless"); d.unless != "" {
		p.sets[d.unless] = true
	}
}

// enum reads texts for numbers, as they will be shown.
func (p *manifestParser) enum(o object) map[int64]string {
	v, ok := o.get("enum")
	if !ok {
		return nil
	}
	texts := make(map[int64]string)
	names := p.object(v, nil)
	for _, f := range v.fields {
		n, err := strconv.ParseInt(f.key, 10, 64)
		if err != nil {
			p.fail(f.value, join(v.path, f.key), "expected a whole number as the key")
			continue
		}
		texts[n] = names.label(f.key)
	}
	return texts
}

// conversion reads how the metric's cell becomes a number.
func (p *manifestParser) conversion(o object) plan.Conversion {
	c := plan.Conversion{
		Signed:     o.flag("signed", false),
		Multiplier: p.number(o, "multiplier"),
		Divisor:    p.number(o, "divisor"),
		Offset:     p.number(o, "offset"),
		Parse:      o.flag("parse", false),
		Scale:      p.oid(o, "scale"),
		Precision:  p.oid(o, "precision"),
		Units:      p.oid(o, "units"),
		States:     p.states(o),
		Ticks:      o.flag("ticks", false),
	}
	for _, v := range o.list("na") {
		if v.kind == kindText {
			c.NAText = append(c.NAText, v.node.text)
			continue
		}
		if f, ok := p.float(v); ok {
			c.NA = append(c.NA, f)
		}
	}
	return c
}

// number reads a number other than 0, 0 where it is missing.
func (p *manifestParser) number(o object, key string) float64 {
	v, ok := o.get(key)
	if !ok {
		return 0
	}
	f, ok := p.float(v)
	if ok && f == 0 {
		p.fail(v.node, v.path, "found 0, expected another number, or leave the key out")
	}
	return f
}

func (p *manifestParser) float(v value) (float64, bool) {
	if v.node == nil || v.kind != kindNumber {
		p.fail(v.node, v.path, "found "+v.what()+", expected a number")
		return 0, false
	}
	f, err := strconv.ParseFloat(v.node.text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		p.fail(v.node, v.path, "found "+v.node.text+", expected a number")
		return 0, false
	}
	return f, true
}

// states reads a number for each of the device's.
func (p *manifestParser) states(o object) map[int64]float64 {
	v, ok := o.get("states")
	if !ok {
		return nil
	}
	p.object(v, nil)
	states := make(map[int64]float64)
	for _, f := range v.fields {
		path := join(v.path, f.key)
		n, err := strconv.ParseInt(f.key, 10, 64)
		if err != nil {
			p.fail(f.value, path, "expected a whole number as the key")
			continue
		}
		if to, ok := p.float(value{f.value, path}); ok {
			states[n] = to
		}
	}
	return states
}

// firmly makes an error of every warning: a profile has no reader who would
// see them later.
func (p *manifestParser) firmly() {
	for _, w := range p.warnings {
		at := &node{line: w.Line, col: w.Column}
		if w.Line == 0 {
			at = nil
		}
		p.fail(at, w.Path, w.Text)
	}
	p.warnings = slices.Delete(p.warnings, 0, len(p.warnings))
}
