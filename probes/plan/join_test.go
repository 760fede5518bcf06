package plan

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

const (
	sensorName  = "1.3.6.1.2.1.47.1.1.1.1.7"
	sensorIn    = "1.3.6.1.2.1.47.1.1.1.1.4" // entPhysicalContainedIn
	sensorAlias = "1.3.6.1.2.1.47.1.3.2.1.2" // entAliasMappingIdentifier
	sensorValue = "1.3.6.1.2.1.99.1.1.1.4"
	sensorScale = "1.3.6.1.2.1.99.1.1.1.2"
	sensorDigit = "1.3.6.1.2.1.99.1.1.1.3"
	sensorState = "1.3.6.1.2.1.99.1.1.1.5"
)

func joined(oid string, from, count int) Source {
	return Source{Kind: FromColumn, OID: oid, Join: true, Arcs: Arcs{from, count}}
}

func sensorBlock(t *testing.T) *Block {
	t.Helper()
	by := joined(sensorName, 0, 0)
	by.JoinBy = sensorIn
	port := joined(ifDescr, -1, 1)
	port.JoinBy = sensorAlias
	m := gauge("value", column(sensorValue))
	m.Number = Conversion{Scale: sensorScale, Precision: sensorDigit}
	return &Block{
		Table: true, Rows: sensorValue,
		Dims: []Dim{
			{Key: "name", Source: column(sensorName)},
			{Key: "in", Source: by},
			{Key: "port", Source: port},
			{Key: "id", Source: Source{Kind: FromIndex}},
			{Key: "mac", Source: Source{Kind: FromChassisMAC}},
			{Key: "status", Source: column(sensorState), Enum: map[int64]string{1: "ok(1)"}, Filter: filter(t, "$eq(ok(1))")},
		},
		Metrics: []Metric{m, gauge("outside", joined(sensorName+"9", 0, 1)), gauge("arc", Source{Kind: FromIndex, Arcs: Arcs{0, 1}})},
	}
}

func TestJoinedColumns(t *testing.T) {
	b := sensorBlock(t)
	scalars, tables := Needs([]*Block{b})
	want := [][]string{
		{sensorName, sensorIn, sensorAlias, sensorState, sensorValue, sensorScale, sensorDigit},
		{ifDescr},
		{sensorName + "9"},
	}
	if len(scalars) != 0 || !reflect.DeepEqual(tables, want) {
		t.Errorf("needs %v and %v, want %v", scalars, tables, want)
	}
	cells := func(cells ...Cell) map[string]Cell {
		column := map[string]Cell{}
		for i, c := range cells {
			column[[]string{"1", "2", "3", "4"}[i]] = c
		}
		return column
	}
	r := Reading{Columns: map[string]map[string]Cell{
		sensorName:       cells(text("chassis"), text("probe 2"), text("probe 3"), text("probe 4")),
		sensorIn:         cells(integer(0), integer(1), integer(2), integer(1)),
		sensorAlias:      {"2": text("1.3.6.1.2.1.2.2.1.1.17")},
		ifDescr:          {"17": text("Gi1"), "2": text("Gi2")},
		sensorValue:      {"2": integer(365), "3": integer(12), "4": integer(1)},
		sensorScale:      {"2": integer(9), "3": integer(8), "4": integer(9)},
		sensorDigit:      {"2": integer(1), "3": integer(0), "4": integer(0)},
		sensorState:      cells(integer(1), integer(1), integer(1), integer(2)),
		sensorName + "9": {"3": integer(42), "99": integer(1)},
	}}
	d := polled{t, &State{}, []*Block{b}}
	if n := d.expect(r,
		"value,id=2,in=chassis,name=probe 2,port=Gi1,status=ok(1) gauge 36.5",
		"arc,id=2,in=chassis,name=probe 2,port=Gi1,status=ok(1) gauge 2",
		"value,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 0.012",
		"outside,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 42",
		"arc,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 3",
	); n.Filtered != 1 {
		t.Errorf("%d rows filtered, want 1", n.Filtered)
	}
	// A scale that could not be read is not one; a container that could not be
	// read makes no other series.
	delete(r.Columns[sensorScale], "2")
	delete(r.Columns[sensorName], "1")
	r.Partial = map[string]bool{sensorScale: true, sensorName: true}
	d.expect(r,
		"value,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 0.012",
		"outside,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 42",
		"arc,id=3,in=probe 2,name=probe 3,status=ok(1) gauge 3",
	)
}

func TestNeedsOfCounters(t *testing.T) {
	b := &Block{
		Table: true, Rows: ifOper, HighSpeed: ifSpeed, Discontinuity: ifErrors,
		Dims: []Dim{{Key: "d", Source: column(ifDescr)}}, Metrics: []Metric{count("in", column(ifIn))},
	}
	if _, tables := Needs([]*Block{b}); !slices.Equal(tables[0], []string{ifDescr, ifOper, ifSpeed, ifErrors, ifIn}) {
		t.Errorf("tables %v", tables)
	}
	b.Metrics[0].Type = 1
	if _, tables := Needs([]*Block{b}); !slices.Equal(tables[0], []string{ifDescr, ifOper, ifIn}) {
		t.Errorf("tables %v without a counter", tables)
	}
}

// wrapBlock reads a 32-bit column of octets and one of errors.
func wrapBlock(speed string) *Block {
	return &Block{
		Table: true, Interval: time.Minute, HighSpeed: speed, Identity: []string{"name"},
		Dims:    []Dim{{Key: "name", Source: column(ifDescr)}},
		Metrics: []Metric{count("in", column(ifIn)), count("errors", column(ifErrors))},
	}
}

func TestWraps(t *testing.T) {
	const end = 1<<32 - 1000
	for _, test := range []struct {
		name   string
		column string
		speed  Cell
		up     [2]uint64 // sysUpTime; 0: not told
		in     [2]uint64
		delta  string
		gaps   GapCounts
	}{
		{"a wrap", "speed", integer(100), [2]uint64{100, 6100}, [2]uint64{end, 500}, "in,name=eth count 1500", GapCounts{}},
		{"a wrap by ifSpeed", ifSpeed, Cell{Kind: Unsigned, Uint: 100e6}, [2]uint64{100, 6100}, [2]uint64{end, 500}, "in,name=eth count 1500", GapCounts{}},
		{"more than the line carries", "speed", integer(100), [2]uint64{100, 6100}, [2]uint64{1 << 31, 500}, "", GapCounts{Reset: 1}},
		{"no speed", "speed", integer(0), [2]uint64{100, 6100}, [2]uint64{end, 500}, "", GapCounts{Wrap: 1}},
		{"no uptime", "speed", integer(100), [2]uint64{}, [2]uint64{end, 500}, "", GapCounts{Wrap: 1}},
		{"too fast to know", "speed", integer(1000), [2]uint64{100, 6100}, [2]uint64{5, 500}, "", GapCounts{Wrap: 1}},
		{"faster than ifSpeed can tell", ifSpeed, Cell{Kind: Unsigned, Uint: 1<<32 - 1}, [2]uint64{100, 6100}, [2]uint64{5, 500}, "", GapCounts{Wrap: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := polled{t, &State{}, []*Block{wrapBlock(test.column)}}
			for i := range 2 {
				r := Reading{Scalars: map[string]Cell{}, Columns: map[string]map[string]Cell{
					ifDescr: {"1": text("eth")}, test.column: {"1": test.speed}, ifIn: {"1": c32(test.in[i])}, ifErrors: {"1": c32(7)},
				}}
				r.Stamp.Uptime = time.Duration(i) * time.Minute
				if test.up[i] != 0 {
					r.Scalars[sysUpTime] = Cell{Kind: Unsigned, Uint: test.up[i]}
				}
				var want []string
				if i == 1 {
					if test.delta != "" {
						want = append(want, test.delta)
					}
					want = append(want, "errors,name=eth count 0")
				}
				if n := d.expect(r, want...); i == 1 && n.GapsBy != test.gaps {
					t.Errorf("gaps %+v, want %+v", n.GapsBy, test.gaps)
				}
			}
		})
	}
}

// Counters follow the name, not the index; an alias may change.
func TestIdentity(t *testing.T) {
	b := wrapBlock("")
	b.Dims = append(b.Dims, Dim{Key: "alias", Source: column(ifOper)})
	b.Metrics = b.Metrics[:1]
	read := func(names, aliases []string, in ...uint64) Reading {
		r := Reading{Columns: map[string]map[string]Cell{ifDescr: {}, ifOper: {}, ifIn: {}}}
		for i, n := range in {
			index := string(rune('1' + i))
			r.Columns[ifDescr][index], r.Columns[ifOper][index], r.Columns[ifIn][index] = text(names[i]), text(aliases[i]), c64(n)
		}
		return r
	}
	d := polled{t, &State{}, []*Block{b}}
	d.expect(read([]string{"a", "b"}, []string{"x", "y"}, 100, 7000))
	d.expect(read([]string{"a", "b"}, []string{"x", "new"}, 101, 7002), "in,alias=x,name=a count 1", "in,alias=new,name=b count 2")
	d.expect(read([]string{"b", "a"}, []string{"y", "x"}, 7005, 105), "in,alias=y,name=b count 3", "in,alias=x,name=a count 4")
	// A name that two rows have is nobody's, nor does another device's begin.
	d.expect(read([]string{"c", "c"}, []string{"", ""}, 8000, 9000))
	d.expect(read([]string{"c", "c"}, []string{"", ""}, 8001, 9002), "in,name=c count 3")
	// After a restart of the reader the name still finds its counter, and once only.
	d.expect(read([]string{"a", "b"}, []string{"", ""}, 10, 20))
	saved, err := d.state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d.state = &State{}
	if err := d.state.UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	d.expect(read([]string{"b"}, []string{""}, 25), "in,name=b count 5")
	d.expect(read([]string{"x", "a"}, []string{"", ""}, 1, 15))
	d.expect(read([]string{"x", "b"}, []string{"", ""}, 2, 30), "in,name=x count 1")
}

func TestGapsByReason(t *testing.T) {
	b := wrapBlock("")
	b.Discontinuity, b.Metrics = ifOper, b.Metrics[:1]
	b.Metrics[0].Source = column(ifHCIn, ifIn)
	s := &State{}
	minute := 0
	read := func(oid string, n, disturbed uint64) Reading {
		r := Reading{Columns: map[string]map[string]Cell{
			ifDescr: {"1": text("eth")}, ifOper: {"1": {Kind: Unsigned, Uint: disturbed}}, oid: {"1": c64(n)},
		}}
		minute++
		r.Stamp.Uptime = time.Duration(minute) * time.Minute
		return r
	}
	for _, step := range []struct {
		name   string
		before func()
		r      func() Reading
		delta  string
		gaps   GapCounts
	}{
		{"first", nil, func() Reading { return read(ifHCIn, 10, 0) }, "", GapCounts{}},
		{"discontinuity", nil, func() Reading { return read(ifHCIn, 20, 5) }, "", GapCounts{Discontinuity: 1}},
		{"on", nil, func() Reading { return read(ifHCIn, 21, 5) }, "1", GapCounts{}},
		{"restart", s.Restarted, func() Reading { return read(ifHCIn, 30, 5) }, "", GapCounts{Restart: 1}},
		{"reset", nil, func() Reading { return read(ifHCIn, 3, 5) }, "", GapCounts{Reset: 1}},
		{"switched", nil, func() Reading { return read(ifIn, 4, 5) }, "", GapCounts{Switched: 1}},
		{"away", func() { minute += 9 }, func() Reading { return read(ifIn, 5, 5) }, "1", GapCounts{}},
		{"away for long", func() { minute += 10 }, func() Reading { return read(ifIn, 6, 5) }, "", GapCounts{Absence: 1}},
		{"on again", nil, func() Reading { return read(ifIn, 8, 5) }, "2", GapCounts{}},
	} {
		if step.before != nil {
			step.before()
		}
		var want []string
		if step.delta != "" {
			want = []string{"in,name=eth count " + step.delta}
		}
		if n := (polled{t, s, []*Block{b}}).expect(step.r(), want...); n.GapsBy != step.gaps || n.Gaps != step.gaps.Sum() {
			t.Errorf("%s: %d gaps %+v, want %+v", step.name, n.Gaps, n.GapsBy, step.gaps)
		}
	}
}

// A device that is known by another name later keeps its counters.
func TestNameOfDeviceKeepsCounters(t *testing.T) {
	b := &Block{Metrics: []Metric{count("in", scalar(ifIn))}}
	s := &State{}
	read := func(n uint64) Reading { return Reading{Scalars: map[string]Cell{ifIn: c64(n)}} }
	Points([]*Block{b}, device, read(1), s)
	named := device
	named.Name, named.ChassisMAC = "sw1.example", "00:1b:21:aa:bb:cc"
	points, _ := Points([]*Block{b}, named, read(4), s)
	if len(points) != 1 || points[0].Value.Uint64() != 3 || points[0].Series.Dim("device.name") != named.Name {
		t.Errorf("points %v", points)
	}
}
