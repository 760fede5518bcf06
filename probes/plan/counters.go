package plan

import (
	"math"
	"time"
)

const (
	sysUpTime = "1.3.6.1.2.1.1.3.0"
	ifSpeed   = "1.3.6.1.2.1.2.2.1.5"

	// A growth over more than this many intervals, and more than absenceFloor,
	// is not told: it would stand as a spike in the minute of its end.
	absenceIntervals = 3
	absenceFloor     = 10 * time.Minute

	// A row whose column does not answer is remembered for so long, so that what
	// it missed counts as a gap.
	dormantFor = 24 * time.Hour

	// So many such rows of a block at most: where a table is never read to its end
	// and its rows come and go, all of them would add up.
	maxDormant = 20_000

	// A frame has this many octets at least, so that a line carries that many
	// fewer frames than octets.
	minFrame = 64
)

// octetColumns are the 32-bit columns that can wrap within a poll.
var octetColumns = [...]string{"1.3.6.1.2.1.2.2.1.10", "1.3.6.1.2.1.2.2.1.16"}

// GapCounts counts by reason the counters that were read and gave no delta
// though they had been read before.
type GapCounts struct {
	Reset         int // the counter went back
	Restart       int // the device or its agent restarted
	Wrap          int // 32 bits may have wrapped, and nothing shows how often
	Absence       int // the last reading was too long ago
	Discontinuity int // the device says that the counter was disturbed
	Switched      int // another column answers than last time
}

// Sum is the number of all gaps.
func (g GapCounts) Sum() int {
	return g.Reset + g.Restart + g.Wrap + g.Absence + g.Discontinuity + g.Switched
}

// counter is the last reading of a counter; the zero one has none.
type counter struct {
	last          uint64
	before        uint64        // where it stood before it fell, 0: it has not, or has grown on since
	at            time.Duration // on the State's clock
	discontinuity uint32
	from          uint8 // which OID of the source
	narrow        bool  // it has 32 bits
	disturbable   bool  // discontinuity was read
}

// sample is one reading of a counter.
type sample struct {
	counter
	metric   *Metric
	interval time.Duration
	speed    float64 // bits a second, 0 where it is not known
}

// absenceAfter is the longest time that a growth may span.
func absenceAfter(interval time.Duration) time.Duration {
	return max(absenceIntervals*interval, absenceFloor)
}

// advance gives the growth of a counter since its last reading, and takes the
// reading. The first one gives no growth. Of a doubtful growth it gives none,
// and counts the gap.
func (p *poll) advance(c *counter, now *sample) (uint64, bool) {
	if c.at == 0 {
		*c = now.counter
		return 0, false
	}
	age := p.state.now - c.at
	if now.last == c.last && p.state.frozen && age > 0 && age <= 2*now.interval && now.from == c.from {
		return 0, false // an agent that answers from a cache; the next growth covers this one
	}
	delta, gap := p.growth(c, now)
	*c = now.counter
	if gap != nil {
		*gap++
		return 0, false
	}
	return delta, true
}

// growth is what a counter grew by, or the kind of gap.
func (p *poll) growth(c *counter, now *sample) (delta uint64, gap *int) {
	gaps, age := &p.notes.GapsBy, now.at-c.at
	switch {
	case c.at <= p.state.floor:
		return 0, &gaps.Restart
	case age > absenceAfter(now.interval):
		return 0, &gaps.Absence
	case c.from != now.from || c.narrow && !now.narrow:
		return 0, &gaps.Switched
	case c.disturbable && now.disturbable && c.discontinuity != now.discontinuity:
		return 0, &gaps.Discontinuity
	case now.narrow && now.unseen(leeway(age)):
		return 0, &gaps.Wrap
	case now.last >= c.last && c.resumed(now.last):
		return 0, &gaps.Reset
	case now.last >= c.last:
		if now.last < c.before/2 {
			now.before = c.before
		}
		return now.last - c.last, nil
	case !c.narrow || !now.narrow:
		now.before = max(c.last, c.before)
		return 0, &gaps.Reset
	}
	// 32 bits went back: a wrap only if nothing else explains it.
	delta = now.last + 1<<32 - c.last
	switch {
	case !p.state.alive || now.speed == 0:
		gap = &gaps.Wrap
	case now.last == 0, float64(delta) > now.carried(leeway(age)): // no wrap ends at 0
		gap = &gaps.Reset
	default:
		return delta, nil
	}
	now.before = max(c.last, c.before)
	return 0, gap
}

// resumed tells whether a counter that fell goes on from where it stood before,
// as if nothing had been: some agents tell 0 while they read it anew. The way
// back is no growth.
func (c *counter) resumed(now uint64) bool {
	return c.before > 0 && now >= c.before && now-c.before <= (c.before-c.last)/8
}

// leeway lengthens the time between two readings by what the device may have
// taken to answer.
func leeway(age time.Duration) time.Duration {
	return age + age/20 + 3*time.Second
}

// carried is the most that the line can have added in a time.
func (s *sample) carried(age time.Duration) float64 {
	octets := s.speed / 8 * age.Seconds()
	if s.octets() {
		return octets
	}
	return octets / minFrame
}

func (s *sample) octets() bool {
	oid := s.metric.Source.oid(int(s.from))
	return oid == octetColumns[0] || oid == octetColumns[1]
}

// unseen tells whether a 32-bit counter of octets may have wrapped more than
// once, or once and grown past its last reading.
func (s *sample) unseen(age time.Duration) bool {
	return s.speed > 0 && s.octets() && s.carried(age) >= 1<<32
}

// surroundings reads what the row says of its counters.
func (p *poll) surroundings(b *Block, r *row, s *sample) {
	if p.discontinuity != nil {
		if d, ok := p.discontinuity[r.index].counter(); ok {
			s.discontinuity, s.disturbable = uint32(d), true
		}
	}
	if s.narrow && p.speed != nil {
		s.speed = lineRate(b.HighSpeed, p.speed[r.index])
	}
}

// lineRate is the speed in bits a second of ifHighSpeed, or of ifSpeed, which
// stands at its maximum where the line is faster. 0: not known.
func lineRate(column string, c Cell) float64 {
	n, ok := c.counter()
	switch {
	case !ok:
		return 0
	case column != ifSpeed:
		return float64(n) * 1e6
	case n == math.MaxUint32:
		return math.MaxUint32 * 1e3
	}
	return float64(n)
}

// missed handles a counter without a cell. Where its column was read to its
// end the row has lost it, and what comes back is another counter.
func (p *poll) missed(c *counter, s *Source) {
	if c.at != 0 && s.Kind == FromColumn && p.conclusive(s.oid(int(c.from))) {
		*c = counter{}
	}
}

// conclusive tells whether a row that is missing in a column has vanished. A
// column that did not answer, or not to its end, proves nothing.
func (p *poll) conclusive(oid string) bool {
	return len(p.reading.Columns[oid]) > 0 && !p.reading.Partial[oid]
}

// awaits tells whether a better column than the one that answered could not be
// read to its end: the counter is not switched for that.
func (p *poll) awaits(c *counter, s *Source, nth int) bool {
	return c.at != 0 && nth > int(c.from) && p.reading.Partial[s.oid(int(c.from))]
}
