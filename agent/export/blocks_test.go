package export

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// archived reads an archive back.
func archived(t *testing.T, data []byte) (blocks map[uint64]int, points []probes.Point, end wire.ArchiveEnd) {
	t.Helper()
	blocks = map[uint64]int{}
	r := wire.NewReader()
	_, end, err := wire.ReadArchive(bytes.NewReader(data), func(h wire.Header, block []byte) error {
		got, err := r.Points(block, nil)
		if len(got) != h.Count {
			t.Errorf("block %d holds %d points, says %d", h.Seq, len(got), h.Count)
		}
		blocks[h.Seq]++
		points = append(points, got...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return blocks, points, end
}

func blocksOf(t *testing.T, s Source, since time.Time) ([]byte, BlocksResult) {
	t.Helper()
	var out bytes.Buffer
	res, err := Blocks{Source: s, Filter: Filter{Since: since}, Site: "plant-7", Now: time.UnixMilli(start)}.Write(context.Background(), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), res
}

// TestBlocksHoldAllPoints: what waits in the store is in the archive, the same
// from a running and a stopped agent.
func TestBlocksHoldAllPoints(t *testing.T) {
	s := site(20, 30)
	var wanted []probes.Point
	for _, r := range s.records {
		for i, state := range r.state {
			if state != buffer.Settled {
				wanted = append(wanted, r.points[i])
			}
		}
	}
	want := len(wanted)
	var first []byte
	for name, source := range s.sources() {
		data, res := blocksOf(t, source, time.Time{})
		_, points, end := archived(t, data)
		if int(res.Points) != want || len(points) != want || end.Points != res.Points {
			t.Errorf("%s: %+v, %d points read, want %d", name, res, len(points), want)
		}
		if first == nil {
			first = data
		}
		if !bytes.Equal(first, data) {
			t.Errorf("%s: another archive", name)
		}
	}
	_, points, _ := archived(t, first)
	for i, p := range points {
		w := wanted[i]
		if p.Series.ID() != w.Series.ID() || p.Stamp.Wall != w.Stamp.Wall || p.Value.Form() != w.Value.Form() || lineOf(t, p) != lineOf(t, w) {
			t.Fatalf("point %d is %s, want %s", i, lineOf(t, p), lineOf(t, w))
		}
	}
}

func lineOf(t *testing.T, p probes.Point) string {
	t.Helper()
	line, err := mint.AppendLine(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// TestBlocksKeepTheirNumbers: an archive that overlaps another has the same
// blocks with the same numbers, and other points get other ones.
func TestBlocksKeepTheirNumbers(t *testing.T) {
	s := site(10, 5)
	all, _ := blocksOf(t, Stopped{s, "x"}, time.Time{})
	part, _ := blocksOf(t, Stopped{s, "x"}, time.UnixMilli(start+5*60_000))
	numbers, _, _ := archived(t, all)
	later, _, _ := archived(t, part)
	if len(later) == 0 || len(later) >= len(numbers) {
		t.Fatalf("%d blocks of %d", len(later), len(numbers))
	}
	for n := range later {
		if numbers[n] != 1 {
			t.Errorf("block %d is in no archive of all", n)
		}
	}
}

// TestBlocksLeaveOutWhatHasNoTime counts points that were measured while the
// time was not known.
func TestBlocksLeaveOutWhatHasNoTime(t *testing.T) {
	s := &fakeStore{}
	p := probes.Point{Series: probes.NewSeries("a.b", probes.Gauge), Value: probes.Int(1), Stamp: probes.Stamp{Wall: 5, Guess: true}}
	s.add(p, probes.Point{Series: p.Series, Value: probes.Int(2), Stamp: at(start)})
	_, res := blocksOf(t, Stopped{s, "x"}, time.Time{})
	if res.Guessed != 1 || res.Points != 1 {
		t.Errorf("%+v", res)
	}
}

// TestBlocksTellAnInterruption leaves an archive without an end, which no
// reader takes.
func TestBlocksTellAnInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	_, err := Blocks{Source: Stopped{site(3, 3), "x"}, Site: "plant-7", Now: time.Now()}.Write(ctx, &out)
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if _, _, err := wire.ReadArchive(&out, func(wire.Header, []byte) error { return nil }); err == nil {
		t.Error("half an archive was taken")
	}
}
