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
	polled := func(device, lane string) probes.Task { return probes.Task{Device: device, Lane: lane} }
	got := askedBy([]probes.Task{
		polled("192.0.2.1:161", ""), polled("192.0.2.1:161", ""), polled("192.0.2.2:161", ""),
		polled("h:80", "http://h/a"), polled("h:80", "http://h/b"), polled("h:80", "http://h/b"),
		{Device: "snmptraps of c", Source: silentSource{}},
	})
	if want := (Asked{Devices: 2, Endpoints: 2, Receivers: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
