package snmp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Bounds of a walk. No device makes a walk go on for ever.
const (
	defaultReps     = 10         // repetitions of a first GETBULK
	defaultWidth    = 10         // columns in one request
	replyBytes      = 1400       // a reply should fit one unfragmented datagram
	maxVarbinds     = 60         // and hold no more than this many varbinds
	usualVarbind    = 28         // bytes, until a reply has shown the true size
	maxRows         = 20_000     // rows of one column
	maxWalkRequests = 10_000     // requests of one walk
	maxHeld         = 16_000_000 // bytes that the cells of one poll may take
	cellBytes       = 150        // bytes of a cell beside its texts, about
)

// walkOptions bound one walk. Zero values take the defaults above.
type walkOptions struct {
	noBulk   bool // SNMP v1
	reps     int
	width    int
	rows     int
	requests int
	bytes    int                     // that cells may take
	level    func(column string) int // where on the ladder a column starts; nil: at the top
}

// rung is one step of the ladder that a column climbs down while its requests
// fail: fewer repetitions, then fewer columns, then GETNEXT.
type rung struct {
	kind  kind
	reps  int
	width int
}

// ladder lists the rungs for a widest request of reps and width.
func ladder(noBulk bool, reps, width int) []rung {
	var rungs []rung
	if !noBulk {
		for r := reps; r > 1; r /= 2 {
			rungs = append(rungs, rung{getBulk, r, width})
		}
		rungs = append(rungs, narrowing(getBulk, width)...)
	}
	return append(rungs, narrowing(getNext, width)...)
}

func narrowing(k kind, width int) []rung {
	var rungs []rung
	for ; width > 1; width = max(width/3, 1) {
		rungs = append(rungs, rung{k, 1, width})
	}
	return append(rungs, rung{k, 1, 1})
}

// column is one column while it is walked.
type column struct {
	root    string
	at      string // the last OID that came; the next request asks what follows it
	cells   map[string]plan.Cell
	seen    int // rows that came, skipped ones included
	level   int
	started int   // the level at the start
	done    bool  // ended, whole or not
	cut     error // why it is half read; nil: it is whole
}

func (c *column) stop(why error) { c.done, c.cut = true, why }

// walk reads several columns. It is a pure state machine: next gives the
// request to send, feed takes what came of it, until next has no more. Rows
// that were read stay, whatever happens after.
type walk struct {
	columns  []*column
	ladder   []rung
	maxRows  int
	requests int // that may still be sent
	bytes    int // that cells may still take
	sent     []*column
	reps     int
	perVar   int // bytes of a varbind, as last seen
	longest  int // rows of the longest column that has ended
}

func newWalk(columns []string, o walkOptions) *walk {
	reps, width := orDefault(o.reps, defaultReps), orDefault(o.width, defaultWidth)
	w := &walk{
		ladder:   ladder(o.noBulk, reps, width),
		maxRows:  orDefault(o.rows, maxRows),
		requests: orDefault(o.requests, maxWalkRequests),
		bytes:    orDefault(o.bytes, maxHeld),
		perVar:   usualVarbind,
	}
	for _, root := range columns {
		c := &column{root: root, at: root, cells: map[string]plan.Cell{}}
		if o.level != nil {
			c.level = min(o.level(root), len(w.ladder)-1)
		}
		c.started = c.level
		w.columns = append(w.columns, c)
	}
	return w
}

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// next gives the next request; ok=false: the walk is over.
func (w *walk) next() (r request, ok bool) {
	ready := w.ready()
	if len(ready) == 0 {
		return request{}, false
	}
	if w.requests == 0 {
		w.abort(errors.New("the walk took too many requests"))
		return request{}, false
	}
	w.requests--
	step := w.ladder[ready[0].level]
	// Even shares: twelve columns go as six and six, not as ten and two.
	rounds := (len(ready) + step.width - 1) / step.width
	w.sent = ready[:(len(ready)+rounds-1)/rounds]
	w.reps = w.repetitions(step)
	r = request{kind: step.kind}
	if step.kind == getBulk {
		r.reps = w.reps
	}
	for _, c := range w.sent {
		r.oids = append(r.oids, c.at)
	}
	return r, true
}

// ready are the unfinished columns of the best level: healthy columns are not
// kept waiting by those that make trouble.
func (w *walk) ready() []*column {
	var best []*column
	for _, c := range w.columns {
		switch {
		case c.done:
		case len(best) > 0 && c.level > best[0].level:
		case len(best) > 0 && c.level == best[0].level:
			best = append(best, c)
		default:
			best = []*column{c}
		}
	}
	return best
}

// repetitions divides what a reply can hold among the columns, and asks for
// no rows beyond the end where a neighbour has shown how long the table is.
func (w *walk) repetitions(step rung) int {
	room := min(replyBytes/max(w.perVar, 1), maxVarbinds)
	reps := min(step.reps, room/len(w.sent))
	if left := w.longest - w.sent[0].seen + 1; left > 0 && w.longest > 0 {
		reps = min(reps, left)
	}
	return max(reps, 1)
}

// feed takes the response to the last request, or the error in its place.
// After a timeout the caller has made sure that the device is alive; where it
// is not, the caller aborts.
func (w *walk) feed(r response, err error) {
	switch {
	case err != nil:
		w.lower(err)
	case r.status != noError:
		w.feedStatus(r)
	case len(r.vars) == 0:
		w.lower(errors.New("the reply was empty"))
	default:
		w.take(r)
	}
}

// feedStatus handles an error-status. Its index, where it is one, names the
// column that caused it.
func (w *walk) feedStatus(r response) {
	var named *column
	if len(w.sent) == 1 {
		named = w.sent[0]
	} else if r.index >= 1 && r.index <= len(w.sent) {
		named = w.sent[r.index-1]
	}
	err := r.status.err()
	switch {
	case named != nil && r.status == noSuchName: // how SNMP v1 says "end of MIB"
		w.finish(named)
	case named != nil && r.status.denied():
		named.stop(err)
	case named != nil && len(w.sent) > 1 && r.status == genErr:
		// That column goes on alone; the others need not suffer for it.
		named.level = len(w.ladder) - 1
	default:
		w.lower(err)
	}
}

// lower moves the columns of the failed request to the next rung that makes a
// smaller request. Below the last rung a column is given up.
func (w *walk) lower(why error) {
	for _, c := range w.sent {
		from := w.ladder[c.level]
		c.level++
		for c.level < len(w.ladder) && !w.smaller(w.ladder[c.level], from.kind) {
			c.level++
		}
		if c.level == len(w.ladder) {
			c.level--
			c.stop(why)
		}
	}
}

func (w *walk) smaller(r rung, sent kind) bool {
	return r.kind != sent || r.width < len(w.sent) || r.reps < w.reps
}

// take sorts the varbinds of a reply to their columns: the n-th belongs to
// column n modulo the number of columns, also in a reply that was cut short.
func (w *walk) take(r response) {
	if r.size > 0 {
		w.perVar = r.size / len(r.vars)
	}
	k := len(w.sent)
	for i, v := range r.vars[:min(len(r.vars), k*w.reps)] {
		if c := w.sent[i%k]; !c.done {
			w.row(c, v)
		}
	}
}

// row takes one varbind of a column. Either the column moves on or it is done,
// so every reply brings the walk nearer to its end.
func (w *walk) row(c *column, v varbind) {
	order := compareOIDs(v.oid, c.at)
	index, inside := indexUnder(c.root, v.oid)
	switch {
	case v.exc == endOfMibView:
		w.finish(c)
		return
	case order <= 0:
		w.backwards(c, v)
		return
	case !inside:
		w.finish(c)
		return
	}
	c.at = v.oid
	c.seen++
	if v.exc == noException && v.cell.Kind != plan.Absent {
		c.cells[index] = v.cell
		w.bytes -= cellBytes + len(index) + len(v.cell.Text)
	}
	switch {
	case c.seen >= w.maxRows:
		c.stop(fmt.Errorf("the table has no end (stopped after %d rows)", c.seen))
	case w.bytes <= 0:
		w.abort(errTooMuch)
	}
}

// backwards ends a column whose next OID is not greater than the one before.
// That is a fault, but for an agent that starts over at the top of its MIB
// after the end, and for one that repeats the OID of a column it lacks.
func (w *walk) backwards(c *column, v varbind) {
	startOver := strings.HasPrefix(v.oid, "1.3.6.1.2.1.1.") && !strings.HasPrefix(c.root, "1.3.6.1.2.1.1.")
	lacking := v.exc == noSuch && c.seen == 0
	if startOver || lacking {
		w.finish(c)
		return
	}
	c.stop(fmt.Errorf("the OIDs do not increase (%s came after %s)", v.oid, c.at))
}

func (w *walk) finish(c *column) {
	c.done = true
	w.longest = max(w.longest, c.seen)
}

// abort gives up every column that is not finished.
func (w *walk) abort(why error) {
	for _, c := range w.columns {
		if !c.done {
			c.stop(why)
		}
	}
}

// lesson tells where columns should start in the next walk: those that went
// down the ladder, and the rung that all whole columns needed. A walk in which
// columns newly came to nothing teaches of these only, for they dragged their
// neighbours down with them.
func (w *walk) lesson() (rungs map[string]int, common int) {
	lost := map[string]int{}
	rungs = map[string]int{}
	common = len(w.ladder)
	for _, c := range w.columns {
		switch {
		case c.cut == nil:
			common = min(common, c.level)
		case c.level == len(w.ladder)-1 && c.started < c.level:
			lost[c.root] = c.level
		}
		if c.level > c.started {
			rungs[c.root] = c.level
		}
	}
	switch {
	case len(lost) > 0:
		return lost, 0
	case common == len(w.ladder): // no column is whole
		return rungs, 0
	}
	return rungs, common
}
