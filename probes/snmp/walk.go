package snmp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Bounds of a walk. No device makes a walk go on for ever.
const (
	defaultReps     = 10         // repetitions of a first GETBULK
	defaultMaxReps  = 40         // and of any
	defaultWidth    = 10         // columns in one request
	replyBytes      = 1400       // a reply should fit one unfragmented datagram
	maxVarbinds     = 64         // and hold no more than this many varbinds
	usualVarbind    = 28         // bytes, until a reply has shown the true size
	maxRows         = 20_000     // rows of one column
	maxWalkRequests = 10_000     // requests of one walk
	maxHeld         = 16_000_000 // bytes that the cells of one poll may take
	cellBytes       = 150        // bytes of a cell beside its texts, about
	maxMute         = 3          // GETBULKs in a row without an answer before GETNEXT
	maxQuiet        = 8          // requests in a row without an answer before the end
	knownQuiet      = 3          // the same, of columns that gave nothing the last time
	maxReread       = 60         // values that are asked for once more
)

// walkOptions bound one walk. Zero values take the defaults above.
type walkOptions struct {
	noBulk    bool // SNMP v1, and devices that GETBULK harms
	unordered bool // OIDs need not increase
	reps      int
	width     int
	rows      int
	requests  int
	bytes     int                     // that cells may take
	level     func(column string) int // where on the ladder a column starts, -1: not known; nil: none is known
	shape     shape                   // of the table at the last poll
	skip      func(oid string) bool   // values that are known to be unreadable; nil: none
	slate     *slate                  // memory to use; nil: its own
}

// shape is what the last walk of a table has shown of it.
type shape struct {
	rows   int // of its longest column
	perVar int // bytes of a varbind
}

// column is one column while it is walked.
type column struct {
	root    string
	at      string // the last OID that came; the next request asks what follows it
	cells   map[string]plan.Cell
	holes   map[string]bool // unordered only: indexes that came without a value
	seen    int             // rows that came, skipped ones included
	level   int
	started int   // the level at the start
	missing int   // values that could not be read
	brought bool  // the last reply held a new row
	done    bool  // ended, whole or not
	cut     error // why it is half read; nil: it is whole
}

func (c *column) stop(why error) { c.done, c.cut = true, why }

// walk reads several columns. It is a pure state machine: next gives the
// request to send, feed takes what came of it, until next has no more. Rows
// that were read stay, whatever happens after.
type walk struct {
	columns   []*column
	ladder    []rung
	ladderFor ladderFor
	unordered bool
	repeated  bool // the last request was sent once more
	maxRows   int
	requests  int // that may still be sent
	used      int // that were sent
	bytes     int // that cells may still take
	best      []*column
	sent      []*column // of best
	oids      []string
	reps      int
	perVar    int // bytes of a varbind, as last seen
	longest   int // rows of the longest column that has ended, or had at the last poll
	ended     int // rows of the longest column that has ended
	size      int // bytes of the replies
	vars      int // varbinds in them
	mute      int // GETBULKs in a row that were not answered
	quiet     int // requests in a row that were not answered
	maxQuiet  int
	lowered   bool
	skip      func(oid string) bool
	unread    []unread // values that came and could not be read
	again     *gets    // asks for them once more
	asked     bool     // that is over
	hopeless  []string // OIDs that could not be read then either
}

// unread is a value that came and could not be read.
type unread struct {
	column *column
	oid    string
}

func newWalk(columns []string, o walkOptions) *walk {
	w := o.slate.walk()
	w.climbFrom(ladderFor{o.noBulk, orDefault(o.reps, defaultMaxReps), orDefault(o.width, defaultWidth)})
	w.unordered = o.unordered
	w.maxRows = orDefault(o.rows, maxRows)
	w.requests = orDefault(o.requests, maxWalkRequests)
	w.bytes = orDefault(o.bytes, maxHeld)
	w.perVar = orDefault(o.shape.perVar, usualVarbind)
	w.longest = o.shape.rows
	w.skip = o.skip
	w.maxQuiet = knownQuiet
	for _, root := range columns {
		c := o.slate.column(root)
		c.level = -1
		if o.level != nil {
			c.level = min(o.level(root), len(w.ladder)-1)
		}
		if c.level < 0 {
			c.level = firstRung(w.ladder)
		}
		c.started = c.level
		if c.level < len(w.ladder)-1 {
			w.maxQuiet = maxQuiet
		}
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

// next gives the next request; ok=false: the walk is over. The request is good
// until the next call.
func (w *walk) next() (r request, ok bool) {
	ready := w.ready()
	if len(ready) == 0 {
		return w.nextAgain()
	}
	if w.requests == 0 {
		w.abort(errors.New("the walk took too many requests"))
		return request{}, false
	}
	w.requests--
	w.used++
	step := w.ladder[ready[0].level]
	// Even shares: twelve columns go as six and six, not as ten and two.
	rounds := (len(ready) + step.width - 1) / step.width
	w.sent = ready[:(len(ready)+rounds-1)/rounds]
	w.reps = w.repetitions(step)
	r = request{kind: step.kind}
	if step.kind == getBulk {
		// Silence is soon looked into in another way; after that one try is
		// enough, for the next is a smaller request.
		r.reps, r.tries = w.reps, 2
	}
	if w.quiet > 0 {
		r.tries = 1
	}
	w.oids = w.oids[:0]
	for _, c := range w.sent {
		w.oids = append(w.oids, c.at)
	}
	r.oids = w.oids
	return r, true
}

// ready are the unfinished columns of the best level: healthy columns are not
// kept waiting by those that make trouble.
func (w *walk) ready() []*column {
	w.best = w.best[:0]
	for _, c := range w.columns {
		switch {
		case c.done:
		case len(w.best) > 0 && c.level > w.best[0].level:
		case len(w.best) > 0 && c.level == w.best[0].level:
			w.best = append(w.best, c)
		default:
			w.best = append(w.best[:0], c)
		}
	}
	return w.best
}

// repetitions divides what a reply can hold among the columns, and asks for
// no rows beyond the end where a neighbour, or the last poll, has shown how
// long the table is.
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
	case w.again != nil:
		w.again.feed(r, err)
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
	w.quiet = 0
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
		w.lowered = true
	default:
		w.lower(err)
	}
}

// lower moves the columns of the failed request to the next rung that makes a
// smaller request. Below the last rung a column is given up.
func (w *walk) lower(why error) {
	if errors.Is(why, errTimeout) {
		w.quiet++
	}
	if w.lost(why) {
		return
	}
	w.lowered = true
	if w.quiet >= w.maxQuiet {
		w.despair(why)
		return
	}
	if w.unanswered(why) {
		return
	}
	failed := w.sent
	if w.quiet > maxMute {
		failed = w.best // what is as large fares no better
	}
	for _, c := range failed {
		from := w.ladder[c.level]
		c.level++
		for c.level < len(w.ladder) && !w.smaller(w.ladder[c.level], from.kind) {
			c.level++
		}
		if c.level == len(w.ladder) {
			c.level--
			w.giveUp(c, why)
		}
	}
}

// despair ends a walk that gets no answers. Columns that gave nothing are asked
// for in the smallest way the next time.
func (w *walk) despair(why error) {
	for _, c := range w.columns {
		if !c.done && c.seen == 0 {
			c.level = len(w.ladder) - 1
		}
	}
	w.abort(why)
}

// giveUp ends a column that was asked for in the smallest way.
func (w *walk) giveUp(c *column, why error) {
	if slices.Contains(w.sent, c) {
		c.stop(why)
	}
}

// lost takes the silence to a small request in the middle of a table for the
// loss of a datagram: it is sent once more. A smaller one would be lost as well.
func (w *walk) lost(why error) bool {
	if !errors.Is(why, errTimeout) || w.reps > 1 || w.sent[0].seen == 0 || w.repeated {
		w.repeated = false
		return false
	}
	w.repeated = true
	return true
}

// unanswered counts GETBULKs without an answer, each of which costs a timeout.
// The first halves the request. After that the steps are longer, and soon all
// columns go on with GETNEXT, so that a device that does not know GETBULK, or
// that drops large replies, is read within its first poll.
func (w *walk) unanswered(why error) (jumped bool) {
	if !errors.Is(why, errTimeout) || w.ladder[w.sent[0].level].kind != getBulk {
		return false
	}
	w.mute++
	to := firstNext(w.ladder)
	switch {
	case w.mute < 2:
		return false
	case w.mute < maxMute: // the smallest GETBULK of as many columns
		for to = w.sent[0].level; w.ladder[to].reps > 1; to++ {
		}
		if to == w.sent[0].level {
			return false
		}
	}
	for _, c := range w.columns {
		c.level = max(c.level, to)
	}
	return true
}

func (w *walk) smaller(r rung, sent kind) bool {
	return r.kind != sent || r.width < len(w.sent) || r.reps < w.reps
}

// take sorts the varbinds of a reply to their columns: the n-th belongs to
// column n modulo the number of columns, also in a reply that was cut short.
func (w *walk) take(r response) {
	w.mute, w.quiet, w.repeated = 0, 0, false
	if r.size > 0 {
		w.perVar = (r.size + len(r.vars) - 1) / len(r.vars)
		w.size += r.size
		w.vars += len(r.vars)
	}
	k := len(w.sent)
	vars := r.vars[:min(len(r.vars), k*w.reps)]
	for _, c := range w.sent {
		c.brought = false
	}
	for i := range vars {
		if c := w.sent[i%k]; !c.done {
			w.row(c, &vars[i])
		}
	}
	if !w.unordered {
		return
	}
	for _, c := range w.sent[:min(k, len(vars))] {
		if !c.done && !c.brought {
			c.stop(fmt.Errorf("the rows repeat after %d", c.seen))
		}
	}
}

// row takes one varbind of a column. Either the column moves on or it is done,
// so every reply brings the walk nearer to its end.
func (w *walk) row(c *column, v *varbind) {
	index, inside := indexUnder(c.root, v.oid)
	switch {
	case v.exc == endOfMibView:
		w.finish(c)
		return
	case !(w.unordered && inside) && compareOIDs(v.oid, c.at) <= 0:
		w.backwards(c, v)
		return
	case !inside:
		w.finish(c)
		return
	}
	c.at = v.oid
	if w.unordered && c.has(index) {
		return
	}
	c.seen++
	c.brought = true
	w.keep(c, index, v)
	switch {
	case c.seen >= w.maxRows:
		c.stop(fmt.Errorf("the table has no end (stopped after %d rows)", c.seen))
	case w.bytes <= 0:
		w.abort(errTooMuch)
	}
}

// has reports whether a row of an unordered table has come before.
func (c *column) has(index string) bool {
	_, cell := c.cells[index]
	return cell || c.holes[index]
}

// keep takes the value. One that could not be read is asked for once more.
func (w *walk) keep(c *column, index string, v *varbind) {
	if v.exc == noException && v.cell.Kind != plan.Absent {
		c.cells[index] = v.cell
		w.bytes -= cellBytes + len(index) + len(v.cell.Text)
		return
	}
	if w.unordered {
		if c.holes == nil {
			c.holes = map[string]bool{}
		}
		c.holes[index] = true
		w.bytes -= cellBytes + len(index)
	}
	if !v.unreadable() {
		return
	}
	c.missing++
	if len(w.unread) < maxReread && (w.skip == nil || !w.skip(v.oid)) {
		w.unread = append(w.unread, unread{c, v.oid})
	}
}

// nextAgain asks for the values that could not be read, by GET.
func (w *walk) nextAgain() (r request, ok bool) {
	if len(w.unread) == 0 || w.asked {
		return request{}, false
	}
	if w.again == nil {
		oids := make([]string, len(w.unread))
		for i, u := range w.unread {
			oids[i] = u.oid
		}
		w.again = newGets(oids, w.ladderFor.width)
		w.again.once = true
	}
	if r, ok = w.again.next(); ok && w.requests > 0 {
		w.requests--
		w.used++
		return r, true
	}
	w.settle()
	return request{}, false
}

// settle takes what the second reading gave.
func (w *walk) settle() {
	w.asked = true
	for _, u := range w.unread {
		cell, ok := w.again.cells[u.oid]
		if !ok {
			w.hopeless = append(w.hopeless, u.oid)
			continue
		}
		index, _ := indexUnder(u.column.root, u.oid)
		u.column.cells[index] = cell
		u.column.missing--
	}
	w.again = nil
}

// backwards ends a column whose next OID is not greater than the one before.
// That is a fault, but for an agent that starts over at the top of its MIB
// after the end, and for one that repeats the OID of a column it lacks.
func (w *walk) backwards(c *column, v *varbind) {
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
	w.ended = max(w.ended, c.seen)
	w.longest = max(w.longest, c.seen)
}

// abort gives up every column that is not finished.
func (w *walk) abort(why error) {
	for _, c := range w.columns {
		if !c.done {
			c.stop(why)
		}
	}
	w.asked, w.again = true, nil
}

// shape is what to expect of the table at the next poll.
func (w *walk) shape() shape {
	s := shape{rows: w.ended}
	if w.vars > 0 {
		s.perVar = (w.size + w.vars - 1) / w.vars
	}
	return s
}

// rows is how many rows the table has shown.
func (w *walk) rows() int {
	n := 0
	for _, c := range w.columns {
		n = max(n, len(c.cells))
	}
	return n
}
