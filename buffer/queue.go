package buffer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// What may become of points that were never accepted.
var (
	ErrClosed  = errors.New("the buffer is closed")
	ErrDropped = errors.New("points were dropped before they could be committed, the disk takes nothing")
	ErrTooMany = errors.New("more points at once than may wait in memory")
)

// RefusedError says that some points of a batch can never be kept. The others
// are durable.
type RefusedError struct {
	Refused, Of int
	First       error // why, of the first one
}

// Error names the numbers and the first reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d of %d points refused, the first one: %v", e.Refused, e.Of, e.First)
}

// Unwrap returns the reason of the first refused point.
func (e *RefusedError) Unwrap() error { return e.First }

// Ticket stands for points on their way to the disk.
type Ticket struct {
	points  []probes.Point
	entries []Entry
	note    *note // of EnqueueWith
	// change is what else the commit does, after it has added the points. It may
	// be called again if the commit fails.
	change func(tx *bbolt.Tx, l *ledger, w *work) error
	quiet  bool  // the change may wait for a commit
	err    error // final once done is closed
	done   chan struct{}
}

// Wait returns nil once the points are durable: then they are accepted. It
// returns a *RefusedError if some of them were refused, ErrDropped or
// ErrClosed if none was kept, and the error of ctx if that ends first; the
// points may then still become durable.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return fmt.Errorf("wait for commit: %w", ctx.Err())
	}
}

func (t *Ticket) finish(err error) {
	t.points, t.entries, t.change, t.note = nil, nil, nil, nil
	if err != nil {
		t.err = err
	}
	close(t.done)
}

// count is how many points and entries the ticket brings.
func (t *Ticket) count() int { return len(t.points) + len(t.entries) }

// weight is about how much memory the ticket takes, in points.
func (t *Ticket) weight() int {
	n := len(t.points)
	for _, e := range t.entries {
		n += e.weight()
	}
	return n
}

func (e Entry) weight() int { return 1 + len(e.Data)/worstPoint }

// queue is the points in memory: first those of the running commit, then
// those that wait.
type queue struct {
	mu      sync.Mutex
	tickets []*Ticket
	running int       // tickets in the running commit
	points  int       // and entries, of all tickets
	waiting int       // weight of what is not in the running commit
	since   time.Time // when the first waiting ticket came
	crowded bool      // half of what may wait is there
	closed  bool
	refused int64
	dropped int64
}

// maxSeriesBytes bounds the names of one series.
const maxSeriesBytes = 64 << 10

// Enqueue hands points over and never waits for the disk. The store keeps the
// slice; the caller must not change it any more. Points whose value or series
// cannot be sent are refused, the ticket says how many. While the disk refuses
// to take points, the oldest ones in memory are dropped and counted.
//
// No points at all are a batch too: its ticket waits for the next commit.
func (s *Store) Enqueue(points []probes.Point) *Ticket {
	kept, refusal := check(points)
	t := &Ticket{points: kept, done: make(chan struct{})}
	if refusal != nil {
		t.err = refusal
	}
	s.queue.put(t, len(points), s.o.MaxPending)
	s.wakeUp()
	return t
}

// EnqueueWith is Enqueue with a note (see Keep) that the same commit writes: after
// a crash the file has the points and the note, or neither. Points that are
// refused do not keep the note away; points that are dropped take it along. A
// note that is too long is not kept and logged.
func (s *Store) EnqueueWith(points []probes.Point, name string, data []byte) *Ticket {
	kept, refusal := check(points)
	t := &Ticket{points: kept, done: make(chan struct{})}
	if refusal != nil {
		t.err = refusal
	}
	if s.noteFits(name, data) {
		t.note = &note{name, bytes.Clone(data)}
	}
	s.queue.put(t, len(points), s.o.MaxPending)
	s.wakeUp()
	return t
}

// Append is Enqueue and Wait.
func (s *Store) Append(ctx context.Context, points []probes.Point) error {
	return s.Enqueue(points).Wait(ctx)
}

// check copies only if a point is refused.
func check(points []probes.Point) ([]probes.Point, *RefusedError) {
	var refusal *RefusedError
	kept := points
	for i, p := range points {
		err := checkPoint(p)
		switch {
		case err != nil && refusal == nil:
			refusal = &RefusedError{Refused: 1, Of: len(points), First: err}
			kept = append([]probes.Point(nil), points[:i]...)
		case err != nil:
			refusal.Refused++
		case refusal != nil:
			kept = append(kept, p)
		}
	}
	return kept, refusal
}

func checkPoint(p probes.Point) error {
	switch {
	case p.Series == nil:
		return errors.New("point has no series")
	case p.Series.Type() != probes.Gauge && p.Series.Type() != probes.Count:
		return fmt.Errorf("series %.100s has no type", p.Series.Key())
	case p.Series.Size() > maxSeriesBytes:
		return fmt.Errorf("series %.100s has names of %d bytes, more than %d", p.Series.Key(), p.Series.Size(), maxSeriesBytes)
	}
	if err := p.Value.Check(); err != nil {
		return fmt.Errorf("series %.100s: %w", p.Series.Key(), err)
	}
	return nil
}

// put takes a ticket in; offered counts the refused points too. Half of what
// may wait asks for a commit at once, more drops the oldest.
func (q *queue) put(t *Ticket, offered, most int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.insert(t, offered, most)
}

func (q *queue) insert(t *Ticket, offered, most int) {
	q.refused += int64(offered - t.count())
	weight := t.weight()
	switch {
	case q.closed:
		t.finish(ErrClosed)
		return
	case weight > most:
		q.dropped += int64(t.count())
		t.finish(fmt.Errorf("%w: %d, the most is %d", ErrTooMany, weight, most))
		return
	}
	for q.waiting+weight > most {
		q.drop()
	}
	if len(q.tickets) == q.running {
		q.since = time.Now()
	}
	q.tickets = append(q.tickets, t)
	q.points += t.count()
	q.waiting += weight
	q.crowded = q.crowded || q.waiting > most/2 || t.change != nil && !t.quiet
}

// offer is put for points that are durable elsewhere: they drop no others, and
// are committed at once.
func (q *queue) offer(t *Ticket, most int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed && q.waiting+t.weight() > most {
		return false
	}
	q.insert(t, t.count(), most)
	q.crowded = !q.closed
	return true
}

// undrop takes back the count of points that were offered and dropped.
func (q *queue) undrop(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped -= n
}

// withdraw takes back a ticket that is not in the running commit.
func (q *queue) withdraw(t *Ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.tickets[q.running:], t)
	if i < 0 {
		return false
	}
	q.tickets = slices.Delete(q.tickets, q.running+i, q.running+i+1)
	q.points -= t.count()
	q.waiting -= t.weight()
	t.finish(ErrClosed)
	return true
}

// drop gives up the oldest waiting ticket.
func (q *queue) drop() {
	t := q.tickets[q.running]
	n := t.count()
	q.tickets = slices.Delete(q.tickets, q.running, q.running+1)
	q.points -= n
	q.waiting -= t.weight()
	q.dropped += int64(n)
	t.finish(ErrDropped)
}

// take moves what waits into the running commit.
func (q *queue) take() []*Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running, q.waiting, q.crowded = len(q.tickets), 0, false
	return slices.Clone(q.tickets)
}

// inRun are the tickets of the running commit.
func (q *queue) inRun() []*Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.tickets[:q.running])
}

// finish ends the tickets of the running commit.
func (q *queue) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.tickets[:q.running] {
		q.points -= t.count()
		t.finish(err)
	}
	q.tickets = slices.Delete(q.tickets, 0, q.running)
	q.running = 0
}

// due tells how long to wait for the next commit, false if nothing waits.
func (q *queue) due(interval time.Duration) (time.Duration, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.tickets) == q.running:
		return 0, false
	case q.crowded:
		return 0, true
	}
	return time.Until(q.since.Add(interval)), true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) stat() (points int, refused, dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.points, q.refused, q.dropped
}
