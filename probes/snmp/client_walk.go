package snmp

import (
	"errors"
	"fmt"
)

const (
	streamReps    = 50 // repetitions of a first GETBULK, as far as a reply holds them
	maxStreamRows = 1_000_000
)

// ErrUnordered ends a walk whose OIDs do not increase.
var ErrUnordered = errors.New("the OIDs do not increase")

// stream walks one subtree and hands on every row at once. Like walk it is a
// pure state machine, but it keeps no rows.
type stream struct {
	root   string
	at     string // the last OID that came
	ladder []rung
	level  int
	reps   int // of the request in flight
	perVar int // bytes of a varbind, as last seen
	rows   int // that may come
	done   bool
	seen   map[string]bool // nil: OIDs have to increase
	emit   func(Varbind) error
	failed error // of emit
	report WalkReport
}

func newStream(root string, noBulk bool, o WalkOptions, emit func(Varbind) error) *stream {
	w := &stream{
		root: root, at: root, emit: emit, perVar: usualVarbind,
		ladder: ladder(noBulk, streamReps, 1), rows: orDefault(o.MaxRows, maxStreamRows),
	}
	if o.Unordered {
		w.seen = map[string]bool{}
	}
	return w
}

func (w *stream) next() (r request, ok bool) {
	if w.done {
		return request{}, false
	}
	step := w.ladder[w.level]
	r = request{kind: step.kind, oids: []string{w.at}}
	w.reps = 1
	if step.kind == getBulk {
		w.reps = max(1, min(step.reps, replyBytes/max(w.perVar, 1)))
		r.reps = w.reps
	}
	return r, true
}

func (w *stream) feed(r response, err error) {
	switch {
	case err != nil:
		w.lower(err)
	case r.status == noSuchName:
		w.done = true // how SNMP v1 says "end of MIB"
	case r.status.denied():
		w.abort(r.status.err())
	case r.status != noError:
		w.lower(r.status.err())
	case len(r.vars) == 0:
		w.lower(errors.New("the reply was empty"))
	default:
		w.take(r)
	}
}

// lower asks for less from now on, or gives up where there is nothing less.
func (w *stream) lower(why error) {
	from := w.ladder[w.level]
	for w.level++; w.level < len(w.ladder); w.level++ {
		if r := w.ladder[w.level]; r.kind != from.kind || r.reps < w.reps {
			return
		}
	}
	w.level--
	w.abort(why)
}

func (w *stream) take(r response) {
	if r.size > 0 {
		w.perVar = r.size / len(r.vars)
	}
	before := w.report.Rows + w.report.Skipped
	for _, v := range r.vars[:min(len(r.vars), w.reps)] {
		if w.done {
			return
		}
		w.row(v)
	}
	if !w.done && w.report.Rows+w.report.Skipped == before {
		w.done = true // an unordered walk that came round
	}
}

func (w *stream) row(v varbind) {
	_, inside := indexUnder(w.root, v.oid)
	switch {
	case v.exc == endOfMibView:
		w.done = true
	case w.seen == nil && compareOIDs(v.oid, w.at) <= 0:
		w.backwards(v)
	case !inside && (w.seen == nil || compareOIDs(v.oid, w.root) > 0):
		w.done = true // an unordered walk goes on from what lies before the root
	case w.seen != nil && w.seen[v.oid]:
		w.report.Repeated++
		w.at = v.oid
	default:
		w.keep(v)
	}
}

// backwards ends an ordered walk. An agent that starts over at the top after
// its last OID has given all it has.
func (w *stream) backwards(v varbind) {
	if _, inside := indexUnder(w.root, v.oid); !inside {
		w.done = true
		return
	}
	w.abort(fmt.Errorf("%w (%s came after %s)", ErrUnordered, v.oid, w.at))
}

func (w *stream) keep(v varbind) {
	if w.seen != nil {
		w.seen[v.oid] = true
		if compareOIDs(v.oid, w.at) <= 0 {
			w.report.Backwards++
		}
	}
	w.at = v.oid
	if v.exc != noException {
		w.report.Skipped++
		return
	}
	w.report.Rows++
	if err := w.emit(toVarbindOut(v)); err != nil {
		w.failed, w.done = err, true
		return
	}
	if w.report.Rows >= w.rows {
		w.abort(fmt.Errorf("there is no end to it (stopped after %d rows)", w.report.Rows))
	}
}

func (w *stream) abort(why error) {
	w.done = true
	w.report.Stopped = why
}
