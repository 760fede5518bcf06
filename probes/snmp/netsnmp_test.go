package snmp

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// startSnmpd runs net-snmp's agent with a configuration of its own.
func startSnmpd(t *testing.T) (addr string) { return startSnmpdWith(t, "") }

// startSnmpdWith adds lines to the configuration.
func startSnmpdWith(t *testing.T, lines string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("snmpd")
	if err != nil {
		path = "/usr/sbin/snmpd" // not on everybody's PATH
		if _, err := os.Stat(path); err != nil {
			t.Skip("SKIPPED: snmpd is not installed (package snmpd)")
		}
	}
	dir := t.TempDir()
	addr = freeAddr(t)
	conf := "agentAddress udp:" + addr + "\nrocommunity " + secret + " 127.0.0.1\nsysName loop\nsysLocation Süd\nsysContact \"line\ttab\"\n" + lines
	if err := os.WriteFile(filepath.Join(dir, "snmpd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-f", "-C", "-c", filepath.Join(dir, "snmpd.conf"), "-Lf", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	startAgent(t, cmd, addr, secret)
	return addr
}

// toolCells asks with one of net-snmp's tools.
func toolCells(t *testing.T, tool, addr string, args ...string) map[string]plan.Cell {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package snmp)", tool)
	}
	dir := t.TempDir()
	cmd := exec.Command(path, append([]string{"-c", secret, "-m", "", "-Onetx"}, append(args[:1:1], append([]string{addr}, args[1:]...)...)...)...)
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	cells := map[string]plan.Cell{}
	for _, line := range strings.Split(strings.ReplaceAll("\n"+string(out), "\n.", "\x01"), "\x01")[1:] {
		oid, value, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " = ")
		cells[oid] = toolCell(value)
	}
	return cells
}

func toolCell(value string) plan.Cell {
	kind, text, typed := strings.Cut(value, ": ")
	n, _ := strconv.ParseUint(text, 10, 64)
	switch {
	case value == `""`:
		return plan.Cell{Kind: plan.Octets}
	case !typed:
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return plan.Cell{}
		}
		return plan.Cell{Kind: plan.Unsigned, Uint: n}
	case kind == "INTEGER":
		n, _ := strconv.ParseInt(text, 10, 64)
		return plan.Cell{Kind: plan.Integer, Int: n}
	case kind == "Gauge32":
		return plan.Cell{Kind: plan.Unsigned, Uint: n}
	case kind == "Counter32":
		return plan.Cell{Kind: plan.Counter32, Uint: n}
	case kind == "Counter64":
		return plan.Cell{Kind: plan.Counter64, Uint: n}
	case kind == "Hex-STRING":
		raw, _ := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		return octets(raw)
	}
	if kind == "STRING" {
		return octets([]byte(text))
	}
	return plan.Cell{Kind: plan.Text, Text: strings.TrimPrefix(text, ".")}
}

// between tells whether a value that was read lies between what the tool saw
// before and after; only numbers may move.
func between(before, got, after plan.Cell) bool {
	if got == before || got == after {
		return true
	}
	low, high := before, after
	if low.Kind != got.Kind || high.Kind != got.Kind {
		return false
	}
	switch got.Kind {
	case plan.Counter32, plan.Counter64, plan.Unsigned:
		return low.Uint <= got.Uint && got.Uint <= high.Uint
	case plan.Integer:
		return low.Int <= got.Int && got.Int <= high.Int
	}
	return false
}

func TestAgainstNetSNMP(t *testing.T) {
	t.Parallel()
	addr := startSnmpd(t)
	roots := []string{"1.3.6.1.2.1.1", "1.3.6.1.2.1.2", "1.3.6.1.2.1.4.20", "1.3.6.1.2.1.31", "1.3.6.1.2.1.11"}
	for _, v1 := range []bool{false, true} {
		version, tool := "-v2c", "snmpbulkwalk"
		if v1 {
			version, tool = "-v1", "snmpwalk"
		}
		s := open(t, deviceAt(t, addr))
		s.timeout = 5 * time.Second
		if err := s.use(credentialOf(secret, v1)); err != nil {
			t.Fatal(err)
		}
		before := map[string]map[string]plan.Cell{}
		for _, root := range roots {
			before[root] = toolCells(t, tool, addr, version, root)
		}
		w := newWalk(roots, walkOptions{noBulk: v1})
		if err := drive(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.columns {
			after := toolCells(t, tool, addr, version, c.root)
			if c.cut != nil || len(c.cells) != len(after) || len(after) == 0 {
				t.Errorf("%s %s: %d cells, the tool has %d, cut: %v", version, c.root, len(c.cells), len(after), c.cut)
			}
			for index, cell := range c.cells {
				oid := c.root + "." + index
				if !between(before[c.root][oid], cell, after[oid]) {
					t.Errorf("%s %s is %+v, the tool had %+v, then %+v", version, oid, cell, before[c.root][oid], after[oid])
				}
			}
		}
		wantScalars(t, s, addr, version)
	}
}

func wantScalars(t *testing.T, s *session, addr, version string) {
	t.Helper()
	oids := []string{"1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.2.0", "1.3.6.1.2.1.1.4.0", "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.6.0"}
	absent := "1.3.6.1.4.1.318.1.1.1.1.1.1.0"
	g := newGets(append([]string{absent}, oids...), 0)
	if err := drive(t.Context(), s, g); err != nil {
		t.Fatal(err)
	}
	want := toolCells(t, "snmpget", addr, append([]string{version}, oids...)...)
	for _, oid := range oids {
		if g.cells[oid] != want[oid] || want[oid].Kind == plan.Absent {
			t.Errorf("%s %s is %+v, the tool has %+v", version, oid, g.cells[oid], want[oid])
		}
	}
	if _, ok := g.cells[absent]; ok || len(g.failed) > 0 {
		t.Errorf("%s: the absent OID gave %v, failed %v", version, g.cells[absent], g.failed)
	}
}

func TestNetSNMPWrongCommunity(t *testing.T) {
	t.Parallel()
	addr := startSnmpd(t)
	d := deviceAt(t, addr)
	d.Timeout, d.Credentials[0].Community = quick, probes.NewSecret("other-"+secret)
	b := &bench{clock: newClock(), dev: d}
	b.probe = b.newProbe(ifPlan())
	_, err := b.poll(t)
	wantStatus(t, err, probes.StatusDeviceConnectionError, "no answer from "+addr)
	b.dev.Timeout, b.dev.Credentials[0].Community = 5*time.Second, probes.NewSecret(secret)
	b.probe = b.newProbe(ifPlan())
	points, err := b.poll(t)
	if err != nil || len(points["admin"]) == 0 || points["uptime"][0].Series.Dim("sysname") != "loop" {
		t.Errorf("with the right one: %v %v", points, err)
	}
}

func TestNetSNMPView(t *testing.T) {
	b := newBench(t, nil)
	b.dev = deviceAt(t, startSnmpdWith(t, "view sysonly included .1.3.6.1.2.1.1\nrocommunity narrow-"+secret+" default -V sysonly\n"))
	for community, want := range map[string]probes.Status{secret: probes.StatusOK, "narrow-" + secret: probes.StatusWarning} {
		b.dev.Credentials[0].Community = probes.NewSecret(community)
		b.probe = b.newProbe(ifPlan())
		points, err := b.poll(t)
		if probes.StatusOf(err) != want || len(points["uptime"]) != 1 {
			t.Errorf("%d points, %v, want %s", len(points), err, want)
		}
	}
}
