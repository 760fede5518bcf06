package agent

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// The log names a task that is too slow for its interval at most this often.
const tellSlow = time.Hour

// poll waits for the device's turn and a slot, polls, and hands on the batch.
func (s *schedule) poll(ctx context.Context, e *entry) {
	if !take(ctx, e.lane.turn) {
		return
	}
	defer func() { <-e.lane.turn }()
	if e.host != nil {
		if !take(ctx, e.host.turn) {
			return
		}
		defer func() { <-e.host.turn }()
	}
	slots, share := s.slotsOf(e)
	asked := time.Now()
	if !slots.Take(ctx, share) {
		return
	}
	waited := time.Since(asked)
	release := s.hold(slots, share)
	task, start, ok := s.begin(e)
	if !ok {
		release()
		return
	}
	s.inherit(e, task)
	batch, err := pollOnce(ctx, task)
	release()
	if ctx.Err() == nil || err == nil { // a stop says nothing about the device
		s.tell(task, s.finish(e, polled{start, waited, batch, err}), err)
	}
	s.emit(e, batch)
}

// slotsOf are the slots that the device's polls share with others, and in whose
// name.
func (s *schedule) slotsOf(e *entry) (slots *pool, share string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.deadLocked() {
		return s.dead, shareOf(e.task)
	}
	return s.slots, shareOf(e.task)
}

// hold keeps the slot that was taken until release is called. A poll that goes
// on for long mostly waits, for an answer or for the end of a try: it moves to
// the slots of such polls, if one is free, and leaves its own to others.
func (s *schedule) hold(slots *pool, share string) (release func()) {
	if slots == s.dead {
		return func() { slots.Release(share) }
	}
	var mu sync.Mutex
	held := slots
	timer := time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if held != nil && s.patient.Try(share) {
			held.Release(share)
			held = s.patient
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		held.Release(share)
		held = nil
	}
}

// begin notes the start of a poll. It is not ok once a reload has taken the
// task away.
func (s *schedule) begin(e *entry) (task probes.Task, start time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.task.ID] != e {
		return probes.Task{}, time.Time{}, false
	}
	start = time.Now()
	e.last.Late = start.Sub(e.due)
	if !e.deadLocked() { // who waits for a dead device misses nothing
		s.lateness.add(start, e.last.Late)
	}
	s.inFlight++
	e.polling = true
	return e.task, start, true
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

// news is what a poll changed that the log should tell.
type news struct {
	was     probes.Status
	slow    bool // it is too slow for its interval, which was not told for long
	inTime  bool // it is no longer, which was told
	took    time.Duration
	late    time.Duration
	skipped int
}

// polled is what a poll took and gave.
type polled struct {
	start  time.Time
	waited time.Duration // for a slot
	batch  probes.Batch
	err    error
}

// finish notes what came of a poll.
func (s *schedule) finish(e *entry, p polled) news {
	start, batch, err := p.start, p.batch, p.err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	e.running, e.polling = false, false
	last := &e.last
	n := news{was: last.Status, late: last.Late, took: time.Since(start), skipped: e.missed}
	last.At, last.Duration = start, n.took
	last.Points = len(batch.Points)
	last.Polls++
	last.Status, last.Message = probes.StatusOf(err), ""
	if err != nil {
		last.Message = err.Error()
	}
	if last.Empty++; err != nil || holds(batch) {
		last.Empty = 0
	}
	if holds(batch) {
		last.LastOK = start
	}
	s.usageLocked(shareOf(e.task)).add(cost{len(batch.Points), n.took, p.waited}, time.Now())
	if m, ok := e.task.Probe.(probes.Measured); ok {
		last.Stats = m.PollStats()
		last.Gaps += uint64(last.Stats.Gaps)
		last.Sum.add(last.Stats)
	}
	if last.Status != probes.StatusDeviceConnectionError {
		last.Fails, e.lane.dead = 0, false
		e.hurry(&n, start)
		return n
	}
	last.Fails++
	e.lane.dead = last.Fails > 1 // once may be a lost datagram, for which it should not queue behind the dead
	s.putOffLocked(e, e.next.Add(backoff(last.Fails, e.task.Interval)))
	return n
}

// hurry notes whether the poll was done in time.
func (e *entry) hurry(n *news, now time.Time) {
	if e.missed == 0 {
		n.inTime = e.slow
		e.slow, e.last.Overran = false, 0
		return
	}
	e.last.Overran = n.late + n.took
	if !e.slow && (e.told.IsZero() || now.Sub(e.told) >= tellSlow) {
		n.slow, e.slow, e.told = true, true, now
	}
}

// tell logs what changed, once, so that a device that stays away or stays slow
// does not fill the log.
func (s *schedule) tell(t probes.Task, n news, err error) {
	now := probes.StatusOf(err)
	if now == n.was && !n.slow && !n.inTime {
		return
	}
	log := s.log.With().Str("task", t.Label).Str("configuration", t.Config).Logger()
	tellPace(log, t, n, s.slots.size)
	var inside panicError
	switch {
	case now == n.was:
	case errors.As(err, &inside):
		log.Error().Str("stack", string(inside.stack)).Err(err).Msg("poll failed inside")
	case now != probes.StatusOK:
		log.Warn().Str("status", string(now)).Err(err).Msg("poll is not in order")
	case n.was != probes.StatusPending:
		log.Info().Str("was", string(n.was)).Msg("poll is in order again")
	}
}

// tellPace names a device that was too slow, or no longer is.
func tellPace(log zerolog.Logger, t probes.Task, n news, slots int) {
	if n.inTime {
		log.Info().Stringer("took", n.took.Round(time.Millisecond)).Msg("poll is done in time again")
	}
	if !n.slow {
		return
	}
	line := log.Warn().Str("device", t.Device).Stringer("took", n.took.Round(time.Millisecond)).
		Stringer("interval", t.Interval).Int("skipped", n.skipped)
	if n.took < n.late {
		line.Stringer("waited", n.late.Round(time.Millisecond)).Int("max_in_flight", slots).
			Msg("poll was due again before it was done, since it had to wait for others: raise polling.max_in_flight, or give this device a longer interval")
		return
	}
	line.Msg("poll was due again before it was done: give this device a longer interval, or fewer metrics")
}
