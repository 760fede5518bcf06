package agent

import (
	"maps"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/httpjson"
	"github.com/edgehold/edgehold/probes/prometheus"
)

// What is asked by HTTP is not told under the names of SNMP, whose alerts and
// dashboards speak of devices.
func TestPointsAboutAnEndpoint(t *testing.T) {
	for _, probe := range []probes.Probe{&prometheus.Probe{}, &httpjson.Probe{}} {
		var teller deviceTeller
		var out selfPoints
		teller.begin(nil)
		teller.tell(&out, taskState{
			Task: probes.Task{Label: "http://192.0.2.1/metrics x", Device: "192.0.2.1:80", Interval: time.Minute, Probe: probe},
			Last: result{
				Polls: 1, Status: probes.StatusDeviceConnectionError, Duration: time.Second,
				Stats: probes.PollStats{Rows: 24}, Sum: totals{Requests: 5, Retries: 2, Timeouts: 3},
			},
		})
		got := map[string]float64{}
		for _, p := range out.list {
			got[p.Series.Key()] = p.Value.Float64()
		}
		want := map[string]float64{
			"edgehold.http.up": 0, "edgehold.http.duration": 1, "edgehold.http.rows": 24,
			"edgehold.http.requests": 5, "edgehold.http.retries": 2, "edgehold.http.timeouts": 3,
		}
		if !maps.Equal(got, want) {
			t.Errorf("%T: %v, want %v", probe, got, want)
		}
	}
}
