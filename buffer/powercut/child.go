package powercut

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	quota    = 6 << 20
	late     = time.Hour
	patience = 20 * time.Second
)

// task is what a child shall do.
type task struct {
	Path  string
	Seed  uint64
	Ops   int    // how many commits to wait for
	First uint64 // number of the first point
	Clock int64
	// Hold keeps points leased while others are appended. Eviction spares them,
	// so which points it takes cannot be told exactly.
	Hold bool
}

// worker is the child that uses the store.
type worker struct {
	task
	*buffer.Store
	random *rand.Rand
	clock  atomic.Int64
	series catalog
	oldest int // series in use begin here
	in     *bufio.Reader
	out    *json.Encoder
	held   []*buffer.Lease
}

// work runs until the task is done, or until it kills itself.
func work(t task, in io.Reader, out io.Writer) error {
	w := &worker{task: t, random: rand.New(rand.NewPCG(t.Seed, t.First)), in: bufio.NewReader(in), out: json.NewEncoder(out)}
	w.clock.Store(t.Clock)
	if err := w.open(); err != nil {
		return err
	}
	phases := []func() error{w.fill, w.steady, w.mixed, w.steady, w.mixed, w.drain, w.turn, w.restart, w.small, w.crash}
	if w.Hold {
		phases = append(phases, w.holding, w.holding)
	}
	for w.Ops > 0 {
		for _, i := range w.random.Perm(len(phases)) {
			if err := phases[i](); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// say tells the parent, and waits until it has noted how far the disk was.
func (w *worker) say(e event) error {
	if err := w.out.Encode(e); err != nil {
		return err
	}
	_, err := w.in.ReadByte()
	return err
}

func (w *worker) open() (err error) {
	w.Store, err = buffer.Open(buffer.Options{
		Path: w.Path, MaxSize: quota, Window: late, Now: func() time.Time { return time.UnixMilli(w.clock.Load()) },
		CommitInterval: time.Duration(w.random.IntN(2)*3) * time.Millisecond,
	})
	if err == nil {
		_, err = w.TakeState()
	}
	return err
}

// offer hands points over.
func (w *worker) offer(n int, noisy bool) (*buffer.Ticket, span, error) {
	now := w.clock.Load() + 1000
	e := event{
		Op: opOffer, Points: span{w.First, w.First + uint64(n)}, Noise: noisy, Held: len(w.held) > 0,
		Wall: now, Clock: now, Series: w.oldest + w.random.IntN(20),
	}
	if err := w.say(e); err != nil {
		return nil, span{}, err
	}
	w.First = e.Points.To
	w.clock.Store(now)
	points := make([]probes.Point, n)
	for i := range points {
		points[i] = probes.Point{
			Series: w.series.get(e.Series + i), Value: value(e.Points.From+uint64(i), noisy),
			Stamp: probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Duration(now) * time.Millisecond, Wall: now},
		}
	}
	return w.Enqueue(points), e.Points, nil
}

// wait is for a commit. One that does not come ends the child: the disk is
// sound, so the store must go on.
func (w *worker) wait(t *buffer.Ticket) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.Wait(ctx); err != nil {
		return fmt.Errorf("%w; stat %+v, account %+v", err, w.Stat(), w.Account())
	}
	return nil
}

// append hands over points and waits for them.
func (w *worker) append(n int, noisy bool) error {
	t, points, err := w.offer(n, noisy)
	if err == nil {
		err = w.wait(t)
	}
	if err != nil {
		return err
	}
	w.Ops--
	return w.say(event{Op: opAck, Points: points})
}

// flush waits for a commit and tells its account.
func (w *worker) flush() error {
	if err := w.wait(w.Enqueue(nil)); err != nil {
		return err
	}
	w.Ops--
	a := w.Account()
	return w.say(event{Op: opCommit, Account: &a})
}

// size is a number of points: the usual sizes of a poll.
func (w *worker) size() int {
	sizes := []int{10, 10, 50, 50, 300, 300, 1000, 5000}
	return sizes[w.random.IntN(len(sizes))]
}

// settle says what becomes of a lease. Points that are given back or refused
// lie in runs, as they do where a device or a batch is at fault.
func (w *worker) settle(l *buffer.Lease, outcomes []buffer.Outcome) error {
	each := make([]buffer.Settlement, len(l.Points))
	var delivered, refused []uint64
	for i := 0; i < len(each); {
		outcome := outcomes[w.random.IntN(len(outcomes))]
		run := 1 + w.random.IntN(400)
		if outcome == buffer.Refused {
			run = 1 + w.random.IntN(10)
		}
		for ; i < len(each) && run > 0; i, run = i+1, run-1 {
			n, _ := numberOf(l.Points[i].Value)
			each[i].Outcome = outcome
			switch outcome {
			case buffer.Delivered:
				delivered = append(delivered, n)
			case buffer.Refused:
				refused = append(refused, n)
				each[i].Line, each[i].Reason = fmt.Sprintf("power.cut,n=%d gauge,%d", n, n), "the line is refused"
			}
		}
	}
	if err := w.say(event{Op: opSettle, Delivered: spansOf(delivered), Refused: spansOf(refused)}); err != nil {
		return err
	}
	return w.Settle(l, each)
}

var (
	whole = []buffer.Outcome{buffer.Delivered}
	most  = []buffer.Outcome{buffer.Delivered, buffer.Delivered, buffer.Delivered, buffer.Later, buffer.Refused}
)

// fill appends, as in an outage, until old points are evicted.
func (w *worker) fill() error {
	before := w.Account().Evicted
	for n := 0; n < 100 && w.Ops > 0 && w.Account().Evicted == before; n++ {
		if err := w.append(1000+w.random.IntN(9000), true); err != nil {
			return err
		}
	}
	for range 4 {
		if err := w.append(w.size(), true); err != nil {
			return err
		}
	}
	return w.flush()
}

// steady delivers each poll before the next one; the settlement rides in the
// commit of that.
func (w *worker) steady() error {
	size := w.size()
	for range 10 {
		if err := w.append(size, false); err != nil {
			return err
		}
		l, err := w.Lease(buffer.Query{Max: size, Oldest: time.UnixMilli(w.clock.Load())})
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		if err := w.settle(l, whole); err != nil {
			return err
		}
	}
	return w.flush()
}

// small appends many short records, as an outage at a small site does.
func (w *worker) small() error {
	for range 70 {
		if err := w.append(1+w.random.IntN(20), w.random.IntN(2) == 0); err != nil {
			return err
		}
	}
	return nil
}

// mixed appends several batches that may share commits, and settles points
// here and there, some of them for ever refused.
func (w *worker) mixed() error {
	w.oldest += w.random.IntN(60) // some series end, others begin
	for range 6 {
		if err := w.batches(1 + w.random.IntN(3)); err != nil {
			return err
		}
		from := time.UnixMilli(w.clock.Load() - w.random.Int64N(100_000))
		l, err := w.Lease(buffer.Query{Max: 1 + w.random.IntN(4000), Oldest: from, Newest: from.Add(20 * time.Second)})
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		if err := w.settle(l, most); err != nil {
			return err
		}
	}
	return w.flush()
}

// batches hands over several batches at once and then waits for all.
func (w *worker) batches(n int) error {
	var tickets []*buffer.Ticket
	var points []span
	for range n {
		t, s, err := w.offer(w.size(), w.random.IntN(2) == 0)
		if err != nil {
			return err
		}
		tickets, points = append(tickets, t), append(points, s)
	}
	w.Ops--
	for i, t := range tickets {
		if err := w.wait(t); err != nil {
			return err
		}
		if err := w.say(event{Op: opAck, Points: points[i]}); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers all there is.
func (w *worker) drain() error {
	for {
		l, err := w.Lease(buffer.Query{Max: 5000})
		if err != nil || l == nil {
			return err
		}
		if err := w.settle(l, whole); err != nil {
			return err
		}
		if w.random.IntN(3) == 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
}

// turn makes what is older than the window late.
func (w *worker) turn() error {
	next := w.clock.Load() + w.random.Int64N(2*late.Milliseconds())
	if err := w.say(event{Op: opClock, Clock: next}); err != nil {
		return err
	}
	w.clock.Store(next)
	if err := w.append(w.size(), true); err != nil {
		return err
	}
	return w.flush()
}

// holding appends while points are leased, as they are while they are sent.
func (w *worker) holding() error {
	for range 3 {
		l, err := w.Lease(buffer.Query{Max: 1 + w.random.IntN(3000)})
		if err != nil {
			return err
		}
		if l != nil {
			w.held = append(w.held, l)
		}
		if err := w.append(w.size(), true); err != nil {
			return err
		}
	}
	for _, l := range w.held {
		if err := w.settle(l, most); err != nil {
			return err
		}
	}
	w.held = nil
	return w.flush()
}

// restart is a planned stop and a start.
func (w *worker) restart() error {
	if w.random.IntN(2) == 0 {
		w.SaveState(map[string][]byte{"baselines": make([]byte, w.random.IntN(20_000))})
	}
	if err := w.Close(); err != nil {
		return err
	}
	return w.open()
}

// crash ends the process, at any point of the commits that go on.
func (w *worker) crash() error {
	l, err := w.Lease(buffer.Query{Max: 500})
	if err != nil {
		return err
	}
	if l != nil {
		if err := w.settle(l, most); err != nil {
			return err
		}
	}
	for range w.random.IntN(3) {
		if _, _, err := w.offer(w.size(), true); err != nil {
			return err
		}
	}
	if err := w.say(event{Op: opKill, Clock: w.clock.Load(), Left: w.Ops}); err != nil {
		return err
	}
	time.Sleep(time.Duration(w.random.IntN(4000)) * time.Microsecond) // the random moment
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}
