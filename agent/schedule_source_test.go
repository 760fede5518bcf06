package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// fakeSource gives a point each minute, and fails as it is told.
type fakeSource struct {
	fails  []time.Duration // one run after the other: how long until it fails
	panics bool
	state  *probes.SourceState // nil: it does not know
	shared *load
	ending time.Duration // how long its end takes

	mu     sync.Mutex
	starts []time.Time
}

func (f *fakeSource) Run(ctx context.Context, emit func(probes.Batch)) error {
	f.mu.Lock()
	run := len(f.starts)
	f.starts = append(f.starts, time.Now())
	f.mu.Unlock()
	if f.shared != nil {
		f.shared.enter()
		defer f.shared.leave()
	}
	var fail <-chan time.Time
	if run < len(f.fails) {
		fail = time.After(f.fails[run])
	}
	for {
		select {
		case <-ctx.Done():
			time.Sleep(f.ending)
			return nil
		case <-fail:
			if f.panics {
				panic("hostile datagram")
			}
			return errors.New("address in use")
		case <-time.After(time.Minute):
			emit(probes.Batch{Points: []probes.Point{{Series: probes.NewSeries("traps", probes.Count), Value: probes.Int(1)}}})
		}
	}
}

func (f *fakeSource) runs() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.starts...)
}

type watchedSource struct{ *fakeSource }

func (w watchedSource) Watch() probes.SourceState { return *w.state }

func sourceTask(id string, s probes.Source) probes.Task {
	return probes.Task{ID: id, Device: "0.0.0.0:162", Label: id, Config: "c", Source: s, Same: "1"}
}

// running runs a schedule until stop is called.
func running(t *testing.T, s *schedule) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func resultOf(t *testing.T, s *schedule, id string) result {
	t.Helper()
	for _, st := range s.States() {
		if st.Task.ID == id {
			return st.Last
		}
	}
	t.Fatalf("no task %s", id)
	return result{}
}

func TestASourceRunsUntilItIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var points atomic.Int64
		s := newSchedule(1, func(_ *entry, b probes.Batch) { points.Add(int64(len(b.Points))) })
		kept, changed, other := &fakeSource{}, &fakeSource{shared: &load{}, ending: 3 * time.Second}, &fakeSource{}
		s.Set([]probes.Task{sourceTask("kept", kept), sourceTask("changed", changed)})
		stop := running(t, s)
		synctest.Wait()
		if got := resultOf(t, s, "kept").Status; got != probes.StatusPending {
			t.Errorf("before anything has come: %s", got)
		}
		time.Sleep(150 * time.Second)
		again := sourceTask("changed", &fakeSource{shared: changed.shared})
		again.Same = "2"
		s.Set([]probes.Task{sourceTask("kept", other), again})
		time.Sleep(61 * time.Second)
		s.Set([]probes.Task{sourceTask("kept", other)})
		if got := resultOf(t, s, "kept"); got.Status != probes.StatusOK || got.Polls != 3 || got.LastOK.IsZero() {
			t.Errorf("%+v", got)
		}
		stop()
		if len(kept.runs()) != 1 || len(other.runs()) != 0 || len(changed.runs()) != 1 {
			t.Errorf("runs: kept %d, in its place %d, changed %d", len(kept.runs()), len(other.runs()), len(changed.runs()))
		}
		if changed.shared.most != 1 || changed.shared.now != 0 {
			t.Errorf("%d runs of one id at a time, %d at the end", changed.shared.most, changed.shared.now)
		}
		if points.Load() != 5 || len(s.ending) != 0 {
			t.Errorf("%d points, %d runs that are not over", points.Load(), len(s.ending))
		}
	})
}

func TestASourceThatFailsIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := newSchedule(1, nothing)
		s.log = zerolog.New(&log)
		f := &fakeSource{fails: []time.Duration{0, 0, time.Second, 10 * time.Minute, 0}, panics: true}
		s.Set([]probes.Task{sourceTask("a", f)})
		stop := running(t, s)
		synctest.Wait()
		if got := resultOf(t, s, "a"); got.Status != probes.StatusGenericError || !strings.Contains(got.Message, "hostile") || got.Fails != 1 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		stop()
		starts := f.runs()
		if len(starts) != 6 {
			t.Fatalf("%d runs, want 6", len(starts))
		}
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10*time.Minute + time.Second, 2 * time.Second} {
			if d := starts[i+1].Sub(starts[i]); d != want {
				t.Errorf("run %d began %v after the one before, want %v", i+2, d, want)
			}
		}
		if got := resultOf(t, s, "a"); got.Status != probes.StatusOK {
			t.Errorf("in the end %+v", got)
		}
		if n := strings.Count(log.String(), `"level":"error"`); n != 2 {
			t.Errorf("%d changes for the worse are logged, want 2:\n%s", n, &log)
		}
		if n := strings.Count(log.String(), "in order again"); n != 2 {
			t.Errorf("%d recoveries are logged, want 2:\n%s", n, &log)
		}
	})
}

func TestASourceTellsHowItFares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(1, nothing)
		f := &fakeSource{state: &probes.SourceState{}}
		s.Set([]probes.Task{sourceTask("a", watchedSource{f})})
		stop := running(t, s)
		defer stop()
		for _, tt := range []struct {
			state probes.SourceState
			want  probes.Status
		}{
			{probes.SourceState{}, probes.StatusPending},
			{probes.SourceState{Status: probes.StatusOK, Received: 7, Dropped: 2, Refused: 3}, probes.StatusOK},
			{probes.SourceState{Status: probes.StatusWarning, Message: "storm", Received: 9}, probes.StatusWarning},
		} {
			synctest.Wait()
			*f.state = tt.state
			if got := resultOf(t, s, "a"); got.Status != tt.want || got.Received != tt.state.Received || got.Dropped != tt.state.Dropped || got.Refused != tt.state.Refused {
				t.Errorf("%+v gave %+v", tt.state, got)
			}
		}
	})
}
