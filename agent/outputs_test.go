package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// gadgets are lights and a watchdog that note what is done with them.
type gadgets struct {
	mu     sync.Mutex
	begun  time.Time
	lit    map[string]bool
	log    []string // NAME=on@MILLISECONDS
	broken string   // a light that cannot be set
	absent bool     // nothing is there
	kicks  int
	fails  error // of kicks
	state  string
	asked  time.Duration
	onStop func() // is called when the watchdog is stopped
}

func newGadgets() *gadgets { return &gadgets{begun: time.Now(), lit: map[string]bool{}} }

func (g *gadgets) hardware() *hardware {
	return &hardware{
		lamp: func(name string) (lamp, error) {
			if g.absent {
				return nil, errors.New("no such light")
			}
			return fakeLamp{g, name}, nil
		},
		timer: func(device string, timeout time.Duration) (timer, error) {
			if g.absent {
				return nil, errors.New("no such watchdog")
			}
			g.state, g.asked = "runs", timeout
			return fakeTimer{g}, nil
		},
	}
}

type fakeLamp struct {
	*gadgets
	name string
}

func (l fakeLamp) Set(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.name == l.broken {
		return errors.New("it is gone")
	}
	if l.lit[l.name] == on {
		return errors.New("set to what it is")
	}
	l.lit[l.name] = on
	word := "off"
	if on {
		word = "on"
	}
	l.log = append(l.log, fmt.Sprintf("%s=%s@%d", l.name, word, time.Since(l.begun).Milliseconds()))
	return nil
}

type fakeTimer struct{ *gadgets }

func (t fakeTimer) Timeout() time.Duration { return t.asked }

func (t fakeTimer) Kick() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kicks++
	return t.fails
}

func (t fakeTimer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = "stopped"
	if t.onStop != nil {
		t.onStop()
	}
	return nil
}

// took gives the kicks since the last call.
func (g *gadgets) took() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.kicks
	g.kicks = 0
	return n
}

// told gives what happened to the lights since the last call.
func (g *gadgets) told() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := strings.Join(g.log, " ")
	g.log = nil
	return text
}

func (g *gadgets) shines(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lit[name]
}

var allLEDs = config.LEDs{Power: "P", Collecting: "C", Uplink: "U", Alarm: "A"}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern pattern
		at      time.Duration
		shines  bool
		stays   time.Duration
	}{
		{dark, 0, false, 0},
		{dark, time.Hour, false, 0},
		{steady, 0, true, 0},
		{steady, time.Hour + 700*time.Millisecond, true, 0},
		{slowBlink, 0, true, time.Second},
		{slowBlink, 999 * time.Millisecond, true, time.Millisecond},
		{slowBlink, time.Second, false, time.Second},
		{slowBlink, 7500 * time.Millisecond, false, 500 * time.Millisecond},
		{fastBlink, 100 * time.Millisecond, true, 50 * time.Millisecond},
		{fastBlink, 150 * time.Millisecond, false, 150 * time.Millisecond},
	} {
		if shines, stays := tt.pattern.at(tt.at); shines != tt.shines || stays != tt.stays {
			t.Errorf("%v at %v: %v for %v", tt.pattern, tt.at, shines, stays)
		}
	}
}

func TestFactsMakePatterns(t *testing.T) {
	for _, tt := range []struct {
		facts                facts
		power, uplink, alarm pattern
	}{
		{facts{starting: true}, slowBlink, dark, dark},
		{facts{guess: true, link: goodLink}, slowBlink, steady, dark},
		{facts{link: slowLink}, steady, slowBlink, dark},
		{facts{link: noLink, alarm: true}, steady, dark, steady},
		{facts{hangs: true, guess: true, alarm: true}, fastBlink, dark, steady},
	} {
		p := tt.facts.patterns()
		if p[lightPower] != tt.power || p[lightUplink] != tt.uplink || p[lightAlarm] != tt.alarm || p[lightCollecting] != dark {
			t.Errorf("%+v: %v", tt.facts, p)
		}
	}
}

// Each flash is seen: it has an end, and dark after it. What comes while one goes on
// makes one more.
func TestFlashes(t *testing.T) {
	var f flasher
	at := func(ms int, shines bool, stays int) {
		t.Helper()
		is, left := f.at(time.Duration(ms) * time.Millisecond)
		if is != shines || left != time.Duration(stays)*time.Millisecond {
			t.Errorf("at %d: %v for %v", ms, is, left)
		}
	}
	at(0, false, 0)
	f.happen()
	at(10, true, 80)
	f.happen()
	f.happen()
	at(50, true, 40)
	at(90, false, 120)
	at(209, false, 1)
	at(210, true, 80)
	at(290, false, 0)
	f.happen()
	at(300, false, 110)
	at(410, true, 80)
	at(500, false, 0)
	at(100_000, false, 0)
	f.happen()
	at(100_001, true, 80)
}

func TestPanel(t *testing.T) {
	var p panel
	p.collecting.happen()
	shine, stays := p.at(1500*time.Millisecond, facts{guess: true, link: slowLink, alarm: true})
	if want := [lights]bool{lightCollecting: true, lightAlarm: true}; shine != want || stays != flashShines {
		t.Errorf("%v for %v", shine, stays)
	}
	shine, stays = p.at(1900*time.Millisecond, facts{guess: true, link: goodLink})
	if want := [lights]bool{lightUplink: true}; shine != want || stays != 100*time.Millisecond {
		t.Errorf("%v for %v", shine, stays)
	}
	if shine, stays = p.at(3*time.Second, facts{link: goodLink}); shine != [lights]bool{lightPower: true, lightUplink: true} || stays != 0 {
		t.Errorf("%v for %v", shine, stays)
	}
}

func TestLinkOf(t *testing.T) {
	up := drain.State{UpSince: time.Now(), State: drain.Idle}
	for _, tt := range []struct {
		state  drain.State
		oldest time.Duration
		want   link
	}{
		{drain.State{}, 0, noLink},
		{drain.State{State: drain.Backoff}, time.Hour, noLink},
		{up, 0, goodLink},
		{up, 5*time.Minute + 10*time.Second, goodLink},
		{up, 5*time.Minute + 11*time.Second, slowLink},
	} {
		if got := linkOf(tt.state, tt.oldest, 10*time.Second); got != tt.want {
			t.Errorf("%+v %v: %v", tt.state, tt.oldest, got)
		}
	}
}

func TestLosses(t *testing.T) {
	var l losses
	for _, tt := range []struct {
		at   time.Duration
		sum  int64
		want bool
	}{
		{0, 7, false}, // of earlier days
		{time.Minute, 7, false},
		{2 * time.Minute, 8, true},
		{61 * time.Minute, 8, true},
		{62 * time.Minute, 8, false},
		{63 * time.Minute, 9, true},
		{64 * time.Minute, 0, true}, // a new store
		{65 * time.Minute, 1, true},
		{3 * time.Hour, 1, false},
	} {
		if got := l.recent(tt.at, tt.sum); got != tt.want {
			t.Errorf("%v %d: %v", tt.at, tt.sum, got)
		}
	}
}

// The lights from the start to the stop.
func TestLightsOverALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGadgets()
		a := newAlive("a")
		o := startOutputs(config.Outputs{LEDs: allLEDs}, a, g.hardware(), zerolog.Nop())
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if got := g.told(); got != "P=on@0 P=off@1000 P=on@2000" {
			t.Error(got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		now := facts{link: goodLink}
		o.Live(ctx, func() string { return "" }, func() facts { mu.Lock(); defer mu.Unlock(); return now })
		time.Sleep(5 * time.Second) // its loops do not run yet
		g.told()
		a.Beat("a")(time.Minute)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := g.told(); !strings.HasSuffix(got, "U=on@10000") || !g.shines("P") {
			t.Error(got)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := g.told(); got != "" {
			t.Errorf("steady lights are set: %s", got)
		}
		o.Collected()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := g.told(); got != "C=on@32500 C=off@32580" {
			t.Error(got)
		}
		mu.Lock()
		now = facts{link: noLink, alarm: true}
		mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := g.told(); got != "U=off@35000 A=on@35000" {
			t.Error(got)
		}
		time.Sleep(time.Minute) // without a sign of life
		synctest.Wait()
		g.told()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := g.told(); strings.Count(got, "P=on") < 10 || !g.shines("A") {
			t.Errorf("a loop hangs: %s", got)
		}
		cancel()
		o.Stop()
		if g.shines("P") || g.shines("U") || g.shines("A") || g.shines("C") {
			t.Errorf("after the stop: %v", g.lit)
		}
		o.Collected() // nobody listens
	})
}

// A light that cannot be set is left alone, and told once.
func TestBrokenLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		g := newGadgets()
		g.broken = "P"
		o := startOutputs(config.Outputs{LEDs: config.LEDs{Power: "P", Alarm: "A"}}, newAlive("a"), g.hardware(), zerolog.New(&log))
		time.Sleep(10 * time.Second)
		o.Stop()
		if n := strings.Count(log.String(), "does without this light"); n != 1 || !strings.Contains(log.String(), `"light":"power"`) {
			t.Errorf("told %d times: %s", n, &log)
		}
	})
}

// Without hardware the agent goes on as if nothing were configured.
func TestOutputsThatAreAbsent(t *testing.T) {
	var log strings.Builder
	g := newGadgets()
	g.absent = true
	o := startOutputs(config.Outputs{LEDs: allLEDs, Watchdog: config.Watchdog{Device: "watchdog0"}}, newAlive("a"), g.hardware(), zerolog.New(&log))
	if o != nil || strings.Count(log.String(), "\n") != 5 {
		t.Errorf("%+v %s", o, &log)
	}
	o.Live(t.Context(), nil, nil)
	o.Collected()
	o.Stop()
	if o := startOutputs(config.Default().Outputs, newAlive("a"), newGadgets().hardware(), zerolog.Nop()); o != nil {
		t.Errorf("%+v", o)
	}
}

var withWatchdog = config.Outputs{Watchdog: config.Watchdog{Device: "/dev/watchdog0", Timeout: probes.Duration(30 * time.Second)}}

// The machine's watchdog is fed from the start on, as long as all loops are well,
// and stopped in order.
func TestWatchdogOverALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGadgets()
		a := newAlive("a", "b")
		o := startOutputs(withWatchdog, a, g.hardware(), zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		expect := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if got := g.took(); got != want {
				t.Errorf("%s: %d kicks, want %d", what, got, want)
			}
		}
		time.Sleep(time.Minute - time.Second)
		expect("the store is opened", 6)
		if g.asked != 30*time.Second {
			t.Errorf("asked for %v", g.asked)
		}
		lock := make(chan struct{}, 1)
		o.Live(ctx, func() string { lock <- struct{}{}; <-lock; return "" }, nil)
		go beating(ctx, a.Beat("a"))
		well, stick := context.WithCancel(ctx)
		go beating(well, a.Beat("b"))
		time.Sleep(time.Minute)
		expect("all is well", 6)
		stick()
		time.Sleep(idleBeat + beatGrace)
		g.took()
		time.Sleep(5 * time.Minute)
		expect("a loop hangs", 0)
		a.Beat("b")(time.Hour)
		time.Sleep(time.Minute)
		expect("it goes on", 6)
		lock <- struct{}{}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := g.took(); n > 0 {
			t.Errorf("nobody gets the lock: %d kicks", n)
		}
		<-lock
		synctest.Wait()
		g.took()
		cancel()
		time.Sleep(time.Minute)
		if synctest.Wait(); g.took() < 5 {
			t.Error("it stops, and is not fed")
		}
		o.Stop()
		if g.state != "stopped" {
			t.Error(g.state)
		}
	})
}

// A start that does not end, and a stop, are no better than a loop that hangs.
func TestWatchdogBites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		g := newGadgets()
		a := newAlive("a")
		o := startOutputs(withWatchdog, a, g.hardware(), zerolog.New(&log))
		ctx, cancel := context.WithCancel(t.Context())
		o.Live(ctx, func() string { return "" }, nil)
		time.Sleep(mostStarting - time.Second)
		synctest.Wait()
		if n := g.took(); n != 60 {
			t.Errorf("%d kicks", n)
		}
		time.Sleep(mostStarting)
		synctest.Wait()
		if n := g.took(); n != 0 || !strings.Contains(log.String(), `"loops":"the start"`) {
			t.Errorf("the start does not end: %d kicks, %s", n, &log)
		}
		a.Beat("a")(24 * time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := g.took(); n != 6 || !strings.Contains(log.String(), "what hung goes on") {
			t.Errorf("%d kicks, %s", n, &log)
		}
		cancel()
		time.Sleep(mostStopping + 20*time.Second)
		synctest.Wait()
		g.took()
		time.Sleep(mostStopping)
		synctest.Wait()
		if n := g.took(); n != 0 || !strings.Contains(log.String(), `"loops":"the stop"`) {
			t.Errorf("the stop does not end: %d kicks, %s", n, &log)
		}
		o.Stop()
	})
}

func TestWatchdogIsFedThreeTimes(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{6 * time.Second: 2 * time.Second, 30 * time.Second: 10 * time.Second, time.Hour: 10 * time.Second} {
		if got := (&feeder{timer: fakeTimer{&gadgets{asked: timeout}}}).pace(); got != want {
			t.Errorf("%v: each %v", timeout, got)
		}
	}
}

// Feeding that fails is told once.
func TestWatchdogCannotBeFed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		g := newGadgets()
		g.fails = errors.New("no such device")
		o := startOutputs(withWatchdog, newAlive("a"), g.hardware(), zerolog.New(&log))
		time.Sleep(time.Minute)
		o.Stop()
		if n := strings.Count(log.String(), "cannot be fed"); n != 1 {
			t.Errorf("told %d times: %s", n, &log)
		}
	})
}

// The watchdog of an agent is fed while it runs, and stopped once its store is
// closed; the lights shine and go out.
func TestAgentDrivesItsOutputs(t *testing.T) {
	dir := socketFolder(t)
	path := filepath.Join(dir, "edgehold.yaml")
	text := "site: s\nstate_dir: " + dir + "/state\nsocket: " + dir + "/control.sock\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\n" +
		"outputs: {leds: {power: P, alarm: A}, watchdog: {device: /dev/watchdog0}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGadgets()
	var a *Agent
	closed := false
	point := probes.Point{Series: probes.NewSeries("k", probes.Gauge), Value: probes.Int(1)}
	g.onStop = func() {
		closed = errors.Is(a.store.Append(context.Background(), []probes.Point{point}), buffer.ErrClosed)
	}
	a, err := New(Options{Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }, hardware: g.hardware()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); !g.shines("P") || g.took() == 0; {
		if time.Now().After(end) {
			t.Fatal("not in time")
		}
		time.Sleep(10 * time.Millisecond) // between looks
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if g.state != "stopped" || g.shines("P") || !closed {
		t.Errorf("%s, closed %v, %v", g.state, closed, g.lit)
	}
}

// What cannot start leaves no watchdog that runs.
func TestAgentThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	text := "site: s\nstate_dir: " + path + "/state\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\noutputs: {watchdog: {device: watchdog0}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGadgets()
	_, err := New(Options{Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }, hardware: g.hardware()})
	if err == nil || g.state != "stopped" {
		t.Errorf("%v, the watchdog %q", err, g.state)
	}
}
