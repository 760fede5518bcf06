package httpjson

import (
	"fmt"
	"strconv"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// maxPoints is how many measurements one poll of one endpoint gives.
	maxPoints = 100_000
	// maxDimension is how many characters of a value leave, as the sender cuts
	// them: items that differ behind that are one series.
	maxDimension = 250
	// maxLine is how many dimensions a line may have.
	maxLine = 50
)

// poll is one poll of one endpoint.
type poll struct {
	probe  *Probe
	state  *state
	stamp  probes.Stamp
	budget *budget
	batch  probes.Batch
	stats  probes.PollStats
	items  int // that passed the filters
	warm   int // counters that were read and gave nothing yet
	opened int // events
	told   int // log records
	over   bool
	notes  []string
	noted  map[string]bool
}

// note says, once, what is missing.
func (p *poll) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !p.noted[text] {
		p.noted[text] = true
		p.notes = append(p.notes, text)
	}
}

// tally counts what became of a block in one poll.
type tally struct {
	block        *plan.DocBlock
	outer, inner bool // the paths of the items led somewhere
	groups       int  // items of the group that passed the filters
	items        int
	twice        int
	read         bool // a page came
	metrics      []metricTally
}

type metricTally struct {
	found bool
	wrong string // a value that is no number, or no state that is listed
}

func newTally(b *plan.DocBlock) *tally {
	return &tally{block: b, metrics: make([]metricTally, len(b.Metrics))}
}

// walk goes through the items of one page.
func (p *poll) walk(t *tally, doc *document) {
	root := p.root(doc)
	t.outer = root.items(t.block.Outer, func(outer *scope) bool {
		above, ok := p.dims(nil, t.block.OuterDims, outer)
		if !ok {
			return true
		}
		t.groups++
		reached := outer.items(t.block.Inner, func(inner *scope) bool {
			if dims, ok := p.dims(above, t.block.Dims, inner); ok {
				p.item(t, inner, dims)
			}
			return !p.full()
		})
		t.inner = t.inner || reached
		return !p.full()
	}) || t.outer
}

// root is the scope of a whole document.
func (p *poll) root(doc *document) scope {
	return scope{doc: doc, budget: p.budget, endpoint: p.probe.endpoint, site: p.probe.here, item: place{0, -1}}
}

// items calls visit for each item of a path, and tells whether the path led
// somewhere. Without a path the scope itself is the one item.
func (s *scope) items(path plan.DocPath, visit func(*scope) bool) bool {
	if path == nil {
		visit(s)
		return true
	}
	return s.each(path, func(at place) bool {
		item := *s
		item.item = at
		return visit(&item)
	})
}

// dims adds the dimensions of a level to those above, false where a filter drops
// the item.
func (p *poll) dims(above []probes.Dimension, dims []plan.DocDim, s *scope) ([]probes.Dimension, bool) {
	all := append(make([]probes.Dimension, 0, len(above)+len(dims)), above...)
	for i := range dims {
		d := &dims[i]
		text, _ := s.text(&d.Value)
		if named, ok := d.Enum[text]; ok {
			text = named
		}
		if !d.Filter.Match(text) {
			return nil, false
		}
		if d.Key != "" && text != "" {
			all = append(all, probes.Dimension{Key: d.Key, Value: p.probe.sited(d.Key, cutRunes(text, maxDimension))})
		}
	}
	return all, true
}

// full tells whether the poll has given all it may, or its work is at an end.
func (p *poll) full() bool { return p.over || p.budget.err != nil }

// overflow notes that something did not fit.
func (p *poll) overflow() {
	p.over = true
	p.note("more than %d measurements or items, the rest is left out", maxPoints)
}

// item makes points, events and records of one item.
func (p *poll) item(t *tally, s *scope, dims []probes.Dimension) {
	switch {
	case p.budget.err != nil: // of what was cut off nothing is known
		return
	case p.items == maxPoints:
		p.overflow()
		return
	}
	p.items++
	t.items++
	r, twice := p.state.row(t.block, dims)
	if r == nil {
		p.over = true
		p.note("the dimensions of the items take more than %d MB, the rest is left out", maxHeld>>20)
		return
	}
	if twice {
		t.twice++
	}
	for i := range t.block.Metrics {
		p.metric(t, measured{row: r, scope: s, index: i, twice: twice})
	}
	if twice {
		return // what it is and how it is was said by the first one
	}
	for i := range t.block.Events {
		p.event(t.block, r, s, i)
	}
	p.carry(t.block, r, s)
}

// finish says what the block lacks. whole tells that all of its answer came.
func (p *poll) finish(t *tally, whole bool) {
	b := t.block
	switch {
	case !t.outer:
		p.note("%s: nothing at items %s", b.Path, b.Outer)
	case t.groups > 0 && !t.inner:
		p.note("%s: nothing at items %s", b.Path, b.Inner)
	}
	if t.twice > 0 {
		p.note("%s: %d items share their dimensions with others; add one that tells them apart", b.Path, t.twice)
	}
	for i := range t.metrics {
		m, about := &b.Metrics[i], &t.metrics[i]
		switch {
		case about.wrong != "":
			p.note("%s: %s: %s", b.Path, m.Key, about.wrong)
		case !about.found && !m.Optional && t.items > 0:
			p.note("%s: %s is found nowhere", b.Path, m.Key)
		}
	}
	whole = whole && t.outer && !p.full()
	if whole {
		p.vanished(b)
	}
	p.state.forget(b, whole)
}

// short quotes a text of the endpoint for a message.
func short(text string) string { return strconv.Quote(cut(text, 40)) }
