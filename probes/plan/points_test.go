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

// Columns and scalars of the tests, after IF-MIB.
const (
	sysName  = "1.3.6.1.2.1.1.5.0"
	uptime   = "1.3.6.1.2.1.1.3.0"
	ifDescr  = "1.3.6.1.2.1.2.2.1.2"
	ifOper   = "1.3.6.1.2.1.2.2.1.8"
	ifIn     = "1.3.6.1.2.1.2.2.1.10"
	ifHCIn   = "1.3.6.1.2.1.31.1.1.1.6"
	ifErrors = "1.3.6.1.2.1.2.2.1.14"
)

func scalar(oid string) Source { return Source{Kind: FromScalar, OID: oid} }
func column(oid string, fallback ...string) Source {
	return Source{Kind: FromColumn, OID: oid, Fallback: fallback}
}
func constant(text string) Source       { return Source{Kind: FromConst, Text: text} }
func text(s string) Cell                { return Cell{Kind: Text, Text: s} }
func c64(u uint64) Cell                 { return Cell{Kind: Counter64, Uint: u} }
func c32(u uint64) Cell                 { return Cell{Kind: Counter32, Uint: u} }
func integer(i int64) Cell              { return Cell{Kind: Integer, Int: i} }
func gauge(key string, s Source) Metric { return Metric{Key: key, Type: probes.Gauge, Source: s} }
func count(key string, s Source) Metric { return Metric{Key: key, Type: probes.Count, Source: s} }

func filter(t *testing.T, text string) *Filter {
	t.Helper()
	f, err := ParseFilter(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// show writes points one a line, without the implicit address.
func show(points []probes.Point) string {
	var b strings.Builder
	for _, p := range points {
		b.WriteString(p.Series.Key())
		for _, d := range p.Series.Dims() {
			if d != (probes.Dimension{Key: "device.address", Value: device.Address}) {
				fmt.Fprintf(&b, ",%s=%s", d.Key, d.Value)
			}
		}
		fmt.Fprintf(&b, " %s %s\n", p.Series.Type(), showValue(p.Value))
	}
	return b.String()
}

func showValue(v probes.Value) string {
	switch v.Form() {
	case probes.FormUint:
		return fmt.Sprint(v.Uint64())
	case probes.FormInt:
		return fmt.Sprint(v.Int64())
	case probes.FormSummary:
		s := v.Summary()
		return fmt.Sprintf("min=%v,max=%v,sum=%v,count=%d", s.Min, s.Max, s.Sum, s.Count)
	}
	return fmt.Sprint(v.Float64())
}

var device = Identity{Address: "192.0.2.10", Port: 161}

// polled is the device of a test with what it remembers.
type polled struct {
	t      *testing.T
	state  *State
	blocks []*Block
}

// expect runs one poll and compares its points.
func (d polled) expect(r Reading, want ...string) Notes {
	d.t.Helper()
	points, notes := Points(d.blocks, device, r, d.state)
	lines := ""
	for _, w := range want {
		lines += w + "\n"
	}
	if got := show(points); got != lines {
		d.t.Errorf("got\n%swant\n%s", got, lines)
	}
	return notes
}

func TestTableJoinsByIndex(t *testing.T) {
	b := &Block{
		Table: true,
		Dims: []Dim{
			{Key: "sys.name", Source: scalar(sysName)},
			{Key: "if.descr", Source: column(ifDescr)},
			{Key: "if.oper", Source: column(ifOper), Enum: map[int64]string{1: "up(1)"}},
			{Key: "site", Source: constant("plant")},
			{Key: "device.port", Source: Source{Kind: FromDevicePort}},
		},
		Metrics: []Metric{gauge("in", column(ifIn)), gauge("errors", column(ifErrors)), gauge("lone", scalar(uptime))},
	}
	r := Reading{
		Stamp:   probes.Stamp{Wall: 42},
		Scalars: map[string]Cell{sysName: text("sw1"), uptime: {Kind: Unsigned, Uint: 7}},
		Columns: map[string]map[string]Cell{
			ifDescr:  {"1": text("eth1"), "2": text(""), "10": text("eth10"), "99": text("no metrics")},
			ifOper:   {"1": integer(1), "2": integer(7), "10": {}},
			ifIn:     {"10": c32(100), "2": c32(20), "1": c32(1)},
			ifErrors: {"1": integer(-5), "3": {Kind: Real, Float: 0.5}, "4": {}},
		},
	}
	s := &State{}
	polled{t, s, []*Block{b}}.expect(r,
		"lone,device.port=161,site=plant,sys.name=sw1 gauge 7",
		"in,device.port=161,if.descr=eth1,if.oper=up(1),site=plant,sys.name=sw1 gauge 1",
		"errors,device.port=161,if.descr=eth1,if.oper=up(1),site=plant,sys.name=sw1 gauge -5",
		"in,device.port=161,if.oper=7,site=plant,sys.name=sw1 gauge 20",
		"errors,device.port=161,site=plant,sys.name=sw1 gauge 0.5",
		"in,device.port=161,if.descr=eth10,site=plant,sys.name=sw1 gauge 100",
	)
	points, _ := Points([]*Block{b}, device, r, s)
	for _, p := range points {
		if p.Stamp != r.Stamp {
			t.Errorf("stamp %v, want that of the reading", p.Stamp)
		}
	}
}

func TestConstantMetric(t *testing.T) {
	table := &Block{
		Table: true, Dims: []Dim{{Key: "if.descr", Source: column(ifDescr)}},
		Metrics: []Metric{gauge("state", constant("1")), gauge("in", column(ifIn))},
	}
	scalars := &Block{
		Dims:    []Dim{{Key: "sys.name", Source: scalar(sysName)}},
		Metrics: []Metric{gauge("alive", constant("1.5"))},
	}
	bare := &Block{Metrics: []Metric{gauge("answered", constant("1"))}}
	blocks := []*Block{table, scalars, bare}
	s := &State{}
	polled{t, s, blocks}.expect(Reading{
		Scalars: map[string]Cell{sysName: text("sw1")},
		Columns: map[string]map[string]Cell{ifDescr: {"1": text("eth1")}, ifIn: {"2": c32(9)}},
	},
		"state,if.descr=eth1 gauge 1", "state gauge 1", "in gauge 9",
		"alive,sys.name=sw1 gauge 1.5", "answered gauge 1")
	polled{t, s, blocks}.expect(Reading{Columns: map[string]map[string]Cell{ifDescr: {"1": text("eth1")}}},
		"state,if.descr=eth1 gauge 1", "answered gauge 1")
	polled{t, s, blocks}.expect(Reading{})
}

func TestImplicitDimensions(t *testing.T) {
	plain := &Block{Metrics: []Metric{gauge("plain", scalar(uptime))}}
	explicit := &Block{
		Dims: []Dim{
			{Key: "device.name", Source: scalar(sysName)},
			{Key: "device.address", Source: constant("declared")},
			{Key: "addr", Source: Source{Kind: FromDeviceAddress}},
		},
		Metrics: []Metric{gauge("explicit", scalar(uptime))},
	}
	dev := Identity{Address: "192.0.2.10", Name: "sw1.example", Port: 161}
	r := Reading{Scalars: map[string]Cell{uptime: integer(1)}}
	s := &State{}
	points, _ := Points([]*Block{plain, explicit}, dev, r, s)
	want := []string{
		"[{device.address 192.0.2.10} {device.name sw1.example}]",
		"[{addr 192.0.2.10} {device.address declared}]", // its device.name is declared, and absent
	}
	for i, p := range points {
		if got := fmt.Sprint(p.Series.Dims()); got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
	dev.Name = ""
	points, _ = Points([]*Block{plain}, dev, r, s)
	if got := fmt.Sprint(points[0].Series.Dims()); got != "[{device.address 192.0.2.10}]" {
		t.Errorf("after the name was lost: %s", got)
	}
}

func TestFilteredRows(t *testing.T) {
	b := &Block{
		Table: true,
		Dims: []Dim{
			{Key: "if.descr", Source: column(ifDescr), Filter: filter(t, "$prefix(eth)")},
			{Key: "if.oper", Source: column(ifOper), Filter: filter(t, "$or($eq(1),$eq())")},
		},
		Metrics: []Metric{count("in", column(ifIn))},
	}
	read := func(in uint64, oper int64) Reading {
		return Reading{Columns: map[string]map[string]Cell{
			ifDescr: {"1": text("eth1"), "2": text("lo"), "3": text("eth3")},
			ifOper:  {"1": integer(oper), "2": integer(1)},
			ifIn:    {"1": c64(in), "2": c64(in), "3": c64(in)},
		}}
	}
	s := &State{}
	if n := (polled{t, s, []*Block{b}}).expect(read(100, 1)); n.Filtered != 1 {
		t.Errorf("%d rows filtered, want 1", n.Filtered)
	}
	polled{t, s, []*Block{b}}.expect(read(110, 1), "in,if.descr=eth1,if.oper=1 count 10", "in,if.descr=eth3 count 10")
	if n := (polled{t, s, []*Block{b}}).expect(read(130, 2), "in,if.descr=eth3 count 20"); n.Filtered != 2 {
		t.Errorf("%d rows filtered, want 2", n.Filtered)
	}
	// A row that comes back starts anew: what passed meanwhile was filtered out.
	polled{t, s, []*Block{b}}.expect(read(150, 1), "in,if.descr=eth3 count 20")
	polled{t, s, []*Block{b}}.expect(read(151, 1), "in,if.descr=eth1,if.oper=1 count 1", "in,if.descr=eth3 count 1")
}

func TestDeltas(t *testing.T) {
	b := &Block{Table: true, Metrics: []Metric{count("in", column(ifIn))}}
	const big = math.MaxUint64
	s := &State{}
	steps := []struct {
		name    string
		cells   map[string]Cell
		partial bool
		want    []string
		gaps    int
	}{
		{"first reading", map[string]Cell{"1": c64(big - 10)}, false, nil, 0},
		{"64 bits are exact", map[string]Cell{"1": c64(big - 7)}, false, []string{"in count 3"}, 0},
		{"no growth", map[string]Cell{"1": c64(big - 7)}, false, []string{"in count 0"}, 0},
		{"went back", map[string]Cell{"1": c64(5)}, false, nil, 1},
		{"on from there", map[string]Cell{"1": integer(9)}, false, []string{"in count 4"}, 0},
		{"not answered", nil, false, nil, 0},
		{"spans the missing poll", map[string]Cell{"1": c32(20)}, false, []string{"in count 11"}, 0},
		{"row gone", map[string]Cell{"2": c32(1)}, false, nil, 0},
		{"row back", map[string]Cell{"1": c32(500)}, false, nil, 0},
		{"row missing in a partial table", map[string]Cell{"9": c32(1)}, true, nil, 0},
		{"spans the partial table", map[string]Cell{"1": c32(510)}, false, []string{"in count 10"}, 0},
		{"negative is no counter", map[string]Cell{"1": integer(-1)}, true, nil, 0},
		{"baseline kept", map[string]Cell{"1": c32(511)}, false, []string{"in count 1"}, 0},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			r := Reading{Columns: map[string]map[string]Cell{ifIn: step.cells}, Partial: map[string]bool{ifIn: step.partial}}
			if n := (polled{t, s, []*Block{b}}).expect(r, step.want...); n.Gaps != step.gaps {
				t.Errorf("%d gaps, want %d", n.Gaps, step.gaps)
			}
		})
	}
}

func TestDeltaIsSharedInAPollAndApartBetweenIntervals(t *testing.T) {
	minute := &Block{Interval: time.Minute, Metrics: []Metric{count("a", scalar(uptime)), count("b", scalar(uptime))}}
	second := &Block{Interval: time.Minute, Metrics: []Metric{count("c", scalar(uptime))}}
	slow := &Block{Interval: 5 * time.Minute, Metrics: []Metric{count("slow", scalar(uptime))}}
	read := func(n uint64) Reading { return Reading{Scalars: map[string]Cell{uptime: c64(n)}} }
	s := &State{}
	polled{t, s, []*Block{minute, second}}.expect(read(10))
	polled{t, s, []*Block{slow}}.expect(read(10))
	polled{t, s, []*Block{minute, second}}.expect(read(13), "a count 3", "b count 3", "c count 3")
	polled{t, s, []*Block{minute, second}}.expect(read(14), "a count 1", "b count 1", "c count 1")
	polled{t, s, []*Block{slow}}.expect(read(20), "slow count 10")
}

func TestFallbackColumnNeverCountsTwice(t *testing.T) {
	b := &Block{
		Table: true, Dims: []Dim{{Key: "if.name", Source: column("1.3.6.1.2.1.31.1.1.1.1", ifDescr)}},
		Metrics: []Metric{count("in", column(ifHCIn, ifIn))},
	}
	read := func(hc, low map[string]Cell) Reading {
		return Reading{Columns: map[string]map[string]Cell{ifDescr: {"1": text("eth1"), "2": text("eth2")}, ifHCIn: hc, ifIn: low}}
	}
	row := func(i string, c Cell) map[string]Cell { return map[string]Cell{i: c} }
	s := &State{}
	// Row 2 has the 32-bit counter only.
	polled{t, s, []*Block{b}}.expect(read(row("1", c64(100)), map[string]Cell{"1": c32(100), "2": c32(7)}))
	polled{t, s, []*Block{b}}.expect(read(row("1", c64(110)), map[string]Cell{"1": c32(110), "2": c32(9)}),
		"in,if.name=eth1 count 10", "in,if.name=eth2 count 2")
	// The 64-bit counter of row 1 is away for two polls, then back: 5 + 5 counted
	// by the other one must not come again.
	polled{t, s, []*Block{b}}.expect(read(nil, row("1", c32(120))))
	polled{t, s, []*Block{b}}.expect(read(nil, row("1", c32(125))), "in,if.name=eth1 count 5")
	polled{t, s, []*Block{b}}.expect(read(row("1", c64(130)), row("1", c32(130))))
	polled{t, s, []*Block{b}}.expect(read(row("1", c64(131)), row("1", c32(131))), "in,if.name=eth1 count 1")
}

// A package that names one metric twice has it once: of two equal deltas the
// sum would be twice what the counter grew by.
func TestOneCellGivesASeriesOnePoint(t *testing.T) {
	twice := []Metric{count("in", column(ifIn)), gauge("state", column(ifOper))}
	first := &Block{Table: true, Metrics: append(twice, twice...)}
	second := &Block{Table: true, Metrics: twice}
	read := func(a, b uint64) Reading {
		return Reading{Columns: map[string]map[string]Cell{
			ifIn: {"1": c64(a), "2": c64(b)}, ifOper: {"1": integer(1), "2": integer(2)},
		}}
	}
	d := polled{t, &State{}, []*Block{first, second}}
	state := "state gauge min=1,max=2,sum=3,count=2"
	d.expect(read(10, 100), state)
	// Rows without dimensions share a series; each counts once.
	if n := d.expect(read(15, 107), "in count 12", state); n.Folded != 2 {
		t.Errorf("%d points folded, want 2", n.Folded)
	}
	// So it is where two blocks name it once each.
	third := &Block{Table: true, Metrics: slices.Clone(twice)}
	d = polled{t, &State{}, []*Block{second, third}}
	d.expect(read(10, 100), state)
	d.expect(read(15, 107), "in count 12", state)
	// Two counters of one series are two measurements.
	other := &Block{Table: true, Metrics: []Metric{count("in", column(ifIn)), count("in", column(ifErrors))}}
	both := func(a, b uint64) Reading {
		return Reading{Columns: map[string]map[string]Cell{ifIn: {"1": c64(a)}, ifErrors: {"1": c64(b)}}}
	}
	d = polled{t, &State{}, []*Block{other}}
	d.expect(both(10, 10))
	d.expect(both(12, 13), "in count 5")
}

// An index that is given to another interface is another counter. What has no
// text, such as a state, may change.
func TestReusedIndex(t *testing.T) {
	b := &Block{
		Table:   true,
		Dims:    []Dim{{Key: "if.descr", Source: column(ifDescr)}, {Key: "if.oper", Source: column(ifOper)}},
		Metrics: []Metric{count("in", column(ifIn))},
	}
	read := func(name string, state int64, n uint64) Reading {
		return Reading{Columns: map[string]map[string]Cell{
			ifDescr: {"7": text(name)}, ifOper: {"7": integer(state)}, ifIn: {"7": c64(n)},
		}}
	}
	d := polled{t, &State{}, []*Block{b}}
	d.expect(read("ppp1", 1, 100))
	d.expect(read("ppp1", 2, 130), "in,if.descr=ppp1,if.oper=2 count 30")
	d.expect(read("ppp2", 2, 9_000_000))
	d.expect(read("ppp2", 2, 9_000_005), "in,if.descr=ppp2,if.oper=2 count 5")

	// Nor is it the same counter after a restart of the agent.
	saved, err := d.state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want []string
	}{{"ppp2", []string{"in,if.descr=ppp2,if.oper=2 count 3"}}, {"ppp3", nil}} {
		d.state = &State{}
		if err := d.state.UnmarshalBinary(saved); err != nil {
			t.Fatal(err)
		}
		d.expect(read(tt.name, 2, 9_000_008), tt.want...)
	}
}

// A row whose name could not be read gives no point, and nothing is lost.
func TestUnreadRowKeepsItsBaseline(t *testing.T) {
	const ifName = "1.3.6.1.2.1.31.1.1.1.1"
	b := &Block{
		Table: true, Dims: []Dim{{Key: "if.name", Source: column(ifName, ifDescr)}},
		Metrics: []Metric{count("in", column(ifIn))},
	}
	whole := func(a, b uint64) Reading {
		return Reading{Columns: map[string]map[string]Cell{
			ifName: {"1": text("a"), "2": text("")}, ifDescr: {"1": text("x"), "2": text("b")},
			ifIn: {"1": c64(a), "2": c64(b)},
		}}
	}
	d := polled{t, &State{}, []*Block{b}}
	d.expect(whole(10, 10))
	r := whole(12, 13)
	delete(r.Columns[ifName], "1")
	r.Partial = map[string]bool{ifName: true}
	d.expect(r, "in,if.name=b count 3")
	// An empty name must not stand for the one that could not be read.
	r = whole(14, 15)
	delete(r.Columns[ifDescr], "2")
	r.Partial = map[string]bool{ifDescr: true}
	d.expect(r, "in,if.name=a count 4")
	d.expect(whole(20, 20), "in,if.name=a count 6", "in,if.name=b count 7")
}

// An empty text counts as nothing: the next column is asked.
func TestFallbackForEmptyText(t *testing.T) {
	b := &Block{
		Table: true, Dims: []Dim{{Key: "if.name", Source: column("1.3.6.1.2.1.31.1.1.1.1", ifDescr, "1.3.6.1.2.1.2.2.1.1")}},
		Metrics: []Metric{gauge("in", column(ifIn))},
	}
	polled{t, &State{}, []*Block{b}}.expect(Reading{Columns: map[string]map[string]Cell{
		"1.3.6.1.2.1.31.1.1.1.1": {"1": text(""), "2": text("Gi2"), "3": text("")},
		ifDescr:                  {"1": text("Port 1"), "2": text("Port 2"), "3": text("")},
		"1.3.6.1.2.1.2.2.1.1":    {"1": integer(1), "2": integer(2), "3": integer(3)},
		ifIn:                     {"1": c32(1), "2": c32(2), "3": c32(3), "4": text("")},
	}}, "in,if.name=Port 1 gauge 1", "in,if.name=Gi2 gauge 2", "in,if.name=3 gauge 3")
}

func TestFoldedSeries(t *testing.T) {
	b := &Block{
		Table: true, Dims: []Dim{{Key: "if.descr", Source: column(ifDescr)}},
		Metrics: []Metric{gauge("errors", column(ifErrors)), count("in", column(ifIn))},
	}
	read := func(n uint64) Reading {
		return Reading{Columns: map[string]map[string]Cell{
			ifDescr:  {"1": text("eth"), "2": text("eth")},
			ifErrors: {"1": integer(1), "2": integer(4)},
			ifIn:     {"1": c32(n), "2": c32(2 * n)},
		}}
	}
	s := &State{}
	want := "errors,if.descr=eth gauge min=1,max=4,sum=5,count=2"
	if n := (polled{t, s, []*Block{b}}).expect(read(1), want); n.Folded != 1 {
		t.Errorf("%d folded, want 1", n.Folded)
	}
	if n := (polled{t, s, []*Block{b}}).expect(read(3), want, "in,if.descr=eth count 6"); n.Folded != 2 {
		t.Errorf("%d folded, want 2", n.Folded)
	}
}

func TestSkippedCells(t *testing.T) {
	b := &Block{
		Table: true,
		Metrics: []Metric{
			gauge("text", column(ifDescr)), gauge("nan", column(ifErrors)), count("real", column(ifIn)), gauge("ok", column(ifOper)),
		},
	}
	n := (polled{t, &State{}, []*Block{b}}).expect(Reading{Columns: map[string]map[string]Cell{
		ifDescr:  {"1": text("12"), "2": text("13")},
		ifErrors: {"1": {Kind: Real, Float: math.NaN()}},
		ifIn:     {"1": {Kind: Real, Float: 3}},
		ifOper:   {"1": integer(1)},
	}}, "ok gauge 1")
	if want := []string{ifIn, ifErrors, ifDescr}; !slices.Equal(n.Skipped, want) {
		t.Errorf("skipped %v, want %v", n.Skipped, want)
	}
}

// A steady poll gives the same series and makes little but its points.
func TestSteadyPollReusesSeries(t *testing.T) {
	b, r := steady(48)
	s := &State{}
	Points([]*Block{b}, device, r, s)
	before, _ := Points([]*Block{b}, device, r, s)
	after, _ := Points([]*Block{b}, device, r, s)
	if len(before) != 48*3 || len(after) != len(before) {
		t.Fatalf("%d and %d points, want %d", len(before), len(after), 48*3)
	}
	for i := range before {
		if before[i].Series != after[i].Series {
			t.Fatalf("point %d has another series object", i)
		}
	}
	if n := testing.AllocsPerRun(20, func() { Points([]*Block{b}, device, r, s) }); n > 5 {
		t.Errorf("%v allocations a poll, want at most 5", n)
	}
	r.Columns[ifDescr]["7"] = c32(77)
	changed, _ := Points([]*Block{b}, device, r, s)
	for i := range changed {
		renamed := changed[i].Series.Dim("if.descr") == "77"
		if (changed[i].Series != after[i].Series) != renamed {
			t.Errorf("point %d: %v after %v", i, changed[i].Series.Dims(), after[i].Series.Dims())
		}
	}
}

// Rows that vanish leave nothing behind.
func TestVanishedRowsAreForgotten(t *testing.T) {
	b, r := steady(100)
	s := &State{}
	Points([]*Block{b}, device, r, s)
	Points([]*Block{b}, device, r, s)
	_, small := steady(3)
	Points([]*Block{b}, device, small, s)
	if bs := s.blocks[b]; len(bs.rows) != 3 || len(bs.order) != 3 {
		t.Errorf("%d rows are left of 3", len(bs.rows))
	}
}

func steady(rows int) (*Block, Reading) {
	b := &Block{
		Table: true,
		Dims: []Dim{
			{Key: "sys.name", Source: scalar(sysName)},
			{Key: "if.descr", Source: column(ifDescr), Filter: &Filter{op: "prefix", text: ""}},
			{Key: "if.oper", Source: column(ifOper)},
		},
		Metrics: []Metric{count("in", column(ifHCIn, ifIn)), gauge("errors", column(ifErrors)), gauge("state", constant("1"))},
	}
	r := Reading{Scalars: map[string]Cell{sysName: text("sw1")}, Columns: map[string]map[string]Cell{}}
	for _, oid := range []string{ifDescr, ifOper, ifIn, ifErrors} {
		r.Columns[oid] = map[string]Cell{}
		for i := range rows {
			r.Columns[oid][fmt.Sprint(i)] = c32(uint64(i) * 1000)
		}
	}
	return b, r
}

func BenchmarkPoints(b *testing.B) {
	block, r := steady(48)
	s := &State{}
	Points([]*Block{block}, device, r, s)
	b.ReportAllocs()
	for b.Loop() {
		Points([]*Block{block}, device, r, s)
	}
}
