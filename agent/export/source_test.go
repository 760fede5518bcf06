package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// What crosses the socket is what a read of the file gives.
func TestRunningGivesWhatStoppedGives(t *testing.T) {
	s := site(12, 4)
	odd := probes.NewSeries("odd", probes.Gauge, dims("k", "ü \"\n\x00\xff")...)
	s.add(probes.Point{Series: odd, Value: probes.Int(math.MinInt64), Stamp: at(-5)}, probes.Point{Series: odd, Value: probes.Uint(math.MaxUint64), Stamp: at(math.MaxInt64)},
		probes.Point{Series: odd, Value: probes.Float(math.Copysign(0, -1)), Stamp: at(0)})
	for _, f := range []Filter{
		{},
		{Delivered: true},
		{From: 7},
		{Key: "*.bytes", Dims: map[string]string{"port": "Gi1/0/2"}},
		{Device: "CORE-SW1"},
		{Device: "192.0.2.10:161", Key: "temperature"},
		{Device: "nobody"},
		{Since: time.UnixMilli(start + 120_000), Until: time.UnixMilli(start + 240_000)},
	} {
		stopped, hint := all(t, Stopped{s, ""}, f)
		running, runningHint := all(t, s.running(), f)
		if !slices.Equal(hint.Devices, runningHint.Devices) || !slices.Equal(hint.Keys, runningHint.Keys) {
			t.Errorf("%+v: hints %+v and %+v", f, hint, runningHint)
		}
		if len(stopped) != len(running) {
			t.Fatalf("%+v: %d pages of the file, %d over the socket", f, len(stopped), len(running))
		}
		for i := range stopped {
			comparePages(t, stopped[i], running[i])
		}
	}
}

func comparePages(t *testing.T, a, b buffer.Page) {
	t.Helper()
	if a.Record != b.Record || a.Done != b.Done || a.Of != b.Of || len(a.Entries) != len(b.Entries) || len(a.Points) != len(b.Points) || !slices.Equal(a.State[:len(a.Points)], b.State) {
		t.Fatalf("pages differ:\n%+v\n%+v", a, b)
	}
	for i := range a.Points {
		x, y := a.Points[i], b.Points[i]
		if x.Series.ID() != y.Series.ID() || !x.Value.Equal(y.Value) || x.Stamp.Wall != y.Stamp.Wall {
			t.Fatalf("record %d point %d: %+v became %+v", a.Record, i, x, y)
		}
	}
}

func TestFilter(t *testing.T) {
	s := site(10, 3)
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 10*5 - 4},
		{Filter{Delivered: true}, 50},
		{Filter{Device: "core-sw1", Delivered: true}, 40},
		{Filter{Device: "192.0.2.10", Delivered: true}, 40},
		{Filter{Device: "gateway"}, 10},
		{Filter{Device: "192.0.2"}, 0},
		{Filter{Key: "bytes", Delivered: true}, 30},
		{Filter{Key: "in.bytes", Delivered: true}, 30},
		{Filter{Key: "n.bytes"}, 0},
		{Filter{Key: "if.*"}, 26},
		{Filter{Dims: map[string]string{"port": "Gi1/0/3", "site": "plant-7"}}, 10},
		{Filter{Dims: map[string]string{"port": "Gi1/0/3", "site": "plant-8"}}, 0},
		{Filter{Since: time.UnixMilli(start + 9*60_000), Key: "bytes"}, 2},
	} {
		for name, source := range s.sources() {
			pages, _ := all(t, source, c.f)
			if got := len(pointsOf(pages)); got != c.want {
				t.Errorf("%s %+v: %d points, want %d", name, c.f, got, c.want)
			}
		}
	}
}

func TestHints(t *testing.T) {
	s := site(2, 1)
	_, hint := all(t, s.running(), Filter{Device: "core-sw2"})
	if len(hint.Devices) == 0 || hint.Devices[0] != "core-sw1" {
		t.Errorf("devices %q", hint.Devices)
	}
	_, hint = all(t, s.running(), Filter{Device: "core-sw1", Key: "temprature"})
	if !slices.Equal(hint.Keys, []string{"env.temperature", "if.in.bytes"}) && !slices.Equal(hint.Keys, []string{"if.in.bytes", "env.temperature"}) {
		t.Errorf("keys %q", hint.Keys)
	}
}

func TestStatVerifyPurge(t *testing.T) {
	s := site(2, 1)
	for name, source := range s.sources() {
		st, err := source.Stat(t.Context())
		if err != nil || st.Path != "/x/store.db" || st.Running != (name == "running") || st.Series != 7 || st.BytesPerPoint != 2.5 || st.Account != s.Account() {
			t.Errorf("%s: stat %+v, %v", name, st, err)
		}
		s.damage = nil
		var done int64
		if a, err := source.Verify(t.Context(), func(d, _ int64) { done = max(done, d) }); err != nil || a != s.Account() || done != 1 {
			t.Errorf("%s: verify %+v, %v, progress to %d", name, a, err, done)
		}
		s.damage = errors.New("record 7 is damaged")
		var damage *Damage
		if a, err := source.Verify(t.Context(), func(int64, int64) {}); !errors.As(err, &damage) || damage.Text != "record 7 is damaged" || a != s.Account() {
			t.Errorf("%s: verify %+v, %v", name, a, err)
		}
		p := buffer.Purge{Before: time.UnixMilli(start).UTC(), DeadLetters: true}
		done2, err := source.Purge(t.Context(), p)
		if err != nil || done2.Purged != 4 || done2.Account != s.Account() || !s.purged.Before.Equal(p.Before) || !s.purged.DeadLetters || s.purged.All {
			t.Errorf("%s: purge %+v, %v, the store got %+v", name, done2, err, s.purged)
		}
	}
}

// A store that fails in the middle is an error on the other side too, never a
// short answer.
func TestFailuresCross(t *testing.T) {
	s := site(6, 1)
	s.stop = 3
	for name, source := range s.sources() {
		if _, err := source.Read(t.Context(), Filter{}, func(buffer.Page) error { return nil }); !errors.Is(err, errStopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := errors.New("the reader has enough")
	s.stop = 0
	for name, source := range s.sources() {
		if _, err := source.Read(t.Context(), Filter{}, func(buffer.Page) error { return own }); !errors.Is(err, own) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := Endpoints(s, "")
	for _, c := range []struct {
		i     int
		query url.Values
		want  string
	}{{2, url.Values{}, "read the selection"}, {2, url.Values{"filter": {`{"key":"["}`}}, "is not a pattern"}, {3, url.Values{"purge": {"x"}}, "read what to purge"}} {
		if err := e[c.i].Serve(t.Context(), c.query, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", e[c.i].Path, err)
		}
	}
}

// A stream that is cut, wherever, is an error.
func TestStreamCut(t *testing.T) {
	var whole bytes.Buffer
	e := Endpoints(site(3, 2), "")[2]
	if err := e.Serve(context.Background(), url.Values{"filter": {"{}"}}, &whole); err != nil {
		t.Fatal(err)
	}
	nothing := func(buffer.Page) error { return nil }
	if _, err := readStream(bytes.NewReader(whole.Bytes()), nothing); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if _, err := readStream(bytes.NewReader(whole.Bytes()[:n]), nothing); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, whole.Len(), err)
		}
	}
}

// FuzzStream: what can be read, written again and read again is the same.
func FuzzStream(f *testing.F) {
	var whole bytes.Buffer
	if err := Endpoints(site(2, 2), "")[2].Serve(context.Background(), url.Values{"filter": {"{}"}}, &whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte(magic + "E\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		copyPages := func(into *[]buffer.Page) func(buffer.Page) error {
			return func(p buffer.Page) error {
				p.Points, p.State = slices.Clone(p.Points), slices.Clone(p.State)
				*into = append(*into, p)
				return nil
			}
		}
		var first, second []buffer.Page
		hint, err := readStream(bytes.NewReader(data), copyPages(&first))
		if err != nil {
			return
		}
		var again bytes.Buffer
		w, err := newStreamWriter(&again)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range first {
			if err := w.page(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(hint); err != nil {
			t.Fatal(err)
		}
		if _, err := readStream(&again, copyPages(&second)); err != nil {
			t.Fatal(err)
		}
		if len(first) != len(second) {
			t.Fatalf("%d pages became %d", len(first), len(second))
		}
		for i := range first {
			for j, p := range first[i].Points {
				if math.IsNaN(p.Value.Float64()) { // NaN equals nothing; the store holds none
					return
				}
				if p.Stamp.Wall != second[i].Points[j].Stamp.Wall {
					t.Fatalf("time %d became %d", p.Stamp.Wall, second[i].Points[j].Stamp.Wall)
				}
			}
			comparePages(t, first[i], second[i])
		}
	})
}

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]string{
		"now": "2026-03-01T12:00:00+01:00", "7d": "2026-02-22T12:00:00+01:00", "36h": "2026-02-28T00:00:00+01:00", "1w": "2026-02-22T12:00:00+01:00",
		"2026-02-01": "2026-02-01T00:00:00+01:00", "2026-02-01 14:30": "2026-02-01T14:30:00+01:00", "2026-02-01T14:30:05": "2026-02-01T14:30:05+01:00",
		"2026-02-01T14:30:05Z": "2026-02-01T14:30:05Z", "2026-02-01T14:30:05.25-02:00": "2026-02-01T14:30:05.25-02:00",
	} {
		if got, err := ParseMoment(text, noon); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-1h", "2026-13-01", "7", "01.02.2026"} {
		if got, err := ParseMoment(text, noon); err == nil || !strings.Contains(err.Error(), "expected how long ago") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
