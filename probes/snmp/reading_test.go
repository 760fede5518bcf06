package snmp

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// readingOf lets the blocks of ifPlan's kind end in a given way.
func readingOf(columns map[string]error, failed map[string]error, rows int) *reading {
	r := newReading(probes.Stamp{}, plan.Cell{Kind: plan.Unsigned, Uint: 1})
	r.asked = len(columns) + len(failed)
	r.failed = failed
	for root, why := range columns {
		w := newWalk([]string{root}, walkOptions{})
		c := w.columns[0]
		c.done, c.cut, c.seen = true, why, rows
		for i := range rows {
			c.cells[string(rune('1'+i))] = number(i)
		}
		r.addTable(w)
	}
	return r
}

func TestVerdict(t *testing.T) {
	p := ifPlan()
	blocks := []*plan.Block{&p.Blocks[0], &p.Blocks[1]}
	const column = "1.3.6.1.2.1.2.2.1.7"
	denied := noAccess.err()
	tests := []struct {
		name    string
		r       *reading
		numbers int
		status  probes.Status
		words   []string
	}{
		{"all there", readingOf(map[string]error{column: nil}, nil, 3), 3, probes.StatusOK, nil},
		{"dimensions only", readingOf(map[string]error{column: nil}, nil, 3), 0, probes.StatusWarning, []string{"no number for any metric"}},
		{"nothing there", readingOf(map[string]error{column: nil}, nil, 0), 0, probes.StatusWarning, []string{"none of the 1 requested OIDs exist"}},
		{"nothing asked", readingOf(nil, nil, 0), 0, probes.StatusOK, nil},
		{
			"a table cut", readingOf(map[string]error{column: errMalformed}, nil, 3), 0, probes.StatusWarning,
			[]string{"table 1.3.6.1.2.1.2.2.1 (interfaces/traffic) half read: 3 rows of column " + column + ", then: the reply could not be decoded"},
		},
		{
			"scalars failed", readingOf(map[string]error{column: nil}, map[string]error{"1.3.2": genErr.err(), "1.3.1": errTimeout}, 3), 0, probes.StatusWarning,
			[]string{"2 scalars not read: 1.3.1 and 1 other: no answer in time"},
		},
		{"denied", readingOf(map[string]error{column: denied}, nil, 0), 0, probes.StatusAuthenticationError, []string{"access denied", "view"}},
		{
			"denied beside another failure", readingOf(map[string]error{column: denied}, map[string]error{"1.3.1": errMalformed}, 0), 0,
			probes.StatusAuthenticationError,
			[]string{"access denied", "view"},
		},
		{"denied in part", readingOf(map[string]error{column: denied}, nil, 1), 0, probes.StatusWarning, []string{"noAccess", "1 row of"}},
		{"gone at once", readingOf(map[string]error{column: errGone}, nil, 0), 0, probes.StatusDeviceConnectionError, []string{"once and then no more"}},
		{
			"gone with two tables", readingOf(map[string]error{column: errGone, "1.3.6.1.2.1.2.2.1.10": errGone}, nil, 2), 0, probes.StatusWarning,
			[]string{"stopped answering", "1 further table not read"},
		},
		{"a column of no block", readingOf(map[string]error{"9": errMalformed}, nil, 1), 0, probes.StatusWarning, []string{"table 9 (?)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantStatus(t, test.r.verdict(blocks, plan.Notes{Numbers: test.numbers}), test.status, test.words...)
		})
	}
}

// A scalar that is a dimension and could not be read must not make a series
// without it.
func TestPollScalarDimensionFails(t *testing.T) {
	b := newBench(t, nil)
	b.agent.SetFaults(snmptest.Faults{GenErr: snmptest.MustOID("1.3.6.1.2.1.1.5.0")})
	points, err := b.poll(t)
	wantStatus(t, err, probes.StatusWarning, "1 scalar not read: 1.3.6.1.2.1.1.5.0: error genErr")
	if len(points["uptime"]) != 0 || len(points["admin"]) != benchPorts {
		t.Errorf("%d uptime and %d admin points, want none and %d", len(points["uptime"]), len(points["admin"]), benchPorts)
	}
}

// A view that hides all but the system group is told of, also in the polls
// that leave absent tables alone.
func TestOnlySystemGroupAnswers(t *testing.T) {
	b := newAutoBench(t, probes.SNMPv2c)
	b.profiles.plans["one"] = ifPlan()
	b.mib.Delete(snmptest.MustOID("1.3.6.1.2.1.2"))
	walked := 0
	poll := func() error {
		b.clock.advance(time.Minute)
		batch, err := b.probe.Poll(t.Context())
		if len(batch.Points) == 0 {
			t.Fatalf("no points: %v", err)
		}
		walked += min(1, len(b.probe.PollStats().Tables))
		return err
	}
	for range 12 {
		wantStatus(t, poll(), probes.StatusWarning, "only the system group answered: check the view")
	}
	if walked != 2 {
		t.Errorf("tables were asked for in %d of 12 polls, want 2", walked)
	}
	b.set("1.3.6.1.2.1.2.2.1.7.1", snmptest.Integer(1))
	var err error
	for range 10 {
		err = poll()
	}
	if err != nil {
		t.Errorf("with an interface: %v", err)
	}
}

type fixedNames struct{}

func (fixedNames) NameOf(string) string { return "sw1.example" }

func TestPollNamesTheDevice(t *testing.T) {
	b := newBench(t, func(d *plan.Device) { d.MaxOIDs = 2 })
	task := Tasks(ifPlan(), []plan.Device{b.dev}, TaskOptions{}, probes.Deps{Clock: b.clock, Resolver: fixedNames{}})[0]
	batch, err := task.Probe.Poll(context.Background())
	if err != nil || len(batch.Points) == 0 {
		t.Fatal(err)
	}
	for _, p := range batch.Points {
		if p.Series.Dim("device.name") != "sw1.example" {
			t.Errorf("dimensions %v", p.Series.Dims())
		}
	}
}

func TestPartial(t *testing.T) {
	if got := readingOf(map[string]error{"1.3.6.1.2.1.2.2.1.7": nil}, nil, 3).partial(); len(got) != 0 {
		t.Errorf("a whole reading is partial: %q", got)
	}
	columns, failed := map[string]error{}, map[string]error{"1.3.1": genErr.err()}
	for i := range 20 {
		columns[fmt.Sprintf("1.3.6.1.4.1.%d.1", i+1)] = errGone
	}
	got := readingOf(columns, failed, 3).partial()
	if len(got) != maxReasons || got[0] != "scalar 1.3.1: error genErr" || got[maxReasons-1] != "and 14 more" {
		t.Errorf("%d reasons: %q", len(got), got)
	}
}

func TestPollLimit(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{time.Second: 10 * time.Second, time.Minute: 48 * time.Second} {
		p := &Probe{blocks: []*plan.Block{{Interval: interval}}}
		if got := p.limit(); got != want {
			t.Errorf("a poll every %v may take %v, want %v", interval, got, want)
		}
	}
}
