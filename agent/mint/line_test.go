package mint

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

const noon = 1_767_225_600_000

func dims(pairs ...string) (d []probes.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
	}
	return d
}

func gauge(key string, v probes.Value, pairs ...string) probes.Point {
	return probes.Point{Series: probes.NewSeries(key, probes.Gauge, dims(pairs...)...), Value: v, Stamp: probes.Stamp{Wall: noon}}
}

func count(key string, v probes.Value, pairs ...string) probes.Point {
	return probes.Point{Series: probes.NewSeries(key, probes.Count, dims(pairs...)...), Value: v, Stamp: probes.Stamp{Wall: noon}}
}

func goldenPoints() []probes.Point {
	stats := probes.Summarize(probes.Summary{Min: -1.5, Max: 1e10, Sum: 3.25e21, Count: math.MaxInt64})
	return []probes.Point{
		gauge("temp", probes.Float(21.5)),
		gauge("com.example.if.speed", probes.Uint(math.MaxUint64), "device.address", "192.0.2.10", "if.name", "Gi0/1"),
		gauge("temp", probes.Int(math.MinInt64)),
		gauge("temp", probes.Float(1e10)),
		gauge("temp", probes.Float(-5e-324)),
		gauge("temp", probes.Float(math.MaxFloat64)),
		gauge("temp", probes.Float(0.1)),
		gauge("temp", probes.Float(1234567)),
		gauge("temp", stats, "site", "plant-7"),
		count("if.bytes_in.count", probes.Uint(18446744073709551615), "site", "plant-7"),
		count("if.bytes_in.count", probes.Float(0.5)),
		gauge("1.0abc", probes.Int(1)),
		gauge("Ab.a..b.-c.9d.", probes.Int(1)),
		gauge("läng ste!!Werte", probes.Int(1)),
		gauge("key", probes.Int(1), "descr", `Cisco IOS, "C2960" a=b C:\tmp`),
		gauge("key", probes.Int(1), "descr", "two\r\nlines\tand\x00\x01\x02 bytes\xff\xfeend"),
		gauge("key", probes.Int(1), "descr", "grün 温度 \U0001F321\u200d\u00ad!"),
		gauge("key", probes.Int(1), "descr", `\`, "empty", "", "...", "dots"),
		gauge("key", probes.Int(1), "descr", `ends in \\`, "next", " = "),
		gauge("key", probes.Int(1), "Site", "package", "site", "plant-7", "9x", "nine", "-_A:b.C-", "k"),
		gauge("key", probes.Int(1), "a b", "first", "a!b", "second"),
		gauge("key", probes.Int(1), "long", strings.Repeat("温", 100), strings.Repeat("k", 99)+".x", "cut key"),
	}
}

func TestGoldenLines(t *testing.T) {
	var lines strings.Builder
	for i, p := range goldenPoints() {
		line, err := AppendLine(nil, p)
		if err != nil {
			t.Fatalf("point %d: %v", i, err)
		}
		fmt.Fprintf(&lines, "%s\n", line)
	}
	name := filepath.Join("testdata", "lines.golden")
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, expected := strings.Split(lines.String(), "\n"), strings.Split(string(want), "\n")
	if len(got) != len(expected) {
		t.Fatalf("%d lines, golden file has %d", len(got), len(expected))
	}
	for i := range got {
		if got[i] != expected[i] {
			t.Errorf("line %d\n got %s\nwant %s", i+1, got[i], expected[i])
		}
	}
}

func TestMetricKey(t *testing.T) {
	for key, want := range map[string]string{
		"basecase": "basecase", "prefix.case": "prefix.case", "~0case": "_case", "case~~": "case_",
		"prefix. case": "prefix._case", "1-äbc": "_bc", "a.-9": "a._9", "a..b": "a.b", "a.": "a", "...": "", ".ab": "",
		"a!-b": "a_-b", "ab.ä.3": "ab._.3", "a b\xffc": "a_b_c", "A.B-": "A.B-", "-": "_", "": "",
	} {
		if got := string(AppendMetricKey(nil, key)); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func TestDimensionKey(t *testing.T) {
	for key, want := range map[string]string{
		"if.name": "if.name", "If.NAME": "if.name", "1a": "_a", ".a": "a", "...": "", "a..b.": "a.b", "a:b-c": "a:b-c",
		":a": "_a", "0": "_", "ä_ä": "___", "a b=c,d": "a_b_c_d",
		strings.Repeat("a", 120): strings.Repeat("a", 100), strings.Repeat("b", 99) + ".c": strings.Repeat("b", 99),
	} {
		if got := string(AppendDimensionKey(nil, key)); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func TestDimensionValue(t *testing.T) {
	long := strings.Repeat("a", 249)
	for value, want := range map[string]string{
		"plain": "plain", "a b": `a\ b`, "a\n\r\nb": "a_b", "\x00": "_", "\x7f": "_", "\u0085": "_", "a\xc3": "a_", "�": "�",
		long + "ä": long, long + "bc": long + "b", long + ",x": long + `\,`, long + "\n\nx": long + "_",
	} {
		if got := string(appendDimensionValue(nil, value)); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestRefusedPoints(t *testing.T) {
	many := make([]string, 0, 102)
	for i := range 51 {
		many = append(many, fmt.Sprintf("d%02d", i), "v")
	}
	early, late := gauge("key", probes.Int(1)), gauge("key", probes.Int(1))
	early.Stamp.Wall, late.Stamp.Wall = 1e11, 1e14+1
	for name, test := range map[string]struct {
		p    probes.Point
		want string
	}{
		"nan":            {gauge("key", probes.Float(math.NaN())), "finite"},
		"infinite":       {count("key", probes.Float(math.Inf(-1))), "finite"},
		"no value":       {gauge("key", probes.Value{}), "no number"},
		"count of stats": {count("key", probes.Summarize(probes.Summary{Count: 1})), "one delta"},
		"empty stats":    {gauge("key", probes.Summarize(probes.Summary{})), "without samples"},
		"huge count":     {gauge("key", probes.Summarize(probes.Summary{Count: math.MaxInt64 + 1})), "counted"},
		"short key":      {gauge("ab", probes.Int(1)), "fewer than 3"},
		"dot first":      {gauge(".abc", probes.Int(1)), "fewer than 3"},
		"long key":       {gauge(strings.Repeat("k", 251), probes.Int(1)), "longer than 250"},
		"reserved":       {gauge("dt.host.cpu", probes.Int(1)), "reserved"},
		"reserved later": {gauge("dt..host", probes.Int(1)), "reserved"},
		"51 dimensions":  {gauge("key", probes.Int(1), many...), "more than 50"},
		"1970":           {early, "clock"},
		"micros":         {late, "clock"},
		"no type":        {probes.Point{Series: probes.NewSeries("key", 0), Value: probes.Int(1), Stamp: probes.Stamp{Wall: noon}}, "neither"},
	} {
		line, err := AppendLine([]byte("before"), test.p)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
		if string(line) != "before" {
			t.Errorf("%s: dst came back as %q", name, line)
		}
	}
}

func TestFiftyDimensionsAndNoLineTooLong(t *testing.T) {
	var pairs []string
	for i := range maxDimensions {
		pairs = append(pairs, fmt.Sprintf("%s%03d", strings.Repeat("d", 97), i), strings.Repeat(" ", 300))
	}
	pairs = append(pairs, "empty", "", "..", "left out", strings.ToUpper(pairs[0]), "duplicate")
	f := -math.MaxFloat64
	p := gauge(strings.Repeat("k", 250), probes.Summarize(probes.Summary{Min: f, Max: f, Sum: f, Count: math.MaxInt64}), pairs...)
	p.Stamp.Wall = Last
	line, err := AppendLine(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(line), "="); n != maxDimensions+4 {
		t.Errorf("%d dimensions, want %d", n-4, maxDimensions)
	}
	if strings.Contains(string(line), "duplicate") {
		t.Error("the key in capitals won over the one written as it is sent")
	}
	if len(line) >= 31_000 {
		t.Errorf("longest line has %d characters", len(line))
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"", "key", "key gauge,1", "key gauge,1 ", "key  gauge,1 1767225600000", " gauge,1 1767225600000",
		"key 1 1767225600000", "key gauge,1 1767225600000 ", "key gauge,1 01767225600000", "key gauge,1 5",
		"key gauge,+1 1767225600000", "key gauge,1.0 1767225600000", "key gauge,1e+10 1767225600000",
		"key gauge,NaN 1767225600000", "key gauge,0x1 1767225600000", "key gauge,1e400 1767225600000",
		"key count,delta=1,2 1767225600000", "key count,1 1767225600000", "k!y gauge,1 1767225600000",
		"dt.key gauge,1 1767225600000", "key,A=b gauge,1 1767225600000", "key,a gauge,1 1767225600000",
		"key,a= gauge,1 1767225600000", `key,a=b\ gauge,1 1767225600000`, `key,a="b" gauge,1 1767225600000`,
		`key,a=\b gauge,1 1767225600000`, "key,b=1,a=2 gauge,1 1767225600000", "key,a=1,a=2 gauge,1 1767225600000",
		"key,a=b\t gauge,1 1767225600000", "key, gauge,1 1767225600000", `key,a=\`,
		"key gauge,min=1,max=2,sum=3 1767225600000", "key gauge,min=2,max=1,sum=3,count=2 1767225600000",
		"key gauge,min=1,max=2,sum=3,count=0 1767225600000", "key gauge,max=1,min=2,sum=3,count=1 1767225600000",
		"key gauge,min=1,max=2,sum=3,count=02 1767225600000", "#key gauge dt.meta.unit=x",
		"key,a=" + strings.Repeat("b", 251) + " gauge,1 1767225600000",
	} {
		if p, err := Parse(line); err == nil {
			t.Errorf("%q parsed as %+v", line, p)
		}
	}
}

// same holds two points equal by what a line can say: the form of a whole
// number is not part of it.
func same(a, b probes.Point) bool {
	return a.Series.ID() == b.Series.ID() && a.Stamp.Wall == b.Stamp.Wall && a.Value.Summary() == b.Value.Summary()
}

func FuzzParse(f *testing.F) {
	for _, p := range goldenPoints() {
		line, _ := AppendLine(nil, p)
		f.Add(string(line))
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := Parse(line)
		if err != nil {
			return
		}
		again, err := AppendLine(nil, p)
		if err != nil || string(again) != line {
			t.Fatalf("%q prints back as %q, %v", line, again, err)
		}
	})
}

func FuzzAppendLine(f *testing.F) {
	f.Add("key", "site", "plant 7", "If.Name", "a\n\xff,b", 21.5, int64(noon))
	f.Add("1.-a", "ä", strings.Repeat("温\\", 99), "..", "x", -1e300, First)
	f.Fuzz(func(t *testing.T, key, k1, v1, k2, v2 string, v float64, wall int64) {
		p := gauge(key, probes.Float(v), k1, v1, k2, v2)
		p.Stamp.Wall = wall
		line, err := AppendLine(nil, p)
		if err != nil {
			return
		}
		if !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r\t\x00") {
			t.Fatalf("%q is not one line of UTF-8", line)
		}
		q, err := Parse(string(line))
		if err != nil {
			t.Fatalf("%q does not parse: %v", line, err)
		}
		again, err := AppendLine(nil, q)
		if err != nil || string(again) != string(line) {
			t.Fatalf("%q, a second time %q, %v", line, again, err)
		}
		if third, _ := Parse(string(again)); !same(q, third) || q.Value.Float64() != v {
			t.Fatalf("%q: point %+v, then %+v, value was %v", line, q, third, v)
		}
	})
}

func port(i int) probes.Point {
	return count("com.dynatrace.extension.network_device.if.bytes_in.count", probes.Uint(uint64(i)*7919),
		"device.address", "192.0.2.10", "device.name", "core-switch-1.plant-7.example", "device.port", "161",
		"if.name", fmt.Sprintf("GigabitEthernet1/0/%d", i), "mac.address", "00:53:00:12:34:56", "site", "plant-7")
}

func TestNoAllocationPerLine(t *testing.T) {
	odd := gauge("läng ste", probes.Float(1e10), "IfName", "two\nlines", "ifName", `a\b`)
	plain := port(1)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		buf, _ = AppendLine(buf[:0], plain)
		buf, _ = AppendLine(buf, odd)
	}); n != 0 {
		t.Errorf("%v allocations for two lines", n)
	}
}

func BenchmarkAppendLine(b *testing.B) {
	points := make([]probes.Point, 1000)
	for i := range points {
		points[i] = port(i)
	}
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		buf = buf[:0]
		for _, p := range points {
			buf, _ = AppendLine(buf, p)
			buf = append(buf, '\n')
		}
		lines += len(points)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(len(buf))/float64(len(points)), "B/line")
}

func BenchmarkParse(b *testing.B) {
	line, _ := AppendLine(nil, port(3))
	text := string(line)
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
