package snmptest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// netSNMP runs one of the net-snmp tools against a responder and returns what
// it says of each OID, in order. Names, enums and hints of MIB files are off.
func netSNMP(t *testing.T, tool string, args ...string) []varbindText {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package snmp)", tool)
	}
	args = append([]string{"-c", "public", "-r", "1", "-t", "10", "-m", "", "-Onetx"}, args...)
	cmd := exec.Command(path, args...)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cert_indexes"), 0o700); err != nil { // or the tool says that it made it
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %s: %v: %s", tool, strings.Join(args, " "), err, stderr.String())
	}
	return parseTool(string(out))
}

type varbindText struct{ oid, value string }

// parseTool joins the lines of long hex strings.
func parseTool(out string) []varbindText {
	var all []varbindText
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, " \n")
		oid, value, ok := strings.Cut(line, " =")
		if ok && strings.HasPrefix(oid, ".") {
			all = append(all, varbindText{oid[1:], strings.TrimSpace(value)})
		} else if n := len(all); n > 0 && line != "" && line != "End of MIB" {
			all[n-1].value += " " + strings.TrimSpace(line)
		}
	}
	return all
}

// toolText is how the tools print a value with -Onetx.
func toolText(v Value) string {
	switch v.Tag {
	case TagInteger:
		return fmt.Sprintf("INTEGER: %d", integerOf(v))
	case TagOctetString:
		if v.Body == "" {
			return `""`
		}
		return "Hex-STRING: " + spaced(v.Body)
	case TagObjectID:
		oid, _ := parseOIDBody([]byte(v.Body))
		return "OID: ." + oid.String()
	case TagIPAddress:
		return fmt.Sprintf("IpAddress: %d.%d.%d.%d", v.Body[0], v.Body[1], v.Body[2], v.Body[3])
	case TagNull:
		return "NULL"
	}
	n, _ := v.Uint64()
	switch v.Tag {
	case TagTimeTicks:
		return fmt.Sprint(n)
	case TagCounter32:
		return fmt.Sprintf("Counter32: %d", n)
	case TagGauge32:
		return fmt.Sprintf("Gauge32: %d", n)
	case TagCounter64:
		return fmt.Sprintf("Counter64: %d", n)
	}
	return "?"
}

func spaced(body string) string {
	var pairs []string
	for _, b := range []byte(body) {
		pairs = append(pairs, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return strings.Join(pairs, " ")
}

// compareWalk wants every OID that keep lets through, with its value. Opaque
// values are only wanted to be there: the tool prints them in its own way.
func compareWalk(t *testing.T, got []varbindText, mib *MIB, keep func(Value) bool) {
	t.Helper()
	i := 0
	for oid, v := range mib.All() {
		if !keep(v) {
			continue
		}
		if i == len(got) {
			t.Fatalf("walk ends before %s, after %d rows", oid, i)
		}
		if got[i].oid != oid.String() {
			t.Fatalf("row %d is %s, want %s", i, got[i].oid, oid)
		}
		if want := toolText(v); v.Tag != TagOpaque && got[i].value != want {
			t.Errorf("%s is %q, want %q", oid, got[i].value, want)
		}
		i++
	}
	if i == len(got)-1 && strings.HasPrefix(got[i].value, "No more variables") {
		return
	}
	if i < len(got) {
		t.Errorf("walk goes on with %d rows, first %v", len(got)-i, got[i])
	}
}

func all(Value) bool { return true }

func TestWalkModels(t *testing.T) {
	for name, mib := range map[string]*MIB{
		"switch": NewSwitch("hall3-sw1", 24, 1, fixedClock()),
		"ups":    NewUPS("hall3-ups", 2, fixedClock()),
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := start(t, mib)
			compareWalk(t, netSNMP(t, "snmpbulkwalk", "-v2c", "-Cr25", r.Addr(), ".1"), mib, all)
			compareWalk(t, netSNMP(t, "snmpwalk", "-v2c", r.Addr(), ".1"), mib, all)
			compareWalk(t, netSNMP(t, "snmpwalk", "-v1", r.Addr(), ".1"), mib,
				func(v Value) bool { return v.Tag != TagCounter64 })
		})
	}
}

func TestToolsGet(t *testing.T) {
	mib := NewSwitch("hall3-sw1", 24, 1, fixedClock())
	r, _ := start(t, mib)
	got := netSNMP(t, "snmpget", "-v2c", r.Addr(), ".1.3.6.1.2.1.1.5.0", ".1.3.6.1.2.1.1.5.1", ".1.3.6.1.9.9")
	want := []string{
		"Hex-STRING: " + spaced("hall3-sw1"),
		"No Such Instance currently exists at this OID", "No Such Object available on this agent at this OID",
	}
	for i, w := range want {
		if len(got) != len(want) || got[i].value != w {
			t.Fatalf("snmpget gives %v, want %v", got, want)
		}
	}
	got = netSNMP(t, "snmpgetnext", "-v2c", r.Addr(), ".1.3.6.1.2.1.1.5", ".1.3.6.1.2.1.2.2.1.1.24")
	if len(got) != 2 || got[0].oid != "1.3.6.1.2.1.1.5.0" || got[1].oid != "1.3.6.1.2.1.2.2.1.2.1" {
		t.Errorf("snmpgetnext gives %v", got)
	}
	got = netSNMP(t, "snmpgetnext", "-v1", r.Addr(), ".1.3.6.1.2.1.31.1.1.1.5.24")
	if len(got) != 1 || got[0].oid != "1.3.6.1.2.1.31.1.1.1.14.1" {
		t.Errorf("v1 snmpgetnext over the 64-bit columns gives %v", got)
	}
}

// corpus is the folder of recordings, or a skip.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("EDGEHOLD_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "snmprec")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: no recordings in %s; set EDGEHOLD_CORPUS", dir)
	}
	return dir
}

// TestWalkRecordings walks recordings of real devices: in full, or a few that
// hold every type and fault of the format with -short.
func TestWalkRecordings(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	short := "ios_c3560 fortigate procurve teracom digipower cetpower bsd-ups-apc-8932 apc_smt750x-nmc2"
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".snmprec")
		if testing.Short() && !strings.Contains(short, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			mib, problems, err := LoadRecording(file)
			if err != nil || len(problems) > 0 {
				t.Fatalf("load: %v %v", err, problems)
			}
			wantRows(t, file, mib)
			r, _ := start(t, mib)
			compareWalk(t, netSNMP(t, "snmpbulkwalk", "-v2c", "-Cr50", r.Addr(), ".1"), mib, all)
		})
	}
}

// wantRows reads the OIDs of a recording without the loader and wants each.
func wantRows(t *testing.T, file string, mib *MIB) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if oid, _, ok := strings.Cut(line, "|"); ok && oid[0] != '#' {
			seen[oid] = true
		}
	}
	if len(seen) != mib.Len() {
		t.Errorf("%d rows are served, the file names %d", mib.Len(), len(seen))
	}
	for _, oid := range names(mib) {
		delete(seen, oid)
	}
	for oid := range seen {
		t.Errorf("%s is not served", oid)
	}
}
