package export

import (
	"bytes"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// A point without a true time crosses the socket as one, csv marks it, and no
// other form shows it at a false time.
func TestGuessedTimesAreMarked(t *testing.T) {
	series := probes.NewSeries("guess.test", probes.Gauge)
	page := buffer.Page{Record: 1, Of: 1, Done: 1, State: []buffer.PointState{buffer.Late, buffer.Buffered}, Points: []probes.Point{
		{Series: series, Value: probes.Int(1), Stamp: probes.Stamp{Wall: 1_790_000_000_000, Guess: true}},
		{Series: series, Value: probes.Int(2), Stamp: probes.Stamp{Wall: 1_790_000_000_000}},
	}}
	var stream bytes.Buffer
	w, err := newStreamWriter(&stream)
	if err == nil {
		err = w.page(page)
	}
	if err == nil {
		err = w.end(Hint{})
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []probes.Point
	if _, err := readStream(&stream, func(p buffer.Page) error { got = append(got, p.Points...); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[0].Stamp.Guess || got[1].Stamp.Guess {
		t.Fatalf("over the socket: %+v", got)
	}
	var c csvWriter
	for i, want := range []string{",late-undated,", ",buffered,"} {
		line, err := c.appendLine(nil, got[i], page.State[i])
		if err != nil || !strings.Contains(string(line), want) {
			t.Errorf("csv %q, %v; want %q", line, err, want)
		}
		_, mintErr := appendMint(nil, got[i])
		if wallErr := wallError(got[i].Stamp); (mintErr != nil) != (i == 0) || (wallErr != nil) != (i == 0) {
			t.Errorf("point %d: %v, %v", i, mintErr, wallErr)
		}
	}
	h := historian{cells: 4, series: map[[16]byte]*collected{}, left: map[[16]byte]bool{}}
	for i, p := range got {
		h.add(p, page.State[i])
	}
	if all := h.finish(); all.Undated != 1 || all.Points != 2 || len(all.Series) != 1 {
		t.Errorf("history %+v", all)
	}
}
