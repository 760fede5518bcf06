package arc

import "math"

// kind says how a value is kept as an integer. A channel stays with a kind for
// as long as it can.
type kind uint8

const (
	noKind    kind = iota // nothing came yet
	asInt                 // Int
	asUint                // Uint, as the int64 of the same bits
	asDecimal             // asDecimal+d: a float that is n/10^d, 0 <= d <= 9
	asFloat32 = asDecimal + maxDecimals + 1
	asFloat64 = asFloat32 + 1
	asSummary = asFloat64 + 1
	kinds     = asSummary + 1
)

// maxDecimals is the most decimals of asDecimal.
const maxDecimals = 9

// powers holds the exact powers of ten that scale decimals.
var powers = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// maxScaled keeps scaled decimals where every integer is an exact float64.
const maxScaled = 1 << 53

// patience is how many float64 in a row must have a shorter kind before a
// channel goes back to one.
const patience = 4

func (k kind) isDecimal() bool { return k >= asDecimal && k < asFloat32 }

// isPattern tells that numbers of the kind are bit patterns of floats.
func (k kind) isPattern() bool { return k == asFloat32 || k == asFloat64 }

// floatKind gives the kind and the integer that the channel keeps a float as.
func (c *channel) floatKind(bits uint64) (kind, int64) {
	first := 0
	switch {
	case c.kind.isDecimal():
		if n, ok := toDecimal(bits, int(c.kind-asDecimal)); ok {
			return c.kind, n
		}
		first = int(c.kind-asDecimal) + 1
	case c.kind == asFloat32:
		if n, ok := toFloat32(bits); ok {
			return c.kind, n
		}
	}
	k, n := shortest(bits, first)
	if c.kind != asFloat64 {
		return k, n
	}
	if k == asFloat64 {
		c.fits = 0
	} else if c.fits++; c.fits >= patience {
		c.fits = 0
		return k, n
	}
	return asFloat64, ordered64(bits)
}

// shortest gives the decimal with the fewest decimals, at least first, or
// else the shortest float.
func shortest(bits uint64, first int) (kind, int64) {
	most := maxDecimals
	f := math.Abs(math.Float64frombits(bits))
	for most > first && f*powers[most] >= maxScaled {
		most--
	}
	if _, ok := toDecimal(bits, most); ok && most >= first {
		for d := first; ; d++ {
			if n, ok := toDecimal(bits, d); ok {
				return asDecimal + kind(d), n
			}
		}
	}
	if n, ok := toFloat32(bits); ok {
		return asFloat32, n
	}
	return asFloat64, ordered64(bits)
}

// toDecimal gives n where the float is exactly n/10^d.
func toDecimal(bits uint64, d int) (n int64, ok bool) {
	f := math.RoundToEven(math.Float64frombits(bits) * powers[d])
	if !(math.Abs(f) < maxScaled) {
		return 0, false
	}
	return int64(f), fromDecimal(int64(f), d) == bits
}

func fromDecimal(n int64, d int) uint64 { return math.Float64bits(float64(n) / powers[d]) }

// toFloat32 gives the ordered pattern of the float32 that is exactly the
// float64, found by its bits alone so that every NaN keeps its own.
func toFloat32(bits uint64) (n int64, ok bool) {
	sign, exp, frac := uint32(bits>>63)<<31, int(bits>>52&0x7ff), bits&(1<<52-1)
	if frac&(1<<29-1) != 0 {
		return 0, false
	}
	short := uint32(frac >> 29)
	switch {
	case exp == 0x7ff:
		return ordered32(sign | 0xff<<23 | short), true
	case exp == 0 && frac == 0:
		return ordered32(sign), true
	case exp < 1023-126 || exp > 1023+127:
		return 0, false
	}
	return ordered32(sign | uint32(exp-1023+127)<<23 | short), true
}

// fromFloat32 is the inverse of toFloat32.
func fromFloat32(n int64) uint64 {
	p := uint32(ordered32(uint32(n)))
	sign, exp, frac := uint64(p>>31)<<63, uint64(p>>23&0xff), uint64(p&(1<<23-1))<<29
	switch exp {
	case 0xff:
		return sign | 0x7ff<<52 | frac
	case 0:
		return sign
	}
	return sign | (exp+1023-127)<<52 | frac
}

// ordered32 makes patterns of floats integers that are ordered as the floats
// are, and back.
func ordered32(p uint32) int64 {
	v := int32(p)
	return int64(v ^ v>>31&math.MaxInt32)
}

func ordered64(p uint64) int64 {
	v := int64(p)
	return v ^ v>>63&math.MaxInt64
}

// become makes the channel one of the other kind. A decimal that gets more
// decimals keeps its past; otherwise nothing known is worth keeping.
func (c *channel) become(k kind) {
	if c.kind.isDecimal() && k.isDecimal() && k > c.kind {
		p := int64(powers[k-c.kind])
		c.last, c.step, c.slope, c.lag = c.last*p, c.step*p, c.slope*p, c.lag*p
		c.kind = k
		return
	}
	*c = channel{kind: k}
}

// value gives the bits of a scalar value of kind k; false where the encoder
// would not have kept it so.
func (k kind) value(n int64) (v Value, ok bool) {
	switch {
	case k == asInt:
		return Value{Form: Int, Bits: uint64(n)}, true
	case k == asUint:
		return Value{Form: Uint, Bits: uint64(n)}, true
	case k == asFloat32:
		bits := fromFloat32(n)
		again, exact := toFloat32(bits)
		return Value{Form: Float, Bits: bits}, exact && again == n
	case k == asFloat64:
		return Value{Form: Float, Bits: uint64(ordered64(uint64(n)))}, true
	}
	return Value{Form: Float, Bits: fromDecimal(n, int(k-asDecimal))}, -maxScaled < n && n < maxScaled
}
