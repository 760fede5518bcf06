package snmp

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
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

	life   sync.Mutex // of the ports; held while one is opened or closed
	ports  map[netip.AddrPort]*trapPort
	linger map[uint16]*time.Timer // of the ports that somebody has left

	usm      sync.Mutex
	engine   *ownEngine // nil until somebody speaks v3
	senders  senders
	keyring  keyring
	failures trapFailures
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
		ports: map[netip.AddrPort]*trapPort{}, linger: map[uint16]*time.Timer{},
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
	for _, timer := range r.linger {
		timer.Stop()
	}
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

// subscribe gives s what arrives at a port from now on. 0: the socket of systemd,
// else the standard port.
func (r *TrapReceiver) subscribe(number uint16, s *subscriber) error {
	r.life.Lock()
	defer r.life.Unlock()
	if conn := r.passedFor(s.listen, number); conn != nil {
		r.seat(s, r.passedPort(conn))
		return nil
	}
	return r.arrange(cmp.Or(number, defaultTrapPort), s)
}

// unsubscribe ends it. After it the source is not called any more. What comes
// to a port that nobody listens to waits in the kernel.
func (r *TrapReceiver) unsubscribe(s *subscriber) {
	r.life.Lock()
	defer r.life.Unlock()
	p := s.port
	if p == nil {
		return
	}
	if len(p.listeners()) == 1 { // it is the last one
		p.stop()
		p.seen = s.seen
	}
	p.remove(s)
	p.settle()
	s.port = nil
	if p.passed {
		return
	}
	number := p.local.Port()
	if timer := r.linger[number]; timer != nil {
		timer.Stop()
	}
	r.linger[number] = time.AfterFunc(lingering, func() {
		r.life.Lock()
		defer r.life.Unlock()
		_ = r.arrange(number, nil) // where it cannot be done, what is open stays
	})
}

// look gives the losses of the port since it was asked before, and the error
// that the port has ended with.
func (r *TrapReceiver) look(s *subscriber) (lost uint32, err error) {
	r.life.Lock()
	defer r.life.Unlock()
	if s.port == nil {
		return 0, nil
	}
	s.count()
	lost, s.lost = s.lost, 0
	return lost, s.port.lost()
}

// count takes the losses of the port that are not counted yet.
func (s *subscriber) count() {
	now := lossesOf(s.port.conn)
	s.lost += now - s.seen
	s.seen = now
}

// arrange opens and closes sockets of a port number, so that there is one for all
// addresses where somebody wants all, else one for each address that is wanted.
// s, unless it is nil, comes to those who listen already. With an error all stays
// as it was.
func (r *TrapReceiver) arrange(number uint16, s *subscriber) error {
	old := r.portsOf(number)
	var all []*subscriber
	for _, p := range old {
		all = append(all, p.listeners()...)
	}
	if s != nil {
		all = append(all, s)
	}
	ports, err := r.portsFor(number, all, old)
	if err != nil {
		return err
	}
	var spare []*trapPort
	for _, p := range old {
		if ports[p.local] != p {
			p.stop()
			spare = append(spare, p)
		}
	}
	for _, one := range all {
		p := ports[netip.AddrPortFrom(one.listen, number)]
		r.seat(one, cmp.Or(p, ports[netip.AddrPortFrom(netip.Addr{}, number)]))
	}
	for _, p := range spare {
		p.drain(all)
		_ = p.conn.Close()
		if r.ports[p.local] == p {
			delete(r.ports, p.local)
		}
	}
	return nil
}

// portsOf are the sockets of our own with a port number.
func (r *TrapReceiver) portsOf(number uint16) []*trapPort {
	var all []*trapPort
	for at, p := range r.ports {
		if at.Port() == number && !p.passed {
			all = append(all, p)
		}
	}
	return all
}

// portsFor gives the sockets that subscribers want, by their addresses: old ones
// that work, and new ones.
func (r *TrapReceiver) portsFor(number uint16, all []*subscriber, old []*trapPort) (map[netip.AddrPort]*trapPort, error) {
	ports := map[netip.AddrPort]*trapPort{}
	for _, s := range all {
		ports[netip.AddrPortFrom(s.listen, number)] = nil
	}
	if every := netip.AddrPortFrom(netip.Addr{}, number); hasKey(ports, every) {
		ports = map[netip.AddrPort]*trapPort{every: nil}
	}
	for _, p := range old {
		shareable(p.conn, true)
		defer shareable(p.conn, false)
	}
	var fresh []*trapPort
	for at := range ports {
		if p := r.ports[at]; p != nil && p.lost() == nil {
			ports[at] = p
			continue
		}
		conn, err := openTrapPort(at, len(old) > 0)
		if err != nil {
			for _, p := range fresh {
				_ = p.conn.Close()
			}
			return nil, err
		}
		growBuffer(conn, false)
		ports[at] = r.portOn(conn, at)
		fresh = append(fresh, ports[at])
	}
	for _, p := range fresh {
		shareable(p.conn, false)
		r.ports[p.local] = p
	}
	return ports, nil
}

func hasKey(ports map[netip.AddrPort]*trapPort, at netip.AddrPort) bool {
	_, has := ports[at]
	return has
}

func (r *TrapReceiver) portOn(conn *net.UDPConn, at netip.AddrPort) *trapPort {
	tellDestination(conn)
	return &trapPort{receiver: r, conn: conn, local: at}
}

// seat has a subscriber listen at a port, and nowhere else.
func (r *TrapReceiver) seat(s *subscriber, p *trapPort) {
	if s.port == p {
		return
	}
	if s.port != nil {
		s.count()
		s.port.remove(s)
	}
	s.port, s.seen = p, p.seen
	if len(p.listeners()) > 0 {
		s.seen = lossesOf(p.conn)
	}
	p.add(s)
	p.start()
}

// passedFor is the socket of systemd for a port; where none is said, any.
func (r *TrapReceiver) passedFor(listen netip.Addr, number uint16) *net.UDPConn {
	for _, conn := range r.passed {
		local := localOf(conn)
		same := !listen.IsValid() || listen == local.Addr() || !local.Addr().IsValid()
		if same && (number == 0 || number == local.Port()) {
			return conn
		}
	}
	return nil
}

// passedPort is the port of a socket of systemd. What it lost before, others may
// have counted.
func (r *TrapReceiver) passedPort(conn *net.UDPConn) *trapPort {
	at := localOf(conn)
	p := r.ports[at]
	if p == nil {
		growBuffer(conn, true)
		p = r.portOn(conn, at)
		p.passed, p.seen = true, lossesOf(conn)
		r.ports[at] = p
	}
	return p
}
