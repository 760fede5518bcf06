package snmp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

var everywhere = netip.Addr{}

// socketsOf are the addresses that a port number is open at.
func socketsOf(r *TrapReceiver, number uint16) []string {
	r.life.Lock()
	defer r.life.Unlock()
	var all []string
	for _, p := range r.portsOf(number) {
		word := "all"
		if p.local.Addr().IsValid() {
			word = p.local.Addr().String()
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return all
}

// Configurations that listen at one address, at another and at all share a port
// in any order; each gets what comes to its address.
func TestTrapPortAtSeveralAddresses(t *testing.T) {
	t.Parallel()
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	for _, test := range []struct {
		listen  []netip.Addr
		sockets []string
	}{
		{[]netip.Addr{one, everywhere}, []string{"all"}},
		{[]netip.Addr{everywhere, one}, []string{"all"}},
		{[]netip.Addr{one, two}, []string{"127.0.0.1", "127.0.0.2"}},
		{[]netip.Addr{one, two, everywhere}, []string{"all"}},
		{[]netip.Addr{two, everywhere, one, one}, []string{"all"}},
		{[]netip.Addr{netip.IPv4Unspecified(), everywhere, netip.IPv6Unspecified(), one}, []string{"all"}},
	} {
		r := newReceiver(t, "")
		number := netip.MustParseAddrPort(freeAddr(t)).Port()
		var all []*trapBench
		for _, listen := range test.listen {
			all = append(all, takeTrapsAt(t, r, netip.AddrPortFrom(listen, number), plan.Traps{}, community("canary")))
		}
		if got := socketsOf(r, number); !slices.Equal(got, test.sockets) {
			t.Errorf("%v: sockets at %q, want %q", test.listen, got, test.sockets)
		}
		for range 3 {
			for _, to := range []netip.Addr{one, two} {
				write(t, dialTraps(t, netip.AddrPortFrom(to, number)), trapOf(berTrap, "canary", 1, linkDownBytes))
			}
		}
		for i, b := range all {
			want := uint64(3)
			if !listenAt(test.listen[i]).IsValid() {
				want = 6
			}
			await(t, fmt.Sprintf("%v: those of %d", test.listen, i), func() bool { return b.source.Watch().Received >= want })
		}
		for i, b := range all {
			b.stop()
			if s := b.source.Watch(); s.Received > 6 || s.Received > 3 && listenAt(test.listen[i]).IsValid() || s.Refused+s.Dropped > 0 {
				t.Errorf("%v: %d has %+v", test.listen, i, s)
			}
		}
	}
}

// While a port changes between one address and all, each trap is taken once.
func TestTrapPortWidensAndNarrows(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "")
	at := netip.MustParseAddrPort(freeAddr(t))
	first := takeTrapsAt(t, r, at, plan.Traps{}, community("canary"))
	conn := dialTraps(t, at)
	sent := uint64(0)
	for range 20 {
		second := takeTrapsAt(t, r, netip.AddrPortFrom(everywhere, at.Port()), plan.Traps{}, community("other"))
		write(t, conn, trapOf(berTrap, "canary", 1, linkDownBytes))
		sent++
		await(t, "the trap", func() bool { return first.source.Watch().Received == sent })
		second.stop()
		if got := socketsOf(r, at.Port()); !slices.Equal(got, []string{"all"}) {
			t.Fatalf("sockets at %q", got)
		}
		write(t, conn, trapOf(berTrap, "canary", 1, linkDownBytes))
		sent++
		r.life.Lock()
		err := r.arrange(at.Port(), nil) // as it is done after a while
		r.life.Unlock()
		if got := socketsOf(r, at.Port()); err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
			t.Fatalf("sockets at %q, %v", got, err)
		}
		await(t, "the trap", func() bool { return first.source.Watch().Received == sent })
	}
	first.stop()
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.arrange(at.Port(), nil); err != nil || len(r.ports) > 0 {
		t.Errorf("%d ports are open, %v", len(r.ports), err)
	}
}

// So it is under load.
func TestTrapPortChangesUnderLoad(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "")
	at := netip.MustParseAddrPort(freeAddr(t))
	first := takeTrapsAt(t, r, at, plan.Traps{Counts: count(time.Hour), PerMinute: 1 << 30, PerSender: 1 << 30}, community("canary"))
	conn := dialTraps(t, at)
	ctx, cancel := context.WithCancel(t.Context())
	sent, done := uint64(0), make(chan struct{})
	go func() {
		defer close(done)
		for pause := time.NewTicker(50 * time.Microsecond); ctx.Err() == nil; <-pause.C {
			if _, err := conn.Write(trapOf(berTrap, "canary", 1, linkDownBytes)); err != nil {
				t.Error(err)
			}
			sent++
		}
	}()
	for range 20 {
		takeTrapsAt(t, r, netip.AddrPortFrom(everywhere, at.Port()), plan.Traps{}, community("other")).stop()
		r.life.Lock()
		_ = r.arrange(at.Port(), nil)
		r.life.Unlock()
	}
	cancel()
	<-done
	await(t, "all of them", func() bool { s := first.source.Watch(); return s.Received+s.Dropped >= sent })
	first.stop()
	if s := first.source.Watch(); s.Received+s.Dropped != sent {
		t.Errorf("%d sent, %+v", sent, s)
	}
}

// Where a port cannot be opened for all addresses, those who have one keep it,
// and its address is not left open to other programs.
func TestTrapPortConflict(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "")
	first := takeTraps(t, r, plan.Traps{}, community("canary"))
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(first.at.Port())})
	if err != nil {
		t.Skipf("SKIPPED: the port is taken elsewhere: %v", err)
	}
	defer other.Close()
	s := &trapSource{plan: &plan.Traps{}, receiver: r, sources: []plan.TrapSource{{Port: first.at.Port()}}}
	if err := s.Run(t.Context(), first.emit); err == nil || !strings.Contains(err.Error(), "another program has it") {
		t.Errorf("%v", err)
	}
	if got := socketsOf(r, first.at.Port()); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("sockets at %q", got)
	}
	write(t, dialTraps(t, first.at), trapOf(berTrap, "canary", 1, linkDownBytes))
	await(t, "the trap", func() bool { return first.source.Watch().Received == 1 })
	if conn, err := openTrapPort(first.at, true); err == nil {
		_ = conn.Close()
		t.Error("another program could open the port")
	}
}

// A socket of systemd for all addresses serves those that listen at one, each with
// what comes to its own, and what it lost before is not theirs.
func TestTrapSocketOfSystemdAndAddresses(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	number := localOf(conn).Port()
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	_ = conn.SetReadBuffer(1)
	for range 100 {
		write(t, dialTraps(t, netip.AddrPortFrom(one, number)), trapOf(berTrap, "stranger", 1, linkDownBytes))
	}
	if lossesOf(conn) == 0 {
		t.Fatal("nothing was lost: this test is about nothing")
	}
	r := newReceiver(t, "")
	r.passed = append(r.passed, conn)
	var all []*trapBench
	for _, at := range []netip.AddrPort{netip.AddrPortFrom(one, number), netip.AddrPortFrom(two, 0), netip.AddrPortFrom(everywhere, 0)} {
		all = append(all, takeTrapsAt(t, r, at, plan.Traps{}, community("canary")))
	}
	if got := socketsOf(r, number); len(got) > 0 || len(r.ports) != 1 {
		t.Errorf("sockets at %q beside that of systemd", got)
	}
	for range 2 {
		write(t, dialTraps(t, netip.AddrPortFrom(one, number)), trapOf(berTrap, "canary", 1, linkDownBytes))
	}
	write(t, dialTraps(t, netip.AddrPortFrom(two, number)), trapOf(berTrap, "canary", 1, linkDownBytes))
	for i, want := range []uint64{2, 1, 3} {
		await(t, fmt.Sprintf("%d traps", want), func() bool { return all[i].source.Watch().Received == want })
		all[i].stop()
		if s := all[i].source.Watch(); s.Dropped > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// severalPorts runs a source with a clock on several ports.
func severalPorts(t *testing.T, c *clock, ports ...uint16) *trapBench {
	t.Helper()
	r := NewTrapReceiver(TrapReceiverOptions{Clock: c})
	t.Cleanup(r.Close)
	var sources []plan.TrapSource
	for _, port := range ports {
		sources = append(sources, plan.TrapSource{From: netip.MustParsePrefix("127.0.0.0/8"), Port: port, Credential: community("canary")})
	}
	b := &trapBench{source: &trapSource{plan: &plan.Traps{Listen: netip.MustParseAddr("127.0.0.1")}, receiver: r, sources: sources}}
	b.source.begin(r.now())
	b.source.setDoors()
	t.Cleanup(b.source.shut)
	return b
}

func freePorts(t *testing.T, n int) (ports []uint16) {
	t.Helper()
	for range n {
		ports = append(ports, netip.MustParseAddrPort(freeAddr(t)).Port())
	}
	return ports
}

// A port that cannot be had does not take the others down; it is told of, and
// tried again.
func TestOneTrapPortIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken, c := localOf(other), newClock()
	ports := append([]uint16{taken.Port()}, freePorts(t, 2)...)
	b := severalPorts(t, c, ports...)
	if err := b.source.knock(); err != nil {
		t.Fatal(err)
	}
	s := b.source.Watch()
	if s.Status != probes.StatusWarning || !strings.Contains(s.Message, "1 of 3 ports closed, tried again every 30s: listen for SNMP traps on UDP port "+fmt.Sprint(taken.Port())) {
		t.Errorf("%+v", s)
	}
	for _, port := range ports[1:] {
		write(t, dialTraps(t, netip.AddrPortFrom(taken.Addr(), port)), trapOf(berTrap, "canary", 1, linkDownBytes))
	}
	await(t, "traps of the other ports", func() bool { return b.source.Watch().Received == 2 })
	_ = other.Close()
	if err := b.source.knock(); err != nil || b.source.Watch().Status != probes.StatusWarning {
		t.Errorf("tried at once: %v, %+v", err, b.source.Watch())
	}
	c.advance(portRetry)
	if err := b.source.knock(); err != nil || b.source.Watch().Status != probes.StatusOK {
		t.Errorf("%v, %+v", err, b.source.Watch())
	}
	write(t, dialTraps(t, taken), trapOf(berTrap, "canary", 1, linkDownBytes))
	await(t, "a trap of the first port", func() bool { return b.source.Watch().Received == 3 })
}

// A port that is lost while it is open does not take the others down either,
// until it is the last one.
func TestOneTrapPortIsLost(t *testing.T) {
	t.Parallel()
	c := newClock()
	ports := freePorts(t, 2)
	b := severalPorts(t, c, ports...)
	if err := b.source.knock(); err != nil {
		t.Fatal(err)
	}
	lose := func(port uint16) {
		r := b.source.receiver
		r.life.Lock()
		p := r.ports[netip.AddrPortFrom(b.source.plan.Listen, port)]
		r.life.Unlock()
		_ = p.conn.Close() // as a device that is gone
		await(t, "its end", func() bool { return p.lost() != nil })
	}
	lose(ports[0])
	if err := b.source.knock(); err != nil || !strings.Contains(b.source.Watch().Message, "1 of 2 ports closed") {
		t.Errorf("%v, %+v", err, b.source.Watch())
	}
	at := netip.AddrPortFrom(b.source.plan.Listen, ports[1])
	write(t, dialTraps(t, at), trapOf(berTrap, "canary", 1, linkDownBytes))
	await(t, "a trap of the other port", func() bool { return b.source.Watch().Received == 1 })
	c.advance(portRetry)
	if err := b.source.knock(); err != nil || b.source.Watch().Status != probes.StatusOK {
		t.Errorf("%v, %+v", err, b.source.Watch())
	}
	write(t, dialTraps(t, netip.AddrPortFrom(at.Addr(), ports[0])), trapOf(berTrap, "canary", 1, linkDownBytes))
	await(t, "a trap of the first port", func() bool { return b.source.Watch().Received == 2 })
	lose(ports[0])
	lose(ports[1])
	if err := b.source.knock(); probes.StatusOf(err) != probes.StatusGenericError || !strings.Contains(err.Error(), "receive SNMP traps on UDP port") {
		t.Errorf("%v", err)
	}
}

// Refusals and drops are two numbers.
func TestTrapNumbers(t *testing.T) {
	t.Parallel()
	f := newForger(plan.Traps{PerSender: 2})
	network := netip.MustParsePrefix("192.0.2.0/24")
	port := &trapPort{receiver: f.source.receiver}
	port.add(&subscriber{source: f.source, entries: []plan.TrapSource{{From: network, Credential: community("canary")}}})
	f.port = port
	for _, from := range []string{"192.0.2.1", "198.51.100.1"} {
		for _, word := range []string{"canary", "canary", "canary", "stranger"} {
			f.send(from, trapOf(berTrap, word, 1, linkDownBytes))
		}
	}
	if s := f.source.Watch(); s.Received != 2 || s.Dropped != 1 || s.Refused != 5 {
		t.Errorf("%+v", s)
	}
	f.source.told = f.clock.Now().Uptime - trapPeriod
	b := &trapBench{source: f.source}
	f.source.flush(b.emit, f.clock.Now().Uptime)
	want := []string{
		"edgehold.traps.dropped,configuration=c,reason=limit count,delta=1",
		"edgehold.traps.refused,configuration=c,reason=community count,delta=1",
		"edgehold.traps.refused,configuration=c,reason=source count,delta=4",
	}
	if got := b.lines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	f.source.flush(b.emit, f.clock.Now().Uptime+2*trapPeriod)
	f.source.flush(b.emit, f.clock.Now().Uptime+4*trapPeriod)
	if s := f.source.Watch(); s.Status != probes.StatusOK || s.Refused != 5 || s.Dropped != 1 {
		t.Errorf("after a while %+v", s)
	}
}

// Many starts and ends leave no socket, at whatever addresses they listen.
func TestTrapPortsLeaveNothing(t *testing.T) { // not parallel: it counts descriptors
	r := newReceiver(t, "")
	number := netip.MustParseAddrPort(freeAddr(t)).Port()
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := descriptors()
	for i := range 60 {
		listen := []netip.Addr{netip.MustParseAddr("127.0.0.1"), everywhere, netip.MustParseAddr("127.0.0.2")}[i%3]
		b := takeTrapsAt(t, r, netip.AddrPortFrom(listen, number), plan.Traps{}, community("canary"))
		if i%2 == 0 {
			b.stop()
		}
	}
	if after := descriptors(); after > before+2 { // the socket, and one of the runtime
		t.Errorf("%d descriptors, before %d", after, before)
	}
	r.life.Lock()
	defer r.life.Unlock()
	if len(r.ports) != 1 || len(r.linger) != 1 {
		t.Errorf("%d ports, %d timers", len(r.ports), len(r.linger))
	}
}
