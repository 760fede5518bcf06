package snmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/rs/zerolog"
)

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now probes.Stamp
}

func newClock() *clock {
	return &clock{now: probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Hour, Wall: 1_700_000_000_000}}
}

func (c *clock) Now() probes.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Uptime += d
	c.now.Wall += d.Milliseconds()
}

const secret = "canary-k4Zq9w"

func ifPlan() *plan.Plan {
	column := func(n string) plan.Source {
		return plan.Source{Kind: plan.FromColumn, OID: "1.3.6.1.2.1.2.2.1." + n}
	}
	return &plan.Plan{Extension: "com.example.interfaces", Version: "1", Blocks: []plan.Block{
		{
			Path: "system", Interval: time.Minute,
			Dims:    []plan.Dim{{Key: "sysname", Source: plan.Source{Kind: plan.FromScalar, OID: "1.3.6.1.2.1.1.5.0"}}},
			Metrics: []plan.Metric{{Key: "uptime", Type: probes.Gauge, Source: plan.Source{Kind: plan.FromScalar, OID: sysUpTime}}},
		},
		{
			Path: "interfaces/traffic", Interval: time.Minute, Table: true,
			Dims: []plan.Dim{{Key: "if", Source: column("2")}},
			Metrics: []plan.Metric{
				{Key: "in", Type: probes.Count, Source: column("10")},
				{Key: "admin", Type: probes.Gauge, Source: column("7")},
			},
		},
	}}
}

// bench is one simulated switch and the probe that polls it.
type bench struct {
	mib   *snmptest.MIB
	agent *snmptest.Responder
	clock *clock
	dev   plan.Device
	probe *Probe
}

const benchPorts = 24

func impatient(d *plan.Device) { d.Timeout = quick }

func newBench(t *testing.T, change func(d *plan.Device)) *bench {
	t.Helper()
	b := &bench{mib: snmptest.NewSwitch("switch-1", benchPorts, 1, func() time.Time { return time.Unix(1_700_000_000, 0) }), clock: newClock()}
	b.uptime(500_000)
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{secret: b.mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() })
	b.agent = agent
	b.dev = deviceAt(t, agent.Addr())
	b.dev.Timeout = patient
	b.dev.Credentials[0].Community = probes.NewSecret(secret)
	if change != nil {
		change(&b.dev)
	}
	b.probe = b.newProbe(ifPlan())
	return b
}

func (b *bench) newProbe(p *plan.Plan) *Probe {
	deps := probes.Deps{Clock: b.clock, Log: zerolog.Nop()}
	return Tasks(p, []plan.Device{b.dev}, TaskOptions{Config: "test"}, deps)[0].Probe.(*Probe)
}

func (b *bench) uptime(ticks uint32) {
	b.mib.Set(snmptest.MustOID(sysUpTime), snmptest.TimeTicks(ticks))
}

// poll turns the clock by a minute and checks that no text has the community.
func (b *bench) poll(t *testing.T) (map[string][]probes.Point, error) {
	t.Helper()
	b.clock.advance(time.Minute)
	batch, err := b.probe.Poll(t.Context())
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells the community: %v", err)
	}
	by := map[string][]probes.Point{}
	for _, p := range batch.Points {
		if p.Stamp != b.clock.Now() {
			t.Errorf("point of %s has stamp %+v, want that of the poll", p.Series.Key(), p.Stamp)
		}
		by[p.Series.Key()] = append(by[p.Series.Key()], p)
	}
	return by, err
}

func wantStatus(t *testing.T, err error, status probes.Status, words ...string) {
	t.Helper()
	if probes.StatusOf(err) != status {
		t.Errorf("status %s, want %s: %v", probes.StatusOf(err), status, err)
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v: want %q in it", err, w)
		}
	}
}

func TestPoll(t *testing.T) {
	for _, version := range []probes.SNMPVersion{probes.SNMPv1, probes.SNMPv2c} {
		b := newBench(t, func(d *plan.Device) { d.Credentials[0].Version = version })
		points, err := b.poll(t)
		if err != nil || len(points["uptime"]) != 1 || len(points["in"]) != 0 || len(points["admin"]) < benchPorts {
			t.Fatalf("first poll: %d uptime, %d in, %d admin, %v", len(points["uptime"]), len(points["in"]), len(points["admin"]), err)
		}
		up := points["uptime"][0]
		if up.Value.Uint64() != 500_000 || up.Series.Dim("sysname") != "switch-1" || up.Series.Dim("device.address") != "127.0.0.1" {
			t.Errorf("uptime %v of %+v", up.Value, up.Series.Dims())
		}
		b.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1.10"), func(oid snmptest.OID) uint64 { return uint64(oid[len(oid)-1]) * 3 })
		b.uptime(506_000)
		points, err = b.poll(t)
		if err != nil || len(points["in"]) != len(points["admin"]) {
			t.Fatalf("second poll: %d deltas for %d rows, %v", len(points["in"]), len(points["admin"]), err)
		}
		if s := b.probe.PollStats(); s.Requests == 0 || s.Retries != 0 || s.Varbinds < 3*benchPorts {
			t.Errorf("stats %+v", s)
		}
	}
}

func TestPollDeadDevice(t *testing.T) {
	t.Parallel()
	b := newBench(t, impatient)
	b.agent.SetFaults(snmptest.Faults{Silent: true})
	points, err := b.poll(t)
	wantStatus(t, err, probes.StatusDeviceConnectionError, b.agent.Addr(), "2 requests", "community", "firewall", "SNMP is switched on", "c v2c")
	if len(points) != 0 || b.agent.Requests().Get != 2 {
		t.Errorf("%d points, %d requests; want 0 and 2", len(points), b.agent.Requests().Get)
	}
	b.agent.SetFaults(snmptest.Faults{})
	if _, err := b.poll(t); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestPollWrongCommunity(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *plan.Device) { d.Timeout, d.Credentials[0].Community = quick, probes.NewSecret(secret+"x") })
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusDeviceConnectionError, "community")
}

func TestPollNoAgent(t *testing.T) {
	b := newBench(t, nil)
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.dev.Port = uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	conn.Close()
	b.probe = b.newProbe(ifPlan())
	_, err = b.poll(t)
	wantStatus(t, err, probes.StatusDeviceConnectionError, "refuses UDP port", "switch SNMP on")
}

func TestPollJunk(t *testing.T) {
	t.Parallel()
	b := newBench(t, impatient)
	b.dev.Port = rawAgent(t, func([]byte) [][]byte { return [][]byte{[]byte("HTTP/1.1 400")} }).Port
	b.probe = b.newProbe(ifPlan())
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusDeviceConnectionError, "2 datagrams", "something other than SNMP")
}

func TestPollRefusesAccess(t *testing.T) {
	b := newBench(t, nil)
	b.dev.Port = rawAgent(t, func(in []byte) [][]byte {
		m := answerTo(in)
		m.Status = int32(authorizationError)
		return [][]byte{m.Append(nil)}
	}).Port
	b.probe = b.newProbe(ifPlan())
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusAuthenticationError, "authorizationError", "view")
}

func TestPollUnknownName(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *plan.Device) { d.Host = "no-such-host.invalid" })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := b.probe.Poll(ctx)
	var dns *net.DNSError
	if _, lookup := net.LookupHost("no-such-host.invalid"); !errors.As(lookup, &dns) {
		t.Skip("this machine resolves names under .invalid")
	}
	wantStatus(t, err, probes.StatusDeviceConnectionError, "no-such-host.invalid", "cannot be resolved")
}

func TestPollWithoutCredentials(t *testing.T) {
	b := newBench(t, func(d *plan.Device) { d.Credentials = nil })
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusInvalidConfigError, "no credentials")
}

func TestPollNothingThere(t *testing.T) {
	b := newBench(t, nil)
	p := ifPlan()
	p.Blocks = p.Blocks[1:]
	b.mib.Delete(snmptest.MustOID("1.3.6.1.2.1.2"))
	b.probe = b.newProbe(p)
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusWarning, "answered", "none of the 3 requested OIDs exist")
}

func TestPollHalfReadTable(t *testing.T) {
	// Column 2 is the dimension: it breaks off in the middle.
	b := newBench(t, nil)
	b.agent.SetFaults(snmptest.Faults{LoopBack: snmptest.Loop{
		At: snmptest.MustOID("1.3.6.1.2.1.2.2.1.2.12"), To: snmptest.MustOID("1.3.6.1.2.1.2.2.1.2.11"),
	}})
	points, err := b.poll(t)
	wantStatus(t, err, probes.StatusWarning, "table 1.3.6.1.2.1.2.2.1 (interfaces/traffic) half read",
		"12 rows of column 1.3.6.1.2.1.2.2.1.2,", "do not increase")
	if len(points["uptime"]) != 1 || len(points["admin"]) != 12 {
		t.Errorf("%d uptime, %d admin points, want 1 and 12", len(points["uptime"]), len(points["admin"]))
	}
	for _, p := range points["admin"] {
		if p.Series.Dim("if") == "" {
			t.Errorf("a row whose name was not read became the series %v", p.Series.Dims())
		}
	}
}

func TestPollDeviceGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, impatient)
	requests := 0
	real := b.agent.Addr()
	b.dev.Port = rawAgent(t, func(in []byte) [][]byte {
		if requests++; requests > 3 {
			return nil
		}
		return [][]byte{relay(real, in)}
	}).Port
	b.probe = b.newProbe(ifPlan())
	points, err := b.poll(t)
	wantStatus(t, err, probes.StatusWarning, "half read", "stopped answering")
	if len(points["uptime"]) != 1 {
		t.Errorf("what was read before is lost: %v", points)
	}
	if s := b.probe.PollStats(); s.Requests > 3+2+2 {
		t.Errorf("%d requests, want two more and a check that got two", s.Requests)
	}
}

func relay(to string, in []byte) []byte {
	conn, err := net.Dial("udp", to)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if _, err := conn.Write(in); err != nil {
		return nil
	}
	out := make([]byte, maxDatagram)
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	n, err := conn.Read(out)
	if err != nil {
		return nil
	}
	return out[:n]
}

func TestPollFaultsWithoutLoss(t *testing.T) {
	tests := map[string]snmptest.Faults{
		"no bulk":           {DropBulk: true},
		"large are dropped": {DropLarge: 300},
		"tooBig":            {TooBig: 2},
		"junk first":        {JunkFirst: 3},
		"duplicates":        {Duplicate: true},
	}
	for name, faults := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(d *plan.Device) { d.Timeout, d.Retries = quick, 1 })
			want, err := b.poll(t)
			if err != nil {
				t.Fatal(err)
			}
			b.agent.SetFaults(faults)
			var timeouts [2]int
			for i := range timeouts {
				got, err := b.poll(t)
				if err != nil || len(got["admin"]) != len(want["admin"]) {
					t.Errorf("%d rows of %d: %v", len(got["admin"]), len(want["admin"]), err)
				}
				timeouts[i] = b.probe.PollStats().Timeouts
			}
			if timeouts[0] > 0 && timeouts[1] >= timeouts[0] {
				t.Errorf("%d timeouts, then %d: nothing was learned", timeouts[0], timeouts[1])
			}
		})
	}
}

func TestPollCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *plan.Device) {
		d.Timeout = quick
		good := d.Credentials[0]
		d.Credentials = []probes.Credential{
			{Name: "wrong-v2", Version: probes.SNMPv2c, Community: probes.NewSecret("nope")},
			{Name: "wrong-v1", Version: probes.SNMPv1, Community: probes.NewSecret("nope")},
			good,
		}
	})
	unknown := func() uint64 { return b.agent.Requests().Unknown }
	if _, err := b.poll(t); err != nil || unknown() != 2 {
		t.Fatalf("first contact: %v after %d wrong requests, want 2", err, unknown())
	}
	if _, err := b.poll(t); err != nil || unknown() != 2 {
		t.Fatalf("the credential was not remembered: %v, %d wrong requests", err, unknown())
	}
	b.agent.SetFaults(snmptest.Faults{Silent: true})
	for range forgetCredentialAfter {
		if _, err := b.poll(t); err == nil || unknown() != 2 {
			t.Fatalf("%v, %d wrong requests: only the known one may be asked", err, unknown())
		}
	}
	_, err := b.poll(t) // all three again
	wantStatus(t, err, probes.StatusDeviceConnectionError, "wrong-v2 v2c, wrong-v1 v1, c v2c")
	if unknown() != 4 {
		t.Errorf("%d wrong requests, want 4", unknown())
	}
	if _, _ = b.poll(t); b.probe.PollStats().Requests != 2 {
		t.Errorf("a dead device costs %d requests", b.probe.PollStats().Requests)
	}
	b.agent.SetFaults(snmptest.Faults{})
	for range 2 {
		_, err = b.poll(t)
	}
	if err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestPollV1RemembersAbsent(t *testing.T) {
	b := newBench(t, func(d *plan.Device) { d.Credentials[0].Version = probes.SNMPv1 })
	p := ifPlan()
	p.Blocks = p.Blocks[:1]
	for i := range 5 {
		p.Blocks[0].Metrics = append(p.Blocks[0].Metrics, plan.Metric{
			Key: fmt.Sprint("absent", i), Type: probes.Gauge,
			Source: plan.Source{Kind: plan.FromScalar, OID: fmt.Sprintf("1.3.6.1.4.1.318.%d.0", i)},
		})
	}
	b.probe = b.newProbe(p)
	if _, err := b.poll(t); err != nil || b.probe.PollStats().Requests != 7 {
		t.Fatalf("%v, %d requests; want the gate, one for each absent OID and a last one", err, b.probe.PollStats().Requests)
	}
	if _, err := b.poll(t); err != nil || b.probe.PollStats().Requests != 2 {
		t.Errorf("%v, %d requests, want 2", err, b.probe.PollStats().Requests)
	}
	b.clock.advance(relearnAfter)
	if _, err := b.poll(t); err != nil || b.probe.PollStats().Requests != 7 {
		t.Errorf("%v, %d requests, want all asked again", err, b.probe.PollStats().Requests)
	}
}

func TestPollCancelled(t *testing.T) {
	b := newBench(t, func(d *plan.Device) { d.Timeout = time.Hour })
	real := b.dev.Port
	ctx, cancel := context.WithCancel(t.Context())
	b.dev.Port = rawAgent(t, func([]byte) [][]byte { cancel(); return nil }).Port
	b.probe = b.newProbe(ifPlan())
	if _, err := b.probe.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v, want cancelled", err)
	}
	b.dev.Port = real
	b.probe = b.newProbe(ifPlan())
	b.agent.SetFaults(snmptest.Faults{HalfTable: 10})
	limited, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, err := b.probe.Poll(limited)
	wantStatus(t, err, probes.StatusWarning, "ran out of time", "half read")
}

func deltas(points map[string][]probes.Point) int { return len(points["in"]) }

func TestRestartOfTheDevice(t *testing.T) {
	b := newBench(t, nil)
	step := func() {
		b.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1.10"), func(snmptest.OID) uint64 { return 1000 })
	}
	_, _ = b.poll(t)
	step()
	b.uptime(506_000)
	if points, err := b.poll(t); deltas(points) == 0 || err != nil {
		t.Fatalf("no deltas: %v", err)
	}
	// The counters went on rising, but from zero: only the uptime shows it.
	step()
	b.uptime(1000)
	if points, err := b.poll(t); deltas(points) != 0 || err != nil {
		t.Errorf("%d deltas over a restart, %v", deltas(points), err)
	}
	step()
	b.uptime(7000)
	if points, _ := b.poll(t); deltas(points) == 0 {
		t.Error("no deltas after the gap")
	}
}

// Two intervals of one device share what is learned of it and nothing else:
// each counts every step, also when they are polled side by side.
func TestIntervalsSideBySide(t *testing.T) {
	b := newBench(t, nil)
	p := ifPlan()
	slow := slices.Clone(p.Blocks)
	for i := range slow {
		slow[i].Interval *= 5
	}
	p.Blocks = append(p.Blocks, slow...)
	tasks := Tasks(p, []plan.Device{b.dev}, TaskOptions{Config: "test"}, probes.Deps{Clock: b.clock, Log: zerolog.Nop()})
	if len(tasks) != 2 {
		t.Fatalf("%d tasks, want 2", len(tasks))
	}
	const rounds = 5
	for round := range rounds {
		var sums [2]uint64
		var wg sync.WaitGroup
		for i, task := range tasks {
			wg.Go(func() {
				batch, err := task.Probe.Poll(t.Context())
				if err != nil {
					t.Error(err)
				}
				for _, p := range batch.Points {
					if p.Series.Type() == probes.Count {
						sums[i] += p.Value.Uint64()
					}
				}
			})
		}
		wg.Wait()
		if want := uint64(1000 * benchPorts * min(round, 1)); sums != [2]uint64{want, want} {
			t.Errorf("round %d: deltas sum up to %v, want %d each", round, sums, want)
		}
		b.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1.10"), func(snmptest.OID) uint64 { return 1000 })
		b.clock.advance(time.Minute)
	}
}

// After an outage the counters may stand higher than before it although the
// device has restarted, or another one has the address.
func TestAnotherLifeOfTheDevice(t *testing.T) {
	tests := []struct {
		name   string
		away   time.Duration
		uptime uint32 // at the next poll; 500,000 before
		deltas bool
	}{
		{"out of reach", 8 * time.Minute, 548_000, true},
		{"out of reach for long: the growth would be a spike", time.Hour, 860_000, false},
		{"restarted while out of reach", 3 * time.Hour, 1_000_000, false},
		{"the other of two that share an address", time.Minute, 90_000_000, false},
		{"uptime stands still", 8 * time.Minute, 500_000, true},
		{"uptime in seconds", time.Minute, 500_060, true},
		{"uptime in milliseconds", 8 * time.Minute, 500_000 + 480_000, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			b.uptime(500_000)
			if _, err := b.poll(t); err != nil {
				t.Fatal(err)
			}
			b.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1.10"), func(snmptest.OID) uint64 { return 1000 })
			b.clock.advance(test.away)
			b.uptime(test.uptime)
			if points, err := b.poll(t); (deltas(points) > 0) != test.deltas || err != nil {
				t.Errorf("%d deltas, %v", deltas(points), err)
			}
		})
	}
}

func TestCheckpoint(t *testing.T) {
	tests := []struct {
		name   string
		away   time.Duration
		uptime uint32 // at the next poll; 500,000 at the checkpoint
		reboot bool   // of the gateway
		deltas bool
	}{
		{"short stop", 10 * time.Second, 507_000, false, true},
		{"gateway restarted", 8 * time.Minute, 550_000, true, true},
		{"gateway restarted, away for long", 20 * time.Minute, 626_000, true, false},
		{"device restarted", 10 * time.Second, 900, false, false},
		{"device restarted long ago, its uptime is larger again", 100 * time.Hour, 600_000, false, false},
		{"uptime stands still", time.Hour, 500_000, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			if data, err := b.probe.Checkpoint(); data != nil || err != nil {
				t.Errorf("checkpoint before the first poll: %q %v", data, err)
			}
			if _, err := b.poll(t); err != nil {
				t.Fatal(err)
			}
			data, err := b.probe.Checkpoint()
			if err != nil || bytes.Contains(data, []byte(secret)) {
				t.Fatalf("checkpoint %q %v", data, err)
			}
			b.probe = b.newProbe(ifPlan())
			if err := b.probe.Restore(data); err != nil {
				t.Fatal(err)
			}
			if again, err := b.probe.Checkpoint(); !bytes.Equal(again, data) || err != nil {
				t.Errorf("a stop before the first poll loses the baselines: %v", err)
			}
			b.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1.10"), func(snmptest.OID) uint64 { return 1000 })
			b.clock.advance(test.away)
			if test.reboot {
				b.clock.now.Boot[0]++
				b.clock.now.Uptime = time.Minute
			}
			b.uptime(test.uptime)
			points, err := b.poll(t)
			if err != nil || (deltas(points) > 0) != test.deltas {
				t.Errorf("%d deltas, %v", deltas(points), err)
			}
		})
	}
	b := newBench(t, nil)
	for _, bad := range []string{"", "{", `{"state":"AAAA"}`} {
		if err := b.probe.Restore([]byte(bad)); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}
