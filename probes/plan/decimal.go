package plan

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// decimal is mant * 10^exp. It keeps 215/10 from becoming 21.499999999999996:
// only its last step, to a float, may round.
type decimal struct {
	mant int64
	exp  int
}

// powers are the powers of ten that a float and an int64 hold exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
	1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxExact is the largest integer up to which floats hold every integer.
const maxExact = 1 << 53

// parseDecimal reads digits with a sign, a point and an exponent, false where
// they are more than 64 bits.
func parseDecimal(text string) (decimal, bool) {
	var d decimal
	digits, exp, _ := strings.Cut(text, "e")
	if exp != "" {
		n, err := strconv.Atoi(exp)
		if err != nil {
			return decimal{}, false
		}
		d.exp = n
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	mant, err := strconv.ParseInt(whole+fraction, 10, 64)
	d.mant = mant
	d.exp -= len(fraction)
	return d.normal(), err == nil
}

// decimalOf is the shortest decimal of a float, false where there is none.
func decimalOf(f float64) (decimal, bool) {
	if f == math.Trunc(f) && math.Abs(f) < maxExact {
		return decimal{mant: int64(f)}.normal(), true
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return decimal{}, false
	}
	return parseDecimal(strconv.FormatFloat(f, 'e', -1, 64))
}

// normal takes the zeros off the end.
func (d decimal) normal() decimal {
	if d.mant == 0 {
		return decimal{}
	}
	for d.mant%10 == 0 {
		d.mant /= 10
		d.exp++
	}
	return d
}

// times multiplies, false where the product is more than 64 bits.
func (d decimal) times(o decimal) (decimal, bool) {
	hi, lo := bits.Mul64(magnitude(d.mant), magnitude(o.mant))
	if hi != 0 || lo > math.MaxInt64 {
		return decimal{}, false
	}
	mant := int64(lo)
	if (d.mant < 0) != (o.mant < 0) {
		mant = -mant
	}
	return decimal{mant, d.exp + o.exp}.normal(), true
}

// plus adds, false where that takes more than 64 bits.
func (d decimal) plus(o decimal) (decimal, bool) {
	if d.mant == 0 {
		return o, true
	}
	if o.mant == 0 {
		return d, true
	}
	low := min(d.exp, o.exp)
	x, okX := d.at(low)
	y, okY := o.at(low)
	sum := x + y
	if !okX || !okY || (x < 0) == (y < 0) && (sum < 0) != (x < 0) {
		return decimal{}, false
	}
	return decimal{sum, low}.normal(), true
}

// at is the mantissa for a lower exponent.
func (d decimal) at(exp int) (int64, bool) {
	shift := d.exp - exp
	if shift > 18 {
		return 0, false
	}
	scaled, ok := decimal{mant: d.mant}.timesInt(int64(powers[shift]))
	return scaled, ok
}

func (d decimal) timesInt(n int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(d.mant), magnitude(n))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if d.mant < 0 {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-n)
	}
	return uint64(n)
}

// float is the float that is nearest; its shortest text is the decimal, up to
// 15 digits.
func (d decimal) float() float64 {
	m := float64(d.mant)
	exact := magnitude(d.mant) <= maxExact
	switch {
	case exact && d.exp >= 0 && d.exp < len(powers):
		return m * powers[d.exp]
	case exact && d.exp < 0 && -d.exp < len(powers):
		return m / powers[-d.exp]
	}
	f, _ := strconv.ParseFloat(strconv.FormatInt(d.mant, 10)+"e"+strconv.Itoa(d.exp), 64)
	return f
}

// value is a whole number where the decimal is one, else a float.
func (d decimal) value() probes.Value {
	if d.exp == 0 {
		return probes.Int(d.mant)
	}
	if d.exp > 0 {
		if n, ok := d.at(0); ok {
			return probes.Int(n)
		}
	}
	return probes.Float(d.float())
}
