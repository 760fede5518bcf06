package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

func nothing(string) (string, bool) { return "", false }

// start has a meter count, as an audit does.
func start(m *Meter) *Collector {
	c := newCollector(nothing)
	m.running.Store(c)
	return c
}

// one is the only destination of a report.
func one(t *testing.T, c *Collector) Destination {
	t.Helper()
	all := c.report().Destinations
	if len(all) != 1 {
		t.Fatalf("destinations %+v, want one", all)
	}
	return all[0]
}

// echoTCP sends back what it reads.
func echoTCP(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the other side has gone
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr()
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
}

func TestStream(t *testing.T) {
	var m Meter
	addr := echoTCP(t)
	conn, err := m.Line(Uplink).Dial(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say(t, conn, "before the audit")
	c := start(&m)
	say(t, conn, "hello")
	say(t, conn, "again")
	second, err := m.Line(Uplink).Dial(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	say(t, second, "!")
	m.running.Store(nil)
	say(t, conn, "after the audit")
	want := Destination{Purpose: Uplink, Protocol: "tcp", Address: addr.String(), BytesOut: 11, BytesIn: 11, Attempts: 1, Connections: 2}
	if got := one(t, c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An attempt that nobody answers has left, to the address that the name led to.
func TestAttempt(t *testing.T) {
	var m Meter
	c := start(&m)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	if _, err := m.Line(UplinkTime).Dial(t.Context(), "tcp4", "localhost:"+port); err == nil {
		t.Fatal("somebody listens")
	}
	want := Destination{Purpose: UplinkTime, Protocol: "tcp", Address: "127.0.0.1:" + port, Name: "localhost", Attempts: 1}
	if got := one(t, c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Go's resolver takes what is dialed for it for a UDP socket only if it is a
// net.PacketConn.
func TestDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var m Meter
	c := start(&m)
	conn, err := m.Line(DNS).Connect(t.Context(), net.Dialer{}, "udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(net.PacketConn); !ok {
		t.Fatal("not a net.PacketConn")
	}
	if _, err := io.WriteString(conn, "question"); err != nil {
		t.Fatal(err)
	}
	_, from, err := server.ReadFrom(make([]byte, 100))
	if err == nil {
		_, err = server.WriteTo([]byte("an answer"), from)
	}
	if err == nil {
		_, err = conn.Read(make([]byte, 100))
	}
	if err != nil {
		t.Fatal(err)
	}
	want := Destination{Purpose: DNS, Protocol: "udp", Address: server.LocalAddr().String(), BytesOut: 8, BytesIn: 9, DatagramsOut: 1, DatagramsIn: 1}
	if got := one(t, c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A look-up is counted by whom it asks.
func TestResolver(t *testing.T) {
	var m Meter
	c := start(&m)
	r := m.Resolver()
	var asked atomic.Int32 // the resolver asks for both families at once
	dial := r.Dial
	r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		asked.Add(1)
		return dial(ctx, network, "127.0.0.1:1") // nobody is there
	}
	if _, err := r.LookupHost(t.Context(), "edgehold.invalid."); err == nil {
		t.Fatal("there is such a name")
	}
	if asked.Load() == 0 {
		t.Skip("this machine asks nobody for names")
	}
	if got := one(t, c); got.Purpose != DNS || got.Address != "127.0.0.1:1" || got.DatagramsOut == 0 {
		t.Errorf("got %+v", got)
	}
}

func TestTraffic(t *testing.T) {
	var m Meter
	var line probes.Traffic = m.Line(DevicePoll)
	to := netip.MustParseAddrPort("192.0.2.1:161")
	line.Sent(to, "sw1", 1000) // before the audit
	c := start(&m)
	line.Sent(to, "sw1", 50)
	line.Sent(netip.MustParseAddrPort("[::ffff:192.0.2.1]:161"), "sw1", 50)
	line.Received(to, "sw1", 400)
	want := Destination{Purpose: DevicePoll, Protocol: "udp", Address: "192.0.2.1:161", Name: "sw1", BytesOut: 100, BytesIn: 400, DatagramsOut: 2, DatagramsIn: 1}
	if got := one(t, c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if p := c.progress(); p != (Progress{Destinations: 1, BytesOut: 100, BytesIn: 400}) {
		t.Errorf("progress %+v", p)
	}
}

// Pings are not datagrams of UDP, and have no port.
func TestPings(t *testing.T) {
	var m Meter
	c := start(&m)
	line, to := m.Line(DevicePoll), netip.MustParseAddr("192.0.2.1")
	line.Sent(netip.AddrPortFrom(to, 0), "sw1", 64)
	line.Received(netip.AddrPortFrom(to, 0), "sw1", 64)
	want := Destination{Purpose: DevicePoll, Protocol: "icmp", Address: "192.0.2.1", Name: "sw1", BytesOut: 64, BytesIn: 64, DatagramsOut: 1, DatagramsIn: 1}
	if got := one(t, c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What is beyond the bounds is told and added up.
func TestBounds(t *testing.T) {
	var m Meter
	c := start(&m)
	line := m.Line(Discovery)
	base := netip.MustParseAddr("10.0.0.0").As4()
	for i := range maxDestinations + 10 {
		base[1], base[2], base[3] = byte(i>>16), byte(i>>8), byte(i)
		line.Sent(netip.AddrPortFrom(netip.AddrFrom4(base), 161), "", 7)
	}
	for i := range maxSources + 1 {
		c.Points(fmt.Sprint("source ", i), []probes.Point{{Series: probes.NewSeries("k", probes.Gauge)}})
	}
	var many []probes.Point
	for i := range maxMetrics + 5 {
		many = append(many, probes.Point{Series: probes.NewSeries(fmt.Sprint("k", i), probes.Gauge, probes.Dimension{Key: fmt.Sprint("d", i), Value: "v"})})
	}
	c.Points("source 0", many)
	r := c.report()
	notes := strings.Join(r.Notes, "\n")
	if len(r.Destinations) != maxDestinations || !strings.Contains(notes, "70 bytes in 10 datagrams") {
		t.Errorf("%d destinations, %s", len(r.Destinations), notes)
	}
	if len(r.Sources) != maxSources || len(r.Sources[0].Metrics) != maxMetrics || len(r.Sources[0].Dimensions) != maxDimensions {
		t.Errorf("%d sources", len(r.Sources))
	}
	for _, what := range []string{"more sources than are listed (1 ", "more metrics than", "more dimensions than"} {
		if !strings.Contains(notes, what) {
			t.Errorf("%q is not in %s", what, notes)
		}
	}
}

func TestWhat(t *testing.T) {
	sensitive := func(key string) (string, bool) { return "it is a name", strings.Contains(key, "user") }
	c := newCollector(sensitive)
	dims := func(pairs ...string) (out []probes.Dimension) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	long := strings.Repeat("x", maxExample-1) + "äöü"
	for _, port := range []string{"1", "2", "2", "3", "4"} {
		c.Points("package", []probes.Point{
			{Series: probes.NewSeries("b", probes.Gauge, dims("port", port, "user", "ann")...)},
			{Series: probes.NewSeries("a", probes.Count, dims("text", long)...)},
		})
	}
	c.Entries("package", []probes.Event{{Title: "t", Properties: dims("port", "9")}}, []probes.Record{{
		Content: "c", Attributes: dims("user.name", "bob"), Numbers: []probes.Number{{Key: "n", Value: probes.Int(1)}},
	}})
	c.Entries("other", nil, nil)
	r := c.report()
	if len(r.Sources) != 1 {
		t.Fatalf("sources %+v", r.Sources)
	}
	s := r.Sources[0]
	if s.Name != "package" || s.Points != 10 || s.Events != 1 || s.Records != 1 || c.progress().Points != 10 {
		t.Errorf("got %+v", s)
	}
	if want := "[{a count 5} {b gauge 5}]"; fmt.Sprint(s.Metrics) != want {
		t.Errorf("metrics %v, want %s", s.Metrics, want)
	}
	want := fmt.Sprint([]Dimension{
		{"n", []string{"records"}, nil, ""},
		{"port", []string{"metrics", "events"}, []string{"1", "2", "3"}, ""},
		{"text", []string{"metrics"}, []string{strings.Repeat("x", maxExample-1) + "..."}, ""},
		{"user", []string{"metrics"}, nil, "it is a name"},
		{"user.name", []string{"records"}, nil, "it is a name"},
	})
	if got := fmt.Sprint(s.Dimensions); got != want {
		t.Errorf("dimensions\n%s\nwant\n%s", got, want)
	}
}

// BenchmarkIdle is what a datagram costs while no audit runs, and while one
// does.
func BenchmarkIdle(b *testing.B) {
	to := netip.MustParseAddrPort("192.0.2.1:161")
	for _, running := range []bool{false, true} {
		b.Run(fmt.Sprintf("audit %v", running), func(b *testing.B) {
			var m Meter
			if running {
				start(&m)
			}
			var line probes.Traffic = m.Line(DevicePoll)
			b.ReportAllocs()
			for b.Loop() {
				line.Sent(to, "192.0.2.1", 100)
			}
		})
	}
}
