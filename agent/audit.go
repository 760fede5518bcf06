package agent

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/privacy"
	"github.com/edgehold/edgehold/probes"
)

// Where the agent's own events come from, for an audit. Packages and probes are
// named as in status.
const (
	fromOutages   = "edgehold: outages"
	fromDiscovery = "edgehold: discovery"
)

// tell takes in events and log records: with the constants, and without what
// the privacy policy keeps back.
func (a *Agent) tell(from string, b probes.Batch) {
	if len(b.Events)+len(b.Records) == 0 {
		return
	}
	constants, policy := a.constants.Load(), a.policy.Load()
	var ready probes.Batch
	for _, e := range b.Events {
		e.Properties = withConstants(e.Properties, constants)
		ready.Events = append(ready.Events, policy.Event(e))
	}
	for _, r := range b.Records {
		r.Attributes = withConstants(r.Attributes, constants)
		ready.Records = append(ready.Records, policy.Record(r))
	}
	if c := a.meter.Running(); c != nil {
		c.Entries(from, ready.Events, ready.Records)
	}
	a.store.EnqueueEntries(entriesOf(ready, nil, a.time))
}

// lastLook is for the event of an outage, which the store takes in another way.
func (a *Agent) lastLook(e probes.Event) probes.Event {
	e = a.policy.Load().Event(e)
	if c := a.meter.Running(); c != nil {
		c.Entries(fromOutages, []probes.Event{e}, nil)
	}
	return e
}

// audited shows points to the audit that runs, if one does.
func (a *Agent) audited(from string, points []probes.Point) {
	if c := a.meter.Running(); c != nil {
		c.Points(from, points)
	}
}

// setPolicy takes up the privacy policy of cfg.
func (a *Agent) setPolicy(cfg *config.Config) {
	old := a.policy.Load()
	policy := policyOf(cfg, old)
	a.policy.Store(policy)
	if policy != nil && policy != old {
		a.log.Info().Str("file", cfg.Privacy.File).Int("rules", len(cfg.Privacy.Rules)).
			Msg("privacy policy in force; points that are held from before are not changed")
	}
}

// policyOf is the privacy policy of a configuration, nil for none: old where
// that says the same, with what it knows.
func policyOf(cfg *config.Config, old *privacy.Policy) *privacy.Policy {
	rules, salt := PrivacyRules(cfg), []byte(cfg.Privacy.Salt.Reveal())
	switch {
	case len(rules) == 0:
		return nil
	case old.Same(rules, salt):
		return old
	}
	return privacy.New(rules, salt)
}

// PrivacyRules are the rules of the privacy policy of a configuration.
func PrivacyRules(cfg *config.Config) (rules []privacy.Rule) {
	for _, r := range cfg.Privacy.Rules {
		rule := privacy.Rule{Dimension: r.Dimension, Metric: r.Metric, Action: privacy.Drop, Where: r.Where}
		if r.Action == "hash" {
			rule.Action = privacy.Hash
		}
		rules = append(rules, rule)
	}
	return rules
}

// audits are the audits of what leaves.
func (a *Agent) audits() *egress.Audits {
	return &egress.Audits{Meter: &a.meter, Sensitive: sensitive, Complete: a.complete}
}

// sensitive tells why values of a dimension are not shown in an audit. One that
// holds those of another is as sensitive.
func sensitive(key string) (reason string, ok bool) {
	for _, k := range append([]string{key}, privacy.Repeats(key)...) {
		if reason, ok = extension.Sensitive(k); ok {
			return reason, true
		}
	}
	return "", false
}

// complete adds to an audit what the agent knows at its end.
func (a *Agent) complete(r *egress.Report) {
	a.mu.Lock()
	cfg := a.cfg
	a.mu.Unlock()
	r.Site = cfg.Site
	configuredDestinations(r, cfg)
	r.Policy = policyReport(cfg.Privacy.File, a.policy.Load())
	r.Notes = append(r.Notes,
		"metrics, events and records are those that were handed over to be sent while the audit ran; the uplink sends them, and what was held before, when it can",
		"bytes are the payload of TCP and UDP, encryption included; headers of TCP, UDP and IP come on top",
		"this is about the agent; commands such as `edgehold snmp discover` or `edgehold ext upload` reach the network by themselves")
	if _, _, state := a.uplink.State(); state.UpSince.IsZero() {
		r.Notes = append(r.Notes, "the uplink is down: what it will send is held until it is up")
	}
	if b := a.store.Account().Buffered; b > 0 && r.Policy != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%d points are held; any among them from before the privacy policy leave as they are", b))
	}
}

// configuredDestinations lists the uplink and the time servers also where nothing
// went to them while the audit ran.
func configuredDestinations(r *egress.Report, cfg *config.Config) {
	for _, server := range cfg.Clock.NTP {
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			host, port = strings.Trim(server, "[]"), "123"
		}
		r.Configured(egress.NTP, "udp", host, port)
	}
	for _, broker := range cfg.Uplink.MQTT.Brokers {
		if to, err := url.Parse(broker); err == nil && cfg.Uplink.Kind == kindMQTT {
			r.Configured(egress.Uplink, "tcp", to.Hostname(), to.Port())
		}
	}
	to, err := url.Parse(cfg.Uplink.URL)
	if err != nil || to.Hostname() == "" {
		return
	}
	if choose, err := drain.ProxyFunc(cfg.Uplink.Proxy); err == nil {
		if proxy, err := choose(&http.Request{URL: to}); err == nil && proxy != nil {
			to = proxy
		}
	}
	ports := map[string]string{"https": "443", "http": "80", "socks5": "1080", "socks5h": "1080"}
	r.Configured(egress.Uplink, "tcp", to.Hostname(), cmp.Or(to.Port(), ports[to.Scheme]))
}

func policyReport(file string, p *privacy.Policy) *egress.Policy {
	if p == nil {
		return nil
	}
	out := &egress.Policy{File: file, Rules: []egress.PolicyRule{}, Folded: p.Folded()}
	for i, r := range p.Rules() {
		out.Rules = append(out.Rules, egress.PolicyRule{Where: r.Where, Text: r.Text(), Matched: p.Matched(i)})
	}
	return out
}
