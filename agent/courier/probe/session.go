package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

const (
	smallest = 1 << 10
	window   = 8 // blocks under way, as a site has
	goodbye  = 3 * time.Second
)

// session is a connection that hears what it says.
type session struct {
	p    *prober
	conn *mqtt.Conn
	news chan struct{} // has room for one

	mu    sync.Mutex // guards what follows
	sent  map[uint64]time.Time
	came  map[uint64]time.Duration
	twice int
	hold  bool     // acknowledge nothing
	held  []func() // acknowledgements that are withheld
	heard []mqtt.Incoming
}

// open connects, and subscribes to the topic of the site.
func (p *prober) open(ctx context.Context, change func(*mqtt.Options)) (*session, error) {
	s, err := p.dial(ctx, change)
	if err != nil {
		return nil, err
	}
	if err := s.conn.Subscribe(ctx, p.topic(), 1, s.receive); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (p *prober) dial(ctx context.Context, change func(*mqtt.Options)) (*session, error) {
	o := p.MQTT
	o.ManualAck, o.Will = true, nil
	if change != nil {
		change(&o)
	}
	conn, err := mqtt.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	return &session{p: p, conn: conn, news: make(chan struct{}, 1), sent: map[uint64]time.Time{}, came: map[uint64]time.Duration{}}, nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	_ = s.conn.Close(ctx) // what counts was counted
}

// receive takes a message in: a block of this run, or anything else.
func (s *session) receive(m mqtt.Incoming) {
	now := time.Now()
	h, err := wire.ParseHeader(m.Payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || h.Epoch != s.p.epoch {
		s.heard = append(s.heard, m)
	} else if _, again := s.came[h.Seq]; again {
		s.twice++
	} else {
		s.came[h.Seq] = now.Sub(s.sent[h.Seq])
	}
	if s.hold {
		s.held = append(s.held, m.Ack)
	} else {
		m.Ack()
	}
	s.tell()
}

func (s *session) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// release acknowledges what was withheld, and all that comes.
func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = false
	for _, ack := range s.held {
		ack()
	}
	s.held = nil
}

// send publishes a block of a size to the topic of the site.
func (s *session) send(ctx context.Context, size int) (seq uint64, err error) {
	return s.sendTo(ctx, s.p.topic(), size)
}

func (s *session) sendTo(ctx context.Context, topic string, size int) (seq uint64, err error) {
	s.mu.Lock()
	s.p.seq++
	seq = s.p.seq
	s.p.report.Bytes += int64(size)
	s.mu.Unlock()
	block, err := wire.AppendProbe(nil, wire.Header{Lane: wire.Live, Site: s.p.Site, Epoch: s.p.epoch, Seq: seq}, size)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.sent[seq] = time.Now()
	s.mu.Unlock()
	return seq, s.conn.Publish(ctx, mqtt.Message{Topic: topic, Payload: block, QoS: 1})
}

// many sends n blocks in a window, at most bytes of them. It gives how many
// were acknowledged by the broker.
func (s *session) many(ctx context.Context, n, size int) (published int, err error) {
	var work sync.WaitGroup
	tickets := make(chan struct{}, n)
	for range n {
		tickets <- struct{}{}
	}
	close(tickets)
	var mu sync.Mutex
	for range window {
		work.Go(func() {
			for range tickets {
				_, e := s.send(ctx, size)
				mu.Lock()
				if e == nil {
					published++
				} else if err == nil {
					err = e
				}
				stop := err != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	work.Wait()
	return published, err
}

// await waits for blocks; false: they have not come in the time.
func (s *session) await(ctx context.Context, most time.Duration, seqs ...uint64) bool {
	return s.until(ctx, most, func() bool {
		for _, seq := range seqs {
			if _, ok := s.came[seq]; !ok {
				return false
			}
		}
		return true
	})
}

// until waits for a condition on what came, as long as there is news every now
// and then.
func (s *session) until(ctx context.Context, quiet time.Duration, done func() bool) bool {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		s.mu.Lock()
		ok := done()
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-s.news:
			timer.Reset(quiet)
		case <-s.conn.Closed():
			s.mu.Lock()
			defer s.mu.Unlock()
			return done()
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// trips are the times of the blocks that came back, in ascending order.
func (s *session) trips() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]time.Duration, 0, len(s.came))
	for _, d := range s.came {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

func tripOf(all []time.Duration) Trip {
	if len(all) == 0 {
		return Trip{}
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Trip{Median: ms(all[len(all)/2]), P99: ms(all[(len(all)*99-1)/100])}
}

// count adds what a session of n blocks came to.
func (s *session) count(n int) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost = n - len(s.came)
	s.p.report.Sent += n
	s.p.report.Lost += lost
	s.p.report.Twice += s.twice
	return lost
}

// kib writes a size as people set it.
func kib(n int) string {
	if n%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/1024)
}

// blocksFor is how many blocks the bytes that are left allow, at most n.
func (p *prober) blocksFor(n, size int, share int64) int {
	return int(min(int64(n), max(0, (p.Bytes-p.report.Bytes)/share)/int64(size)))
}
