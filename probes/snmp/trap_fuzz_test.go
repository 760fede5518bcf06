package snmp

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

// FuzzTrapPDU makes traps of any content with gosnmp, and reads them back the
// same: OID, uptime, and each varbind.
func FuzzTrapPDU(f *testing.F) {
	f.Add(false, uint32(1234), []byte{1, 3, 6, 1, 4, 1, 9}, int64(-5), []byte("text"), uint8(2), uint32(7))
	f.Add(true, uint32(0), []byte{1, 3, 6, 1}, int64(1<<31-1), []byte{0, 255}, uint8(6), uint32(4711))
	f.Fuzz(func(t *testing.T, v1 bool, ticks uint32, arcs []byte, number int64, octets []byte, generic uint8, specific uint32) {
		if len(octets) > 2000 {
			octets = octets[:2000]
		}
		name := fuzzedOID(arcs)
		generic %= 7
		specific &= math.MaxInt32
		packet := gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "canary", PDUType: gosnmp.SNMPv2Trap, RequestID: 7}
		vars := []gosnmp.SnmpPDU{
			{Name: name + ".1", Type: gosnmp.Integer, Value: int(int32(number))},
			{Name: name + ".2", Type: gosnmp.OctetString, Value: octets},
			{Name: name + ".3", Type: gosnmp.ObjectIdentifier, Value: "." + name},
			{Name: name + ".4", Type: gosnmp.Counter64, Value: uint64(number)},
		}
		oid := name
		if v1 {
			packet.Version, packet.PDUType = gosnmp.Version1, gosnmp.Trap
			packet.SnmpTrap = gosnmp.SnmpTrap{
				Enterprise: "." + name, AgentAddress: "192.0.2.77", GenericTrap: int(generic), SpecificTrap: int(specific), Timestamp: uint(ticks),
			}
			packet.Variables = vars
			oid = standardTraps + "." + strconv.Itoa(int(generic)+1)
			if generic == 6 {
				oid = name + ".0." + strconv.Itoa(int(specific))
			}
		} else {
			packet.Variables = append([]gosnmp.SnmpPDU{
				{Name: sysUpTime, Type: gosnmp.TimeTicks, Value: ticks},
				{Name: snmpTrapOID, Type: gosnmp.ObjectIdentifier, Value: "." + name},
			}, vars...)
		}
		message, err := packet.MarshalMsg()
		if err != nil {
			t.Skip(err)
		}
		m, ok := openCommunity(message)
		if !ok || string(m.community) != "canary" {
			t.Fatalf("not opened: %x", message)
		}
		table := oidTable{whole: true}
		n, ok := table.notification(m.pdu, m.version)
		if !ok || n.oid != oid || n.uptime != uint64(ticks) || !n.timed {
			t.Fatalf("read %+v, want %s at %d; %x", n, oid, ticks, message)
		}
		want := []plan.Cell{
			{Kind: plan.Integer, Int: int64(int32(number))},
			{Kind: plan.Octets, Text: string(octets)},
			{Kind: plan.Text, Text: name},
			{Kind: plan.Counter64, Uint: uint64(number)},
		}
		if v1 {
			want = append(want, plan.Cell{Kind: plan.Text, Text: "192.0.2.77"}, plan.Cell{Kind: plan.Text, Text: name})
		}
		if len(n.vars) != len(want) {
			t.Fatalf("%d varbinds", len(n.vars))
		}
		for i, v := range n.vars {
			if v.cell != want[i] || i < 4 && v.oid != name+"."+strconv.Itoa(i+1) {
				t.Errorf("varbind %d: %s %+v, want %+v", i, v.oid, v.cell, want[i])
			}
		}
	})
}

// fuzzedOID makes an OID of 3 to 40 arcs, large ones among them.
func fuzzedOID(b []byte) string {
	oid := []string{"1", "3", "6"}
	for len(b) > 0 && len(oid) < 40 {
		n := uint64(b[0])
		if b = b[1:]; n > 200 && len(b) >= 4 {
			n, b = uint64(binary.BigEndian.Uint32(b)&math.MaxInt32), b[4:]
		}
		oid = append(oid, strconv.FormatUint(n, 10))
	}
	return strings.Join(oid, ".")
}

// FuzzTrapDatagram gives a port any bytes. Each datagram is accounted for once,
// as taken or as refused, unless it asks for the engine; and only what knows the
// community or a user is taken or answered with more than a report.
func FuzzTrapDatagram(f *testing.F) {
	good := v3("edge", probes.AuthNone, probes.PrivNone)
	f.Add(trapOf(berTrap, "canary", 5, linkDownBytes))
	f.Add(trapOf(berInform, "canary", 5, linkDownBytes))
	f.Add(trapOf(berInform, "canarx", 5, linkDownBytes))
	if probe, err := discovery(1, 1); err == nil {
		f.Add(probe)
	}
	f.Add(answer{msgID: 5, level: noAuthNoPriv, engine: "\x80\x00\x00\x00\x01", user: "edge", scoped: reportScope("\x80\x00\x00\x00\x01", linkDown, 1, 1)}.sealed(f))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		r := NewTrapReceiver(TrapReceiverOptions{})
		p := plan.Traps{Records: true, Counts: count(time.Hour)}
		b := &trapBench{source: &trapSource{plan: &p, receiver: r}}
		b.source.begin(0)
		network := netip.MustParsePrefix("127.0.0.0/8")
		port := &trapPort{receiver: r}
		port.add(&subscriber{source: b.source, entries: []plan.TrapSource{{From: network, Credential: community("canary")}, {From: network, Credential: good}}})
		known := strings.Contains(string(datagram), "canary") || strings.Contains(string(datagram), "edge")
		reply := string(port.take([]byte(string(datagram)), netip.MustParseAddrPort("127.0.0.1:1000"), nil))
		s := b.source.Watch()
		if sum := s.Received + s.Refused; sum > 1 || s.Dropped > 0 || sum == 0 && reply == "" {
			t.Errorf("%d received, %d dropped, %d refused, reply %x", s.Received, s.Dropped, s.Refused, reply)
		}
		b.source.end(b.emit)
		if !known && (s.Received > 0 || len(b.records) > 0) {
			t.Errorf("a stranger was heard: %+v", s)
		}
		if uint64(len(b.records)) != s.Received {
			t.Errorf("%d records of %d", len(b.records), s.Received)
		}
		if reply == "" {
			return
		}
		if version, ok := versionOf([]byte(reply)); !ok || s.Received == 0 && version != version3 {
			t.Errorf("reply %x", reply)
		}
	})
}

// What is sealed here opens with gosnmp, at every level and with every protocol.
func TestAnswerOpens(t *testing.T) {
	const engine = "\x80\x00\x00\x00\x05abcdefgh"
	for auth := range authProtocols {
		for _, priv := range []probes.PrivProtocol{probes.PrivNone, probes.PrivDES, probes.PrivAES, probes.PrivAES192, probes.PrivAES256, probes.PrivAES192C, probes.PrivAES256C} {
			c := v3("edge", auth, priv)
			keys, err := localise(c, engine)
			if err != nil {
				t.Fatal(err)
			}
			for size := range 40 {
				scoped := reportScope(engine, "1.3.6"+strings.Repeat(".7", size), 3, 77)
				message := answer{msgID: 5, level: levelOf(c), engine: engine, clock: clockOf{3, 4}, user: c.User, keys: keys, scoped: scoped}.sealed(t)
				m, ok := openSealed(message)
				u := newUser(c)
				u.bind(keys)
				if !ok || !u.open(m.message) || m.clock != (clockOf{3, 4}) || m.msgID != 5 {
					t.Fatalf("%s %s: %x not opened", auth, priv, message)
				}
				if got := string(m.scoped[:len(scoped)]); got != string(scoped) {
					t.Fatalf("%s %s: %x, want %x", auth, priv, got, scoped)
				}
			}
		}
	}
}

// sealed is seal for tests.
func (a answer) sealed(t testing.TB) []byte {
	t.Helper()
	b, err := a.seal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
