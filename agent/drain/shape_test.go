package drain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// simLink is a link with a server behind it; times are in seconds.
type simLink struct {
	bits    float64 // a second
	head    float64 // wire bytes of a post beside its text; 950 if 0
	latency float64 // fixed time of a post
	noise   float64 // of rate and latency, as a share
	busy    float64 // how often the server takes `slow` longer
	slow    float64
	greets  int  // every so many posts bring a new handshake; 0: the first one only
	unseen  bool // the time of a handshake is not told, its bytes are

	random  *rand.Rand
	shaper  *shaper
	posts   int
	clock   float64
	wire    float64
	stalls  int
	longest float64
	beyond  int // posts that took longer than was estimated
}

const (
	simHead      = 950
	simHandshake = 4600
	simPack      = 12 // bytes of text become one, on the average
)

func newSimLink(seed uint64, l simLink) *simLink {
	l.random = rand.New(rand.NewPCG(seed, 7))
	l.shaper = newShaper()
	if l.head == 0 {
		l.head = simHead
	}
	return &l
}

func (l *simLink) vary() float64 { return 1 + l.noise*(2*l.random.Float64()-1) }

// post sends so much text, tells the shaper how it went, and returns how long
// it took.
func (l *simLink) post(text int) float64 {
	wire := l.head + float64(text)/simPack*l.vary()
	took := l.latency*l.vary() + wire*8/l.bits*l.vary()
	greeting := 0.0
	if l.posts == 0 || l.greets > 0 && l.posts%l.greets == 0 {
		wire += simHandshake
		greeting = 2*l.latency + simHandshake*8/l.bits
	}
	l.posts++
	if l.random.Float64() < l.busy {
		took += l.slow
	}
	told := took + greeting
	if l.unseen {
		told = took
	}
	estimate := l.shaper.estimate(text).Seconds()
	if most := max(30, 3*estimate); told > most {
		l.clock += most
		l.stalls++
		l.shaper.stalled(text)
		return most
	}
	if told > estimate {
		l.beyond++
	}
	l.clock += took + greeting
	l.wire += wire
	l.longest = max(l.longest, took+greeting)
	l.shaper.answered(text, int64(wire), time.Duration(told*float64(time.Second)))
	return took + greeting
}

// run posts n times as much as may be, counted anew, and returns the bytes a
// second that came through.
func (l *simLink) run(n int) float64 {
	l.clock, l.wire, l.longest, l.stalls, l.beyond = 0, 0, 0, 0, 0
	for range n {
		l.post(l.shaper.size())
	}
	return l.wire / l.clock
}

// best is what the link carries, or posts of the largest size bring.
func (l *simLink) best() float64 {
	wire := l.head + mostSize/simPack
	took := l.latency + float64(wire)*8/l.bits
	if l.greets > 0 {
		took += 2 * l.latency / float64(l.greets)
	}
	return min(l.bits/8, float64(wire)/took)
}

// converged is how many posts it takes, from nothing or after a change.
const converged = 12

func TestShaperOnLinks(t *testing.T) {
	for _, bits := range []float64{9e3, 32e3, 1e6, 100e6} {
		for _, latency := range []float64{0.05, 0.3, 0.6} {
			for _, noise := range []float64{0, 0.1, 0.3} {
				for _, unseen := range []bool{false, true} {
					name := fmt.Sprintf("%g bit/s, %g s, noise %g, handshake unseen %v", bits, latency, noise, unseen)
					t.Run(name, func(t *testing.T) {
						onLink(t, simLink{bits: bits, latency: latency, noise: noise, greets: 20, unseen: unseen})
					})
				}
			}
		}
	}
}

func onLink(t *testing.T, link simLink) {
	for seed := range uint64(20) {
		l := newSimLink(seed, link)
		l.run(converged)
		if l.longest > 25 || l.stalls > 0 {
			t.Errorf("seed %d: while it converges a post takes %.1f s, %d stall", seed, l.longest, l.stalls)
		}
		got := l.run(200)
		if least := 0.9 * l.best(); got < least {
			t.Errorf("seed %d: %.0f bytes/s come through, at least %.0f should", seed, got, least)
		}
		if l.longest > 25 || l.stalls > 0 {
			t.Errorf("seed %d: a post takes %.1f s, %d stall", seed, l.longest, l.stalls)
		}
		if l.beyond > 20 {
			t.Errorf("seed %d: %d of 200 posts take longer than estimated", seed, l.beyond)
		}
		if rate := l.shaper.rate() * 8; l.bits < 1e5 && (rate < l.bits*0.75 || rate > l.bits*1.45) {
			t.Errorf("seed %d: the rate is taken for %.0f bit/s", seed, rate)
		}
	}
}

// On a quiet thin link the times are as meant.
func TestShaperAimsAtSeconds(t *testing.T) {
	for _, bits := range []float64{9e3, 32e3} {
		l := newSimLink(1, simLink{bits: bits, latency: 0.6})
		l.run(converged)
		for range 20 {
			if took := l.post(l.shaper.size()); took < 7 || took > 9 {
				t.Errorf("%g bit/s: a post takes %.1f s", bits, took)
			}
		}
		if rate := l.shaper.rate() * 8; math.Abs(rate-bits) > bits*0.08 {
			t.Errorf("%g bit/s: taken for %.0f", bits, rate)
		}
		if l.shaper.fixed > 0.7 {
			t.Errorf("%g bit/s: the fixed time is taken for %.2f s", bits, l.shaper.fixed)
		}
	}
}

func TestShaperGrowsQuicklyOnAFastLink(t *testing.T) {
	l := newSimLink(1, simLink{bits: 100e6, latency: 0.03})
	if n := l.shaper.size(); n != firstSize || l.shaper.rate() != 0 {
		t.Errorf("it starts with %d bytes and a rate of %g", n, l.shaper.rate())
	}
	for range 3 {
		l.post(l.shaper.size())
	}
	if n := l.shaper.size(); n != maxBytes-1 {
		t.Errorf("after three posts the size is %d", n)
	}
}

func TestShaperFollowsAChange(t *testing.T) {
	for _, c := range []struct{ from, to float64 }{
		{32e3, 9e3}, {9e3, 32e3}, {9e3, 1e6}, {1e6, 9e3}, {100e6, 9e3}, {100e6, 32e3}, {1e6, 100e6}, {9e3, 100e6}, {64e3, 4800},
	} {
		for seed := range uint64(20) {
			l := newSimLink(seed, simLink{bits: c.from, latency: 0.6, noise: 0.1, greets: 20})
			l.run(50)
			l.bits = c.to
			l.run(converged)
			if l.stalls > 4 {
				t.Errorf("%g to %g: %d posts stall", c.from, c.to, l.stalls)
			}
			if got := l.run(100); got < 0.88*l.best() || l.longest > 25 || l.stalls > 0 {
				t.Errorf("%g to %g: %.0f of %.0f bytes/s, the longest post takes %.1f s, %d stall", c.from, c.to, got, l.best(), l.longest, l.stalls)
			}
		}
	}
}

// A busy server costs its own time and one smaller post, no more.
func TestShaperForgivesASlowAnswer(t *testing.T) {
	for _, bits := range []float64{9e3, 1e6} {
		l := newSimLink(1, simLink{bits: bits, latency: 0.3})
		l.run(20)
		before := l.shaper.size()
		text := before
		l.shaper.answered(text, int64(simHead+text/simPack), 28*time.Second)
		during := l.shaper.size()
		if during >= before {
			t.Errorf("%g bit/s: the size stays %d after an answer in 28 s", bits, during)
		}
		if l.shaper.estimate(text) < 28*time.Second {
			t.Errorf("%g bit/s: such a post is expected to take %v", bits, l.shaper.estimate(text))
		}
		l.post(during)
		if after := l.shaper.size(); after < before*90/100 {
			t.Errorf("%g bit/s: the size is %d, and was %d", bits, after, before)
		}
	}
	l := newSimLink(3, simLink{bits: 32e3, latency: 0.6, noise: 0.1, busy: 0.05, slow: 15})
	l.run(converged)
	lost := 15 * 200 * 0.05
	if got := l.run(200) * l.clock / (l.clock - lost); got < 0.85*l.best() {
		t.Errorf("with a busy server %.0f of %.0f bytes/s come through", got, l.best())
	}
}

// Small live posts between those of a backlog tell nothing of what a large one
// may be.
func TestShaperAmongSmallPosts(t *testing.T) {
	for _, bits := range []float64{9e3, 1e6, 100e6} {
		l := newSimLink(5, simLink{bits: bits, latency: 0.6, noise: 0.2, greets: 30})
		for range 40 {
			l.post(1500)
		}
		for range converged {
			l.post(1500)
			l.post(l.shaper.size())
		}
		var wire, clock float64
		for range 50 {
			l.post(1500)
			w, c := l.wire, l.clock
			l.post(l.shaper.size())
			wire, clock = wire+l.wire-w, clock+l.clock-c
		}
		if wire/clock < 0.85*l.best() || l.longest > 25 {
			t.Errorf("%g bit/s: %.0f of %.0f bytes/s, longest %.1f s", bits, wire/clock, l.best(), l.longest)
		}
		before := l.shaper.size()
		for range 100 {
			l.post(1500)
		}
		if after := l.shaper.size(); after < before*8/10 || after > before*2 {
			t.Errorf("%g bit/s: a hundred live posts turned the size from %d into %d", bits, before, after)
		}
	}
}

func TestShaperStallsAndTooLarge(t *testing.T) {
	l := newSimLink(1, simLink{bits: 100e6, latency: 0.03})
	l.run(5)
	s := l.shaper
	s.stalled(s.size())
	if n := s.size(); n != mostSize/2 {
		t.Errorf("after a stall: %d", n)
	}
	s.stalled(s.size())
	if n := s.size(); n != mostSize/8 {
		t.Errorf("after a second one: %d", n)
	}
	for range 20 {
		s.stalled(s.size())
	}
	if n := s.size(); n != leastSize {
		t.Errorf("after many: %d", n)
	}
	l.run(6)
	if n := s.size(); n != mostSize {
		t.Errorf("six posts later: %d", n)
	}
	s.tooLarge(600_000)
	l.run(20)
	if n := s.size(); n != 300_000 {
		t.Errorf("after a 413 of 600000 bytes: %d", n)
	}
	s.tooLarge(1)
	if n := s.size(); n != leastSize {
		t.Errorf("after a 413 of nearly nothing: %d", n)
	}
}

// Whatever it is told, its answers keep their bounds.
func FuzzShaper(f *testing.F) {
	f.Add(uint64(1), uint16(3))
	f.Add(uint64(99), uint16(500))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newShaper()
		wild := func() int64 { return int64(math.Exp(random.Float64()*50)) - 1 }
		for range n % 1000 {
			switch random.IntN(8) {
			case 0:
				s.stalled(int(wild()))
			case 1:
				if random.IntN(20) == 0 {
					s.tooLarge(int(wild()))
				}
			default:
				s.answered(int(wild()), wild(), time.Duration(wild()))
			}
			if size := s.size(); size < leastSize || size > mostSize {
				t.Fatalf("size %d", size)
			}
			if rate := s.rate(); math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
				t.Fatalf("rate %g", rate)
			}
			if e := s.estimate(s.size()); e < 0 || e > longest {
				t.Fatalf("estimate %v", e)
			}
		}
	})
}
