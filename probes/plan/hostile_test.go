package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func hostileBlock(identity []string) *Block {
	return &Block{
		Table: true, Interval: time.Minute, Identity: identity,
		Dims: []Dim{{Key: "if", Source: column(ifDescr)}}, Metrics: []Metric{count("in", column(ifHCIn))},
	}
}

// hostileReading is the nth one, a minute after the other.
func hostileReading(n int, names, cells map[string]Cell) Reading {
	r := Reading{
		Scalars: map[string]Cell{uptime: {Kind: Unsigned, Uint: uint64(5000 + n*6000)}},
		Columns: map[string]map[string]Cell{ifDescr: names, ifHCIn: cells},
	}
	r.Stamp.Boot[0], r.Stamp.Uptime, r.Stamp.Wall = 1, time.Duration(n)*time.Minute, 1_700_000_000_000+int64(n)*60_000
	return r
}

// Agents that tell 0 for a while, or another count, make no growth of the way
// back.
func TestCounterThatFallsAndResumes(t *testing.T) {
	const far = 1_000_000_000_000
	for name, test := range map[string]struct {
		told []uint64
		want string
	}{
		"a moment of zero":        {[]uint64{far, far + 100, 0, far + 300, far + 400}, "100 100"},
		"zero for longer":         {[]uint64{far, far + 100, 0, 0, 0, far + 300, far + 400}, "100 0 0 100"},
		"a member of a cluster":   {[]uint64{far, 7000, 7100, far + 300, far + 350}, "100 50"},
		"zero twice":              {[]uint64{far, 0, far + 10, 0, far + 20, far + 25}, "5"},
		"it has really begun":     {[]uint64{far, 50, 60, 70}, "10 10"},
		"and passes where it was": {[]uint64{5000, 100, 3000, 5200, 6000}, "2900 2200 800"},
		"in one step":             {[]uint64{5000, 100, 9000}, "8900"},
	} {
		b, s := hostileBlock(nil), &State{}
		var got []string
		for n, v := range test.told {
			points, _ := Points([]*Block{b}, device, hostileReading(n, map[string]Cell{"1": text("a")}, map[string]Cell{"1": c64(v)}), s)
			for _, p := range points {
				got = append(got, fmt.Sprint(p.Value.Uint64()))
			}
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s: grew by %s, want %s", name, got, test.want)
		}
	}
}

// The same of 32 bits, on a line of 100 Mbit/s, where a wrap could explain it.
func TestNarrowCounterThatFallsToZero(t *testing.T) {
	const far, speed = 4_000_000_000, "1.3.6.1.2.1.31.1.1.1.15"
	b, s := hostileBlock(nil), &State{}
	b.Metrics[0].Source, b.HighSpeed = column(ifIn), speed
	var got []uint64
	for n, v := range []uint64{far, far + 100, 0, far + 300, far + 400, 1000} {
		r := hostileReading(n, map[string]Cell{"1": text("a")}, nil)
		r.Columns[ifIn] = map[string]Cell{"1": c32(v)}
		r.Columns[speed] = map[string]Cell{"1": {Kind: Unsigned, Uint: 100}}
		points, _ := Points([]*Block{b}, device, r, s)
		for _, p := range points {
			got = append(got, p.Value.Uint64())
		}
	}
	if want := []uint64{100, 100, 1<<32 + 1000 - far - 400}; !slices.Equal(got, want) {
		t.Errorf("grew by %d, want %d", got, want)
	}
}

// A table that is never read to its end, and whose rows are others with every
// poll, takes no more memory from poll to poll.
func TestChangingRowsTakeNoMemory(t *testing.T) {
	for _, identity := range [][]string{nil, {"if"}} {
		b, s := hostileBlock(identity), &State{}
		const polls, rows = 200, 20
		for n := range polls {
			names, cells := map[string]Cell{}, map[string]Cell{}
			for i := range rows {
				index := fmt.Sprint(i)
				names[index], cells[index] = text(fmt.Sprintf("since %d, %d", n, i)), c64(uint64(n))
			}
			r := hostileReading(n, names, cells)
			r.Partial = map[string]bool{ifHCIn: true}
			Points([]*Block{b}, device, r, s)
		}
		if kept := len(s.blocks[b].aside); kept > rows*int(absenceFloor/time.Minute+1) {
			t.Errorf("identity %v: the counters of %d rows wait for them", identity, kept)
		}
	}
	if testing.Short() {
		return
	}
	b, s := hostileBlock(nil), &State{}
	const rows = maxDormant/2 + 1
	for n := range 4 {
		names, cells := map[string]Cell{}, map[string]Cell{}
		for i := range rows {
			index := fmt.Sprint(n*rows + i)
			names[index], cells[index] = text("a"), c64(1)
		}
		r := hostileReading(n, names, cells)
		r.Partial = map[string]bool{ifHCIn: true}
		Points([]*Block{b}, device, r, s)
	}
	if kept := len(s.blocks[b].order); kept > maxDormant+rows {
		t.Errorf("%d rows are kept, %d of them there", kept, rows)
	}
}

// Of two blocks that read one column one was not read to its end: what is
// written down of both is the last that was told.
func TestCheckpointOfTwoBlocksTakesTheYounger(t *testing.T) {
	for range 20 { // the order of blocks is that of a map
		b, other, s := hostileBlock([]string{"if"}), hostileBlock([]string{"if"}), &State{}
		other.Metrics[0].Key = "in.too"
		other.Dims = append(other.Dims, Dim{Key: "oper", Source: column(ifOper)})
		blocks := []*Block{b, other}
		poll := func(n int, v uint64, s *State, partial bool) string {
			r := hostileReading(n, map[string]Cell{"1": text("a")}, map[string]Cell{"1": c64(v)})
			r.Partial = map[string]bool{ifOper: partial}
			points, _ := Points(blocks, device, r, s)
			return show(points)
		}
		poll(0, 100, s, false)
		poll(1, 300, s, true)
		data, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := &State{}
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if got := poll(2, 350, again, true); !strings.Contains(got, "in,if=a count 50\n") {
			t.Fatalf("after 300 came 350, but told is %q", got)
		}
	}
}
