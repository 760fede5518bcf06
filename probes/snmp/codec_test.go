package snmp

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/gosnmp/gosnmp"
)

func TestValues(t *testing.T) {
	for _, test := range []struct {
		name  string
		value []byte // with type and length
		want  plan.Cell
	}{
		{"integer", []byte{2, 1, 0xfb}, plan.Cell{Kind: plan.Integer, Int: -5}},
		{"integer of eight octets", []byte{2, 8, 0x80, 0, 0, 0, 0, 0, 0, 0}, plan.Cell{Kind: plan.Integer, Int: math.MinInt64}},
		{"integer of no octets", []byte{2, 0}, plan.Cell{}},
		{"integer too long", []byte{2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1}, plan.Cell{}},
		{"counter32", []byte{0x41, 5, 0, 0xff, 0xff, 0xff, 0xff}, plan.Cell{Kind: plan.Counter32, Uint: math.MaxUint32}},
		{"counter32 without its zero", []byte{0x41, 4, 0xff, 0xff, 0xff, 0xff}, plan.Cell{Kind: plan.Counter32, Uint: math.MaxUint32}},
		{"counter32 too long", []byte{0x41, 5, 2, 0, 0, 0, 0}, plan.Cell{Kind: plan.Counter64, Uint: 1 << 33}},
		{"counter32 of no octets", []byte{0x41, 0}, plan.Cell{}},
		{"counter64", []byte{0x46, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255}, plan.Cell{Kind: plan.Counter64, Uint: math.MaxUint64}},
		{"counter64 too long", []byte{0x46, 9, 1, 255, 255, 255, 255, 255, 255, 255, 255}, plan.Cell{}},
		{"gauge32", []byte{0x42, 1, 7}, plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"timeticks", []byte{0x43, 2, 1, 0}, plan.Cell{Kind: plan.Unsigned, Uint: 256}},
		{"uinteger32", []byte{0x47, 1, 7}, plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"octets", []byte{4, 2, 0, 255}, plan.Cell{Kind: plan.Octets, Text: "\x00\xff"}},
		{"no octets", []byte{4, 0}, plan.Cell{Kind: plan.Octets}},
		{"octets with one too many", []byte{4, 3, 'a', 'b'}, plan.Cell{Kind: plan.Octets, Text: "ab"}},
		{"float", []byte{0x44, 7, 0x9f, 0x78, 4, 0x41, 0x44, 0xcc, 0xcd}, plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"double", []byte{0x44, 11, 0x9f, 0x79, 8, 0x40, 0x28, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a}, plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"infinite", []byte{0x44, 7, 0x9f, 0x78, 4, 0x7f, 0x80, 0, 0}, plan.Cell{}},
		{"float cut off", []byte{0x44, 6, 0x9f, 0x78, 4, 0x41, 0x44, 0xcc}, plan.Cell{}},
		{"opaque", []byte{0x44, 2, 1, 255}, plan.Cell{Kind: plan.Octets, Text: "\x01\xff"}},
		{"address", []byte{0x40, 4, 192, 0, 2, 1}, plan.Cell{Kind: plan.Text, Text: "192.0.2.1"}},
		{"long address", append([]byte{0x40, 16, 0x20, 1, 0xd, 0xb8}, make([]byte, 12)...), plan.Cell{Kind: plan.Text, Text: "2001:db8::"}},
		{"no address", []byte{0x40, 0}, plan.Cell{}},
		{"oid", []byte{6, 3, 0x2b, 6, 1}, plan.Cell{Kind: plan.Text, Text: "1.3.6.1"}},
		{"no oid", []byte{6, 0}, plan.Cell{Kind: plan.Text, Text: "0.0"}},
		{"null", []byte{5, 0}, plan.Cell{}},
		{"type without length", []byte{5}, plan.Cell{}},
		{"unknown type", []byte{0x1f, 1, 1}, plan.Cell{}},
	} {
		resp, s := respond(t, [][]byte{test.value, {2, 1, 1}})
		if len(resp.vars) != 2 || resp.vars[0].cell != test.want || resp.vars[1].cell.Int != 1 || s.stats.Malformed > 0 {
			t.Errorf("%s: %+v, want %+v; malformed: %d", test.name, resp.vars, test.want, s.stats.Malformed)
		}
	}
	for tag, want := range map[byte]exception{0x80: noSuch, 0x81: noSuch, 0x82: endOfMibView} {
		if resp, _ := respond(t, [][]byte{{tag, 0}}); resp.vars[0].exc != want || resp.vars[0].cell != (plan.Cell{}) {
			t.Errorf("%x: %+v", tag, resp.vars[0])
		}
	}
}

// What follows a varbind that cannot be read is lost, what was before is not.
func TestMalformedValues(t *testing.T) {
	for _, bad := range [][]byte{
		{2, 5, 1}, {2, 1, 1, 1}, {4, 4, 'a', 'b'}, {6, 2, 0x2b, 0x86}, {6, 6, 0x2b, 0x90, 0x80, 0x80, 0x80, 0}, {2, 0x80, 1, 0, 0}, {4, 0x84, 0xff, 0xff, 0xff, 0xff}, {4, 0x82}, {},
	} {
		resp, s := respond(t, [][]byte{{2, 1, 1}, bad, {2, 1, 1}})
		if len(resp.vars) != 1 || s.stats.Malformed != 1 {
			t.Errorf("% x: %+v, malformed %d; want the one before and a count", bad, resp.vars, s.stats.Malformed)
		}
	}
}

// respond lets a session read a response with some values.
func respond(t testing.TB, values [][]byte) (response, *session) {
	t.Helper()
	var w writer
	w.reset()
	for _, value := range slices.Backward(values) {
		mark := w.size()
		w.raw(string(value))
		name := w.size()
		w.oid("1.3.6.1.2.1.1.1.0")
		w.head(berOID, name)
		w.head(berSequence, mark)
	}
	w.head(berSequence, 0)
	w.integer(0)
	w.integer(0)
	w.integer(7)
	w.head(berResponse, 0)
	w.octets("public")
	w.integer(wireV2c)
	w.head(berSequence, 0)
	s := deafSession(t)
	resp, ours, err := s.decode(w.bytes())
	if !ours || err != nil {
		t.Fatalf("ours %v, %v", ours, err)
	}
	return resp, s
}

// deafSession has no socket; it waits for the answer to request 7.
func deafSession(t testing.TB) *session {
	t.Helper()
	s := &session{peer: newPeer(newKit(probes.Deps{})), scratch: new(scratch), lastID: 7, stats: &probes.PollStats{}}
	if err := s.use(probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret("public")}); err != nil {
		t.Fatal(err)
	}
	return s
}

// A datagram that was cut off gives the varbinds that came.
func TestCutDatagram(t *testing.T) {
	whole := tableReply(2)
	for n := range len(whole) {
		s := deafSession(t)
		resp, ours, err := s.decode(whole[:n])
		switch {
		case !ours && n > 40:
			t.Errorf("%d bytes: not taken", n)
		case ours && err == nil && (s.stats.Malformed != 1 || len(resp.vars) == 0 || len(resp.vars) > 20):
			t.Errorf("%d bytes: %d varbinds, %+v", n, len(resp.vars), *s.stats)
		}
	}
}

// The table of OIDs is bounded, and what is asked for again and again stays.
func TestOIDTable(t *testing.T) {
	var table oidTable
	read := func(raw []byte) string {
		var news []knownOID
		table.mu.RLock()
		text, _ := table.text(raw, &news)
		table.mu.RUnlock()
		table.learn(news)
		return text
	}
	for i := range 5 * oidGeneration {
		raw := []byte{0x2b, 0x81, byte(i>>14&0x7f) | 0x80, byte(i>>7&0x7f) | 0x80, byte(i & 0x7f)}
		if got, want := read(raw), fmt.Sprintf("1.3.%d", 1<<21|i); got != want {
			t.Fatalf("% x is %s, want %s", raw, got, want)
		}
		if read([]byte{0x2b, 6}) != "1.3.6" {
			t.Fatal("the constant one changed")
		}
	}
	if len(table.young) > oidGeneration || len(table.old) > oidGeneration {
		t.Errorf("%d and %d OIDs, want at most %d each", len(table.young), len(table.old), oidGeneration)
	}
	known := []byte{0x2b, 6}
	if allocs := testing.AllocsPerRun(100, func() { table.find(known) }); allocs > 0 {
		t.Errorf("a known OID costs %v allocations", allocs)
	}
	read(bytes.Repeat([]byte{1}, maxKnownOID+1))
	if _, known := table.find(bytes.Repeat([]byte{1}, maxKnownOID+1)); known {
		t.Error("the table keeps an OID of any length")
	}
}

// FuzzDecode gives arbitrary datagrams to the codec. Wherever gosnmp finds no
// fault, it must read the same.
func FuzzDecode(f *testing.F) {
	m := snmptest.Message{Header: snmptest.Header{Version: snmptest.V2c, Community: "public", Type: snmptest.Response, RequestID: 7}}
	f.Add(m.Append(nil))
	for _, v := range []snmptest.Value{
		snmptest.Integer(-1), snmptest.OctetString("eth0"), snmptest.Counter64(1 << 63), snmptest.OpaqueFloat(1.5), snmptest.OpaqueDouble(-1.5),
		snmptest.IPAddress([4]byte{192, 0, 2, 1}), snmptest.ObjectID(snmptest.OID{1, 3, 6}), snmptest.NoSuchInstance(), snmptest.EndOfMibView(),
		snmptest.TimeTicks(1 << 31), snmptest.Opaque("\x9f\x78\x05"),
		{Tag: snmptest.TagInteger},
	} {
		m.Varbinds = append(m.Varbinds, snmptest.Varbind{Name: snmptest.MustOID("1.3.6.1.2.1.1.1.0"), Value: v})
		f.Add(m.Append(nil))
	}
	f.Add(tableReply(20))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		s := deafSession(t)
		resp, ours, err := s.decode(bytes.Clone(datagram))
		if ours && len(resp.vars) > len(datagram)/4 {
			t.Fatalf("%d varbinds out of %d bytes", len(resp.vars), len(datagram))
		}
		p, sound := gosnmpDecode(bytes.Clone(datagram))
		if !sound || p.PDUType != gosnmp.GetResponse || p.RequestID != 7 || p.Community != "public" || p.Error != gosnmp.NoError {
			return
		}
		if _, strict := snmptest.Decode(datagram); strict == nil && (!ours || s.stats.Malformed > 0) {
			t.Fatalf("ours %v, %v, %+v; two other decoders find no fault", ours, err, *s.stats)
		}
		sameVarbinds(t, resp, s.stats.Malformed > 0, p.Variables)
	})
}

func sameVarbinds(t *testing.T, resp response, cut bool, want []gosnmp.SnmpPDU) {
	t.Helper()
	if resp.status == noError && !cut && len(resp.vars) > 0 && len(resp.vars) != len(want) {
		t.Fatalf("%d varbinds, want %d", len(resp.vars), len(want))
	}
	for i, got := range resp.vars {
		w := toVarbind(want[i])
		if got.cell.Kind == plan.Absent && w.cell.Uint == 0 && w.cell.Text == "" {
			w.cell = plan.Cell{} // gosnmp makes zero of numbers of no octets
		}
		if got.tag != w.tag && w.cell.Kind == plan.Absent {
			w.tag = got.tag // and forgets the type of what it cannot read
		}
		if got != w {
			t.Errorf("varbind %d is %+v, want %+v", i, got, w)
		}
	}
}

// FuzzRequest makes requests of arbitrary texts. What is sent is what two other
// decoders read, and gosnmp could have sent what is refused by no more
// than its leniency to dots and leading zeros.
func FuzzRequest(f *testing.F) {
	for _, oid := range []string{"1.3.6.1.2.1.1.3.0", "2.999.1", "0.39", "1.3.6.1.4.1.4294967295", "1.40", "2.4294967215.1", "", "1..3", ".1.3", "1.3.", "1.3.00", "1.3.99999999999"} {
		f.Add(oid, "1.3.6.1.2.1", uint16(0), uint32(1))
		f.Add("1.3.6.1.2.1", oid, uint16(10), uint32(1<<31-1))
	}
	f.Fuzz(func(t *testing.T, first, second string, reps uint16, id uint32) {
		s := deafSession(t)
		s.lastID = id & 0x7fffffff
		r := request{kind: getNext, oids: []string{first, second}}
		if reps > 0 {
			r.kind, r.reps = getBulk, int(reps)
		}
		packet, err := s.encode(r)
		if err != nil {
			refusedByOthers(t, r.oids)
			return
		}
		m, err := snmptest.Decode(packet)
		if err != nil {
			t.Fatalf("%q: %v", r.oids, err)
		}
		if uint32(m.RequestID) != s.lastID || m.Community != "public" || int(m.Index) != r.reps || m.Status != 0 || len(m.Varbinds) != 2 {
			t.Errorf("%+v became %+v", r, m)
		}
		p, sound := gosnmpDecode(packet)
		if !sound || p.RequestID != s.lastID || len(p.Variables) != 2 {
			t.Fatalf("gosnmp reads %+v", p)
		}
		for i, v := range m.Varbinds {
			if plainOID(r.oids[i]) != v.Name.String() || "."+v.Name.String() != p.Variables[i].Name {
				t.Errorf("%q became %s, and %s to gosnmp", r.oids[i], v.Name, p.Variables[i].Name)
			}
		}
	})
}

// plainOID is without leading zeros.
func plainOID(oid string) string {
	parts := strings.Split(oid, ".")
	for i, p := range parts {
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ".")
}

func refusedByOthers(t *testing.T, oids []string) {
	t.Helper()
	if slices.ContainsFunc(oids, func(oid string) bool {
		first, _, _ := strings.Cut(oid, ".")
		return len(first) != 1 || slices.ContainsFunc(strings.Split(oid, "."), func(p string) bool { return p == "" || len(p) > 10 })
	}) {
		return
	}
	codec := gosnmp.GoSNMP{Version: gosnmp.Version2c}
	vars := make([]gosnmp.SnmpPDU, len(oids))
	for i, oid := range oids {
		vars[i] = gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Null}
	}
	if _, err := codec.SnmpEncodePacket(gosnmp.GetNextRequest, vars, 0, 0); err == nil {
		t.Errorf("%q is refused, and gosnmp sends it", oids)
	}
}

// tableReply is what a switch says to a bulk request for ten columns: numbers
// for the most part.
func tableReply(rows int) []byte {
	m := snmptest.Message{Header: snmptest.Header{Version: snmptest.V2c, Community: "public", Type: snmptest.Response, RequestID: 7}}
	for row := range rows {
		for column := range uint32(10) {
			value := snmptest.Counter64(1 << 40 * uint64(row+1))
			if column < 4 {
				value = snmptest.Counter32(uint32(row) << 24)
			}
			m.Varbinds = append(m.Varbinds, snmptest.Varbind{Name: snmptest.OID{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, column + 1, 10_101 + uint32(row)}, Value: value})
		}
	}
	return m.Append(nil)
}

// A known OID and a number cost no memory.
func TestDecodeAllocates(t *testing.T) {
	s, reply := deafSession(t), tableReply(6)
	if _, ours, err := s.decode(reply); !ours || err != nil {
		t.Fatal(ours, err)
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _, _ = s.decode(reply) }); allocs > 0 {
		t.Errorf("%v allocations for 60 known varbinds", allocs)
	}
}

func BenchmarkDecode(b *testing.B) {
	reply := tableReply(6)
	b.Run("own", func(b *testing.B) {
		s := deafSession(b)
		b.ReportAllocs()
		for b.Loop() {
			if resp, ours, err := s.decode(reply); !ours || err != nil || len(resp.vars) != 60 {
				b.Fatal(ours, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(60*b.N), "ns/varbind")
	})
	b.Run("gosnmp", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, ok := gosnmpDecode(reply)
			if !ok || len(p.Variables) != 60 {
				b.Fatal("not decoded")
			}
			vars := make([]varbind, len(p.Variables))
			for i, v := range p.Variables {
				vars[i] = toVarbind(v)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(60*b.N), "ns/varbind")
	})
}

func BenchmarkEncode(b *testing.B) {
	r := request{kind: getBulk, reps: 6}
	for column := range 10 {
		r.oids = append(r.oids, fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d.10101", column+1))
	}
	b.Run("own", func(b *testing.B) {
		s := deafSession(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.encode(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gosnmp", func(b *testing.B) {
		codec := gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "public"}
		b.ReportAllocs()
		for b.Loop() {
			vars := make([]gosnmp.SnmpPDU, len(r.oids))
			for i, oid := range r.oids {
				vars[i] = gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Null}
			}
			if _, err := codec.SnmpEncodePacket(gosnmp.GetBulkRequest, vars, 0, uint32(r.reps)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
