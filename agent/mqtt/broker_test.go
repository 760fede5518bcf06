package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/proxytest"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/probes"
)

// TestE2EOrderAndPublishingHandlers answers each message from its handler, with
// more under way than the broker lets through at a time.
func TestE2EOrderAndPublishingHandlers(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{})
	here := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "here"})
	there := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "there"})
	failed := make(chan error, 1)
	err := there.Subscribe(within(t), "up/+", 1, func(m mqtt.Incoming) {
		if err := there.Publish(within(t), mqtt.Message{Topic: "down", Payload: m.Payload, QoS: 1}); err != nil {
			failed <- err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := collect(t, here, "down")
	const n = 300
	var senders sync.WaitGroup
	senders.Go(func() {
		for i := range n {
			publish(t, here, mqtt.Message{Topic: "up/a", Payload: []byte(strconv.Itoa(i)), QoS: 1})
		}
	})
	for i := range n {
		if got := receive(t, answers, "an answer"); got != strconv.Itoa(i) {
			t.Fatalf("answer %d is %s", i, got)
		}
	}
	senders.Wait()
	select {
	case err := <-failed:
		t.Error(err)
	default:
	}
}

// TestE2EHalfOpen stalls the way to the broker: nobody says anything any more.
func TestE2EHalfOpen(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{})
	for name, load := range map[string]int{"idle": 0, "small": 100, "large": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			goroutines(t)
			link := proxytest.New(t, broker.Addr(), 1)
			c := dial(t, mqtt.Options{Broker: broker.Via(link.Addr()), KeepAlive: time.Second, WriteTimeout: time.Second})
			publish(t, c, mqtt.Message{Topic: "a", QoS: 1})
			link.SetBoth(proxytest.Way{Stall: true})
			errs := make(chan error, 64)
			for range 64 {
				go func() { errs <- c.Publish(within(t), mqtt.Message{Topic: "a", Payload: make([]byte, load), QoS: 1}) }()
				if load == 0 {
					break
				}
			}
			receive(t, c.Closed(), "the end of the connection")
			says(t, c.Err(), "connection to the broker lost", "check the link")
			for range 64 {
				if err := receive(t, errs, "the end of a publish"); !errors.Is(err, mqtt.ErrLost) {
					t.Errorf("publish: %v", err)
				}
				if load == 0 {
					break
				}
			}
		})
	}
}

func TestE2EOversize(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{Lines: []string{"max_packet_size 100000"}})
	c := dial(t, mqtt.Options{Broker: broker.URL()})
	err := c.Publish(within(t), mqtt.Message{Topic: "a", Payload: make([]byte, 300<<10), QoS: 1})
	if !errors.Is(err, mqtt.ErrTooLarge) || c.Err() != nil {
		t.Fatalf("publish: %v, connection: %v", err, c.Err())
	}
	err = c.Publish(within(t), mqtt.Message{Topic: "a", Payload: make([]byte, 120<<10), QoS: 1})
	if !errors.Is(err, mqtt.ErrLost) {
		t.Fatalf("publish: %v", err)
	}
	says(t, err, "size")
	receive(t, c.Closed(), "the end of the connection")
	again := dial(t, mqtt.Options{Broker: broker.URL()}) // nothing of the message is sent again
	publish(t, again, mqtt.Message{Topic: "a", Payload: []byte("small"), QoS: 1})
}

// TestE2EAcknowledgedAndDropped shows what an acknowledgement is worth.
func TestE2EAcknowledgedAndDropped(t *testing.T) {
	for name, o := range map[string]mqtttest.Options{
		"size":   {Lines: []string{"message_size_limit 1000"}},
		"rights": {ACL: "topic read #\ntopic write allowed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			broker := mqtttest.Start(t, o)
			c := dial(t, mqtt.Options{Broker: broker.URL()})
			came := collect(t, c, "#")
			publish(t, c, mqtt.Message{Topic: "a", Payload: make([]byte, 2000), QoS: 1})
			publish(t, c, mqtt.Message{Topic: "allowed", Payload: []byte("b"), QoS: 1})
			if got := receive(t, came, "the second message"); got != "b" {
				t.Errorf("the first message came: %d bytes", len(got))
			}
		})
	}
}

// TestE2EBackPressure acknowledges nothing: the broker holds back the rest.
func TestE2EBackPressure(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{Lines: []string{"max_inflight_messages 20", "max_queued_messages 0"}})
	relay := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "relay", ManualAck: true})
	site := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "site"})
	came := make(chan mqtt.Incoming, 1000)
	if err := relay.Subscribe(within(t), "up", 1, func(m mqtt.Incoming) { came <- m }); err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		publish(t, site, mqtt.Message{Topic: "up", Payload: []byte(strconv.Itoa(i)), QoS: 1})
	}
	eventually(t, "twenty came", func() bool { return len(came) == 20 })
	publish(t, relay, mqtt.Message{Topic: "other", QoS: 1}) // it still publishes, and what may come has come
	if len(came) != 20 {
		t.Errorf("%d came without an acknowledgement", len(came))
	}
	for i := range n {
		m := receive(t, came, "message "+strconv.Itoa(i))
		if string(m.Payload) != strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, m.Payload)
		}
		m.Ack()
		m.Ack() // counts once
	}
	publish(t, site, mqtt.Message{Topic: "up", QoS: 1})
	late := receive(t, came, "one more")
	hangUp(t, relay)
	late.Ack() // does nothing
}

func TestE2EWill(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	watch := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "watch"})
	states := collect(t, watch, "site/state")
	link := proxytest.New(t, broker.Addr(), 1)
	will := mqtt.Message{Topic: "site/state", Payload: []byte("lost"), QoS: 1, Retain: true}
	online := mqtt.Message{Topic: "site/state", Payload: []byte("online"), QoS: 1, Retain: true}

	c := dial(t, mqtt.Options{Broker: broker.Via(link.Addr()), ClientID: "site", Will: &will})
	publish(t, c, online)
	link.Cut(proxytest.RST)
	receive(t, c.Closed(), "the end")
	for _, want := range []string{"online", "lost"} {
		if got := receive(t, states, want); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}

	again := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "site", Will: &will})
	publish(t, again, online)
	if err := again.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	publish(t, watch, mqtt.Message{Topic: "site/state", Payload: []byte("end"), QoS: 1})
	for _, want := range []string{"online", "end"} {
		if got := receive(t, states, want); got != want {
			t.Errorf("after an orderly end: got %s, want %s", got, want)
		}
	}

	late := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "late"})
	kept := make(chan mqtt.Incoming, 8)
	if err := late.Subscribe(within(t), "site/+", 1, func(m mqtt.Incoming) { kept <- m }); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, kept, "the retained message"); !m.Retained || string(m.Payload) != "online" || m.Topic != "site/state" {
		t.Errorf("retained: %v %s %s", m.Retained, m.Topic, m.Payload)
	}
}

// TestE2ECloseDrains closes while many publish: what was said to have arrived
// has, and nothing is in between.
func TestE2ECloseDrains(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{Lines: []string{"max_queued_messages 0"}})
	watch := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "watch"})
	came := collect(t, watch, "up")
	c := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "site"})
	var done atomic.Int64
	var publishers sync.WaitGroup
	for range 40 {
		publishers.Go(func() {
			for {
				if err := c.Publish(within(t), mqtt.Message{Topic: "up", Payload: make([]byte, 4000), QoS: 1}); err != nil {
					if !errors.Is(err, mqtt.ErrClosed) {
						t.Error(err)
					}
					return
				}
				done.Add(1)
			}
		})
	}
	eventually(t, "many are published", func() bool { return done.Load() > 200 })
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	publishers.Wait()
	publish(t, watch, mqtt.Message{Topic: "up", Payload: []byte("end"), QoS: 1})
	got := int64(0)
	for receive(t, came, "the end") != "end" {
		got++
	}
	if got != done.Load() {
		t.Errorf("%d came of %d that were published", got, done.Load())
	}
	if err := c.Close(within(t)); err != nil || !errors.Is(c.Err(), mqtt.ErrClosed) {
		t.Errorf("closed again: %v, %v", err, c.Err())
	}
}

// TestE2ECloseOfStalledLink must not hang.
func TestE2ECloseOfStalledLink(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{})
	link := proxytest.New(t, broker.Addr(), 1)
	c := dial(t, mqtt.Options{Broker: broker.Via(link.Addr())})
	link.SetBoth(proxytest.Way{Stall: true})
	failed := make(chan error, 1)
	go func() { failed <- c.Publish(within(t), mqtt.Message{Topic: "a", QoS: 1}) }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := c.Publish(ctx, mqtt.Message{Topic: "a", Payload: make([]byte, 100<<10), QoS: 1})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish: %v", err)
	}
	if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if err := receive(t, failed, "the end of a publish"); !errors.Is(err, mqtt.ErrClosed) {
		t.Errorf("publish: %v", err)
	}
}

func TestE2EBrokerKilledAndBack(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{Persistence: true})
	c := dial(t, mqtt.Options{Broker: broker.URL()})
	publish(t, c, mqtt.Message{Topic: "kept", Payload: []byte("yes"), QoS: 1, Retain: true})
	broker.Stop()
	receive(t, c.Closed(), "the end")
	says(t, c.Err(), "lost", "the broker ended the connection")
	_, err := mqtt.Dial(within(t), mqtt.Options{Broker: broker.URL(), ClientID: "x"})
	says(t, err, "connect to "+broker.URL(), "nothing listens there")
	broker.Start()
	again := dial(t, mqtt.Options{Broker: broker.URL()})
	if got := receive(t, collect(t, again, "kept"), "what was kept"); got != "yes" {
		t.Errorf("kept: %s", got)
	}
	broker.Kill()
	receive(t, again.Closed(), "the end")
	if err := again.Publish(within(t), mqtt.Message{Topic: "a", QoS: 1}); !errors.Is(err, mqtt.ErrLost) {
		t.Errorf("publish: %v", err)
	}
}

func TestE2EPassword(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{Users: map[string]string{"site": "right horse"}})
	with := func(password string, err error) func() (probes.Secret, error) {
		return func() (probes.Secret, error) { return probes.NewSecret(password), err }
	}
	dial(t, mqtt.Options{Broker: broker.URL(), User: "site", Password: with("right horse", nil)})
	for _, o := range []mqtt.Options{{User: "site", Password: with("wrong horse", nil)}, {}} {
		o.Broker, o.ClientID = broker.URL(), "x"
		_, err := mqtt.Dial(within(t), o)
		if !errors.Is(err, mqtt.ErrRefused) || strings.Contains(err.Error(), "horse") {
			t.Errorf("dial: %v", err)
		}
		says(t, err, "not authorised", "password_file")
	}
	_, err := mqtt.Dial(within(t), mqtt.Options{Broker: broker.URL(), ClientID: "x", User: "site", Password: with("", errors.New("read /x: gone"))})
	says(t, err, "user site", "read /x: gone")
}

func TestE2ESharedSubscription(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	var counts [2]atomic.Int64
	for i := range counts {
		relay := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: fmt.Sprint("relay", i)})
		err := relay.Subscribe(within(t), "$share/g/p/v1/+/up/+", 1, func(mqtt.Incoming) { counts[i].Add(1) })
		if err != nil {
			t.Fatal(err)
		}
	}
	site := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "site"})
	for range 100 {
		publish(t, site, mqtt.Message{Topic: "p/v1/s/up/3", QoS: 1})
	}
	eventually(t, "all came", func() bool { return counts[0].Load()+counts[1].Load() == 100 })
	if counts[0].Load() == 0 || counts[1].Load() == 0 {
		t.Errorf("shares of %d and %d", counts[0].Load(), counts[1].Load())
	}
}

func TestE2ETraffic(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	link := proxytest.New(t, broker.Addr(), 1)
	var sent, received atomic.Int64
	c := dial(t, mqtt.Options{Broker: broker.Via(link.Addr()), Traffic: func(s, r int) {
		sent.Add(int64(s))
		received.Add(int64(r))
	}})
	came := collect(t, c, "a")
	payload := bytes.Repeat([]byte("x"), 100<<10)
	publish(t, c, mqtt.Message{Topic: "a", Payload: payload, QoS: 1})
	if got := receive(t, came, "the message"); got != string(payload) {
		t.Errorf("%d bytes came, changed", len(got))
	}
	hangUp(t, c)
	eventually(t, "both count the same", func() bool {
		counts := link.Counts()
		return counts.Up == sent.Load() && counts.Down == received.Load() && sent.Load() > 100<<10
	})
}
