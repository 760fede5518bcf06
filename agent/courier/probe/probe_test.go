package probe_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/courier/probe"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
)

// options are those of a test against a broker on this machine.
func options(url string) probe.Options {
	return probe.Options{
		MQTT: mqtt.Options{Broker: url, ClientID: "probe"}, Site: "site-1", BlockSize: 16 << 10, Blocks: 300, Bytes: 8 << 20,
		Time: time.Minute, Patience: time.Second,
	}
}

func try(t *testing.T, o probe.Options) *probe.Report {
	t.Helper()
	r, err := probe.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check finds a check and wants its status, and the words in what it says.
func check(t *testing.T, r *probe.Report, name, status string, words ...string) {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name != name {
			continue
		}
		if c.Status != status {
			t.Errorf("%s: %s, want %s: %s; %s", name, c.Status, status, c.Found, c.Mend)
		}
		for _, w := range words {
			if !strings.Contains(c.Found+"\n"+c.Mend, w) {
				t.Errorf("%s: no %q in: %s; %s", name, w, c.Found, c.Mend)
			}
		}
		return
	}
	t.Errorf("no check %s in %+v", name, r.Checks)
}

func TestE2EGoodBroker(t *testing.T) {
	t.Parallel()
	b := mqtttest.Start(t, mqtttest.Options{Lines: []string{
		"max_queued_messages 20000", "max_packet_size 262144", "max_inflight_messages 100", "message_size_limit 131072",
	}})
	r := try(t, options(b.URL()))
	for _, name := range []string{"connect", "rights", "size", "flow", "round trip", "queue", "retained", "shared", "half-open"} {
		check(t, r, name, probe.OK)
	}
	check(t, r, "relay", probe.Skipped, "no relay is online")
	if r.Failed() || r.LargestOK != wire.MaxBlock || r.TooLarge != 0 || r.Lost != 0 || r.Twice != 0 || r.Queued != 300 || r.QueueCame != 300 || r.Unacked != 100 {
		t.Errorf("%+v", r)
	}
	if r.TripMS.Median <= 0 || r.TripMS.P99 < r.TripMS.Median || r.BytesPerS <= 0 || r.NoticedMS <= 0 || r.Persistent != nil {
		t.Errorf("%+v", r)
	}
	if r.Bytes > 9<<20 {
		t.Errorf("%d bytes were sent", r.Bytes)
	}
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `"largest_ok_bytes":122880`) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestE2EBadBrokers are brokers with limits that sites would run into.
func TestE2EBadBrokers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		only  []string
		lines []string
		acl   string
		check func(*testing.T, *probe.Report)
	}{
		{"packets", []string{"size"}, []string{"max_packet_size 40000"}, "", func(t *testing.T, r *probe.Report) {
			check(t, r, "size", probe.Warning, "blocks of 36 KiB come", "max_packet_size 262144")
			if r.LargestOK > 40000 || r.TooLarge < 40000 || r.TooLarge-r.LargestOK > 4<<10 {
				t.Errorf("%d comes, %d does not", r.LargestOK, r.TooLarge)
			}
		}},
		{"small packets", []string{"size"}, []string{"max_packet_size 10000"}, "", func(t *testing.T, r *probe.Report) {
			check(t, r, "size", probe.Failed, "max_packet_size 262144", "uplink.mqtt.block_size")
		}},
		{"silent size", []string{"size"}, []string{"message_size_limit 10000"}, "", func(t *testing.T, r *probe.Report) {
			check(t, r, "size", probe.Failed, "acknowledges them and throws them away", "remove message_size_limit")
		}},
		{"queue", []string{"queue"}, []string{"max_queued_messages 100", "max_inflight_messages 20"}, "", func(t *testing.T, r *probe.Report) {
			check(t, r, "queue", probe.Failed, "of 300 blocks", "max_queued_messages 20000", "no point is lost")
			if r.Unacked != 20 || r.QueueCame < 100 || r.QueueCame > 140 || r.Lost != 300-r.QueueCame {
				t.Errorf("%+v", r)
			}
		}},
		{"nothing retained", []string{"retained"}, []string{"retain_available false"}, "", func(t *testing.T, r *probe.Report) {
			check(t, r, "retained", probe.Failed)
		}},
		{"no rights", nil, nil, "pattern write edgehold/v1/site-1/up/#\n", func(t *testing.T, r *probe.Report) {
			check(t, r, "rights", probe.Failed, "pattern readwrite edgehold/v1/%u/probe", "site-1")
			if len(r.Checks) != 2 {
				t.Errorf("%+v", r.Checks)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Start(t, mqtttest.Options{Lines: tc.lines, ACL: tc.acl})
			o := options(b.URL())
			o.Only = tc.only
			tc.check(t, try(t, o))
		})
	}
}

// TestE2ERabbitMQ is what RabbitMQ's plugin does, as the manual says.
func TestE2ERabbitMQ(t *testing.T) {
	if testing.Short() {
		t.Skip("RabbitMQ takes 10 s to start")
	}
	t.Parallel()
	r := try(t, options(mqtttest.StartRabbit(t).URL()))
	for _, name := range []string{"rights", "size", "flow", "queue", "half-open"} {
		check(t, r, name, probe.OK)
	}
	check(t, r, "retained", probe.Failed, "not found with a wildcard")
	check(t, r, "shared", probe.Failed, "$share")
}

// TestE2ERelayAnswers is with a relay that acknowledges, and one that is mute.
func TestE2ERelayAnswers(t *testing.T) {
	t.Parallel()
	b := mqtttest.Start(t, mqtttest.Options{Lines: []string{"max_queued_messages 20000"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	relay, err := mqtt.Dial(ctx, mqtt.Options{Broker: b.URL(), ClientID: "hub-1"})
	if err != nil {
		t.Fatal(err)
	}
	var topics wire.Topics
	mute := make(chan bool, 1)
	mute <- false
	err = relay.Subscribe(ctx, "$share/edgehold/"+topics.AllUp(), 1, func(m mqtt.Incoming) {
		silent := <-mute
		mute <- silent
		h, err := wire.ParseHeader(m.Payload)
		if err != nil || h.Kind != wire.Probe || silent {
			return
		}
		ack := wire.Ack{Epoch: wire.FormatEpoch(h.Epoch), Seq: wire.Ranges([]uint64{h.Seq}), Status: wire.StatusStored}
		text, _ := json.Marshal(wire.Down{Relay: "hub-1", Store: wire.FormatEpoch(1), Acks: []wire.Ack{ack}})
		_ = relay.Publish(ctx, mqtt.Message{Topic: topics.Down(h.Site), Payload: text, QoS: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(wire.RelayState{State: wire.StateOnline, Store: wire.FormatEpoch(1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Publish(ctx, mqtt.Message{Topic: topics.RelayState("hub-1"), Payload: state, QoS: 1, Retain: true}); err != nil {
		t.Fatal(err)
	}
	o := options(b.URL())
	o.Only = []string{"relay"}
	r := try(t, o)
	check(t, r, "relay", probe.OK, "hub-1 acknowledged 20 blocks")
	if r.Relays != 1 || r.RelayMS.Median <= 0 {
		t.Errorf("%+v", r)
	}
	<-mute
	mute <- true
	r = try(t, o)
	check(t, r, "relay", probe.Failed, "0 of 20", "edgehold/v1/site-1/down")
	if err := relay.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestE2ERestart is a broker that somebody restarts.
func TestE2ERestart(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		t.Run(map[bool]string{true: "persistence", false: "none"}[keeps], func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Start(t, mqtttest.Options{Persistence: keeps, Lines: []string{"max_queued_messages 20000"}})
			o := options(b.URL())
			o.Restart, o.Only = true, []string{}
			asked := make(chan struct{}, 1)
			o.Tell = func(text string) {
				if text == "restart the broker now" {
					asked <- struct{}{}
				}
			}
			done := make(chan *probe.Report, 1)
			go func() {
				r, err := probe.Run(t.Context(), o)
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			<-asked
			b.Stop()
			b.Start()
			r := <-done
			check(t, r, "restart", probe.OK, "tell their states anew")
			if r.Persistent == nil || *r.Persistent != keeps {
				t.Errorf("persistent %v", r.Persistent)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	_, err := probe.Run(t.Context(), options("mqtt://127.0.0.1:1"))
	if err == nil || !strings.Contains(err.Error(), "nothing listens there") {
		t.Error(err)
	}
}
