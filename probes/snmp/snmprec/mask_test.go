package snmprec

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

func text(oid, s string) Row {
	return Row{oid, tagOctets, plan.Cell{Kind: plan.Octets, Text: s}}
}

func number(oid string, n int64) Row {
	return Row{oid, 2, plan.Cell{Kind: plan.Integer, Int: n}}
}

func ipRow(oid, s string) Row {
	return Row{oid, tagIPAddress, plan.Cell{Kind: plan.Text, Text: s}}
}

func oidRow(oid, s string) Row {
	return Row{oid, tagOID, plan.Cell{Kind: plan.Text, Text: s}}
}

func byOID(rows []Row) map[string]Row {
	found := map[string]Row{}
	for _, r := range rows {
		found[r.OID] = r
	}
	return found
}

func written(t *testing.T, rows []Row) string {
	t.Helper()
	var b []byte
	for _, r := range rows {
		var ok bool
		if b, ok = AppendRow(b, r); !ok {
			t.Fatalf("%+v cannot be written", r)
		}
	}
	return string(b)
}

func TestMask(t *testing.T) {
	rows := []Row{
		text("1.3.6.1.2.1.1.1.0", "Cisco IOS, Version 12.2(55)SE, on Core-SW1"),
		oidRow("1.3.6.1.2.1.1.2.0", "1.3.6.1.4.1.9.1.516"),
		text("1.3.6.1.2.1.1.4.0", "Ann Noc <ann@acme.example>"),
		text("1.3.6.1.2.1.1.5.0", "core-sw1.acme.example"),
		text("1.3.6.1.2.1.1.6.0", "Hall 7"),
		text("1.3.6.1.2.1.2.2.1.2.1", "Gi0/1"),
		text("1.3.6.1.2.1.2.2.1.6.1", "\x00\x1b\x2c\xaa\xbb\xcc"),
		text("1.3.6.1.2.1.2.2.1.6.2", "\x00\x00\x00\x00\x00\x00"),
		ipRow("1.3.6.1.2.1.4.20.1.1.10.20.30.40", "10.20.30.40"),
		number("1.3.6.1.2.1.4.20.1.2.10.20.30.40", 1),
		ipRow("1.3.6.1.2.1.4.20.1.3.10.20.30.40", "255.255.255.0"),
		text("1.3.6.1.2.1.4.22.1.2.1.10.20.30.41", "\x00\x1b\x2c\xaa\xbb\xdd"),
		oidRow("1.3.6.1.2.1.4.24.4.1.8.0.0.0.0.0.0.0.0.0.10.20.30.41", "0.0"),
		text("1.3.6.1.2.1.17.4.3.1.1.0.27.44.170.187.221", "\x00\x1b\x2c\xaa\xbb\xdd"),
		text("1.3.6.1.2.1.31.1.1.1.18.1", "to core-sw1 port 3"),
		text("1.3.6.1.2.1.31.1.1.1.18.2", "Gi0/1"),
		text("1.3.6.1.2.1.47.1.1.1.1.11.1", "FOC1234X0AB"),
		text("1.3.6.1.2.1.47.1.1.1.1.2.1", "chassis FOC1234X0AB"),
		text("1.3.6.1.4.1.9.9.1.1.0", "seen 10.20.30.41 at 00-1B-2C-AA-BB-DD, 001b.2caa.bbcc"),
		text("1.3.6.1.4.1.99.1.2.3.4.8.99.111.114.101.45.115.119.49", "x"),
		number("1.3.6.1.4.1.99.2.1.1.5.10.20.30.41", 7),
		text("1.3.6.1.6.3.10.2.1.1.0", "\x80\x00\x00\x09\x03\x00\x1b\x2c\xaa\xbb\xcc"),
		text("1.3.6.1.6.3.18.1.1.1.2.1", "public-secret"),
	}
	masked, report := Mask(rows, nil)
	out := written(t, masked)
	for _, secret := range []string{
		"core-sw1", "Core-SW1", "acme", "ann", "Hall 7", "aabbcc", "aabbdd", "AA-BB", "2caa.bbcc", "10.20.30.4", "0a141e", "FOC1234",
		"public-secret", "27.44.170.187", "99.111.114.101",
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(secret)) {
			t.Errorf("%q remains:\n%s", secret, out)
		}
	}
	if report.LeftOut != 1 || report.IPv4 != 2 || report.MAC != 2 || report.Serials != 1 || report.Names < 4 {
		t.Errorf("report %+v", report)
	}
	got := byOID(masked)
	for oid, want := range map[string]string{
		"1.3.6.1.2.1.1.2.0":         "1.3.6.1.4.1.9.1.516",
		"1.3.6.1.2.1.2.2.1.2.1":     "Gi0/1",
		"1.3.6.1.2.1.31.1.1.1.18.2": "Gi0/1", // the same as the port's name: tells nothing
		"1.3.6.1.2.1.2.2.1.6.2":     "\x00\x00\x00\x00\x00\x00",
		"1.3.6.1.2.1.1.1.0":         "Cisco IOS, Version 12.2(55)SE, on name-1",
	} {
		if got[oid].Cell.Text != want {
			t.Errorf("%s is %q, want %q", oid, got[oid].Cell.Text, want)
		}
	}
	address := got["1.3.6.1.2.1.4.20.1.1.100.64.0.1"].Cell.Text
	if address != "100.64.0.1" || got["1.3.6.1.2.1.4.20.1.3.100.64.0.1"].Cell.Text != "255.255.255.0" {
		t.Errorf("index and value differ, or the mask changed: %q\n%s", address, out)
	}
	if mac := got["1.3.6.1.2.1.4.22.1.2.1.100.64.0.2"].Cell.Text; !strings.HasPrefix(mac, "\x00\x1b\x2c") || mac != got["1.3.6.1.2.1.17.4.3.1.1.0.27.44.0.0.2"].Cell.Text {
		t.Errorf("one MAC address became several\n%s", out)
	}
	if got["1.3.6.1.4.1.99.1.2.3.4.6.110.97.109.101.45.49"].Cell.Text != "x" {
		t.Errorf("the length of a name in an index was not kept right\n%s", out)
	}
}

// What a random device tells of its owner is gone, one for one, and the
// recording serves as before.
func TestMaskLeavesNothing(t *testing.T) {
	for seed := range uint64(60) {
		d := randomDevice(rand.New(rand.NewPCG(seed, 1)))
		masked, _ := Mask(d.rows, nil)
		if len(masked) != len(d.rows) {
			t.Fatalf("seed %d: %d rows of %d", seed, len(masked), len(d.rows))
		}
		out := written(t, masked)
		for _, secret := range d.secrets {
			if i := strings.Index(strings.ToLower(out), strings.ToLower(secret)); i >= 0 {
				t.Fatalf("seed %d: %q remains: ...%s", seed, secret, out[max(0, i-60):min(len(out), i+40)])
			}
		}
		if distinct := byOID(masked); len(distinct) != len(byOID(d.rows)) {
			t.Fatalf("seed %d: rows fell together", seed)
		}
		mib, problems, err := snmptest.ReadRecording(strings.NewReader(out))
		if err != nil || len(problems) > 0 || mib.Len() != len(byOID(masked)) {
			t.Fatalf("seed %d: read again: %v %v, %d rows", seed, err, problems, mib.Len())
		}
	}
}

type randomised struct {
	rows    []Row
	secrets []string
}

func randomDevice(r *rand.Rand) (d randomised) {
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		return string(b)
	}
	add := func(row Row) { d.rows = append(d.rows, row) }
	secret := func(s string) string { d.secrets = append(d.secrets, s); return s }
	host := secret("q" + word(7))
	add(text("1.3.6.1.2.1.1.1.0", "Some OS on "+strings.ToUpper(host)+" build 7"))
	add(text("1.3.6.1.2.1.1.5.0", host+"."+secret("x"+word(6))+".example"))
	add(text("1.3.6.1.2.1.1.6.0", secret("Room "+word(8))))
	add(text("1.3.6.1.2.1.1.4.0", secret(word(9))+" (see "+host+")"))
	for i := range 1 + r.IntN(12) {
		index := strconv.Itoa(i + 1)
		ip := netip.AddrFrom4([4]byte{byte(11 + r.IntN(110)), byte(100 + r.IntN(100)), byte(100 + r.IntN(100)), byte(100 + r.IntN(100))})
		mac := []byte{0, 0x1b, 0x2c, byte(0xa0 + r.IntN(90)), byte(0xa0 + r.IntN(90)), byte(0xa0 + r.IntN(90))}
		secret(ip.String())
		secret(hex.EncodeToString(ip.AsSlice()))
		secret(hex.EncodeToString(mac[3:]))
		secret(fmt.Sprintf("%02x:%02x:%02x", mac[3], mac[4], mac[5]))
		secret(fmt.Sprintf(".%d.%d.%d", mac[3], mac[4], mac[5]))
		serialNo := secret(fmt.Sprintf("FX%05dQ%03d", r.IntN(100000), i))
		add(text("1.3.6.1.2.1.2.2.1.2."+index, "eth"+index))
		add(text("1.3.6.1.2.1.2.2.1.6."+index, string(mac)))
		add(text("1.3.6.1.2.1.31.1.1.1.18."+index, secret("to "+word(6)+index)))
		add(ipRow("1.3.6.1.2.1.4.20.1.1."+ip.String(), ip.String()))
		add(number("1.3.6.1.2.1.4.34.1.3.1.4."+ip.String(), int64(i)))
		add(text("1.3.6.1.2.1.4.22.1.2."+index+"."+ip.String(), string(mac)))
		add(text("1.3.6.1.2.1.47.1.1.1.1.11."+index, serialNo))
		add(text("1.3.6.1.4.1.77.5.1.4."+index, fmt.Sprintf("peer %v (%x) S/N %s", ip, mac, serialNo)))
		add(number("1.3.6.1.4.1.77.6.1.4."+index+"."+ip.String(), 1))
		add(text("1.3.6.1.4.1.77.7.1.4."+index, string([]byte{0x80, 0})+string(mac)))
		add(text("1.0.8802.1.1.2.1.4.1.1.5.0."+index+".1", string(mac)))
		add(text("1.0.8802.1.1.2.1.4.1.1.9.0."+index+".1", secret("neigh"+word(5))))
	}
	return d
}

func TestMaskOfNothingChangesNothing(t *testing.T) {
	rows := []Row{
		text("1.3.6.1.2.1.2.2.1.2.1", "GigabitEthernet0/1"), number("1.3.6.1.2.1.2.2.1.8.1", 1),
		text("1.3.6.1.4.1.9.9.1.1.0", "firmware 7.0.4, model C9300-24T"),
		text("1.3.6.1.4.1.9.9.1.2.0", "\x07\xe8\x0b\x15\x12\x00\x00\x00"),
		oidRow("1.3.6.1.2.1.1.2.0", "1.3.6.1.4.1.9.1.10.1.1.1"),
	}
	masked, report := Mask(rows, nil)
	before := byOID(rows)
	for _, r := range masked {
		if before[r.OID] != r {
			t.Errorf("%+v became %+v", before[r.OID], r)
		}
	}
	if report != (Report{}) {
		t.Errorf("report %+v", report)
	}
}

func TestSecretsInUseAreMasked(t *testing.T) {
	rows := []Row{text("1.3.6.1.4.1.9.9.1.1.0", "trap community s3cret-c to all")}
	masked, _ := Mask(rows, []string{"s3cret-c"})
	if got := masked[0].Cell.Text; strings.Contains(got, "s3cret") {
		t.Error(got)
	}
}

// Recordings of real devices keep their number of OIDs, and what an
// independent reader finds that looks like an address in their address columns
// is gone.
func TestMaskRecordings(t *testing.T) {
	dir := os.Getenv("EDGEHOLD_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "snmprec", "*.snmprec"))
	if len(files) == 0 {
		t.Skipf("SKIPPED: no recordings of real devices in %s; set EDGEHOLD_CORPUS", dir)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Size() > 400_000 && testing.Short() {
			continue
		}
		mib, _, err := snmptest.LoadRecording(file)
		if err != nil {
			t.Fatal(err)
		}
		rows := rowsOf(mib)
		masked, report := Mask(rows, nil)
		if len(masked)+report.LeftOut != len(rows) || len(byOID(masked)) != len(masked) {
			t.Errorf("%s: %d rows became %d, of these %d different; %+v", filepath.Base(file), len(rows), len(masked), len(byOID(masked)), report)
		}
		wantGone(t, filepath.Base(file), rows, masked)
	}
}

func wantGone(t *testing.T, file string, rows, masked []Row) {
	t.Helper()
	out := written(t, masked)
	for _, r := range rows {
		name := under(r.OID, []string{"1.3.6.1.2.1.1.5", "1.3.6.1.2.1.47.1.1.1.1.11"})
		if name && len(r.Cell.Text) > 8 && strings.Contains(out, r.Cell.Text) {
			t.Errorf("%s: %s, %q, remains", file, r.OID, r.Cell.Text)
		}
		if under(r.OID, []string{"1.3.6.1.2.1.4.20.1.1"}) && netip.MustParseAddr(r.Cell.Text).IsPrivate() && strings.Contains(out, "."+r.Cell.Text+"|") {
			t.Errorf("%s: %s remains in an index", file, r.Cell.Text)
		}
	}
}

func rowsOf(mib *snmptest.MIB) (rows []Row) {
	for oid, v := range mib.All() {
		r := Row{OID: oid.String(), Tag: uint8(v.Tag)}
		n, isNumber := v.Uint64()
		switch {
		case isNumber:
			r.Cell = plan.Cell{Kind: plan.Unsigned, Uint: n}
		case v.Tag == snmptest.TagInteger:
			var n int64
			for i, b := range []byte(v.Body) {
				if n = n<<8 | int64(b); i == 0 {
					n = int64(int8(b))
				}
			}
			r.Cell = plan.Cell{Kind: plan.Integer, Int: n}
		case v.Tag == snmptest.TagIPAddress:
			r.Cell = plan.Cell{Kind: plan.Text, Text: netip.AddrFrom4([4]byte([]byte(v.Body))).String()}
		case v.Tag == snmptest.TagObjectID:
			r.Cell = plan.Cell{Kind: plan.Text, Text: decoded(v.Body)}
		default:
			r.Cell = plan.Cell{Kind: plan.Octets, Text: v.Body}
		}
		rows = append(rows, r)
	}
	return rows
}

// decoded is the text of an encoded OID.
func decoded(body string) string {
	var arcs []uint32
	n := uint32(0)
	for _, c := range []byte(body) {
		if n = n<<7 | uint32(c&0x7f); c >= 0x80 {
			continue
		}
		if len(arcs) == 0 {
			arcs = append(arcs, min(n/40, 2))
			n -= 40 * arcs[0]
		}
		arcs = append(arcs, n)
		n = 0
	}
	return oidOf(arcs)
}
