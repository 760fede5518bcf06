package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// exposer scrapes what a test says, a minute apart.
type exposer struct {
	t     *testing.T
	names *ExposedNames
	state ExposedState
	now   time.Duration
	notes ExposedNotes
}

func newExposer(t *testing.T, blocks ...ExposedBlock) *exposer {
	var all []*ExposedBlock
	for i := range blocks {
		if blocks[i].Interval == 0 {
			blocks[i].Interval = time.Minute
		}
		all = append(all, &blocks[i])
	}
	return &exposer{t: t, names: NewExposedNames(all, true), now: time.Hour}
}

// sampleOf writes a sample as name{a=b,c=d}.
func sampleOf(text string, value float64) Sample {
	name, rest, _ := strings.Cut(text, "{")
	s := Sample{Name: name, Value: value}
	for _, pair := range strings.FieldsFunc(strings.TrimSuffix(rest, "}"), func(r rune) bool { return r == ',' }) {
		key, text, _ := strings.Cut(pair, "=")
		s.Labels = append(s.Labels, probes.Dimension{Key: key, Value: text})
	}
	slices.SortFunc(s.Labels, func(a, b probes.Dimension) int { return strings.Compare(a.Key, b.Key) })
	return s
}

// after lets time pass, scrapes and compares the points with lines.
func (e *exposer) after(pause time.Duration, samples []Sample, want ...string) {
	e.t.Helper()
	e.now += pause
	points, notes := ExposedPoints(e.names, &Scrape{Stamp: probes.Stamp{Uptime: e.now, Wall: 1}, Endpoint: "E", Samples: samples}, &e.state)
	e.notes = notes
	var got []string
	for _, p := range points {
		text := p.Series.Key() + " " + p.Series.Type().String()
		for _, d := range p.Series.Dims() {
			if d.Key != ActivationEndpoint || d.Value != "E" {
				text += " " + d.Key + "=" + d.Value
			}
		}
		if p.Value.Form() == probes.FormSummary {
			text += fmt.Sprintf(" %v", p.Value.Summary())
		} else {
			text += fmt.Sprintf(" %v", p.Value.Float64())
		}
		if p.Series.Dim(ActivationEndpoint) == "" {
			e.t.Errorf("%s has no %s", text, ActivationEndpoint)
		}
		got = append(got, text)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		e.t.Errorf("after %s\ngot  %q\nwant %q", pause, got, want)
	}
}

func metricsBlock(metrics ...ExposedMetric) ExposedBlock {
	return ExposedBlock{Path: "g", Metrics: metrics}
}

func TestExposedCountersBecomeDeltas(t *testing.T) {
	e := newExposer(t, metricsBlock(ExposedMetric{"k", "c_total", ExposedCount}))
	one := func(v float64) []Sample { return []Sample{sampleOf("c_total{a=1}", v)} }
	e.after(0, one(10))
	e.after(time.Minute, one(12.5), "k count a=1 2.5")
	e.after(time.Minute, one(12.5), "k count a=1 0")
	e.after(time.Minute, one(3)) // it fell
	if e.notes.GapsBy.Reset != 1 {
		t.Errorf("gaps %+v", e.notes.GapsBy)
	}
	e.after(time.Minute, one(4), "k count a=1 1")
	e.after(time.Minute, one(math.NaN()))
	e.after(time.Minute, one(math.Inf(1)))
	e.after(time.Minute, one(9), "k count a=1 5") // over what was no number
	e.after(2*time.Minute, nil)
	e.after(2*time.Minute, one(11), "k count a=1 2") // it was away for a while
	e.after(11*time.Minute, one(12))
	if e.notes.GapsBy.Absence != 1 {
		t.Errorf("gaps %+v", e.notes.GapsBy)
	}
	e.after(time.Minute, append(one(13), sampleOf("c_total{a=2}", 100)), "k count a=1 1") // a new series is a first reading
	e.after(time.Minute, append(one(13), sampleOf("c_total{a=2}", 101)), "k count a=1 0", "k count a=2 1")
	e.after(11*time.Minute, nil)
	if len(e.state.series) != 0 {
		t.Errorf("%d series are remembered", len(e.state.series))
	}
}

func TestExposedRestarts(t *testing.T) {
	e := newExposer(t, metricsBlock(ExposedMetric{"k", "c_total", ExposedCount}, ExposedMetric{"h", "lat", ExposedHistogram}))
	at := func(start, created, value float64) []Sample {
		return []Sample{
			sampleOf("c_total{a=1}", value), sampleOf("c_created{a=1}", created), sampleOf("c_created{a=2}", 77),
			sampleOf("lat_count", value), sampleOf("lat_bucket{le=1}", value), sampleOf("lat_created", created),
			sampleOf("process_start_time_seconds", start), sampleOf("process_start_time_seconds{job=x}", value),
		}
	}
	grown := func(by string) []string {
		return []string{"k count a=1 " + by, "h_count count " + by, "h_bucket.count count le=1 " + by}
	}
	e.after(0, at(1000, 1000, 5))
	e.after(time.Minute, at(1000, 1000, 6), grown("1")...)
	e.after(time.Minute, at(1003, 1000, 8), grown("2")...) // its clock is being set
	e.after(time.Minute, at(1003, 1100, 9))                // created anew, though it did not fall
	if e.notes.GapsBy.Reset != 3 {
		t.Errorf("gaps %+v", e.notes.GapsBy)
	}
	e.after(time.Minute, at(1003, 1100, 10), grown("1")...)
	e.after(time.Minute, at(1300, 0, 12)) // the process started anew
	if e.notes.GapsBy.Restart != 3 {
		t.Errorf("gaps %+v", e.notes.GapsBy)
	}
	e.after(time.Minute, at(1300, 1300, 13), grown("1")...) // created is told now
	e.after(time.Minute, at(math.NaN(), math.NaN(), 14), grown("1")...)
	e.after(time.Minute, at(1300, 1300, 15), grown("1")...)
}

func TestExposedKinds(t *testing.T) {
	e := newExposer(t, metricsBlock(
		ExposedMetric{"g", "g", ExposedGauge}, ExposedMetric{"h", "h", ExposedHistogram},
		ExposedMetric{"s", "s", ExposedSummary}, ExposedMetric{"c", "plain", ExposedCount}))
	scrape := func(n float64) []Sample {
		return []Sample{
			sampleOf("g{x=1}", -2.5), sampleOf("g{x=2}", math.NaN()), sampleOf("other", 1),
			sampleOf("h_bucket{le=0.5}", n), sampleOf("h_bucket{le=+Inf}", 2*n), sampleOf("h_bucket", 7), sampleOf("h_sum", n/4), sampleOf("h_count", 2*n),
			sampleOf("s{quantile=0.5,a=b}", 0.25), sampleOf("s{quantile=0.9,a=b}", math.NaN()), sampleOf("s", 3), sampleOf("s_sum{a=b}", n), sampleOf("s_count{a=b}", n),
			sampleOf("plain_total", n),
		}
	}
	gauges := []string{"g gauge x=1 -2.5", "s gauge a=b quantile=0.5 0.25"}
	e.after(0, scrape(2), gauges...)
	e.after(time.Minute, scrape(6), append(gauges,
		"h_bucket.count count le=0.5 4", "h_bucket.count count le=+Inf 8", "h_sum.count count 1", "h_count count 8",
		"s_sum.count count a=b 4", "s_count count a=b 4", "c count 4")...)
	if n := e.notes; n.Missing != 0 || n.Samples != 11 || n.Matched != 11 || n.Numbers != 9 {
		t.Errorf("notes %+v", n)
	}
	e.after(time.Minute, []Sample{sampleOf("plain", 1), sampleOf("plain_total", 9)}) // the name itself goes before
	if e.notes.Missing != 3 {
		t.Errorf("notes %+v", e.notes)
	}
	without := NewExposedNames([]*ExposedBlock{{Metrics: []ExposedMetric{{"h", "h", ExposedHistogram}}}}, false)
	if without.Has([]byte("h_bucket")) || !without.Has([]byte("h_sum")) {
		t.Error("buckets are wanted though nobody asked for them")
	}
}

func TestExposedDimensions(t *testing.T) {
	filter, err := ParseFilter("$not($eq(0))")
	if err != nil {
		t.Fatal(err)
	}
	block := metricsBlock(ExposedMetric{"k", "m", ExposedGauge})
	block.Dims = []LabelDim{
		{Key: "kind", Source: LabelText, Text: "demo"},
		{Key: "b", Source: LabelText, Text: "covers"},
		{Key: "process", Source: LabelOwn, Text: "pid", Filter: filter},
		{Key: "node", Source: LabelReference, Metric: "info", Text: "name"},
	}
	e := newExposer(t, block)
	e.state.Constants = []probes.Dimension{{Key: "site", Value: "s1"}, {Key: "a", Value: "first"}}
	e.after(0, []Sample{
		sampleOf("m{pid=0}", 1),
		sampleOf("m{pid=7,a=x,b=y,zone=z2}", 2),
		sampleOf("m", 3), // an absent label is the empty text
		sampleOf("m", 4), // comes twice
		sampleOf("info{name=n1,zone=z1}", 1), sampleOf("info{name=n2,zone=z2}", 1),
	},
		"k gauge a=first b=covers kind=demo node=n2 pid=7 process=7 site=s1 zone=z2 2",
		"k gauge a=first b=covers kind=demo site=s1 3") // any row could be of something else
	if n := e.notes; n.Duplicates != 1 || n.Samples != 4 || n.Matched != 2 || n.Unsure != 3 {
		t.Errorf("notes %+v", n)
	}
	e.after(time.Minute, []Sample{sampleOf("m{pid=7,zone=z2}", 2), sampleOf("info{name=n3,zone=z2}", 1)},
		"k gauge a=first b=covers kind=demo node=n3 pid=7 process=7 site=s1 zone=z2 2") // what it refers to has changed
}

// A reference takes the row that has most labels in common, and none where it
// cannot tell.
func TestExposedReference(t *testing.T) {
	for _, c := range []struct {
		sample string
		rows   []string
		want   string // "": none
		unsure bool
	}{
		{"m{pod=a}", []string{"info{pod=a,name=x}", "info{pod=b,name=y}"}, "x", false},
		{"m{pod=a}", []string{"info{name=y}", "info{pod=a,name=x}"}, "x", false},
		{"m{pod=a,ns=n}", []string{"info{ns=n,name=y}", "info{ns=n,pod=a,name=x}"}, "x", false},
		{"m{pod=a}", []string{"info{ns=1,pod=a,name=x}", "info{ns=2,pod=a,name=y}"}, "", true},
		{"m{pod=a}", []string{"info{ns=1,pod=a,name=x}", "info{ns=2,pod=a,name=x}"}, "x", false},
		{"m{pod=c}", []string{"info{pod=a,name=x}"}, "", false},
		{"m{cpu=0}", []string{"info{name=x}"}, "x", false}, // one for all
		{"m{cpu=0}", []string{"info{zone=1,name=x}", "info{zone=2,name=y}"}, "", true},
		{"m", nil, "", false},
	} {
		block := metricsBlock(ExposedMetric{"k", "m", ExposedGauge})
		block.Dims = []LabelDim{{Key: "node", Source: LabelReference, Metric: "info", Text: "name"}}
		e := newExposer(t, block)
		samples := []Sample{sampleOf(c.sample, 1)}
		for _, row := range c.rows {
			samples = append(samples, sampleOf(row, 1))
		}
		points, notes := ExposedPoints(e.names, &Scrape{Endpoint: "E", Samples: samples}, &e.state)
		if len(points) != 1 || points[0].Series.Dim("node") != c.want || (notes.Unsure > 0) != c.unsure {
			t.Errorf("%s of %q: node %q, notes %+v", c.sample, c.rows, points[0].Series.Dim("node"), notes)
		}
	}
	many := []Sample{sampleOf("m{pod=a}", 1)}
	for i := range maxReferences + 1 {
		many = append(many, sampleOf(fmt.Sprintf("info{pod=%d,name=x}", i), 1))
	}
	block := metricsBlock(ExposedMetric{"k", "m", ExposedGauge})
	block.Dims = []LabelDim{{Key: "node", Source: LabelReference, Metric: "info", Text: "name"}}
	e := newExposer(t, block)
	if _, notes := ExposedPoints(e.names, &Scrape{Samples: many}, &e.state); notes.Unsure != 1 {
		t.Errorf("of too many rows: notes %+v", notes)
	}
}

// Keys are those that a line has, so that labels which are one key there do not
// make two values of one series.
func TestExposedKeysAsInLines(t *testing.T) {
	block := metricsBlock(ExposedMetric{"g", "g", ExposedGauge}, ExposedMetric{"c", "c", ExposedCount})
	block.Dims = []LabelDim{{Key: "Team", Source: LabelText, Text: "red"}}
	e := newExposer(t, block)
	scrape := func(n float64) []Sample {
		return []Sample{
			sampleOf("g{Pod=a}", 1), sampleOf("g{pod=a}", 5), sampleOf("g{POD=b,pod=c}", 2), sampleOf("g{team=blue,__x=1,_x=2}", 3),
			sampleOf("c{Pod=a}", n), sampleOf("c{pod=a}", 10*n),
		}
	}
	e.after(0, scrape(1), "g gauge pod=a team=red {1 5 6 2}", "g gauge pod=c team=red 2", "g gauge __x=1 _x=2 team=red 3")
	e.after(time.Minute, scrape(2), "g gauge pod=a team=red {1 5 6 2}", "g gauge pod=c team=red 2", "g gauge __x=1 _x=2 team=red 3", "c count pod=a team=red 11")
}

// What is longer than a line has room for is cut before it makes a series;
// samples that differ only there are added up, none is taken for the other.
func TestExposedLongLabels(t *testing.T) {
	e := newExposer(t, metricsBlock(ExposedMetric{"c", "c", ExposedCount}))
	long := strings.Repeat("ü", 200)
	poll := func(after time.Duration, a, b float64) ([]probes.Point, ExposedNotes) {
		samples := []Sample{sampleOf("c{l="+long+"1}", a), sampleOf("c{l="+long+"2}", b)}
		for i := range samples {
			if !samples[i].Shorten() {
				t.Error("nothing was cut")
			}
		}
		e.now += after
		return ExposedPoints(e.names, &Scrape{Stamp: probes.Stamp{Uptime: e.now + 1}, Samples: samples}, &e.state)
	}
	poll(0, 1, 10)
	points, notes := poll(time.Minute, 3, 15)
	if len(points) != 1 || notes.Duplicates != 0 || points[0].Value.Float64() != 7 || points[0].Series.Dim("l") != strings.Repeat("ü", maxLabelValue/2) {
		t.Errorf("%v, notes %+v", points, notes)
	}
	short := sampleOf("c{l="+strings.Repeat("x", maxLabelValue)+"}", 1)
	if short.Shorten() {
		t.Error("what has room was cut")
	}
}

// Series are remembered while there is room for them; what is forgotten makes
// room again.
func TestExposedSeriesAreBounded(t *testing.T) {
	e := newExposer(t, metricsBlock(ExposedMetric{"k", "m", ExposedGauge}))
	budget := probes.NewBudget(1 << 20)
	e.state.Memory = budget.Hold()
	scrape := func(generation int) (int, ExposedNotes) {
		var samples []Sample
		for i := range 5000 {
			samples = append(samples, sampleOf(fmt.Sprintf("m{l=%d-%d}", generation, i), 1))
		}
		e.now += 2 * time.Minute
		points, notes := ExposedPoints(e.names, &Scrape{Stamp: probes.Stamp{Uptime: e.now}, Samples: samples}, &e.state)
		return len(points), notes
	}
	first, notes := scrape(0)
	if first < 1000 || notes.NoRoom != 5000-first {
		t.Fatalf("%d points, notes %+v", first, notes)
	}
	if again, _ := scrape(0); again != first {
		t.Errorf("%d points of the same samples, want %d", again, first)
	}
	for generation := range 5 { // labels that change with every scrape
		scrape(generation + 1)
	}
	if last, _ := scrape(5); last != first {
		t.Errorf("%d points once the others are forgotten, want %d", last, first)
	}
	if err := e.state.UnmarshalBinary(mustMarshal(t, &e.state)); err != nil {
		t.Fatal(err)
	}
	if !budget.Hold().Try(3 << 18) {
		t.Error("what was forgotten is held still")
	}
}

func mustMarshal(t *testing.T, s *ExposedState) []byte {
	t.Helper()
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Samples that a declared dimension makes alike are folded; one sample that two
// groups ask for counts once.
func TestExposedSharedSeries(t *testing.T) {
	block := metricsBlock(ExposedMetric{"g", "g", ExposedGauge}, ExposedMetric{"c", "c", ExposedCount})
	block.Dims = []LabelDim{{Key: "cpu", Source: LabelText, Text: "all"}}
	again := block
	again.Path = "again"
	e := newExposer(t, block, again)
	scrape := func(n float64) []Sample {
		return []Sample{sampleOf("g{cpu=0}", 1), sampleOf("g{cpu=1}", 5), sampleOf("c{cpu=0}", n), sampleOf("c{cpu=1}", 10*n)}
	}
	e.after(0, scrape(1), "g gauge cpu=all {1 5 6 2}")
	e.after(time.Minute, scrape(2), "g gauge cpu=all {1 5 6 2}", "c count cpu=all 11")
	if e.notes.Folded != 2 {
		t.Errorf("notes %+v", e.notes)
	}
}

func TestExposedLabelsBeyondALine(t *testing.T) {
	e := newExposer(t, metricsBlock(ExposedMetric{"k", "m", ExposedGauge}))
	s := Sample{Name: "m", Value: 1}
	for i := range 60 {
		s.Labels = append(s.Labels, probes.Dimension{Key: fmt.Sprintf("l%02d", i), Value: "v"})
	}
	points, notes := ExposedPoints(e.names, &Scrape{Endpoint: "E", Samples: []Sample{s}}, &e.state)
	if len(points) != 1 || len(points[0].Series.Dims()) != maxLineDims || notes.LabelsCut != 1 {
		t.Errorf("%d points, notes %+v", len(points), notes)
	}
}

func TestExposedCheckpoint(t *testing.T) {
	metrics := metricsBlock(ExposedMetric{"k", "c", ExposedCount})
	scrape := func(start, v float64) []Sample {
		return []Sample{sampleOf("c{a=1}", v), sampleOf("process_start_time_seconds", start)}
	}
	before := newExposer(t, metrics)
	before.after(0, scrape(1000, 5))
	before.after(time.Minute, scrape(1000, 6), "k count a=1 1")
	data, err := before.state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	resume := func() *exposer {
		e := newExposer(t, metrics)
		e.now = before.now
		if err := e.state.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := resume()
	if same, _ := e.state.MarshalBinary(); !slices.Equal(same, data) {
		t.Error("what was restored is saved differently")
	}
	e.after(time.Minute, scrape(1000, 10), "k count a=1 4")
	e = resume()
	e.after(time.Minute, scrape(2000, 10)) // the process started anew meanwhile
	if e.notes.GapsBy.Restart != 1 {
		t.Errorf("gaps %+v", e.notes.GapsBy)
	}
	e = resume()
	e.after(time.Hour, scrape(1000, 10)) // too long ago
	e = resume()
	e.after(time.Minute, nil)
	e.after(time.Minute, scrape(1000, 7), "k count a=1 1")
	for n := range len(data) {
		if err := new(ExposedState).UnmarshalBinary(data[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(data))
		}
	}
}

// Whatever is taken as baselines is saved again as it was.
func FuzzExposedCheckpoint(f *testing.F) {
	var s ExposedState
	names := NewExposedNames([]*ExposedBlock{{Metrics: []ExposedMetric{{"k", "c", ExposedCount}}}}, false)
	ExposedPoints(names, &Scrape{Stamp: probes.Stamp{Uptime: 5, Wall: 7}, Samples: []Sample{sampleOf("c{a=1}", 3), sampleOf("c{a=2}", 4)}}, &s)
	data, _ := s.MarshalBinary()
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again ExposedState
		if s.UnmarshalBinary(data) != nil {
			return
		}
		first, _ := s.MarshalBinary()
		if err := again.UnmarshalBinary(first); err != nil {
			t.Fatal(err)
		}
		if second, _ := again.MarshalBinary(); !slices.Equal(first, second) {
			t.Errorf("%x and %x", first, second)
		}
	})
}
