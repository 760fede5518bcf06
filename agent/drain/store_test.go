package drain

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// fakeStore is the buffer's contract in memory, and checks that the drain
// keeps its side: no point is settled that is not leased, none twice.
type fakeStore struct {
	t         testing.TB
	committed chan struct{}

	mu         sync.Mutex
	points     []*kept
	fail       error // of the next Lease
	failSettle error
	leases     []time.Time
	notes      map[string][]byte
}

type kept struct {
	point   probes.Point
	entry   buffer.Entry // instead, if it has data
	late    bool
	leased  bool
	outcome buffer.Outcome // once it is final
	kind    string
	line    string
	reason  string
}

func newStore(t testing.TB, points ...probes.Point) *fakeStore {
	s := &fakeStore{t: t, committed: make(chan struct{}, 1)}
	s.add(points...)
	return s
}

func (s *fakeStore) add(points ...probes.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range points {
		s.points = append(s.points, &kept{point: p})
	}
	s.commit()
}

// enter adds events or log records.
func (s *fakeStore) enter(entries ...buffer.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.points = append(s.points, &kept{entry: e})
	}
	s.commit()
}

func (s *fakeStore) commit() {
	slices.SortStableFunc(s.points, func(a, b *kept) int { return cmp.Compare(a.stamp().Wall, b.stamp().Wall) })
	select {
	case s.committed <- struct{}{}:
	default:
	}
}

// pass makes late what is older than a time.
func (s *fakeStore) pass(oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.points {
		k.late = k.late || k.stamp().Time().Before(oldest)
	}
}

func (k *kept) stamp() probes.Stamp {
	if k.entry.Data != nil {
		return k.entry.Stamp
	}
	return k.point.Stamp
}

// fits reports whether a query asks for k, but for Whole.
func (k *kept) fits(q buffer.Query) bool {
	isEntry := k.entry.Data != nil
	switch {
	case k.outcome != 0 || k.leased || k.late != q.Late || isEntry != q.Entries || !in(q, k.stamp().Time()):
		return false
	case isEntry:
		return q.Kind == 0 || q.Kind == k.entry.Kind
	}
	return q.Match == nil || q.Match(k.point.Series)
}

func (s *fakeStore) Lease(q buffer.Query) (*buffer.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail; err != nil {
		s.fail = nil
		return nil, err
	}
	l := &buffer.Lease{}
	period := int64(-1)
	inside := map[*probes.Series]bool{} // whose period is leased
	for _, k := range s.points {
		if !k.fits(q) {
			continue
		}
		if q.Whole > 0 && period < 0 {
			period = k.stamp().Wall / q.Whole.Milliseconds()
		}
		full := len(l.Points)+len(l.Entries) >= q.Max
		if q.Whole > 0 && (period != k.stamp().Wall/q.Whole.Milliseconds() || full && !inside[k.point.Series]) || q.Whole == 0 && full {
			continue
		}
		k.leased = true
		if q.Entries {
			l.Entries = append(l.Entries, k.entry)
			continue
		}
		inside[k.point.Series] = true
		l.Points = append(l.Points, k.point)
	}
	if len(l.Points)+len(l.Entries) == 0 {
		return nil, nil
	}
	if len(l.Points) > 0 {
		s.leases = append(s.leases, l.Points[0].Stamp.Time())
	}
	return l, nil
}

func (s *fakeStore) Settle(l *buffer.Lease, each []buffer.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failSettle != nil {
		return s.failSettle
	}
	if len(each) != 1 && len(each) != len(l.Points)+len(l.Entries) {
		s.t.Errorf("%d settlements for %d points and %d entries", len(each), len(l.Points), len(l.Entries))
		return nil
	}
	for i, p := range l.Points {
		s.settle(s.find(func(k *kept) bool { return k.point.Series == p.Series && k.point.Stamp == p.Stamp }), each[min(i, len(each)-1)])
	}
	for i, e := range l.Entries {
		s.settle(s.find(func(k *kept) bool { return len(k.entry.Data) > 0 && &k.entry.Data[0] == &e.Data[0] }), each[min(i, len(each)-1)])
	}
	return nil
}

func (s *fakeStore) settle(k *kept, e buffer.Settlement) {
	if !k.leased || k.outcome != 0 {
		s.t.Errorf("%s is settled but not leased", k.name())
	}
	k.leased = false
	ends := e.Outcome == buffer.Refused || k.late && (e.Outcome == buffer.Logged || e.Outcome == buffer.Dropped) || !k.late && e.Outcome == buffer.Delivered
	switch {
	case ends:
		k.outcome, k.line, k.reason, k.kind = e.Outcome, e.Line, e.Reason, e.Kind
	case e.Outcome != buffer.Later:
		s.t.Errorf("%s is settled with outcome %d", k.name(), e.Outcome)
	}
}

func (k *kept) name() string {
	if k.point.Series == nil {
		return "an entry"
	}
	return "point " + k.point.Series.Key()
}

func (s *fakeStore) find(is func(*kept) bool) *kept {
	for _, k := range s.points {
		if is(k) {
			return k
		}
	}
	return &kept{}
}

func (s *fakeStore) Keep(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes == nil {
		s.notes = map[string][]byte{}
	}
	s.notes[name] = slices.Clone(data)
}

func (s *fakeStore) Kept(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[name]
}

func (s *fakeStore) Committed() <-chan struct{} { return s.committed }

func (s *fakeStore) Account() buffer.Account {
	_, _, open := s.tally()
	return buffer.Account{Buffered: int64(open)}
}

func (s *fakeStore) tally() (delivered, refused, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.points {
		switch k.outcome {
		case buffer.Delivered, buffer.Logged, buffer.Dropped:
			delivered++
		case buffer.Refused:
			refused++
		default:
			open++
		}
	}
	return delivered, refused, open
}

// expect fails unless the tally is as given and nothing is left leased.
func (s *fakeStore) expect(delivered, refused, open int) {
	s.t.Helper()
	if d, r, o := s.tally(); d != delivered || r != refused || o != open {
		s.t.Errorf("%d delivered, %d refused, %d open; want %d, %d, %d", d, r, o, delivered, refused, open)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.points {
		if k.leased {
			s.t.Errorf("%s is left leased", k.name())
		}
	}
}

// leasedFrom is the wall time of the first point of each lease so far.
func (s *fakeStore) leasedFrom() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.leases)
}

// samples makes n gauges, one series each, all of one age.
func samples(n int, at time.Time) []probes.Point {
	points := make([]probes.Point, n)
	for i := range points {
		s := probes.NewSeries(fmt.Sprintf("test.sample.n%05d", i), probes.Gauge, probes.Dimension{Key: "site", Value: "plant 7"})
		points[i] = probes.Point{Series: s, Value: probes.Int(int64(i)), Stamp: probes.Stamp{Wall: at.UnixMilli()}}
	}
	return points
}
