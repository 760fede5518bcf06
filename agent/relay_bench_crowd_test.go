package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

// crowd is many simulated sites in one process: each has a connection of its
// own and follows the protocol as a courier does (names until a relay has said
// stored, at most eight blocks without an answer, again after 30 s), but keeps
// its points in memory only.
type crowd struct {
	Sites []simulated
	Every time.Duration // between the polls of a site
}

// simulated is one of the sites.
type simulated struct {
	Name, Cert, Key string
	Series          int
	Loud            bool // from the order on it has an endless backlog of blocks of this size
}

// crowdPicture is how they fared since they were to count.
type crowdPicture struct {
	Up                               int // connected
	Made, Points, Delivered          int64
	Resent, Skipped, Full, Slow      int64
	StoredP50, StoredP99, StoredMax  float64 // seconds from the publication
	DoneP50, DoneP99, DoneMax, Worst float64 // the same to `delivered`; Worst: the site whose median is longest
	LeastShare                       float64 // of what left more than 5 s ago, delivered, of the site that fares worst
	LoudPoints                       int64   // delivered of the loud one
}

type crowdChild struct {
	part
	t      *testing.T
	cancel func()
	ctx    context.Context
	loud   atomic.Bool
	sites  []*simulatedSite
}

func newCrowdChild(t *testing.T, p part) *crowdChild {
	t.Helper()
	f := &crowdChild{part: p, t: t}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	for _, s := range p.Crowd.Sites {
		f.sites = append(f.sites, newSimulatedSite(f, s))
	}
	return f
}

func (f *crowdChild) run(ctx context.Context) func() error {
	var work sync.WaitGroup
	work.Go(func() {
		for _, s := range f.sites { // a handshake after the other
			if err := s.connect(ctx); err != nil {
				f.t.Errorf("%s: %v", s.Name, err)
				return
			}
			work.Go(func() { s.run(ctx) })
		}
	})
	return func() error { f.cancel(); work.Wait(); return nil }
}

// count forgets what was measured so far.
func (f *crowdChild) count() {
	for _, s := range f.sites {
		s.mu.Lock()
		s.tally = tally{}
		s.since = time.Now()
		s.mu.Unlock()
	}
}

// tally is what is measured of a site.
type tally struct {
	made, points, delivered, resent, skipped, full, slow int64
	stored, done                                         []time.Duration
}

func (f *crowdChild) look() picture {
	x := crowdPicture{LeastShare: 1}
	var stored, done []time.Duration
	for _, s := range f.sites {
		s.mu.Lock()
		y := s.tally
		y.stored, y.done = slices.Clone(y.stored), slices.Clone(y.done)
		if s.conn != nil {
			x.Up++
		}
		overdue := s.overdue(5 * time.Second)
		s.mu.Unlock()
		x.Resent, x.Skipped, x.Full, x.Slow = x.Resent+y.resent, x.Skipped+y.skipped, x.Full+y.full, x.Slow+y.slow
		if s.Loud {
			x.LoudPoints += y.delivered
			continue
		}
		x.Made, x.Points, x.Delivered = x.Made+y.made, x.Points+y.points, x.Delivered+y.delivered
		if due := y.delivered + overdue; due > 0 {
			x.LeastShare = min(x.LeastShare, float64(y.delivered)/float64(due))
		}
		stored, done = append(stored, y.stored...), append(done, y.done...)
		x.Worst = max(x.Worst, quantile(y.done, 0.5))
	}
	x.StoredP50, x.StoredP99, x.StoredMax = quantile(stored, 0.5), quantile(stored, 0.99), quantile(stored, 1)
	x.DoneP50, x.DoneP99, x.DoneMax = quantile(done, 0.5), quantile(done, 0.99), quantile(done, 1)
	return picture{Crowd: x}
}

// quantile sorts the times.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))].Seconds()
}

type simulatedSite struct {
	simulated
	crowd   *crowdChild
	network *network
	numbers *wire.Numbering
	writer  *wire.Writer
	epoch   uint64
	seq     uint64
	topics  wire.Topics
	wake    chan struct{}

	mu    sync.Mutex // guards what follows
	conn  *mqtt.Conn
	open  map[uint64]*flown // without `delivered`
	named bool              // the relay has the names
	slow  time.Time
	since time.Time
	tally
}

// flown is a block that has left.
type flown struct {
	payload []byte
	points  int
	began   time.Time
	sent    time.Time
	stored  bool
}

func newSimulatedSite(f *crowdChild, s simulated) *simulatedSite {
	switches := (s.Series + workPoints - 1) / workPoints
	return &simulatedSite{
		simulated: s, crowd: f, numbers: wire.NewNumbering(), writer: wire.NewWriter(), epoch: rand.Uint64() | 1,
		network: newNetwork(work{Switches: switches, Series: (s.Series + switches - 1) / switches, Interval: time.Minute}),
		open:    make(map[uint64]*flown), wake: make(chan struct{}, 1),
	}
}

func (s *simulatedSite) connect(ctx context.Context) error {
	p := s.crowd.part
	p.Name, p.Cert, p.Key = s.Name, s.Cert, s.Key
	conn, err := mqtt.Dial(ctx, p.options(p.Brokers[0], mqtt.Message{Topic: s.topics.State(s.Name), Payload: []byte(`{"state":"lost","boot":1,"backlog":0,"late":0}`), Retain: true, QoS: 1}))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := conn.Subscribe(ctx, s.topics.Down(s.Name), 1, s.hear); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.since = conn, time.Now()
	return nil
}

func (s *simulatedSite) run(ctx context.Context) {
	every := s.crowd.Crowd.Every
	time.Sleep(time.Duration(rand.Int64N(int64(every)))) // polls of many sites are at any moment
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		if s.crowd.ctx.Err() == nil {
			s.make(ctx)
		}
		if s.Loud && s.crowd.loud.Load() && s.crowd.ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-s.wake:
			case <-tick.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.again(ctx)
		}
	}
	_ = s.conn.Close(context.WithoutCancel(ctx)) // it ends in any case
}

// waiting is how many blocks are without an answer. It is called with mu held.
func (s *simulatedSite) waiting() (n int) {
	for _, b := range s.open {
		if !b.stored {
			n++
		}
	}
	return n
}

// overdue is how many points have left so long ago and are not delivered. It is
// called with mu held.
func (s *simulatedSite) overdue(after time.Duration) (points int64) {
	for _, b := range s.open {
		if !b.began.Before(s.since) && time.Since(b.began) > after {
			points += int64(b.points)
		}
	}
	return points
}

// make publishes a poll, or as many as the window has room for.
func (s *simulatedSite) make(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		loud := s.Loud && s.crowd.loud.Load()
		s.mu.Lock()
		most := 8
		blocked := s.waiting() >= most || time.Now().Before(s.slow)
		named := s.named
		if blocked && n == 0 && !loud {
			s.skipped++
		}
		s.mu.Unlock()
		if blocked || n > 0 && (!loud || !named) {
			return
		}
		s.publish(ctx, named)
	}
}

func (s *simulatedSite) publish(ctx context.Context, named bool) {
	at, lane := time.Now(), wire.Live
	if s.Loud && s.crowd.loud.Load() {
		at, lane = at.Add(-10*time.Minute), wire.Backlog
	}
	points := s.network.poll(at)
	for len(points) > 0 {
		s.seq++
		h := wire.Header{Kind: wire.Points, Lane: lane, Site: s.Name, Epoch: s.epoch, Seq: s.seq}
		block, n, err := s.writer.AppendPoints(nil, h, points, wire.Naming{Numbering: s.numbers, Known: func(uint32) bool { return named }})
		if err != nil {
			s.crowd.t.Errorf("%s: %v", s.Name, err)
			return
		}
		points = points[n:]
		now := time.Now()
		s.mu.Lock()
		s.open[s.seq] = &flown{payload: block, points: n, began: now, sent: now}
		s.made++
		s.points += int64(n)
		s.mu.Unlock()
		_ = s.conn.Publish(ctx, mqtt.Message{Topic: s.topics.Up(s.Name), Payload: block, QoS: 1}) // it is sent again
	}
}

// again sends what was not answered within half a minute.
func (s *simulatedSite) again(ctx context.Context) {
	var list [][]byte
	s.mu.Lock()
	now := time.Now()
	for _, b := range s.open {
		if !b.stored && now.Sub(b.sent) > 30*time.Second {
			b.sent = now
			list = append(list, b.payload)
		}
	}
	s.resent += int64(len(list))
	s.mu.Unlock()
	for _, block := range list {
		_ = s.conn.Publish(ctx, mqtt.Message{Topic: s.topics.Up(s.Name), Payload: block, QoS: 1}) // the same
	}
}

// hear takes up the word of the relay.
func (s *simulatedSite) hear(in mqtt.Incoming) {
	d, err := wire.ParseDown(in.Payload)
	if err != nil {
		s.crowd.t.Errorf("%s: %v", s.Name, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if d.SlowMS > 0 {
		s.slow = now.Add(time.Duration(d.SlowMS) * time.Millisecond)
		s.tally.slow++
	}
	for _, a := range d.Acks {
		for _, r := range a.Seq {
			for seq := r[0]; seq <= r[1]; seq++ {
				s.acked(seq, a.Status, now)
			}
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// acked books one answer. It is called with mu held.
func (s *simulatedSite) acked(seq uint64, status string, now time.Time) {
	b := s.open[seq]
	if b == nil {
		return
	}
	counts := !b.began.Before(s.since)
	if (status == wire.StatusStored || status == wire.StatusDelivered) && !b.stored {
		b.stored, s.named = true, true
		if counts {
			s.stored = append(s.stored, now.Sub(b.began))
		}
	}
	switch status {
	case wire.StatusDelivered:
		delete(s.open, seq)
		if counts {
			s.done = append(s.done, now.Sub(b.began))
			s.delivered += int64(b.points)
		}
	case wire.StatusFull, wire.StatusNames, wire.StatusRejected:
		s.full++
	}
}
