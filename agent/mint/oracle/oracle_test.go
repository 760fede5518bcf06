package oracle

import (
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dynatrace-oss/dynatrace-metric-utils-go/metric"
	"github.com/dynatrace-oss/dynatrace-metric-utils-go/metric/dimensions"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the library logs each dimension it skips
	os.Exit(m.Run())
}

// library gives the line of Dynatrace's library for p.
func library(p probes.Point) (string, error) {
	var list []dimensions.Dimension
	for _, d := range p.Series.Dims() {
		list = append(list, dimensions.NewDimension(d.Key, d.Value))
	}
	m, err := metric.NewMetric(p.Series.Key(),
		metric.WithDimensions(dimensions.MergeLists(dimensions.NewNormalizedDimensionList(list...))),
		metric.WithTimestamp(p.Stamp.Time()), libraryValue(p))
	if err != nil {
		return "", err
	}
	return m.Serialize()
}

func libraryValue(p probes.Point) metric.MetricOption {
	v, isCount := p.Value, p.Series.Type() == probes.Count
	switch {
	case v.Form() == probes.FormSummary:
		s := v.Summary()
		return metric.WithFloatSummaryValue(s.Min, s.Max, s.Sum, int64(s.Count))
	case v.Form() == probes.FormInt && isCount:
		return metric.WithIntCounterValueDelta(v.Int64())
	case v.Form() == probes.FormInt:
		return metric.WithIntGaugeValue(v.Int64())
	case isCount:
		return metric.WithFloatCounterValueDelta(v.Float64())
	}
	return metric.WithFloatGaugeValue(v.Float64())
}

// parts is a line taken to pieces, since the library's order of dimensions is
// random.
type parts struct {
	key, tail string            // tail: payload and timestamp
	dims      map[string]string // values as they stand in the line
}

func split(line string) (p parts) {
	p.dims = map[string]string{}
	var pieces []string
	start, end := 0, len(line)
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ',':
			pieces = append(pieces, line[start:i])
			start = i + 1
		case ' ':
			end = i
		}
		if end != len(line) {
			break
		}
	}
	pieces = append(pieces, line[start:end])
	p.key, p.tail = pieces[0], line[end:]
	for _, piece := range pieces[1:] {
		key, value, _ := strings.Cut(piece, "=")
		p.dims[key] = value
	}
	return p
}

// The known differences, each by name. The first two are taken out of the point
// that the library is given, so that the rest must be equal to the byte.
const (
	allowBytes = "bytes that are not UTF-8 pass the library; ours become an underscore, as control characters do"
	allowTwins = "of keys that are equal after normalising the library keeps the last; we the one written so, else the first"
	allowCut   = "the library cuts values at 250 in bytes, and once more after escaping; ours are cut on rune borders and before"
)

// adjust gives the point for which the library should write our line.
func adjust(p probes.Point) (q probes.Point, used []string) {
	var kept []probes.Dimension
	at := map[string]int{}
	for _, d := range p.Series.Dims() {
		key := soleKey(d.Key)
		i, twin := at[key]
		switch {
		case !twin:
			at[key] = len(kept)
			kept = append(kept, d)
		case d.Key == key:
			kept[i] = d
		}
		if twin && key != "" {
			used = append(used, allowTwins)
		}
	}
	for i, d := range kept {
		if !utf8.ValidString(d.Value) {
			kept[i].Value = controlled(d.Value)
			used = append(used, allowBytes)
		}
	}
	return probes.Point{Series: probes.NewSeries(p.Series.Key(), p.Series.Type(), kept...), Value: p.Value, Stamp: p.Stamp}, used
}

// controlled puts a control character for each byte that is not UTF-8.
func controlled(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			b.WriteByte(0)
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// allowLength makes those values equal that differ in where they were cut.
func allowLength(p probes.Point, ours, theirs parts) (used []string) {
	for _, d := range p.Series.Dims() {
		key := soleKey(d.Key)
		our, their := ours.dims[key], theirs.dims[key]
		tooLong := len(d.Value) > 250 || len(our) > 250
		common := trimRune(strings.TrimRight(their, `\`))
		if our != their && tooLong && len(unescape(our)) <= 250 && strings.HasPrefix(our, common) {
			theirs.dims[key] = our
			used = append(used, allowCut)
		}
	}
	return used
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// soleKey is a dimension's key as the library alone would write it.
func soleKey(key string) string {
	list := dimensions.NewNormalizedDimensionList(dimensions.NewDimension(key, "v"))
	return list.Format(func(d []dimensions.Dimension) string {
		if len(d) == 0 {
			return ""
		}
		return d[0].Key
	})
}

// trimRune takes off a rune that was cut in two.
func trimRune(s string) string {
	for len(s) > 0 {
		r, size := utf8.DecodeLastRuneInString(s)
		if r != utf8.RuneError || size > 1 {
			return s
		}
		s = s[:len(s)-1]
	}
	return s
}

const refused = "refused by us"

// stricter are the reasons for which we refuse what the library writes.
var stricter = []string{
	"fewer than 3 characters", // the library has no minimum
	"reserved for Dynatrace",  // nor does it know the reserved prefix
	"longer than 250",         // it cuts the key, so that two series may become one
	"more than 50 dimensions", // it does not count
	"was the clock set",       // it leaves the timestamp out, so that the server puts its own
	"one delta",
}

// compare fails where the lines differ and no allowance says why. It returns
// the names of those that were used.
func compare(t *testing.T, p probes.Point) (used []string) {
	t.Helper()
	adjusted, used := adjust(p)
	line, err := mint.AppendLine(nil, p)
	want, wantErr := library(adjusted)
	if err != nil {
		known := wantErr != nil || slices.ContainsFunc(stricter, func(s string) bool { return strings.Contains(err.Error(), s) })
		if !known {
			t.Errorf("%q %+v: we refuse (%v), the library writes %q", p.Series.ID(), p.Value, err, want)
		}
		return []string{refused}
	}
	if wantErr != nil {
		t.Errorf("%q: we write %q, the library refuses: %v", p.Series.ID(), line, wantErr)
		return nil
	}
	ours, theirs := split(string(line)), split(want)
	used = append(used, allowLength(adjusted, ours, theirs)...)
	if ours.key != theirs.key || ours.tail != theirs.tail || !maps.Equal(ours.dims, theirs.dims) {
		t.Errorf("lines differ\n   ours %q\nlibrary %q", line, want)
	}
	return used
}

func point(key string, t probes.Type, v probes.Value, pairs ...string) probes.Point {
	var list []probes.Dimension
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
	}
	return probes.Point{Series: probes.NewSeries(key, t, list...), Value: v, Stamp: probes.Stamp{Wall: 1_767_225_600_123}}
}

// TestExact compares cases that need no allowance at all.
func TestExact(t *testing.T) {
	keys := []string{
		"basecase", "just.a.normal.key", "~0something", "some~thing", "some~ä#thing", "a..b", "a.....b", "asd", ".", ".a", "a.",
		"...b", "1abc", "abc.1", "a.-b", "a._b", "-abc", "_abc", "abc-", "abc---", "ABC", "a b", "a  b", "a,,,b  c=d\\e\\ =,f",
		"a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p:q;r<s=t>u?v@w[x]y\\z^0 1_2;3{4|5}6~7", "a.b.", "0000", "_.._", "ä.ö.ü", "\xff\xfe.a",
	}
	dimKeys := []string{
		"dim", "Dim", "dIM", "äABC", "!@#case", "case!@#", "-dim", "---dim", ":dim", "~@#ä", "aaa___", "000", "dim.0dim", "dim.~val",
		"dim._val", "a..b", ".a", ".a.", "a...", " a b ", "a:b.c", "a,,,b  c=d\\e\\ =,f", strings.Repeat("a", 120), "ä_ätag",
	}
	values := []string{
		"it-preserves_our.value", "Case", "a b", "=, \\\"", "\\", "\\\\", "a\nb", "\x01\x02ab\x7f", "\u200e\u00a0\u2028", "温度",
		"\u0000a\u0007", "\ue000", "\u0378", strings.Repeat("a", 270), "�", "a\u0301", "\U0001F468\u200d\U0001F469",
	}
	for _, key := range keys {
		compareExactly(t, point(key, probes.Gauge, probes.Int(1), "site", "plant"))
	}
	for _, key := range dimKeys {
		compareExactly(t, point("key", probes.Gauge, probes.Int(1), key, "v"))
	}
	for _, value := range values {
		compareExactly(t, point("key", probes.Gauge, probes.Int(1), "dim", value, "other", "x"))
	}
	for _, f := range []float64{0, 1, -1, 0.1, 1e6, 1e8, 1e10, 1.5e300, -5e-324, 1e-5, 123456789, math.MaxFloat64, math.Copysign(0, -1)} {
		compareExactly(t, point("key", probes.Gauge, probes.Float(f)))
		compareExactly(t, point("key", probes.Count, probes.Float(f)))
		compareExactly(t, point("key", probes.Gauge, probes.Summarize(probes.Summary{Min: f, Max: f, Sum: f, Count: 3})))
	}
	for _, i := range []int64{0, 1, -1, math.MaxInt64, math.MinInt64} {
		compareExactly(t, point("key", probes.Gauge, probes.Int(i)))
		compareExactly(t, point("key", probes.Count, probes.Int(i)))
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		compareExactly(t, point("key", probes.Gauge, probes.Float(f)))
	}
}

func compareExactly(t *testing.T, p probes.Point) {
	t.Helper()
	for _, name := range compare(t, p) {
		if name != refused {
			t.Errorf("%q needed an allowance: %s", p.Series.ID(), name)
		}
	}
}

// TestRandom compares random points, made of the characters that matter, and
// shows how often each allowance was needed.
func TestRandom(t *testing.T) {
	const n = 60_000
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	used := map[string]int{}
	for range n {
		for _, name := range compare(t, randomPoint(r)) {
			used[name]++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for name, times := range used {
		t.Logf("%6d of %d: %s", times, n, name)
	}
	if used[refused] > n/2 {
		t.Errorf("%d of %d points were refused: the test compares too little", used[refused], n)
	}
	for _, name := range []string{allowBytes, allowTwins, allowCut} {
		if used[name] == 0 || used[name] > n/2 {
			t.Errorf("used %d times: %s", used[name], name)
		}
	}
}

func randomPoint(r *rand.Rand) probes.Point {
	var pairs []string
	for range r.IntN(6) {
		pairs = append(pairs, text(r, 6), text(r, 12))
		if r.IntN(20) == 0 {
			pairs[len(pairs)-1] = text(r, 320)
		}
	}
	typ := probes.Gauge
	if r.IntN(2) == 0 {
		typ = probes.Count
	}
	return point("k"+text(r, 12), typ, randomValue(r, typ), pairs...)
}

func randomValue(r *rand.Rand, typ probes.Type) probes.Value {
	f := math.Float64frombits(r.Uint64())
	switch r.IntN(4) {
	case 0:
		return probes.Int(int64(r.Uint64()))
	case 1:
		return probes.Float(float64(r.IntN(1000)) * math.Pow10(r.IntN(40)-20))
	case 2:
		if typ == probes.Gauge {
			return probes.Summarize(probes.Summary{Min: f, Max: f + 1, Sum: f, Count: r.Uint64() >> 1})
		}
	}
	return probes.Float(f)
}

var alphabet = []string{
	"a", "b", "Z", "K", "0", "9", ".", ".", "-", "_", ":", " ", ",", "=", `"`, `\`, "\n", "\x00", "ä", "温", "\u200d", "\U0001F321",
	"\u00a0", "~", "/",
}

func text(r *rand.Rand, longest int) string {
	var b strings.Builder
	for range 1 + r.IntN(longest) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	if r.IntN(20) == 0 {
		b.WriteString("\xc3\xff")
	}
	return b.String()
}

// TestKelvin names the one letter that the library lowers into ASCII and we do not.
func TestKelvin(t *testing.T) {
	p := point("key", probes.Gauge, probes.Int(1), "\u212a", "v")
	ours, _ := mint.AppendLine(nil, p)
	theirs, _ := library(p)
	if got := fmt.Sprintf("%s | %s", ours, theirs); got != "key,_=v gauge,1 1767225600123 | key,k=v gauge,1 1767225600123" {
		t.Error(got)
	}
}
