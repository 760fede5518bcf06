package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// In the small cases each post carries one point and takes one slot.
const (
	slot      = 30 * time.Second
	liveSlots = int(liveAge / slot)
)

// smallCase is points by the slot in which they were measured, some before the
// link came back in slot 0, some while it carries.
type smallCase struct {
	stamps []int // ascending
	keep   int   // slots until a point has to be with the server
}

func (c smallCase) ends() int { return c.stamps[len(c.stamps)-1] + c.keep + 1 }

// now is a little after the slot's begin, so that stamps lie before it.
func slotTime(slots int) time.Time { return noon.Add(time.Duration(slots) * slot) }

// byDrain counts the points that the drain's own choice brings in time: of the
// lanes, of the query, of what is too late to begin with.
func (c smallCase) byDrain(t *testing.T) (saved int) {
	store := newStore(t)
	series := probes.NewSeries("test", probes.Gauge)
	window := margin + time.Duration(c.keep)*slot
	next := 0
	for at := range c.ends() {
		now := slotTime(at)
		for ; next < len(c.stamps) && c.stamps[next] <= at; next++ {
			p := pointAt(series, probes.Int(int64(next)), slotTime(c.stamps[next]).UnixMilli())
			p.Stamp.Uptime = time.Duration(next) // tells equal times apart
			store.add(p)
		}
		s := scope{now: now, window: window, estimate: slot, points: 1}
		try, _ := choose(nil, view{now: now, gates: &gates{}})
		l := firstLease(store, s, try)
		if l == nil {
			continue
		}
		if wall := l.Points[0].Stamp.Wall; tooLate(wall, now, window) || at+1 > int(time.UnixMilli(wall).Sub(noon)/slot)+c.keep {
			t.Fatalf("a point of %v is sent at %v", time.UnixMilli(wall), now)
		}
		if err := store.Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
			t.Fatal(err)
		}
		saved++
	}
	return saved
}

func firstLease(store *fakeStore, s scope, try []lane) *buffer.Lease {
	for _, l := range try {
		var queries []buffer.Query
		switch l {
		case laneLive:
			queries = s.fresh()
		case laneWindow:
			queries = s.backlog()
		}
		for _, q := range queries {
			if lease, _ := store.Lease(q); lease != nil {
				return lease
			}
		}
	}
	return nil
}

// optimum is the most points that any order brings in time where the oldest
// live point goes before all others. It tries every choice of the rest.
func (c smallCase) optimum() int {
	known := map[[2]int]int{}
	var best func(at, sent int) int
	best = func(at, sent int) int {
		if at >= c.ends() {
			return 0
		}
		if n, ok := known[[2]int{at, sent}]; ok {
			return n
		}
		most := 0
		if live := c.live(at, sent); live >= 0 {
			most = 1 + best(at+1, sent|1<<live)
		} else {
			most = best(at+1, sent) // nothing is sent
			for i, stamp := range c.stamps {
				if sent&(1<<i) == 0 && stamp <= at && at+1 <= stamp+c.keep {
					most = max(most, 1+best(at+1, sent|1<<i))
				}
			}
		}
		known[[2]int{at, sent}] = most
		return most
	}
	return best(0, 0)
}

// live is the oldest live point that is there and not sent, -1 for none.
func (c smallCase) live(at, sent int) int {
	for i, stamp := range c.stamps {
		if sent&(1<<i) == 0 && stamp <= at && at-stamp <= liveSlots && at+1 <= stamp+c.keep {
			return i
		}
	}
	return -1
}

// newestFirst is what another policy brings, to show that the cases tell
// policies apart.
func (c smallCase) newestFirst() (saved int) {
	sent := 0
	for at := range c.ends() {
		pick := c.live(at, sent)
		for i, stamp := range c.stamps {
			if c.live(at, sent) < 0 && sent&(1<<i) == 0 && stamp <= at && at+1 <= stamp+c.keep {
				pick = i
			}
		}
		if pick >= 0 {
			sent |= 1 << pick
			saved++
		}
	}
	return saved
}

func TestSmallCasesAreOptimal(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	scarce, told := 0, 0
	for range 4000 {
		c := smallCase{keep: 5 + random.IntN(8)}
		for range 1 + random.IntN(10) {
			stamp := -random.IntN(c.keep + 2)
			if random.IntN(3) == 0 {
				stamp = random.IntN(6)
			}
			c.stamps = append(c.stamps, stamp)
		}
		sort.Ints(c.stamps)
		got, want := c.byDrain(t), c.optimum()
		if got != want {
			t.Fatalf("of points %v, kept %d slots, %d are saved and %d could be", c.stamps, c.keep, got, want)
		}
		if want < len(c.stamps) {
			scarce++
		}
		if c.newestFirst() < want {
			told++
		}
	}
	if scarce < 500 || told < 100 {
		t.Errorf("%d cases lose points, and %d tell policies apart", scarce, told)
	}
}

// simStore is the buffer's contract for many points in the order of their
// stamps, with everything found by its place.
type simStore struct {
	*fakeStore // of which only what is not about points is used
	open       []simPoint
	first      int // before it all is done with
	at         map[*buffer.Lease][]int
}

type simPoint struct {
	probes.Point
	taken bool
}

func (s *simStore) fill(points []probes.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range points {
		s.open = append(s.open, simPoint{Point: p})
	}
	s.commit()
}

func (s *simStore) Lease(q buffer.Query) (*buffer.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Late || q.Entries {
		return nil, nil
	}
	cutoff := time.Now().Add(-time.Hour).UnixMilli()
	for s.first < len(s.open) && s.open[s.first].Stamp.Wall < cutoff {
		s.first++
	}
	oldest := q.Oldest.UnixMilli()
	from := s.first + sort.Search(len(s.open)-s.first, func(i int) bool { return s.open[s.first+i].Stamp.Wall >= oldest })
	l := &buffer.Lease{}
	for i := from; i < len(s.open) && len(l.Points) < q.Max && !s.open[i].Stamp.Time().After(q.Newest); i++ {
		if p := &s.open[i]; !p.taken {
			p.taken = true
			l.Points, s.at[l] = append(l.Points, p.Point), append(s.at[l], i)
		}
	}
	if len(l.Points) == 0 {
		return nil, nil
	}
	return l, nil
}

func (s *simStore) Settle(l *buffer.Lease, each []buffer.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.at[l] {
		s.open[at].taken = each[min(i, len(each)-1)].Outcome == buffer.Delivered
	}
	delete(s.at, l)
	return nil
}

// thinLink is a link that was down for hours, and then carries so much.
type thinLink struct {
	bytes   float64 // a second
	latency time.Duration
	line    float64 // wire bytes of a line
	outage  time.Duration
	run     time.Duration // from then on
	series  int           // polled every ten seconds
}

const (
	simPoll = 10 * time.Second
	perPost = 900.0 // wire bytes of a post beside its lines
)

func (l thinLink) takes(lines int) time.Duration {
	return l.latency + time.Duration((perPost+float64(lines)*l.line)/l.bytes*float64(time.Second))
}

// saved is what arrived in time.
type saved struct{ backlog, live, tooLate int }

// plainAnswers is a server in memory that takes lines as they are: to pack them
// would be most of the work.
type plainAnswers func(lines []string) error

func (f plainAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = f(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// byDrain runs the drain over the outage and after it.
func (l thinLink) byDrain(t *testing.T) (got saved) {
	store := &simStore{fakeStore: newStore(t), at: map[*buffer.Lease][]int{}}
	begin := time.Now()
	back := begin.Add(l.outage)
	server := plainAnswers(func(lines []string) error {
		if time.Now().Before(back) {
			return errors.New("the link is down")
		}
		time.Sleep(l.takes(len(lines)))
		for _, text := range lines {
			got.arrived(t, text, back)
		}
		return nil
	})
	d := New(Options{
		Target: Target{URL: "https://env.example", Client: &http.Client{Transport: server}, Plain: true},
		Store:  store, Log: zerolog.Nop(), Site: "plant 7", Random: func() float64 { return 0.5 },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	points := samples(l.series, begin)
	for time.Since(begin) < l.outage+l.run {
		if now := time.Now(); now.Equal(back) {
			d.LinkChanged()
		}
		wall := time.Now().UnixMilli()
		for i := range points {
			points[i].Stamp.Wall = wall
		}
		store.fill(points)
		time.Sleep(simPoll)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return got
}

func (s *saved) arrived(t *testing.T, text string, back time.Time) {
	wall, err := strconv.ParseInt(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
	if err != nil {
		t.Error(err)
	}
	switch at := time.UnixMilli(wall); {
	case time.Since(at) > time.Hour:
		s.tooLate++
	case at.Before(back):
		s.backlog++
	default:
		s.live++
	}
}

// couldCarry counts what a post after the other brings that knows the link: the
// same time for a post, live points first, then the oldest that arrive in time.
func (l thinLink) couldCarry() (got saved) {
	most := int(((aim-l.latency.Seconds())*l.bytes - perPost) / l.line)
	polls := int((l.outage + l.run) / simPoll)
	left := make([]int, polls) // points not sent, by poll
	for i := range left {
		left[i] = l.series
	}
	back := int(l.outage / simPoll)
	now := l.outage
	for now < l.outage+l.run {
		there := min(polls, int(now/simPoll)+1)
		border := max(0, int((now-liveAge+simPoll-1)/simPoll))
		from, to := border, there
		if !slices.ContainsFunc(left[from:to], func(n int) bool { return n > 0 }) {
			for from = 0; time.Duration(from)*simPoll+time.Hour-margin < now+l.takes(most); from++ {
			}
			to = border
		}
		n := 0
		for i := from; i < to && n < most; i++ {
			take := min(left[i], most-n)
			left[i], n = left[i]-take, n+take
			if i < back {
				got.backlog += take
			} else {
				got.live += take
			}
		}
		if n == 0 {
			now = now.Truncate(simPoll) + simPoll
			continue
		}
		now += l.takes(n)
	}
	return got
}

// TestLargeOutageSavesWhatTheLinkCarries drains after hours on thin links, some
// of which cannot carry all that could still be taken.
func TestLargeOutageSavesWhatTheLinkCarries(t *testing.T) {
	for _, l := range []thinLink{
		{bytes: 9e3 / 8, latency: 600 * time.Millisecond, line: 240, series: 25, outage: 3 * time.Hour, run: 90 * time.Minute},
		{bytes: 9e3 / 8, latency: 600 * time.Millisecond, line: 100, series: 40, outage: 2 * time.Hour, run: 80 * time.Minute},
		{bytes: 32e3 / 8, latency: 300 * time.Millisecond, line: 300, series: 60, outage: 6 * time.Hour, run: 90 * time.Minute},
		{bytes: 1e6 / 8, latency: 300 * time.Millisecond, line: 300, series: 100, outage: 3 * time.Hour, run: 20 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%g bit a second", l.bytes*8), func(t *testing.T) {
			if testing.Short() && l.series > 50 {
				t.Skip("a long simulation")
			}
			synctest.Test(t, func(t *testing.T) {
				got, could := l.byDrain(t), l.couldCarry()
				inWindow := int((time.Hour-margin)/simPoll) * l.series
				t.Logf("of %d points %d were saved, %d could be; live %d and %d", inWindow, got.backlog, could.backlog, got.live, could.live)
				if got.tooLate > 0 {
					t.Errorf("%d points came too late", got.tooLate)
				}
				if got.backlog < could.backlog*99/100 {
					t.Errorf("%d points of the outage were saved, %d could be", got.backlog, could.backlog)
				}
				if got.live < could.live*99/100 {
					t.Errorf("%d live points arrived, %d could", got.live, could.live)
				}
			})
		})
	}
}
