package httpjson

import (
	"context"
	"errors"

	"github.com/edgehold/edgehold/probes/plan"
)

// maxSteps is how many values the paths of one poll may look at, a long text
// counted as several. What a package
// needs is a hundredth of it; a path that searches a long list for each item of
// another one is not.
const maxSteps = 20_000_000

var errSteps = errors.New("the paths of the package look at too many values or too long ones, the rest is left out; let them search shorter lists")

// budget bounds the work of one poll.
type budget struct {
	ctx   context.Context
	steps int
	err   error
}

// spend takes n steps, false once there are none left or the poll is over.
func (b *budget) spend(n int) bool {
	before := b.steps >> 16
	b.steps += n
	switch {
	case b.err != nil:
		return false
	case b.steps > maxSteps:
		b.err = errSteps
	case b.steps>>16 != before && b.ctx.Err() != nil:
		b.err = b.ctx.Err()
	}
	return b.err == nil
}

// place is a value and what it is called where it stands.
type place struct {
	at    uint32
	index int // its number in its list; -1: not known
}

// finder follows one path.
type finder struct {
	doc    *document
	budget *budget
	// visit is given each value that is not null, and tells whether to go on.
	visit func(place) bool
	// reached tells that the path led to a list whose entries were looked at,
	// also where there are none; found, that visit was called.
	reached, found bool
}

// follow goes along the first way that finds something.
func (f *finder) follow(path plan.DocPath, from place) {
	for _, way := range path {
		if f.walk(way, from); f.found || f.budget.err != nil {
			return
		}
	}
}

// walk goes along a way; false: no more values are wanted.
func (f *finder) walk(way plan.DocWay, at place) bool {
	if !f.budget.spend(1) {
		return false
	}
	if len(way) == 0 {
		if f.doc.values[at.at].kind == kindNull {
			return true
		}
		f.found = true
		return f.visit(at)
	}
	rest := way[1:]
	switch step := &way[0]; step.Kind {
	case plan.StepRoot:
		return f.walk(rest, place{0, -1})
	case plan.StepField:
		return f.field(step.Name, rest, at)
	case plan.StepAt:
		return f.entry(step.At, rest, at)
	case plan.StepParent:
		if up, ok := f.holder(at.at); ok {
			return f.walk(rest, place{up, -1})
		}
	case plan.StepEach, plan.StepWhere:
		return f.each(step, rest, at)
	}
	return true
}

func (f *finder) field(name string, rest plan.DocWay, at place) bool {
	to, looked := f.doc.field(at.at, name)
	if !f.budget.spend(looked) {
		return false
	}
	if to == 0 {
		return true
	}
	return f.walk(rest, place{to, -1})
}

// entry goes to an entry of a list.
func (f *finder) entry(index int, rest plan.DocWay, at place) bool {
	if f.doc.values[at.at].kind != kindList {
		return true
	}
	if index < 0 {
		index += f.doc.size(at.at)
	}
	n := 0
	for to := f.doc.first(at.at); index >= 0 && to < f.doc.values[at.at].next; to = f.doc.after(to) {
		if !f.budget.spend(1) {
			return false
		}
		if n == index {
			return f.walk(rest, place{to, n})
		}
		n++
	}
	return true
}

// each goes to all entries, or those that have a field of some text.
func (f *finder) each(step *plan.DocStep, rest plan.DocWay, at place) bool {
	kind := f.doc.values[at.at].kind
	if kind != kindList && kind != kindObject {
		return true
	}
	f.reached = true
	n := 0
	for to := f.doc.first(at.at); to < f.doc.values[at.at].next; to = f.doc.after(to) {
		if step.Kind == plan.StepWhere && !f.matches(step, to) {
			n++
			continue
		}
		entry := place{to, n}
		if kind == kindObject {
			entry.index = -1
		}
		if !f.walk(rest, entry) {
			return false
		}
		n++
	}
	return f.budget.err == nil
}

func (f *finder) matches(step *plan.DocStep, at uint32) bool {
	for _, name := range step.Field {
		to, looked := f.doc.field(at, name)
		if !f.budget.spend(looked) || to == 0 {
			return false
		}
		at = to
	}
	if k := f.doc.values[at].kind; k == kindList || k == kindObject || !f.budget.spend(f.doc.weight(at)) {
		return false
	}
	text, ok := f.doc.plain(at)
	return ok && text == step.Name
}

// holder is the object that holds a value, over lists.
func (f *finder) holder(at uint32) (uint32, bool) {
	for at != 0 {
		if at = f.doc.values[at].parent; f.doc.values[at].kind == kindObject {
			return at, true
		}
	}
	return 0, false
}

// name is what a value is called where it stands: its key, or its number.
func (d *document) name(p place) (text string, index int, isKey bool) {
	if p.at == 0 {
		return "", -1, false
	}
	up := d.values[p.at].parent
	if d.values[up].kind == kindObject {
		return d.text(p.at - 1), -1, true
	}
	if p.index >= 0 {
		return "", p.index, false
	}
	n := 0
	for at := d.first(up); at < p.at; at = d.after(at) {
		n++
	}
	return "", n, false
}
