package drain

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// load is what was leased for one post, or for the halves of it: the lines that
// stand for it, and what has become of each of its points or entries. What
// nothing is said of is given back.
type load struct {
	lane    lane
	cargo   cargo
	leases  []*buffer.Lease // none: there is no load
	points  []probes.Point  // of all leases, or
	entries []buffer.Entry
	each    []buffer.Settlement
	lines   []line
	form    form
	parts   []span // still to be sent

	spare *buffer.Lease // its memory is used again
	folds []folded      // working space, used again
	texts textLines
	posts int
	at    time.Time // of the last post, or of the lease

	divided bool   // some parts are halves
	refused int64  // lines
	reason  string // of the first of them

	heard    bool      // the server has told the fate of some lines
	suspects []refusal // lines that were refused alone, without a word on them
}

const (
	maxLines = 1000      // of one post of metric lines
	maxBytes = 1_000_000 // of one post of metric lines before compression, exclusive
	maxPosts = 32        // for one lease; what is undecided then is given back
	// loadAge is how long a load may lie while others go, or nothing does.
	loadAge = 5 * time.Minute
	// maxSpare bounds the points of a lease whose memory is kept.
	maxSpare = 4 * maxLines
	// enough suspects, where no fate of a line was told, show that the server, or
	// what stands before it, refuses all that comes.
	enough = 3
)

// line is what stands for one or more points or entries of a lease: a metric
// line, a data point, an event or a log record. They share its outcome.
type line struct {
	from []int32 // in the load
	wall int64   // of the oldest
}

// span is a range of lines, the second exclusive.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

func (s span) halves() (span, span) {
	middle := s.from + s.len()/2
	return span{s.from, middle}, span{middle, s.to}
}

// form is how lines become the body of a post.
type form interface {
	// body is that of a part of the lines. It holds until the next call.
	body(s span) []byte
	// text is a line in readable form, for a dead letter.
	text(i int) string
}

// begin makes an empty load for a cargo.
func (l *load) begin(c cargo) {
	*l = load{
		lane: l.lane, cargo: c, leases: l.leases[:0], each: l.each[:0], lines: l.lines[:0], parts: l.parts[:0], suspects: l.suspects[:0],
		spare: l.spare, folds: l.folds, texts: l.texts,
	}
}

// take puts a lease into the load, with everything to be given back.
func (l *load) take(lease *buffer.Lease) {
	if len(l.leases) == 0 {
		l.points, l.entries = slices.Clip(lease.Points), slices.Clip(lease.Entries)
	} else {
		l.points, l.entries = append(l.points, lease.Points...), append(l.entries, lease.Entries...)
	}
	l.leases = append(l.leases, lease)
	for range len(lease.Points) + len(lease.Entries) {
		l.each = append(l.each, buffer.Settlement{Outcome: buffer.Later})
	}
}

// settleAll gives the store what has become of the leases, and ends the load.
func (l *load) settleAll(s Store) error {
	var failed error
	each := l.each
	for _, lease := range l.leases {
		n := len(lease.Points) + len(lease.Entries)
		if err := s.Settle(lease, each[:n]); err != nil {
			failed = err
		}
		each = each[n:]
	}
	if n := len(l.leases); n > 0 && cap(l.leases[n-1].Points) <= maxSpare {
		l.spare = l.leases[n-1]
	}
	clear(l.leases)
	l.leases, l.parts, l.points, l.entries, l.form = l.leases[:0], nil, nil, nil, nil
	return failed
}

// add makes the next line one of the points or entries that are given.
func (l *load) add(from []int32) {
	x := line{from: from, wall: l.wall(from[0])}
	for _, at := range from[1:] {
		x.wall = min(x.wall, l.wall(at))
	}
	l.lines = append(l.lines, x)
}

func (l *load) wall(at int32) int64 {
	return l.stamp(int(at)).Wall
}

// stamp is that of a point or an entry.
func (l *load) stamp(i int) probes.Stamp {
	if len(l.points) > 0 {
		return l.points[i].Stamp
	}
	return l.entries[i].Stamp
}

// ready has all lines sent.
func (l *load) ready(f form) {
	l.form = f
	if len(l.lines) > 0 {
		l.parts = append(l.parts, span{0, len(l.lines)})
	}
}

// busy reports that lines are still to be sent.
func (l *load) busy() bool { return len(l.parts) > 0 }

// oldest is the wall time of the oldest point of a part.
func (l *load) oldest(s span) int64 {
	oldest := l.lines[s.from].wall
	for _, x := range l.lines[s.from+1 : s.to] {
		oldest = min(oldest, x.wall)
	}
	return oldest
}

// gain is what a post has brought.
type gain struct{ lines, points int64 }

// deliver settles a part as its lane does, but for the lines that are refused
// or put aside.
func (l *load) deliver(s span, o outcome) (g gain) {
	l.heard = true
	for i := s.from; i < s.to; i++ {
		g.lines++
		g.points += l.settle(i, buffer.Settlement{Outcome: l.lane.outcome()})
	}
	for _, r := range o.refused {
		g.lines--
		g.points -= l.refuse(s.from+r.line, r.reason)
	}
	for _, line := range o.aside {
		g.lines--
		g.points -= l.settle(s.from+line, buffer.Settlement{Outcome: buffer.Later})
	}
	return g
}

// settle gives all points of a line their settlement.
func (l *load) settle(i int, s buffer.Settlement) (points int64) {
	for _, at := range l.lines[i].from {
		l.each[at] = s
	}
	return int64(len(l.lines[i].from))
}

func (l *load) hopeless() bool { return !l.heard && len(l.suspects) >= enough }

// divide puts the halves of a part in its place. A single line has none: it is
// suspected.
func (l *load) divide(s span, cause string) {
	if s.len() == 1 {
		l.suspects = append(l.suspects, refusal{s.from, cause})
		return
	}
	l.divided = true
	first, second := s.halves()
	l.parts = append([]span{first, second}, l.parts...)
}

// judge refuses the suspects if the fate of other lines was told. If not,
// nothing says that it is the lines: they are given back.
func (l *load) judge() *outcome {
	if len(l.suspects) > 0 && !l.heard {
		return &outcome{verdict: later, cause: l.suspects[0].reason + "; no line is taken, so all are kept: check the URL and the proxy"}
	}
	for _, s := range l.suspects {
		l.refuse(s.line, s.reason)
	}
	l.suspects = l.suspects[:0]
	return nil
}

// refuse settles one line as refused for good. Each of its points becomes a
// dead letter.
func (l *load) refuse(i int, reason string) (points int64) {
	l.refusing(reason)
	return l.settle(i, buffer.Settlement{Outcome: buffer.Refused, Kind: l.cargo.letter(), Line: l.form.text(i), Reason: reason})
}

// unsendable refuses points or entries that have no line.
func (l *load) unsendable(from []int32, text, reason string) {
	l.refusing(reason)
	for _, at := range from {
		l.each[at] = buffer.Settlement{Outcome: buffer.Refused, Kind: l.cargo.letter(), Line: text, Reason: reason}
	}
}

func (l *load) refusing(reason string) {
	if l.refused == 0 {
		l.reason = reason
	}
	l.refused++
}
