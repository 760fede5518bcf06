package main_test

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// newHub makes the folder of a relay.
func newHub(t *testing.T, url, broker string, more ...string) *site {
	t.Helper()
	h := newSite(t)
	h.verb = "relay"
	relay := fmt.Sprintf("relay:\n  id: hub-1\n  mqtt: {brokers: [%q]}\n", broker)
	for _, line := range more {
		relay += line
	}
	h.yaml(url, relay)
	return h
}

// A site polls a switch and knows nobody but a broker; a relay takes its points
// to the environment. Both are stopped and started, and show what they are.
func TestSiteBehindRelay(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	env := newEnvironment(t)
	hub := newHub(t, env.URL(), broker.URL())
	hub.start()
	s := newSite(t)
	sw := newSwitch(t, "127.0.0.1", goodCommunity)
	s.file("edgehold.yaml", fmt.Sprintf(`site: plant-7
state_dir: state
socket: control.sock
uplink:
  mqtt: {brokers: [%q]}
clock: {ntp: [%q]}
buffer: {commit_interval: 1s}
credentials:
  good: {community_file: community}
probes:
`, broker.URL(), serveTime(t))+polled("1s", sw.Addr()))
	s.start()
	eventually(t, "points of the site at the environment", func() bool {
		return len(linesOf(t, env, func(l draintest.Line) bool { return dim(l, "site") == "plant-7" })) > 50
	})
	st := hub.await("the site in the status of the relay", func(st control.Status) bool {
		return len(st.Hub.Sites) == 1 && st.Hub.Sites[0].State == "online" && st.Hub.Sites[0].Account.Delivered > 0
	})
	if x := st.Hub.Sites[0]; x.Site != "plant-7" || x.LastSeen.IsZero() || x.Config == "" || st.Hub.ID != "hub-1" || len(st.Alarms) > 0 {
		t.Errorf("site %+v, alarms %q", x, st.Alarms)
	}
	edgehold(t, "relay", "sites", "--config", hub.config).mustSay(t, 0, "plant-7", "online")
	edgehold(t, "status", "--config", hub.config).mustSay(t, 0, "relay    hub-1, online", "connected for", "1 online")
	edgehold(t, "buffer", "verify", "--quiet", "--config", hub.config).mustSay(t, 0, "good")
	edgehold(t, "buffer", "stat", "--config", hub.config).mustSay(t, 0, "relay.db")
	edgehold(t, "dead-letter", "retry", "--all", "--config", hub.config).mustSay(t, 0)
	edgehold(t, "relay", "sites", "--config", s.config).mustSay(t, 1, "agent of a site")
	edgehold(t, "reload", "--config", hub.config).mustSay(t, 0, "reloaded")
	var sites []control.HubSite
	if err := json.Unmarshal([]byte(edgehold(t, "relay", "sites", "--json", "--config", hub.config).out), &sites); err != nil || len(sites) != 1 {
		t.Errorf("%+v, %v", sites, err)
	}
	edgehold(t, "relay", "lost", "hub-1", "--config", hub.config).mustSay(t, 2, "--yes")
	edgehold(t, "relay", "lost", "hub-1", "--yes", "--config", hub.config).mustSay(t, 1, "is online")
	s.agent.end(syscall.SIGTERM)
	hub.await("the site has stopped", func(st control.Status) bool { return st.Hub.Sites[0].State == "stopped" })
	hub.agent.end(syscall.SIGTERM)
	edgehold(t, "relay", "lost", "hub-1", "--yes", "--config", hub.config).mustSay(t, 0, "hub-1", "is lost")
	if c := env.Counts(); c.Refused > 0 || c.Lines != c.Distinct {
		t.Errorf("%d lines refused, %d of %d arrived twice", c.Refused, c.Lines-c.Distinct, c.Lines)
	}
}

// Each of the two daemons says what to do with the configuration of the other.
func TestConfigurationOfTheOtherDaemon(t *testing.T) {
	hub := newHub(t, "http://127.0.0.1:1", "mqtt://127.0.0.1:1")
	edgehold(t, "run", "--config", hub.config).mustSay(t, 78, "relay: given", "edgehold relay")
	s := newSite(t)
	s.yaml("http://127.0.0.1:1")
	edgehold(t, "relay", "--config", s.config).mustSay(t, 78, "relay: missing", "edgehold run")
}
