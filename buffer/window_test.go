package buffer

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// commits is how many commits the file has seen.
func (r *rig) commits() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.Commit
}

func TestOneCommitPerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval = 10 * time.Second })
		var tickets []*Ticket
		for i := range 19 {
			tickets = append(tickets, r.Enqueue(r.points(i, 1)))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := r.commits(); got != 1 {
			t.Errorf("%d commits in 19 s, want 1", got)
		}
		for _, ticket := range tickets {
			if err := ticket.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if got := r.commits(); got != 2 {
			t.Errorf("%d commits, want 2", got)
		}
		if got := len(r.Committed()); got != 1 {
			t.Errorf("%d signals, want 1 for all", got)
		}
	})
}

func TestSettlementsRide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval = 10 * time.Second })
		r.append(r.points(0, 10)...)
		r.settle(r.lease(10), Settlement{Outcome: Delivered}) // of the freshest points
		r.Enqueue(r.points(10, 10))
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if got := r.commits(); got != 1 {
			t.Fatalf("%d commits, a settlement of fresh points did not wait for the window", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		r.account(Account{Accepted: 20, Buffered: 10, Delivered: 10})
		r.append(r.points(20, 10)...)
		before := r.commits()
		r.settle(r.lease(10), Settlement{Outcome: Delivered}) // of older ones
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.commits(); got != before+1 {
			t.Errorf("%d commits a second after a settlement of the backlog, want 1", got-before)
		}
		r.account(Account{Accepted: 30, Buffered: 10, Delivered: 20})
	})
}

// TestBacklogOfAnEarlierRun is settled within a second too, although no commit
// of this run has added a point.
func TestBacklogOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval = 10 * time.Second })
		r.append(r.points(0, 10)...)
		r.reopen()
		r.settle(r.lease(10), Settlement{Outcome: Delivered})
		time.Sleep(time.Second)
		synctest.Wait()
		r.account(Account{Accepted: 10, Delivered: 10})
	})
}

func TestCrowdedQueueCommitsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval, o.MaxPending = time.Hour, 100 })
		from := time.Now()
		r.append(r.points(0, 51)...)
		if waited := time.Since(from); waited > 0 {
			t.Errorf("more than half of what may wait did wait, for %v", waited)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval = time.Minute })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.Append(ctx, r.points(0, 1)); err == nil || !strings.Contains(err.Error(), "deadline") {
			t.Errorf("got %v", err)
		}
		r.reopen() // commits what was pending
		r.account(Account{Accepted: 1, Buffered: 1})
	})
}

func TestAlarmIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	r := start(t, func(o *Options) { o.Log = zerolog.New(&log) })
	err := context.DeadlineExceeded
	for _, e := range []error{nil, err, err, nil, nil} {
		r.sound(e)
	}
	if got := strings.Count(log.String(), "\n"); got != 2 || r.Stat().Alarm != "" {
		t.Errorf("%d lines:\n%s", got, log.String())
	}
}
