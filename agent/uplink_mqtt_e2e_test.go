package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/probes"
)

// TestE2EUplinkOverMQTT runs an agent whose points go over a broker to
// something that answers as a relay does.
func TestE2EUplinkOverMQTT(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	hub, err := mqtt.Dial(ctx, mqtt.Options{Broker: broker.URL(), ClientID: "hub-1", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	topics := wire.Topics{}
	say := func(topic string, retain bool, what any) {
		payload, _ := json.Marshal(what)
		if err := hub.Publish(ctx, mqtt.Message{Topic: topic, Payload: payload, QoS: 1, Retain: retain}); err != nil {
			t.Error(err)
		}
	}
	err = hub.Subscribe(ctx, topics.AllUp(), 1, func(in mqtt.Incoming) {
		h, err := wire.ParseHeader(in.Payload)
		if err != nil {
			t.Error(err)
			return
		}
		ack := wire.Ack{Epoch: wire.FormatEpoch(h.Epoch), Seq: []wire.Range{{h.Seq, h.Seq}}, Status: wire.StatusDelivered}
		say(topics.Down(h.Site), false, wire.Down{Relay: "hub-1", Store: "00000000000000aa", Acks: []wire.Ack{ack}})
	})
	if err != nil {
		t.Fatal(err)
	}
	say(topics.RelayState("hub-1"), true, wire.RelayState{State: wire.StateOnline, Store: "00000000000000aa", Version: "9.9"})

	dir := t.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	text := fmt.Sprintf("site: plant-7\nstate_dir: %s\nsocket: %s\nuplink:\n  mqtt: {brokers: [%q]}\nbuffer: {commit_interval: 0s}\n", dir, filepath.Join(dir, "s"), broker.URL())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	if err := a.time.Offer(clock.Reading{Source: clock.NTP, Time: time.Now(), Uptime: a.time.Now().Uptime, Error: time.Second, Verified: true}); err != nil && !a.time.Trusted() {
		t.Fatal(err)
	}
	point := probes.Point{Series: probes.NewSeries("a", probes.Gauge), Value: probes.Int(1), Stamp: a.time.Now()}
	if err := a.store.Append(ctx, []probes.Point{point}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for a.store.Account().Delivered == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("nothing was delivered: %+v", a.Status().Uplink)
		}
	}
	u := a.Status().Uplink
	if u.Kind != "mqtt" || u.URL != broker.URL() || u.Relay == nil || !u.Relay.Connected || u.BytesWire == 0 ||
		len(u.Relay.Relays) != 1 || u.Relay.Relays[0].Version != "9.9" {
		t.Errorf("%+v, relay %+v", u, u.Relay)
	}
	if err := a.Reload(ctx); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := hub.Close(ctx); err != nil {
		t.Error(err)
	}
}
