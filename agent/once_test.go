package agent

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
)

// lateSource takes something in after some time, and gives it when it ends.
type lateSource struct {
	after    time.Duration
	received atomic.Uint64
}

func (s *lateSource) Run(ctx context.Context, emit func(probes.Batch)) error {
	if sleep(ctx, s.after) == nil {
		s.received.Store(1)
		<-ctx.Done()
		emit(probes.Batch{Points: []probes.Point{{Series: probes.NewSeries("m", probes.Gauge), Value: probes.Int(1)}}})
	}
	return nil
}

func (s *lateSource) Watch() probes.SourceState {
	return probes.SourceState{Received: s.received.Load()}
}

// Who listens by hand does not wait for the end of the interval.
func TestListen(t *testing.T) {
	for _, tt := range []struct {
		name              string
		after, wait, took time.Duration
		status            probes.Status
	}{
		{"until the first is there", 3 * time.Second, 0, 4 * time.Second, probes.StatusOK},
		{"for as long as was said", 3 * time.Second, 30 * time.Second, 30 * time.Second, probes.StatusOK},
		{"in vain", time.Hour, 0, 2 * time.Minute, probes.StatusWarning},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got := Once{Config: config.Default(), Listen: true, Wait: tt.wait}.one(t.Context(), probes.Task{Interval: time.Minute, Source: &lateSource{after: tt.after}})
				if probes.StatusOf(got.Err) != tt.status || len(got.Points) == 1 != (tt.status == probes.StatusOK) {
					t.Errorf("%d points, %v", len(got.Points), got.Err)
				}
				if took := time.Since(begin).Round(time.Second); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}
