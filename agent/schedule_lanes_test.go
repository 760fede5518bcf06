package agent

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// laneTask is a task of one URL of a host, for a package.
func laneTask(pkg, device, lane string, p probes.Probe) probes.Task {
	x := task(pkg+device+lane, device, 10*time.Second, p)
	x.Package, x.Lane = pkg, lane
	return x
}

// One URL that hangs holds up no other one of its host, and no other package; but
// only a few of one package and host are asked at a time.
func TestLanesOfOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(64, nothing)
		host, lane := &load{}, &load{}
		slow := []*fakeProbe{{takes: 9 * time.Second, shared: lane}, {takes: 9 * time.Second, shared: lane}}
		tasks := []probes.Task{laneTask("a", "h:9100", "/slow", slow[0]), laneTask("a", "h:9100", "/slow", slow[1])}
		tasks[1].ID += "/2"
		var quick []*fakeProbe
		for i := range 20 {
			quick = append(quick, &fakeProbe{takes: time.Second, shared: host})
			tasks = append(tasks, laneTask("a", "h:9100", fmt.Sprint("/", i), quick[i]))
		}
		other := &fakeProbe{takes: 9 * time.Second}
		same := &fakeProbe{takes: time.Second}
		tasks = append(tasks, laneTask("b", "h:9100", "/slow", other), laneTask("b", "h:9100", "/other", same))
		s.Set(tasks)
		runSchedule(t, s, 5*time.Minute+time.Second)
		for i, p := range append(quick, other, same) {
			if n := len(p.polls()); n < 29 {
				t.Errorf("task %d was polled %d times of 30", i, n)
			}
		}
		if n := len(slow[0].polls()) + len(slow[1].polls()); n < 28 || n > 36 || lane.most != 1 {
			t.Errorf("two tasks of one URL were polled %d times, %d at a time", n, lane.most)
		}
		if host.most > hostTurns {
			t.Errorf("%d of one package and host at a time, want at most %d", host.most, hostTurns)
		}
		if got := s.slots.shares["a"]; got == nil || got.wanted != hostTurns {
			t.Errorf("slots of the package: %+v", got)
		}
		s.Set(nil)
		if len(s.lanes) != 0 {
			t.Errorf("%d lanes are left of no task", len(s.lanes))
		}
	})
}

// A stop ends the wait for a turn of the host.
func TestStopWhileAHostIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(64, nothing)
		var tasks []probes.Task
		for i := range 3 * hostTurns {
			tasks = append(tasks, laneTask("a", "h", fmt.Sprint(i), &fakeProbe{takes: time.Hour}))
		}
		s.Set(tasks)
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Run(ctx); err != nil || time.Since(began) > 16*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
