package plan

import (
	"math"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// verdict says what came of a cell.
type verdict uint8

const (
	number   verdict = 1
	none     verdict = 2 // the device says that it has no value
	unusable verdict = 3 // it is no number
)

// plain tells whether cells are taken as they are.
func (c *Conversion) plain() bool {
	return !c.Signed && !c.Parse && !c.Ticks && c.NA == nil && c.NAText == nil && c.States == nil && !c.scaled()
}

func (c *Conversion) scaled() bool {
	return c.Multiplier != 0 || c.Divisor != 0 || c.Offset != 0 || c.Scale != "" || c.Precision != "" || c.Units != ""
}

// gauge makes the number of a gauge. shift is the power of ten that the scale
// and precision of the row ask for. The order is: none, text, sign, states,
// ticks, factor, shift, offset.
func (c *Conversion) gauge(cell Cell, shift int) (probes.Value, verdict) {
	cell, v := c.numeric(cell)
	if v != number {
		return probes.Value{}, v
	}
	if c.States != nil {
		return c.state(cell)
	}
	if !c.scaled() && !c.Ticks {
		value, ok := cell.gauge()
		return value, usable(ok)
	}
	raw, exact := cell.decimal()
	if exact {
		if value, ok := c.exactly(raw, shift); ok {
			return value, usable(value.Check() == nil)
		}
	}
	return c.roughly(cell, shift)
}

func usable(ok bool) verdict {
	if ok {
		return number
	}
	return unusable
}

// numeric takes out what stands for none, and makes a number of text and of
// a negative number in an unsigned column.
func (c *Conversion) numeric(cell Cell) (Cell, verdict) {
	if cell.Kind == Octets || cell.Kind == Text {
		return c.parsed(cell)
	}
	if c.isNA(cell) {
		return Cell{}, none
	}
	if c.Signed && (cell.Kind == Unsigned || cell.Kind == Counter32) && cell.Uint > math.MaxInt32 && cell.Uint <= math.MaxUint32 {
		cell = Cell{Kind: Integer, Int: int64(int32(cell.Uint))}
		if c.isNA(cell) {
			return Cell{}, none
		}
	}
	return cell, number
}

func (c *Conversion) isNA(cell Cell) bool {
	if len(c.NA) == 0 {
		return false
	}
	v, ok := cell.gauge()
	return ok && slices.Contains(c.NA, v.Float64())
}

func (c *Conversion) parsed(cell Cell) (Cell, verdict) {
	if c.Ticks && cell.Kind == Octets {
		if t, ok := dateTime([]byte(cell.Text)); ok {
			if t.IsZero() {
				return Cell{}, none
			}
			return Cell{Kind: Integer, Int: t.Unix() * 100}, number
		}
	}
	text := cell.Text
	if cell.Kind == Octets {
		text = Readable([]byte(text))
	}
	if slices.Contains(c.NAText, text) || slices.Contains(c.NAText, strings.TrimSpace(text)) {
		return Cell{}, none
	}
	if !c.Parse {
		return Cell{}, unusable
	}
	parsed, ok := firstNumber(text)
	switch {
	case !ok:
		return Cell{}, unusable
	case c.isNA(parsed):
		return Cell{}, none
	}
	return parsed, number
}

// firstNumber reads the first number in a text: digits with a sign right
// before them, a decimal point or comma, and separators of thousands where
// both are there or one comes twice.
func firstNumber(text string) (Cell, bool) {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return Cell{}, false
	}
	end := start
	for end < len(text) && (isDigit(text[end]) || isSeparator(text, end)) {
		end++
	}
	sign := ""
	if start > 0 && (text[start-1] == '.' || text[start-1] == ',') {
		start-- // ".5"
	}
	if start > 0 && text[start-1] == '-' && (start == 1 || !isWord(text[start-2])) {
		sign = "-"
	}
	d, ok := parseDecimal(sign + "0" + plainDigits(text[start:end]))
	if !ok {
		return Cell{}, false
	}
	if v := d.value(); v.Form() == probes.FormInt {
		return Cell{Kind: Integer, Int: v.Int64()}, true
	}
	return Cell{Kind: Real, Float: d.float()}, true
}

// plainDigits leaves one point at most: the last separator, where it comes but
// once.
func plainDigits(text string) string {
	last := strings.LastIndexAny(text, ".,")
	if last < 0 {
		return text
	}
	keep := strings.Count(text, text[last:last+1]) == 1
	strip := strings.NewReplacer(".", "", ",", "")
	if !keep {
		return strip.Replace(text)
	}
	return strip.Replace(text[:last]) + "." + text[last+1:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isSeparator tells whether a point or comma stands before a digit.
func isSeparator(text string, at int) bool {
	return (text[at] == '.' || text[at] == ',') && at+1 < len(text) && isDigit(text[at+1])
}

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// state gives the number of an enumeration value.
func (c *Conversion) state(cell Cell) (probes.Value, verdict) {
	n := cell.Int
	switch cell.Kind {
	case Unsigned, Counter32, Counter64:
		if cell.Uint > math.MaxInt64 {
			return probes.Value{}, none
		}
		n = int64(cell.Uint)
	case Real:
		n = int64(cell.Float)
		if float64(n) != cell.Float {
			return probes.Value{}, none
		}
	}
	f, ok := c.States[n]
	if !ok {
		return probes.Value{}, none
	}
	if d, ok := decimalOf(f); ok {
		return d.value(), number
	}
	return probes.Float(f), usable(probes.Float(f).Check() == nil)
}

// factor gives multiplier and divisor, 1 where there is none.
func (c *Conversion) factor() (multiplier, divisor float64) {
	multiplier, divisor = c.Multiplier, c.Divisor
	if multiplier == 0 {
		multiplier = 1
	}
	if divisor == 0 {
		divisor = 1
	}
	return multiplier, divisor
}

// exactly computes in decimals, false where the numbers are too long.
func (c *Conversion) exactly(raw decimal, shift int) (probes.Value, bool) {
	if c.Ticks {
		shift -= 2
	}
	d, ok := c.multiplied(raw)
	if !ok {
		return probes.Value{}, false
	}
	d.exp += shift
	offset, ok := decimalOf(c.Offset)
	if !ok {
		return probes.Value{}, false
	}
	d, ok = d.plus(offset)
	if !ok {
		return probes.Value{}, false
	}
	return d.value(), true
}

// multiplied is raw * Multiplier / Divisor, false where that is no short
// decimal.
func (c *Conversion) multiplied(raw decimal) (decimal, bool) {
	multiplier, divisor := c.factor()
	m, okM := decimalOf(multiplier)
	by, okBy := decimalOf(divisor)
	if !okM || !okBy {
		return decimal{}, false
	}
	product, ok := raw.times(m)
	if !ok {
		return decimal{}, false
	}
	// by is without zeros at its end: what divides is its mantissa.
	product.exp -= by.exp
	for product.mant%by.mant != 0 {
		if magnitude(product.mant) > math.MaxInt64/10 {
			return decimal{}, false
		}
		product.mant *= 10
		product.exp--
	}
	product.mant /= by.mant
	return product.normal(), true
}

// roughly computes in floats.
func (c *Conversion) roughly(cell Cell, shift int) (probes.Value, verdict) {
	v, ok := cell.gauge()
	if !ok {
		return probes.Value{}, unusable
	}
	if c.Ticks {
		shift -= 2
	}
	multiplier, divisor := c.factor()
	f := v.Float64()*multiplier/divisor*math.Pow10(shift) + c.Offset
	value := probes.Float(f)
	return value, usable(value.Check() == nil)
}

// count is the growth of a counter in the unit of the metric.
func (c *Conversion) count(delta uint64) (probes.Value, bool) {
	if c.Multiplier == 0 && c.Divisor == 0 || delta == 0 {
		return probes.Uint(delta), true
	}
	if delta <= math.MaxInt64 {
		if d, ok := c.multiplied(decimal{mant: int64(delta)}.normal()); ok {
			v := d.value()
			if v.Form() == probes.FormInt && v.Int64() >= 0 {
				v = probes.Uint(uint64(v.Int64()))
			}
			return v, v.Float64() >= 0 && v.Check() == nil
		}
	}
	multiplier, divisor := c.factor()
	v := probes.Float(float64(delta) * multiplier / divisor)
	return v, v.Float64() >= 0 && v.Check() == nil
}

// decimal is the number of a cell, false where it does not fit.
func (c Cell) decimal() (decimal, bool) {
	switch c.Kind {
	case Integer:
		return decimal{mant: c.Int}.normal(), c.Int > math.MinInt64
	case Unsigned, Counter32, Counter64:
		return decimal{mant: int64(c.Uint)}.normal(), c.Uint <= math.MaxInt64
	case Real:
		return decimalOf(c.Float)
	}
	return decimal{}, false
}

// scaleShift is the power of ten of EntitySensorDataScale and -Precision (RFC
// 3433): scale counts thousands, 9 is the unit itself; a negative precision
// counts digits and moves nothing. An absent cell is a scale of one.
func scaleShift(scale, precision Cell) int {
	shift := 0
	if n, ok := scale.counter(); ok && n >= 1 && n <= 17 {
		shift = (int(n) - 9) * 3
	}
	if n, ok := precision.counter(); ok && n >= 1 && n <= 9 {
		shift -= int(n)
	}
	return shift
}
