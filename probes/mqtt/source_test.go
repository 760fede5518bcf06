package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

// bubbleClock counts from the begin of a synctest bubble.
type bubbleClock struct{ begin time.Time }

func (c bubbleClock) Now() probes.Stamp {
	up := time.Since(c.begin) + time.Minute
	return probes.Stamp{Uptime: up, Wall: up.Milliseconds()}
}

// stand is a source with a broker of its own.
type stand struct {
	t      *testing.T
	deaf   bool // the broker grants nothing
	source *source
	sent   chan probes.Message
	fail   chan error
	ended  chan error
	log    lockedText

	mu     sync.Mutex
	points []probes.Point
	stop   context.CancelFunc
}

// lockedText may be written to and read at a time.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func options(topics ...Topic) *Options {
	o := Kind().Options().(*Options)
	o.Broker, o.Topics = "mqtt://127.0.0.1", topics
	return o
}

// newStand makes a source; run runs it. Both inside a bubble.
func newStand(t *testing.T, o *Options) *stand {
	t.Helper()
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	w := &stand{t: t, sent: make(chan probes.Message), fail: make(chan error), ended: make(chan error, 1)}
	tasks, err := Kind().New(o, probes.Deps{
		Clock: bubbleClock{time.Now()}, Log: zerolog.New(&w.log), Subscribe: w.subscribe,
		Constants: []probes.Dimension{{Key: "site", Value: "s1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.source = tasks[0].Source.(*source)
	return w
}

func (w *stand) subscribe(ctx context.Context, _ probes.Subscription, ready func(), each func(probes.Message)) error {
	if !w.deaf {
		ready()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.fail:
			return err
		case m := <-w.sent:
			each(m)
		}
	}
}

func (w *stand) run() {
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop = stop
	go func() {
		w.ended <- w.source.Run(ctx, w.emit)
	}()
	synctest.Wait()
}

func (w *stand) emit(b probes.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.points = append(w.points, b.Points...)
}

// take gives the points that have come since the last time.
func (w *stand) take() []probes.Point {
	w.mu.Lock()
	defer w.mu.Unlock()
	points := w.points
	w.points = nil
	return points
}

// end stops the source, and checks that it ends without an error.
func (w *stand) end() {
	w.stop()
	if err := <-w.ended; err != nil {
		w.t.Error(err)
	}
}

func (w *stand) send(topic, payload string) {
	w.sent <- probes.Message{Topic: topic, Payload: []byte(payload)}
	synctest.Wait()
}

func (w *stand) retained(topic, payload string) {
	w.sent <- probes.Message{Topic: topic, Payload: []byte(payload), Retained: true}
	synctest.Wait()
}

// is waits for so long, and checks the points that have come since the last time.
func (w *stand) is(after time.Duration, want ...string) {
	w.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	var got []string
	for _, p := range w.take() {
		got = append(got, show(p))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("points\n  %s\nexpected\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func show(p probes.Point) string {
	text := p.Series.Key()
	for _, d := range p.Series.Dims() {
		text += "," + d.Key + "=" + d.Value
	}
	text += " " + p.Series.Type().String()
	if p.Value.Form() == probes.FormSummary {
		s := p.Value.Summary()
		return fmt.Sprintf("%s %v..%v sum %v of %d", text, s.Min, s.Max, s.Sum, s.Count)
	}
	return fmt.Sprintf("%s %v", text, p.Value.Float64())
}

// says checks the status.
func (w *stand) says(status probes.Status, words string) {
	w.t.Helper()
	state := w.source.Watch()
	if state.Status != status || !strings.Contains(state.Message, words) {
		w.t.Errorf("status %q: %s; expected %q: %s", state.Status, state.Message, status, words)
	}
}

func TestStatisticsOfAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(
			Topic{Topic: "z/{room}/climate", Metric: "room.temperature", Value: "temperature", Dimensions: map[string]string{"model": "path:device.model", "floor": "2"}},
			Topic{Topic: "z/{room}/climate", Value: "humidity", Scale: 0.1, Offset: 1},
			Topic{Topic: "door/#", Metric: "door.open"},
		))
		w.run()
		w.send("z/hall/climate", `{"temperature":21,"humidity":450,"device":{"model":"TH1"}}`)
		w.send("z/hall/climate", `{"temperature":23.5,"device":{"model":"TH1"}}`)
		w.send("z/lab/climate", `{"temperature":18}`)
		w.send("door/north/1", "open")
		w.says("", "")
		w.is(time.Minute,
			"room.temperature,floor=2,model=TH1,room=hall,site=s1 gauge 21..23.5 sum 44.5 of 2",
			"room.temperature,floor=2,room=lab,site=s1 gauge 18",
			"edgehold.mqtt.humidity,room=hall,site=s1 gauge 46",
			"door.open,mqtt.topic=door/north/1,site=s1 gauge 1")
		w.is(time.Minute) // nothing comes, nothing goes
		w.send("z/lab/climate", `{"temperature":19}`)
		w.end() // what has come leaves with the end
		w.is(0, "room.temperature,floor=2,room=lab,site=s1 gauge 19")
		if s := w.source.Watch(); s.Received != 5 || s.Refused != 0 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Texts of a message that could be taken for two others make series of their own,
// and one that is cut stays a text.
func TestTextsOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(Topic{Topic: "a", Metric: "m", Value: "v", Dimensions: map[string]string{"k1": "path:x", "k2": "path:y"}})
		w := newStand(t, o)
		w.run()
		defer w.end()
		w.send("a", `{"v": 1, "x": "p\u0000q", "y": "r"}`)
		w.send("a", `{"v": 2, "x": "p", "y": "q\u0000r"}`)
		w.send("a", `{"v": 3, "x": "p", "y": "`+strings.Repeat("x", maxDimValue-1)+`é"}`)
		time.Sleep(o.Interval.Std())
		synctest.Wait()
		points := w.take()
		if len(points) != 3 {
			t.Fatalf("%d series, want 3", len(points))
		}
		for _, p := range points {
			if text := p.Series.Dim("k2"); !utf8.ValidString(text) {
				t.Errorf("%q is no text", text)
			}
		}
	})
}

func TestEmitLastAndEach(t *testing.T) {
	for emit, want := range map[string][]string{
		emitLast: {"x.y,site=s1 gauge 3"},
		emitEach: {"x.y,site=s1 gauge 1", "x.y,site=s1 gauge 2..3 sum 5 of 2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := options(Topic{Topic: "t", Metric: "x.y"})
			o.Emit = emit
			w := newStand(t, o)
			w.run()
			w.send("t", "1")
			time.Sleep(100 * time.Millisecond)
			w.send("t", "2") // two at one millisecond are folded
			w.send("t", "3")
			w.is(time.Minute, want...)
			if told := strings.Count(w.log.String(), "folded"); told > 1 || told == 0 && emit == emitEach {
				t.Errorf("told %d times", told)
			}
			w.end()
		})
	}
}

// The stamp of a value that leaves alone is that of its arrival.
func TestEachHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(Topic{Topic: "t", Metric: "x.y"})
		o.Emit = emitEach
		w := newStand(t, o)
		w.run()
		time.Sleep(300 * time.Millisecond)
		w.send("t", "1")
		time.Sleep(time.Second)
		synctest.Wait()
		if points := w.take(); len(points) != 1 || points[0].Stamp.Uptime != time.Minute+300*time.Millisecond {
			t.Errorf("%+v", points)
		}
		w.end()
	})
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(
			Topic{Topic: "energy", Metric: "m.energy", Type: typeCount, Scale: 1000},
			Topic{Topic: "pulses", Metric: "m.pulses", Type: typeDelta}))
		w.run()
		w.send("energy", "12.1") // where it stands says nothing of how it grew
		w.send("pulses", "2")
		w.is(time.Minute, "m.pulses,site=s1 count 2")
		w.send("energy", "12.2")
		w.send("energy", "12.4")
		w.send("pulses", "3")
		w.send("pulses", "4")
		w.is(time.Minute, "m.energy,site=s1 count 300", "m.pulses,site=s1 count 7")
		w.send("energy", "0.1") // the meter has begun anew
		w.send("pulses", "-1")
		w.is(time.Minute)
		w.says(probes.StatusWarning, "negative")
		w.send("energy", "0.2")
		w.is(time.Minute, "m.energy,site=s1 count 100")
		w.end()
	})
}

func TestRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(Topic{Topic: "t", Metric: "x.y"}))
		w.run()
		w.retained("t", "5")
		w.is(time.Minute)
		if s := w.source.Watch(); s.Received != 0 || s.Refused != 1 {
			t.Errorf("%+v", s)
		}
		w.end()
	})
	synctest.Test(t, func(t *testing.T) {
		o := options(Topic{Topic: "t", Metric: "x.y"}, Topic{Topic: "n", Metric: "x.n", Type: typeDelta})
		o.Retained = retainedUse
		w := newStand(t, o)
		w.run()
		w.retained("t", "5")
		w.retained("n", "5")
		w.is(time.Minute, "x.y,site=s1 gauge 5")
		w.fail <- errors.New("gone")
		if err := <-w.ended; err == nil {
			t.Error("no error")
		}
		w.run()
		w.retained("t", "5") // again, with the new connection
		w.is(time.Minute)
		w.retained("t", "6") // it has changed in between
		w.is(time.Minute, "x.y,site=s1 gauge 6")
		w.is(59*time.Minute, []string{}...)
		w.says(probes.StatusWarning, "silent for too long: t;") // an old value is no sign of life
		w.end()
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := probes.Duration(0)
		o := options(
			Topic{Topic: "z/{room}", Metric: "x.y"}, Topic{Topic: "other", Metric: "x.other"},
			Topic{Topic: "door", Metric: "x.door", SilentAfter: &never})
		o.SilentAfter = probes.Duration(10 * time.Minute)
		w := newStand(t, o)
		w.run()
		w.send("z/hall", "1")
		w.send("other", "1")
		time.Sleep(9 * time.Minute)
		w.send("z/lab", "1")
		w.says("", "")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.says(probes.StatusWarning, "silent for too long: other, z/hall;")
		w.send("z/hall", "1")
		w.send("other", "1")
		time.Sleep(time.Minute)
		synctest.Wait()
		w.says("", "")
		for words, times := range map[string]int{"sensors are silent": 1, "heard again": 1, "door": 0} {
			if got := strings.Count(w.log.String(), words); got != times {
				t.Errorf("%q is told %d times: %s", words, got, w.log.String())
			}
		}
		// A lost connection is not the sensors' silence.
		w.fail <- probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("broker gone"))
		if err := <-w.ended; err == nil {
			t.Error("no error")
		}
		w.says(probes.StatusDeviceConnectionError, "broker gone")
		time.Sleep(time.Hour)
		w.run()
		w.says("", "")
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		w.says(probes.StatusWarning, "other, z/hall, z/lab;")
		w.end()
	})
}

// While a connection is being made nobody can be heard.
func TestNotSilentBeforeItListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(Topic{Topic: "t", Metric: "x.y"}))
		w.run()
		w.send("t", "1")
		w.fail <- errors.New("gone")
		if err := <-w.ended; err == nil {
			t.Error("no error")
		}
		w.deaf = true
		w.run()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if w.log.String() != "" {
			t.Error(w.log.String())
		}
		w.says(probes.StatusGenericError, "gone")
		w.end()
	})
}

func TestNothingEverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(Topic{Topic: "z/{room}", Value: "temperature"}))
		w.run()
		w.send("z/hall", `{"humidity":3}`) // of another kind, which is no fault
		w.says("", "")
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		w.says(probes.StatusWarning, "nothing has come on z/+ for edgehold.mqtt.temperature")
		w.end()
	})
}

func TestUnreadableIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStand(t, options(Topic{Topic: "t/+", Metric: "x.y"}))
		w.run()
		for range 3 {
			w.send("t/1", "warm")
		}
		w.says(probes.StatusWarning, `"warm" is no number`)
		if got := strings.Count(w.log.String(), "no number"); got == 0 || strings.Count(w.log.String(), "\n") != 1 {
			t.Errorf("log: %s", w.log.String())
		}
		if s := w.source.Watch(); s.Refused != 3 || s.Received != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(3 * time.Minute)
		w.says("", "")
		w.end()
	})
}

// A flooding tree of topics does not grow beyond its bounds.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(Topic{Topic: "t/#", Metric: "x.y"}, Topic{Topic: "j", Metric: "x.j", Value: "v", Dimensions: map[string]string{"id": "path:id"}})
		o.MaxSeries = 10
		w := newStand(t, o)
		w.run()
		for i := range 500 {
			w.send(fmt.Sprintf("t/%d", i), "1")
			w.send("j", fmt.Sprintf(`{"v":1,"id":%d}`, i))
		}
		w.send("t/0", strings.Repeat("1", maxPayload+1))
		w.send("t/"+strings.Repeat("x", maxTopic), "1")
		time.Sleep(time.Minute)
		synctest.Wait()
		if points := w.take(); len(points) != 10 || len(w.source.lines) != 10 || len(w.source.byKey) != 10 {
			t.Errorf("%d points, %d series", len(points), len(w.source.lines))
		}
		if s := w.source.Watch(); s.Received != 10 || s.Dropped != 992 {
			t.Errorf("%+v", s)
		}
		w.send("t/new", "1")
		w.says(probes.StatusWarning, "more than 10 series")
		if got := strings.Count(w.log.String(), "max_series"); got != 2 { // a line has it as a field and in its words
			t.Errorf("log: %s", w.log.String())
		}
		// What has been silent for a day makes room.
		time.Sleep(25 * time.Hour)
		w.take()
		w.send("t/new", "2")
		w.is(time.Minute, "x.y,mqtt.topic=t/new,site=s1 gauge 2")
		w.send("t/0", "3") // one of those that were forgotten
		w.is(time.Minute, "x.y,mqtt.topic=t/0,site=s1 gauge 3")
		if len(w.source.byKey) != 2 {
			t.Errorf("%d series", len(w.source.byKey))
		}
		w.end()
	})
}

func TestEachIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(Topic{Topic: "t/#", Metric: "x.y"})
		o.Emit = emitEach
		w := newStand(t, o)
		w.run()
		for i := range maxPending + 5 {
			w.source.take(probes.Message{Topic: fmt.Sprint("t/", i%900), Payload: []byte("1")})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if points := w.take(); len(points) != 900 || w.source.Watch().Dropped != 5 {
			t.Errorf("%d points, %+v", len(points), w.source.Watch())
		}
		w.end()
	})
}

func BenchmarkTake(b *testing.B) {
	o := options(
		Topic{Topic: "z/{room}/climate", Value: "temperature"}, Topic{Topic: "z/{room}/climate", Value: "humidity"},
		Topic{Topic: "other/#", Metric: "o.o"})
	tasks, err := Kind().New(o, probes.Deps{Clock: bubbleClock{time.Now()}})
	if err != nil {
		b.Fatal(err)
	}
	s := tasks[0].Source.(*source)
	payload := []byte(`{"battery":100,"humidity":45.2,"linkquality":120,"temperature":21.53,"voltage":3000}`)
	b.ReportAllocs()
	for b.Loop() {
		s.take(probes.Message{Topic: "z/hall/climate", Payload: payload})
	}
}
