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
}

type kept struct {
	point   probes.Point
	leased  bool
	outcome buffer.Outcome // Delivered or Refused once it is final
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
	slices.SortStableFunc(s.points, func(a, b *kept) int { return cmp.Compare(a.point.Stamp.Wall, b.point.Stamp.Wall) })
	select {
	case s.committed <- struct{}{}:
	default:
	}
}

func (s *fakeStore) Lease(q buffer.Query) (*buffer.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail; err != nil {
		s.fail = nil
		return nil, err
	}
	l := &buffer.Lease{}
	for _, k := range s.points {
		if k.outcome == 0 && !k.leased && in(q, k.point.Stamp.Time()) && len(l.Points) < q.Max {
			k.leased = true
			l.Points = append(l.Points, k.point)
		}
	}
	if len(l.Points) == 0 {
		return nil, nil
	}
	s.leases = append(s.leases, l.Points[0].Stamp.Time())
	return l, nil
}

func (s *fakeStore) Settle(l *buffer.Lease, each []buffer.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failSettle != nil {
		return s.failSettle
	}
	if len(each) != len(l.Points) {
		s.t.Errorf("%d settlements for %d points", len(each), len(l.Points))
		return nil
	}
	for i, p := range l.Points {
		k := s.find(p)
		if !k.leased || k.outcome != 0 {
			s.t.Errorf("point %s is settled but not leased", p.Series.Key())
		}
		k.leased = false
		switch e := each[i]; e.Outcome {
		case buffer.Later:
		case buffer.Delivered, buffer.Refused:
			k.outcome, k.line, k.reason = e.Outcome, e.Line, e.Reason
		default:
			s.t.Errorf("point %s is settled with outcome %d", p.Series.Key(), e.Outcome)
		}
	}
	return nil
}

func (s *fakeStore) find(p probes.Point) *kept {
	for _, k := range s.points {
		if k.point.Series == p.Series && k.point.Stamp == p.Stamp {
			return k
		}
	}
	return &kept{}
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
		case buffer.Delivered:
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
			s.t.Errorf("point %s is left leased", k.point.Series.Key())
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
