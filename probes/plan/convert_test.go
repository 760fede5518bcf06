package plan

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"testing"
)

func TestConversion(t *testing.T) {
	unsigned := func(n uint64) Cell { return Cell{Kind: Unsigned, Uint: n} }
	real := func(f float64) Cell { return Cell{Kind: Real, Float: f} }
	octets := func(s string) Cell { return Cell{Kind: Octets, Text: s} }
	for _, test := range []struct {
		name  string
		c     Conversion
		cell  Cell
		shift int
		want  string // "none", "unusable" or the number
	}{
		{"as it is", Conversion{}, integer(-5), 0, "-5"},
		{"tenths", Conversion{Divisor: 10}, integer(215), 0, "21.5"},
		{"tenths that are whole", Conversion{Divisor: 10}, integer(210), 0, "21"},
		{"hundredths", Conversion{Divisor: 100}, unsigned(2999), 0, "29.99"},
		{"a factor below one", Conversion{Multiplier: 0.1}, integer(3), 0, "0.3"},
		{"both", Conversion{Multiplier: 1024, Divisor: 1000}, integer(1001), 0, "1025.024"},
		{"by three", Conversion{Divisor: 3}, integer(10), 0, "3.3333333333333335"},
		{"kelvin", Conversion{Divisor: 10, Offset: -273.15}, integer(2950), 0, "21.85"},
		{"fahrenheit", Conversion{Multiplier: 5, Divisor: 9, Offset: -17.77777777777778}, integer(32), 0, "0"},
		{"a float", Conversion{Divisor: 10}, real(12.3), 0, "1.23"},
		{"too long for decimals", Conversion{Multiplier: 1e10}, unsigned(math.MaxUint64), 0, "1.844674407370955e+29"},
		{"infinite", Conversion{Multiplier: 1e300}, real(1e300), 0, "unusable"},
		{"scale", Conversion{Scale: "1"}, integer(36500), -3, "36.5"},
		{"scale up", Conversion{Scale: "1"}, integer(3), 3, "3000"},
		{"signed", Conversion{Signed: true}, unsigned(math.MaxUint32 - 2), 0, "-3"},
		{"signed, but not negative", Conversion{Signed: true}, unsigned(7), 0, "7"},
		{"signed tenths", Conversion{Signed: true, Divisor: 10}, unsigned(math.MaxUint32 - 2), 0, "-0.3"},
		{"not there", Conversion{NA: []float64{-1, 65535}, Divisor: 10}, integer(-1), 0, "none"},
		{"not there, unsigned", Conversion{NA: []float64{-1}, Signed: true}, unsigned(math.MaxUint32), 0, "none"},
		{"there", Conversion{NA: []float64{-1}}, integer(1), 0, "1"},
		{"text", Conversion{}, octets("21"), 0, "unusable"},
		{"text that says none", Conversion{NAText: []string{"N/A"}}, octets(" N/A\x00"), 0, "none"},
		{"parsed", Conversion{Parse: true}, octets("21.5 C"), 0, "21.5"},
		{"parsed with a comma", Conversion{Parse: true}, octets("+12,3 V"), 0, "12.3"},
		{"parsed negative", Conversion{Parse: true}, octets("T=-4.0"), 0, "-4"},
		{"a hyphen is no sign", Conversion{Parse: true}, octets("PSU-1"), 0, "1"},
		{"parsed with thousands", Conversion{Parse: true}, octets("1,234,567.50 kWh"), 0, "1.2345675e+06"},
		{"parsed without whole part", Conversion{Parse: true}, octets("-.5 dBm"), 0, "-0.5"},
		{"parsed none", Conversion{Parse: true, NA: []float64{-1}}, octets("-1 C"), 0, "none"},
		{"nothing to parse", Conversion{Parse: true}, octets("unknown"), 0, "unusable"},
		{"more digits than there can be", Conversion{Parse: true}, octets("99999999999999999999999"), 0, "unusable"},
		{"state", Conversion{States: map[int64]float64{2: 1, 3: 0.5}}, integer(3), 0, "0.5"},
		{"another state", Conversion{States: map[int64]float64{2: 1}}, unsigned(3), 0, "none"},
		{"ticks", Conversion{Ticks: true}, unsigned(12345), 0, "123.45"},
		{"a date", Conversion{Ticks: true}, octets("\x07\xb2\x01\x01\x00\x01\x00\x00"), 0, "60"},
		{"no date", Conversion{Ticks: true}, octets("\x00\x00\x00\x00\x00\x00\x00\x00"), 0, "none"},
	} {
		v, said := test.c.gauge(test.cell, test.shift)
		got := map[verdict]string{none: "none", unusable: "unusable"}[said]
		if said == number {
			got = showValue(v)
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestScaleShift(t *testing.T) {
	for _, test := range []struct {
		scale, precision Cell
		want             int
	}{
		{integer(9), integer(0), 0},
		{integer(8), integer(0), -3},
		{integer(9), integer(1), -1},
		{integer(10), integer(3), 0},
		{integer(1), integer(0), -24},
		{integer(17), integer(9), 15},
		{Cell{}, integer(2), -2},
		{integer(8), Cell{}, -3},
		{integer(0), integer(-3), 0},
		{integer(99), text("x"), 0},
	} {
		if got := scaleShift(test.scale, test.precision); got != test.want {
			t.Errorf("%+v and %+v: %d, want %d", test.scale, test.precision, got, test.want)
		}
	}
}

func TestCountConversion(t *testing.T) {
	for _, test := range []struct {
		c     Conversion
		delta uint64
		want  string
	}{
		{Conversion{}, math.MaxUint64, "18446744073709551615"},
		{Conversion{Multiplier: 1024}, 3, "3072"},
		{Conversion{Divisor: 10}, 215, "21.5"},
		{Conversion{Multiplier: 8}, math.MaxUint64, "1.4757395258967641e+20"},
	} {
		if v, ok := test.c.count(test.delta); !ok || showValue(v) != test.want {
			t.Errorf("%+v of %d: %s %v, want %s", test.c, test.delta, showValue(v), ok, test.want)
		}
	}
}

// FuzzConversion compares with exact fractions: the float is the one nearest
// to the true quotient of a power of ten, and never not a number.
func FuzzConversion(f *testing.F) {
	f.Add(int64(215), uint8(1), 0.0, "21,5 V")
	f.Add(int64(math.MinInt64), uint8(18), -273.15, "-1.2.3")
	f.Fuzz(func(t *testing.T, raw int64, power uint8, offset float64, text string) {
		c := Conversion{Divisor: math.Pow10(int(power % 19))}
		v, said := c.gauge(integer(raw), 0)
		if said != number {
			t.Fatalf("%d / %v gave no number", raw, c.Divisor)
		}
		divisor, _ := new(big.Int).SetString("1"+fmt.Sprintf("%0*d", int(power%19), 0)[:power%19], 10)
		want, _ := new(big.Rat).SetFrac(big.NewInt(raw), divisor).Float64()
		if raw > math.MinInt64 && v.Float64() != want {
			t.Fatalf("%d / %v is %v, not %v", raw, c.Divisor, want, v.Float64())
		}
		c.Offset = offset
		if v, said := c.gauge(integer(raw), 0); said == number && v.Check() != nil {
			t.Fatalf("%d / %v + %v is %v", raw, c.Divisor, offset, v.Float64())
		}
		if cell, ok := firstNumber(text); ok && cell.Kind == Real {
			if math.IsNaN(cell.Float) || math.IsInf(cell.Float, 0) {
				t.Fatalf("%q gave %v", text, cell.Float)
			}
			if again, ok := firstNumber(strconv.FormatFloat(cell.Float, 'f', -1, 64)); !ok || again != cell && len(text) < 15 {
				t.Fatalf("%q gave %+v and then %+v", text, cell, again)
			}
		}
	})
}
