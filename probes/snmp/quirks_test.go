package snmp

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const (
	ifDescrOID    = "1.3.6.1.2.1.2.2.1.2"
	ifAdminOID    = "1.3.6.1.2.1.2.2.1.7"
	ifInOctetsOID = "1.3.6.1.2.1.2.2.1.10"
)

func oidOf(parts ...string) snmptest.OID { return snmptest.MustOID(strings.Join(parts, ".")) }

// jumps send a walk through the rows of a column in the given order.
func jumps(column string, rows ...string) (all []snmptest.Loop) {
	for i := 1; i < len(rows); i++ {
		all = append(all, snmptest.Loop{At: oidOf(column, rows[i-1]), To: oidOf(column, rows[i])})
	}
	return all
}

// quirk is one way in which real devices differ from the book, and what a poll
// makes of it: a switch of 24 ports, whose name is ifDescr and whose ifAdminStatus
// is the measurement that is looked at.
type quirk struct {
	name   string
	faults snmptest.Faults
	device func(d *plan.Device)
	change func(m *snmptest.MIB) // of what the device holds
	gone   bool                  // nothing listens there

	rows    int // that are read
	other   map[string]float64
	status  probes.Status
	words   []string // in the message, and so in the state of the device
	partial string   // in PollStats.Partial; "": it is empty
	seen    func(s probes.PollStats) bool
}

func quirks() []quirk {
	unordered := func(d *plan.Device) { d.Unordered = true }
	v1 := func(d *plan.Device) { d.Credentials[0].Version = probes.SNMPv1 }
	set := func(oid string, v snmptest.Value) func(m *snmptest.MIB) {
		return func(m *snmptest.MIB) { m.Set(snmptest.MustOID(oid), v) }
	}
	stray := func(s probes.PollStats) bool { return s.Strays > 0 }
	deaf := func(s probes.PollStats) bool { return s.Strays == 2 && s.Requests == 2 && s.Timeouts == 2 }
	return []quirk{
		{name: "a healthy device", rows: 24, seen: func(s probes.PollStats) bool {
			return s.Rows == 24 && len(s.Tables) == 1 && s.Tables[0].OID == entry && s.Tables[0].Rows == 24 &&
				s.Tables[0].Requests == s.Requests-2 && s.Timeouts+s.Strays+s.Malformed+s.Retries == 0
		}},

		// The order of OIDs.
		{
			name: "a row repeats", faults: snmptest.Faults{LoopBack: snmptest.Loop{At: oidOf(ifDescrOID, "12"), To: oidOf(ifDescrOID, "12")}},
			rows: 12, status: probes.StatusWarning, words: []string{"half read", "do not increase"}, partial: "table " + entry + ": the OIDs do not increase",
		},
		{
			name: "a walk is sent back", faults: snmptest.Faults{LoopBack: snmptest.Loop{At: oidOf(ifDescrOID, "12"), To: oidOf(ifDescrOID, "3")}},
			rows: 12, status: probes.StatusWarning, words: []string{"half read", "do not increase"}, partial: "do not increase",
		},
		{
			name: "two rows are swapped", faults: snmptest.Faults{Jumps: jumps(ifAdminOID, "5", "7", "6", "8")},
			rows: 6, status: probes.StatusWarning, words: []string{"6 rows of column " + ifAdminOID, "do not increase"}, partial: "do not increase",
		},
		{
			name: "two rows are swapped, which is known", faults: snmptest.Faults{Jumps: jumps(ifAdminOID, "5", "7", "6", "8")},
			device: unordered, rows: 24,
		},
		{
			name: "a walk is sent back, though order is not asked for", device: unordered,
			faults: snmptest.Faults{LoopBack: snmptest.Loop{At: oidOf(ifAdminOID, "12"), To: oidOf(ifAdminOID, "3")}},
			rows:   12, status: probes.StatusWarning, words: []string{"repeat"}, partial: "repeat",
		},
		{
			name:   "the MIB starts over at its end",
			faults: snmptest.Faults{LoopBack: snmptest.Loop{At: oidOf(ifAdminOID, "24"), To: oidOf(sysUpTime)}}, rows: 24,
		},
		{
			name: "a table without end", faults: snmptest.Faults{EndlessTable: oidOf(ifAdminOID)},
			rows: 25 /* those without a name are folded */, status: probes.StatusWarning, words: []string{"no end", "20000 rows"}, partial: "no end",
			seen: func(s probes.PollStats) bool { return s.Rows == maxRows },
		},

		// What GETBULK cannot do.
		{name: "tooBig above 2 repetitions", faults: snmptest.Faults{TooBig: 2}, rows: 24},
		{name: "tooBig to every GETBULK", faults: snmptest.Faults{BulkError: snmptest.StatusTooBig}, rows: 24},
		{name: "genErr without an index to every GETBULK", faults: snmptest.Faults{BulkError: snmptest.StatusGenErr}, rows: 24},
		{name: "empty answers to GETBULK", faults: snmptest.Faults{BulkEmpty: true}, rows: 24},
		{name: "answers to GETBULK are cut", faults: snmptest.Faults{BulkCut: 4}, rows: 24},
		{
			name: "large answers are dropped", faults: snmptest.Faults{DropLarge: 500}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Timeouts == 2 && s.Retries == 1 },
		},
		{
			name: "GETBULK is not answered", faults: snmptest.Faults{DropBulk: true}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Timeouts == 4 && s.Retries == 1 },
		},
		{
			name: "GETBULK does harm, which is known", faults: snmptest.Faults{DropBulk: true},
			device: func(d *plan.Device) { d.NoBulk = true }, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Timeouts == 0 },
		},

		// Cells.
		{name: "noSuchInstance within a table", faults: snmptest.Faults{NoSuchInstanceMid: oidOf(ifAdminOID, "12")}, rows: 23},
		{name: "a sparse table", change: func(m *snmptest.MIB) { m.Delete(oidOf(ifAdminOID, "12")) }, rows: 23},
		{
			name: "an INTEGER of no octets", faults: snmptest.Faults{ZeroLengthInteger: oidOf(ifAdminOID, "12")},
			rows: 23, status: probes.StatusWarning, words: []string{"1 value of column " + ifAdminOID + " could not be decoded"},
			partial: "1 value could not be decoded",
		},
		{
			name: "an INTEGER of no octets, once", faults: snmptest.Faults{ZeroLengthInteger: oidOf(ifAdminOID, "12"), ZeroLengthOnce: true}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Tables[0].Requests >= 2 },
		},
		{name: "an error-index without an error", faults: snmptest.Faults{IndexOnSuccess: 24}, rows: 24},
		{name: "a length of one too many", faults: snmptest.Faults{LongString: oidOf(ifDescrOID, "12")}, rows: 24},
		{name: "a number becomes a text", change: set(ifAdminOID+".12", snmptest.OctetString("up")), rows: 23},
		{name: "an Opaque float", change: set(ifAdminOID+".12", snmptest.OpaqueFloat(12.3)), rows: 24, other: map[string]float64{"12": 12.3}},
		{name: "an Opaque double", change: set(ifAdminOID+".12", snmptest.OpaqueDouble(-0.5)), rows: 24, other: map[string]float64{"12": -0.5}},
		{name: "an Opaque float that is no number", change: set(ifAdminOID+".12", snmptest.OpaqueFloat(float32(math.NaN()))), rows: 23},
		{name: "a NULL", change: set(ifAdminOID+".12", snmptest.Null()), rows: 23},
		{name: "a name of no octets", change: set("1.3.6.1.2.1.1.5.0", snmptest.OctetString("")), rows: 24},
		{
			name: "the last varbind of each answer is cut off", faults: snmptest.Faults{TruncatedVarbind: true},
			rows: 24, status: probes.StatusWarning, words: []string{"scalar not read: 1.3.6.1.2.1.1.5.0", "could not be decoded"}, partial: "could not be decoded",
			seen: func(s probes.PollStats) bool { return s.Malformed > 0 },
		},

		// Error-status.
		{
			name: "genErr for one column", faults: snmptest.Faults{GenErr: oidOf(ifInOctetsOID)}, rows: 24,
			status: probes.StatusWarning, words: []string{"0 rows of column " + ifInOctetsOID, "genErr"}, partial: "genErr",
		},
		{
			name: "a column is not in the view", faults: snmptest.Faults{Denied: oidOf(ifInOctetsOID)}, rows: 24,
			status: probes.StatusWarning, words: []string{"access denied (noAccess)"}, partial: "noAccess",
		},
		{name: "v1: one bad OID fails the whole GET", device: v1, change: func(m *snmptest.MIB) { m.Delete(oidOf("1.3.6.1.2.1.1.5")) }, rows: 24},
		{
			name: "v1: genErr for one scalar", device: v1, faults: snmptest.Faults{GenErr: oidOf("1.3.6.1.2.1.1.5.0")}, rows: 24,
			status: probes.StatusWarning, words: []string{"1 scalar not read", "genErr"}, partial: "scalar 1.3.6.1.2.1.1.5.0: error genErr",
		},

		// Datagrams.
		{name: "junk before each answer", faults: snmptest.Faults{JunkFirst: 3}, rows: 24, seen: stray},
		{name: "each answer twice", faults: snmptest.Faults{Duplicate: true}, rows: 24, seen: stray},
		{
			name: "late answers", faults: snmptest.Faults{LateReply: true}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Timeouts > 0 && s.Strays > 0 },
		},
		{
			name: "lost answers", faults: snmptest.Faults{LoseEvery: 3}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Timeouts > 0 && s.Retries > 0 },
		},
		{name: "a slow device", faults: snmptest.Faults{Delay: quick / 5}, rows: 24},
		{
			name: "another request id", faults: snmptest.Faults{WrongRequestID: true}, status: probes.StatusDeviceConnectionError,
			words: []string{"2 datagrams came that were no answer"}, seen: deaf,
		},
		{
			name: "another community", faults: snmptest.Faults{WrongCommunity: true}, status: probes.StatusDeviceConnectionError,
			words: []string{"2 datagrams came that were no answer"}, seen: deaf,
		},
		{
			name: "another type of PDU", faults: snmptest.Faults{WrongPDUType: true}, status: probes.StatusDeviceConnectionError,
			words: []string{"2 datagrams came that were no answer"}, seen: deaf,
		},
		{
			name: "another version", faults: snmptest.Faults{WrongVersion: true}, status: probes.StatusDeviceConnectionError,
			words: []string{"2 datagrams came that were no answer"}, seen: deaf,
		},
		{
			name: "answers come from another address", faults: snmptest.Faults{OtherSource: "127.0.0.2:0"}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Elsewhere > 0 && s.Timeouts <= 1 },
		},
		{
			name: "answers come from another port", faults: snmptest.Faults{OtherSource: "127.0.0.1:0"}, rows: 24,
			seen: func(s probes.PollStats) bool { return s.Elsewhere > 0 && s.Timeouts <= 1 },
		},
		{
			name: "no agent", gone: true, status: probes.StatusDeviceConnectionError, words: []string{"refuses UDP port"},
			seen: func(s probes.PollStats) bool { return s.Requests <= 2 && s.Timeouts == 0 },
		},
		{
			name: "silence", faults: snmptest.Faults{Silent: true}, status: probes.StatusDeviceConnectionError,
			words: []string{"no answer", "2 requests"}, seen: func(s probes.PollStats) bool { return s.Requests == 2 && s.Timeouts == 2 },
		},
		{
			name: "silence in the middle of a table", faults: snmptest.Faults{HalfTable: 30}, rows: 10, status: probes.StatusWarning,
			words: []string{"half read", "no answer in time"}, partial: "no answer in time",
			seen: func(s probes.PollStats) bool { return s.Timeouts > 0 && s.Requests < 30 },
		},
	}
}

// TestQuirks polls a switch that is healthy, and then one that has one quirk.
func TestQuirks(t *testing.T) {
	t.Parallel()
	for _, q := range quirks() {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(d *plan.Device) {
				d.Timeout, d.Retries = quick, 1
				if q.device != nil {
					q.device(d)
				}
			})
			want := adminOf(t, b)
			for row, value := range q.other {
				want["GigabitEthernet1/0/"+row] = value
			}
			b.probe = b.newProbe(ifPlan()) // with nothing learned
			if q.change != nil {
				q.change(b.mib)
			}
			b.agent.SetFaults(q.faults)
			if q.gone {
				_ = b.agent.Close()
			}
			points, err := b.poll(t)
			status := q.status
			if status == "" {
				status = probes.StatusOK
			}
			wantStatus(t, err, status, q.words...)
			wantAdmin(t, points["admin"], want, q.rows)
			wantVisible(t, b.probe.PollStats(), q)
		})
	}
}

func adminOf(t *testing.T, b *bench) map[string]float64 {
	t.Helper()
	points, err := b.poll(t)
	if err != nil && b.probe.PollStats().Timeouts == 0 {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for _, p := range points["admin"] {
		want[p.Series.Dim("if")] = p.Value.Float64()
	}
	return want
}

func wantAdmin(t *testing.T, points []probes.Point, want map[string]float64, rows int) {
	t.Helper()
	if len(points) != rows {
		t.Errorf("%d rows were read, want %d", len(points), rows)
	}
	for _, p := range points {
		name := p.Series.Dim("if")
		if value, ok := want[name]; name != "" && (!ok || p.Value.Float64() != value) {
			t.Errorf("%s is %v, want %v", name, p.Value, value)
		}
	}
}

func wantVisible(t *testing.T, s probes.PollStats, q quirk) {
	t.Helper()
	reasons := strings.Join(s.Partial, "; ")
	if !strings.Contains(reasons, q.partial) || (reasons == "") != (q.partial == "") {
		t.Errorf("partial: %q, want %q in it", reasons, q.partial)
	}
	if q.seen != nil && !q.seen(s) {
		t.Errorf("the counters do not show it: %+v", s)
	}
}

// A value that is never readable is asked for once more only at first.
func TestUnreadableIsRemembered(t *testing.T) {
	b := newBench(t, nil)
	b.agent.SetFaults(snmptest.Faults{ZeroLengthInteger: oidOf(ifAdminOID, "12")})
	requests := func() int {
		_, err := b.poll(t)
		wantStatus(t, err, probes.StatusWarning, "could not be decoded")
		return b.probe.PollStats().Requests
	}
	first := requests()
	if again := requests(); again >= first {
		t.Errorf("%d requests, then %d", first, again)
	}
	b.agent.SetFaults(snmptest.Faults{})
	if points, err := b.poll(t); err != nil || len(points["admin"]) != benchPorts {
		t.Errorf("a value that came back: %d rows, %v", len(points["admin"]), err)
	}
}

// A bad day does not last: the size of requests comes back.
func TestRequestsGrowAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *plan.Device) { d.Timeout, d.Retries = quick, 0 })
	cost := func() int {
		if _, err := b.poll(t); err != nil {
			t.Fatal(err)
		}
		return b.probe.PollStats().Requests
	}
	cost()
	healthy := cost()
	b.agent.SetFaults(snmptest.Faults{DropBulk: true})
	if bad := cost(); bad <= healthy {
		t.Fatalf("%d requests on a bad day, %d on others", bad, healthy)
	}
	b.agent.SetFaults(snmptest.Faults{})
	for polls := 1; ; polls++ {
		if cost() <= healthy {
			return
		}
		if polls > 60 {
			t.Fatalf("%d requests after %d polls, %d before the bad day", cost(), polls, healthy)
		}
	}
}

// Requests wait for their turn, and none for one behind the deadline.
func TestPace(t *testing.T) {
	d := newBench(t, func(d *plan.Device) { d.PacketsPerSecond = 4 }).probe.device
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond} {
		if wait, ok := d.takeTurn(t.Context(), now); wait != want || !ok {
			t.Errorf("request %d waits %v, %v; want %v", i, wait, ok, want)
		}
	}
	if wait, ok := d.takeTurn(t.Context(), now.Add(time.Minute)); wait != 0 || !ok {
		t.Errorf("after a pause: %v, %v", wait, ok)
	}
	ctx, cancel := context.WithDeadline(t.Context(), now.Add(time.Minute+100*time.Millisecond))
	defer cancel()
	if wait, ok := d.takeTurn(ctx, now.Add(time.Minute)); ok {
		t.Errorf("waits %v although the deadline is before", wait)
	}
}
