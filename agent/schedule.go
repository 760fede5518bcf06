package agent

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sort"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// A poll may run this long whatever its interval is; the probe's own limits
// are tighter.
const minPollTime = 30 * time.Second

// A task whose device does not answer comes up again after 1, 2, 4, then 8 of
// its intervals, so that dead devices do not hold the slots of living ones. A
// technician who plugs a device in again should not wait long for it.
const (
	maxBackoffIntervals = 8
	maxBackoff          = 5 * time.Minute
)

// Devices that did not answer twice in a row share so few slots, whatever
// polling.max_in_flight says.
const deadSlots = 8

// A poll that has taken longer than patience makes room for others: at first
// contact nobody knows who is dead. So many polls may do that, for each slot.
const (
	patience     = 3 * time.Second
	patientSlots = 2
)

// result is what the schedule knows of a task after a poll.
type result struct {
	Status   probes.Status
	Message  string
	At       time.Time // start of the poll
	LastOK   time.Time // start of the last poll that brought data
	Duration time.Duration
	Late     time.Duration // from its place on the grid to the start
	Overran  time.Duration // what the last poll took that was not done in time, 0: none was
	Points   int
	Polls    uint64
	Skipped  uint64 // due while the poll before still ran
	Gaps     uint64 // counters that fell, over all polls
	Empty    int    // polls in a row that were in order and brought nothing
	Fails    int    // polls in a row without a connection
	Stats    probes.PollStats
	Sum      totals
	Received uint64 // by a source that counts
	Dropped  uint64 // so
	Refused  uint64 // so
}

// totals add up over all polls of a task.
type totals struct{ Requests, Retries, Timeouts, Strays uint64 }

func (t *totals) add(s probes.PollStats) {
	t.Requests += uint64(s.Requests)
	t.Retries += uint64(s.Retries)
	t.Timeouts += uint64(s.Timeouts)
	t.Strays += uint64(s.Strays)
}

// entry is one task on the grid. Its fields belong to schedule.mu.
type entry struct {
	task    probes.Task
	lane    *deviceLane
	host    *deviceLane // of a task with a lane of its own; else nil
	labels  *labeler
	next    time.Time
	place   int       // in the queue, -1 once it is removed
	due     time.Time // of the running poll
	running bool      // or waiting for its turn or a slot
	polling bool      // its probe is at work
	before  *entry    // that it has replaced, until its first poll; nil: none
	missed  int       // places on the grid that the running poll has cost
	told    time.Time // when the log last named it as too slow
	slow    bool      // the log has named it as too slow, and not yet as in time
	last    result
	source  *sourceRun // nil: it is polled
}

// hostTurns is how many tasks of one package and device run at a time, of those
// that have lanes of their own.
const hostTurns = 4

// laneKey names what takes turns: a device, or a lane of its own. What has such
// lanes does not wait for another package.
type laneKey struct{ share, device, lane string }

// deviceLane makes the tasks of one device take turns, or those of a lane. It
// stays as long as a task or a running poll, of a task that a reload has removed,
// uses it.
type deviceLane struct {
	key   laneKey
	turn  chan struct{}
	users int  // guarded by schedule.mu
	dead  bool // its last two polls had no connection; guarded by schedule.mu
}

// schedule starts each task on a grid of its interval. Starts are spread over
// the interval by a hash of the device; a task that still runs when it is due
// again is skipped, never queued; tasks of one device take turns, or a few of
// them run where they have lanes of their own; at most
// `slots` polls run at a time, and beside them a few of devices that did not
// answer twice in a row and those that have gone on for long, so that those never
// hold up the others. Sources run beside the grid. All waiting is on the
// monotonic clock.
type schedule struct {
	slots   *pool
	dead    *pool // of devices that did not answer twice in a row
	patient *pool // of polls that go on for long
	emit    func(e *entry, b probes.Batch)
	resume  func(probes.Task)          // hands a source that takes the place of another its last State
	beat    func(within time.Duration) // the grid is kept, and this is said again within that time
	log     zerolog.Logger
	origin  time.Time
	wake    chan struct{}
	polls   sync.WaitGroup

	mu       sync.Mutex
	entries  map[string]*entry
	starting []*entry                   // sources that Run has not started yet
	ending   map[string]<-chan struct{} // by id, closed once the run of that source has ended
	usage    map[string]*usage          // by package
	queue    queue
	lanes    map[laneKey]*deviceLane
	inFlight int
	overruns uint64 // places on the grid that were skipped
	lateness lateness
}

func newSchedule(maxInFlight int, emit func(*entry, probes.Batch)) *schedule {
	return &schedule{
		slots:   newPool(maxInFlight),
		dead:    newPool(min(deadSlots, maxInFlight)),
		patient: newPool(patientSlots * maxInFlight),
		emit:    emit,
		resume:  func(probes.Task) {},
		beat:    func(time.Duration) {},
		origin:  time.Now(),
		wake:    make(chan struct{}, 1),
		entries: map[string]*entry{},
		lanes:   map[laneKey]*deviceLane{},
		ending:  map[string]<-chan struct{}{},
		usage:   map[string]*usage{},
	}
}

// Set makes tasks the tasks of the schedule. A task whose id and fingerprint
// are unchanged keeps its place on the grid and its probe, baselines included; one
// that is changed takes the baselines over.
func (s *schedule) Set(tasks []probes.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wanted := make(map[string]bool, len(tasks))
	for _, t := range tasks {
		wanted[t.ID] = true
		if old := s.entries[t.ID]; old != nil && old.task.Same == t.Same {
			old.task.Label, old.task.Config, old.task.Package = t.Label, t.Config, t.Package
			continue
		}
		old := s.removeLocked(t.ID)
		s.addLocked(t, now).before = old.leaves()
	}
	for id := range s.entries {
		if !wanted[id] {
			s.removeLocked(id)
		}
	}
	s.divideLocked(now)
	s.nudge()
}

func (s *schedule) addLocked(t probes.Task, now time.Time) *entry {
	e := &entry{task: t, labels: &labeler{}, last: result{Status: probes.StatusPending}}
	s.entries[t.ID] = e
	if t.Source != nil {
		s.addSourceLocked(e)
		return e
	}
	if t.Lane == "" {
		e.lane = s.laneLocked(laneKey{device: t.Device}, 1)
	} else {
		key := laneKey{shareOf(t), t.Device, t.Lane}
		e.lane = s.laneLocked(key, 1)
		key.lane = ""
		e.host = s.laneLocked(key, hostTurns)
	}
	e.joinLocked()
	e.next = firstDue(s.origin, now, t)
	heap.Push(&s.queue, e)
	return e
}

func (s *schedule) laneLocked(key laneKey, turns int) *deviceLane {
	lane := s.lanes[key]
	if lane == nil {
		lane = &deviceLane{key: key, turn: make(chan struct{}, turns)}
		s.lanes[key] = lane
	}
	return lane
}

// joinLocked notes one more user of the entry's lanes.
func (e *entry) joinLocked() {
	e.lane.users++
	if e.host != nil {
		e.host.users++
	}
}

// removeLocked returns what it has removed, nil: there was nothing.
func (s *schedule) removeLocked(id string) *entry {
	e := s.entries[id]
	if e == nil {
		return nil
	}
	delete(s.entries, id)
	if e.source != nil {
		e.source.remove()
		return e
	}
	heap.Remove(&s.queue, e.place)
	s.leaveLocked(e)
	return e
}

func (s *schedule) leaveLocked(e *entry) {
	for _, lane := range []*deviceLane{e.lane, e.host} {
		if lane == nil {
			continue
		}
		if lane.users--; lane.users == 0 {
			delete(s.lanes, lane.key)
		}
	}
}

// Starts are aligned to ticks, so that a few devices are polled at a time: to
// wake the process up for a reply costs more than to read it.
const maxTick = 500 * time.Millisecond

// firstDue is the first moment on the task's grid that is not before now.
func firstDue(origin, now time.Time, t probes.Task) time.Time {
	h := sha256.Sum256([]byte(t.Device + t.Lane)) // simple hashes cluster on addresses of one subnet
	offset := time.Duration(binary.BigEndian.Uint64(h[:]) % uint64(t.Interval))
	due := origin.Add(offset.Truncate(min(maxTick, t.Interval/10)))
	if now.After(due) {
		missed := (now.Sub(due) + t.Interval - 1) / t.Interval
		due = due.Add(missed * t.Interval)
	}
	return due
}

func (s *schedule) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run starts polls and sources until ctx ends and then waits for those that run.
func (s *schedule) Run(ctx context.Context) error {
	defer s.polls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := min(s.startDue(ctx, time.Now()), idleBeat)
		s.beat(wait + beatGrace)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// startDue starts what is due and returns the time to the next due task.
func (s *schedule) startDue(ctx context.Context, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startSourcesLocked(ctx)
	for len(s.queue) > 0 {
		e := s.queue[0]
		if e.next.After(now) {
			return max(e.next.Sub(now), time.Millisecond)
		}
		s.startLocked(ctx, e, now)
	}
	return time.Hour
}

func (s *schedule) startLocked(ctx context.Context, e *entry, now time.Time) {
	missed := now.Sub(e.next) / e.task.Interval
	due := e.next.Add(missed * e.task.Interval)
	s.putOffLocked(e, due.Add(e.task.Interval))
	if e.running {
		s.skipLocked(e)
		return
	}
	e.running, e.due, e.missed = true, due, 0
	e.joinLocked()
	s.polls.Go(func() {
		s.poll(ctx, e)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaveLocked(e)
	})
}

func (s *schedule) putOffLocked(e *entry, next time.Time) {
	e.next = next
	if e.place >= 0 {
		heap.Fix(&s.queue, e.place)
	}
}

// skipLocked counts a place on the grid that came while the poll before was
// not done. A device that does not answer is no slow one.
func (s *schedule) skipLocked(e *entry) {
	if e.deadLocked() {
		return
	}
	e.missed++
	e.last.Skipped++
	s.overruns++
}

// deadLocked tells whether the task is one of a dead device. Another task may
// be of another agent behind the same address, which has answered.
func (e *entry) deadLocked() bool {
	return e.lane.dead && (e.last.Fails > 0 || e.last.Polls == 0)
}

// backoff is how long a poll is put off beyond its next place on the grid after
// so many failures in a row: whole intervals, and never more than maxBackoff
// unless that is less than one interval.
func backoff(fails int, interval time.Duration) time.Duration {
	intervals := maxBackoffIntervals
	if fails <= 4 {
		intervals = 1 << (fails - 1)
	}
	extra := time.Duration(intervals-1) * interval
	return min(extra, maxBackoff/interval*interval)
}

// taskState is a copy of what the schedule knows of one task.
type taskState struct {
	Task probes.Task
	Last result
	Next time.Time
	runs bool        // of a source: it runs now
	keep probes.Task // that holds what is written of it at a stop
}

// States lists all tasks, sorted by id.
func (s *schedule) States() []taskState {
	out := s.copies()
	for i := range out {
		out[i].watch()
	}
	return out
}

func (s *schedule) copies() []taskState {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]taskState, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, taskState{Task: e.task, Last: e.last, Next: e.next, runs: e.running, keep: e.keeper()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Task.ID < out[j].Task.ID })
	return out
}

// configOf names the configuration entry that a task belongs to.
func (s *schedule) configOf(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.task.Config
}

func (s *schedule) idOf(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.task.ID
}

// pace is how the schedule as a whole keeps its grid.
type pace struct {
	InFlight int
	Slots    int
	Dead     int           // devices whose last two polls had no connection
	Late     time.Duration // 99 of 100 polls of the last minutes started sooner than that after their place on the grid
	Overruns uint64
}

// Pace tells how well the grid is kept.
func (s *schedule) Pace() pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := pace{InFlight: s.inFlight, Slots: s.slots.size, Late: s.lateness.quantile(time.Now(), 0.99), Overruns: s.overruns}
	for _, l := range s.lanes {
		if l.dead {
			p.Dead++
		}
	}
	return p
}

// queue holds the entries, the one that is due next first.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.place = len(*q)
	*q = append(*q, e)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last], *q, e.place = nil, (*q)[:last], -1
	return e
}
