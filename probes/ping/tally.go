package ping

import (
	"net/netip"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// metrics are what a poll gives of an address.
var metrics = []probes.Metadata{
	{Key: "edgehold.ping.loss", Type: probes.Gauge, Unit: "Percent", DisplayName: "Ping: packet loss"},
	{Key: "edgehold.ping.sent", Type: probes.Count, Unit: "Count", DisplayName: "Ping: packets sent", Description: "Those that could not be sent are among them"},
	{Key: "edgehold.ping.received", Type: probes.Count, Unit: "Count", DisplayName: "Ping: packets answered in time"},
	{Key: "edgehold.ping.rtt", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "Ping: round trip time"},
	{Key: "edgehold.ping.jitter", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "Ping: jitter", Description: "Mean difference between the round trip times of two answers in a row"},
	{Key: "edgehold.ping.duplicates", Type: probes.Count, Unit: "Count", DisplayName: "Ping: further answers to one packet"},
	{Key: "edgehold.ping.late", Type: probes.Count, Unit: "Count", DisplayName: "Ping: packets answered after the timeout"},
}

// The metrics by their place in the list.
const (
	loss = iota
	sent
	received
	rtt
	jitter
	duplicates
	late
)

// tally is what came of the packets to one address.
type tally struct {
	sent, received   int
	duplicates, late int
	trips            []time.Duration // of those received, in the order in which they were sent
}

// tally counts, once all is over. An answer after the timeout is late, and its
// packet lost.
func (v *volley) tally(timeout time.Duration) tally {
	t := tally{sent: len(v.shots)}
	for _, s := range v.shots {
		t.duplicates += s.again
		if s.got.IsZero() {
			continue
		}
		trip := s.trip()
		if trip > timeout {
			t.late++
			continue
		}
		t.received++
		t.trips = append(t.trips, trip)
	}
	return t
}

// jitter is the mean difference between neighbours, in milliseconds.
func (t tally) jitter() float64 {
	var all time.Duration
	for i := 1; i < len(t.trips); i++ {
		all += (t.trips[i] - t.trips[i-1]).Abs()
	}
	return milliseconds(all) / float64(len(t.trips)-1)
}

func (t tally) summary() probes.Summary {
	s := probes.Summary{Min: milliseconds(t.trips[0]), Max: milliseconds(t.trips[0]), Count: uint64(len(t.trips))}
	for _, trip := range t.trips {
		ms := milliseconds(trip)
		s.Min, s.Max, s.Sum = min(s.Min, ms), max(s.Max, ms), s.Sum+ms
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// seriesSet are the series of one address.
type seriesSet struct {
	dims *probes.Dimensions
	all  [late + 1]*probes.Series
}

// seriesOf finds the series of an address: those of the target, or of each of
// its addresses where all are asked.
func (p *Probe) seriesOf(a netip.Addr) *seriesSet {
	key := p.keyOf(a)
	if set := p.series[key]; set != nil {
		return set
	}
	dims := append([]probes.Dimension{}, p.deps.Constants...)
	dims = append(dims, probes.Dimension{Key: keyDevice, Value: p.target}, probes.Dimension{Key: keyAddress, Value: key})
	for k, value := range p.opts.Dimensions {
		dims = append(dims, probes.Dimension{Key: k, Value: value})
	}
	set := &seriesSet{dims: probes.NewDimensions(dims...)}
	p.series[key] = set
	return set
}

func (p *Probe) keyOf(a netip.Addr) string {
	if p.opts.All && p.target != a.String() {
		return a.String()
	}
	return ""
}

// forget drops the series of addresses that a name no longer has.
func (p *Probe) forget(addrs []netip.Addr) {
	if len(p.series) <= len(addrs) {
		return
	}
	kept := map[string]*seriesSet{}
	for _, a := range addrs {
		key := p.keyOf(a)
		kept[key] = p.series[key]
	}
	p.series = kept
}

func (s *seriesSet) point(at probes.Stamp, metric int, v probes.Value) probes.Point {
	if s.all[metric] == nil {
		s.all[metric] = probes.NewSeriesOf(metrics[metric].Key, metrics[metric].Type, s.dims)
	}
	return probes.Point{Series: s.all[metric], Value: v, Stamp: at}
}

// points are those of one address; what is rare comes only where it happened,
// since points are billed.
func (s *seriesSet) points(at probes.Stamp, t tally) (all []probes.Point) {
	if t.sent == 0 {
		return nil
	}
	all = append(all,
		s.point(at, loss, probes.Float(float64(100*(t.sent-t.received))/float64(t.sent))),
		s.point(at, sent, probes.Uint(uint64(t.sent))),
		s.point(at, received, probes.Uint(uint64(t.received))))
	if len(t.trips) > 0 {
		all = append(all, s.point(at, rtt, probes.Summarize(t.summary())))
	}
	if len(t.trips) > 1 {
		all = append(all, s.point(at, jitter, probes.Float(t.jitter())))
	}
	if t.duplicates > 0 {
		all = append(all, s.point(at, duplicates, probes.Uint(uint64(t.duplicates))))
	}
	if t.late > 0 {
		all = append(all, s.point(at, late, probes.Uint(uint64(t.late))))
	}
	return all
}
