// Package demo tells the story of the agent on one machine: simulated devices,
// a stand-in for Dynatrace, and the real agent as a child process with a real
// store, through an outage and a kill.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// Options are what the command hands in.
type Options struct {
	Binary   string // the agent to run as a child: this program itself
	Out      io.Writer
	Terminal bool          // a person watches: draw a progress line and stay up at the end
	Length   time.Duration // of the story; 0: 45 s
}

// ErrLost is returned when the account and what arrived do not agree.
var ErrLost = errors.New("a point was lost or arrived twice")

// ErrStopped is returned when the story was stopped before its end.
var ErrStopped = errors.New("stopped; nothing was counted")

const usualLength = 45 * time.Second

// MinLength is the shortest story: in a shorter one the kill would come before
// the last settlements are committed, and what they settled would come twice.
const MinLength = 10 * time.Second

// The story's moments, at the usual length.
const (
	cutAt   = 12 * time.Second
	killAt  = 22 * time.Second
	startAt = 24 * time.Second
	backAt  = 33 * time.Second
	countAt = 40 * time.Second
)

// A drain or a start that takes longer than this has failed.
const patience = 60 * time.Second

// story is the demo while it runs.
type story struct {
	opts    Options
	stage   *stage
	tell    *teller
	begin   time.Time
	peakRSS int64 // of all child processes, bytes
	perDisk float64
}

// Run tells the story. It returns ErrLost if the numbers do not agree, and
// other errors if the story could not be told to its end.
func Run(ctx context.Context, opts Options) error {
	if opts.Length <= 0 {
		opts.Length = usualLength
	}
	opts.Length = max(opts.Length, MinLength)
	s := &story{opts: opts, tell: newTeller(opts.Out, opts.Terminal), begin: time.Now()}
	st, err := newStage(opts.Binary)
	if err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	s.stage = st
	defer st.Close()
	sums, err := s.run(ctx)
	s.tell.ClearProgress()
	if err != nil && ctx.Err() != nil {
		return ErrStopped
	}
	if err != nil {
		return fmt.Errorf("%w\nlast words of the agent:\n%s", err, st.lastWords())
	}
	s.tell.Sums(sums)
	if opts.Terminal && sums.err() == nil {
		s.stayUp(ctx)
	}
	return sums.err()
}

func (s *story) run(ctx context.Context) (sums, error) {
	s.tell.Opening(s.stage)
	for _, chapter := range []func(context.Context) error{
		s.polling, s.cut, s.kill, s.restart, s.linkBack,
	} {
		if err := chapter(ctx); err != nil {
			return sums{}, err
		}
	}
	return s.count(ctx)
}

// until waits for a moment of the story, drawing the progress line.
func (s *story) until(ctx context.Context, moment time.Duration) error {
	at := s.begin.Add(time.Duration(float64(moment) * float64(s.opts.Length) / float64(usualLength)))
	return s.watch(ctx, time.Until(at), func(control.Status) bool { return false })
}

// watch draws the progress line until done says so, or the time is up.
func (s *story) watch(ctx context.Context, limit time.Duration, done func(control.Status) bool) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		st, err := s.stage.status(ctx)
		if err == nil {
			s.look(st)
			s.tell.Progress(s.since(), st, s.stage.env.Counts(), s.stage.linkUp)
			if done(st) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (s *story) since() time.Duration { return time.Since(s.begin) }

// look notes the figures that only a running child can give.
func (s *story) look(st control.Status) {
	s.peakRSS = max(s.peakRSS, s.stage.childPeak())
	if !s.stage.linkUp && st.Account.Buffered > 0 {
		s.perDisk = float64(st.Buffer.UsedBytes) / float64(st.Account.Buffered)
	}
}

func (s *story) polling(ctx context.Context) error {
	if err := s.stage.startAgent(ctx); err != nil {
		return err
	}
	arrived := false
	err := s.watch(ctx, patience, func(control.Status) bool {
		arrived = s.stage.env.Counts().Distinct > 0
		return arrived
	})
	if err != nil {
		return err
	}
	if !arrived {
		return errors.New("no point arrived")
	}
	s.tell.Say(s.since(), "The first points have arrived. The agent polls %d devices each second and commits each second.", len(s.stage.devices))
	return s.until(ctx, cutAt)
}

func (s *story) cut(ctx context.Context) error {
	s.stage.cutLink()
	s.tell.Say(s.since(), "The link is CUT: every connection is refused. Polling goes on; points pile up in the file.")
	return s.until(ctx, killAt)
}

func (s *story) kill(ctx context.Context) error {
	before, err := s.stage.status(ctx)
	if err != nil {
		return fmt.Errorf("ask the agent for its status: %w", err)
	}
	s.look(before)
	if err := s.stage.killAgent(); err != nil {
		return err
	}
	s.tell.Say(s.since(), "The agent is killed with SIGKILL, with %d points waiting in the file.", before.Account.Buffered)
	return s.until(ctx, startAt)
}

func (s *story) restart(ctx context.Context) error {
	if err := s.stage.startAgent(ctx); err != nil {
		return err
	}
	var found int64
	err := s.watch(ctx, patience, func(st control.Status) bool {
		found = st.Account.Buffered
		return true
	})
	if err != nil {
		return err
	}
	s.tell.Say(s.since(), "Started again on the same file: %d points are still there. The link is still down.", found)
	return s.until(ctx, backAt)
}

func (s *story) linkBack(ctx context.Context) error {
	before, err := s.stage.status(ctx)
	if err != nil {
		return fmt.Errorf("ask the agent for its status: %w", err)
	}
	s.look(before)
	if err := s.stage.restoreLink(); err != nil {
		return err
	}
	s.tell.Say(s.since(), "The link is BACK, with %d points waiting.", before.Account.Buffered)
	back, drained := time.Now(), false
	oldest := before.Account.Delivered + before.Account.Buffered
	err = s.watch(ctx, patience, func(st control.Status) bool {
		drained = st.Account.Delivered >= oldest
		return drained
	})
	if err != nil {
		return err
	}
	if !drained {
		return fmt.Errorf("the backlog was not drained within %v", patience)
	}
	s.tell.Say(s.since(), "The backlog is drained, %.1f s after the link came back; live points went first.", time.Since(back).Seconds())
	return s.until(ctx, countAt)
}

// count stops the polling by a reload, so that both sides can be counted at
// rest, and compares them.
func (s *story) count(ctx context.Context) (sums, error) {
	if err := s.stage.stopPolling(ctx); err != nil {
		return sums{}, err
	}
	s.tell.Say(s.since(), "Polling is stopped by a reload, so that both sides can be counted at rest.")
	var last control.Status
	rest := 0
	err := s.watch(ctx, patience, func(st control.Status) bool {
		if st.Account.Buffered == 0 && st.Buffer.PendingPoints == 0 && st.Account == last.Account {
			rest++
		} else {
			rest = 0
		}
		last = st
		return rest >= 8 // two seconds, two commits
	})
	if err != nil {
		return sums{}, err
	}
	if rest < 8 {
		return sums{}, fmt.Errorf("the agent did not come to rest within %v", patience)
	}
	taken := s.stage.env.Counts()
	return sums{
		accepted: last.Account.Accepted, taken: int64(taken.Distinct), duplicated: int64(taken.Duplicates),
		refused: last.Account.DeadLetter, late: last.Account.Late,
		perDisk: s.perDisk, peakRSS: s.peakRSS,
	}, nil
}

func (s *story) stayUp(ctx context.Context) {
	if err := s.stage.resumePolling(ctx); err != nil {
		return
	}
	s.tell.Staying(s.stage)
	<-ctx.Done()
}

// sums are the two sides of the account.
type sums struct {
	accepted, taken, duplicated int64
	refused, late               int64
	perDisk                     float64
	peakRSS                     int64
}

// lost are points the account accepted that the stand-in never took.
func (s sums) lost() int64 {
	if s.taken >= s.accepted {
		return 0
	}
	return s.accepted - s.taken
}

func (s sums) err() error {
	if s.lost() != 0 || s.duplicated != 0 || s.taken > s.accepted {
		return ErrLost
	}
	return nil
}

// tempPrefix names the demo's folder, so that a person who finds it knows.
const tempPrefix = "edgehold-demo-"

func tempFolder() (string, error) {
	dir, err := os.MkdirTemp("", tempPrefix)
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, nil
}
