package snmp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// forger makes v3 traps of users on one port, without the network.
type forger struct {
	source *trapSource
	port   *trapPort
	clock  *clock
	msgID  uint32
}

func newForger(limits plan.Traps, users ...probes.Credential) *forger {
	c := newClock()
	r := NewTrapReceiver(TrapReceiverOptions{Clock: c})
	limits.Records, limits.Counts = true, count(time.Hour)
	f := &forger{source: &trapSource{plan: &limits, config: "c", receiver: r}, port: &trapPort{receiver: r}, clock: c}
	f.source.begin(r.now())
	f.source.listens = true
	var entries []plan.TrapSource
	for _, u := range users {
		entries = append(entries, plan.TrapSource{From: netip.MustParsePrefix("0.0.0.0/0"), Credential: u})
	}
	f.port.add(&subscriber{source: f.source, entries: entries})
	return f
}

// trap is a linkDown of a user, signed for an engine.
func (f *forger) trap(tb testing.TB, c probes.Credential, engine string) []byte {
	tb.Helper()
	keys, err := localise(c, engine)
	if err != nil {
		tb.Fatal(err)
	}
	m, _ := openCommunity(trapOf(berTrap, "", 5, linkDownBytes))
	w := writer{}
	w.raw(string(m.pdu))
	w.octets("")
	w.octets(engine)
	w.head(berSequence, 0)
	f.msgID++
	return answer{msgID: f.msgID, level: levelOf(c), engine: engine, clock: clockOf{3, 4}, user: c.User, keys: keys, scoped: w.bytes()}.sealed(tb)
}

func (f *forger) send(from string, datagram []byte) (reply []byte) {
	return f.port.hand([]byte(string(datagram)), netip.AddrPortFrom(netip.MustParseAddr(from), 1000), nil)
}

// renamed is the message from another engine, which nobody has signed.
func renamed(tb testing.TB, message []byte, engine uint64) []byte {
	tb.Helper()
	other := []byte(string(message))
	m, ok := openSealed(other)
	if !ok || len(m.engineID) < 8 {
		tb.Fatal("no message to rename")
	}
	binary.BigEndian.PutUint64(m.engineID[len(m.engineID)-8:], engine)
	return other
}

const forgedEngine = "\x80\x00\x00\x00\x05abcdefgh"

// What nobody has signed uses up nobody's minute, and costs no key of encryption:
// the real trap is taken after it.
func TestForgedTrapsUseUpNothing(t *testing.T) {
	t.Parallel()
	c := v3("edge", probes.AuthSHA, probes.PrivAES256C)
	f := newForger(plan.Traps{PerMinute: 10, PerSender: 10}, c)
	good := f.trap(t, c, forgedEngine)
	for i := range uint64(1000) {
		f.send("192.0.2.1", renamed(t, good, i))
	}
	ring, s := &f.source.receiver.keyring, &f.source.receiver.senders
	if len(ring.phrases) != 1 || len(s.young)+len(s.old) > 0 {
		t.Errorf("%d pass phrases hashed, want that of signatures alone; %d engines remembered", len(ring.phrases), len(s.young))
	}
	f.send("192.0.2.1", good)
	if got := f.source.Watch(); got.Received != 1 || got.Refused != 1000 || got.Dropped != 0 {
		t.Errorf("%+v", got)
	}
	for range 20 { // what is signed is limited
		f.send("192.0.2.1", f.trap(t, c, forgedEngine))
	}
	if got := f.source.Watch(); got.Received != 10 || got.Dropped != 11 {
		t.Errorf("%+v", got)
	}
}

// A forged message makes no keys, which its allocations show too, wherever they
// are made.
func TestForgedTrapsAreCheap(t *testing.T) {
	c := v3("edge", probes.AuthMD5, probes.PrivAES256C)
	f := newForger(plan.Traps{}, c)
	good := f.trap(t, c, forgedEngine)
	f.send("192.0.2.1", good)
	n := uint64(0)
	each := testing.AllocsPerRun(100, func() {
		n++
		f.send("192.0.2.1", renamed(t, good, n))
	})
	if each > 60 {
		t.Errorf("%.0f allocations for each", each)
	}
}

// Beyond a number of failures in a second a sender is not heard for its rest;
// others are, and it is again in the next second.
func TestForgedTrapsAreBounded(t *testing.T) {
	t.Parallel()
	c := v3("edge", probes.AuthSHA256, probes.PrivAES)
	f := newForger(plan.Traps{}, c)
	good := f.trap(t, c, forgedEngine)
	for i := range uint64(maxFailed + 500) {
		f.send("192.0.2.1", renamed(t, good, i))
	}
	f.send("192.0.2.1", good)
	if got := f.source.Watch(); got.Received != 0 || f.source.now.refused[refusedKeys] != maxFailed || f.source.now.refused[refusedFlood] != 501 {
		t.Errorf("%+v", got)
	}
	if text := f.source.Watch().Message; !strings.Contains(text, "501 messages refused without a look") {
		t.Error(text)
	}
	f.send("192.0.2.2", good)
	f.clock.advance(failedPeriod)
	f.send("192.0.2.1", good)
	if got := f.source.Watch(); got.Received != 2 {
		t.Errorf("%+v", got)
	}
}

// A message that many keys were tried on counts for as many.
func TestForgedTrapsCountByKeys(t *testing.T) {
	t.Parallel()
	var users []probes.Credential
	for i := range 20 {
		c := v3("edge", probes.AuthSHA, probes.PrivAES)
		c.AuthPass = probes.NewSecret(fmt.Sprint("pass-phrase-", i/2)) // every second one comes twice
		users = append(users, c)
	}
	f := newForger(plan.Traps{}, users...)
	good := f.trap(t, users[0], forgedEngine)
	for i := range uint64(maxFailed) {
		f.send("192.0.2.1", renamed(t, good, i))
	}
	if got := f.source.now.refused[refusedKeys]; got != maxFailed/10 {
		t.Errorf("%d looked at, want %d", got, maxFailed/10)
	}
}

// The failures of many senders are bounded together, without shutting out those
// who have none, and so is the memory for them.
func TestTrapFailures(t *testing.T) {
	t.Parallel()
	var f trapFailures
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	heard := 0
	for i := range 200 * maxTrapSenders {
		if from := address(i % (maxTrapSenders / 2)); !f.over(from, 0) {
			f.note(from, 1)
			heard++
		}
	}
	if most := maxFailedAll + fewFailed*maxTrapSenders; heard > most || heard < maxFailedAll {
		t.Errorf("%d looked at, want at most %d", heard, most)
	}
	if f.over(address(maxTrapSenders), 0) {
		t.Error("a sender without failures is not heard")
	}
	for i := range 2 * maxTrapSenders {
		if from := address(i); !f.over(from, 0) {
			f.note(from, 1)
		}
	}
	if len(f.each) > maxTrapSenders || !f.over(address(3*maxTrapSenders), 0) {
		t.Errorf("%d senders are kept, and one more is heard", len(f.each))
	}
	if f.over(address(1), failedPeriod) {
		t.Error("not heard in the next second")
	}
}

// Forgers with many users, engines and any bytes leave the receiver bounded, and
// the real sender heard.
func TestForgersOfManyKinds(t *testing.T) {
	t.Parallel()
	users := []probes.Credential{v3("edge", probes.AuthSHA, probes.PrivAES256C), v3("edge", probes.AuthSHA512, probes.PrivDES), v3("plain", probes.AuthNone, probes.PrivNone)}
	f := newForger(plan.Traps{}, users...)
	r := f.source.receiver
	r.engine = &ownEngine{id: "\x80\x00\x00\x00\x05ourselves", boots: 1}
	rnd := rand.New(rand.NewPCG(1, 2))
	good := [][]byte{f.trap(t, users[0], forgedEngine), f.trap(t, users[1], forgedEngine), f.trap(t, users[0], r.engine.id)}
	for i := range 20_000 {
		real := good[rnd.IntN(len(good))]
		b := []byte(string(real))
		for range rnd.IntN(6) + 1 {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		if i%5 == 0 {
			b = b[:rnd.IntN(len(b))]
		}
		if string(b) == string(real) {
			continue
		}
		f.send(fmt.Sprintf("192.0.2.%d", i%250), b)
		if i%1000 == 0 {
			f.clock.advance(time.Second)
		}
	}
	if got := f.source.Watch(); got.Received > 0 {
		t.Errorf("a forged trap was taken: %+v", got)
	}
	if len(r.senders.young)+len(r.senders.old) > 0 || len(r.engine.users) > 0 || len(r.keyring.phrases) > 2 {
		t.Errorf("%d engines, %d users, %d pass phrases are remembered", len(r.senders.young), len(r.engine.users), len(r.keyring.phrases))
	}
	f.send("192.0.2.1", good[0])
	f.send("192.0.2.1", good[1])
	if got := f.source.Watch(); got.Received != 2 {
		t.Errorf("%+v", got)
	}
}

// The keys of our own engine are made once, too.
func TestOwnEngineRemembersUsers(t *testing.T) {
	t.Parallel()
	c := v3("edge", probes.AuthSHA, probes.PrivAES256C)
	f := newForger(plan.Traps{}, c)
	f.source.receiver.engine = &ownEngine{id: "\x80\x00\x00\x00\x05ourselves", boots: 3, started: f.clock.Now().Uptime}
	f.send("192.0.2.1", f.trap(t, c, "\x80\x00\x00\x00\x05ourselves"))
	first := f.source.receiver.engine.users[keyOf(&c)]
	f.send("192.0.2.1", f.trap(t, c, "\x80\x00\x00\x00\x05ourselves"))
	if got := f.source.Watch(); got.Received != 2 || first == nil || f.source.receiver.engine.users[keyOf(&c)] != first {
		t.Errorf("%+v, %v", got, first)
	}
}

// Where two users have one signature, the one whose encryption fits is taken.
func TestTrapUsersDifferInEncryption(t *testing.T) {
	t.Parallel()
	one, two := v3("edge", probes.AuthSHA, probes.PrivAES), v3("edge", probes.AuthSHA, probes.PrivAES)
	two.PrivPass = probes.NewSecret("another phrase")
	f := newForger(plan.Traps{}, one, two)
	f.send("192.0.2.1", f.trap(t, two, forgedEngine))
	f.send("192.0.2.1", f.trap(t, one, forgedEngine))
	three := one
	three.PrivPass = probes.NewSecret("a third phrase")
	f.send("192.0.2.1", f.trap(t, three, forgedEngine))
	if got := f.source.Watch(); got.Received != 2 || f.source.now.refused[refusedKeys] != 1 {
		t.Errorf("%+v", got)
	}
}

// What the kernel has no room for is counted, and nothing else is lost.
func TestTrapsDroppedByTheKernel(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Counts: count(time.Hour), PerMinute: 1 << 20, PerSender: 1 << 20}, community("canary"))
	r := b.source.receiver
	r.life.Lock()
	p := r.ports[b.at]
	r.life.Unlock()
	p.pass.Lock() // nobody reads
	conn := dialTraps(t, b.at)
	const all = 12_000
	for range all {
		write(t, conn, trapOf(berTrap, "canary", 1, linkDownBytes))
	}
	p.pass.Unlock()
	await(t, "all of them", func() bool { s := b.source.Watch(); return s.Received+s.Dropped == all })
	s := b.source.Watch()
	if s.Dropped == 0 || !strings.Contains(s.Message, fmt.Sprintf("%d datagrams dropped by the kernel", s.Dropped)) {
		t.Errorf("%+v", s)
	}
	b.stop()
	want := fmt.Sprintf("edgehold.traps.dropped,configuration=c,reason=socket,site=plant-7 count,delta=%d", s.Dropped)
	if got := b.lines(); len(got) != 2 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	again := takeTrapsAt(t, r, b.at, plan.Traps{}, community("canary"))
	write(t, conn, trapOf(berTrap, "canary", 1, linkDownBytes))
	await(t, "one more", func() bool { return again.source.Watch().Received == 1 })
	again.stop()
	if s := again.source.Watch(); s.Dropped != 0 {
		t.Errorf("the next run counts them too: %+v", s)
	}
}

// A socket has at least the room that it had.
func TestTrapBufferGrows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		has    int
		passed bool
	}{{trapBuffer / 8, false}, {trapBuffer / 8, true}, {2 * trapBuffer, true}} {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadBuffer(test.has)
		before := roomOf(t, conn)
		growBuffer(conn, test.passed)
		after := roomOf(t, conn)
		if after < before || !test.passed && before < trapBuffer && after <= before {
			t.Errorf("%+v: %d bytes of room, before %d", test, after, before)
		}
	}
}

func roomOf(t *testing.T, conn *net.UDPConn) (n int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkForgedTraps is a v3 message that nobody has signed, from an engine
// that is new each time.
func BenchmarkForgedTraps(b *testing.B) {
	for _, priv := range []probes.PrivProtocol{probes.PrivNone, probes.PrivAES, probes.PrivAES256, probes.PrivAES256C} {
		for _, users := range []int{1, 20} {
			b.Run(fmt.Sprintf("SHA%s/users=%d", priv, users), func(b *testing.B) {
				var all []probes.Credential
				for i := range users {
					c := v3("edge", probes.AuthSHA, priv)
					c.AuthPass = probes.NewSecret(fmt.Sprint("pass-phrase-", i))
					all = append(all, c)
				}
				f := newForger(plan.Traps{}, all...)
				good := f.trap(b, all[0], forgedEngine)
				f.send("192.0.2.1", renamed(b, good, 0)) // the pass phrases are hashed once
				for b.Loop() {
					f.source.receiver.failures = trapFailures{}
					f.send("192.0.2.1", renamed(b, good, rand.Uint64()))
				}
			})
		}
	}
}
