package snmp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// corpus is the folder of recordings, or a skip.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("EDGEHOLD_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "snmprec")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: no recordings of real devices in %s; set EDGEHOLD_CORPUS", dir)
	}
	return dir
}

// recorded reads a recording with code of its own: the cell of each OID, and
// those whose value it does not judge.
func recorded(t *testing.T, file string) (cells map[string]plan.Cell, unjudged map[string]bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cells, unjudged = map[string]plan.Cell{}, map[string]bool{}
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimRight(line, "\r\n"), "|", 3)
		if len(parts) != 3 {
			continue
		}
		cell, ok := recordedCell(parts[1], parts[2])
		if other, twice := cells[parts[0]]; !ok || twice && other != cell {
			unjudged[parts[0]] = true
		}
		cells[parts[0]] = cell
	}
	return cells, unjudged
}

func octets(raw []byte) plan.Cell { return plan.Cell{Kind: plan.Octets, Text: string(raw)} }

func recordedCell(tag, value string) (plan.Cell, bool) {
	text := func(s string) plan.Cell { return plan.Cell{Kind: plan.Text, Text: s} }
	if number, isHex := strings.CutSuffix(tag, "x"); isHex {
		raw, err := hex.DecodeString(value)
		if err != nil {
			return plan.Cell{}, false
		}
		switch {
		case number == "4":
			return octets(raw), true
		case number == "64" && len(raw) == 4:
			return text(net.IP(raw).String()), true
		case number == "68" && bytes.HasPrefix(raw, []byte{0x9f, 0x78, 4}):
			return floatCell(math.Float32frombits(binary.BigEndian.Uint32(raw[3:]))), true
		}
		return plan.Cell{}, false
	}
	kinds := map[string]plan.CellKind{"65": plan.Counter32, "66": plan.Unsigned, "67": plan.Unsigned, "70": plan.Counter64}
	switch tag {
	case "2":
		n, err := strconv.ParseInt(value, 10, 64)
		return plan.Cell{Kind: plan.Integer, Int: n}, err == nil
	case "4":
		return octets([]byte(value)), true
	case "5":
		return plan.Cell{}, true
	case "64":
		if len(value) == 4 {
			return text(net.IP(value).String()), true
		}
		return text(strings.TrimSpace(value)), true
	case "6":
		return text(strings.Trim(value, ". ")), true
	case "65", "66", "67", "70":
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		return plan.Cell{Kind: kinds[tag], Uint: n}, err == nil
	}
	return plan.Cell{}, false
}

// wantRecorded walks the columns of ifTable and ifXTable side by side, and all
// else as two subtrees, and holds every OID against the recording.
func wantRecorded(t *testing.T, s *session, file string, v1 bool) {
	t.Helper()
	cells, unjudged := recorded(t, file)
	tables := [][]string{{"1.3.6.1.2.1", "1.3.6.1.4.1"}, {}, {}}
	for i := 1; i <= 22; i++ {
		tables[1] = append(tables[1], "1.3.6.1.2.1.2.2.1."+strconv.Itoa(i))
		tables[2] = append(tables[2], "1.3.6.1.2.1.31.1.1.1."+strconv.Itoa(i))
	}
	for _, columns := range tables {
		w := newWalk(columns, walkOptions{noBulk: v1, rows: 100_000, requests: 100_000, bytes: 1 << 30})
		if err := drive(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.columns {
			if c.cut != nil {
				t.Errorf("%s cut after %d rows: %v", c.root, c.seen, c.cut)
			}
			wantColumn(t, c, cells, unjudged, v1)
		}
	}
}

func wantColumn(t *testing.T, c *column, cells map[string]plan.Cell, unjudged map[string]bool, v1 bool) {
	t.Helper()
	want := rowsOf(cells, c.root)
	maps.DeleteFunc(want, func(_ string, cell plan.Cell) bool { return v1 && cell.Kind == plan.Counter64 })
	for index, cell := range want {
		got := c.cells[index]
		got.Text, cell.Text = strings.TrimRight(got.Text, " "), strings.TrimRight(cell.Text, " ") // snmpsim cuts them off
		if unjudged[c.root+"."+index] && got.Kind != plan.Absent {
			continue
		}
		if got != cell {
			t.Errorf("%s.%s is %+v, want %+v", c.root, index, got, cell)
		}
	}
	for index := range c.cells {
		if _, ok := want[index]; !ok && !unjudged[c.root+"."+index] {
			t.Errorf("%s.%s is not in the recording", c.root, index)
		}
	}
}

func credentialOf(community string, v1 bool) probes.Credential {
	c := probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret(community)}
	if v1 {
		c.Version = probes.SNMPv1
	}
	return c
}

// TestWalkRecordings walks every recording, served by the project's responder.
func TestWalkRecordings(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for i, file := range files {
		if info, err := os.Stat(file); err != nil || testing.Short() && info.Size() > 100_000 {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			mib, _, err := snmptest.LoadRecording(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			s := open(t, deviceAt(t, r.Addr()))
			v1 := i%4 == 0
			s.timeout = 5 * time.Second
			if err := s.use(credentialOf("public", v1)); err != nil {
				t.Fatal(err)
			}
			wantRecorded(t, s, file, v1)
		})
	}
}

// isUnsorted reports whether an agent that serves the recording as it is gives
// OIDs that do not increase.
func isUnsorted(t *testing.T, file string) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var before snmptest.OID
	for line := range strings.Lines(string(data)) {
		name, _, _ := strings.Cut(line, "|")
		oid, err := snmptest.ParseOID(name)
		if err != nil {
			continue
		}
		if oid.Compare(before) < 0 {
			return true
		}
		before = oid
	}
	return false
}

// soak reports whether tests may take minutes.
func soak() bool { return os.Getenv("EDGEHOLD_SOAK") != "" }

// TestWalkSnmpsim walks recordings that snmpsim, code by others, serves: some,
// or with EDGEHOLD_SOAK all of them.
func TestWalkSnmpsim(t *testing.T) {
	dir := corpus(t)
	t.Parallel()
	names := []string{"hwg-poseidon", "apc_ap8959eu3", "airos_airos8", "digipower", "moxa-etherdevice_edsp510a8poe"}
	if soak() {
		names = names[:0]
		files, err := filepath.Glob(filepath.Join(dir, "*.snmprec"))
		if err != nil || len(files) < 70 {
			t.Fatalf("%d recordings: %v", len(files), err)
		}
		for _, file := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(file), ".snmprec"))
		}
	}
	addr := startSnmpsim(t, dir, names)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name+".snmprec")
			unsorted := isUnsorted(t, file)
			for _, c := range simCredentials(name, i) {
				s := open(t, deviceAt(t, addr))
				s.timeout = 10 * time.Second
				if err := s.use(c); err != nil {
					t.Fatal(err)
				}
				if !unsorted { // else snmpsim itself does not find all of it
					wantRecorded(t, s, file, c.Version == probes.SNMPv1)
				}
				if unsorted || !soak() {
					wantAsSnmpwalk(t, s, addr, file)
				}
			}
		})
	}
}

// The user that startSnmpsim sets up.
const (
	simUser     = "simuser"
	simAuthPass = "authpass123"
	simPrivPass = "privpass123"
)

// simCredentials ask for a recording in v2c, each third one in v3 too, and some
// in v1.
func simCredentials(name string, i int) []probes.Credential {
	all := []probes.Credential{credentialOf(name, false)}
	switch {
	case i%3 == 1:
		all = append(all, probes.Credential{
			Name: "sim", Version: probes.SNMPv3, User: simUser, Context: name,
			Auth: probes.AuthSHA, AuthPass: probes.NewSecret(simAuthPass), Priv: probes.PrivAES, PrivPass: probes.NewSecret(simPrivPass),
		})
	case i%6 == 2:
		all = append(all, credentialOf(name, true))
	}
	return all
}

// wantAsSnmpwalk holds a walk of all that is there against that of another
// walker, which does not look at the order either, and its values against the
// recording.
func wantAsSnmpwalk(t *testing.T, s *session, addr, file string) {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(file), ".snmprec")
	want := toolCells(t, "snmpwalk", addr, "-v2c", "-c", name, "-Cc", "1.3")
	cells, unjudged := recorded(t, file)
	w := newWalk([]string{"1.3"}, walkOptions{noBulk: s.version1(), unordered: true, rows: 100_000, requests: 100_000, bytes: 1 << 30})
	if err := drive(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	c := w.columns[0]
	if c.cut != nil || len(want) == 0 {
		t.Errorf("cut after %d rows: %v; the tool has %d", c.seen, c.cut, len(want))
	}
	for oid := range want {
		index := strings.TrimPrefix(oid, "1.3.")
		if _, ok := c.cells[index]; !ok && !c.holes[index] && !(s.version1() && cells[oid].Kind == plan.Counter64) {
			t.Errorf("%s is lost, the tool has %+v", oid, want[oid])
		}
	}
	for index, got := range c.cells {
		cell := cells["1.3."+index]
		got.Text, cell.Text = strings.TrimRight(got.Text, " "), strings.TrimRight(cell.Text, " ")
		if _, ok := want["1.3."+index]; !ok || got != cell && !unjudged["1.3."+index] {
			t.Errorf("1.3.%s is %+v, want %+v; the tool has it: %v", index, got, cell, ok)
		}
	}
}

func startSnmpsim(t *testing.T, dir string, names []string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("snmpsimd")
	if err != nil {
		t.Skip("SKIPPED: snmpsimd is not installed (package snmpsim)")
	}
	// It runs as nobody, so its folder is not below t.TempDir, which is private.
	work, err := os.MkdirTemp("", "edgehold-snmpsim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	for _, sub := range []string{"", "data", "cache"} {
		p := filepath.Join(work, sub)
		if err := errors.Join(os.MkdirAll(p, 0o777), os.Chmod(p, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name+".snmprec"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, "data", name+".snmprec"), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addr = freeAddr(t)
	args := []string{
		"--data-dir=" + filepath.Join(work, "data"), "--cache-dir=" + filepath.Join(work, "cache"),
		"--agent-udpv4-endpoint=" + addr, "--logging-method=null",
		"--v3-user=" + simUser, "--v3-auth-proto=SHA", "--v3-auth-key=" + simAuthPass, "--v3-priv-proto=AES", "--v3-priv-key=" + simPrivPass,
	}
	if os.Getuid() == 0 {
		args = append(args, "--process-user=nobody", "--process-group=nogroup")
	}
	startAgent(t, exec.Command(path, args...), addr, names[0])
	return addr
}

func freeAddr(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

// startAgent runs cmd until the test ends and waits until it answers.
func startAgent(t *testing.T, cmd *exec.Cmd, addr, community string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	d := deviceAt(t, addr)
	d.Timeout, d.Retries = quick, 0
	s := open(t, d)
	if err := s.use(credentialOf(community, false)); err != nil {
		t.Fatal(err)
	}
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if _, err := s.exchange(t.Context(), askUptime); err == nil {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", cmd.Path, err, out.String())
		case <-pause.C:
		}
	}
	t.Fatalf("%s does not answer", cmd.Path)
}

// A walk of an agent that sends its rows out of order keeps what came before.
func TestWalkUnsorted(t *testing.T) {
	a := newScripted(table(1, 12))
	order := []int{1, 2, 3, 4, 8, 5, 6, 7}
	a.after = func(r request, resp *response) error {
		resp.vars = nil
		for _, n := range order {
			resp.vars = append(resp.vars, varbind{oid: entry + ".1." + strconv.Itoa(n), cell: number(n)})
		}
		return nil
	}
	w := newWalk(columnsOf(1), walkOptions{})
	if err := a.run(w, 10); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(w.columns[0].cells))
	if w.columns[0].cut == nil || !slices.Equal(got, []string{"1", "2", "3", "4", "8"}) {
		t.Errorf("rows %v, cut %v", got, w.columns[0].cut)
	}
}
