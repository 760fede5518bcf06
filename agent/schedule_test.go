package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// fakeProbe takes a given time and remembers when it was polled.
type fakeProbe struct {
	takes time.Duration
	err   error

	shared *load

	mu     sync.Mutex
	starts []time.Time
}

// load counts what runs at a time over several probes.
type load struct {
	mu        sync.Mutex
	now, most int
}

func (l *load) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now++
	l.most = max(l.most, l.now)
}

func (l *load) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
}

// clear forgets the most that ran at a time so far.
func (l *load) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = l.now
}

func (p *fakeProbe) Poll(ctx context.Context) (probes.Batch, error) {
	p.mu.Lock()
	p.starts = append(p.starts, time.Now())
	p.mu.Unlock()
	if p.shared != nil {
		p.shared.enter()
		defer p.shared.leave()
	}
	if p.takes > 0 {
		select {
		case <-time.After(p.takes):
		case <-ctx.Done():
			return probes.Batch{}, ctx.Err()
		}
	}
	return probes.Batch{}, p.err
}

func (p *fakeProbe) polls() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.starts...)
}

func task(id, device string, interval time.Duration, p probes.Probe) probes.Task {
	return probes.Task{ID: id, Device: device, Interval: interval, Probe: p, Same: "1"}
}

// runSchedule runs tasks for a while of fake time.
func runSchedule(t *testing.T, s *schedule, length time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func nothing(*entry, probes.Batch) {}

func TestScheduleKeepsTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		p := &fakeProbe{takes: 3 * time.Second}
		s.Set([]probes.Task{task("a", "192.0.2.1", 10*time.Second, p)})
		runSchedule(t, s, 10*time.Minute)
		starts := p.polls()
		if n := len(starts); n != 60 {
			t.Fatalf("%d polls in 10 minutes at 10 s, want 60", n)
		}
		for i := 1; i < len(starts); i++ {
			if d := starts[i].Sub(starts[i-1]); d != 10*time.Second {
				t.Fatalf("poll %d came %v after the one before, want 10s", i, d)
			}
		}
	})
}

func TestScheduleSpreadsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(1000, nothing)
		begin := time.Now()
		var all []*fakeProbe
		var tasks []probes.Task
		for i := range 300 {
			p := &fakeProbe{}
			all = append(all, p)
			tasks = append(tasks, task(fmt.Sprint(i), fmt.Sprintf("192.0.2.%d", i), time.Minute, p))
		}
		s.Set(tasks)
		runSchedule(t, s, time.Minute)
		perTenth := [10]int{}
		for _, p := range all {
			perTenth[int(p.polls()[0].Sub(begin)/(6*time.Second))]++
		}
		for i, n := range perTenth {
			if n < 10 || n > 60 {
				t.Errorf("%d of 300 starts in tenth %d of the interval: %v", n, i, perTenth)
			}
		}
	})
}

func TestScheduleSkipsWhatRunsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		slow := &fakeProbe{takes: 25 * time.Second}
		other := &fakeProbe{}
		s.Set([]probes.Task{
			task("slow", "192.0.2.1", 10*time.Second, slow),
			task("other", "192.0.2.2", 10*time.Second, other),
		})
		runSchedule(t, s, 5*time.Minute)
		if n := len(slow.polls()); n != 10 {
			t.Errorf("%d polls of a probe that takes 2.5 intervals, want each third place: 10", n)
		}
		if n := len(other.polls()); n != 30 {
			t.Errorf("%d polls of the other device, want 30", n)
		}
		for _, st := range s.States() {
			if st.Task.ID == "slow" && st.Last.Skipped < 18 {
				t.Errorf("skipped %d, want about 20", st.Last.Skipped)
			}
		}
	})
}

func TestScheduleOneTaskOfADeviceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(64, nothing)
		one := &load{}
		var tasks []probes.Task
		for i, interval := range []time.Duration{5, 10, 15} {
			p := &fakeProbe{takes: time.Second, shared: one}
			tasks = append(tasks, task(fmt.Sprint(i), "192.0.2.1", interval*time.Second, p))
		}
		s.Set(tasks)
		runSchedule(t, s, 2*time.Minute)
		if one.most != 1 {
			t.Errorf("%d tasks of one device ran at a time", one.most)
		}
	})
}

func TestScheduleBoundsPollsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(3, nothing)
		all := &load{}
		var tasks []probes.Task
		for i := range 40 {
			p := &fakeProbe{takes: 2 * time.Second, shared: all}
			tasks = append(tasks, task(fmt.Sprint(i), fmt.Sprint("d", i), 30*time.Second, p))
		}
		s.Set(tasks)
		runSchedule(t, s, 2*time.Minute)
		if all.most != 3 {
			t.Errorf("%d polls in flight at the most, want 3", all.most)
		}
	})
}

func TestScheduleBacksOffFromDeadDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		p := &fakeProbe{err: probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("no answer"))}
		s.Set([]probes.Task{task("dead", "192.0.2.1", 10*time.Second, p)})
		runSchedule(t, s, 10*time.Minute)
		starts := p.polls()
		want := []time.Duration{10, 20, 40, 80, 80}
		for i, w := range want {
			if d := starts[i+1].Sub(starts[i]); d != w*time.Second {
				t.Errorf("poll %d came %v after the one before, want %v", i+1, d, w*time.Second)
			}
		}
	})
}

func TestAChangeOfStatusIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		var log strings.Builder
		s.log = zerolog.New(&log)
		p := &fakeProbe{err: probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("no answer"))}
		s.Set([]probes.Task{task("dead", "192.0.2.1", 10*time.Second, p)})
		runSchedule(t, s, 10*time.Minute)
		if n := strings.Count(log.String(), "no answer"); n != 1 || len(p.polls()) < 3 {
			t.Errorf("%d lines after %d failed polls, want 1:\n%s", n, len(p.polls()), log.String())
		}
		p.err = nil
		runSchedule(t, s, 10*time.Minute)
		if n := strings.Count(log.String(), "in order again"); n != 1 {
			t.Errorf("%d lines of recovery, want 1:\n%s", n, log.String())
		}
	})
}

func TestBackoffIsBounded(t *testing.T) {
	for _, c := range []struct {
		fails    int
		interval time.Duration
		want     time.Duration
	}{
		{1, time.Minute, 0},
		{2, time.Minute, time.Minute},
		{4, 10 * time.Second, 70 * time.Second},
		{9, time.Minute, 5 * time.Minute},
		{9, 2 * time.Minute, 4 * time.Minute},
		{9, 10 * time.Minute, 0},
		{1000, time.Second, 7 * time.Second},
	} {
		if got := backoff(c.fails, c.interval); got != c.want {
			t.Errorf("backoff(%d, %v) = %v, want %v", c.fails, c.interval, got, c.want)
		}
	}
}

func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		kept, changed, removed := &fakeProbe{}, &fakeProbe{}, &fakeProbe{}
		s.Set([]probes.Task{
			task("kept", "192.0.2.1", 10*time.Second, kept),
			task("changed", "192.0.2.2", 10*time.Second, changed),
			task("removed", "192.0.2.3", 10*time.Second, removed),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		time.Sleep(95 * time.Second) // fake time
		never, again := &fakeProbe{}, &fakeProbe{}
		replacement := task("changed", "192.0.2.2", 10*time.Second, again)
		replacement.Same = "2"
		s.Set([]probes.Task{task("kept", "192.0.2.1", 10*time.Second, never), replacement})
		before := len(removed.polls())
		time.Sleep(105 * time.Second)
		cancel()
		<-done
		if n := len(kept.polls()); n != 20 {
			t.Errorf("%d polls of the unchanged task in 200 s, want 20: a reload must not miss one", n)
		}
		if len(never.polls()) != 0 {
			t.Error("the unchanged task got a new probe, so its baselines were lost")
		}
		if n := len(removed.polls()); n != before {
			t.Error("a removed task was polled")
		}
		if n := len(changed.polls()) + len(again.polls()); n != 20 || len(again.polls()) == 0 {
			t.Errorf("changed task: %d and %d polls, want 20 in all", len(changed.polls()), len(again.polls()))
		}
	})
}

// TestReloadDoesNotPollADeviceTwiceAtATime changes, removes and brings back the
// task of a device while it is polled.
func TestReloadDoesNotPollADeviceTwiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(64, nothing)
		one := &load{}
		probe := func() *fakeProbe { return &fakeProbe{takes: 3 * time.Second, shared: one} }
		sets := 0
		set := func() *fakeProbe {
			p := probe()
			sets++
			changed := task("t", "192.0.2.1", time.Duration(1+sets%4)*time.Second, p)
			changed.Same = fmt.Sprint(sets)
			s.Set([]probes.Task{changed})
			return p
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		for i := range 100 {
			set()
			time.Sleep(1300 * time.Millisecond)
			if i%3 == 0 {
				s.Set(nil)
			}
		}
		last, waiting := set(), set()
		time.Sleep(time.Minute)
		s.Set(nil)
		cancel()
		<-done
		if one.most != 1 {
			t.Errorf("%d polls of one device at a time", one.most)
		}
		if len(last.polls()) != 0 || len(waiting.polls()) == 0 {
			t.Errorf("%d polls of a task that was replaced at once, %d of the one in its place", len(last.polls()), len(waiting.polls()))
		}
		if len(s.lanes) != 0 {
			t.Errorf("%d lanes are left of no task", len(s.lanes))
		}
	})
}

// TestReloadsDuringPolls is for the race detector.
func TestReloadsDuringPolls(t *testing.T) {
	s := newSchedule(4, nothing)
	p := &fakeProbe{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	for i := 0; len(p.polls()) < 20; i++ {
		again := task("t", "192.0.2.1", time.Millisecond, p)
		again.Label = fmt.Sprint("label ", i)
		s.Set([]probes.Task{again})
	}
	cancel()
	<-done
}

// TestStopLosesNoCounts stops while a poll ends with a part of its points: the
// probe has counted them, so they must go on.
func TestStopLosesNoCounts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := 0
	s := newSchedule(1, func(_ *entry, b probes.Batch) { got += len(b.Points) })
	s.Set([]probes.Task{task("t", "d", time.Millisecond, partialProbe(cancel))})
	if err := s.Run(ctx); err != nil || got != 1 {
		t.Errorf("%d points came of the poll that ended with the agent, %v", got, err)
	}
}

// partialProbe stops the agent as it is polled, and has one point all the same.
type partialProbe func()

func (stop partialProbe) Poll(context.Context) (probes.Batch, error) {
	stop()
	p := probes.Point{Series: probes.NewSeries("a.b", probes.Count), Value: probes.Int(1)}
	return probes.Batch{Points: []probes.Point{p}}, probes.WithStatus(probes.StatusWarning, errors.New("half read"))
}

func TestPanickingProbeIsAnErrorOfItsOwn(t *testing.T) {
	_, err := pollOnce(t.Context(), task("p", "d", time.Second, panicProbe{}))
	if err == nil || probes.StatusOf(err) != probes.StatusGenericError {
		t.Fatalf("err = %v", err)
	}
}

type panicProbe struct{}

func (panicProbe) Poll(context.Context) (probes.Batch, error) { panic("hostile device") }

func TestScheduleKeepsTheDeadFromTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(16, nothing)
		gone := probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("no answer"))
		dead := &load{}
		var tasks []probes.Task
		var living []*fakeProbe
		for i := range 100 {
			p := &fakeProbe{takes: 100 * time.Millisecond}
			living = append(living, p)
			tasks = append(tasks, task(fmt.Sprint("living", i), fmt.Sprint("l", i), time.Minute, p))
		}
		for i := range 60 { // each takes 20 s to find out, five tries of four seconds say
			p := &fakeProbe{takes: 20 * time.Second, err: gone, shared: dead}
			tasks = append(tasks, task(fmt.Sprint("dead", i), fmt.Sprint("d", i), time.Minute, p))
		}
		s.Set(tasks)
		before := make([]int, len(living))
		time.AfterFunc(5*time.Minute+50*time.Millisecond, func() { // at first all may be alive
			dead.clear()
			for i, p := range living {
				before[i] = len(p.polls())
			}
		})
		runSchedule(t, s, 35*time.Minute+50*time.Millisecond)
		if dead.most > deadSlots {
			t.Errorf("%d dead devices held slots at a time, want at most %d", dead.most, deadSlots)
		}
		for i, p := range living {
			if n := len(p.polls()) - before[i]; n != 30 {
				t.Errorf("living device %d: %d polls in 30 minutes, want 30", i, n)
			}
		}
		pace := s.Pace()
		if pace.Late > 10*time.Millisecond || pace.Dead != 60 || pace.Slots != 16 {
			t.Errorf("%+v, want all starts of the living in time and 60 dead", pace)
		}
		for _, st := range s.States() {
			if st.Last.Skipped > 0 {
				t.Errorf("%s: %d skipped", st.Task.ID, st.Last.Skipped)
			}
		}
	})
}

func TestADeviceThatComesBackLeavesTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		p := &fakeProbe{err: probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("no answer"))}
		s.Set([]probes.Task{task("t", "192.0.2.1", 10*time.Second, p)})
		runSchedule(t, s, time.Minute)
		if n := s.Pace().Dead; n != 1 {
			t.Errorf("%d dead, want 1", n)
		}
		p.err = nil
		runSchedule(t, s, 5*time.Minute)
		if n := s.Pace().Dead; n != 0 {
			t.Errorf("%d dead after an answer", n)
		}
		if st := s.States()[0]; st.Last.Fails != 0 || st.Last.Status != probes.StatusOK {
			t.Errorf("%+v", st.Last)
		}
	})
}

func TestScheduleNamesTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		var log strings.Builder
		s.log = zerolog.New(&log)
		begin := time.Now()
		p := probeFunc(func() {
			if time.Since(begin) < 10*time.Minute {
				time.Sleep(25 * time.Second) // fake time
			}
		})
		slow := task("t", "192.0.2.1", 10*time.Second, p)
		slow.Label = "192.0.2.1 slow"
		s.Set([]probes.Task{slow})
		time.AfterFunc(9*time.Minute, func() {
			if st := s.States()[0]; st.Last.Overran != 25*time.Second || s.Pace().Overruns != st.Last.Skipped || st.Last.Skipped < 30 {
				t.Errorf("overran %v, %d skipped, %d in all", st.Last.Overran, st.Last.Skipped, s.Pace().Overruns)
			}
		})
		runSchedule(t, s, 15*time.Minute)
		if n := strings.Count(log.String(), "due again"); n != 1 || !strings.Contains(log.String(), `"device":"192.0.2.1","took":"25s"`) {
			t.Errorf("%d lines, want one that names the device and what it took:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "in time again"); n != 1 || s.States()[0].Last.Overran != 0 {
			t.Errorf("%d lines of recovery, overran %v:\n%s", n, s.States()[0].Last.Overran, log.String())
		}
	})
}

// probeFunc is all that a poll does.
type probeFunc func()

func (p probeFunc) Poll(context.Context) (probes.Batch, error) {
	p()
	return probes.Batch{}, nil
}

func TestScheduleNamesTheWantOfSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(1, nothing)
		var log strings.Builder
		s.log = zerolog.New(&log)
		var tasks []probes.Task
		for i := range 5 {
			tasks = append(tasks, task(fmt.Sprint(i), fmt.Sprint("d", i), 10*time.Second, &fakeProbe{takes: patience - time.Millisecond}))
		}
		s.Set(tasks)
		runSchedule(t, s, 5*time.Minute)
		if !strings.Contains(log.String(), "raise polling.max_in_flight") {
			t.Errorf("the log does not say what to do:\n%s", log.String())
		}
		if p := s.Pace(); p.Late < 2*time.Second {
			t.Errorf("99 of 100 polls start within %v, though one slot is too few", p.Late)
		}
	})
}

func TestLatenessQuantile(t *testing.T) {
	at := time.Now()
	var l lateness
	if got := l.quantile(at, 0.99); got != 0 {
		t.Errorf("of none: %v", got)
	}
	for i := range 1000 {
		late := 3 * time.Millisecond
		if i%50 == 0 { // two in a hundred
			late = 900 * time.Millisecond
		}
		l.add(at, late)
	}
	for _, c := range []struct {
		after    time.Duration
		q        float64
		from, to time.Duration
	}{
		{0, 0.5, 3 * time.Millisecond, 5 * time.Millisecond},
		{0, 0.99, 900 * time.Millisecond, 1300 * time.Millisecond},
		{0, 1, 900 * time.Millisecond, 1300 * time.Millisecond},
		{latenessSpan, 0.99, 900 * time.Millisecond, 1300 * time.Millisecond},
		{2 * latenessSpan, 0.99, 0, 0},
	} {
		if got := l.quantile(at.Add(c.after), c.q); got < c.from || got > c.to {
			t.Errorf("quantile %v after %v: %v, want %v to %v", c.q, c.after, got, c.from, c.to)
		}
	}
	l.add(at, -time.Second)
	l.add(at, 1000*time.Hour)
}

func TestScheduleIsNotHeldUpByThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(4, nothing)
		all := &load{}
		var tasks []probes.Task
		for i := range 30 { // of two in each second, each takes fifteen
			p := &fakeProbe{takes: 15 * time.Second, shared: all}
			tasks = append(tasks, task(fmt.Sprint("slow", i), fmt.Sprint("s", i), time.Minute, p))
		}
		quick := &fakeProbe{}
		tasks = append(tasks, task("quick", "q", 5*time.Second, quick))
		s.Set(tasks)
		runSchedule(t, s, 10*time.Minute)
		if n := len(quick.polls()); n != 120 {
			t.Errorf("%d polls of a device that answers at once, want 120", n)
		}
		if p := s.Pace(); p.Late > patience+time.Second {
			t.Errorf("99 of 100 polls start within %v", p.Late)
		}
		if most := 4 * (1 + patientSlots); all.most > most {
			t.Errorf("%d polls at a time, want at most %d", all.most, most)
		}
	})
}
