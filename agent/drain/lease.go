package drain

import (
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// load is a lease on its way: its points, their lines, and what has become of
// each. What nothing is said of is given back.
type load struct {
	lease   *buffer.Lease
	each    []buffer.Settlement
	text    []byte // the lines, each with its newline
	lines   []line
	refused int64
	reason  string // of the first refusal

	heard    bool      // the server has told the fate of some lines
	suspects []refusal // lines that were refused alone, without a word on them
}

// enough suspects, where no fate of a line was told, show that the server, or
// what stands before it, refuses all that comes.
const enough = 3

// line is one line of a load.
type line struct {
	end   int // in the text
	point int // in the lease
}

// span is a range of lines, the second exclusive.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

func (s span) halves() (span, span) {
	middle := s.from + s.len()/2
	return span{s.from, middle}, span{middle, s.to}
}

// newLoad renders the points of a lease into the buffers of an old load. A
// point that has no line is refused with the reason. Points beyond the size of
// one post are given back, to be leased again.
func newLoad(lease *buffer.Lease, old load) load {
	l := load{lease: lease, each: make([]buffer.Settlement, len(lease.Points)), text: old.text[:0], lines: old.lines[:0]}
	for i := range l.each {
		l.each[i].Outcome = buffer.Later
	}
	for i, p := range lease.Points {
		begin := len(l.text)
		text, err := mint.AppendLine(l.text, p)
		if err != nil {
			l.refusePoint(i, p.Series.Key(), err.Error())
			continue
		}
		l.text = append(text, '\n')
		if len(l.text) >= maxBytes {
			l.text = l.text[:begin]
			break
		}
		l.lines = append(l.lines, line{len(l.text), i})
	}
	return l
}

// slice is the text of a span of lines.
func (l *load) slice(s span) []byte {
	begin := 0
	if s.from > 0 {
		begin = l.lines[s.from-1].end
	}
	return l.text[begin:l.lines[s.to-1].end]
}

// oldest is the wall time of the first point of a span: leases come oldest first.
func (l *load) oldest(s span) int64 { return l.point(s.from).Stamp.Wall }

func (l *load) point(i int) probes.Point { return l.lease.Points[l.lines[i].point] }

// deliver settles a span, but for the refused lines, as delivered.
func (l *load) deliver(s span, refused []refusal) {
	l.heard = true
	for i := s.from; i < s.to; i++ {
		l.each[l.lines[i].point].Outcome = buffer.Delivered
	}
	for _, r := range refused {
		l.refuse(s.from+r.line, r.reason)
	}
}

func (l *load) hopeless() bool { return !l.heard && len(l.suspects) >= enough }

// judge refuses the suspects if the fate of other lines was told. If not,
// nothing says that it is the lines: they are given back.
func (l *load) judge() *outcome {
	if len(l.suspects) > 0 && !l.heard {
		return &outcome{verdict: later, cause: l.suspects[0].reason + "; no line is taken, so all are kept: check the URL and the proxy"}
	}
	for _, s := range l.suspects {
		l.refuse(s.line, s.reason)
	}
	return nil
}

// refuse settles one line as refused for good.
func (l *load) refuse(i int, reason string) {
	text := l.slice(span{i, i + 1})
	l.refusePoint(l.lines[i].point, string(text[:len(text)-1]), reason)
}

func (l *load) refusePoint(i int, text, reason string) {
	l.each[i] = buffer.Settlement{Outcome: buffer.Refused, Line: text, Reason: reason}
	if l.refused == 0 {
		l.reason = reason
	}
	l.refused++
}
