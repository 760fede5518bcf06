package ping

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// pinger gives all polls of a process one socket for each family. A socket is
// open while there is a poll that uses it; the last one closes it and waits for
// the goroutine that reads it.
type pinger struct {
	open   func(f family, id uint16) (*socket, error)
	random func() uint64

	mu    sync.Mutex
	lines map[family]*line
}

// line is an open socket with what is under way on it.
type line struct {
	*socket
	random  func() uint64
	users   int // guarded by pinger.mu
	reading sync.WaitGroup
	unread  atomic.Int64 // packets that were sent since a sender has read

	mu    sync.Mutex
	next  uint16
	shots map[uint16]*shot // by sequence number
}

// shot is one packet. What comes for it is guarded by line.mu until it is taken
// off the line.
type shot struct {
	to    netip.Addr
	token uint64
	seq   uint16
	round *round
	sent  time.Time // of the one who sends alone

	err     error      // why it could not be sent
	got     time.Time  // when the answer was read; zero: there is none
	at      time.Time  // when the kernel had it; zero: it did not say
	again   int        // further answers
	fault   *fault     // what somebody said in place of the answer
	by      netip.Addr // who said so
	foreign netip.Addr // who answered although not asked
}

// round is what one poll waits for.
type round struct {
	open int           // shots without an answer or error; guarded by line.mu
	done chan struct{} // has room for one; a sign that there may be none left
}

func newPinger(open func(f family, id uint16) (*socket, error), random func() uint64) *pinger {
	return &pinger{open: open, random: random, lines: map[family]*line{}}
}

// join opens the socket, if nobody has. Who joins leaves.
func (p *pinger) join(f family) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[f]; l != nil {
		l.users++
		return l, nil
	}
	s, err := p.open(f, uint16(p.random()))
	if err != nil {
		return nil, err
	}
	l := &line{socket: s, random: p.random, users: 1, next: uint16(p.random()), shots: map[uint16]*shot{}}
	l.reading.Go(func() { l.receive(l.take) })
	p.lines[f] = l
	return l, nil
}

func (p *pinger) leave(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.users--; l.users > 0 {
		return
	}
	delete(p.lines, l.family)
	_ = l.close() // nothing is written that could be lost
	l.reading.Wait()
}

var errBusy = errors.New("more packets are under way than there are sequence numbers; ask fewer targets, or with fewer packets")

// shoot sends one packet. What went wrong is in the shot.
func (l *line) shoot(r *round, to netip.Addr, size int) *shot {
	s := &shot{to: to, token: l.random(), round: r}
	if err := l.put(s); err != nil {
		s.err = err
		return s
	}
	b := appendEcho(make([]byte, 0, headerSize+size), l.family, echo{id: l.id, seq: s.seq, token: s.token}, size)
	sent, err := l.send(b, to)
	s.sent = sent
	l.keepUp()
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !s.settled() {
			r.open--
		}
		s.err = err
	}
	return s
}

// keepUp reads now and then from the side of those who send. Where many do, and
// the processor is busy, the goroutine that reads comes too late for the room that
// the kernel has for answers.
func (l *line) keepUp() {
	const often = 32
	if l.unread.Add(1)%often == 0 {
		l.flush(l.take)
	}
}

// put gives a shot a sequence number.
func (l *line) put(s *shot) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.shots) > 0xffff {
		return errBusy
	}
	for l.shots[l.next] != nil {
		l.next++
	}
	s.seq = l.next
	l.shots[s.seq] = s
	l.next++
	s.round.open++
	return nil
}

// gather takes shots off the line, after what has come for them was read.
func (l *line) gather(shots []*shot) {
	l.flush(l.take)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range shots {
		if l.shots[s.seq] == s {
			delete(l.shots, s.seq)
		}
	}
}

// waits tells whether the round still waits for something.
func (l *line) waits(r *round) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.open > 0
}

// take gives a message to the shot that it is for.
func (l *line) take(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shots[m.echo.seq]
	if s == nil || !m.echo.short && m.echo.token != s.token {
		return
	}
	before := s.settled()
	switch {
	case m.fault != nil && s.fault == nil:
		s.fault, s.by = m.fault, m.from
	case m.fault != nil:
	case m.from.WithZone("") != s.to.WithZone(""):
		s.foreign = m.from
	case !s.got.IsZero():
		s.again++
	default:
		s.got, s.at = time.Now(), m.at
	}
	if before || !s.settled() {
		return
	}
	if s.round.open--; s.round.open == 0 {
		select {
		case s.round.done <- struct{}{}:
		default:
		}
	}
}

// settled tells whether nothing more is waited for.
func (s *shot) settled() bool { return s.err != nil || !s.got.IsZero() || s.fault != nil }

// trip is how long the answer took. The kernel's time counts, unless the wall
// clock was set in between: then it lies outside of what this process has seen.
func (s *shot) trip() time.Duration {
	seen := s.got.Sub(s.sent)
	if kernel := s.at.Sub(s.sent.Round(0)); !s.at.IsZero() && kernel >= 0 && kernel <= seen {
		return kernel
	}
	return seen
}
