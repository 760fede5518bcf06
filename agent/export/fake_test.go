package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// fakeRecord is one record of a fakeStore.
type fakeRecord struct {
	points  []probes.Point
	state   []buffer.PointState
	entries []buffer.Entry
}

// fakeStore keeps records in memory and reads them as a store does.
type fakeStore struct {
	records []fakeRecord
	stop    int // Read fails before this record; 0: never
	damage  error
	purged  buffer.Purge
	letters []buffer.Letter
	revived []buffer.Revived
}

var errStopped = errors.New("stopped by the test")

func (s *fakeStore) Account() buffer.Account {
	return buffer.Account{Accepted: 3, Buffered: 2, Purged: 1}
}
func (s *fakeStore) Stat() buffer.Stat { return buffer.Stat{UsedBytes: 5, Series: 7} }

func (s *fakeStore) Read(ctx context.Context, sel buffer.Selection, fn func(buffer.Page) error) error {
	for i, r := range s.records {
		if s.stop > 0 && i >= s.stop {
			return errStopped
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		page := buffer.Page{Record: uint64(i), Done: int64(i + 1), Of: int64(len(s.records))}
		for j, p := range r.points {
			at := p.Stamp.Time()
			if !sel.Oldest.IsZero() && at.Before(sel.Oldest) || !sel.Newest.IsZero() && at.After(sel.Newest) ||
				r.state[j] == buffer.Settled && !sel.Settled || sel.Match != nil && !sel.Match(p.Series) {
				continue
			}
			page.Points, page.State = append(page.Points, p), append(page.State, r.state[j])
		}
		page.Entries = r.entries
		if uint64(i) < sel.From || len(page.Points)+len(page.Entries) == 0 {
			continue
		}
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeStore) VerifyProgress(_ context.Context, progress func(done, of int64)) (buffer.Account, error) {
	progress(1, 2)
	return s.Account(), s.damage
}

func (s *fakeStore) Purge(_ context.Context, p buffer.Purge) (int64, error) {
	s.purged = p
	s.letters = slices.DeleteFunc(s.letters, func(x buffer.Letter) bool { return slices.Contains(p.Letters, x.Number) })
	return 4, nil
}

func (s *fakeStore) DeadLetters(fn func(buffer.Letter) error) error {
	for _, x := range s.letters {
		if err := fn(x); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeStore) RetryLetters(_ context.Context, numbers []uint64, revive func(buffer.Letter) (buffer.Revived, error)) (n int, err error) {
	for _, x := range slices.Clone(s.letters) {
		if numbers != nil && !slices.Contains(numbers, x.Number) {
			continue
		}
		r, err := revive(x)
		if err != nil {
			return n, err
		}
		if r == (buffer.Revived{}) {
			continue
		}
		n++
		s.revived = append(s.revived, r)
		s.letters = slices.DeleteFunc(s.letters, func(y buffer.Letter) bool { return y.Number == x.Number })
	}
	return n, nil
}

func (s *fakeStore) Close() error { return nil }

func (s *fakeStore) add(points ...probes.Point) {
	r := fakeRecord{points: points, state: make([]buffer.PointState, len(points))}
	for i := range r.state {
		r.state[i] = buffer.Buffered
	}
	s.records = append(s.records, r)
}

// sources are the same store as that of a stopped and of a running agent.
func (s *fakeStore) sources() map[string]Source {
	return map[string]Source{"stopped": Stopped{s, "/x/store.db"}, "running": s.running()}
}

// running serves the store through a pipe instead of a socket.
func (s *fakeStore) running() Running {
	return Running{Ask: func(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
		for _, e := range Endpoints(s, "/x/store.db") {
			if e.Method != method || e.Path != path {
				continue
			}
			r, w := io.Pipe()
			go func() { w.CloseWithError(e.Serve(ctx, query, w)) }()
			return r, nil
		}
		return nil, fmt.Errorf("no endpoint %s %s", method, path)
	}}
}

const start = int64(1_767_225_600_000) // 2026-01-01 00:00 UTC

func at(ms int64) probes.Stamp { return probes.Stamp{Wall: ms} }

func dims(pairs ...string) (out []probes.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// site fills a store with what polls of a switch give: counters of ports, a
// temperature, statistics, an event now and then.
func site(polls, ports int) *fakeStore {
	s := &fakeStore{}
	rnd := rand.New(rand.NewPCG(1, 2))
	device := []string{"device.address", "192.0.2.10", "device.name", "core-sw1", "device.port", "161", "site", "plant-7"}
	var in []*probes.Series
	for i := range ports {
		in = append(in, probes.NewSeries("if.in.bytes", probes.Count, dims(append([]string{"port", fmt.Sprintf("Gi1/0/%d", i+1)}, device...)...)...))
	}
	temperature := probes.NewSeries("env.temperature", probes.Gauge, dims(device...)...)
	ping := probes.NewSeries("ping.rtt", probes.Gauge, dims("device", "gateway", "site", "plant-7")...)
	for i := range polls {
		ms := start + int64(i)*60_000
		var points []probes.Point
		for j, p := range in {
			points = append(points, probes.Point{Series: p, Value: probes.Uint(rnd.Uint64N(uint64(1000*j) + 10)), Stamp: at(ms)})
		}
		points = append(points,
			probes.Point{Series: temperature, Value: probes.Float(20 + rnd.Float64()), Stamp: at(ms + 1500)},
			probes.Point{Series: ping, Value: probes.Summarize(probes.Summary{Min: 1, Max: 3 + rnd.Float64(), Sum: 20, Count: 10}), Stamp: at(ms + 2001)})
		s.add(points...)
		if i%3 == 0 {
			last := &s.records[len(s.records)-1]
			last.state[0], last.state[1] = buffer.Settled, buffer.Late
		}
		if i%5 == 0 {
			s.records = append(s.records, fakeRecord{entries: []buffer.Entry{{Data: []byte("x")}}})
		}
	}
	return s
}

// all reads everything that fits.
func all(t *testing.T, s Source, f Filter) (pages []buffer.Page, hint Hint) {
	t.Helper()
	hint, err := s.Read(t.Context(), f, func(p buffer.Page) error {
		p.Points = append([]probes.Point(nil), p.Points...)
		p.State = append([]buffer.PointState(nil), p.State...)
		p.Entries = append([]buffer.Entry(nil), p.Entries...)
		pages = append(pages, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages, hint
}

func pointsOf(pages []buffer.Page) (points []probes.Point) {
	for _, p := range pages {
		points = append(points, p.Points...)
	}
	return points
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))
