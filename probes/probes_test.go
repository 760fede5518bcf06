package probes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func dim(k, v string) Dimension { return Dimension{Key: k, Value: v} }

func TestSeriesSortsAndKeepsTheFirstOfAKey(t *testing.T) {
	s := NewSeries("m", Gauge, dim("b", "explicit"), dim("a", "1"), dim("b", "implicit"), dim("c", ""), dim("", "x"))
	want := []Dimension{dim("a", "1"), dim("b", "explicit")}
	if !slices.Equal(s.Dims(), want) {
		t.Errorf("dims = %v, want %v", s.Dims(), want)
	}
	if s.Dim("b") != "explicit" || s.Dim("zz") != "" {
		t.Errorf("Dim: %q, %q", s.Dim("b"), s.Dim("zz"))
	}
}

func TestSeriesIDsDiffer(t *testing.T) {
	all := []*Series{
		NewSeries("m", Gauge),
		NewSeries("m", Count),
		NewSeries("m", Gauge, dim("a", "b")),
		NewSeries("m", Gauge, dim("a", "bc")),
		NewSeries("m", Gauge, dim("ab", "c")),
		NewSeries("ma", Gauge, dim("b", "c")),
		NewSeries("m", Gauge, dim("a", "b"), dim("c", "d")),
		NewSeries("m", Gauge, dim("a", "b\x01cd")),
		NewSeries("m", Gauge, dim("a", strings.Repeat("x", 200))),
	}
	seen := map[[16]byte]int{}
	for i, s := range all {
		if j, ok := seen[s.ID()]; ok {
			t.Errorf("series %d and %d share an id", i, j)
		}
		seen[s.ID()] = i
	}
	if NewSeries("m", Gauge, dim("a", "1"), dim("b", "2")).ID() != NewSeries("m", Gauge, dim("b", "2"), dim("a", "1")).ID() {
		t.Error("the order of dimensions changes the id")
	}
}

func TestValueIsExactAndChecked(t *testing.T) {
	if v := Uint(math.MaxUint64); v.Uint64() != math.MaxUint64 {
		t.Errorf("uint64 lost bits: %d", v.Uint64())
	}
	if v := Int(math.MinInt64); v.Int64() != math.MinInt64 {
		t.Errorf("int64 lost bits: %d", v.Int64())
	}
	for _, c := range []struct {
		name string
		v    Value
		ok   bool
	}{
		{"zero value", Value{}, false},
		{"float", Float(21.7), true},
		{"nan", Float(math.NaN()), false},
		{"infinity", Float(math.Inf(-1)), false},
		{"summary", Summarize(Summary{Min: 1, Max: 2, Sum: 3, Count: 2}), true},
		{"summary without samples", Summarize(Summary{}), false},
		{"summary upside down", Summarize(Summary{Min: 3, Max: 2, Sum: 5, Count: 2}), false},
		{"summary with nan", Summarize(Summary{Min: math.NaN(), Max: 2, Sum: 5, Count: 2}), false},
	} {
		if err := c.v.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFold(t *testing.T) {
	g, c := NewSeries("g", Gauge), NewSeries("c", Count)
	early, late := Stamp{Wall: 1}, Stamp{Wall: 2}
	in := []Point{
		{g, Int(4), early},
		{c, Uint(math.MaxUint64 - 5), early},
		{g, Float(1.5), early},
		{c, Uint(5), early},
		{g, Int(9), late},
	}
	out, taken := Fold(in)
	if taken != 2 || len(out) != 3 {
		t.Fatalf("%d points, %d taken in: %v", len(out), taken, out)
	}
	if got := out[0].Value.Summary(); got != (Summary{Min: 1.5, Max: 4, Sum: 5.5, Count: 2}) {
		t.Errorf("gauges folded to %+v", got)
	}
	if got := out[1].Value; !got.Equal(Uint(math.MaxUint64)) {
		t.Errorf("deltas added up to %d", got.Uint64())
	}
	if !out[2].Value.Equal(Int(9)) {
		t.Error("a point of another stamp was folded")
	}
}

func TestStatus(t *testing.T) {
	wrapped := fmt.Errorf("poll: %w", WithStatus(StatusAuthenticationError, errors.New("refused")))
	if s := StatusOf(wrapped); s != StatusAuthenticationError {
		t.Errorf("StatusOf(wrapped) = %s", s)
	}
	if StatusOf(nil) != StatusOK || StatusOf(errors.New("x")) != StatusGenericError || WithStatus(StatusOK, nil) != nil {
		t.Error("plain errors have the wrong status")
	}
	for _, c := range []struct {
		in   []Status
		want Status
	}{
		{nil, StatusPending},
		{[]Status{StatusPending, ""}, StatusPending},
		{[]Status{StatusOK, StatusPending}, StatusOK},
		{[]Status{StatusOK, StatusDeviceConnectionError}, StatusWarning},
		{[]Status{StatusWarning}, StatusWarning},
		{[]Status{StatusGenericError, StatusAuthenticationError}, StatusGenericError},
	} {
		if got := SummarizeStatus(c.in); got != c.want {
			t.Errorf("SummarizeStatus(%v) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestSecretHidesItself(t *testing.T) {
	const canary = "canary-7f31"
	type holder struct {
		Name  string
		Inner struct{ Community Secret }
		deep  struct{ community Secret }
	}
	h := holder{Name: "x"}
	h.deep.community = NewSecret(canary)
	h.Inner.Community = NewSecret(canary)
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(asJSON), h.Inner.Community.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, h.Inner.Community))
	}
	shown = append(shown, fmt.Errorf("bad: %w", fmt.Errorf("%v", h)).Error())
	hex := fmt.Sprintf("%x", canary)
	for _, s := range shown {
		if strings.Contains(s, canary) || strings.Contains(s, hex) {
			t.Errorf("a secret shows in %q", s)
		}
	}
	if h.Inner.Community.Reveal() != canary {
		t.Error("Reveal lost the text")
	}
}

func TestDurationAndSize(t *testing.T) {
	for in, want := range map[string]time.Duration{"10s": 10 * time.Second, "1m30s": 90 * time.Second, "7d": 168 * time.Hour, "1.5d": 36 * time.Hour, "2w": 336 * time.Hour, "0": 0} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.Std() != want {
			t.Errorf("%q = %v, %v; want %v", in, d, err, want)
		}
	}
	for _, in := range []string{"", "10", "ten seconds", "d", "1e300d", "NaNd"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was taken for %v", in, d)
		}
	}
	for in, want := range map[string]Size{"1GiB": 1 << 30, "256MiB": 256 << 20, "10MB": 10e6, "1.5 KiB": 1536, "512": 512, "512B": 512} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%q = %d, %v; want %d", in, s, err, want)
		}
		var back Size
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s {
			t.Errorf("%q printed as %q reads as %d, %v", in, s.String(), back, err)
		}
	}
	for _, in := range []string{"", "-1MiB", "GiB", "1TiBB", "1e30GiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was taken for %d", in, s)
		}
	}
}

// Series that share their dimensions are those that each would be alone.
func TestSharedDimensions(t *testing.T) {
	dims := []Dimension{{"z", "1"}, {"a", "2"}, {"", "x"}, {"b", ""}, {"a", "3"}}
	shared := NewDimensions(dims...)
	for _, key := range []string{"one", "two"} {
		s, alone := NewSeriesOf(key, Count, shared), NewSeries(key, Count, dims...)
		if s.ID() != alone.ID() || !slices.Equal(s.Dims(), alone.Dims()) || s.Key() != key || s.Size() != alone.Size() || s.Dim("a") != "2" {
			t.Errorf("%v is not %v", s.Dims(), alone.Dims())
		}
	}
}
