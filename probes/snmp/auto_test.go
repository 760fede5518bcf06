package snmp

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/rs/zerolog"
)

// autoBench is one simulated device and the probe that finds out what it is.
type autoBench struct {
	mib      *snmptest.MIB
	agent    *snmptest.Responder
	clock    *clock
	profiles *fakeProfiles
	probe    *autoProbe
	dev      plan.Device
}

func newAutoBench(t *testing.T, version probes.SNMPVersion) *autoBench {
	t.Helper()
	b := &autoBench{mib: snmptest.NewMIB(), clock: newClock(), profiles: newFakeProfiles()}
	b.set(sysUpTime, snmptest.TimeTicks(500_000))
	b.set(sysDescr, snmptest.OctetString("a switch"))
	b.set(sysObjectID, snmptest.ObjectID(snmptest.MustOID("1.3.6.1.4.1.1.5")))
	b.set(packetsIn, snmptest.Counter32(100))
	b.set(ifPhysAddress+".1", snmptest.OctetString(""))
	b.set(ifPhysAddress+".2", snmptest.OctetString("\x00\x00\x00\x00\x00\x00"))
	b.set(ifPhysAddress+".3", snmptest.OctetString("\x02\x00\x00\x00\x00\x09"))
	b.set(ifPhysAddress+".4", snmptest.OctetString("\x02\x00\x00\x00\x00\x03"))
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{secret: b.mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() })
	b.agent = agent
	b.dev = deviceAt(t, agent.Addr())
	b.dev.Timeout = quick
	b.dev.Credentials[0].Community, b.dev.Credentials[0].Version = probes.NewSecret(secret), version
	b.probe = b.newProbe(t, auto)
	return b
}

func (b *autoBench) set(oid string, v snmptest.Value) { b.mib.Set(snmptest.MustOID(oid), v) }

func (b *autoBench) newProbe(t *testing.T, profile string) *autoProbe {
	t.Helper()
	kind := Kind(func(string) (plan.Profiles, error) { return b.profiles, nil })
	o := kind.Options().(*Options)
	o.Devices, o.Credentials, o.Profile, o.Timeout = []string{hostPort(b.dev)}, []string{"c"}, profile, probes.Duration(quick)
	tasks, err := kind.New(o, probes.Deps{
		Clock: b.clock, Log: zerolog.Nop(), Credentials: map[string]probes.Credential{"c": b.dev.Credentials[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tasks[0].Probe.(*autoProbe)
}

// want polls a minute later and checks profile, chassis MAC and whether the
// counter gave a delta.
func (b *autoBench) want(t *testing.T, profile, mac string, delta float64) {
	t.Helper()
	b.clock.advance(time.Minute)
	batch, err := b.probe.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, p := range batch.Points {
		got[p.Series.Key()] = p.Value.Float64()
		if p.Series.Dim("profile") != profile || p.Series.Dim("chassis.mac") != mac {
			t.Errorf("%s is of profile %q and MAC %q, want %q and %q", p.Series.Key(), p.Series.Dim("profile"), p.Series.Dim("chassis.mac"), profile, mac)
		}
	}
	if _, ok := got["uptime"]; !ok {
		t.Errorf("no uptime in %v", got)
	}
	if d, ok := got["packets"]; ok != (delta >= 0) || ok && d != delta {
		t.Errorf("packets %v %t, want %v", d, ok, delta)
	}
	if want := "test." + profile + " 1"; b.probe.Description() != want {
		t.Errorf("description %q, want %q", b.probe.Description(), want)
	}
}

const none = -1 // no delta

func TestAutoChoosesOnce(t *testing.T) {
	for _, version := range []probes.SNMPVersion{probes.SNMPv1, probes.SNMPv2c} {
		b := newAutoBench(t, version)
		if b.probe.Description() != "" {
			t.Error("described before first contact")
		}
		b.want(t, "one", "02:00:00:00:00:03", none)
		first := b.probe.PollStats()
		b.set(sysUpTime, snmptest.TimeTicks(506_000))
		b.set(packetsIn, snmptest.Counter32(130))
		b.want(t, "one", "02:00:00:00:00:03", 30)
		if later := b.probe.PollStats(); later.Requests == 0 || first.Requests <= later.Requests {
			t.Errorf("%d requests on first contact, %d later, want fewer later", first.Requests, later.Requests)
		}
		if d := b.probe.device; !d.NoBulk || d.Unordered || d.MaxReps != 7 {
			t.Errorf("hints of the profile are not with the device: %+v", d.Device)
		}
	}
}

// Another device behind the address is told by its restart.
func TestAutoAfterRestart(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.want(t, "one", "02:00:00:00:00:03", none)
	b.set(sysUpTime, snmptest.TimeTicks(1000))
	b.set(packetsIn, snmptest.Counter32(5))
	b.want(t, "one", "02:00:00:00:00:03", none)
	b.set(sysObjectID, snmptest.ObjectID(snmptest.MustOID("1.3.6.1.4.1.2")))
	b.set(sysUpTime, snmptest.TimeTicks(7000))
	b.set(packetsIn, snmptest.Counter32(6))
	b.want(t, "other", "02:00:00:00:00:03", none) // asked again, as it had restarted
	b.set(sysUpTime, snmptest.TimeTicks(13000))
	b.set(packetsIn, snmptest.Counter32(9))
	b.want(t, "other", "02:00:00:00:00:03", 3)
}

func TestAutoRestore(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	if data, err := b.probe.Checkpoint(); data != nil || err != nil {
		t.Errorf("checkpoint %q before first contact, %v", data, err)
	}
	b.want(t, "one", "02:00:00:00:00:03", none)
	data, err := b.probe.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	asked := b.agent.Requests().Get
	b.probe = b.newProbe(t, auto)
	if err := b.probe.Restore(data); err != nil {
		t.Fatal(err)
	}
	b.mib.Delete(snmptest.MustOID(ifPhysAddress)) // it is not asked for any more
	b.set(sysUpTime, snmptest.TimeTicks(506_000))
	b.set(packetsIn, snmptest.Counter32(142))
	b.want(t, "one", "02:00:00:00:00:03", 42)
	if more := b.agent.Requests().Get - asked; more > 2 {
		t.Errorf("%d GETs after a planned restart, want the gate and the counter", more)
	}
	if err := b.newProbe(t, auto).Restore([]byte("{")); err == nil {
		t.Error("took a damaged checkpoint")
	}
}

// A table that the device does not have is asked for now and then only.
func TestAutoLeavesAbsentTablesAlone(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	const column = "1.3.6.1.4.1.1.9.1.2"
	one := b.profiles.plans["one"]
	one.Blocks = append(one.Blocks, plan.Block{
		Path: "fans", Interval: time.Minute, Table: true,
		Dims:    []plan.Dim{{Key: "profile", Source: plan.Source{Kind: plan.FromConst, Text: "one"}}, {Key: "chassis.mac", Source: plan.Source{Kind: plan.FromChassisMAC}}},
		Metrics: []plan.Metric{{Key: "fan", Type: probes.Gauge, Source: plan.Source{Kind: plan.FromColumn, OID: column}}},
	})
	walked := func() bool {
		b.clock.advance(time.Minute)
		before := b.agent.Requests()
		batch, err := b.probe.Poll(t.Context())
		if err != nil || len(batch.Points) == 0 {
			t.Fatalf("%d points, %v", len(batch.Points), err)
		}
		after := b.agent.Requests()
		return after.GetNext+after.GetBulk > before.GetNext+before.GetBulk
	}
	walked() // finds out what it is
	b.set(column+".1", snmptest.Integer(5))
	polls := 1
	for ; !walked(); polls++ {
		if polls > 20 {
			t.Fatal("the table is never asked for again")
		}
	}
	if polls != 10 {
		t.Errorf("asked for again after %d polls of a minute, want 10", polls)
	}
	if !walked() {
		t.Error("a table that is there now is not read at every poll")
	}
}

func TestAutoNamed(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.probe = b.newProbe(t, "other")
	b.want(t, "other", "02:00:00:00:00:03", none)
}

func TestAutoSilent(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	if err := b.agent.Close(); err != nil {
		t.Fatal(err)
	}
	batch, err := b.probe.Poll(t.Context())
	if err == nil || probes.StatusOf(err) != probes.StatusDeviceConnectionError || len(batch.Points) > 0 {
		t.Errorf("%d points, %v", len(batch.Points), err)
	}
	if b.probe.PollStats().Requests == 0 {
		t.Error("the requests in vain are not counted")
	}
}

func TestNewFacts(t *testing.T) {
	octets := func(s string) plan.Cell { return plan.Cell{Kind: plan.Octets, Text: s} }
	subtype := func(n int64) plan.Cell { return plan.Cell{Kind: plan.Integer, Int: n} }
	const a, b = "\x00\x1b\x21\x00\x00\x01", "\x00\x1b\x21\x00\x00\x02"
	for name, tt := range map[string]struct {
		scalars map[string]plan.Cell
		want    string
	}{
		"LLDP first":            {map[string]plan.Cell{lldpChassisIDSubtype: subtype(4), lldpChassisID: octets(a), bridgeAddress: octets(b)}, "00:1b:21:00:00:01"},
		"LLDP id is a name":     {map[string]plan.Cell{lldpChassisIDSubtype: subtype(7), lldpChassisID: octets("switch"), bridgeAddress: octets(b)}, "00:1b:21:00:00:02"},
		"bridge address zero":   {map[string]plan.Cell{bridgeAddress: octets(strings.Repeat("\x00", 6))}, ""},
		"bridge address a text": {map[string]plan.Cell{bridgeAddress: octets("00:1b:21:00:00:02")}, ""},
		"a group address":       {map[string]plan.Cell{bridgeAddress: octets("\xff\xff\xff\xff\xff\xff")}, ""},
	} {
		if got := newFacts(plan.Reading{Scalars: tt.scalars}).MAC; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestKeepMAC(t *testing.T) {
	column := map[string]plan.Cell{
		"1": {Kind: plan.Octets, Text: "\x02\x00\x00\x00\x00\x09"},
		"2": {Kind: plan.Octets, Text: "\x02\x00\x00\x00\x00\x03"},
	}
	column["3"] = plan.Cell{Kind: plan.Octets, Text: "\x4c\x00\x00\x00\x00\x01"}
	if got := keepMAC("", "", column); got != "4c:00:00:00:00:01" {
		t.Errorf("%s comes before a maker's address", got)
	}
	delete(column, "3")
	for _, tt := range []struct{ known, found, want string }{
		{"", "", "02:00:00:00:00:03"},
		{"02:00:00:00:00:09", "", "02:00:00:00:00:09"},
		{"02:00:00:00:00:09", "02:00:00:00:00:01", "02:00:00:00:00:09"},
		{"02:00:00:00:00:77", "02:00:00:00:00:01", "02:00:00:00:00:01"},
		{"02:00:00:00:00:77", "", "02:00:00:00:00:03"},
	} {
		if got := keepMAC(tt.known, tt.found, column); got != tt.want {
			t.Errorf("known %q, found %q: %q, want %q", tt.known, tt.found, got, tt.want)
		}
	}
}

// What another device gives is no point of the one that was there before.
func TestAutoSwappedDevice(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.want(t, "one", "02:00:00:00:00:03", none)
	b.set(sysUpTime, snmptest.TimeTicks(1000))
	b.set(packetsIn, snmptest.Counter32(5))
	b.set(sysObjectID, snmptest.ObjectID(snmptest.MustOID("1.3.6.1.4.1.2")))
	b.set(ifPhysAddress+".4", snmptest.OctetString("\x02\x00\x00\x00\x00\x01"))
	b.want(t, "other", "02:00:00:00:00:01", none)
	b.set(sysUpTime, snmptest.TimeTicks(7000))
	b.set(packetsIn, snmptest.Counter32(9))
	b.want(t, "other", "02:00:00:00:00:01", 4)
}

// A device is put in the place of another while both are silent, and its uptime
// and counters could be those of the one before.
func TestAutoSwappedInSilence(t *testing.T) {
	for _, tt := range []struct{ name, object, profile string }{
		{"another model", "1.3.6.1.4.1.2", "other"},
		{"the same model", "1.3.6.1.4.1.1.5", "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newAutoBench(t, probes.SNMPv2c)
			b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x01"))
			b.want(t, "one", "4c:00:00:00:00:01", none)
			b.agent.SetFaults(snmptest.Faults{Silent: true})
			for range quietEnough {
				b.clock.advance(time.Minute)
				if _, err := b.probe.Poll(t.Context()); err == nil || b.probe.PollStats().Requests != 2 {
					t.Fatalf("%v, %d requests", err, b.probe.PollStats().Requests)
				}
			}
			b.agent.SetFaults(snmptest.Faults{})
			b.set(sysUpTime, snmptest.TimeTicks(500_000+4*6000))
			b.set(packetsIn, snmptest.Counter32(150))
			b.set(sysObjectID, snmptest.ObjectID(snmptest.MustOID(tt.object)))
			b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x02"))
			b.want(t, tt.profile, "4c:00:00:00:00:02", none)
			b.set(sysUpTime, snmptest.TimeTicks(500_000+5*6000))
			b.set(packetsIn, snmptest.Counter32(157))
			b.want(t, tt.profile, "4c:00:00:00:00:02", 7)
			if requests := b.probe.PollStats().Requests; requests > 3 {
				t.Errorf("%d requests: it is asked again what it is", requests)
			}
		})
	}
}

// A device of the same model with another chassis takes over the address.
func TestAutoSwappedChassis(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x01"))
	b.want(t, "one", "4c:00:00:00:00:01", none)
	b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x02"))
	b.set(sysUpTime, snmptest.TimeTicks(1000))
	b.set(packetsIn, snmptest.Counter32(5))
	b.want(t, "one", "4c:00:00:00:00:02", none)
}

// One that does not tell what it is, but all else, is polled all the same.
func TestAutoWithoutObjectID(t *testing.T) {
	at := snmptest.MustOID(sysObjectID)
	for name, f := range map[string]snmptest.Faults{
		"genErr": {GenErr: at}, "noAccess": {Denied: at}, "unreadable": {ZeroLengthInteger: at},
	} {
		b := newAutoBench(t, probes.SNMPv2c)
		b.agent.SetFaults(f)
		batch, err := b.probe.Poll(t.Context())
		if err != nil || len(batch.Points) == 0 || b.probe.Description() != "test.other 1" {
			t.Errorf("%s: %d points of %q, %v", name, len(batch.Points), b.probe.Description(), err)
		}
	}
}

// A list of addresses that was half read does not make another device of it.
func TestAutoKeepsMACWhenHalfRead(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.set(ifPhysAddress+".1", snmptest.OctetString("\x02\x00\x00\x00\x00\x05"))
	b.want(t, "one", "02:00:00:00:00:03", none)
	b.agent.SetFaults(snmptest.Faults{Denied: snmptest.MustOID(ifPhysAddress + ".2")})
	b.set(sysUpTime, snmptest.TimeTicks(1000))
	b.want(t, "one", "02:00:00:00:00:03", none)
	b.set(sysUpTime, snmptest.TimeTicks(7000))
	b.want(t, "one", "02:00:00:00:00:03", 0)
}

func TestAnswers(t *testing.T) {
	column := func(oid string) plan.Source { return plan.Source{Kind: plan.FromColumn, OID: oid} }
	one := plan.Source{Kind: plan.FromConst, Text: "1"}
	metrics := func(sources ...plan.Source) (all []plan.Metric) {
		for _, s := range sources {
			all = append(all, plan.Metric{Key: "m", Type: probes.Gauge, Source: s})
		}
		return all
	}
	const name, lacking, speed = "1.3.9.1", "1.3.9.2", "1.3.9.3"
	dims := []plan.Dim{{Key: "name", Source: column(name)}}
	r := plan.Reading{Columns: map[string]map[string]plan.Cell{name: {"1": {Kind: plan.Integer}}}, Partial: map[string]bool{speed: true}}
	for what, tt := range map[string]struct {
		block plan.Block
		want  bool
	}{
		"a column it has":                 {plan.Block{Table: true, Dims: dims, Metrics: metrics(column(name))}, true},
		"one it lacks":                    {plan.Block{Table: true, Dims: dims, Metrics: metrics(column(lacking))}, false},
		"one that was half read":          {plan.Block{Table: true, Dims: dims, Metrics: metrics(column(speed))}, true},
		"a constant":                      {plan.Block{Table: true, Dims: dims, Metrics: metrics(one)}, true},
		"a constant beside what it lacks": {plan.Block{Table: true, Dims: dims, Metrics: metrics(one, column(lacking))}, true},
		"a constant on rows":              {plan.Block{Table: true, Rows: name, Dims: []plan.Dim{{Key: "l", Source: column(lacking)}}, Metrics: metrics(one)}, true},
		"a constant on no rows":           {plan.Block{Table: true, Rows: lacking, Dims: dims, Metrics: metrics(one)}, false},
	} {
		if got := answers(&tt.block, r); got != tt.want {
			t.Errorf("%s: %v, want %v", what, got, tt.want)
		}
	}
}

// After a restart the part that names the chassis is there some polls later
// than the rest.
func TestAutoChassisThatComesLate(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	const chassis, lowest = "4c:00:00:00:00:01", "02:00:00:00:00:03"
	b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x01"))
	b.want(t, "one", chassis, none)
	b.mib.Delete(snmptest.MustOID(bridgeAddress))
	ticks, delta := uint32(1000), float64(none)
	poll := func(mac string) {
		t.Helper()
		b.set(sysUpTime, snmptest.TimeTicks(ticks))
		b.want(t, "one", mac, delta)
		ticks, delta = ticks+6000, 0
	}
	for range 4 {
		poll(chassis)
	}
	b.set(bridgeAddress, snmptest.OctetString("\x4c\x00\x00\x00\x00\x01"))
	poll(chassis)
	asked := b.probe.PollStats().Requests
	if poll(chassis); b.probe.PollStats().Requests >= asked {
		t.Error("still asked what it is")
	}

	b.mib.Delete(snmptest.MustOID(bridgeAddress)) // now for good
	ticks, delta = 1000, none
	for range 11 {
		poll(chassis)
	}
	for range 3 {
		poll(lowest)
	}
}
