package proxytest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Way is how one direction goes. The zero value forwards as it comes.
type Way struct {
	// Stall reads nothing and forwards nothing, on new connections from their
	// first byte on. Of a connection that is open one read may be under way: its
	// bytes are held. Kernels still take what their buffers hold.
	Stall bool
	// Delay is how long each byte is under way, and Jitter the most that comes
	// on top, at random. The order stays.
	Delay, Jitter time.Duration
	// Rate is how many bytes a second pass, all connections together; 0: no limit.
	Rate int64
	// Chunk and Every let at most Chunk bytes pass at a time, and wait Every
	// before each; 0: no limit.
	Chunk int
	Every time.Duration
	// Corrupt is the share of bytes that are changed, from 0 to 1.
	Corrupt float64
}

// Cut says when a connection is cut.
type Cut struct {
	After  int64  // bytes that still go that way; 0 cuts instead of the next byte
	Ending Ending // RST if not said
	Times  int    // connections to cut; 0: all
}

const (
	readSize = 16 << 10
	inFlight = 16      // reads that a delay holds
	ticks    = 50      // slices a second, where there is a rate
	never    = 1 << 62 // bytes
)

// way is a Way in force, shared by all connections.
type way struct {
	bytes atomic.Int64 // forwarded

	mu      sync.Mutex // guards what follows
	now     Way
	changed chan struct{} // closed when now changes
	free    time.Time     // when the bytes before have passed, by Rate
	cut     Cut
	orders  int // how many cuts were ordered; 0 is none
	left    int // connections still to cut; below 0: all
}

func newWay() *way { return &way{changed: make(chan struct{})} }

func (w *way) set(now Way) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.free = now, time.Time{}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *way) order(c Cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.left = c, c.Times
	if c.Times == 0 {
		w.left = -1
	}
	w.orders++
}

func (w *way) clear() {
	w.mu.Lock()
	w.left = 0
	w.mu.Unlock()
	w.set(Way{})
}

// settings are those of this moment, and what tells of others.
func (w *way) settings() (Way, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// gate waits while the way is stalled. It returns false when the connection is over.
func (w *way) gate(over <-chan struct{}) bool {
	for {
		now, changed := w.settings()
		if !now.Stall {
			return !isClosed(over)
		}
		select {
		case <-changed:
		case <-over:
			return false
		}
	}
}

// slice is how many of n bytes may go next, and from when on.
func (w *way) slice(n int) (int, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	at := now
	if w.now.Chunk > 0 {
		n = min(n, w.now.Chunk)
		at = now.Add(w.now.Every)
	}
	if w.now.Rate > 0 {
		n = min(n, max(1, int(w.now.Rate/ticks)))
		begin := w.free
		if begin.Before(now) {
			begin = now
		}
		w.free = begin.Add(time.Duration(float64(n) / float64(w.now.Rate) * float64(time.Second)))
		if w.free.After(at) {
			at = w.free
		}
	}
	return n, at
}

// sever tells how many bytes may still pass before the cut in force. mark is
// where the connection stood when it heard of it.
func (w *way) sever(m *mark, written int64) (left int64, e Ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return never, 0
	}
	if m.order != w.orders {
		m.order, m.at = w.orders, written
	}
	return max(0, w.cut.After-(written-m.at)), w.cut.Ending
}

// claim takes one of the cuts that are left.
func (w *way) claim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return false
	}
	w.left = max(w.left-1, -1)
	return true
}

// mark is where a connection stood at an order to cut.
type mark struct {
	order int
	at    int64
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sleep waits until a time, a change of settings or the end. It returns false
// at the end.
func sleep(until time.Time, changed, over <-chan struct{}) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return !isClosed(over)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-over:
	}
	return !isClosed(over)
}
