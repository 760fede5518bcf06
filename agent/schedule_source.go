package agent

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// A source whose Run fails is started again after 1 s, 2 s, 4 s and so on; one
// that ran for as long as the longest pause begins anew.
const (
	firstRestart = time.Second
	lastRestart  = 5 * time.Minute
)

var errSourceEnded = errors.New("the source has ended by itself")

// sourceRun is a source of the schedule, which runs until its task is removed.
type sourceRun struct {
	before <-chan struct{} // closed once the run of the same id before it has ended; nil: there is none
	alive  context.Context // ends when the task is removed
	remove context.CancelFunc
	ended  chan struct{}
	taking sync.Mutex // one batch at a time
	fails  int        // runs in a row; guarded by schedule.mu
}

// addSourceLocked has the source started by Run.
func (s *schedule) addSourceLocked(e *entry) {
	r := &sourceRun{before: s.ending[e.task.ID], ended: make(chan struct{})}
	r.alive, r.remove = context.WithCancel(context.Background())
	e.place, e.source = -1, r
	s.ending[e.task.ID] = r.ended
	s.starting = append(s.starting, e)
}

// startSourcesLocked starts those that Set has added. Run waits for them.
func (s *schedule) startSourcesLocked(ctx context.Context) {
	for _, e := range s.starting {
		s.polls.Go(func() {
			s.runSource(ctx, e)
			s.sourceEnded(e)
		})
	}
	s.starting = nil
}

// runSource runs a source again and again until ctx ends or its task is removed.
func (s *schedule) runSource(ctx context.Context, e *entry) {
	alive := e.source.alive
	defer context.AfterFunc(ctx, e.source.remove)()
	if e.source.before != nil {
		select {
		case <-e.source.before: // it may hold the same port, and its last batch a State
			s.resume(e.task)
		case <-alive.Done():
			return
		}
	}
	for alive.Err() == nil {
		begin := time.Now()
		err := s.runOnce(alive, e)
		if alive.Err() != nil {
			return
		}
		if time.Since(begin) >= lastRestart {
			s.noteSource(e, nil)
		}
		task, n, pause := s.noteSource(e, err)
		s.tell(task, n, err)
		_ = sleep(alive, pause) // the loop sees the end
	}
}

// runOnce turns a panic into an error, as pollOnce does.
func (s *schedule) runOnce(ctx context.Context, e *entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError{value: p, stack: debug.Stack()}
		}
	}()
	s.mark(e, true)
	defer s.mark(e, false)
	if err := e.task.Source.Run(ctx, func(b probes.Batch) { s.takeFrom(e, b) }); err != nil {
		return err
	}
	return errSourceEnded
}

func (s *schedule) mark(e *entry, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.running = runs
}

// takeFrom hands on what a source gives, whatever goroutine it comes from.
func (s *schedule) takeFrom(e *entry, b probes.Batch) {
	e.source.taking.Lock()
	defer e.source.taking.Unlock()
	if !holds(b) {
		return
	}
	task, n := s.noteBatch(e, len(b.Points))
	s.tell(task, n, nil)
	s.emit(e, b)
}

func (s *schedule) noteBatch(e *entry, points int) (probes.Task, news) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &e.last
	n := news{was: last.Status}
	last.At = time.Now()
	last.LastOK, last.Points = last.At, points
	last.Polls++
	last.Status, last.Message, last.Fails = probes.StatusOK, "", 0
	s.usageLocked(shareOf(e.task)).add(cost{points: points}, last.At)
	return e.task, n
}

// watch puts in what a source says of itself. One that is in order and has had
// nothing to give yet is not OK: nobody knows whether anything will come.
func (t *taskState) watch() {
	if t.Task.Source == nil || !t.runs {
		return
	}
	w, watched := t.Task.Source.(probes.Watched)
	if !watched {
		return
	}
	state := w.Watch()
	t.Last.Status, t.Last.Message = cmp.Or(state.Status, probes.StatusOK), state.Message
	t.Last.Received, t.Last.Dropped, t.Last.Refused = state.Received, state.Dropped, state.Refused
	if t.Last.Status == probes.StatusOK && state.Received == 0 && t.Last.Polls == 0 {
		t.Last.Status, t.Last.Message = probes.StatusPending, "it listens, and nothing has arrived yet"
	}
}

// noteSource notes how a run has ended, and gives the pause before the next one.
// nil forgets the failures.
func (s *schedule) noteSource(e *entry, err error) (probes.Task, news, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := news{was: e.last.Status}
	if err == nil {
		e.source.fails = 0
		return e.task, n, 0
	}
	e.source.fails++
	e.last.Fails = e.source.fails
	e.last.Status, e.last.Message = probes.StatusOf(err), err.Error()
	pause := lastRestart
	if doublings := e.source.fails - 1; doublings < 9 {
		pause = min(firstRestart<<doublings, lastRestart)
	}
	e.next = time.Now().Add(pause)
	return e.task, n, pause
}

// sourceEnded lets a run of the same id begin.
func (s *schedule) sourceEnded(e *entry) {
	close(e.source.ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending[e.task.ID] == e.source.ended {
		delete(s.ending, e.task.ID)
	}
}
