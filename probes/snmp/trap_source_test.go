package snmp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// trapOf makes a notification of v2c by hand, with code of its own.
func trapOf(kind byte, community string, id byte, oid []byte, more ...[]byte) []byte {
	list := tlv(0x30, tlv(0x06, []byte{0x2b, 6, 1, 2, 1, 1, 3, 0}), tlv(0x43, []byte{id}))
	list = append(list, tlv(0x30, tlv(0x06, []byte{0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0}), tlv(0x06, oid))...)
	for _, m := range more {
		list = append(list, m...)
	}
	pdu := tlv(kind, tlv(2, []byte{id}), tlv(2, []byte{0}), tlv(2, []byte{0}), tlv(0x30, list))
	return tlv(0x30, tlv(2, []byte{1}), tlv(4, []byte(community)), pdu)
}

func tlv(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	if n := len(content); n >= 0x80 {
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, content...)
	}
	return append([]byte{tag, byte(len(content))}, content...)
}

var linkDownBytes = []byte{0x2b, 6, 1, 6, 3, 1, 1, 5, 3}

func dialTraps(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func write(t *testing.T, conn *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// Beyond the limits traps are dropped, counted and told; informs are then not
// answered, so that they come again.
func TestTrapStorm(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true, Counts: count(time.Hour), PerSender: 50}, community("canary"))
	conn := dialTraps(t, b.at)
	const all = 500
	for range all {
		write(t, conn, trapOf(berTrap, "canary", 1, linkDownBytes))
	}
	write(t, conn, trapOf(berInform, "canary", 9, linkDownBytes))
	await(t, "all of them", func() bool { s := b.source.Watch(); return s.Received+s.Dropped == all+1 })
	s := b.source.Watch()
	if s.Received != 50 || s.Status != probes.StatusWarning || !strings.Contains(s.Message, "451 traps dropped, more came than 50 a minute from one sender or 30000 in all") {
		t.Errorf("%+v", s)
	}
	b.stop()
	if len(b.records) != 50 {
		t.Errorf("%d records", len(b.records))
	}
	want := []string{
		"edgehold.traps.dropped,configuration=c,reason=limit,site=plant-7 count,delta=451",
		"traps.count,device.address=127.0.0.1,hall=7,host_ip=127.0.0.1,site=plant-7,trap_oid=IF-MIB::linkDown count,delta=50",
	}
	if got := b.lines(); !slices.Equal(got, want) {
		t.Errorf("lines %q", got)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1000)); err == nil {
		t.Errorf("an answer of %d bytes", n)
	}
}

// The limits by themselves: a new minute begins anew, senders are told apart, and
// their number is bounded.
func TestTrapLimit(t *testing.T) {
	var l trapLimit
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	admitted := func(from netip.Addr, at time.Duration, tries int) (n int) {
		for range tries {
			if l.admit(from, at, 10, 6) {
				n++
			}
		}
		return n
	}
	if x, y := admitted(a, 0, 20), admitted(b, time.Second, 20); x != 6 || y != 4 {
		t.Errorf("%d and %d admitted, want 6 of one and 4 more in all", x, y)
	}
	if x := admitted(a, trapPeriod, 20); x != 6 {
		t.Errorf("%d admitted in the next minute", x)
	}
	for i := range 2 * maxTrapSenders {
		l.admit(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 2*trapPeriod, 1<<20, 6)
	}
	if len(l.each) != maxTrapSenders {
		t.Errorf("%d senders kept", len(l.each))
	}
}

// Traps that say the same are held back and told of once at the end, whatever
// their uptime; all are counted.
func TestTrapRepeats(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true, Counts: count(time.Hour), Repeats: time.Hour}, community("canary"))
	conn := dialTraps(t, b.at)
	index := func(n byte) []byte {
		return tlv(0x30, tlv(6, []byte{0x2b, 6, 1, 2, 1, 2, 2, 1, 1, n}), tlv(2, []byte{n}))
	}
	for i := range byte(10) {
		write(t, conn, trapOf(berTrap, "canary", i, linkDownBytes, index(i%2)))
	}
	await(t, "ten", func() bool { return b.source.Watch().Received == 10 })
	b.stop()
	var got []string
	for _, r := range b.records {
		line := attribute(r, "if.index") + " " + attribute(r, "DISMAN-EVENT-MIB::sysUpTimeInstance")
		for _, n := range r.Numbers {
			line += fmt.Sprint(" ", n.Key, "=", n.Value.Uint64())
		}
		got = append(got, line)
	}
	slices.Sort(got)
	if want := []string{"0 0", "0 8 snmp.trap_repeats=4", "1 1", "1 9 snmp.trap_repeats=4"}; !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if got := b.lines(); len(got) != 1 || !strings.HasSuffix(got[0], "delta=10") {
		t.Errorf("lines %q", got)
	}
}

// An inform that is sent again is answered again and counted once.
func TestInformSentAgain(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true}, community("canary"))
	conn := dialTraps(t, b.at)
	inform := trapOf(berInform, "canary", 5, linkDownBytes)
	want := trapOf(berResponse, "canary", 5, linkDownBytes)
	for range 3 {
		write(t, conn, inform)
		_ = conn.SetReadDeadline(time.Now().Add(patient))
		reply := make([]byte, 1000)
		n, err := conn.Read(reply)
		if err != nil || string(reply[:n]) != string(want) {
			t.Fatalf("%x, %v; want %x", reply[:n], err, want)
		}
	}
	if s := b.source.Watch(); s.Received != 1 || s.Status != probes.StatusOK {
		t.Errorf("%+v", s)
	}
}

// What is no notification is counted, and nothing comes of it.
func TestTrapsMalformed(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true}, community("canary"))
	conn := dialTraps(t, b.at)
	good := trapOf(berTrap, "canary", 5, linkDownBytes)
	bad := [][]byte{
		{0},
		[]byte("hello"), good[:len(good)-1], good[:20],
		trapOf(berGet, "canary", 5, linkDownBytes),
		trapOf(berTrap, "canary", 5, []byte{0x2b, 0x80}),
		tlv(0x30, tlv(2, []byte{1}), tlv(4, []byte("canary")), tlv(berTrap, tlv(2, []byte{1}), tlv(2, []byte{0}), tlv(2, []byte{0}), tlv(0x30))),
		tlv(0x30, tlv(2, []byte{7}), tlv(4, []byte("canary"))),
		tlv(0x30, tlv(2, []byte{3}), tlv(0x30)),
	}
	for _, datagram := range bad {
		write(t, conn, datagram)
	}
	write(t, conn, good)
	await(t, "the good one", func() bool { return b.source.Watch().Received == 1 })
	if got := b.refusals()["malformed"]; got != uint64(len(bad)) {
		t.Errorf("%d malformed, want %d; all %v", got, len(bad), b.refusals())
	}
}

// Two configurations share a port: each gets what it knows the community of, and
// what comes between two runs is not lost.
func TestTrapPortIsShared(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "")
	first := takeTraps(t, r, plan.Traps{Records: true}, community("canary"), community("both"))
	second := takeTrapsAt(t, r, first.at, plan.Traps{Records: true}, community("other"), community("both"))
	conn := dialTraps(t, first.at)
	for _, word := range []string{"canary", "other", "both", "neither"} {
		write(t, conn, trapOf(berTrap, word, 5, linkDownBytes))
	}
	await(t, "all of them", func() bool {
		return first.source.Watch().Received == 2 && second.source.Watch().Received == 2 && second.refusals()["community"] == 1
	})
	if got := first.refusals(); got["community"] != 1 {
		t.Errorf("refused %v", got)
	}
	first.stop()
	second.stop()
	for range 7 {
		write(t, conn, trapOf(berTrap, "canary", 6, linkDownBytes))
	}
	third := takeTrapsAt(t, r, first.at, plan.Traps{Records: true}, community("canary"))
	await(t, "what came in between", func() bool { return third.source.Watch().Received == 7 })
	r.life.Lock()
	defer r.life.Unlock()
	if len(r.ports) != 1 {
		t.Errorf("%d ports are open", len(r.ports))
	}
}

// While one run follows another, as in reloads, no trap is lost and none comes
// twice.
func TestTrapsOverManyRuns(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "")
	at := netip.MustParseAddrPort(freeAddr(t))
	conn := dialTraps(t, at)
	var sent, taken uint64
	for round := range 30 {
		b := takeTrapsAt(t, r, at, plan.Traps{Records: true}, community("canary"))
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.stop()
		}()
		for range 10 {
			write(t, conn, trapOf(berTrap, "canary", byte(round), linkDownBytes))
			sent++
		}
		<-stopped
		taken += b.source.Watch().Received
	}
	b := takeTrapsAt(t, r, at, plan.Traps{Records: true}, community("canary"))
	await(t, "the rest", func() bool { return taken+b.source.Watch().Received >= sent })
	if got := taken + b.source.Watch().Received; got != sent {
		t.Errorf("%d taken of %d", got, sent)
	}
}

// A source that listens to one port in two ways, with the port said and without,
// counts each datagram once.
func TestTrapsOfOnePortTwice(t *testing.T) {
	source := &trapSource{plan: &plan.Traps{Counts: count(time.Hour)}, receiver: newReceiver(t, "")}
	source.begin(0)
	port := &trapPort{receiver: source.receiver}
	entry := plan.TrapSource{From: netip.MustParsePrefix("127.0.0.0/8"), Credential: community("canary")}
	port.add(&subscriber{source: source, entries: []plan.TrapSource{entry, entry}})
	port.add(&subscriber{source: source, entries: []plan.TrapSource{entry}})
	for _, from := range []string{"127.0.0.1:1000", "192.0.2.1:1000"} {
		port.hand(trapOf(berTrap, "canary", 1, linkDownBytes), netip.MustParseAddrPort(from), nil)
	}
	if s := source.Watch(); s.Received != 1 || s.Refused != 1 || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// A sender outside of the networks is refused whatever it knows.
func TestTrapFromElsewhere(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true}, community("canary"))
	b.source.receiver.life.Lock()
	p := b.source.receiver.ports[b.at]
	b.source.receiver.life.Unlock()
	reply := p.hand(trapOf(berInform, "canary", 1, linkDownBytes), netip.MustParseAddrPort("192.0.2.1:1000"), nil)
	if got := b.refusals(); reply != nil || got["source"] != 1 || len(got) != 1 {
		t.Errorf("reply %x, refused %v", reply, got)
	}
}

// The memory for counts is bounded: what is beyond is counted together.
func TestTrapCountsAreBounded(t *testing.T) {
	b := &trapBench{source: &trapSource{plan: &plan.Traps{Counts: count(time.Hour)}, receiver: newReceiver(t, "")}}
	b.source.begin(0)
	for i := range maxTrapCounts + 5 {
		b.source.accept(&notification{oid: fmt.Sprint("1.3.6.", i)}, netip.MustParseAddr("192.0.2.1"))
	}
	b.source.end(b.emit)
	if len(b.points) != maxTrapCounts+1 {
		t.Fatalf("%d points", len(b.points))
	}
	for _, line := range b.lines() {
		if strings.Contains(line, "trap_oid=other ") && !strings.HasSuffix(line, "delta=5") {
			t.Error(line)
		}
	}
}

// With identity: site the address of a sender has the site before it everywhere.
func TestTrapPrefix(t *testing.T) {
	p := plan.Traps{Counts: count(time.Minute), Records: true, Prefix: "plant-7/"}
	b := &trapBench{source: &trapSource{plan: &p, receiver: newReceiver(t, ""), deps: probes.Deps{Resolver: trapHosts{"192.0.2.1": "sw1"}}}}
	b.source.begin(0)
	b.source.accept(&notification{oid: linkDown}, netip.MustParseAddr("192.0.2.1"))
	b.source.end(b.emit)
	want := "traps.count,device.address=plant-7/192.0.2.1,device.name=sw1,hall=7,host_ip=plant-7/192.0.2.1,trap_oid=IF-MIB::linkDown count,delta=1"
	if got := b.lines(); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	if r := b.records[0]; attribute(r, "device.address") != "plant-7/192.0.2.1" || attribute(r, "device.name") != "sw1" {
		t.Errorf("%+v", r)
	}
}

type trapHosts map[string]string

func (n trapHosts) NameOf(address string) string { return n[address] }

// Varbinds whose names end in numbers that never come again are named alike, with
// their values one after the other; what is not theirs stays as it is.
func TestTrapTrims(t *testing.T) {
	p := plan.Traps{Records: true, Trims: []plan.TrapTrim{{Root: "1.3.6.1.4.1.9", Arcs: 1}}}
	b := &trapBench{source: &trapSource{plan: &p, receiver: newReceiver(t, "")}}
	b.source.begin(0)
	n := notification{oid: linkDown}
	for oid, text := range map[string]string{"1.3.6.1.4.1.9.2.34024": "PKI", "1.3.6.1.4.1.99.3.1": "else"} {
		n.vars = append(n.vars, varbind{oid: oid, tag: berOctets, cell: octetsCell([]byte(text))})
	}
	n.vars = append(n.vars,
		varbind{oid: "1.3.6.1.4.1.9.3.34024", tag: berInteger, cell: plan.Cell{Kind: plan.Integer, Int: -4}},
		varbind{oid: "1.3.6.1.4.1.9.3.34025", tag: berInteger, cell: plan.Cell{Kind: plan.Integer, Int: 5}},
		varbind{oid: snmpTrapCommunity, tag: berOctets, cell: octetsCell([]byte("canary"))})
	b.source.accept(&n, netip.MustParseAddr("192.0.2.1"))
	b.source.end(b.emit)
	r := b.records[0]
	for key, want := range map[string]string{
		"1.3.6.1.4.1.9.2": "PKI", "1.3.6.1.4.1.99.3.1": "else", "1.3.6.1.4.1.9.3": "-4, 5", snmpTrapCommunity: "",
	} {
		if got := attribute(r, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// The memory for records that wait is bounded, and what finds no room is counted.
func TestTrapRecordsAreBounded(t *testing.T) {
	p := plan.Traps{Records: true}
	b := &trapBench{source: &trapSource{plan: &p, receiver: newReceiver(t, "")}}
	b.source.begin(0)
	n := notification{oid: linkDown}
	for i := range 60 {
		n.vars = append(n.vars, varbind{oid: fmt.Sprint("1.3.6.1.4.1.9.", i), tag: berOctets, cell: plan.Cell{Kind: plan.Octets, Text: strings.Repeat("x", 900)}})
	}
	taken := 0
	for range 200 {
		if b.source.accept(&n, netip.MustParseAddr("192.0.2.1")) {
			taken++
		}
	}
	if most := maxTrapText/(60*900) + 1; taken > most || taken < most/2 || b.source.now.dropped[droppedRoom] != uint64(200-taken) {
		t.Errorf("%d taken, %d dropped", taken, b.source.dropped)
	}
	b.source.flush(b.emit, 0)
	if !b.source.accept(&n, netip.MustParseAddr("192.0.2.1")) {
		t.Error("no room after the records were written")
	}
}

// Points come when their interval is over, each with what came in it.
func TestTrapIntervals(t *testing.T) {
	p := plan.Traps{Counts: append(count(time.Minute), count(5*time.Minute)...)}
	p.Counts[1].Key = "traps.slow"
	b := &trapBench{source: &trapSource{plan: &p, receiver: newReceiver(t, "")}}
	b.source.begin(0)
	var got []string
	for minute := range 11 {
		b.source.accept(&notification{oid: linkDown}, netip.MustParseAddr("192.0.2.1"))
		b.points = nil
		b.source.flush(b.emit, time.Duration(minute+1)*time.Minute)
		for _, point := range b.points {
			got = append(got, fmt.Sprint(minute+1, point.Series.Key()[5:], point.Value.Uint64()))
		}
	}
	want := []string{"1.count1", "2.count1", "3.count1", "4.count1", "5.count1", "5.slow5", "6.count1", "7.count1", "8.count1", "9.count1", "10.count1", "10.slow5", "11.count1"}
	if !slices.Equal(got, want) {
		t.Errorf("points %q", got)
	}
}

func TestTrapPortErrors(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		syscall.EACCES:        "listen for SNMP traps on UDP port 162: permission denied; ports below 1024 need a right: have systemd open it (systemctl enable --now edgehold-snmptrap.socket, then restart edgehold), or give the program the capability CAP_NET_BIND_SERVICE",
		syscall.EADDRINUSE:    "another program has it (ss -ulpn shows which)",
		syscall.EADDRNOTAVAIL: "cannot assign requested address; check `listen` and `port`",
	} {
		if got := portError(162, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}); !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	taken := newReceiver(t, "")
	b := takeTraps(t, taken, plan.Traps{}, community("canary"))
	other := &trapSource{plan: &plan.Traps{Listen: b.at.Addr()}, receiver: newReceiver(t, ""), sources: []plan.TrapSource{{Port: b.at.Port()}}}
	err := other.Run(t.Context(), b.emit)
	if probes.StatusOf(err) != probes.StatusGenericError || !strings.Contains(err.Error(), "another program has it") {
		t.Errorf("%v", err)
	}
}

// A socket of systemd is used for its port, and where no port is said.
func TestTrapSocketOfSystemd(t *testing.T) {
	if os.Getenv("EDGEHOLD_TRAP_CHILD") != "" {
		trapChild(t)
		return
	}
	t.Parallel()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestTrapSocketOfSystemd$'`, os.Args[0])
	cmd.ExtraFiles = []*os.File{f, f}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=web:snmptrap", "EDGEHOLD_TRAP_CHILD="+localOf(conn).String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// trapChild is the process that systemd has started.
func trapChild(t *testing.T) {
	at := netip.MustParseAddrPort(os.Getenv("EDGEHOLD_TRAP_CHILD"))
	r := NewTrapReceiver(TrapReceiverOptions{Environment: os.Getenv})
	defer r.Close()
	if len(r.passed) != 1 || localOf(r.passed[0]) != at {
		t.Fatalf("sockets %v", r.passed)
	}
	for _, port := range []uint16{0, at.Port()} {
		b := takeTrapsAt(t, r, netip.AddrPortFrom(at.Addr(), port), plan.Traps{}, community("canary"))
		write(t, dialTraps(t, at), trapOf(berTrap, "canary", 5, linkDownBytes))
		await(t, "the trap", func() bool { return b.source.Watch().Received == 1 })
		b.stop()
	}
}

// Every setting starts the task anew.
func TestTrapPrint(t *testing.T) {
	base := func() (*plan.Plan, []plan.TrapSource) {
		return &plan.Plan{Extension: "e", Version: "1", Traps: &plan.Traps{Counts: count(time.Minute)}},
			[]plan.TrapSource{{From: netip.MustParsePrefix("10.0.0.0/8"), Port: 162, Credential: v3("u", probes.AuthSHA, probes.PrivAES)}}
	}
	seen := map[string]int{}
	for i, change := range []func(p *plan.Plan, s []plan.TrapSource){
		func(*plan.Plan, []plan.TrapSource) {},
		func(p *plan.Plan, _ []plan.TrapSource) { p.Version = "2" },
		func(p *plan.Plan, _ []plan.TrapSource) { p.Traps.Records = true },
		func(p *plan.Plan, _ []plan.TrapSource) { p.Traps.Counts[0].Interval = time.Hour },
		func(p *plan.Plan, _ []plan.TrapSource) { p.Traps.Listen = netip.MustParseAddr("127.0.0.1") },
		func(_ *plan.Plan, s []plan.TrapSource) { s[0].Port = 0 },
		func(_ *plan.Plan, s []plan.TrapSource) { s[0].From = netip.MustParsePrefix("10.0.0.0/9") },
		func(_ *plan.Plan, s []plan.TrapSource) { s[0].Credential.PrivPass = probes.NewSecret("another") },
	} {
		p, s := base()
		change(p, s)
		if first, twice := seen[trapPrint(p, s)]; twice {
			t.Errorf("changes %d and %d have one print", first, i)
		}
		seen[trapPrint(p, s)] = i
	}
	p, s := base()
	if _, same := seen[trapPrint(p, s)]; !same {
		t.Error("the same settings, in other memory, are told apart")
	}
}

// Where all addresses are listened on, an inform is answered from the one that
// it was sent to.
func TestInformIsAnsweredFromItsAddress(t *testing.T) {
	t.Parallel()
	at := netip.AddrPortFrom(netip.Addr{}, netip.MustParseAddrPort(freeAddr(t)).Port())
	takeTrapsAt(t, newReceiver(t, ""), at, plan.Traps{}, community("canary"))
	all := []string{"127.0.0.1", "127.0.0.2"}
	if probe, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		_ = probe.Close()
		all = append(all, "::1")
	}
	for i, to := range all {
		conn := dialTraps(t, netip.AddrPortFrom(netip.MustParseAddr(to), at.Port())) // hears nobody else
		write(t, conn, trapOf(berInform, "canary", byte(i), linkDownBytes))
		_ = conn.SetReadDeadline(time.Now().Add(patient))
		if _, err := conn.Read(make([]byte, 1000)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// BenchmarkTraps is one trap from datagram to record and count, without the
// network: plain, and signed and encrypted.
func BenchmarkTraps(b *testing.B) {
	c := v3("edge", probes.AuthSHA256, probes.PrivAES)
	const engine = "\x80\x00\x00\x00\x05abcdefgh"
	keys, err := localise(c, engine)
	if err != nil {
		b.Fatal(err)
	}
	plain := trapOf(berTrap, "canary", 5, linkDownBytes)
	m, _ := openCommunity(plain)
	w := writer{}
	w.raw(string(m.pdu))
	w.octets("")
	w.octets(engine)
	w.head(berSequence, 0)
	sealed := answer{msgID: 5, level: authPriv, engine: engine, clock: clockOf{3, 4}, user: c.User, keys: keys, scoped: w.bytes()}.sealed(b)
	for name, datagram := range map[string][]byte{"v2c": plain, "v3": sealed} {
		b.Run(name, func(b *testing.B) {
			r := NewTrapReceiver(TrapReceiverOptions{})
			t := &trapSource{plan: &plan.Traps{Records: true, Counts: count(time.Hour), PerMinute: 1 << 30, PerSender: 1 << 30}, receiver: r}
			t.begin(0)
			port := &trapPort{receiver: r}
			network := netip.MustParsePrefix("127.0.0.0/8")
			port.add(&subscriber{source: t, entries: []plan.TrapSource{{From: network, Credential: community("canary")}, {From: network, Credential: c}}})
			from := netip.MustParseAddrPort("127.0.0.1:1000")
			copied := make([]byte, len(datagram))
			for b.Loop() {
				copy(copied, datagram)
				port.take(copied, from, nil)
				if len(t.records) == 1000 {
					t.flush(func(probes.Batch) {}, 0)
				}
			}
			if t.dropped+t.refused > 0 {
				b.Fatalf("%+v", t.Watch())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Minutes(), "traps/min")
		})
	}
}
