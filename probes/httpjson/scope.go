package httpjson

import (
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// scope is where values are taken from: one item of a document.
type scope struct {
	doc      *document
	budget   *budget
	endpoint *plan.DocEndpoint
	site     string // of this agent
	item     place
}

// maxJoined is how many values one text is made of.
const maxJoined = 1000

// each calls visit for the values of a path, until it is false.
func (s *scope) each(path plan.DocPath, visit func(place) bool) (reached bool) {
	f := finder{doc: s.doc, budget: s.budget, visit: visit}
	f.follow(path, s.item)
	return f.reached || f.found
}

// one is the first value of a path.
func (s *scope) one(path plan.DocPath) (at place, ok bool) {
	s.each(path, func(p place) bool {
		at, ok = p, true
		return false
	})
	return at, ok
}

// text is a value as a text, false where there is none. Several values, and a
// list of plain values, are joined with commas.
func (s *scope) text(v *plan.DocValue) (string, bool) {
	switch v.Kind {
	case plan.DocFromPath:
		return s.joined(v.Path)
	case plan.DocFromSize:
		n, ok := s.size(v.Path)
		return strconv.Itoa(n), ok
	case plan.DocFromConst:
		return v.Text, v.Text != ""
	case plan.DocFromKey:
		name, index, isKey := s.name()
		if !isKey && index >= 0 {
			return strconv.Itoa(index), true
		}
		return name, isKey
	case plan.DocFromAddress:
		return s.endpoint.Host, true
	case plan.DocFromPort:
		return strconv.Itoa(int(s.endpoint.Port)), true
	case plan.DocFromURL:
		return s.endpoint.URL, true
	case plan.DocFromSite:
		return s.site, s.site != ""
	}
	return "", false
}

// read pays for the text of a value, false once there is no budget.
func (s *scope) read(at uint32) bool {
	if k := s.doc.values[at].kind; k == kindList || k == kindObject {
		return true
	}
	return s.budget.spend(s.doc.weight(at))
}

// plain is the text of a plain value.
func (s *scope) plain(at uint32) (string, bool) {
	if !s.read(at) {
		return "", false
	}
	return s.doc.plain(at)
}

// number makes a cell of a value.
func (s *scope) number(at uint32) plan.Cell {
	if !s.read(at) {
		return plan.Cell{}
	}
	return s.doc.cell(at)
}

// name is what the item is called where it stands.
func (s *scope) name() (text string, index int, isKey bool) {
	text, index, isKey = s.doc.name(s.item)
	switch {
	case isKey:
		s.budget.spend(s.doc.weight(s.item.at - 1))
	case s.item.index < 0:
		s.budget.spend(max(index, 0)) // they were counted
	}
	return text, index, isKey
}

func (s *scope) joined(path plan.DocPath) (string, bool) {
	var parts []string
	length := -1 // of all with commas between
	add := func(at uint32) bool {
		text, ok := s.plain(at)
		if !ok {
			return true
		}
		if length += 1 + len(text); length > plan.MaxText && len(parts) > 0 {
			return false // a part of the next one would say something else
		}
		parts = append(parts, text)
		return len(parts) < maxJoined
	}
	s.each(path, func(p place) bool {
		if s.doc.values[p.at].kind == kindList {
			return s.entries(p.at, add)
		}
		return add(p.at) && path.Several()
	})
	return cut(strings.Join(parts, ","), plan.MaxText), len(parts) > 0
}

// entries calls visit for the entries of a list, until it is false.
func (s *scope) entries(list uint32, visit func(uint32) bool) bool {
	for at := s.doc.first(list); at < s.doc.values[list].next; at = s.doc.after(at) {
		if !s.budget.spend(1) || !visit(at) {
			return false
		}
	}
	return true
}

// size counts the entries of all that a path finds.
func (s *scope) size(path plan.DocPath) (int, bool) {
	total, ok := 0, false
	s.each(path, func(p place) bool {
		if k := s.doc.values[p.at].kind; k == kindList || k == kindObject {
			n := s.doc.size(p.at)
			total, ok = total+n, true
			return s.budget.spend(n) && path.Several()
		}
		return true
	})
	return total, ok
}

// cell is a value for a number; absent where there is none.
func (s *scope) cell(v *plan.DocValue) plan.Cell {
	switch v.Kind {
	case plan.DocFromPath:
		if p, ok := s.one(v.Path); ok {
			return s.number(p.at)
		}
		return plan.Cell{}
	case plan.DocFromSize:
		if n, ok := s.size(v.Path); ok {
			return plan.Cell{Kind: plan.Integer, Int: int64(n)}
		}
		return plan.Cell{}
	}
	if text, ok := s.text(v); ok {
		return textCell(text)
	}
	return plan.Cell{}
}

// cell makes a cell of a value; a list or object is a text without a number.
func (d *document) cell(at uint32) plan.Cell {
	switch d.values[at].kind {
	case kindNumber:
		return numberCell(string(d.raw(at)))
	case kindString:
		return textCell(d.text(at))
	case kindBool:
		if d.body[d.values[at].from] == 't' {
			return plan.Cell{Kind: plan.Integer, Int: 1}
		}
		return plan.Cell{Kind: plan.Integer}
	case kindNull:
		return plan.Cell{}
	}
	return plan.Cell{Kind: plan.Text}
}

// textCell is a number where the text is one and nothing else.
func textCell(text string) plan.Cell {
	if n, ok := plan.DocNumber(text); ok {
		return numberCell(n)
	}
	return plan.Cell{Kind: plan.Text, Text: cut(text, plan.MaxText)}
}

// numberCell keeps whole numbers whole. What no float holds is a text without a
// number.
func numberCell(text string) plan.Cell {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return plan.Cell{Kind: plan.Integer, Int: n}
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return plan.Cell{Kind: plan.Counter64, Uint: n}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return plan.Cell{Kind: plan.Text}
	}
	return plan.Cell{Kind: plan.Real, Float: f}
}

// fill makes a text with values in it. escape is applied to the values.
func (s *scope) fill(t plan.DocText, escape func(string) string) string {
	var b strings.Builder
	for i := range t {
		text, _ := s.text(&t[i])
		if t[i].Kind != plan.DocFromConst {
			text = escape(text)
		}
		b.WriteString(text)
	}
	return b.String()
}
