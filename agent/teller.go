package agent

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/probes"
)

const (
	// An error that goes on is told again after so long.
	tellAgain = 2 * time.Hour
	// The points about endpoints: each is billed.
	statusInterval = 5 * time.Minute
	// So many log records at once; the rest follows with the next rounds.
	mostRecords = 200
	// A configuration's change is told once it has lasted for so many rounds, so
	// that a lost datagram is none.
	steadyRounds = 2
)

// statusTeller tells the environment how endpoints and configurations fare:
// points of the state, a log record when an endpoint fails, each two hours while
// it goes on and when it is well again, an event when a configuration changes.
// What it has told is kept in memory: after a start it is told anew.
type statusTeller struct {
	round          uint64
	constants      *[]probes.Dimension
	endpoints      map[endpointKey]*toldEndpoint
	configurations map[string]*toldConfiguration
	records        int // of this round
}

type endpointKey struct{ config, device, label string }

type toldEndpoint struct {
	round  uint64
	bad    probes.Status // as a record told it; "": it is well
	badAt  time.Duration // uptime of that record
	series *probes.Series
	shown  probes.Status // of series
	at     time.Duration // uptime of the last point
}

type toldConfiguration struct {
	round  uint64
	told   string // status; "": nothing was told yet
	now    string
	rounds int // that it has been so
}

// tell makes one round.
func (s *statusTeller) tell(out *selfPoints, entries []entryState, tasks []taskState, constants *[]probes.Dimension) (b probes.Batch) {
	if s.endpoints == nil {
		s.endpoints, s.configurations = map[endpointKey]*toldEndpoint{}, map[string]*toldConfiguration{}
	}
	if s.constants != constants {
		s.constants = constants
		for _, k := range s.endpoints {
			k.series = nil
		}
	}
	s.round++
	s.records = 0
	all := endpointsOf(tasks)
	for _, e := range entries {
		for _, x := range all[e.Name] {
			known := s.of(endpointKey{x.Config, x.Device, x.Label})
			if r, ok := s.news(known, e, x, out.stamp); ok {
				b.Records = append(b.Records, r)
			}
			s.point(out, known, e, x)
		}
		c := configurationStatus(e, all[e.Name])
		if event, ok := s.change(e, c, out.stamp); ok {
			b.Events = append(b.Events, event)
		}
	}
	s.forget()
	return b
}

func (s *statusTeller) of(key endpointKey) *toldEndpoint {
	k := s.endpoints[key]
	if k == nil {
		k = &toldEndpoint{}
		s.endpoints[key] = k
	}
	k.round = s.round
	return k
}

// forget drops what is no longer configured.
func (s *statusTeller) forget() {
	for key, k := range s.endpoints {
		if k.round != s.round {
			delete(s.endpoints, key)
		}
	}
	for name, k := range s.configurations {
		if k.round != s.round {
			delete(s.configurations, name)
		}
	}
}

// news is the log record about an endpoint, where there is something to tell.
func (s *statusTeller) news(k *toldEndpoint, e entryState, x endpoint, now probes.Stamp) (probes.Record, bool) {
	word := ""
	switch sev := severity(x.Status); {
	case sev == 0, sev == 1 && k.bad == "":
		return probes.Record{}, false
	case sev == 1:
		word = "RECOVERED"
	case k.bad != x.Status:
		word = "NEW"
	case now.Uptime-k.badAt >= tellAgain:
		word = "ONGOING"
	default:
		return probes.Record{}, false
	}
	if s.records == mostRecords {
		return probes.Record{}, false
	}
	s.records++
	k.bad, k.badAt = x.Status, now.Uptime
	if word == "RECOVERED" {
		k.bad = ""
	}
	text := fmt.Sprintf("%s: [%s] - %s", x.Label, word, x.Status)
	if x.Message != "" {
		text += " " + x.Message
	}
	attributes := e.attributes(string(x.Status))
	if x.Device != "" {
		attributes = append(attributes, probes.Dimension{Key: "device.address", Value: e.address(x)})
	}
	return probes.Record{
		Stamp: now, Severity: [...]string{"INFO", "INFO", "WARN", "ERROR"}[severity(x.Status)], Content: text, Attributes: attributes,
	}, true
}

// attributes are those that the vendor's own tools give such a record.
func (e entryState) attributes(status string) []probes.Dimension {
	name, version := e.extensionName()
	var out []probes.Dimension
	for _, d := range []probes.Dimension{
		{Key: "dt.extension.name", Value: name},
		{Key: "dt.extension.version", Value: version},
		{Key: "dt.extension.config.id", Value: e.Name},
		{Key: "dt.extension.ds", Value: strings.Join(e.Sources, ",")},
		{Key: "dt.extension.status", Value: status},
	} {
		if d.Value != "" {
			out = append(out, d)
		}
	}
	return out
}

// point makes a marker of 1 with the status as a dimension, the way vendor
// packages send states: each five minutes, and at once when it changes.
func (s *statusTeller) point(out *selfPoints, k *toldEndpoint, e entryState, x endpoint) {
	same := k.shown == x.Status
	if severity(x.Status) == 0 || same && out.stamp.Uptime-k.at < statusInterval {
		return
	}
	if k.series == nil || !same {
		k.series, k.shown = s.series(e, x), x.Status
	}
	k.at = out.stamp.Uptime
	out.add(k.series, probes.Int(1))
}

func (s *statusTeller) series(e entryState, x endpoint) *probes.Series {
	var dims []probes.Dimension
	if s.constants != nil {
		dims = append(dims, *s.constants...)
	}
	name, _ := e.extensionName()
	return probes.NewSeries("edgehold.endpoint.status", probes.Gauge, append(dims,
		probes.Dimension{Key: "status", Value: string(x.Status)},
		probes.Dimension{Key: "endpoint", Value: x.Label},
		probes.Dimension{Key: "device.address", Value: e.address(x)},
		probes.Dimension{Key: "configuration", Value: e.Name},
		probes.Dimension{Key: "extension", Value: name})...)
}

// change is the event of a configuration whose status has changed and stays so.
// What a signature has to do with is told elsewhere.
func (s *statusTeller) change(e entryState, c control.Configuration, now probes.Stamp) (probes.Event, bool) {
	k := s.configurations[e.Name]
	if k == nil {
		k = &toldConfiguration{}
		s.configurations[e.Name] = k
	}
	k.round = s.round
	if k.rounds++; k.now != c.Status {
		k.now, k.rounds = c.Status, 1
	}
	well := c.Status == string(probes.StatusOK) || c.Status == string(probes.StatusIdle)
	switch {
	case c.Status == string(probes.StatusPending), k.rounds < steadyRounds, k.told == c.Status:
		return probes.Event{}, false
	case e.refusal() != nil:
		k.told = ""
		return probes.Event{}, false
	case well && k.told == "":
		k.told = c.Status
		return probes.Event{}, false
	}
	before := cmp.Or(k.told, string(probes.StatusPending))
	k.told = c.Status
	event := probes.Event{
		Type: "CUSTOM_INFO", Title: fmt.Sprintf("Configuration %s: %s", e.Name, c.Status), Start: now, End: now,
		Properties: append(e.attributes(c.Status),
			probes.Dimension{Key: "edgehold.status.before", Value: before},
			probes.Dimension{Key: "edgehold.endpoints", Value: fmt.Sprintf("OK: %d WARNING: %d ERROR: %d", c.OK, c.Warning, c.Error)}),
	}
	if severity(probes.Status(c.Status)) == 3 && !well {
		event.Type = "ERROR_EVENT"
	}
	return record.FitEvent(event), true
}
