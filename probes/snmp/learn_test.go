package snmp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/rs/zerolog"
)

// One poll of 24 ports x 10 columns costs few requests, the one that asks
// whether the device is there included, from the first poll on.
func TestRequestsOfAPoll(t *testing.T) {
	f, err := snmptest.StartFleet(snmptest.FleetOptions{Devices: 1, Ports: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := deviceAt(t, f.Addrs()[0])
	task := Tasks(tenColumns(), []plan.Device{d}, TaskOptions{Config: "test"}, probes.Deps{Clock: newClock(), Log: zerolog.Nop()})[0]
	const most = 6
	for range 5 {
		if _, err := task.Probe.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := task.Probe.(*Probe).PollStats(); s.Requests > most || s.Varbinds > 10*30+1 || s.Rows != 24 {
			t.Errorf("%d requests for %d varbinds and %d rows, want %d requests at most", s.Requests, s.Varbinds, s.Rows, most)
		}
	}
}

// walked is a walk of 3 columns that had to go down to the given rungs.
func walked(d *device, rungs ...int) *walk {
	w := newWalk(columnsOf(3), walkOptions{level: d.startRung})
	for i, c := range w.columns {
		c.done = true
		if rungs[i] > c.level {
			c.level, w.lowered = rungs[i], true
		}
	}
	return w
}

func TestDeviceLearns(t *testing.T) {
	d := newDevice(plan.Device{}, newKit(probes.Deps{}))
	poll := func(rungs ...int) {
		d.learnWalk(walked(d, rungs...), time.Hour)
		d.settle(true)
	}
	first := firstRung(newWalk(nil, walkOptions{}).ladder)
	for want := first; want >= 0; want-- { // a good device is soon asked for more
		if got := walked(d, 0, 0, 0).columns[0].level; got != want {
			t.Fatalf("starts at rung %d, want %d", got, want)
		}
		poll(0, 0, 0)
	}
	poll(3, 3, 3)
	if got := d.startRung("any"); got != 3 {
		t.Fatalf("rung %d after a fall to 3", got)
	}
	// It climbs after some calm polls; where that fails, it waits longer.
	wait := func() (polls int) {
		for at := d.startRung("any"); d.startRung("any") == at; polls++ {
			poll(0, 0, 0)
		}
		return polls
	}
	if polls := wait(); polls != firstPatience {
		t.Errorf("climbs after %d polls, want %d", polls, firstPatience)
	}
	poll(3, 3, 3)
	if polls := wait(); polls != 2*firstPatience {
		t.Errorf("climbs after %d polls, want %d", polls, 2*firstPatience)
	}
	for range 10 {
		poll(3, 3, 3)
		if polls := wait(); polls > maxPatience {
			t.Fatalf("climbs after %d polls", polls)
		}
	}
	all := 0
	for d.startRung("any") > 0 {
		all += wait()
	}
	if all > 2*maxPatience {
		t.Errorf("back at the top after %d polls", all)
	}
}

func TestDeviceLearnsOfOneColumn(t *testing.T) {
	d := newDevice(plan.Device{}, newKit(probes.Deps{}))
	d.learnWalk(walked(d, 0, 7, 0), time.Hour)
	d.settle(true)
	bad, good := columnsOf(3)[1], columnsOf(3)[0]
	if d.startRung(bad) != 7 || d.startRung(good) >= 7 {
		t.Errorf("the bad column starts at %d, a good one at %d", d.startRung(bad), d.startRung(good))
	}
	for range 100 {
		d.learnWalk(walked(d, 0, 0, 0), time.Hour)
		d.settle(true)
	}
	if d.startRung(bad) != 0 {
		t.Errorf("after a hundred good polls the column starts at %d", d.startRung(bad))
	}
	d.restarted()
	if d.startRung(bad) != -1 || d.shapeOf(columnsOf(3)) != (shape{}) {
		t.Error("a restart of the device did not make it unknown")
	}
}

// A device with a limit is polled whole, if slowly, and not behind the deadline.
func TestPacedPoll(t *testing.T) {
	b := newBench(t, func(d *plan.Device) { d.PacketsPerSecond = 100 })
	begin := time.Now()
	if points, err := b.poll(t); err != nil || len(points["admin"]) != benchPorts {
		t.Fatalf("%d rows, %v", len(points["admin"]), err)
	}
	requests := b.probe.PollStats().Requests
	if least := begin.Add(time.Duration(requests) * 10 * time.Millisecond); b.probe.device.turn.Before(least) {
		t.Errorf("%d requests, and the next may go %v after the first", requests, b.probe.device.turn.Sub(begin))
	}
	b.probe.device.PacketsPerSecond = 1
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := b.probe.Poll(ctx)
	if probes.StatusOf(err) == probes.StatusOK || ctx.Err() != nil {
		t.Errorf("%v after %v", err, ctx.Err())
	}
}

// A table that takes too long leaves time for the others.
func TestSlowTable(t *testing.T) {
	b := newBench(t, nil)
	p := ifPlan()
	p.Blocks = append(p.Blocks, plan.Block{
		Path: "names", Interval: time.Minute, Table: true,
		Metrics: []plan.Metric{{Key: "speed", Type: probes.Gauge, Source: plan.Source{Kind: plan.FromColumn, OID: "1.3.6.1.2.1.31.1.1.1.15"}}},
	})
	b.probe = b.newProbe(p)
	b.agent.SetFaults(snmptest.Faults{EndlessTable: oidOf(ifAdminOID), Delay: 5 * time.Millisecond})
	s, uptime, err := b.probe.device.reach(t.Context(), new(probes.PollStats))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	r := b.probe.device.newReading(b.clock.Now(), uptime)
	b.probe.readTables(t.Context(), tableReader{
		exchanger: s, reading: r, stats: s.stats, options: b.probe.walkOptions(s, r.slate), each: 500 * time.Millisecond,
	})
	if cut := r.walks[0].columns[1].cut; r.walks[0].columns[0].cut != nil || !errors.Is(cut, errSlowTable) && !errors.Is(r.walks[0].columns[2].cut, errSlowTable) {
		t.Errorf("the endless table: %v", cut)
	}
	if cells := r.Columns["1.3.6.1.2.1.31.1.1.1.15"]; len(cells) != benchPorts || len(s.stats.Tables) != 2 {
		t.Errorf("the table after it: %d rows; %+v", len(cells), s.stats.Tables)
	}
}

// A device that takes longer than the timeout is given the time, so that each
// request is sent once. On a busy machine that may take some polls.
func TestSlowDevice(t *testing.T) {
	t.Parallel()
	const quick = 100 * time.Millisecond
	b := newBench(t, func(d *plan.Device) { d.Timeout, d.Retries = quick, 1 })
	until := func(what string, done func(rows, retries int) bool) {
		t.Helper()
		rows, retries := 0, 0
		for range 30 {
			points, err := b.poll(t)
			rows, retries = len(points["admin"]), b.probe.PollStats().Retries
			if err == nil && done(rows, retries) {
				return
			}
		}
		t.Errorf("no poll was %s; the last had %d rows, %d retries", what, rows, retries)
	}
	b.agent.SetFaults(snmptest.Faults{Delay: quick * 3 / 2})
	until("whole without retries", func(rows, retries int) bool { return rows == benchPorts && retries == 0 })
	b.agent.SetFaults(snmptest.Faults{})
	until("quick again", func(int, int) bool { return b.probe.device.patientOf(quick) == quick })
}

// A table whose rows are others with every poll does not fill the memory with
// values that cannot be decoded.
func TestLearnedValuesAreBounded(t *testing.T) {
	d := newDevice(plan.Device{}, newKit(probes.Deps{}))
	for poll := range 50 {
		w := newWalk([]string{entry + ".7"}, walkOptions{})
		for i := range maxReread {
			w.hopeless = append(w.hopeless, fmt.Sprintf("%s.7.%d.%d", entry, poll, i))
		}
		d.learnWalk(w, time.Hour)
	}
	if n := len(d.hopeless); n == 0 || n > maxHopeless {
		t.Errorf("%d are remembered", n)
	}
}
