package snmptest

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func startFleet(t testing.TB, o FleetOptions) *Fleet {
	t.Helper()
	f, err := StartFleet(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// fleetClient talks to one device over a connected socket, so that an answer
// from another address would not arrive.
func fleetClient(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func fleetAsk(t testing.TB, conn *net.UDPConn, kind PDUType, reps int32, oids ...OID) *Message {
	t.Helper()
	m := Message{Header: Header{V2c, "public", kind, 7, 0, reps}}
	for _, oid := range oids {
		m.Varbinds = append(m.Varbinds, Varbind{oid, Null()})
	}
	if _, err := conn.Write(m.Append(nil)); err != nil {
		t.Fatal(err)
	}
	in := make([]byte, 1<<16)
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	if n > defaultMaxReply {
		t.Errorf("a reply of %d bytes", n)
	}
	reply, err := Decode(in[:n])
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// All of a device, by GETBULK and by GETNEXT, in order and with the counters
// of both tables alike.
func TestFleetWalk(t *testing.T) {
	const ports = 150 // indexes of one and of two octets
	f := startFleet(t, FleetOptions{Devices: 600, Ports: ports, Now: func() time.Time { return time.Unix(1, 0) }})
	conn := fleetClient(t, f.Addrs()[513])
	bulk := map[string]Value{}
	for at := (OID{1, 3}); at != nil; {
		m := fleetAsk(t, conn, GetBulkRequest, 50, at)
		for _, v := range m.Varbinds {
			if v.Value.Tag == TagEndOfMibView {
				at = nil
				break
			}
			if v.Name.Compare(at) <= 0 {
				t.Fatalf("%v follows %v", v.Name, at)
			}
			at = v.Name
			bulk[v.Name.String()] = v.Value
		}
	}
	if want := 8 + ports*40; len(bulk) != want {
		t.Errorf("%d OIDs, want %d", len(bulk), want)
	}
	if name := bulk["1.3.6.1.2.1.1.5.0"]; name != OctetString(FleetName(513)) {
		t.Errorf("sysName %q", name.Body)
	}
	low, _ := bulk["1.3.6.1.2.1.2.2.1.10.140"].Uint64()
	high, _ := bulk["1.3.6.1.2.1.31.1.1.1.6.140"].Uint64()
	if high == 0 || low != high&0xffffffff {
		t.Errorf("ifInOctets %d, ifHCInOctets %d", low, high)
	}
	n := 0
	for at := (OID{1, 3}); ; n++ {
		v := fleetAsk(t, conn, GetNextRequest, 0, at).Varbinds[0]
		if v.Value.Tag == TagEndOfMibView {
			break
		}
		if at = v.Name; v.Value != bulk[at.String()] {
			t.Errorf("%v is %v by GETNEXT, %v by GETBULK", at, v.Value, bulk[at.String()])
		}
	}
	if n != len(bulk) {
		t.Errorf("%d OIDs by GETNEXT, %d by GETBULK", n, len(bulk))
	}
	m := fleetAsk(t, conn, GetRequest, 0, MustOID("1.3.6.1.2.1.31.1.1.1.6.140"), MustOID("1.3.6.1.4.1.99999.1"))
	if v, _ := m.Varbinds[0].Value.Uint64(); v != high || m.Varbinds[1].Value != NoSuchInstance() {
		t.Errorf("GET gives %v", m.Varbinds)
	}
	if c := f.Counts(); c.Requests != c.Replies || c.Varbinds == 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestFleetCountersGrow(t *testing.T) {
	now := time.Unix(1, 0)
	f := &Fleet{options: FleetOptions{Devices: 1, Community: "public", Now: func() time.Time { return now }}, table: newFleetTable(2), start: now}
	read := func() uint64 {
		m := Message{Header: Header{V2c, "public", GetRequest, 7, 0, 0}, Varbinds: []Varbind{{MustOID("1.3.6.1.2.1.31.1.1.1.6.2"), Null()}}}
		reply, _ := f.answer(m.Append(nil), 0, new(fleetScratch))
		d, err := Decode(reply)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := d.Varbinds[0].Value.Uint64()
		return n
	}
	before := read()
	now = now.Add(10 * time.Second)
	if got := read() - before; got != 10*(100_000+2*10_007) {
		t.Errorf("grew by %d", got)
	}
}

func TestFleetFaults(t *testing.T) {
	f := startFleet(t, FleetOptions{
		Devices: 3, Ports: 1, SlowBy: 30 * time.Millisecond,
		Dead: func(i int) bool { return i == 0 },
		Slow: func(i int) bool { return i == 1 },
	})
	addrs := f.Addrs()
	dead := fleetClient(t, addrs[0])
	m := Message{Header: Header{V2c, "public", GetRequest, 7, 0, 0}, Varbinds: []Varbind{{MustOID("1.3.6.1.2.1.1.5.0"), Null()}}}
	if _, err := dead.Write(m.Append(nil)); err != nil {
		t.Fatal(err)
	}
	until(t, "the request to the dead device", func() bool { return f.Counts().Dead == 1 })
	begin := time.Now()
	if v := fleetAsk(t, fleetClient(t, addrs[1]), GetRequest, 0, MustOID("1.3.6.1.2.1.1.5.0")).Varbinds[0].Value; v != OctetString(FleetName(1)) {
		t.Errorf("the slow device says %v", v)
	}
	if took := time.Since(begin); took < 30*time.Millisecond {
		t.Errorf("the slow device answers after %v", took)
	}
	other := fleetClient(t, addrs[2])
	m.Community = "secret"
	if _, err := other.Write(m.Append(nil)); err != nil {
		t.Fatal(err)
	}
	until(t, "the request with another community", func() bool { return f.Counts().Malformed == 1 })
	lossy := startFleet(t, FleetOptions{Devices: 1, Ports: 1, Loss: 1})
	m.Community = "public"
	if _, err := fleetClient(t, lossy.Addrs()[0]).Write(m.Append(nil)); err != nil {
		t.Fatal(err)
	}
	until(t, "the lost request", func() bool { return lossy.Counts().Lost == 1 })
}

// FuzzFleetOrder: bodies order as their OIDs do.
func FuzzFleetOrder(f *testing.F) {
	f.Add(uint32(127), uint32(128), uint32(16383), uint32(16384), true)
	f.Fuzz(func(t *testing.T, a, b, c, d uint32, long bool) {
		x, y := OID{1, 3, a, b}, OID{1, 3, c, d}
		if long {
			y = y[:3]
		}
		got := compareBodies(appendOIDBody(nil, x), appendOIDBody(nil, y))
		if want := x.Compare(y); got < 0 != (want < 0) || got == 0 != (want == 0) {
			t.Errorf("%v and %v compare as %d, want %d", x, y, got, want)
		}
	})
}

// BenchmarkFleetAnswer is the work on one GETBULK of 10 columns x 5 rows,
// without sockets.
func BenchmarkFleetAnswer(b *testing.B) {
	f := &Fleet{options: FleetOptions{Devices: 1, Community: "public", Now: time.Now}, table: newFleetTable(24), start: time.Now()}
	m := Message{Header: Header{V2c, "public", GetBulkRequest, 1, 0, 5}}
	for column := uint32(6); column < 16; column++ {
		m.Varbinds = append(m.Varbinds, Varbind{MustOID("1.3.6.1.2.1.31.1.1.1").Append(column), Null()})
	}
	request, varbinds := m.Append(nil), 0
	var s fleetScratch
	b.ReportAllocs()
	for b.Loop() {
		_, n := f.answer(request, 3, &s)
		varbinds += n
	}
	b.ReportMetric(float64(varbinds)/b.Elapsed().Seconds(), "varbinds/s")
}

// BenchmarkFleetServe is the same over loopback, with the client's work.
func BenchmarkFleetServe(b *testing.B) {
	f := startFleet(b, FleetOptions{Devices: 1, Ports: 24})
	conn := fleetClient(b, f.Addrs()[0])
	m := Message{Header: Header{V2c, "public", GetBulkRequest, 1, 0, 5}}
	for column := uint32(6); column < 16; column++ {
		m.Varbinds = append(m.Varbinds, Varbind{MustOID("1.3.6.1.2.1.31.1.1.1").Append(column), Null()})
	}
	request, in := m.Append(nil), make([]byte, 1<<16)
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(f.Counts().Varbinds)/b.Elapsed().Seconds(), "varbinds/s")
}
