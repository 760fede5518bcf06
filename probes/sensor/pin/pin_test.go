package pin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// booted is a clock that runs with the bubble's, an hour after the boot.
type booted struct{ start time.Time }

func (c booted) Now() probes.Stamp {
	return probes.Stamp{Uptime: time.Hour + time.Since(c.start), Wall: 1_700_000_000_000 + time.Since(c.start).Milliseconds()}
}

// line is a fake line. It is gone when gone is closed.
type line struct {
	feed  chan probes.Edge
	gone  chan struct{}
	quiet bool // Watch ends by itself
	blind bool // there are no edges

	mu     sync.Mutex
	active bool
	fails  error // of Active
	closed bool
}

var errGone = errors.New("no such device")

func newLine(active bool) *line {
	return &line{feed: make(chan probes.Edge), gone: make(chan struct{}), active: active}
}

func (l *line) Active() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active, l.fails
}

func (l *line) set(active bool, fails error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.fails = active, fails
}

func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

func (l *line) Watch(ctx context.Context, each func(probes.Edge)) error {
	if l.blind {
		return fmt.Errorf("its chip has no interrupts: %w", errors.ErrUnsupported)
	}
	for {
		select {
		case e := <-l.feed:
			each(e)
		case <-l.gone:
			return errGone
		case <-ctx.Done():
			return nil
		}
		if l.quiet {
			return nil
		}
	}
}

// rig runs one source in a bubble.
type rig struct {
	t     *testing.T
	clock booted
	lines []*line // that Open gives, one after the other; nil: it fails

	mu  sync.Mutex
	got []probes.Batch
}

func (r *rig) emit(b probes.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, b)
}

// batches are those that came since.
func (r *rig) batches() []probes.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func newRig(t *testing.T, lines ...*line) *rig {
	return &rig{t: t, clock: booted{time.Now()}, lines: lines}
}

func (r *rig) options(interval time.Duration) Options {
	return Options{Clock: r.clock, Open: r.open, Line: "gpiochip0/17", Interval: interval, Dimensions: []probes.Dimension{{Key: "sensor.name", Value: "door"}}}
}

func (r *rig) open() (probes.InputLine, error) {
	l := r.lines[0]
	if r.lines = r.lines[1:]; l == nil {
		return nil, errors.New("there is no such chip")
	}
	return l, nil
}

// start runs the source until stop, which gives its error.
func (r *rig) start(s probes.Source) (stop func() error) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r.emit) }()
	pass(settling)
	return func() error { cancel(); return <-done }
}

// edge lets the line change, a moment after the kernel has noted it.
func (r *rig) edge(l *line, active bool, lost int) {
	r.t.Helper()
	at := r.clock.Now().Uptime
	time.Sleep(7 * time.Millisecond) // of the bubble
	l.set(active, nil)
	l.feed <- probes.Edge{Active: active, Uptime: at, Lost: lost}
	synctest.Wait()
}

// pass lets time pass within the bubble.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// take writes what came since, points as "KEY=VALUE@MILLISECONDS" after the start.
func (r *rig) take() string { return r.told(r.batches()) }

func (r *rig) told(got []probes.Batch) string {
	var out []string
	stamp := func(s probes.Stamp) int64 { return (s.Uptime - time.Hour).Milliseconds() }
	for _, b := range got {
		for _, p := range b.Points {
			if p.Stamp.Wall-1_700_000_000_000 != stamp(p.Stamp) || p.Series.Dim("sensor.name") != "door" {
				r.t.Errorf("%+v %+v", p.Stamp, p.Series.Dims())
			}
			key := strings.TrimPrefix(p.Series.Key(), "edgehold.sensor.")
			out = append(out, fmt.Sprintf("%s=%.8g@%d", key, p.Value.Float64(), stamp(p.Stamp)))
		}
		for _, e := range b.Events {
			end := "-"
			if e.End != (probes.Stamp{}) {
				end = fmt.Sprint(stamp(e.End))
			}
			out = append(out, fmt.Sprintf("%s(%s,%d,%s)", e.Type, e.Title, stamp(e.Start), end))
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) expect(want string) {
	r.t.Helper()
	if got := r.take(); got != want {
		r.t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (r *rig) health(s probes.Watched, status probes.Status, part string) probes.SourceState {
	r.t.Helper()
	state := s.Watch()
	if state.Status != status || !strings.Contains(state.Message, part) || part == "" && state.Message != "" {
		r.t.Errorf("%+v, want %s %q", state, status, part)
	}
	return state
}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestInput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLine(false)
		r := newRig(t, l)
		in := NewInput(r.options(time.Minute), Event{})
		r.health(in, probes.StatusPending, "not open")
		stop := r.start(in)
		r.health(in, probes.StatusOK, "")
		r.expect("active=0@0")
		pass(10 * time.Second)
		r.edge(l, true, 0)
		r.expect("active=1@10200") // when the kernel noted it
		r.edge(l, false, 0)
		r.edge(l, true, 0)
		r.expect("active=0@10207 active=1@10214")
		r.edge(l, true, 0) // back and forth, too fast to be seen
		r.expect("")
		pass(50 * time.Second)
		r.expect("active=1@60000 changes=4@60000")
		pass(time.Minute)
		r.expect("active=1@120000 changes=0@120000")
		r.edge(l, false, 0)
		r.take()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.expect("changes=1@" + fmt.Sprint((r.clock.Now().Uptime - time.Hour).Milliseconds()))
		if !l.closed {
			t.Error("the line is still open")
		}
		if s := r.health(in, probes.StatusOK, ""); s.Received != 5 || s.Last.Uptime < time.Hour {
			t.Errorf("%+v", s)
		}
	})
}

// A contact that bounces is told so often, and counted all the same.
func TestInputBounces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLine(false)
		r := newRig(t, l)
		stop := r.start(NewInput(r.options(time.Minute), Event{Type: "CUSTOM_INFO", On: "on"}))
		r.take()
		for n := range 201 {
			r.edge(l, n%2 == 0, 0)
		}
		got := r.take()
		if n := strings.Count(got, "active="); n != mostChanges {
			t.Errorf("%d are told", n)
		}
		if n := strings.Count(got, "CUSTOM_INFO"); n != mostChanges/2 {
			t.Errorf("%d events are told", n)
		}
		pass(time.Minute - 201*7*time.Millisecond)
		r.expect("active=1@60000 changes=201@60000")
		r.edge(l, false, 0)
		r.expect("active=0@60200")
		_ = stop()
	})
}

// After a loss the line is asked how it is, and the losses are changes too.
func TestInputLoses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLine(false)
		r := newRig(t, l)
		in := NewInput(r.options(time.Minute), Event{})
		stop := r.start(in)
		r.take()
		at := r.clock.Now().Uptime
		l.set(true, nil) // the edge is one of the past
		l.feed <- probes.Edge{Active: false, Uptime: at, Lost: 5}
		synctest.Wait()
		r.expect("active=1@200")
		if s := r.health(in, probes.StatusWarning, "5 changes"); s.Dropped != 5 {
			t.Errorf("%+v", s)
		}
		pass(time.Minute)
		r.expect("active=1@60000 changes=6@60000")
		r.health(in, probes.StatusWarning, "5 changes")
		pass(time.Minute)
		r.health(in, probes.StatusOK, "")
		l.set(true, errGone)
		l.feed <- probes.Edge{Lost: 1}
		synctest.Wait()
		r.health(in, probes.StatusDeviceConnectionError, "no such device")
		if err := stop(); !errors.Is(err, errGone) {
			t.Error(err)
		}
	})
}

func TestInputEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLine(false)
		r := newRig(t, l)
		e := Event{Type: "CUSTOM_INFO", On: "door opened", Off: "door closed", Properties: []probes.Dimension{{Key: "hall", Value: "2"}}}
		stop := r.start(NewInput(r.options(time.Minute), e))
		r.expect("active=0@0")
		pass(10 * time.Second)
		r.edge(l, true, 0)
		got := r.batches()
		if p := got[0].Events[0].Properties; len(p) != 2 || p[0].Key != "hall" || p[1].Value != "door" {
			t.Errorf("%+v", p)
		}
		if text := r.told(got); text != "active=1@10200 CUSTOM_INFO(door opened,10200,10200)" {
			t.Error(text)
		}
		r.edge(l, false, 0)
		r.expect("active=0@10207 CUSTOM_INFO(door closed,10207,10207)")
		pass(50 * time.Second)
		r.expect("active=0@60000 changes=2@60000")
		_ = stop()
	})
}

// An event that lasts is opened, refreshed and closed, also by what is found at a
// start; one that a new start finds closed is closed where it was told of last.
func TestInputEventLasts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := newLine(true), newLine(false), newLine(false)
		r := newRig(t, a, b, c)
		in := NewInput(r.options(time.Minute), Event{Type: "ERROR_EVENT", On: "tank full"})
		stop := r.start(in)
		got := r.batches()
		if e := got[0].Events[0]; e.Timeout != 15*time.Minute {
			t.Errorf("%+v", e)
		}
		if text := r.told(got); text != "active=1@0 ERROR_EVENT(tank full,0,-)" {
			t.Error(text)
		}
		pass(8*time.Minute - time.Second)
		if got := r.take(); strings.Contains(got, "EVENT") {
			t.Error(got)
		}
		pass(time.Second)
		r.expect("active=1@480000 ERROR_EVENT(tank full,480000,-) changes=0@480000")
		r.edge(a, false, 0)
		r.expect("active=0@480200 ERROR_EVENT(tank full,480000,480200)")
		r.edge(a, true, 0)
		r.expect("active=1@480207 ERROR_EVENT(tank full,480207,-)")
		close(a.gone)
		if err := stop(); !errors.Is(err, errGone) {
			t.Fatal(err)
		}
		r.take()
		stop = r.start(in)
		r.expect("active=0@480214 ERROR_EVENT(tank full,480207,480214)")
		r.edge(b, true, 0)
		close(b.gone)
		_ = stop()
		pass(20 * time.Minute) // the environment has ended it
		r.take()
		stop = r.start(in)
		r.expect("active=0@1680421")
		_ = stop()
	})
}

func TestEventCheck(t *testing.T) {
	for _, tt := range []struct {
		e    Event
		want string
	}{
		{Event{}, ""},
		{Event{Type: "CUSTOM_INFO", On: "a"}, ""},
		{Event{Type: "CUSTOM_INFO", Off: "a"}, ""},
		{Event{Type: "ERROR_EVENT", On: "a"}, ""},
		{Event{On: "a"}, "no type"},
		{Event{Type: "error"}, `"error" is no type`},
		{Event{Type: "ERROR_EVENT"}, "no title"},
		{Event{Type: "CUSTOM_INFO"}, "no title"},
		{Event{Type: "ERROR_EVENT", On: "a", Off: "b"}, "has one title"},
	} {
		if err := tt.e.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.e, err)
		}
	}
}

// A line that vanishes is one error for as long as it is gone; the state says so
// until it is open again.
func TestLineVanishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newLine(false), newLine(true)
		r := newRig(t, a, nil, nil, b)
		in := NewInput(r.options(time.Minute), Event{})
		stop := r.start(in)
		r.edge(a, true, 0)
		close(a.gone)
		err := stop()
		if probes.StatusOf(err) != probes.StatusDeviceConnectionError || err.Error() != "watch line gpiochip0/17: no such device" {
			t.Fatal(err)
		}
		r.expect("active=0@0 active=1@200 changes=1@207")
		for range 2 {
			err := r.start(in)()
			if probes.StatusOf(err) != probes.StatusDeviceConnectionError || !strings.Contains(err.Error(), "open line gpiochip0/17: there is no such chip") {
				t.Fatal(err)
			}
			r.health(in, probes.StatusDeviceConnectionError, "no such chip")
			r.expect("")
		}
		stop = r.start(in)
		r.health(in, probes.StatusOK, "")
		r.expect("active=1@607")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A line that can be opened and fails at once is no recovery; an edge tells at once
// that it is one.
func TestLineSettles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newLine(false), newLine(false)
		close(a.gone)
		r := newRig(t, a, b)
		in := NewInput(r.options(time.Minute), Event{})
		if err := r.start(in)(); !errors.Is(err, errGone) || !a.closed {
			t.Error(err)
		}
		r.expect("")
		r.health(in, probes.StatusDeviceConnectionError, "no such device")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx, r.emit) }()
		pass(100 * time.Millisecond)
		r.expect("")
		r.edge(b, true, 0)
		r.expect("active=0@200 active=1@300")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An input of a chip that tells nothing of edges is looked at each second; pulses
// cannot be counted there.
func TestLineWithoutEdges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, m := newLine(false), newLine(false)
		l.blind, m.blind = true, true
		r := newRig(t, l, m)
		in := NewInput(r.options(time.Minute), Event{})
		stop := r.start(in)
		r.health(in, probes.StatusOK, "")
		l.set(true, nil)
		pass(5 * time.Second)
		l.set(false, nil)
		pass(5 * time.Second)
		r.expect("active=0@0 active=1@1000 active=0@6000")
		l.set(false, errGone)
		pass(time.Second)
		if err := stop(); !errors.Is(err, errGone) || probes.StatusOf(err) != probes.StatusDeviceConnectionError {
			t.Error(err)
		}
		r.take()
		err := r.start(NewPulse(r.options(time.Minute), Count{}))()
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "no interrupts") {
			t.Error(err)
		}
		r.expect("")
	})
}

func TestLineFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad, quiet := newLine(false), newLine(false)
		bad.fails, quiet.quiet = errGone, true
		r := newRig(t, bad, quiet)
		in := NewInput(r.options(time.Minute), Event{})
		if err := r.start(in)(); !errors.Is(err, errGone) || !bad.closed {
			t.Error(err)
		}
		stop := r.start(in)
		r.edge(quiet, true, 0)
		if err := stop(); !errors.Is(err, errEnded) {
			t.Error(err)
		}
		o := r.options(time.Minute)
		o.Open = func() (probes.InputLine, error) {
			return nil, probes.WithStatus(probes.StatusInvalidConfigError, errors.New("no line of that name"))
		}
		if err := NewInput(o, Event{}).Run(t.Context(), nil); probes.StatusOf(err) != probes.StatusInvalidConfigError {
			t.Error(err)
		}
	})
}
