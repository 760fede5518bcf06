package plan

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestNeeds(t *testing.T) {
	blocks := []*Block{
		{Dims: []Dim{{Key: "n", Source: scalar(sysName)}}, Metrics: []Metric{gauge("u", scalar(uptime)), gauge("c", constant("1"))}},
		{
			Table: true, Dims: []Dim{{Key: "n", Source: scalar(sysName)}, {Key: "d", Source: column(ifDescr)}},
			Metrics: []Metric{count("i", column(ifHCIn, ifIn))},
		},
		{Table: true, Dims: []Dim{{Key: "d", Source: column(ifDescr)}}, Metrics: []Metric{count("e", column(ifErrors))}},
		{Table: true, Dims: []Dim{{Key: "d", Source: column(ifDescr)}}, Metrics: []Metric{count("i", column(ifIn))}},
	}
	scalars, tables := Needs(blocks)
	if want := []string{sysName, uptime}; !slices.Equal(scalars, want) {
		t.Errorf("scalars %v, want %v", scalars, want)
	}
	if want := [][]string{{ifDescr, ifHCIn, ifIn}, {ifErrors}}; !reflect.DeepEqual(tables, want) {
		t.Errorf("tables %v, want %v", tables, want)
	}
}

func TestIntervals(t *testing.T) {
	p := &Plan{Blocks: []Block{{Path: "a", Interval: time.Hour}, {Path: "b", Interval: time.Minute}, {Path: "c", Interval: time.Hour}}}
	if got := p.Intervals(); !slices.Equal(got, []time.Duration{time.Minute, time.Hour}) {
		t.Errorf("intervals %v", got)
	}
	due := p.At(time.Hour)
	if len(due) != 2 || due[0] != &p.Blocks[0] || due[1] != &p.Blocks[2] {
		t.Errorf("due at one hour: %v", due)
	}
	fast := p.WithInterval(time.Second)
	if len(fast.At(time.Second)) != 3 || len(p.At(time.Second)) != 0 {
		t.Errorf("WithInterval changed %v of the copy and %v of the plan", fast.Intervals(), p.Intervals())
	}
}

func TestCompareIndex(t *testing.T) {
	want := []string{"", "1", "1.2", "1.10", "2", "10", "10.1"}
	got := []string{"10.1", "2", "1.10", "", "10", "1", "1.2"}
	slices.SortFunc(got, compareIndex)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheckpoint(t *testing.T) {
	b, r := steady(5)
	s := &State{}
	Points([]*Block{b}, device, r, s)
	saved, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	restored := &State{}
	if err := restored.UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	for i := range r.Columns[ifIn] {
		c := r.Columns[ifIn][i]
		c.Uint += 7
		r.Columns[ifIn][i] = c
	}
	points, notes := Points([]*Block{b}, device, r, restored)
	deltas := 0
	for _, p := range points {
		if p.Series.Key() == "in" {
			deltas++
			if p.Value.Uint64() != 7 {
				t.Errorf("delta %d, want 7", p.Value.Uint64())
			}
		}
	}
	if deltas != 5 || notes.Gaps != 0 {
		t.Errorf("%d deltas and %d gaps, want 5 and 0", deltas, notes.Gaps)
	}
	for n := range saved {
		if err := (&State{}).UnmarshalBinary(saved[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for the whole", n, len(saved))
		}
	}
}

// FuzzCheckpoint checks that what is taken in is written out so that it reads
// back equal, and that what is refused leaves the State alone.
func FuzzCheckpoint(f *testing.F) {
	b, r := steady(3)
	s := &State{}
	Points([]*Block{b}, device, r, s)
	saved, _ := s.MarshalBinary()
	f.Add(saved)
	f.Add([]byte{})
	f.Add([]byte{checkpointFormat})
	f.Add([]byte{1, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		one := &State{earlier: earlier{counters: baselines{7: {8: {last: 1}}}}}
		if err := one.UnmarshalBinary(data); err != nil {
			if len(one.earlier.counters) != 1 || one.earlier.counters[7][8].last != 1 || one.now != 0 {
				t.Fatal("a refused checkpoint changed the state")
			}
			return
		}
		out, _ := one.MarshalBinary()
		two := &State{}
		if err := two.UnmarshalBinary(out); err != nil {
			t.Fatalf("%x was written as %x: %v", data, out, err)
		}
		if !reflect.DeepEqual(one.earlier, two.earlier) || !reflect.DeepEqual(one.clock, two.clock) {
			t.Fatalf("%x and %x hold different baselines", data, out)
		}
	})
}
