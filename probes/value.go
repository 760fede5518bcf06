package probes

import (
	"fmt"
	"math"
)

// Form says how a Value is held. It is kept beside the number so that no
// 64-bit counter loses bits in a float.
type Form uint8

// The forms of a value.
const (
	FormFloat   Form = 1
	FormInt     Form = 2
	FormUint    Form = 3
	FormSummary Form = 4
)

// Summary is the statistics form of a gauge.
type Summary struct {
	Min, Max, Sum float64
	Count         uint64
}

// Value is one number, or one Summary. The zero Value is not valid.
type Value struct {
	bits    uint64
	summary *Summary
	form    Form
}

// Float makes a value of a float.
func Float(f float64) Value { return Value{bits: math.Float64bits(f), form: FormFloat} }

// Int makes a value of a signed integer.
func Int(i int64) Value { return Value{bits: uint64(i), form: FormInt} }

// Uint makes a value of an unsigned integer.
func Uint(u uint64) Value { return Value{bits: u, form: FormUint} }

// Summarize makes a value of statistics.
func Summarize(s Summary) Value { return Value{summary: &s, form: FormSummary} }

// SummarizeAt makes a value of statistics that stay the caller's: they must
// not change while the value is in use. It needs no memory of its own.
func SummarizeAt(s *Summary) Value { return Value{summary: s, form: FormSummary} }

// Form tells how the value is held, 0 for the zero Value.
func (v Value) Form() Form { return v.form }

// Int64 is the number of a FormInt value.
func (v Value) Int64() int64 { return int64(v.bits) }

// Uint64 is the number of a FormUint value.
func (v Value) Uint64() uint64 { return v.bits }

// Float64 is the value as a float, rounded where an integer has more than 53
// bits; of a Summary it is the mean.
func (v Value) Float64() float64 {
	switch v.form {
	case FormFloat:
		return math.Float64frombits(v.bits)
	case FormInt:
		return float64(int64(v.bits))
	case FormUint:
		return float64(v.bits)
	case FormSummary:
		return v.summary.Sum / float64(v.summary.Count)
	}
	return math.NaN()
}

// Summary gives the value as statistics: itself, or one sample.
func (v Value) Summary() Summary {
	if v.form == FormSummary {
		return *v.summary
	}
	f := v.Float64()
	return Summary{Min: f, Max: f, Sum: f, Count: 1}
}

// Equal reports whether both hold the same number in the same form.
func (v Value) Equal(o Value) bool {
	if v.form != o.form || v.form != FormSummary {
		return v.form == o.form && v.bits == o.bits
	}
	return *v.summary == *o.summary
}

// Check refuses what no endpoint takes: NaN, infinities, statistics without
// samples or out of order, and the zero Value.
func (v Value) Check() error {
	switch v.form {
	case FormInt, FormUint:
		return nil
	case FormFloat:
		return finite(v.Float64())
	case FormSummary:
		return v.summary.check()
	}
	return fmt.Errorf("value has no number")
}

func (s Summary) check() error {
	for _, f := range []float64{s.Min, s.Max, s.Sum} {
		if err := finite(f); err != nil {
			return err
		}
	}
	if s.Count == 0 {
		return fmt.Errorf("statistics without samples")
	}
	if s.Min > s.Max {
		return fmt.Errorf("statistics with min %v above max %v", s.Min, s.Max)
	}
	return nil
}

func finite(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("value %v is not a finite number", f)
	}
	return nil
}
