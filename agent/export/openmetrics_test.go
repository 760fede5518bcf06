package export

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

func TestOpenMetricsText(t *testing.T) {
	s := &fakeStore{}
	bytesIn := probes.NewSeries("if.in-bytes", probes.Count, dims("device.address", "192.0.2.1", "port", `a"b\c`)...)
	same := probes.NewSeries("if.in_bytes", probes.Count, dims("device_address", "192.0.2.1", "port", `a"b\c`)...)
	clash := probes.NewSeries("9lives", probes.Gauge, dims("a.b", "1", "a_b", "2", "__x", "3")...)
	rtt := probes.NewSeries("rtt", probes.Gauge)
	s.add(
		probes.Point{Series: bytesIn, Value: probes.Uint(18446744073709551615), Stamp: at(start)},
		probes.Point{Series: rtt, Value: probes.Summarize(probes.Summary{Min: 1, Max: 2.5, Sum: 7, Count: 4}), Stamp: at(start + 7)},
		probes.Point{Series: same, Value: probes.Uint(5), Stamp: at(start)},
		probes.Point{Series: clash, Value: probes.Float(-0.25), Stamp: at(start)},
		probes.Point{Series: rtt, Value: probes.Float(3), Stamp: at(1000)}, // the clock was not set
	)
	s.add(
		probes.Point{Series: bytesIn, Value: probes.Uint(2), Stamp: at(start + 60_000)},
		probes.Point{Series: bytesIn, Value: probes.Uint(1), Stamp: at(start - 60_000)}, // the clock went back
		probes.Point{Series: clash, Value: probes.Float(4), Stamp: at(start)},
	)
	text, res := exported(t, s.running(), Request{Format: "openmetrics"})
	want := `# TYPE if_in_bytes gauge
# HELP if_in_bytes what the counter if.in-bytes grew by since the sample before
if_in_bytes{device_address="192.0.2.1",port="a\"b\\c"} 1 1767225540.000
if_in_bytes{device_address="192.0.2.1",port="a\"b\\c"} 18446744073709551615 1767225600.000
if_in_bytes{device_address="192.0.2.1",port="a\"b\\c"} 2 1767225660.000
if_in_bytes{device_address="192.0.2.1",port="a\"b\\c",edgehold_key="if.in_bytes",edgehold_type="count"} 5 1767225600.000
# TYPE rtt_min gauge
# HELP rtt_min gauge rtt
rtt_min 1 1767225600.007
# TYPE rtt_max gauge
# HELP rtt_max gauge rtt
rtt_max 2.5 1767225600.007
# TYPE rtt_sum gauge
# HELP rtt_sum gauge rtt
rtt_sum 7 1767225600.007
# TYPE rtt_count gauge
# HELP rtt_count gauge rtt
rtt_count 4 1767225600.007
# TYPE _9lives gauge
# HELP _9lives gauge 9lives
_9lives{_x="3",a_b="1",a_b_2="2"} 4 1767225600.000
# EOF
`
	if text != want {
		t.Errorf("wrote\n%s\nwant\n%s", text, want)
	}
	if res.Skipped != 1 || !strings.Contains(res.SkipReason, "1970-01-01T00:00:01Z, before the clock was set") || res.Doubles != 1 || res.Points != 7 {
		t.Errorf("counted %+v", res.Totals)
	}
	if text, _ := exported(t, s.running(), Request{Format: "openmetrics", Key: "nothing"}); text != "# EOF\n" {
		t.Errorf("nothing gives %q", text)
	}
}

// FuzzNames: whatever the names are, they become ones that are allowed, and
// no two labels of a metric become one.
func FuzzNames(f *testing.F) {
	f.Add("if.in", "a.b", "a_b", "ü\"\n\\")
	f.Add("", "", "_", "")
	f.Add("", " ", "!", "0")
	f.Add("0", "__name__", "name__", "\xff")
	name, label := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`), regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|}$)`)
	f.Fuzz(func(t *testing.T, key, k1, k2, value string) {
		if n := metricName(key); !name.MatchString(n) {
			t.Errorf("%q became %q", key, n)
		}
		s := probes.NewSeries(key, probes.Gauge, dims(k1, value, k2, value, "z", "z")...)
		text := labelSet(s.Dims())
		found := label.FindAllStringSubmatch(text, -1)
		length, seen := 1, map[string]bool{}
		for i, m := range found {
			length += len(m[0])
			if seen[m[1]] || strings.HasPrefix(m[1], "__") {
				t.Errorf("label %q of %q", m[1], text)
			}
			seen[m[1]] = true
			back := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(m[2])
			if want := strings.ToValidUTF8(s.Dims()[i].Value, "\uFFFD"); len(back) < len(want) || back != want && !strings.Contains(back, "\uFFFD") {
				t.Errorf("value %q became %q", s.Dims()[i].Value, back)
			}
		}
		if length != len(text) || len(found) != len(s.Dims()) {
			t.Errorf("%d labels of %d found in %q", len(found), len(s.Dims()), text)
		}
	})
}

// Prometheus makes blocks of the text and finds in them what was in the store.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool is not installed; apt-get install prometheus")
	}
	s := site(300, 5) // longer than two of its blocks of two hours
	dir := t.TempDir()
	file, blocks := filepath.Join(dir, "out.txt"), filepath.Join(dir, "blocks")
	if _, err := (Job{Source: s.running(), Request: Request{Format: "openmetrics", Delivered: true}, Output: file, Now: noon}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(promtool, args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("promtool %s: %v\n%s%s", args, err, out.String(), errs.String())
		}
		return out.String()
	}
	run("tsdb", "create-blocks-from", "openmetrics", file, blocks)
	if err := os.MkdirAll(filepath.Join(blocks, "wal"), 0o755); err != nil { // the dump of some versions wants one
		t.Fatal(err)
	}
	got := dumped(t, run("tsdb", "dump", blocks))
	want := map[string]float64{}
	for _, r := range s.records {
		for _, p := range r.points {
			samplesOf(p, func(part int, v probes.Value) {
				want[sampleName(p, part)] = v.Float64()
			})
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("prometheus holds %d samples, the store gave %d", len(got), len(want))
		for k, v := range want {
			if g, ok := got[k]; !ok || g != v {
				t.Fatalf("%s is %v (%v), want %v", k, g, ok, v)
			}
		}
	}
	if entries, err := os.ReadDir(blocks); err != nil || len(entries) < 4 {
		t.Errorf("blocks: %v, %v", entries, err)
	}
}

// sampleName names a sample as the dump does: labels sorted, then the time.
func sampleName(p probes.Point, part int) string {
	labels := []string{fmt.Sprintf("__name__=%q", strings.ReplaceAll(p.Series.Key(), ".", "_")+partSuffixes[part])}
	for _, d := range p.Series.Dims() {
		labels = append(labels, fmt.Sprintf("%s=%q", strings.ReplaceAll(d.Key, ".", "_"), d.Value))
	}
	slices.Sort(labels)
	return "{" + strings.Join(labels, ", ") + "} " + strconv.FormatInt(p.Stamp.Wall, 10)
}

// dumped reads the lines of `promtool tsdb dump`: {labels} value milliseconds.
func dumped(t *testing.T, text string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	line := regexp.MustCompile(`(?m)^(\{.*\}) (\S+) (\d+)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		out[m[1]+" "+m[3]] = v
	}
	return out
}
