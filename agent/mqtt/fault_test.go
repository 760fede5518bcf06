package mqtt_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/edgehold/edgehold/agent/mqtt"
)

// TestSwallowedPublishIsNoSuccess is of a broker that takes messages and goes.
func TestSwallowedPublishIsNoSuccess(t *testing.T) {
	goroutines(t)
	taken := make(chan net.Conn, 8)
	f := newFake(t, welcome, func(c net.Conn, p packets.ControlPacket) bool {
		if _, ok := p.(*packets.PublishPacket); ok {
			taken <- c
		}
		return true
	})
	c := dial(t, mqtt.Options{Broker: f.url()})
	failed := make(chan error, 3)
	for range 3 {
		go func() { failed <- c.Publish(within(t), mqtt.Message{Topic: "a", Payload: []byte("b"), QoS: 1}) }()
	}
	var conn net.Conn
	for range 3 {
		conn = receive(t, taken, "a message")
	}
	conn.Close()
	for range 3 {
		if err := receive(t, failed, "the end of a publish"); !errors.Is(err, mqtt.ErrLost) {
			t.Errorf("publish: %v", err)
		}
	}
	receive(t, c.Closed(), "the end")
	if err := c.Publish(within(t), mqtt.Message{Topic: "a", QoS: 1}); !errors.Is(err, mqtt.ErrLost) {
		t.Errorf("publish after the end: %v", err)
	}
	if err := c.Subscribe(within(t), "a", 1, func(mqtt.Incoming) {}); !errors.Is(err, mqtt.ErrLost) {
		t.Errorf("subscribe after the end: %v", err)
	}
}

// TestInFlightIsBounded gives up on messages that the broker does not
// acknowledge: they keep their places until it does.
func TestInFlightIsBounded(t *testing.T) {
	goroutines(t)
	type taken struct {
		conn net.Conn
		id   uint16
	}
	came := make(chan taken, 8)
	f := newFake(t, welcome, func(c net.Conn, p packets.ControlPacket) bool {
		if p, ok := p.(*packets.PublishPacket); ok {
			came <- taken{c, p.MessageID}
		}
		return true
	})
	c := dial(t, mqtt.Options{Broker: f.url(), MaxInFlight: 2})
	short := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		return c.Publish(ctx, mqtt.Message{Topic: "a", QoS: 1})
	}
	for range 4 {
		if err := short(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("publish: %v", err)
		}
	}
	first := receive(t, came, "the first")
	receive(t, came, "the second")
	done := make(chan error, 1)
	go func() { done <- c.Publish(within(t), mqtt.Message{Topic: "a", QoS: 1}) }()
	select {
	case <-came:
		t.Fatal("a third message is in flight")
	case <-time.After(20 * time.Millisecond):
	}
	acknowledge := func(id uint16) {
		if _, err := first.conn.Write([]byte{0x40, 2, byte(id >> 8), byte(id)}); err != nil {
			t.Error(err)
		}
	}
	acknowledge(first.id)
	acknowledge(receive(t, came, "the third").id)
	if err := receive(t, done, "the answer"); err != nil {
		t.Errorf("publish: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, c := range map[byte]struct {
		words   []string
		refused bool
	}{
		1:   {[]string{"unacceptable protocol version", "MQTT 3.1.1"}, true},
		2:   {[]string{"client ID rejected"}, true},
		3:   {[]string{"server unavailable", "tried again"}, false},
		4:   {[]string{"bad user name or password", "password_file"}, true},
		5:   {[]string{"not authorised", "access rules"}, true},
		6:   {[]string{"code 6"}, true}, // the library takes it for a connection
		255: {[]string{"code 255"}, true},
	} {
		f := newFake(t, []byte{0x20, 2, 0, code}, swallow)
		_, err := mqtt.Dial(within(t), mqtt.Options{Broker: f.url(), ClientID: "x"})
		says(t, err, append(c.words, "connect to "+f.url())...)
		if errors.Is(err, mqtt.ErrRefused) != c.refused {
			t.Errorf("code %d: refused is not %v: %v", code, c.refused, err)
		}
		if n := f.connections.Load(); n != 1 {
			t.Errorf("code %d: tried %d times", code, n)
		}
	}
}

// TestSubscriptionRefused is of answers that are no success.
func TestSubscriptionRefused(t *testing.T) {
	t.Parallel()
	answers := map[string]func(id uint16) []byte{
		"failure": func(id uint16) []byte { return []byte{0x90, 3, byte(id >> 8), byte(id), 0x80} },
		"puback":  func(id uint16) []byte { return []byte{0x40, 2, byte(id >> 8), byte(id)} },
		"qos 2":   func(id uint16) []byte { return []byte{0x90, 3, byte(id >> 8), byte(id), 2} },
	}
	for name, answer := range answers {
		f := newFake(t, welcome, func(c net.Conn, p packets.ControlPacket) bool {
			s, ok := p.(*packets.SubscribePacket)
			if !ok {
				return true
			}
			_, err := c.Write(answer(s.MessageID))
			return err == nil
		})
		c := dial(t, mqtt.Options{Broker: f.url(), ClientID: "x"})
		err := c.Subscribe(within(t), "a/#", 1, func(mqtt.Incoming) {})
		says(t, err, "subscribe to a/#", "refuses the subscription", "access rules")
		if !errors.Is(err, mqtt.ErrRefused) || c.Err() != nil {
			t.Errorf("%s: subscribe: %v, connection: %v", name, err, c.Err())
		}
	}
}

// TestHostileBroker sends what makes the library panic, or take memory for the
// asking.
func TestHostileBroker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		packet []byte
		words  string
	}{
		"more codes than filters": {[]byte{0x90, 5, 0, 1, 1, 1, 1}, "no place here"},
		"256 MB":                  {[]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, "268435455 bytes"},
		"endless length":          {[]byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, "no place here"},
		"QoS 2":                   {[]byte{0x34, 5, 0, 1, 'a', 0, 1}, "no place here"},
		"second greeting":         {welcome, "no place here"},
	} {
		f := newFake(t, welcome, func(conn net.Conn, p packets.ControlPacket) bool {
			_, err := conn.Write(c.packet)
			return err == nil
		})
		conn := dial(t, mqtt.Options{Broker: f.url(), ClientID: "x"})
		if err := conn.Subscribe(within(t), "a", 1, func(mqtt.Incoming) {}); !errors.Is(err, mqtt.ErrLost) {
			t.Errorf("%s: subscribe: %v", name, err)
		}
		receive(t, conn.Closed(), "the end")
		says(t, conn.Err(), c.words)
	}
}

func TestOtherSideIsNoBroker(t *testing.T) {
	t.Parallel()
	ssh := talk(t, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n")
	web := talk(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	for url, words := range map[string]string{
		"mqtt://" + ssh:            "the answer is not MQTT: check scheme and port",
		"mqtt://" + web:            "the answer is not MQTT: check scheme and port",
		"mqtts://" + ssh:           "does not speak TLS; check scheme and port",
		"ws://" + web:              "HTTP 404 Not Found: check host, port and path",
		"mqtt://127.0.0.1:1":       "nothing listens there",
		"mqtt://no.invalid:1":      "check the host",
		"mqtt://hub.example.com":   "use mqtts://",
		"ws://10.0.0.1":            "use wss://",
		"https://hub.example.com":  "use mqtts://",
		"mqtts://u:pw@hub.example": "password_file",
		"mqtts://:8883":            "names no host",
		"mqtts://hub/path":         "a path is for",
		"mqtts://u:pw@h ub":        "mqtts://hub.example.com:8883",
	} {
		_, err := mqtt.Dial(within(t), mqtt.Options{Broker: url, ClientID: "x", Lab: url == "mqtt://no.invalid:1"})
		says(t, err, words)
	}
}

// TestSilentBroker accepts and says nothing; and the caller gives up.
func TestSilentBroker(t *testing.T) {
	goroutines(t)
	addr := talk(t, "")
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := mqtt.Dial(ctx, mqtt.Options{Broker: scheme + "://" + addr, ClientID: "x"})
		cancel()
		says(t, err, "did not answer in time")
	}
}

// TestFlood is of a broker that does not wait for acknowledgements, and of a
// handler that stands still.
func TestFlood(t *testing.T) {
	goroutines(t)
	payload := make([]byte, 100<<10)
	f := newFake(t, welcome, func(conn net.Conn, p packets.ControlPacket) bool {
		s, ok := p.(*packets.SubscribePacket)
		if !ok {
			return true
		}
		if _, err := conn.Write([]byte{0x90, 3, byte(s.MessageID >> 8), byte(s.MessageID), 1}); err != nil {
			return false
		}
		m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		m.TopicName, m.Qos, m.Payload = "a", 1, payload
		for m.MessageID = 1; ; m.MessageID++ {
			if m.Write(conn) != nil {
				return false
			}
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := dial(t, mqtt.Options{Broker: f.url()})
	hold := make(chan struct{})
	if err := c.Subscribe(within(t), "a", 1, func(mqtt.Incoming) { <-hold }); err != nil && !errors.Is(err, mqtt.ErrLost) {
		t.Fatal(err)
	}
	receive(t, c.Closed(), "the end")
	runtime.ReadMemStats(&after)
	close(hold)
	says(t, c.Err(), "64 MiB", "max_inflight_messages")
	if grown := int64(after.Sys) - int64(before.Sys); grown > 400<<20 {
		t.Errorf("%d MiB of memory for a flood", grown>>20)
	}
}

// TestWhatCameBeforeTheEndIsHandled: an answer counts, though the connection
// that brought it has ended.
func TestWhatCameBeforeTheEndIsHandled(t *testing.T) {
	goroutines(t)
	const n = 50
	f := newFake(t, welcome, func(conn net.Conn, p packets.ControlPacket) bool {
		s, ok := p.(*packets.SubscribePacket)
		if !ok {
			return true
		}
		text := []byte{0x90, 3, byte(s.MessageID >> 8), byte(s.MessageID), 1}
		for i := range n {
			text = append(text, 0x32, 6, 0, 1, 'a', 0, byte(i+1), byte(i))
		}
		_, _ = conn.Write(text)
		return false
	})
	c := dial(t, mqtt.Options{Broker: f.url()})
	came := make(chan byte, n)
	err := c.Subscribe(within(t), "a", 1, func(m mqtt.Incoming) {
		<-c.Closed()
		came <- m.Payload[0]
	})
	if err != nil && !errors.Is(err, mqtt.ErrLost) {
		t.Fatal(err)
	}
	for i := range n {
		if got := receive(t, came, "a message"); int(got) != i {
			t.Fatalf("message %d is %d", i, got)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for words, o := range map[string]mqtt.Options{
		"client ID":      {},
		"key go tog":     {ClientID: "x", CertFile: "a"},
		"whole seconds":  {ClientID: "x", KeepAlive: 1500 * time.Millisecond},
		"will: message":  {ClientID: "x", Will: &mqtt.Message{Topic: "a", Payload: make([]byte, 70000)}},
		"is no topic":    {ClientID: "x", Will: &mqtt.Message{Topic: "a/#"}},
		"quality of ser": {ClientID: "x", Will: &mqtt.Message{Topic: "a", QoS: 2}},
	} {
		o.Broker = "mqtt://127.0.0.1:1"
		_, err := mqtt.Dial(within(t), o)
		says(t, err, words)
	}
	f := newFake(t, welcome, swallow)
	c := dial(t, mqtt.Options{Broker: f.url(), ClientID: "x"})
	for _, topic := range []string{"", "a/+", "#", "a\x00b", "\xff"} {
		says(t, c.Publish(within(t), mqtt.Message{Topic: topic}), "is no topic")
	}
	for _, filter := range []string{"", "a#", "#/a", "a/b+", "$share", "$share/a", "$share//a", "$share/a+/b", "$share/g/", "a\x00"} {
		says(t, c.Subscribe(within(t), filter, 1, nil), "is no filter")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := mqtt.Backoff{Random: func() float64 { return 0.999 }}
	for i, top := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		top *= time.Second
		if got := b.Next(); got > top || got < top*99/100 {
			t.Errorf("wait %d is %v, want about %v", i, got, top)
		}
	}
	b.Reset()
	if got := b.Next(); got > time.Second {
		t.Errorf("after a success: %v", got)
	}
	b.Random = func() float64 { return 0 }
	if got := b.Next(); got < 50*time.Millisecond {
		t.Errorf("shortest: %v", got)
	}
	var fresh mqtt.Backoff
	seen := map[time.Duration]bool{}
	for range 20 {
		fresh.Reset()
		seen[fresh.Next()] = true
	}
	if len(seen) < 10 {
		t.Errorf("only %d different waits", len(seen))
	}
}
