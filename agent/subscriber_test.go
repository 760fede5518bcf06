package agent

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/probes"
	sensors "github.com/edgehold/edgehold/probes/mqtt"
)

// sensorStand runs a source of sensors in a schedule, with a real broker.
type sensorStand struct {
	schedule *schedule
	log      lockedText

	mu     sync.Mutex
	points []probes.Point
}

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

func runSensors(t *testing.T, o *sensors.Options, deps probes.Deps) *sensorStand {
	t.Helper()
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	w := &sensorStand{}
	deps.Clock, deps.Log = clock, zerolog.New(&w.log)
	tasks, err := sensors.Kind().New(o, deps)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tasks {
		tasks[i].Config = "built-in mqtt"
	}
	w.schedule = newSchedule(4, func(_ *entry, b probes.Batch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.points = append(w.points, b.Points...)
	})
	w.schedule.log = deps.Log
	w.schedule.Set(tasks)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.schedule.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return w
}

// eventually waits until there is something that ok takes.
func (w *sensorStand) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never so: %s\n%+v\n%s", what, w.state(), w.log.String())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (w *sensorStand) state() taskState { return w.schedule.States()[0] }

// has tells whether a point of these words has come.
func (w *sensorStand) has(words string) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.points, func(p probes.Point) bool {
			text := p.Series.Key()
			for _, d := range p.Series.Dims() {
				text += "," + d.Key + "=" + d.Value
			}
			s := p.Value.Summary()
			return fmt.Sprintf("%s %v..%v of %d", text, s.Min, s.Max, s.Count) == words
		})
	}
}

func sensorOptions(broker string, topics ...sensors.Topic) *sensors.Options {
	o := sensors.Kind().Options().(*sensors.Options)
	o.Broker, o.Topics, o.Interval = broker, topics, probes.Duration(time.Second)
	return o
}

// sensor is another client of the broker.
func sensor(t *testing.T, o mqtt.Options) (publish func(topic, payload string, retain bool)) {
	t.Helper()
	o.ClientID = "sensor"
	conn, err := mqtt.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(conn) })
	return func(topic, payload string, retain bool) {
		t.Helper()
		if err := conn.Publish(t.Context(), mqtt.Message{Topic: topic, Payload: []byte(payload), Retain: retain, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// listens waits for the subscription: who publishes before is not heard.
func listens(t *testing.T, w *sensorStand, broker *mqtttest.Broker, times int) {
	t.Helper()
	w.eventually(t, "subscribed", func() bool { return strings.Count(broker.Log(), "Sending SUBACK to edgehold-") >= times })
}

// TestE2ESensorsOverMosquitto goes from messages of sensors to points, over the
// end of the broker and its return.
func TestE2ESensorsOverMosquitto(t *testing.T) {
	// It sends a message once for each filter that it fits, as brokers may.
	broker := mqtttest.Start(t, mqtttest.Options{Persistence: true, Lines: []string{"allow_duplicate_messages true"}})
	publish := sensor(t, mqtt.Options{Broker: broker.URL()})
	publish("zigbee/old", `{"temperature":99}`, true)
	o := sensorOptions(broker.URL(),
		sensors.Topic{Topic: "zigbee/{device}", Metric: "room.temperature", Value: "temperature", Dimensions: map[string]string{"model": "path:device.model"}},
		sensors.Topic{Topic: "zigbee/th1/#", Metric: "room.any", Value: "temperature"}, // fits some of the same messages
		sensors.Topic{Topic: "tele/#", Metric: "tele.value"})
	var meter egress.Meter
	w := runSensors(t, o, probes.Deps{Subscribe: subscriber{line: meter.Line(egress.DevicePoll)}.subscribe})
	listens(t, w, broker, 2) // one filter for two topics, and one
	if got := w.state(); got.Last.Status == probes.StatusOK {
		w.eventually(t, "pending before anything has come", func() bool { s := w.state(); s.watch(); return s.Last.Status == probes.StatusPending })
	}
	publish("zigbee/th1", `{"temperature":21.5,"device":{"model":"TH"}}`, false)
	publish("zigbee/th1", `{"temperature":21.5,"device":{"model":"TH"}}`, true) // live, although it is kept for others
	publish("tele/a/POWER", "ON", false)
	w.eventually(t, "points", w.has("tele.value,mqtt.topic=tele/a/POWER 1..1 of 1"))
	if !w.has("room.temperature,device=th1,model=TH 21.5..21.5 of 2")() && !w.has("room.temperature,device=th1,model=TH 21.5..21.5 of 1")() {
		t.Error("no temperature, or one message came several times")
	}
	if w.has("room.temperature,device=old 99..99 of 1")() {
		t.Error("a value of nobody knows when has come")
	}
	w.eventually(t, "OK", func() bool {
		s := w.state()
		s.watch()
		return s.Last.Status == probes.StatusOK && s.Last.Received == 3
	})

	broker.Kill()
	w.eventually(t, "an error", func() bool { s := w.state(); s.watch(); return s.Last.Status == probes.StatusDeviceConnectionError })
	broker.Start()
	w.eventually(t, "subscribed again", func() bool { return strings.Count(broker.Log(), "Sending SUBACK to edgehold-") >= 4 })
	publish = sensor(t, mqtt.Options{Broker: broker.URL()})
	publish("tele/b", "7", false)
	w.eventually(t, "points after the return", w.has("tele.value,mqtt.topic=tele/b 7..7 of 1"))
	w.eventually(t, "OK again", func() bool { s := w.state(); s.watch(); return s.Last.Status == probes.StatusOK })
}

// TestE2ESensorsWithPasswordAndTLS has a broker that wants both.
func TestE2ESensorsWithPasswordAndTLS(t *testing.T) {
	authority := mqtttest.NewAuthority(t)
	files := authority.Issue(mqtttest.Leaf{Name: "broker"})
	broker := mqtttest.Start(t, mqtttest.Options{Server: &files, Users: map[string]string{"gateway": "right horse", "sensor": "old cow"}})
	o := sensorOptions(broker.URL(), sensors.Topic{Topic: "a", Metric: "a.b"})
	o.CAFile, o.User, o.Credential = authority.File, "gateway", "mqtt"
	with := func(password string) probes.Deps {
		return probes.Deps{
			Subscribe:   subscriber{}.subscribe,
			Credentials: map[string]probes.Credential{"mqtt": {Name: "mqtt", Password: probes.NewSecret(password)}},
		}
	}
	refused := runSensors(t, o, with("wrong horse"))
	refused.eventually(t, "refused", func() bool { return refused.state().Last.Status == probes.StatusAuthenticationError })
	if text := refused.state().Last.Message + refused.log.String(); strings.Contains(text, "horse") {
		t.Error(text)
	}
	w := runSensors(t, o, with("right horse"))
	listens(t, w, broker, 1)
	publish := sensor(t, mqtt.Options{
		Broker: broker.URL(), CAFile: authority.File, User: "sensor",
		Password: func() (probes.Secret, error) { return probes.NewSecret("old cow"), nil },
	})
	publish("a", "3", false)
	w.eventually(t, "a point", w.has("a.b 3..3 of 1"))
}
