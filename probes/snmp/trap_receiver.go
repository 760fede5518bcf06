package snmp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/rs/zerolog"
)

const (
	defaultTrapPort = 162
	trapBuffer      = 1 << 20 // bytes that the kernel keeps for a port
	// lingering is how long a port stays open that nobody listens to, as between
	// two configurations. The kernel keeps what arrives.
	lingering = 30 * time.Second
)

// TrapReceiver holds the ports that notifications arrive at. The sources of all
// configurations share it, and it stays while they come and go.
type TrapReceiver struct {
	log     zerolog.Logger
	traffic probes.Traffic // nil: nobody counts
	now     func() time.Duration
	file    string
	passed  []*net.UDPConn // from systemd

	life  sync.Mutex // of the ports; held while one is opened or closed
	ports map[netip.AddrPort]*trapPort

	usm      sync.Mutex
	engine   *ownEngine // nil until somebody speaks v3
	senders  senders
	reported [7]uint32 // reports, by the number of their counter
}

// TrapReceiverOptions are what a receiver works with; the zero one will do.
type TrapReceiverOptions struct {
	// EngineFile keeps the SNMP engine of the receiver, which senders of v3 informs
	// know it by. "": it is another one after each start.
	EngineFile string
	Log        zerolog.Logger
	Clock      probes.Clock   // nil: the machine's
	Traffic    probes.Traffic // nil: nobody counts
	// Environment is os.Getenv, for the sockets that systemd hands over. nil: none
	// are looked for.
	Environment func(string) string
}

// NewTrapReceiver makes a receiver without any port. It takes the sockets over
// that systemd has opened under the name snmptrap.
func NewTrapReceiver(o TrapReceiverOptions) *TrapReceiver {
	kit := newKit(probes.Deps{Log: o.Log, Clock: o.Clock})
	r := &TrapReceiver{
		log: o.Log, traffic: o.Traffic, now: kit.now, file: o.EngineFile,
		ports: map[netip.AddrPort]*trapPort{},
	}
	if o.Environment != nil {
		for _, fd := range passedSockets(o.Environment, os.Getpid()) {
			conn, err := socketOf(fd)
			if err != nil {
				r.log.Error().Err(err).Msg("a socket of systemd for SNMP traps cannot be used")
				continue
			}
			r.passed = append(r.passed, conn)
		}
	}
	return r
}

// Close closes all ports. The sources have ended before.
func (r *TrapReceiver) Close() {
	r.life.Lock()
	defer r.life.Unlock()
	for at, p := range r.ports {
		p.stop()
		_ = p.conn.Close()
		delete(r.ports, at)
	}
	for _, conn := range r.passed {
		_ = conn.Close()
	}
	r.passed = nil
}

// passedSockets lists the descriptors that systemd hands over under the name
// snmptrap (sd_listen_fds(3)).
func passedSockets(environment func(string) string, pid int) []int {
	const first = 3
	if environment("LISTEN_PID") != strconv.Itoa(pid) {
		return nil
	}
	n, err := strconv.Atoi(environment("LISTEN_FDS"))
	names := strings.Split(environment("LISTEN_FDNAMES"), ":")
	var fds []int
	for i := 0; err == nil && i < min(n, len(names)); i++ {
		if names[i] == "snmptrap" {
			fds = append(fds, first+i)
		}
	}
	return fds
}

func socketOf(fd int) (*net.UDPConn, error) {
	f := os.NewFile(uintptr(fd), "snmptrap")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is not open", fd)
	}
	defer f.Close()
	conn, err := net.FilePacketConn(f) // a copy, closed when another program is started
	if err != nil {
		return nil, fmt.Errorf("take descriptor %d over: %w", fd, err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("descriptor %d is no UDP socket; write ListenDatagram= in the socket unit", fd)
	}
	return udp, nil
}

// subscriber is one who listens to a port, and whom to.
type subscriber struct {
	source  *trapSource
	entries []plan.TrapSource
}

// subscribe gives s what arrives at an address and port from now on.
func (r *TrapReceiver) subscribe(at netip.AddrPort, s *subscriber) (*trapPort, error) {
	r.life.Lock()
	defer r.life.Unlock()
	conn := r.passedFor(at)
	key := at
	if conn != nil {
		key = localOf(conn)
	} else if at.Port() == 0 {
		key = netip.AddrPortFrom(at.Addr(), defaultTrapPort)
	}
	p := r.ports[key]
	if p != nil && p.ended() && !p.passed {
		_ = p.conn.Close()
		p = nil
	}
	if p == nil {
		p = &trapPort{receiver: r, conn: conn, passed: conn != nil, local: key}
		if conn == nil {
			var err error
			if p.conn, err = openTrapPort(key); err != nil {
				return nil, err
			}
		}
		_ = p.conn.SetReadBuffer(trapBuffer) // as much as the kernel allows
		tellDestination(p.conn)
		r.ports[key] = p
	}
	p.change(func(all []*subscriber) []*subscriber { return append(all, s) })
	p.start()
	return p, nil
}

// unsubscribe ends it. After it the source is not called any more.
func (r *TrapReceiver) unsubscribe(p *trapPort, s *subscriber) {
	r.life.Lock()
	defer r.life.Unlock()
	last := len(*p.subs.Load()) == 1
	if last { // what comes from now on waits in the kernel
		p.stop()
	}
	p.change(func(all []*subscriber) []*subscriber {
		return slices.DeleteFunc(all, func(o *subscriber) bool { return o == s })
	})
	p.settle()
	if !last || p.passed || r.ports[p.local] != p {
		return
	}
	p.linger = time.AfterFunc(lingering, func() {
		r.life.Lock()
		defer r.life.Unlock()
		if r.ports[p.local] == p && len(*p.subs.Load()) == 0 {
			_ = p.conn.Close()
			delete(r.ports, p.local)
		}
	})
}

// passedFor is the socket of systemd for a port; where none is said, any.
func (r *TrapReceiver) passedFor(at netip.AddrPort) *net.UDPConn {
	for _, conn := range r.passed {
		local := localOf(conn)
		same := !at.Addr().IsValid() || at.Addr() == local.Addr() || local.Addr().IsUnspecified()
		if same && (at.Port() == 0 || at.Port() == local.Port()) {
			return conn
		}
	}
	return nil
}

func localOf(conn *net.UDPConn) netip.AddrPort {
	at, _ := conn.LocalAddr().(*net.UDPAddr)
	if at == nil {
		return netip.AddrPort{}
	}
	local := at.AddrPort()
	return netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
}

func openTrapPort(at netip.AddrPort) (*net.UDPConn, error) {
	local := &net.UDPAddr{Port: int(at.Port())} // IPv4 and IPv6
	if at.Addr().IsValid() {
		local = net.UDPAddrFromAddrPort(at)
	}
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, portError(at.Port(), err)
	}
	return conn, nil
}

// portError says what to do about a port that cannot be had.
func portError(port uint16, err error) error {
	doing := fmt.Sprintf("listen for SNMP traps on UDP port %d", port)
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w; ports below 1024 need a right: have systemd open it (systemctl enable --now edgehold-snmptrap.socket, then restart edgehold), or give the program the capability CAP_NET_BIND_SERVICE, or have the devices send to another port, as in \"port\": 1162", doing, syscall.EACCES)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: another program has it (ss -ulpn shows which); stop that one, or choose another port, as in \"port\": 1162", doing, syscall.EADDRINUSE)
	}
	return fmt.Errorf("%s: %w; check `listen` and `port` in the monitoring configuration", doing, err)
}

// trapPort is one socket. Its goroutine runs while somebody listens; the one who
// leaves last waits for it.
type trapPort struct {
	receiver *TrapReceiver
	conn     *net.UDPConn
	passed   bool
	local    netip.AddrPort
	subs     atomic.Pointer[[]*subscriber]
	done     chan struct{} // of the goroutine; nil: there is none
	linger   *time.Timer
	pass     sync.Mutex // held while a datagram is handed out
	informs  recent
	oids     *oidTable
}

func (p *trapPort) change(f func(all []*subscriber) []*subscriber) {
	var all []*subscriber
	if old := p.subs.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = f(all)
	p.subs.Store(&all)
}

func (p *trapPort) start() {
	if p.linger != nil {
		p.linger.Stop()
	}
	if p.done != nil && !p.ended() {
		return
	}
	_ = p.conn.SetReadDeadline(time.Time{})
	p.done = make(chan struct{})
	go p.read(p.done)
}

// ended tells whether the goroutine has ended by itself, with an error.
func (p *trapPort) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *trapPort) stop() {
	if p.linger != nil {
		p.linger.Stop()
	}
	if p.done == nil {
		return
	}
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
	<-p.done
	p.done = nil
}

// read hands datagrams out until the deadline passes.
func (p *trapPort) read(done chan struct{}) {
	defer close(done)
	buffer, control := make([]byte, maxDatagram), make([]byte, 64)
	for {
		n, with, _, from, err := p.conn.ReadMsgUDPAddrPort(buffer, control)
		var timeout interface{ Timeout() bool }
		switch {
		case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			for _, s := range *p.subs.Load() {
				s.source.lose(fmt.Errorf("receive SNMP traps on UDP port %d: %w", p.local.Port(), err))
			}
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if t := p.receiver.traffic; t != nil {
			t.Received(from, from.Addr().String(), n)
		}
		if reply := p.hand(buffer[:n], from); reply != nil {
			p.send(reply, control[:with], from)
		}
	}
}

// hand hands one datagram out. Whatever it holds, the next one is read.
func (p *trapPort) hand(b []byte, from netip.AddrPort) (reply []byte) {
	p.pass.Lock()
	defer p.pass.Unlock()
	defer func() {
		if fault := recover(); fault != nil {
			p.receiver.log.Error().Stringer("device", from).Interface("fault", fault).Msg("a message could not be read as an SNMP trap, please report this")
			refuse(p.candidates(from.Addr()), refusedMalformed)
			reply = nil
		}
	}()
	return p.take(b, from)
}

// settle waits for the datagram that is being handed out.
func (p *trapPort) settle() {
	p.pass.Lock()
	defer p.pass.Unlock()
}

// send answers from the address that was sent to.
func (p *trapPort) send(reply, control []byte, to netip.AddrPort) {
	_, _, err := p.conn.WriteMsgUDPAddrPort(reply, control, to)
	if err != nil && len(control) > 0 {
		_, err = p.conn.WriteToUDPAddrPort(reply, to)
	}
	if err != nil {
		p.receiver.log.Debug().Err(err).Stringer("device", to).Msg("an SNMP inform could not be answered")
		return
	}
	if t := p.receiver.traffic; t != nil {
		t.Sent(to, to.Addr().String(), len(reply))
	}
}

// tellDestination has the kernel tell the address that each datagram came to. An
// answer goes out with what it told.
func tellDestination(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1) != nil {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		}
	})
}

// recent remembers the informs of the last while: one that is sent again is
// answered again and not counted twice.
type recent struct {
	young, old map[recentKey]bool
	since      time.Duration
}

type recentKey struct {
	from netip.AddrPort
	id   int64
	oid  string
}

const (
	recentSpan = 30 * time.Second
	maxRecent  = 1024
)

// has tells whether k came before.
func (r *recent) has(k recentKey, now time.Duration) bool {
	if r.young == nil || len(r.young) >= maxRecent || now-r.since > recentSpan {
		r.old = r.young
		if now-r.since > 2*recentSpan {
			r.old = nil
		}
		r.young, r.since = map[recentKey]bool{}, now
	}
	return r.young[k] || r.old[k]
}

// note remembers k; has was asked before.
func (r *recent) note(k recentKey) { r.young[k] = true }
