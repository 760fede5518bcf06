package drain

import (
	"math"
	"slices"
	"time"
)

// Sizes of a post, in bytes of text before compression.
const (
	leastSize = 1 << 10
	firstSize = 16 << 10
	mostSize  = maxBytes - 1
)

const (
	// aim is how long a post should take, in seconds: long enough that the
	// round trips do not count, short enough that a link which fails in the
	// middle costs little.
	aim = 8.0
	// aimMoving is the least part of it for the bytes themselves, where the
	// server alone takes longer.
	aimMoving = aim / 2
	// headBytes of a post on the wire carry no text: headers both ways, TLS
	// records. It is less over HTTP/2, more where a proxy adds its own.
	headBytes = 400.0
	// greeting is more than a post can be off by and less than a TLS handshake.
	greeting = 2000.0
	// unknownRate is assumed while nothing was measured: 9 kbit/s.
	unknownRate = 9000.0 / 8
	growth      = 8.0 // from one post to the next, at most
	memory      = 8   // posts that the estimate rests on
	mostFaster  = 4.0 // than the bytes of posts by their whole time
	longest     = 2 * time.Minute
)

// shaper finds the size of posts that suits the link. A post takes a fixed
// time, for round trips and the server's work, and then the time of its bytes
// on the wire; the two are told apart by posts of different sizes.
//
// One answer that comes late may be a busy server or a slower link. The next
// post is smaller, and its answer tells.
type shaper struct {
	limit float64 // of size: what the server took; learned from 413
	cap   float64 // of size: what was seen to work
	pack  float64 // wire bytes for a byte of text, 0: unknown
	seen  []trip  // oldest first
	first bool    // seen is the first post of all, which brought a handshake
	small trip    // of posts that fill little of the size, smoothed
	doubt trip    // came late; wire 0: none

	fixed, perByte float64 // seconds of a post, and of each of its wire bytes; perByte 0: unknown
	stalls         int     // in a row
}

// trip is one post that was answered.
type trip struct{ text, wire, took float64 }

func newShaper() *shaper { return &shaper{limit: mostSize, cap: firstSize} }

// size is how many bytes of text the next post may have.
func (s *shaper) size() int {
	return int(max(leastSize, min(s.cap, s.limit, s.wanted())))
}

// wanted is the size that takes the time aimed at.
func (s *shaper) wanted() float64 {
	if s.perByte == 0 || s.pack == 0 {
		return math.Inf(1)
	}
	wire := max(aim-s.fixed, aimMoving) / s.perByte
	text := packedOf(wire) / s.pack
	if d := s.doubt; d.wire > 0 && d.took > aim {
		text = min(text, d.text*aim/d.took)
	}
	return text
}

// answered learns from a post that got its answer: bytes of its text, of the
// wire both ways, and the time it took.
func (s *shaper) answered(text int, wire int64, took time.Duration) {
	if text <= 0 || wire <= 0 || took <= 0 {
		return
	}
	t := trip{float64(text), float64(wire), took.Seconds()}
	s.stalls = 0
	s.raise(t)
	greeted := s.greeted(t)
	s.packed(t, greeted)
	expected := s.fixed + t.wire*s.perByte
	switch {
	case s.perByte == 0:
		s.seen, s.first = append(s.seen, t), true
	case t.took > 2*expected+1:
		s.late(t)
	default:
		s.doubt = trip{}
		s.note(t, greeted, expected)
	}
	s.estimateLink()
}

// raise lets the size grow after a post that left time to spare.
func (s *shaper) raise(t trip) {
	more := min(growth, 2*aim/t.took)
	s.cap = min(mostSize, max(s.cap, t.text*more))
}

// greeted tells a post that brought a new handshake along, whose bytes say
// nothing of its text.
func (s *shaper) greeted(t trip) bool {
	return s.pack > 0 && t.wire > 1.25*(headBytes+t.text*s.pack)+greeting
}

// packed learns how far text is compressed, from large posts more than from
// small ones.
func (s *shaper) packed(t trip, greeted bool) {
	pack := packedOf(t.wire) / t.text
	full := min(1, t.text/float64(s.size()))
	weight := 0.6 * full * full
	switch {
	case s.pack == 0:
		weight = 1
	case greeted:
		weight /= 4 // or the text is of another kind, then more such posts follow
	}
	s.pack += weight * (pack - s.pack)
}

// packedOf is how many of the wire bytes of a post are its text, compressed.
func packedOf(wire float64) float64 { return max(wire-headBytes, wire/4) }

// late doubts the link after one late answer, and believes it after two in a
// row.
func (s *shaper) late(t trip) {
	if s.doubt.wire == 0 {
		s.doubt = t
		return
	}
	s.seen, s.first = append(s.seen[:0], s.doubt, t), false
	s.small, s.doubt = trip{}, trip{}
}

// note takes an answer that came about as expected, or early. Bytes cannot
// arrive sooner than the link lets them: one early answer proves that it has
// become faster, and what was slower no longer counts.
func (s *shaper) note(t trip, greeted bool, expected float64) {
	if t.took < expected/2 {
		slower := func(o trip) bool { return o.took >= t.took || o.wire >= t.wire*0.8 }
		s.seen = slices.DeleteFunc(s.seen, slower)
		if slower(s.small) {
			s.small = trip{}
		}
	}
	if greeted && len(s.seen) > 0 {
		return
	}
	if t.text < float64(s.size())/4 && len(s.seen) > 0 {
		s.noteSmall(t)
		return
	}
	if len(s.seen) == memory || s.first && len(s.seen) > 0 {
		s.seen = slices.Delete(s.seen, 0, 1)
	}
	s.seen, s.first = append(s.seen, t), false
}

// noteSmall smooths posts that are small, such as those of live points. They
// tell the fixed time, and must not push the large ones out.
func (s *shaper) noteSmall(t trip) {
	if s.small.wire == 0 {
		s.small = t
		return
	}
	s.small.wire += 0.3 * (t.wire - s.small.wire)
	s.small.took += 0.3 * (t.took - s.small.took)
}

// estimateLink finds the line through the trips: its slope is the median of
// the slopes of all pairs that differ enough in size, so that no single trip
// can turn it.
func (s *shaper) estimateLink() {
	var room [memory + 1]trip
	trips := append(room[:0], s.seen...)
	if s.small.wire > 0 {
		trips = append(trips, s.small)
	}
	if len(trips) == 0 {
		return
	}
	least := math.Inf(1) // no part of a post takes longer than the whole
	for _, t := range trips {
		least = min(least, t.took)
	}
	s.fixed = min(s.fixed, 0.9*least)
	fixed, weight := 0.0, 0.05 // without a sign of it, it is slowly forgotten: the rate is then told too low
	if slope, ok := slopeOf(trips); ok {
		fixed, weight = s.fixedAt(trips, slope, least), 0.15
		if len(s.seen) < memory/2 {
			weight = 1
		}
	}
	s.fixed += weight * (fixed - s.fixed)
	s.perByte = s.perByteAt(trips)
}

// fixedAt is the fixed time if a byte takes so long.
func (s *shaper) fixedAt(trips []trip, slope, least float64) float64 {
	var room [memory + 1]float64
	fixed := room[:0]
	for _, t := range trips {
		fixed = append(fixed, t.took-slope*t.wire)
	}
	return min(max(0, median(fixed)), 0.9*least)
}

// perByteAt is how long a byte takes beside the fixed time. Where that is most
// of the whole, the bytes are too few to tell, and a bound keeps the rate sane.
func (s *shaper) perByteAt(trips []trip) float64 {
	var rest, whole [memory + 1]float64
	if len(trips) > 1 && s.small.wire > 0 {
		trips = trips[:len(trips)-1] // the small one is the last
	}
	for i, t := range trips {
		rest[i], whole[i] = (t.took-s.fixed)/t.wire, t.took/t.wire
	}
	n := len(trips)
	return max(median(rest[:n]), median(whole[:n])/mostFaster)
}

// slopeOf is the median of the slopes of all pairs of trips that differ in
// size by a factor of two or more.
func slopeOf(trips []trip) (slope float64, ok bool) {
	var room [(memory + 1) * memory / 2]float64
	slopes := room[:0]
	for i, a := range trips {
		for _, b := range trips[:i] {
			if max(a.wire, b.wire) >= 2*min(a.wire, b.wire) {
				slopes = append(slopes, (a.took-b.took)/(a.wire-b.wire))
			}
		}
	}
	if len(slopes) == 0 {
		return 0, false
	}
	return max(0, median(slopes)), true
}

// median sorts values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// stalled makes the next post smaller: one of so many bytes of text was under
// way and did not arrive.
func (s *shaper) stalled(text int) {
	shrink := 2.0
	if s.stalls++; s.stalls > 1 {
		shrink = 4
	}
	s.cap = max(leastSize, min(s.cap, float64(text))/shrink)
}

// tooLarge makes the next posts smaller for good: the server refused so many
// bytes of text for their number.
func (s *shaper) tooLarge(text int) {
	s.limit = max(leastSize, min(s.limit, float64(text)/2))
}

// rate is how many bytes a second the wire carries, 0 while that is unknown.
func (s *shaper) rate() float64 {
	if s.perByte == 0 {
		return 0
	}
	return 1 / s.perByte
}

// estimate is how long a post of so many bytes of text takes, on the safe side.
func (s *shaper) estimate(text int) time.Duration {
	took := (headBytes + greeting + float64(text)) / unknownRate
	if s.perByte > 0 {
		took = 1.75 * (s.fixed + (headBytes+float64(text)*s.pack)*s.perByte)
	}
	if d := s.doubt; d.wire > 0 {
		took = max(took, d.took*min(1, float64(text)/d.text))
	}
	return time.Duration(min(took, longest.Seconds()) * float64(time.Second))
}
