package mqtt_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/proxytest"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/probes"
)

// TestE2ERabbit is what a second kind of broker has in common with mosquitto.
func TestE2ERabbit(t *testing.T) {
	if testing.Short() {
		t.Skip("RabbitMQ takes 10 s to start")
	}
	t.Parallel()
	broker := mqtttest.StartRabbit(t)
	relay := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "relay", ManualAck: true})
	came := make(chan mqtt.Incoming, 1000)
	if err := relay.Subscribe(within(t), "p/v1/+/up/+", 1, func(m mqtt.Incoming) { came <- m }); err != nil {
		t.Fatal(err)
	}
	watch := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "watch"})
	states := collect(t, watch, "p/v1/+/state")
	link := proxytest.New(t, broker.Addr(), 1)
	will := mqtt.Message{Topic: "p/v1/s/state", Payload: []byte("lost"), QoS: 1}
	site := dial(t, mqtt.Options{Broker: "mqtt://" + link.Addr(), ClientID: "site", Will: &will})
	const n = 50
	for i := range n {
		publish(t, site, mqtt.Message{Topic: "p/v1/s/up/3", Payload: append([]byte{byte(i)}, make([]byte, 64<<10)...), QoS: 1})
	}
	for i := range n {
		m := receive(t, came, "message "+strconv.Itoa(i))
		if m.Payload[0] != byte(i) || len(m.Payload) != 64<<10+1 || m.Topic != "p/v1/s/up/3" {
			t.Fatalf("message %d is %d, %d bytes, %s", i, m.Payload[0], len(m.Payload), m.Topic)
		}
		if waiting := len(came); waiting > 20 {
			t.Errorf("%d came without an acknowledgement", waiting)
		}
		m.Ack()
	}
	publish(t, site, mqtt.Message{Topic: "p/v1/s/keep", Payload: []byte("kept"), QoS: 1, Retain: true})
	if got := receive(t, collect(t, watch, "p/v1/s/keep"), "the retained message"); got != "kept" {
		t.Errorf("retained: %s", got)
	}
	link.Cut(proxytest.RST)
	if got := receive(t, states, "the will"); got != "lost" {
		t.Errorf("will: %s", got)
	}
	wrong := func() (probes.Secret, error) { return probes.NewSecret("wrong"), nil }
	_, err := mqtt.Dial(within(t), mqtt.Options{Broker: broker.URL(), ClientID: "x", User: mqtttest.RabbitUser, Password: wrong})
	if !errors.Is(err, mqtt.ErrRefused) {
		t.Errorf("wrong password: %v", err)
	}
	if err := relay.Close(within(t)); err != nil {
		t.Error(err)
	}
}
