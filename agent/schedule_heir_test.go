package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// countingProbe knows how many polls there were, its predecessors' included. Its
// own lock is none of the schedule's: what is handed over in the middle of a poll
// is not counted.
type countingProbe struct {
	takes time.Duration

	mu      sync.Mutex
	known   int
	polled  bool
	late    bool // restored after its first poll
	refuses bool
	busy    bool
	asked   bool // for its checkpoint while it was polled
}

func (p *countingProbe) Poll(ctx context.Context) (probes.Batch, error) {
	p.mu.Lock()
	p.polled, p.busy = true, true
	p.mu.Unlock()
	select {
	case <-time.After(p.takes):
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known++
	p.busy = false
	return probes.Batch{}, nil
}

func (p *countingProbe) Checkpoint() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = p.asked || p.busy
	if p.known == 0 {
		return nil, nil
	}
	return []byte(strconv.Itoa(p.known)), nil
}

func (p *countingProbe) Restore(data []byte) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		return errors.New("it is damaged")
	}
	p.late = p.late || p.polled
	p.known, err = strconv.Atoi(string(data))
	return err
}

// changed is the task of version n, with a fingerprint of its own.
func changed(n int, p probes.Probe) []probes.Task {
	t := task("t", "192.0.2.1", 10*time.Second, p)
	t.Same = fmt.Sprint(n)
	return []probes.Task{t}
}

// TestAChangedTaskTakesOver: a task that a reload changes goes on from what the one
// before it knew, also in the middle of a poll, over several reloads without one,
// and over a stop before its first one.
func TestAChangedTaskTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		all := []*countingProbe{}
		next := func(takes time.Duration) *countingProbe {
			p := &countingProbe{takes: takes}
			all = append(all, p)
			s.Set(changed(len(all), p))
			return p
		}
		first := next(4 * time.Second)
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		for !first.isBusy() { // into the middle of a poll
			time.Sleep(time.Second)
			synctest.Wait()
		}
		next(0) // never polled: the one before it polls still
		second := next(time.Second)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if first.known < 3 || second.known < first.known+2 {
			t.Errorf("the first knows %d polls, the one after it %d", first.known, second.known)
		}
		stays := next(time.Second)
		cancel()
		<-done
		was := second.known
		if stays.polled {
			t.Fatal("it was polled, so nothing is proved")
		}
		if got := checkpoints(s.States(), zerolog.Nop()); string(got["t"]) != strconv.Itoa(was) {
			t.Errorf("a stop before the first poll writes %q, want what the one before knew: %d", got["t"], was)
		}
		for i, p := range all {
			if p.asked || p.late {
				t.Errorf("task %d: asked in the middle of a poll %v, restored after one %v", i+1, p.asked, p.late)
			}
		}
	})
}

func (p *countingProbe) isBusy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// TestAChangedTaskThatTakesNothing: one that refuses is polled all the same, and
// one that was removed in between begins anew.
func TestAChangedTaskThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		s.Set(changed(1, &countingProbe{}))
		time.Sleep(35 * time.Second)
		refuses := &countingProbe{refuses: true}
		s.Set(changed(2, refuses))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if refuses.known != 2 {
			t.Errorf("one that takes nothing knows %d polls, want its own 2", refuses.known)
		}
		s.Set(nil)
		anew := &countingProbe{}
		s.Set(changed(3, anew))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if anew.known != 2 {
			t.Errorf("one that was gone knows %d polls, want its own 2", anew.known)
		}
		s.Set(changed(4, &fakeProbe{})) // remembers nothing
		time.Sleep(20 * time.Second)
		cancel()
		<-done
	})
}
