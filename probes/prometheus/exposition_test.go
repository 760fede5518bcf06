package prometheus

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// all wants every sample.
type all struct{}

func (all) Has([]byte) bool { return true }

// only wants the samples of some names.
type only []string

func (o only) Has(name []byte) bool { return slices.Contains(o, string(name)) }

// render writes samples as an exporter would.
func render(samples []plan.Sample, open bool) string {
	var b strings.Builder
	escape := strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)
	for _, s := range samples {
		var parts []string
		name := s.Name
		if !isPlain(name) {
			parts, name = append(parts, `"`+escape.Replace(name)+`"`), ""
		}
		for _, l := range s.Labels {
			key := l.Key
			if !isPlain(key) || strings.Contains(key, ":") {
				key = `"` + escape.Replace(key) + `"`
			}
			parts = append(parts, key+`="`+escape.Replace(l.Value)+`"`)
		}
		b.WriteString(name)
		if len(parts) > 0 {
			b.WriteString("{" + strings.Join(parts, ",") + "}")
		}
		b.WriteString(" " + strconv.FormatFloat(s.Value, 'g', -1, 64) + "\n")
	}
	if open {
		b.WriteString("# EOF\n")
	}
	return b.String()
}

func isPlain(name string) bool {
	for i := range len(name) {
		if !isName(name[i], i == 0) {
			return false
		}
	}
	return name != ""
}

func sample(value float64, name string, labels ...string) plan.Sample {
	s := plan.Sample{Name: name, Value: value}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, probes.Dimension{Key: labels[i], Value: labels[i+1]})
	}
	return s
}

func equalSamples(a, b []plan.Sample) bool {
	return slices.EqualFunc(a, b, func(x, y plan.Sample) bool {
		same := x.Value == y.Value || math.IsNaN(x.Value) && math.IsNaN(y.Value)
		return same && x.Name == y.Name && slices.Equal(x.Labels, y.Labels)
	})
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		line      string
		want      plan.Sample
		open, bad bool
	}{
		{line: "up 1", want: sample(1, "up")},
		{line: "up\t1\t1700000000000", want: sample(1, "up")},
		{line: "up   -1.5e-3  -1", want: sample(-0.0015, "up")},
		{line: `a:b_c{} +Inf`, want: sample(math.Inf(1), "a:b_c")},
		{line: `x{ le = "0.1" , code="200", } 3`, want: sample(3, "x", "code", "200", "le", "0.1")},
		{line: `x{a="q\"b\\s\nn\t",empty=""}NaN`, want: sample(math.NaN(), "x", "a", "q\"b\\s\nn\\t")},
		{line: `x{a="{},= #"} 0 12`, want: sample(0, "x", "a", "{},= #")},
		{line: "x{a=\"\xff\"} 0", want: sample(0, "x", "a", "\uFFFD")},
		{line: `{"name.with dots","label.x"="1",b="2"} 7`, want: sample(7, "name.with dots", "b", "2", "label.x", "1")},
		{line: "x 1e999", want: sample(math.Inf(1), "x")},
		{line: `c_total{a="b"} 17 1.7e9 # {trace_id="x"} 0.67 1.6e9`, want: sample(17, "c_total", "a", "b"), open: true},
		{line: `c_total 17 # {trace_id="x"} 0.67`, want: sample(17, "c_total"), open: true},
		{line: "x 1 1700000000.5", want: sample(1, "x"), open: true},
		{line: "x 1 1700000000.5", bad: true},
		{line: `c_total 17 # {trace_id="x"} 0.67`, bad: true},
		{line: "x", bad: true},
		{line: "x ", bad: true},
		{line: "x{} ", bad: true},
		{line: `x{a="b"`, bad: true},
		{line: `x{a="b} 1`, bad: true},
		{line: `x{a="b" c="d"} 1`, bad: true},
		{line: `x{a=b} 1`, bad: true},
		{line: `x{a} 1`, bad: true},
		{line: `x{a:b="c"} 1`, bad: true},
		{line: `x{a="1",a="2"} 1`, bad: true},
		{line: `x{,} 1`, bad: true},
		{line: "x 0x10", bad: true},
		{line: "x 1_000", bad: true},
		{line: "x one", bad: true},
		{line: "x 1 2 3", bad: true},
		{line: "1x 1", bad: true},
		{line: "<html>", bad: true},
		{line: `{a="b"} 1`, bad: true},
	} {
		got, err := parseSample(tt.line, tt.open)
		if (err != nil) != tt.bad || !tt.bad && !equalSamples([]plan.Sample{got}, []plan.Sample{tt.want}) {
			t.Errorf("%q: %+v, %v; want %+v", tt.line, got, err, tt.want)
		}
	}
}

func TestExpositions(t *testing.T) {
	long := "x{a=\"" + strings.Repeat("y", maxLine) + "\"} 1\n"
	for _, tt := range []struct {
		name, text string
		open       bool
		want       []plan.Sample
		bad        int
		err        error
	}{
		{name: "empty"},
		{name: "text", text: "# HELP x help\n# TYPE x gauge\n\nx 1\r\n y 2 \nz 3", want: []plan.Sample{sample(1, "x"), sample(2, "y")}},
		{name: "no line end", text: "x 1", want: []plan.Sample{sample(1, "x")}},
		{name: "bad lines between", text: "x{ 1\nx 2\n%%%\n", want: []plan.Sample{sample(2, "x")}, bad: 2},
		{name: "a bad line of another name", text: "z{ 1\nx 2\n", want: []plan.Sample{sample(2, "x")}},
		{name: "a long line", text: long + "x 2\n", want: []plan.Sample{sample(2, "x")}, bad: 1},
		{name: "a long line at the end", text: "x 2\n" + long[:len(long)-1], want: []plan.Sample{sample(2, "x")}, bad: 1},
		{name: "openmetrics", text: "x 1\n# EOF\nx 2\n", open: true, want: []plan.Sample{sample(1, "x")}},
		{name: "openmetrics cut", text: "x 1\n", open: true, want: []plan.Sample{sample(1, "x")}, err: errNoEnd},
		{name: "EOF is a comment in text", text: "x 1\n# EOF\nx 2\n", want: []plan.Sample{sample(1, "x"), sample(2, "x")}},
	} {
		x := exposition{open: tt.open, names: only{"x", "y"}}
		if err := x.read(t.Context(), strings.NewReader(tt.text)); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if !equalSamples(x.samples, tt.want) || x.malformed != tt.bad || (x.first == "") != (tt.bad == 0) {
			t.Errorf("%s: %+v, %d bad (%s); want %+v, %d bad", tt.name, x.samples, x.malformed, x.first, tt.want, tt.bad)
		}
	}
}

// endless gives one line again and again.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		done := copy(b[n:], e.line[e.at:])
		n, e.at = n+done, (e.at+done)%len(e.line)
	}
	return len(b), nil
}

func TestExpositionsAreBounded(t *testing.T) {
	x := exposition{names: only{"x"}}
	if err := x.read(t.Context(), &endless{line: "x 1\n"}); !errors.Is(err, errTooMany) || len(x.samples) != maxSamples {
		t.Errorf("%d samples, %v", len(x.samples), err)
	}
	x = exposition{names: only{"x"}}
	if err := x.read(t.Context(), &endless{line: "y{a=\"" + strings.Repeat("z", 30_000) + "\"} 1\n"}); !errors.Is(err, errBodyTooLong) || len(x.samples) != 0 {
		t.Errorf("%d samples, %v", len(x.samples), err)
	}
}

// What parses renders and parses to the same samples, in both formats.
func FuzzExposition(f *testing.F) {
	for _, text := range []string{
		"# TYPE a counter\na_total{x=\"1\"} 2 3\n# EOF\n",
		"x{a=\"q\\\"b\\\\s\\nn\\t\",empty=\"\",} NaN\n",
		"{\"dotted.name\",\"l.x\"=\"\\\\\"} -Inf\nx 1e-320 # {t=\"1\"} 2\n",
		"a{le=\"+Inf\"} 1_0\nb 0x1p-2\n\xff\xfe{} 1\n",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, open bool) {
		first := exposition{open: open, names: all{}}
		_ = first.read(t.Context(), strings.NewReader(text)) // what it kept counts
		for _, s := range first.samples {
			if s.Name == "" || !slices.IsSortedFunc(s.Labels, func(a, b probes.Dimension) int { return strings.Compare(a.Key, b.Key) }) {
				t.Fatalf("%+v", s)
			}
		}
		for _, form := range []bool{open, !open} {
			again := exposition{open: form, names: all{}}
			rendered := render(first.samples, form)
			if err := again.read(t.Context(), strings.NewReader(rendered)); err != nil || again.malformed > 0 {
				t.Fatalf("%q: %v, %s", rendered, err, again.first)
			}
			if !equalSamples(first.samples, again.samples) {
				t.Fatalf("%q became %+v, was %+v", rendered, again.samples, first.samples)
			}
		}
	})
}

func BenchmarkExposition(b *testing.B) {
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "node_cpu_seconds_total{cpu=\"%d\",mode=\"idle\"} %d.5\n", i, i)
	}
	for b.Loop() {
		x := exposition{names: all{}}
		if x.read(b.Context(), strings.NewReader(text.String())) != nil || len(x.samples) != 2000 {
			b.Fatal("not read")
		}
	}
	b.SetBytes(int64(text.Len()))
}
