package arc

import "math/bits"

// The predictors of a channel.
const (
	byLast  = iota // the last number
	byStep         // the last difference again
	bySlope        // the mean difference
	byLevel        // the mean number
	byRatio        // as far from the mean as the channel before it is from its own
	predictors
)

// fraction is how many bits behind the point the means have.
const fraction = 4

// channel foretells a run of numbers. Its arithmetic wraps around.
type channel struct {
	last  int64
	step  int64              // last difference
	slope int64              // mean difference, with fraction bits
	lag   int64              // mean number less last, with fraction bits
	errs  [predictors]uint16 // mean magnitude of the errors of each predictor
	scale uint16             // mean magnitude of what was coded
	past  uint8              // of the last eight errors, a bit 1 for each that was not 0
	seen  uint8              // how many numbers, up to matured
	calm  uint8              // how many errors in a row were 0
	kind  kind
	fits  uint8 // encoder only: how many float64 in a row had a shorter kind
}

const matured = 16

// neighbour is what a channel knows of the one coded just before it.
type neighbour struct {
	now   int64 // its number
	level int64 // its mean before that, with fraction bits
	moved uint32
}

// guess is what the predictors say.
type guess struct {
	all   [predictors]int64
	best  int64
	level int64 // mean with fraction bits
}

// predict asks all predictors and chooses the one that was best of late.
func (c *channel) predict(g *guess, left *neighbour) {
	g.level = c.last<<fraction + c.lag
	g.all[byLast] = c.last
	g.all[byStep] = c.last + c.step
	g.all[bySlope] = c.last + c.slope>>fraction
	g.all[byLevel] = c.last + c.lag>>fraction
	g.all[byRatio] = ratio(g.level, left, c.last)
	best := byLast
	for i := byStep; i < predictors; i++ {
		if c.errs[i] < c.errs[best] {
			best = i
		}
	}
	g.best = g.all[best]
}

// ratio gives level * now / mean of the neighbour, rounded, where all three are
// positive and not huge; else the given number.
func ratio(level int64, left *neighbour, otherwise int64) int64 {
	if level <= 0 || left.level <= 0 || left.now <= 0 {
		return otherwise
	}
	a, b, m := uint64(level), uint64(left.now), uint64(left.level)
	if excess := bits.Len64(a) + bits.Len64(b) - 63; excess > 0 {
		a >>= excess
		m >>= excess
		if m == 0 {
			return otherwise
		}
	}
	return int64((a*b + m/2) / m)
}

// update learns the number that came.
func (c *channel) update(g *guess, x int64) {
	if c.seen == 0 {
		c.seen, c.last = 1, x
		if x != g.best {
			c.past = 1
		}
		return
	}
	rate := bits.Len8(c.seen) - 1
	for i := range g.all {
		c.errs[i] = follow(c.errs[i], x-g.all[i], rate)
	}
	err := x - g.best
	c.scale = follow(c.scale, err, min(rate, 3))
	c.past <<= 1
	if err != 0 {
		c.past |= 1
		c.calm = 0
	} else if c.calm < 255 {
		c.calm++
	}
	if c.seen < matured {
		c.seen++
	}
	d := x - c.last
	c.step = d
	c.slope += (d<<fraction - c.slope) >> rate
	c.lag -= d << fraction
	c.lag -= c.lag >> min(rate+1, 4)
	c.last = x
}

// magnitude is the base-2 logarithm of |v| plus one, in units of 1/64, with
// two bits behind the point that mean something; 0 for 0.
func magnitude(v int64) uint16 {
	if v == 0 {
		return 0
	}
	a := absolute(v)
	n := bits.Len64(a)
	return uint16(n<<6) | uint16(a<<(64-n)>>61&3)<<4
}

func absolute(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// follow moves a mean magnitude towards that of err by 1/2^shift of the way.
func follow(mean uint16, err int64, shift int) uint16 {
	return uint16(int32(mean) + (int32(magnitude(err))-int32(mean))>>shift)
}
