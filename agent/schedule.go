package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"slices"
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

// result is what the schedule knows of a task after a poll.
type result struct {
	Status   probes.Status
	Message  string
	At       time.Time // start of the poll
	LastOK   time.Time // start of the last poll that brought data
	Duration time.Duration
	Points   int
	Polls    uint64
	Skipped  uint64 // due while the poll before still ran
	Gaps     uint64 // counters that fell, over all polls
	Stats    probes.PollStats
}

// entry is one task on the grid. Its fields belong to schedule.mu.
type entry struct {
	task    probes.Task
	lane    *deviceLane
	labels  *labeler
	next    time.Time
	running bool
	fails   int // polls in a row without a connection
	last    result
}

// deviceLane makes the tasks of one device take turns. It stays as long as a
// task or a running poll, of a task that a reload has removed, uses it.
type deviceLane struct {
	device string
	turn   chan struct{}
	users  int // guarded by schedule.mu
}

// schedule starts each task on a grid of its interval. Starts are spread over
// the interval by a hash of the device; a task that still runs when it is due
// again is skipped, never queued; tasks of one device take turns; at most
// `slots` polls run at a time. All waiting is on the monotonic clock.
type schedule struct {
	slots  chan struct{}
	emit   func(e *entry, b probes.Batch)
	log    zerolog.Logger
	origin time.Time
	wake   chan struct{}
	polls  sync.WaitGroup

	mu      sync.Mutex
	entries map[string]*entry
	lanes   map[string]*deviceLane
}

func newSchedule(maxInFlight int, emit func(*entry, probes.Batch)) *schedule {
	return &schedule{
		slots:   make(chan struct{}, maxInFlight),
		emit:    emit,
		origin:  time.Now(),
		wake:    make(chan struct{}, 1),
		entries: map[string]*entry{},
		lanes:   map[string]*deviceLane{},
	}
}

// Set makes tasks the tasks of the schedule. A task whose id and fingerprint
// are unchanged keeps its place on the grid and its probe, baselines included.
func (s *schedule) Set(tasks []probes.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wanted := make(map[string]bool, len(tasks))
	for _, t := range tasks {
		wanted[t.ID] = true
		if old := s.entries[t.ID]; old != nil && old.task.Same == t.Same {
			old.task.Label, old.task.Config = t.Label, t.Config
			continue
		}
		s.removeLocked(t.ID)
		s.addLocked(t, now)
	}
	for id := range s.entries {
		if !wanted[id] {
			s.removeLocked(id)
		}
	}
	s.nudge()
}

func (s *schedule) addLocked(t probes.Task, now time.Time) {
	lane := s.lanes[t.Device]
	if lane == nil {
		lane = &deviceLane{device: t.Device, turn: make(chan struct{}, 1)}
		s.lanes[t.Device] = lane
	}
	lane.users++
	s.entries[t.ID] = &entry{
		task:   t,
		lane:   lane,
		labels: &labeler{},
		next:   firstDue(s.origin, now, t),
		last:   result{Status: probes.StatusPending},
	}
}

func (s *schedule) removeLocked(id string) {
	e := s.entries[id]
	if e == nil {
		return
	}
	delete(s.entries, id)
	s.leaveLocked(e.lane)
}

func (s *schedule) leaveLocked(lane *deviceLane) {
	lane.users--
	if lane.users == 0 {
		delete(s.lanes, lane.device)
	}
}

// firstDue is the first moment on the task's grid that is not before now.
func firstDue(origin, now time.Time, t probes.Task) time.Time {
	h := sha256.Sum256([]byte(t.Device)) // simple hashes cluster on addresses of one subnet
	offset := time.Duration(binary.BigEndian.Uint64(h[:]) % uint64(t.Interval))
	due := origin.Add(offset)
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

// Run starts polls until ctx ends and then waits for those that run.
func (s *schedule) Run(ctx context.Context) error {
	defer s.polls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := s.startDue(ctx, time.Now())
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
	wait := time.Hour
	for _, e := range s.entries {
		if !e.next.After(now) {
			s.startLocked(ctx, e, now)
		}
		wait = min(wait, e.next.Sub(now))
	}
	return max(wait, time.Millisecond)
}

func (s *schedule) startLocked(ctx context.Context, e *entry, now time.Time) {
	missed := 1 + now.Sub(e.next)/e.task.Interval
	e.next = e.next.Add(missed * e.task.Interval)
	if e.running {
		e.last.Skipped++
		return
	}
	e.running = true
	e.lane.users++
	s.polls.Go(func() {
		s.poll(ctx, e)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaveLocked(e.lane)
	})
}

// poll waits for the device's turn and a slot, polls, and hands on the batch.
func (s *schedule) poll(ctx context.Context, e *entry) {
	if !take(ctx, e.lane.turn) {
		return
	}
	defer func() { <-e.lane.turn }()
	if !take(ctx, s.slots) {
		return
	}
	task, ok := s.current(e)
	if !ok {
		<-s.slots
		return
	}
	start := time.Now()
	batch, err := pollOnce(ctx, task)
	<-s.slots
	if ctx.Err() == nil || err == nil { // a stop says nothing about the device
		s.tell(task, s.finish(e, start, batch, err), err)
	}
	s.emit(e, batch)
}

// current is the task of an entry, false once a reload has taken it away.
func (s *schedule) current(e *entry) (probes.Task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.task, s.entries[e.task.ID] == e
}

func take(ctx context.Context, c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// pollOnce bounds the poll in time and turns a panic, which one hostile device
// must not make everybody's, into an error of this poll.
func pollOnce(ctx context.Context, t probes.Task) (batch probes.Batch, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(t.Interval, minPollTime))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			batch, err = probes.Batch{}, panicError{value: p, stack: debug.Stack()}
		}
	}()
	return t.Probe.Poll(ctx)
}

// tell logs a change of a task's status, once, so that a device that stays away
// does not fill the log.
func (s *schedule) tell(t probes.Task, was probes.Status, err error) {
	now := probes.StatusOf(err)
	log := s.log.With().Str("task", t.Label).Str("configuration", t.Config).Logger()
	var inside panicError
	switch {
	case now == was:
	case errors.As(err, &inside):
		log.Error().Str("stack", string(inside.stack)).Err(err).Msg("poll failed inside")
	case now != probes.StatusOK:
		log.Warn().Str("status", string(now)).Err(err).Msg("poll is not in order")
	case was != probes.StatusPending:
		log.Info().Str("was", string(was)).Msg("poll is in order again")
	}
}

// finish notes what came of a poll and returns the status before it.
func (s *schedule) finish(e *entry, start time.Time, batch probes.Batch, err error) (was probes.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = e.last.Status
	e.running = false
	e.last.At, e.last.Duration = start, time.Since(start)
	e.last.Points = len(batch.Points)
	e.last.Polls++
	e.last.Status = probes.StatusOf(err)
	e.last.Message = ""
	if err != nil {
		e.last.Message = err.Error()
	}
	if len(batch.Points) > 0 {
		e.last.LastOK = start
	}
	if m, ok := e.task.Probe.(probes.Measured); ok {
		e.last.Stats = m.PollStats()
		e.last.Gaps += uint64(e.last.Stats.Gaps)
	}
	if e.last.Status != probes.StatusDeviceConnectionError {
		e.fails = 0
		return was
	}
	e.fails++
	e.next = e.next.Add(backoff(e.fails, e.task.Interval))
	return was
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
}

// States lists all tasks, sorted by id.
func (s *schedule) States() []taskState {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]taskState, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, taskState{Task: e.task, Last: e.last, Next: e.next})
	}
	slices.SortFunc(out, func(a, b taskState) int {
		if a.Task.ID < b.Task.ID {
			return -1
		}
		return 1
	})
	return out
}
