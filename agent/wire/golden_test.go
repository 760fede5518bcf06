package wire

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// sample is a block of each sort that there is.
type sample struct {
	name  string
	block []byte
	// exact says that every build makes these very bytes; DEFLATE does not.
	exact bool
}

func samplePoints() (points []probes.Point) {
	port := func(n int) *probes.Dimensions {
		return probes.NewDimensions(
			probes.Dimension{Key: "device", Value: "switch-1"}, probes.Dimension{Key: "port", Value: fmt.Sprint("gi0/", n, "ä")})
	}
	one, two := port(1), port(2)
	series := []*probes.Series{
		probes.NewSeriesOf("if.in", probes.Count, one), probes.NewSeriesOf("if.state", probes.Gauge, one),
		probes.NewSeriesOf("if.in", probes.Count, two), probes.NewSeriesOf("if.state", probes.Gauge, two),
		probes.NewSeries("temperature", probes.Gauge),
	}
	for poll := range int64(4) {
		up := 90000 + 60000*poll
		stamp := probes.Stamp{Boot: probes.BootID{1, 2, 3}, Uptime: time.Duration(up) * time.Millisecond, Wall: 1767232000000 + up}
		values := []probes.Value{
			probes.Uint([]uint64{17, 0, 99, math.MaxUint64}[poll]), probes.Int(1 - 2*poll), probes.Uint(5), probes.Float(0.25),
			probes.Summarize(probes.Summary{Min: -1.5, Max: 21.7, Sum: 40.5, Count: uint64(poll) + 2}),
		}
		for i := range series {
			points = append(points, probes.Point{Series: series[i], Value: values[i], Stamp: stamp})
		}
	}
	points[7], points[8] = points[8], points[7] // order is kept, whatever it is
	return points
}

func samples(t testing.TB) (out []sample) {
	w := NewWriter()
	points := samplePoints()
	add := func(name string, exact bool, h Header, o Naming) {
		block, n, err := w.AppendPoints(nil, h, points, o)
		if err != nil || n != len(points) {
			t.Fatalf("%s: %d points, %v", name, n, err)
		}
		out = append(out, sample{name, block, exact})
	}
	all := func(uint32) bool { return true }
	h := header()
	h.Deadline = 1767232000000 + 3_600_000
	fresh := func() *Numbering {
		n := NewNumbering()
		n.ID(probes.NewSeries("other", probes.Gauge))
		return n
	}
	add("names", false, h, Naming{Numbering: fresh()})
	add("ids", true, h, Naming{Numbering: fresh(), Known: all})
	add("some-names", false, h, Naming{Numbering: fresh(), Known: func(id uint32) bool { return id > 2 }})
	add("local", false, h, Naming{})
	h.Codec = Text
	add("text", false, h, Naming{})
	h.Codec, h.Lane, h.Deadline = 0, Live, 0
	for i := range points {
		points[i].Stamp.Guess = true
	}
	add("guess", true, h, Naming{Numbering: fresh(), Known: all})
	for _, kind := range []Kind{Events, Logs} {
		h.Kind = kind
		entries := make([]Entry, 3)
		for i := range entries {
			entries[i] = Entry{Kind: kind.entryKind(), Stamp: points[i].Stamp, Data: bytes.Repeat([]byte("it happened "), 3*i+1)}
			entries[i].Stamp.Guess = false
		}
		block, n, err := w.AppendEntries(nil, h, entries, 0)
		if err != nil || n != 3 {
			t.Fatalf("%d entries, %v", n, err)
		}
		out = append(out, sample{[]string{"events", "logs"}[kind-Events], block, false})
	}
	probe, err := AppendProbe(nil, h, 200)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, sample{"probe", probe, true})
}

// otherNames are those of fresh and of the points, under their ids.
func otherNames() map[uint32]*probes.Series {
	names := map[uint32]*probes.Series{0: probes.NewSeries("other", probes.Gauge)}
	for i, p := range samplePoints()[:5] {
		names[uint32(i+1)] = p.Series
	}
	return names
}

// describe tells what both readers find, which must be the same.
func describe(t *testing.T, block []byte) string {
	names := make(map[uint32]string)
	for id, s := range otherNames() {
		names[id] = said(s)
	}
	x, err := interpret(block, names)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(block)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", h)
	var got []string
	if h.Kind == Points {
		points, err := NewReader().Points(block, func(id uint32) *probes.Series { return otherNames()[id] })
		if err != nil {
			t.Fatal(err)
		}
		if got = items(points); h.Codec == Text {
			got = x.items
		}
	} else if h.Kind != Probe {
		entries, err := NewReader().Entries(block)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%d %x %d %d %x", e.Kind, e.Stamp.Boot, e.Stamp.Uptime.Milliseconds(), e.Stamp.Wall, e.Data))
		}
	}
	if strings.Join(got, "\n") != strings.Join(x.items, "\n") {
		t.Fatalf("one reader finds %v\nthe other %v", got, x.items)
	}
	ids, _, err := NamesIn(block)
	if err != nil {
		t.Fatal(err)
	}
	uses, err := IDsIn(block)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "names %v, uses %v\n", ids, uses)
	var named []int
	for id := range x.named {
		named = append(named, int(id))
	}
	sort.Ints(named)
	for _, id := range named {
		fmt.Fprintf(&b, "  %d is %s\n", id, x.named[uint32(id)])
	}
	for _, item := range x.items {
		b.WriteString("  " + item + "\n")
	}
	return b.String()
}

// TestGolden reads blocks that an earlier build has made, and makes them again.
func TestGolden(t *testing.T) {
	for _, s := range samples(t) {
		path := filepath.Join("testdata", s.name)
		if os.Getenv("UPDATE_FIXTURE") != "" {
			write(t, path+".block", s.block)
			write(t, path+".golden", []byte(describe(t, s.block)))
		}
		old, err := os.ReadFile(path + ".block")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, old); got != string(want) {
			t.Errorf("%s says\n%s\nwant\n%s", s.name, got, want)
		}
		if got := describe(t, s.block); got != string(want) {
			t.Errorf("%s made anew says\n%s\nwant\n%s", s.name, got, want)
		}
		if s.exact && !bytes.Equal(s.block, old) {
			t.Errorf("%s is made as\n%x\nwant\n%x", s.name, s.block, old)
		}
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
