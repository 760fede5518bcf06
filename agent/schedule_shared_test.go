package agent

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Several agents behind one address, as a port forwarding has it: one that is
// dead does not send the others to the dead.
func TestOneDeadAgentBehindAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(16, nothing)
		gone := probes.WithStatus(probes.StatusDeviceConnectionError, errors.New("no answer"))
		living := &fakeProbe{takes: 100 * time.Millisecond}
		tasks := []probes.Task{
			task("living", "192.0.2.1", time.Minute, living),
			task("gone", "192.0.2.1", time.Minute, &fakeProbe{takes: time.Second, err: gone}),
		}
		for i := range 200 {
			tasks = append(tasks, task(fmt.Sprint("dead", i), fmt.Sprint("d", i), time.Minute, &fakeProbe{takes: 20 * time.Second, err: gone}))
		}
		s.Set(tasks)
		skipped := func() uint64 {
			for _, st := range s.States() {
				if st.Task.ID == "living" {
					return st.Last.Skipped
				}
			}
			return 0
		}
		before, skippedBefore := 0, uint64(0)
		time.AfterFunc(10*time.Minute+50*time.Millisecond, func() { // at first all may be alive
			before, skippedBefore = len(living.polls()), skipped()
		})
		runSchedule(t, s, 40*time.Minute+50*time.Millisecond)
		if n := len(living.polls()) - before; n < 29 { // one may wait for its turn at the end
			t.Errorf("%d polls of the living agent in 30 minutes, want 30", n)
		}
		if n := skipped() - skippedBefore; n > 0 {
			t.Errorf("%d of its polls were skipped", n)
		}
	})
}
