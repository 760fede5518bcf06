package agent

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const fleetPorts = 24

func every(n, of int) func(int) bool { return func(i int) bool { return i%of < n } }

// TestFleetOutlivesTheDead polls a small fleet of which a part is dead and
// another slow: the healthy devices keep pace with each other.
func TestFleetOutlivesTheDead(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: polls a fleet for ten seconds")
	}
	f := newFleet(t, fleetOptions{
		FleetOptions: snmptest.FleetOptions{
			Devices: 100, Ports: fleetPorts, SlowBy: 100 * time.Millisecond,
			Dead: every(3, 10), Slow: func(i int) bool { return i%20 == 7 },
		},
		interval: 2 * time.Second, timeout: 5, retries: 3,
	})
	f.start(t)
	defer f.stop()
	st := f.wait(t, "some polls of all", func(st control.Status) bool {
		alive := f.alive(st)
		return len(alive) > 0 && most(alive) >= 5
	})
	alive := f.alive(st)
	if n := fewest(alive); len(alive) != 70 || n < 2 {
		t.Errorf("%d devices are alive, the least polled one has %d polls, the most polled one %d", len(alive), n, most(alive))
	}
	for _, d := range alive {
		if d.State == control.StateSilent || d.State == control.StateBackingOff {
			t.Errorf("%s answers and is %s: %s", d.Label, d.State, d.Message)
		}
	}
	if n := st.Polling.Dead; n > 30 {
		t.Errorf("%d addresses count as dead, 30 are", n)
	}
}

// TestSoakFleet measures the agent as a process of its own. It prints figures
// beside their bars, and asserts only that nothing was lost.
func TestSoakFleet(t *testing.T) {
	if word := os.Getenv("EDGEHOLD_SOAK"); word == "" || word == "short" {
		t.Skip("SKIPPED: a measurement of twenty minutes; set EDGEHOLD_SOAK=1")
	}
	of := func(devices int) snmptest.FleetOptions {
		return snmptest.FleetOptions{Devices: devices, Ports: fleetPorts}
	}
	t.Run("Processor", func(t *testing.T) {
		f := newFleet(t, fleetOptions{FleetOptions: of(200), interval: 10 * time.Second, resolution: "full"})
		f.measure(t, bars{rounds: 6, cpu: 0.5})
		f.outage(t)
	})
	t.Run("Memory200", func(t *testing.T) {
		newFleet(t, fleetOptions{FleetOptions: of(200), interval: time.Minute}).measure(t, bars{rounds: 2, memory: 30})
	})
	t.Run("Memory1000", func(t *testing.T) {
		newFleet(t, fleetOptions{FleetOptions: of(1000), interval: time.Minute}).measure(t, bars{rounds: 2, memory: 100})
	})
	t.Run("Punctual", func(t *testing.T) {
		o := of(1000)
		o.Dead, o.Slow, o.SlowBy, o.Loss = every(3, 10), func(i int) bool { return i%20 == 7 }, 3*time.Second, 0.02
		newFleet(t, fleetOptions{FleetOptions: o, interval: time.Minute, timeout: 5, retries: 3}).measure(t, bars{rounds: 4, late: 2 * time.Second})
	})
	t.Run("Dead", func(t *testing.T) {
		o := of(200)
		o.Dead = every(1, 10)
		newFleet(t, fleetOptions{FleetOptions: o, interval: 10 * time.Second, timeout: 5, retries: 3}).measure(t, bars{rounds: 10, arrive: 100})
	})
}

// bars are what a measurement is held against, 0: not.
type bars struct {
	rounds int
	cpu    float64       // seconds of 1,000 polls
	memory float64       // MB resident
	late   time.Duration // of 99 of 100 healthy polls
	arrive float64       // per cent of the healthy polls that were due
}

// measure starts the agent, lets it come to a steady state, and looks at some
// rounds of it.
func (f *fleet) measure(t *testing.T, b bars) {
	t.Helper()
	f.start(t)
	t.Cleanup(f.stop)
	f.wait(t, "two polls of all", func(st control.Status) bool {
		alive := f.alive(st)
		return len(alive) > 0 && fewest(alive) >= 2
	})
	before, cpu, begin := f.alive(f.status(t)), f.cpu(t), time.Now()
	asked := f.devices.Counts()
	var all, anonymous []int64
	for end := begin.Add(time.Duration(b.rounds) * f.o.interval); time.Now().Before(end); {
		time.Sleep(f.o.interval / 10) // a measurement takes its time
		r, a := f.resident(t)
		all, anonymous = append(all, r), append(anonymous, a)
	}
	used, st := f.cpu(t)-cpu, f.status(t)
	requests := f.devices.Counts().Requests - asked.Requests
	alive := f.alive(st)
	done := float64(polls(alive) - polls(before))
	t.Logf("%.0f polls of %d healthy devices in %v, %.1f requests each; bars %+v", done, len(alive), time.Since(begin).Round(time.Second),
		float64(requests)/done, b)
	t.Logf("processor: %.2f CPU-s per 1,000 healthy polls", used/done*1000)
	t.Logf("memory: %.1f MB resident at the median, %.1f at most, %.1f MB anonymous at most, %d series",
		mb(median(all)), mb(slices.Max(all)), mb(slices.Max(anonymous)), st.Buffer.Series)
	t.Logf("punctual: 99 of 100 polls start within %v ms, %d skipped, %d dead", st.Polling.LatenessP99MS, st.Polling.Overruns, st.Polling.Dead)
	t.Logf("healthy polls that were due: %.1f %% came", done/float64(b.rounds*len(alive))*100)
	if f.o.Loss == 0 {
		f.atRest(t)
	}
}

func median(n []int64) int64 {
	n = slices.Sorted(slices.Values(n))
	return n[len(n)/2]
}

// outage cuts the link for six rounds of a fleet that is polled again.
func (f *fleet) outage(t *testing.T) {
	t.Helper()
	f.configure(t, true)
	if err := (control.Client{Path: f.socket(), Timeout: time.Minute}).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	rounds := func(n int) func(control.Status) bool {
		return func(st control.Status) bool { return len(st.Devices) > 0 && fewest(st.Devices) >= uint64(n) }
	}
	f.wait(t, "two polls of all", rounds(2))
	f.env.Refuse()
	cpu, done := f.cpu(t), polls(f.status(t).Devices)
	st := f.wait(t, "six polls of all in the outage", rounds(8))
	used := f.cpu(t) - cpu
	t.Logf("in the outage: %.2f CPU-s per 1,000 polls, %.1f MB resident, %d points in the file at %.2f bytes each",
		used/float64(polls(st.Devices)-done)*1000, mb(st.Memory.Resident), st.Account.Buffered,
		float64(st.Buffer.UsedBytes)/float64(st.Account.Buffered))
	backlog := st.Account.Buffered + st.Account.Delivered
	if err := f.env.Restore(); err != nil {
		t.Fatal(err)
	}
	cpu, back := f.cpu(t), time.Now()
	f.wait(t, "the backlog drained", func(st control.Status) bool { return st.Account.Delivered >= backlog })
	t.Logf("drain: %d points in %.1f s, %.2f CPU-s, peak %.1f MB resident",
		st.Account.Buffered, time.Since(back).Seconds(), f.cpu(t)-cpu, mb(f.status(t).Memory.Peak))
	f.atRest(t)
}
