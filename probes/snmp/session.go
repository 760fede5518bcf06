package snmp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	defaultTimeout = 2 * time.Second // of one try
	defaultRetries = 1
	maxCommunity   = 255    // bytes
	maxDatagram    = 65_535 // bytes
)

var pduTypes = [...]byte{get: berGet, getNext: berGetNext, getBulk: berGetBulk, set: berSet}

// Versions as a message has them.
const (
	wireV1  = 0
	wireV2c = 1
)

// session is one UDP socket to a device, for one poll. It takes nothing for an
// answer but a response of the version, the community or user and the id that
// were asked with.
type session struct {
	peer      *peer
	host      string // as configured
	socket    socket
	version   int64
	community string
	user      *user // of SNMP v3
	mute      int   // requests for the engine's name that got no answer
	lastID    uint32
	msgID     uint32
	timeout   time.Duration
	tries     int
	stats     *probes.PollStats
	scratch   *scratch
	unwatch   func() bool
}

// dial finds the address of the name, if it is one, and opens the socket.
// Nothing is sent.
func dial(ctx context.Context, d plan.Device, p *peer, stats *probes.PollStats) (*session, error) {
	s := &session{peer: p, host: d.Host, timeout: defaultTimeout, tries: 1 + defaultRetries, stats: stats}
	if d.Timeout > 0 {
		s.timeout = d.Timeout
	}
	if d.Retries >= 0 {
		s.tries = 1 + d.Retries
	}
	to, err := p.address(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("find address: %w", err)
	}
	if p.route.anyWay() {
		s.socket, err = listen(to, 0)
	} else {
		s.socket, err = connect(to)
	}
	if err != nil {
		return nil, err
	}
	s.lastID, s.msgID = rand.Uint32(), rand.Uint32()
	s.scratch = p.scratches.Get().(*scratch)
	s.watch(ctx)
	return s, nil
}

// watch sees to it that a cancelled poll does not sit out its timeout.
func (s *session) watch(ctx context.Context) {
	conn := s.socket.UDPConn
	s.unwatch = context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
}

func (s *session) close() {
	s.unwatch()
	_ = s.socket.Close()
	clear(s.scratch.vars[:cap(s.scratch.vars)]) // the pool must not keep texts
	s.peer.scratches.Put(s.scratch)
}

// loosen hears answers from anywhere from now on, on the same port, so that a
// late answer to the first try still arrives.
func (s *session) loosen(ctx context.Context) error {
	s.unwatch()
	_ = s.socket.Close()
	loose, err := listen(s.socket.to, s.socket.port())
	if err != nil {
		loose, err = listen(s.socket.to, 0)
	}
	if err == nil {
		s.socket = loose
	}
	s.watch(ctx)
	return err
}

// use makes c the credential of the requests that follow.
func (s *session) use(c probes.Credential) error {
	s.user = nil
	if c.Version == probes.SNMPv3 {
		s.version = version3
		if err := checkUser(c); err != nil {
			return err
		}
		s.user = newUser(c)
		return nil
	}
	s.community = c.Community.Reveal()
	if len(s.community) > maxCommunity {
		return fmt.Errorf("the community of credential %q is %d bytes long, expected at most %d", c.Name, len(s.community), maxCommunity)
	}
	s.version = wireV2c
	if c.Version == probes.SNMPv1 {
		s.version = wireV1
	}
	return nil
}

// exchange sends a request and waits for its response, whose varbinds are valid
// until the next exchange.
func (s *session) exchange(ctx context.Context, r request) (response, error) {
	return s.send(ctx, r, r.triesOf(s.tries))
}

// alive asks at least twice: one lost datagram must not cost a whole poll.
func (s *session) alive(ctx context.Context) error {
	_, err := s.send(ctx, request{kind: get, oids: []string{sysUpTime}}, max(s.tries, 2))
	return err
}

// send sends a request until a try is answered. All tries carry one request
// id, so that a late answer to an earlier one counts too.
func (s *session) send(ctx context.Context, r request, tries int) (resp response, err error) {
	s.lastID = nextID(s.lastID)
	if s.user != nil {
		resp, err = s.sendSealed(ctx, r, tries)
	} else {
		var packet []byte
		if packet, err = s.encode(r); err == nil {
			resp, err = s.attempt(ctx, packet, tries)
		}
	}
	s.stats.Varbinds += len(resp.vars)
	return resp, err
}

// nextID counts in 31 bits and leaves out zero, which some agents send as the
// id of anything.
func nextID(id uint32) uint32 { return max((id+1)&0x7fffffff, 1) }

// attempt sends a packet until a try is answered. The first silence of a device
// that was never heard may mean that it answers from another address.
func (s *session) attempt(ctx context.Context, packet []byte, tries int) (resp response, err error) {
	for try := range tries {
		if try > 0 {
			s.stats.Retries++
		}
		if s.socket.connected && errors.Is(err, errTimeout) && !s.peer.route.everHeard() {
			if err = s.loosen(ctx); err != nil {
				return response{}, err
			}
		}
		s.stats.Requests++
		resp, err = s.once(ctx, packet)
		if !errors.Is(err, errTimeout) && !errors.Is(err, errRefused) {
			break
		}
	}
	return resp, err
}

func (s *session) once(ctx context.Context, packet []byte) (response, error) {
	if err := ctx.Err(); err != nil {
		return response{}, err
	}
	if err := s.socket.send(packet); err != nil {
		return response{}, socketError("send", err)
	}
	s.count(len(packet))
	end := time.Now().Add(s.timeout)
	limit, limited := ctx.Deadline()
	if limited = limited && limit.Before(end); limited {
		end = limit
	}
	if err := s.socket.SetReadDeadline(end); err != nil {
		return response{}, socketError("set deadline", err)
	}
	resp, err := s.await(ctx)
	if errors.Is(err, errTimeout) {
		s.stats.Timeouts++
		if limited {
			err = context.DeadlineExceeded
		}
	}
	return resp, err
}

// await reads until the answer comes or the deadline passes. What is no answer
// to the request is dropped and counted.
func (s *session) await(ctx context.Context) (response, error) {
	for {
		// After the deadline was set: a cancellation moves it to the past.
		if err := ctx.Err(); err != nil {
			return response{}, err
		}
		n, from, err := s.socket.receive(s.scratch.in[:])
		if ctx.Err() != nil {
			return response{}, ctx.Err()
		}
		if err != nil {
			return response{}, socketError("receive", err)
		}
		s.countIn(from, n)
		resp, ours, err := s.decode(s.scratch.in[:n])
		if ours {
			s.heard(from)
			return resp, err
		}
		s.stats.Strays++
	}
}

// count tells who counts of a datagram that left.
func (s *session) count(bytes int) {
	if t := s.peer.traffic; t != nil {
		t.Sent(s.socket.to, s.host, bytes)
	}
}

// countIn tells of one that came.
func (s *session) countIn(from netip.AddrPort, bytes int) {
	if t := s.peer.traffic; t != nil {
		if !from.IsValid() {
			from = s.socket.to
		}
		t.Received(from, s.host, bytes)
	}
}

// heard notes where an answer came from.
func (s *session) heard(from netip.AddrPort) {
	if s.peer.route.answered(from, s.socket.to) {
		s.peer.log.Warn().Stringer("device", s.socket.to).Stringer("answers_from", from).
			Msg("the device answers from another address than the one that was asked")
	}
	if from.IsValid() && from != s.socket.to {
		s.stats.Elsewhere++
	}
}

func socketError(doing string, err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED): // ICMP port unreachable
		return errRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// encode writes a request of v1 or v2c, valid until the next one.
func (s *session) encode(r request) (packet []byte, err error) {
	w := &s.scratch.out
	w.reset()
	if !w.pdu(r, s.lastID) {
		return nil, errUnsendable
	}
	w.octets(s.community)
	w.integer(uint32(s.version))
	w.head(berSequence, 0)
	return w.bytes(), nil
}

// decode tells whether a datagram is the answer to the last request, and reads
// it.
func (s *session) decode(b []byte) (resp response, ours bool, err error) {
	if s.user != nil {
		return s.unseal(b)
	}
	size := len(b)
	b, _, ok := opened(b, berSequence)
	if !ok {
		return response{}, false, nil
	}
	version, b, ok := integer(b)
	if !ok || version != s.version {
		return response{}, false, nil
	}
	community, b, ok := element(b, berOctets)
	if !ok || string(community) != s.community {
		return response{}, false, nil
	}
	p, ok := openPDU(b)
	if !ok || p.kind != berResponse || p.id != int64(s.lastID) {
		return response{}, false, nil
	}
	resp, err = s.response(p)
	resp.size = size
	return resp, true, err
}

func (s *session) response(p pdu) (response, error) {
	resp, whole, err := s.peer.oids.response(p, s.scratch.vars)
	if cap(resp.vars) > 0 {
		s.scratch.vars = resp.vars
	}
	if !whole {
		s.stats.Malformed++
	}
	return resp, err
}

func (s *session) version1() bool { return s.version == wireV1 }
