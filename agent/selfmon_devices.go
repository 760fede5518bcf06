package agent

import (
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/httpjson"
	"github.com/edgehold/edgehold/probes/prometheus"
)

// deviceTeller makes the points about tasks. It keeps their series and what was
// told, so that counts are told once.
type deviceTeller struct {
	constants *[]probes.Dimension // on all series, which were made with them
	round     uint64
	known     map[deviceKey]*toldDevice
}

// deviceKey is what the series of a task are made of.
type deviceKey struct{ endpoint, address, configuration, interval string }

type toldDevice struct {
	round  uint64
	polls  uint64
	sum    totals
	keys   *deviceKeys
	dims   *probes.Dimensions
	series [deviceSeries]*probes.Series
}

// The series of a task.
const (
	seriesPollDuration = iota
	seriesUp
	seriesDuration
	seriesRows
	seriesRequests
	seriesRetries
	seriesTimeouts
	seriesStrays
	deviceSeries
)

// deviceKeys are the keys of those series.
type deviceKeys [deviceSeries]string

var snmpKeys = deviceKeys{
	seriesPollDuration: "edgehold.poll.duration",
	seriesUp:           "edgehold.snmp.up",
	seriesDuration:     "edgehold.snmp.duration",
	seriesRows:         "edgehold.snmp.rows",
	seriesRequests:     "edgehold.snmp.requests",
	seriesRetries:      "edgehold.snmp.retries",
	seriesTimeouts:     "edgehold.snmp.timeouts",
	seriesStrays:       "edgehold.snmp.strays",
}

// httpKeys are those of what is asked by HTTP, Prometheus endpoints included. No
// stray answer can come there.
var httpKeys = deviceKeys{
	seriesPollDuration: "edgehold.poll.duration",
	seriesUp:           "edgehold.http.up",
	seriesDuration:     "edgehold.http.duration",
	seriesRows:         "edgehold.http.rows",
	seriesRequests:     "edgehold.http.requests",
	seriesRetries:      "edgehold.http.retries",
	seriesTimeouts:     "edgehold.http.timeouts",
}

// keysOf are the keys that fit a probe.
func keysOf(p probes.Probe) *deviceKeys {
	switch p.(type) {
	case *prometheus.Probe, *httpjson.Probe:
		return &httpKeys
	}
	return &snmpKeys
}

// begin starts a round with the constants of every series.
func (d *deviceTeller) begin(constants *[]probes.Dimension) {
	d.round++
	if d.constants == constants {
		return
	}
	d.constants = constants
	for _, k := range d.known {
		k.dims, k.series = nil, [deviceSeries]*probes.Series{}
	}
}

// tell makes the points of one task: how long the poll took and, of one that
// counts, what it cost. Retries, timeouts and strays come only where there were
// some: points are billed.
func (d *deviceTeller) tell(out *selfPoints, t taskState) {
	if t.Last.Polls == 0 || t.Task.Source != nil {
		return
	}
	known := d.of(deviceKey{t.Task.Label, t.Task.Device, t.Task.Config, t.Task.Interval.String()})
	fresh := t.Last.Polls != known.polls // of a long interval there may be nothing new
	known.polls, known.keys = t.Last.Polls, keysOf(t.Task.Probe)
	if _, counts := t.Task.Probe.(probes.Measured); counts {
		known.measured(out, t, fresh)
		return
	}
	if fresh {
		out.add(known.of(seriesPollDuration), probes.Float(t.Last.Duration.Seconds()))
	}
}

func (k *toldDevice) measured(out *selfPoints, t taskState, fresh bool) {
	up := int64(1)
	if t.Last.Status == probes.StatusDeviceConnectionError {
		up = 0
	}
	out.add(k.of(seriesUp), probes.Int(up))
	if !fresh {
		return
	}
	sum := t.Last.Sum
	out.add(k.of(seriesDuration), probes.Float(t.Last.Duration.Seconds()))
	out.add(k.of(seriesRows), probes.Int(int64(t.Last.Stats.Rows)))
	for _, c := range [...]struct {
		series   int
		was, now uint64
	}{
		{seriesRequests, k.sum.Requests, sum.Requests},
		{seriesRetries, k.sum.Retries, sum.Retries},
		{seriesTimeouts, k.sum.Timeouts, sum.Timeouts},
		{seriesStrays, k.sum.Strays, sum.Strays},
	} {
		if n := c.now - min(c.now, c.was); k.keys[c.series] != "" && (n > 0 || c.series == seriesRequests) {
			out.add(k.of(c.series), probes.Uint(n))
		}
	}
	k.sum = sum
}

func (d *deviceTeller) of(key deviceKey) *toldDevice {
	k := d.known[key]
	if k == nil {
		if d.known == nil {
			d.known = map[deviceKey]*toldDevice{}
		}
		k = &toldDevice{}
		d.known[key] = k
	}
	if k.dims == nil {
		k.dims = probes.NewDimensions(d.dims(key)...)
	}
	k.round = d.round
	return k
}

// dims go after the constants, which win.
func (d *deviceTeller) dims(key deviceKey) []probes.Dimension {
	var dims []probes.Dimension
	if d.constants != nil {
		dims = append(dims, *d.constants...)
	}
	return append(dims,
		probes.Dimension{Key: "endpoint", Value: key.endpoint}, // a device may have several, on other ports
		probes.Dimension{Key: "device.address", Value: key.address},
		probes.Dimension{Key: "configuration", Value: key.configuration},
		probes.Dimension{Key: "interval", Value: key.interval},
	)
}

// forget drops the tasks that this round did not tell.
func (d *deviceTeller) forget() {
	for key, k := range d.known {
		if k.round != d.round {
			delete(d.known, key)
		}
	}
}

// of gives a series of the task.
func (k *toldDevice) of(i int) *probes.Series {
	if k.series[i] == nil {
		typ := probes.Gauge
		if i >= seriesRequests {
			typ = probes.Count
		}
		k.series[i] = probes.NewSeriesOf(k.keys[i], typ, k.dims)
	}
	return k.series[i]
}
