package agent

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

type silentSource struct{}

func (silentSource) Run(ctx context.Context, _ func(probes.Batch)) error {
	<-ctx.Done()
	return nil
}

// TestAskedBy: what has several tasks counts once, endpoints of one host each, and
// each as what it is.
func TestAskedBy(t *testing.T) {
	polled := func(device, lane string) probes.Task { return probes.Task{Device: device, Lane: lane, Package: "p"} }
	own := func(id string) probes.Task { return probes.Task{ID: id, Device: "i2c-1"} }
	got := askedBy([]probes.Task{
		polled("192.0.2.1:161", ""), polled("192.0.2.1:161", ""), polled("192.0.2.2:161", ""),
		polled("h:80", "http://h/a"), polled("h:80", "http://h/b"), polled("h:80", "http://h/b"),
		{Device: "snmptraps of c", Package: "p", Source: silentSource{}},
		own("sensor/i2c-1/0x48"), own("sensor/i2c-1/0x49"),
		{ID: "sensor/input/1", Source: silentSource{}},
	})
	if want := (Asked{Devices: 4, Endpoints: 2, Receivers: 1, Listeners: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
