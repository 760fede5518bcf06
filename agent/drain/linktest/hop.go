package linktest

import (
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

const (
	defaultQueue = 64 << 10
	underWay     = 8192 // packets that a delay holds
)

// hop is one direction of a link: three goroutines, which read packets into a
// queue, let them out at the rate, and hand them over when their delay is past.
type hop struct {
	from, to *os.File
	done     chan struct{}
	wake     chan struct{} // a packet is in the queue
	line     chan packet
	random   *rand.Rand // of pace
	busy     time.Time  // of pace: until when the link sends
	last     time.Time  // of pace: when the last packet arrives

	mu      sync.Mutex // guards what follows
	path    Path
	cut     bool
	cuts    int // how often it was cut: what was under way then is lost
	queue   []packet
	waiting int // bytes in the queue
	traffic Traffic
}

// packet is one that waits or is under way.
type packet struct {
	data []byte
	due  time.Time // when it came; when it arrives, once it is under way
	cuts int       // of the hop when it came
}

func newHop(from, to *os.File, random *rand.Rand) *hop {
	return &hop{
		from: from, to: to, random: random,
		done: make(chan struct{}), wake: make(chan struct{}, 1), line: make(chan packet, underWay),
	}
}

func (h *hop) set(p Path) {
	if p.Queue == 0 {
		p.Queue = defaultQueue
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.path = p
}

func (h *hop) count() Traffic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.traffic
}

// carry lets packets through or not. What waits or is under way is lost.
func (h *hop) carry(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = !on
	if !on {
		h.cuts++
		h.traffic.Dropped += int64(len(h.queue))
		h.queue, h.waiting = nil, 0
	}
}

// read takes packets from the device until it is closed.
func (h *hop) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := h.from.Read(buf)
		if err != nil {
			return // the device is closed
		}
		if n > 0 && buf[0]>>4 == 4 { // IPv6 only asks for routers here
			h.push(append([]byte(nil), buf[:n]...))
		}
	}
}

func (h *hop) push(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut || h.waiting+len(data) > max(h.path.Queue, len(data)) {
		h.traffic.Dropped++
		return
	}
	h.queue = append(h.queue, packet{data, time.Now(), h.cuts})
	h.waiting += len(data)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// front is the packet that leaves next; it stays in the queue while it is sent.
func (h *hop) front() (next packet, p Path) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		return packet{}, h.path
	}
	return h.queue[0], h.path
}

// leave takes the front out of the queue. It returns false where it goes no
// further: it is lost, or a cut of the link was faster.
func (h *hop) leave(front packet, lost bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cuts != front.cuts {
		return false
	}
	h.waiting -= len(front.data)
	h.queue[0] = packet{}
	h.queue = h.queue[1:]
	if lost {
		h.traffic.Lost++
	}
	return !lost
}

// pace lets packets out of the queue at the rate, and loses some. It reckons
// with the time at which a packet could begin, not with that of its waking, so
// that a machine that is late does not slow the link down.
func (h *hop) pace() {
	for {
		next, path := h.front()
		if next.data == nil {
			select {
			case <-h.wake:
				continue
			case <-h.done:
				return
			}
		}
		if h.busy.Before(next.due) {
			h.busy = next.due
		}
		if path.Rate > 0 {
			bits := float64(8 * len(next.data))
			h.busy = h.busy.Add(time.Duration(bits / float64(path.Rate) * float64(time.Second)))
		}
		if !h.sleep(h.busy) {
			return
		}
		lost := path.Loss > 0 && h.random.Float64() < path.Loss
		if h.leave(next, lost) && !h.send(next, path) {
			return
		}
	}
}

// send puts a packet on its way. It returns false at the end.
func (h *hop) send(next packet, p Path) bool {
	next.due = h.busy.Add(p.Delay)
	if p.Jitter > 0 {
		next.due = next.due.Add(time.Duration(h.random.Int64N(int64(p.Jitter))))
	}
	if next.due.Before(h.last) {
		next.due = h.last
	}
	h.last = next.due
	select {
	case h.line <- next:
		return true
	case <-h.done:
		return false
	}
}

// deliver hands packets over when they are due.
func (h *hop) deliver() {
	for {
		select {
		case next := <-h.line:
			if !h.sleep(next.due) {
				return
			}
			h.hand(next)
		case <-h.done:
			return
		}
	}
}

func (h *hop) hand(next packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if next.cuts != h.cuts {
		h.traffic.Dropped++
		return
	}
	// A device that is down refuses the packet: it is lost, as on any link.
	if _, err := h.to.Write(next.data); err != nil {
		h.traffic.Dropped++
		return
	}
	h.traffic.Packets++
	h.traffic.Bytes += int64(len(next.data))
}

// sleep returns false at the end.
func (h *hop) sleep(until time.Time) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.done:
		return false
	}
}
