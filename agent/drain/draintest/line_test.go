package draintest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const stamp = " 1700000000000"

func TestParseLineTakes(t *testing.T) {
	long := strings.Repeat("ä", maxValuePoints)
	for _, c := range []struct{ line, canonical string }{
		{"cpu.load 5" + stamp, "cpu.load gauge,5" + stamp},
		{"cpu.load gauge,5" + stamp, "cpu.load gauge,5" + stamp},
		{"cpu.load -0.5" + stamp, "cpu.load gauge,-0.5" + stamp},
		{"cpu.load 1.0e+08" + stamp, "cpu.load gauge,1.0e+08" + stamp},
		{"cpu.load 1.5E-3" + stamp, "cpu.load gauge,1.5E-3" + stamp},
		{"a_b-c.1d._e gauge,min=1,max=2.5,sum=3.5,count=2" + stamp, "a_b-c.1d._e gauge,min=1,max=2.5,sum=3.5,count=2" + stamp},
		{"Net.in count,delta=18446744073709551615" + stamp, "Net.in count,delta=18446744073709551615" + stamp},
		{"net,b=2,a=1 count,delta=1" + stamp, `net,a="1",b="2" count,delta=1` + stamp},
		{`net,a="x, =\"y\\" 1` + stamp, `net,a="x, =\"y\\" gauge,1` + stamp},
		{`net,a=x\,\ \=\"y\\ 1` + stamp, `net,a="x, =\"y\\" gauge,1` + stamp},
		{`net,a.b:c-d_e=é,_f=1 1` + stamp, `net,_f="1",a.b:c-d_e="é" gauge,1` + stamp},
		{"net,dt.entity.host=HOST-1 1" + stamp, `net,dt.entity.host="HOST-1" gauge,1` + stamp},
		{"net,a=" + long + " 1" + stamp, `net,a="` + long + `" gauge,1` + stamp},
		{"dtx 1" + stamp, "dtx gauge,1" + stamp},
		{"k" + strings.Repeat("x", maxKey-1) + " 1 1", "k" + strings.Repeat("x", maxKey-1) + " gauge,1 1"},
	} {
		l, err := ParseLine(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if got := l.String(); got != c.canonical {
			t.Errorf("%s: canonical form\n got %s\nwant %s", c.line, got, c.canonical)
		}
	}
}

// refusedLines are lines and the exact reason they are refused with.
var refusedLines = []struct{ line, reason string }{
	{"", "line is empty"},
	{"cpu,a=\xff 1" + stamp, "line is not valid UTF-8"},
	{"cpu,a=" + strings.Repeat("x", maxLine) + " 1" + stamp, "line is longer than 50000 characters"},

	{"cpu", "payload is missing"},
	{"cpu,a=1", "payload is missing"},
	{"cpu ", "payload is missing"},
	{"cpu 1", "timestamp is missing"},
	{" cpu 1" + stamp, `metric key "" is shorter than 3 characters`},
	{"ab 1" + stamp, `metric key "ab" is shorter than 3 characters`},
	{"k" + strings.Repeat("x", maxKey) + " 1" + stamp, "metric key is longer than 250 characters"},
	{"dt.cpu 1" + stamp, `metric key "dt.cpu" has the reserved prefix "dt."`},
	{"1cpu 1" + stamp, `metric key "1cpu" starts with a digit`},
	{"-cpu 1" + stamp, `metric key "-cpu" has a section that starts with a hyphen`},
	{"cpu.-load 1" + stamp, `metric key "cpu.-load" has a section that starts with a hyphen`},
	{".cpu 1" + stamp, `metric key ".cpu" has an empty section`},
	{"cpu. 1" + stamp, `metric key "cpu." has an empty section`},
	{"cpu..load 1" + stamp, `metric key "cpu..load" has an empty section`},
	{"cpü 1" + stamp, `metric key "cpü" has the character 'ü'`},
	{"cpu:load 1" + stamp, `metric key "cpu:load" has the character ':'`},
	{"cpu=1 1" + stamp, `metric key "cpu=1" has the character '='`},

	{"cpu, 1" + stamp, "dimension has no value"},
	{"cpu,a 1" + stamp, "dimension has no value"},
	{`cpu,"a"=1 1` + stamp, "dimension has no value"},
	{"cpu,=1 1" + stamp, "dimension key is empty"},
	{"cpu,A=1 1" + stamp, `dimension key "A" does not start with a lower-case letter or underscore`},
	{"cpu,1a=1 1" + stamp, `dimension key "1a" does not start with a lower-case letter or underscore`},
	{"cpu,-a=1 1" + stamp, `dimension key "-a" does not start with a lower-case letter or underscore`},
	{"cpu,.a=1 1" + stamp, `dimension key ".a" does not start with a lower-case letter or underscore`},
	{"cpu,aB=1 1" + stamp, `dimension key "aB" has the character 'B'`},
	{"cpu,a/b=1 1" + stamp, `dimension key "a/b" has the character '/'`},
	{"cpu,aé=1 1" + stamp, `dimension key "aé" has the character 'é'`},
	{"cpu,a.=1 1" + stamp, `dimension key "a." has an empty section`},
	{"cpu,a..b=1 1" + stamp, `dimension key "a..b" has an empty section`},
	{"cpu," + strings.Repeat("a", maxDimKey+1) + "=1 1" + stamp, "dimension key is longer than 100 characters"},
	{"cpu,a=1,a=2 1" + stamp, `dimension "a" comes twice`},
	{"cpu,a=1,b=2,a=1 1" + stamp, `dimension "a" comes twice`},
	{"cpu" + manyDims(maxDimensions+1) + " 1" + stamp, "line has more than 50 dimensions"},

	{"cpu,a= 1" + stamp, `dimension "a": value is empty`},
	{`cpu,a="" 1` + stamp, `dimension "a": value is empty`},
	{"cpu,a=" + strings.Repeat("x", maxValuePoints+1) + " 1" + stamp, `dimension "a": value is longer than 250 characters`},
	{"cpu,a=" + strings.Repeat("😀", 128) + " 1" + stamp, `dimension "a": value is longer than 250 characters`},
	{`cpu,a="x 1` + stamp, `dimension "a": quote is not closed`},
	{`cpu,a="x"y 1` + stamp, `dimension "a": text follows the closing quote`},
	{`cpu,a="x\n" 1` + stamp, `dimension "a": escape \n is unknown`},
	{`cpu,a=x\y 1` + stamp, `dimension "a": escape \y is unknown`},
	{`cpu,a="x\` + "\t" + `" 1` + stamp, `dimension "a": value has the control character U+0009`},
	{`cpu,a="x\`, `dimension "a": backslash escapes nothing`},
	{"cpu,a=x\ty 1" + stamp, `dimension "a": value has the control character U+0009`},
	{"cpu,a=x\u0085y 1" + stamp, `dimension "a": value has the control character U+0085`},
	{"cpu,a=x=y 1" + stamp, `dimension "a": '=' is not escaped`},
	{`cpu,a=x"y 1` + stamp, `dimension "a": '"' is not escaped`},

	{"cpu NaN" + stamp, `"NaN" is not a number`},
	{"cpu gauge,NaN" + stamp, `"NaN" is not a number`},
	{"cpu Inf" + stamp, `"Inf" is not a number`},
	{"cpu -Inf" + stamp, `"-Inf" is not a number`},
	{"cpu +1" + stamp, `"+1" is not a number`},
	{"cpu 1." + stamp, `"1." is not a number`},
	{"cpu .5" + stamp, `".5" is not a number`},
	{"cpu 01" + stamp, `"01" is not a number`},
	{"cpu -" + stamp, `"-" is not a number`},
	{"cpu 0x1F" + stamp, `"0x1F" is not a number`},
	{"cpu 1_000" + stamp, `"1_000" is not a number`},
	{"cpu 1.0e" + stamp, `"1.0e" is not a number`},
	{"cpu 1.0e5.5" + stamp, `"1.0e5.5" is not a number`},
	{"cpu 1e8" + stamp, `number "1e8" has an exponent without a decimal point`},
	{"cpu 1.0e999" + stamp, `number "1.0e999" is out of range`},
	{"cpu gauge" + stamp, "gauge has no number"},
	{"cpu count" + stamp, "count has no number"},
	{"cpu gauge," + stamp, `"" is not a number`},
	{"cpu sum,1" + stamp, `payload type "sum" is unknown`},
	{"cpu Gauge,1" + stamp, `payload type "Gauge" is unknown`},
	{"cpu 1,2" + stamp, `payload type "1" is unknown`},
	{"cpu count,5" + stamp, "count is not delta="},
	{"cpu count,delta=" + stamp, `"" is not a number`},
	{"cpu count,delta=NaN" + stamp, `"NaN" is not a number`},
	{"cpu count,delta=1,delta=2" + stamp, `"1,delta=2" is not a number`},
	{"cpu gauge,min=1,max=2,sum=3" + stamp, "gauge statistics are not min, max, sum, count"},
	{"cpu gauge,max=2,min=1,sum=3,count=2" + stamp, "gauge statistics are not min, max, sum, count"},
	{"cpu gauge,min=1,max=2,sum=3,count=2,count=2" + stamp, "gauge statistics are not min, max, sum, count"},
	{"cpu gauge,min=2,max=1,sum=3,count=2" + stamp, "gauge min 2 is greater than max 1"},
	{"cpu gauge,min=1,max=Inf,sum=3,count=2" + stamp, `"Inf" is not a number`},
	{"cpu gauge,min=1,max=2,sum=3,count=0" + stamp, `gauge count "0" is not a whole number above 0`},
	{"cpu gauge,min=1,max=2,sum=3,count=-2" + stamp, `gauge count "-2" is not a whole number above 0`},
	{"cpu gauge,min=1,max=2,sum=3,count=2.0" + stamp, `gauge count "2.0" is not a whole number above 0`},
	{"cpu gauge,min=1,max=2,sum=3,count=+2" + stamp, `gauge count "+2" is not a whole number above 0`},
	{"cpu gauge,min=1,max=2,sum=3,count=" + stamp, `gauge count "" is not a whole number above 0`},
	{"cpu gauge,min=1,max=2,sum=3,count=99999999999999999999" + stamp, `gauge count "99999999999999999999" is not a whole number above 0`},

	{"cpu 1 ", `timestamp "" is not in milliseconds`},
	{"cpu 1  1700000000000", `timestamp " 1700000000000" is not in milliseconds`},
	{"cpu 1 1700000000000 ", `timestamp "1700000000000 " is not in milliseconds`},
	{"cpu 1 1700000000000\r", `timestamp "1700000000000\r" is not in milliseconds`},
	{"cpu 1 -5", `timestamp "-5" is not in milliseconds`},
	{"cpu 1 01700000000000", `timestamp "01700000000000" is not in milliseconds`},
	{"cpu 1 1.7e12", `timestamp "1.7e12" is not in milliseconds`},
	{"cpu 1 99999999999999999999", `timestamp "99999999999999999999" is out of range`},
	{"cpu  1" + stamp, "payload is missing"},
}

func TestParseLineRefuses(t *testing.T) {
	for _, c := range refusedLines {
		_, err := ParseLine(c.line)
		if err == nil || err.Error() != c.reason {
			t.Errorf("%.80q\n got %v\nwant %s", c.line, err, c.reason)
		}
	}
}

func manyDims(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",d%d=x", i)
	}
	return b.String()
}

func TestParseLineNumbers(t *testing.T) {
	l, err := ParseLine("cpu gauge,min=-1.5,max=2.0e2,sum=198.5,count=2" + stamp)
	if err != nil || l.Stats != (Stats{Min: -1.5, Max: 200, Sum: 198.5, Count: 2}) || l.Timestamp != 1700000000000 {
		t.Errorf("got %+v, %v", l, err)
	}
	l, err = ParseLine("cpu" + manyDims(maxDimensions) + " count,delta=7.25" + stamp)
	if err != nil || l.Type != Count || l.Delta != 7.25 || len(l.Dims) != maxDimensions {
		t.Errorf("got %+v, %v", l, err)
	}
	l, err = ParseLine("cpu 4" + stamp)
	if err != nil || l.Stats != (Stats{Min: 4, Max: 4, Sum: 4, Count: 1}) {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestSeriesIdentity(t *testing.T) {
	same := []string{`cpu,a=1,b=2 5` + stamp, `cpu,b="2",a="1" gauge,6` + stamp, `cpu,a=1,b=2 gauge,min=1,max=2,sum=3,count=2` + stamp}
	other := []string{`cpu,a=1,b=3 5` + stamp, `cpu,a=1 5` + stamp, `cpu,a=1,b=2 count,delta=5` + stamp, `cpu2,a=1,b=2 5` + stamp, `cpu,a="1\",b=\"2" 5` + stamp}
	series := func(text string) string {
		l, err := ParseLine(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return l.Series()
	}
	for _, text := range same {
		if got := series(text); got != series(same[0]) {
			t.Errorf("%s has the series %s, want %s", text, got, series(same[0]))
		}
	}
	for _, text := range other {
		if got := series(text); got == series(same[0]) {
			t.Errorf("%s shares the series %s", text, got)
		}
	}
}

func TestParseMetadata(t *testing.T) {
	for _, c := range []struct{ line, reason string }{
		{`#cpu.load gauge dt.meta.unit="%"`, ""},
		{`#cpu.load count dt.meta.displayName="CPU load",dt.meta.description=x\ y,dt.meta.unit=1`, ""},
		{`#`, `metric key "" is shorter than 3 characters`},
		{`# cpu.load gauge dt.meta.unit="%"`, `metric key "" is shorter than 3 characters`},
		{`#dt.load gauge dt.meta.unit="%"`, `metric key "dt.load" has the reserved prefix "dt."`},
		{`#cpu.load sum dt.meta.unit="%"`, `metadata type "sum" is unknown`},
		{`#cpu.load gauge`, `metadata property "" is unknown`},
		{`#cpu.load gauge dt.meta.colour=red`, `metadata property "dt.meta.colour" is unknown`},
		{`#cpu.load gauge dt.meta.unit="%" 17`, `metadata property " 17" is unknown`},
		{`#cpu.load gauge dt.meta.unit="%`, `metadata property "dt.meta.unit": quote is not closed`},
	} {
		m, err := ParseMetadata(c.line)
		switch {
		case c.reason == "" && (err != nil || m.Key != "cpu.load" || len(m.Properties) == 0):
			t.Errorf("%s: got %+v, %v", c.line, m, err)
		case c.reason != "" && (err == nil || err.Error() != c.reason):
			t.Errorf("%s\n got %v\nwant %s", c.line, err, c.reason)
		}
	}
}

// What follows says the grammar a second time, as expressions, so that the
// hand-written parser is held against something.
const (
	reNumber = `-?(0|[1-9][0-9]*)(\.[0-9]+([eE][+-]?[0-9]+)?)?`
	reValue  = `("([^"\\[:cntrl:]]|\\["\\])+"|([^ ,="\\[:cntrl:]]|\\[ ,="\\])+)`
	reDim    = `[a-z_][a-z0-9:_.-]*=` + reValue
	reLine   = `^[A-Za-z_][A-Za-z0-9._-]*(,` + reDim + `)* ` +
		`((gauge,)?` + reNumber +
		`|gauge,min=` + reNumber + `,max=` + reNumber + `,sum=` + reNumber + `,count=[1-9][0-9]*` +
		`|count,delta=` + reNumber + `) [1-9][0-9]*$`
)

func FuzzParseLine(f *testing.F) {
	expression := regexp.MustCompile(reLine)
	for _, seed := range []string{
		"cpu.load 5" + stamp, `net,a="x, =\"y\\",b=x\,\ \=\"y\\ gauge,min=1,max=2,sum=3.5,count=2` + stamp,
		"net,b=2,a=1 count,delta=1.0e+08" + stamp, "cpu" + manyDims(51) + " 1" + stamp, "cpu,a=\u0085 1 1", "dt.x NaN 0",
		`#cpu.load gauge dt.meta.unit="%"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ParseMetadata(text)
		l, err := ParseLine(text)
		if err != nil {
			return
		}
		if !expression.MatchString(text) {
			t.Fatalf("took %q, which the grammar does not hold", text)
		}
		checkLimits(t, l)
		again, err := ParseLine(l.String())
		if err != nil && len(l.String()) > maxLine { // quoting may lengthen a line
			return
		}
		if err != nil {
			t.Fatalf("took %q but not its canonical form %q: %v", text, l.String(), err)
		}
		if again.Series() != l.Series() || again.Timestamp != l.Timestamp || again.String() != l.String() || again.Stats != l.Stats {
			t.Fatalf("%q changed on the way: %+v became %+v", text, l, again)
		}
	})
}

func checkLimits(t *testing.T, l Line) {
	t.Helper()
	ok := len(l.Key) >= 3 && len(l.Key) <= 250 && !strings.HasPrefix(l.Key, "dt.") && len(l.Dims) <= 50
	for i, d := range l.Dims {
		n := utf8.RuneCountInString(d.Value)
		ok = ok && len(d.Key) <= 100 && n >= 1 && n <= 250 && (i == 0 || l.Dims[i-1].Key < d.Key)
	}
	ok = ok && l.Stats.Min <= l.Stats.Max && !slices.Contains([]string{"", "NaN"}, l.Payload)
	if !ok {
		t.Fatalf("took a line beyond the limits: %+v", l)
	}
}
