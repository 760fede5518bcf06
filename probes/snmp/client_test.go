package snmp

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// serve starts a responder that a client has opened.
func serve(t *testing.T, mib *snmptest.MIB) (*snmptest.Responder, *Client) {
	t.Helper()
	r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, openClient(t, deviceAt(t, r.Addr()))
}

func openClient(t *testing.T, d plan.Device) *Client {
	t.Helper()
	c, err := Open(t.Context(), d, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// clientWalk gives the lines of a walk, without order.
func clientWalk(t *testing.T, c *Client, root string, o WalkOptions) (map[string]string, WalkReport) {
	t.Helper()
	lines := map[string]string{}
	report, err := c.Walk(t.Context(), root, o, func(v Varbind) error {
		lines[v.OID] = v.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, report
}

func TestClientWalkGivesAll(t *testing.T) {
	t.Parallel()
	mib := snmptest.NewSwitch("sw", 30, 1, nil)
	r, c := serve(t, mib)
	for _, faults := range []snmptest.Faults{{}, {DropBulk: true}, {TooBig: 3}, {BulkError: 5}, {BulkEmpty: true}, {LoseEvery: 9}} {
		r.SetFaults(faults)
		c.s.timeout = quick
		lines, report := clientWalk(t, c, "1.3", WalkOptions{})
		if len(lines) != mib.Len() || report.Rows != mib.Len() || report.Stopped != nil {
			t.Errorf("%+v: %d of %d, %+v", faults, len(lines), mib.Len(), report)
		}
	}
	r.SetFaults(snmptest.Faults{EndlessTable: snmptest.MustOID(entry + ".10")})
	if _, report := clientWalk(t, c, entry, WalkOptions{MaxRows: 2000}); report.Rows != 2000 || report.Stopped == nil {
		t.Errorf("without end: %+v", report)
	}
	r.SetFaults(snmptest.Faults{NoSuchInstanceMid: snmptest.MustOID(entry + ".2.3")})
	if _, report := clientWalk(t, c, entry+".2", WalkOptions{}); report.Rows != 29 || report.Skipped != 1 || report.Stopped != nil {
		t.Errorf("a hole: %+v", report)
	}
	r.SetFaults(snmptest.Faults{Silent: true})
	if _, report := clientWalk(t, c, entry, WalkOptions{}); !errors.Is(report.Stopped, errGone) {
		t.Errorf("silent: %+v", report)
	}
}

func TestClientWalkOfOneInstance(t *testing.T) {
	t.Parallel()
	_, c := serve(t, snmptest.NewSwitch("sw", 2, 1, nil))
	lines, report := clientWalk(t, c, "1.3.6.1.2.1.1.5.0", WalkOptions{})
	if lines["1.3.6.1.2.1.1.5.0"] != `.1.3.6.1.2.1.1.5.0 = STRING: "sw"` || report.Rows != 1 {
		t.Errorf("%v %+v", lines, report)
	}
	if lines, report = clientWalk(t, c, "1.3.6.1.2.1.99", WalkOptions{}); len(lines) > 0 || report.Rows != 0 || report.Stopped != nil {
		t.Errorf("nothing there: %v %+v", lines, report)
	}
}

// A table out of order is read whole when the order is not looked at, and one
// that goes round comes to an end.
func TestClientWalkUnordered(t *testing.T) {
	const a, b, c, d, e = ".1.1", ".1.2", ".1.3", ".1.4", ".1.5"
	for _, tt := range []struct {
		name  string
		after map[string]string // what follows, by what is asked for
		want  []string
		round bool
	}{
		{"out of order", map[string]string{"": a, a: d, d: b, b: c, c: e}, []string{a, d, b, c, e}, false},
		{"round", map[string]string{"": a, a: d, d: b, b: a}, []string{a, d, b}, true},
		{"stuck", map[string]string{"": a, a: b, b: b}, []string{a, b}, true},
	} {
		var got []string
		w := newStream(entry, false, WalkOptions{Unordered: true}, func(v Varbind) error {
			got = append(got, strings.TrimPrefix(v.OID, entry))
			return nil
		})
		for requests := 0; ; requests++ {
			r, ok := w.next()
			if !ok {
				break
			}
			if requests > 20 {
				t.Fatalf("%s: no end", tt.name)
			}
			at, resp := strings.TrimPrefix(r.oids[0], entry), response{}
			for range max(r.reps, 1) {
				next, ok := tt.after[at]
				if !ok {
					resp.vars = append(resp.vars, varbind{oid: "1.3.6.1.2.1.99", cell: number(1)})
					break
				}
				resp.vars = append(resp.vars, varbind{oid: entry + next, cell: number(1), tag: byte(TagInteger)})
				at = next
			}
			w.feed(resp, nil)
		}
		if !slices.Equal(got, tt.want) || (w.report.Repeated > 0) != tt.round || w.report.Backwards == 0 && !tt.round || w.report.Stopped != nil {
			t.Errorf("%s: %v, want %v; %+v", tt.name, got, tt.want, w.report)
		}
	}
	w := newStream(entry, false, WalkOptions{}, func(Varbind) error { return nil })
	w.next()
	w.feed(response{vars: []varbind{{oid: entry + b}, {oid: entry + a}}}, nil)
	if !errors.Is(w.report.Stopped, ErrUnordered) {
		t.Errorf("an ordered walk: %+v", w.report)
	}
}

// The lines are those of net-snmp's tools, in what and how.
func TestClientAsSnmpwalk(t *testing.T) {
	t.Parallel()
	addr := startSnmpd(t)
	d := deviceAt(t, addr)
	d.Credentials = []probes.Credential{credentialOf(secret, false)}
	c := openClient(t, d)
	for _, root := range []string{"1.3.6.1.2.1.1", "1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.6", "1.3.6.1.2.1.4.20"} {
		want := toolLines(t, "snmpwalk", "-v2c", "-c", secret, addr, root)
		got, report := clientWalk(t, c, root, WalkOptions{})
		for oid := range got {
			if strings.Contains(want[oid], "Timeticks") && strings.Contains(got[oid], "Timeticks") {
				continue // time goes on
			}
			if got[oid] != want[oid] {
				t.Errorf("%s\n%s, the tool has", got[oid], want[oid])
			}
		}
		if len(got) != len(want) || report.Stopped != nil {
			t.Errorf("%s: %d lines, the tool has %d; %+v", root, len(got), len(want), report)
		}
	}
	vars, err := c.Get(t.Context(), []string{"1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.55.0", "1.3.6.1.2.1.1.2.0"})
	if err != nil || len(vars) != 3 || vars[0].Cell.Text != "loop" || vars[1].Exception == "" || vars[2].Type() != "OID" {
		t.Errorf("%+v %v", vars, err)
	}
}

func toolLines(t *testing.T, tool string, args ...string) map[string]string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package snmp)", tool)
	}
	dir := t.TempDir()
	cmd := exec.Command(path, append([]string{"-m", "", "-On"}, args...)...)
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	lines := map[string]string{}
	for _, line := range strings.Split(strings.ReplaceAll("\n"+string(out), "\n.", "\x01"), "\x01")[1:] {
		oid, _, _ := strings.Cut(line, " ")
		lines[oid] = strings.TrimRight("."+line, "\n ")
	}
	return lines
}

// A recording whose lines are out of order loses nothing that snmpwalk -Cc
// gets: an own one, and a real device's where there is one.
func TestClientUnorderedLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var own strings.Builder
	for _, n := range []int{1, 2, 7, 3, 4, 12, 5} {
		fmt.Fprintf(&own, "1.3.6.1.4.1.99.1.%d|2|%d\n", n, n)
	}
	own.WriteString("1.3.6.1.2.1.1.3.0|67|100\n1.3.6.1.4.1.99.2.1|4|last\n")
	if err := os.WriteFile(filepath.Join(dir, "own.snmprec"), []byte(own.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	unsortedLosesNothing(t, dir, "own")
	t.Run("moxa", func(t *testing.T) { unsortedLosesNothing(t, corpus(t), "moxa-etherdevice_edsp510a8poe") })
}

func unsortedLosesNothing(t *testing.T, dir, name string) {
	t.Helper()
	addr := startSnmpsim(t, dir, []string{name})
	d := deviceAt(t, addr)
	d.Timeout = 20 * time.Second
	d.Credentials = []probes.Credential{credentialOf(name, false)}
	c := openClient(t, d)
	backwards := 0
	for _, root := range []string{"1.3", "1.3.6.1.2.1", "1.3.6.1.4.1"} {
		want := toolCells(t, "snmpwalk", addr, "-v2c", "-c", name, "-Cc", root)
		maps.DeleteFunc(want, func(_ string, c plan.Cell) bool { return c.Kind == plan.Absent })
		got, report := clientWalk(t, c, root, WalkOptions{Unordered: true})
		backwards += report.Backwards
		for _, oid := range slices.Sorted(maps.Keys(want)) {
			if got[oid] == "" {
				t.Errorf("%s is lost", oid)
			}
		}
		// The tool says of the last OID that nothing follows, in place of its value.
		if len(got) > len(want)+1 || report.Stopped != nil {
			t.Errorf("%s: %d OIDs, snmpwalk -Cc has %d; %+v", root, len(got), len(want), report)
		}
	}
	if backwards == 0 {
		t.Error("nothing was out of order")
	}
}

// Rights to write show without anything being changed.
func TestClientCanWrite(t *testing.T) {
	t.Parallel()
	addr := startSnmpdWith(t, "rwcommunity rw-"+secret+" 127.0.0.1\n")
	for _, tt := range []struct {
		community string
		v1        bool
		want      WriteAccess
	}{{secret, false, CannotWrite}, {"rw-" + secret, false, CanWrite}, {secret, true, CannotWrite}, {"rw-" + secret, true, CanWrite}} {
		d := deviceAt(t, addr)
		d.Credentials = []probes.Credential{credentialOf(tt.community, tt.v1)}
		c := openClient(t, d)
		before, _ := clientWalk(t, c, "1.3.6.1.2.1.1", WalkOptions{})
		access, why, err := c.CanWrite(t.Context())
		if err != nil || access != tt.want {
			t.Errorf("%q v1=%v: %v, want %v: %s %v", tt.community, tt.v1, access, tt.want, why, err)
		}
		after, _ := clientWalk(t, openClient(t, d), "1.3.6.1.2.1.1", WalkOptions{})
		for oid, line := range before {
			if after[oid] != line && !strings.Contains(line, "Timeticks") {
				t.Errorf("%s became %s", line, after[oid])
			}
		}
	}
}

func TestAccessOf(t *testing.T) {
	for status, want := range map[errorStatus]WriteAccess{
		noAccess: CannotWrite, authorizationError: CannotWrite, noError: CanWrite, 17: CanWrite, 7: CanWrite,
		genErr: WriteUnknown, readOnly: WriteUnknown, noSuchName: WriteUnknown, tooBig: WriteUnknown,
	} {
		if got := accessOf(status); got != want {
			t.Errorf("%v: %v, want %v", status, got, want)
		}
	}
}

func TestVarbindText(t *testing.T) {
	text := func(s string) Varbind {
		return Varbind{OID: "1.3", Tag: TagOctets, Cell: plan.Cell{Kind: plan.Octets, Text: s}}
	}
	for _, tt := range []struct {
		v    Varbind
		want string
	}{
		{text(`say "x"`), `.1.3 = STRING: "say \"x\""`},
		{text(""), `.1.3 = ""`},
		{text("\x00\x1b"), `.1.3 = Hex-STRING: 00 1B`},
		{Varbind{OID: "1.3", Tag: TagTimeTicks, Cell: plan.Cell{Kind: plan.Unsigned, Uint: 17284102}}, ".1.3 = Timeticks: (17284102) 2 days, 0:00:41.02"},
		{Varbind{OID: "1.3", Tag: TagOID, Cell: plan.Cell{Kind: plan.Text, Text: "1.3.6"}}, ".1.3 = OID: .1.3.6"},
		{Varbind{OID: "1.3", Tag: TagFloat, Cell: plan.Cell{Kind: plan.Real, Float: 12.5}}, ".1.3 = Opaque: Float: 12.5"},
		{Varbind{OID: "1.3", Tag: TagCounter64, Cell: plan.Cell{Kind: plan.Counter64, Uint: 1 << 63}}, ".1.3 = Counter64: 9223372036854775808"},
		{Varbind{OID: "1.3", Exception: NoSuchInstance}, ".1.3 = " + NoSuchInstance},
		{Varbind{OID: "1.3", Tag: TagInteger}, ".1.3 = INTEGER: (a value that could not be read)"},
	} {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// A value that a SET could not repeat as it is, is not tried.
func TestClientCanWriteLeavesOddValuesAlone(t *testing.T) {
	mib := snmptest.NewMIB()
	mib.Set(snmptest.MustOID(sysUpTime), snmptest.TimeTicks(100))
	for _, oid := range readOnlyInstances {
		mib.Set(snmptest.MustOID(oid), snmptest.Integer(-1))
	}
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{secret: mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() })
	d := deviceAt(t, agent.Addr())
	d.Timeout = quick
	d.Credentials[0].Community = probes.NewSecret(secret)
	access, why, err := openClient(t, d).CanWrite(t.Context())
	if err != nil || access != WriteUnknown || !strings.Contains(why, "none of the instances") {
		t.Errorf("%v, %q, %v", access, why, err)
	}
}
