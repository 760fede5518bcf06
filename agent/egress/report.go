package egress

import (
	"fmt"
	"net"
	"net/netip"
	"sort"
	"time"
)

// Report is what an audit has found. Its JSON keys are stable.
type Report struct {
	Site         string        `json:"site"`
	From         time.Time     `json:"from"`
	To           time.Time     `json:"to"`
	Early        bool          `json:"ended_early"`
	Destinations []Destination `json:"destinations"` // by purpose, then by what went there
	Sources      []Source      `json:"sources"`      // by name
	Policy       *Policy       `json:"policy"`       // null: there is none
	NeverSent    []string      `json:"never_sent"`
	Notes        []string      `json:"notes"` // what a reader has to know of the above
}

// Destination is what went to one address for one purpose. Bytes are those of
// the payload of TCP and UDP, TLS included.
type Destination struct {
	Purpose      string `json:"purpose"`
	Protocol     string `json:"protocol"` // tcp, udp, icmp
	Address      string `json:"address"`  // ADDRESS:PORT, ADDRESS of icmp; "" of a name that nothing went to, and so was not looked up
	Name         string `json:"name"`     // that led there, "" for none
	BytesOut     int64  `json:"bytes_out"`
	BytesIn      int64  `json:"bytes_in"`
	Attempts     int64  `json:"attempts"`    // to connect
	Connections  int64  `json:"connections"` // that carried something, also when they were open before
	DatagramsOut int64  `json:"datagrams_out"`
	DatagramsIn  int64  `json:"datagrams_in"`
}

func (d *Destination) add(more Destination) {
	d.BytesOut += more.BytesOut
	d.BytesIn += more.BytesIn
	d.Attempts += more.Attempts
	d.Connections += more.Connections
	d.DatagramsOut += more.DatagramsOut
	d.DatagramsIn += more.DatagramsIn
}

// Configured adds a destination that is configured, of which the audit has seen
// nothing.
func (r *Report) Configured(purpose, protocol, host, port string) {
	d := Destination{Purpose: purpose, Protocol: protocol, Name: host}
	if _, err := netip.ParseAddr(host); err == nil {
		d.Address, d.Name = net.JoinHostPort(host, port), ""
	}
	for _, seen := range r.Destinations {
		if seen.Purpose == purpose && (d.Name != "" && seen.Name == d.Name || d.Name == "" && seen.Address == d.Address) {
			return
		}
	}
	r.Destinations = append(r.Destinations, d)
	sort.Slice(r.Destinations, func(i, j int) bool { return r.Destinations[i].before(&r.Destinations[j]) })
}

// Source is what one package or probe has handed over to be sent.
type Source struct {
	Name       string      `json:"name"`
	Points     int64       `json:"points"`
	Events     int64       `json:"events"`
	Records    int64       `json:"records"`
	Metrics    []Metric    `json:"metrics"`
	Dimensions []Dimension `json:"dimensions"`
}

// Metric is one metric of a source.
type Metric struct {
	Key    string `json:"key"`
	Type   string `json:"type"` // gauge, count
	Points int64  `json:"points"`
}

// Dimension is one dimension, property or attribute of a source.
type Dimension struct {
	Key      string   `json:"key"`
	In       []string `json:"in"`       // metrics, events, records
	Examples []string `json:"examples"` // none where Redacted says why
	Redacted string   `json:"redacted"` // why no value is shown here; they are sent all the same
}

// Policy is what the privacy policy has done since it was loaded.
type Policy struct {
	File   string       `json:"file"`
	Rules  []PolicyRule `json:"rules"`
	Folded int64        `json:"folded"` // points that were joined with another one, their series having become one
}

// PolicyRule is one rule of the policy.
type PolicyRule struct {
	Where   string `json:"where"` // file:line:column
	Text    string `json:"text"`
	Matched int64  `json:"matched"` // dimensions of series, events and records; 0: it does nothing
}

// neverSent says what does not leave, whatever is configured.
func neverSent() []string {
	return []string{
		"access tokens, but for the one of the uplink, which goes to the uplink's address in the header Authorization; a proxy's password goes to the proxy",
		"SNMP communities and users, but to the devices that they are configured for and, in a discovery, to the addresses that it asks; they stand in no metric, event or record",
		"SNMP pass phrases, private keys, the salt of the privacy policy",
		"the configuration, packages and their files",
		"the log of this agent, and the content of its store beyond points, events and records",
		"anything to Edgehold's makers: there is no telemetry and no look for updates",
	}
}

// address is where a flow goes, without a port where there is none.
func (f flow) address() string {
	if f.to.Port() == 0 {
		return f.to.Addr().String()
	}
	return f.to.String()
}

// report is what was counted so far.
func (c *Collector) report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{From: c.began, To: time.Now(), Destinations: []Destination{}, Sources: []Source{}, NeverSent: neverSent(), Notes: []string{}}
	for f, d := range c.flows {
		one := *d
		one.Purpose, one.Protocol, one.Address, one.Name = f.purpose, f.protocol, f.address(), f.host
		r.Destinations = append(r.Destinations, one)
	}
	sort.Slice(r.Destinations, func(i, j int) bool { return r.Destinations[i].before(&r.Destinations[j]) })
	for name, s := range c.by {
		r.Sources = append(r.Sources, s.report(name))
	}
	sort.Slice(r.Sources, func(i, j int) bool { return r.Sources[i].Name < r.Sources[j].Name })
	r.Notes = append(r.Notes, c.beyond()...)
	return r
}

// beyond tells what an audit could not hold.
func (c *Collector) beyond() (notes []string) {
	if m := c.more; m != (Destination{}) {
		notes = append(notes, fmt.Sprintf("more than %d destinations: %d bytes in %d datagrams and %d attempts to connect went to others than those listed",
			maxDestinations, m.BytesOut, m.DatagramsOut, m.Attempts))
	}
	for _, what := range []string{"sources", "metrics", "dimensions"} {
		if n := c.left[what]; n > 0 {
			notes = append(notes, fmt.Sprintf("there are more %s than are listed (%d times one was left out)", what, n))
		}
	}
	return notes
}

func (d *Destination) before(o *Destination) bool {
	switch {
	case d.Purpose != o.Purpose:
		return rank(d.Purpose) < rank(o.Purpose)
	case d.BytesOut != o.BytesOut:
		return d.BytesOut > o.BytesOut
	case d.Address != o.Address:
		return d.Address < o.Address
	}
	return d.Name < o.Name
}

func rank(purpose string) int {
	for i, p := range [...]string{Uplink, UplinkTime, NTP, DNS, DevicePoll, Discovery} {
		if p == purpose {
			return i
		}
	}
	return -1
}

func (s *source) report(name string) Source {
	out := Source{Name: name, Points: s.points, Events: s.events, Records: s.records, Metrics: []Metric{}, Dimensions: []Dimension{}}
	for k, n := range s.metrics {
		out.Metrics = append(out.Metrics, Metric{k.key, k.typ.String(), n})
	}
	sort.Slice(out.Metrics, func(i, j int) bool { return out.Metrics[i].Key < out.Metrics[j].Key })
	for key, d := range s.dims {
		one := Dimension{Key: key, Examples: append([]string{}, d.examples...), Redacted: d.reason}
		for i, there := range d.in {
			if there {
				one.In = append(one.In, places[i])
			}
		}
		sort.Strings(one.Examples)
		out.Dimensions = append(out.Dimensions, one)
	}
	sort.Slice(out.Dimensions, func(i, j int) bool { return out.Dimensions[i].Key < out.Dimensions[j].Key })
	return out
}
