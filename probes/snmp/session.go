package snmp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

const (
	defaultTimeout = 2 * time.Second // of one try
	defaultRetries = 1
	maxCommunity   = 127    // bytes that can be encoded
	maxDatagram    = 65_535 // bytes
)

var pduTypes = [...]gosnmp.PDUType{
	get: gosnmp.GetRequest, getNext: gosnmp.GetNextRequest, getBulk: gosnmp.GetBulkRequest,
}

// session is one connected UDP socket to a device, for one poll. It is the
// one place that knows gosnmp, of which it uses the codec only: gosnmp's own
// receive loop gives up on the first datagram that it cannot decode, and takes
// answers of any type and community.
type session struct {
	conn    net.Conn
	codec   gosnmp.GoSNMP
	lastID  uint32
	timeout time.Duration
	tries   int
	stats   *probes.PollStats
	buffers *sync.Pool // of *[maxDatagram]byte
	buffer  *[maxDatagram]byte
	unwatch func() bool
}

// dial resolves the name, if it is one, and opens the socket. Nothing is sent.
func dial(ctx context.Context, d plan.Device, buffers *sync.Pool, stats *probes.PollStats) (*session, error) {
	s := &session{timeout: defaultTimeout, tries: 1 + defaultRetries, stats: stats, buffers: buffers}
	if d.Timeout > 0 {
		s.timeout = d.Timeout
	}
	if d.Retries >= 0 {
		s.tries = 1 + d.Retries
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))))
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	s.conn = conn
	s.lastID = rand.Uint32()
	s.buffer = buffers.Get().(*[maxDatagram]byte)
	// A cancelled poll must not sit out its timeout.
	s.unwatch = context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	return s, nil
}

func newBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { return new([maxDatagram]byte) }}
}

func (s *session) close() {
	s.unwatch()
	_ = s.conn.Close()
	s.buffers.Put(s.buffer)
}

// use makes c the credential of the requests that follow.
func (s *session) use(c probes.Credential) error {
	community := c.Community.Reveal()
	if len(community) > maxCommunity {
		return fmt.Errorf("the community of credential %q is %d bytes long, expected at most %d", c.Name, len(community), maxCommunity)
	}
	s.codec.Community = community
	s.codec.Version = gosnmp.Version2c
	if c.Version == probes.SNMPv1 {
		s.codec.Version = gosnmp.Version1
	}
	return nil
}

func (s *session) exchange(ctx context.Context, r request) (response, error) {
	return s.send(ctx, r, s.tries)
}

// alive asks at least twice: one lost datagram must not cost a whole poll.
func (s *session) alive(ctx context.Context) error {
	_, err := s.send(ctx, request{kind: get, oids: []string{sysUpTime}}, max(s.tries, 2))
	return err
}

// send sends a request until a try is answered. All tries carry one request
// id, so that a late answer to an earlier one counts too.
func (s *session) send(ctx context.Context, r request, tries int) (resp response, err error) {
	packet, err := s.encode(r)
	if err != nil {
		return response{}, err
	}
	for try := range tries {
		s.stats.Requests++
		if try > 0 {
			s.stats.Retries++
		}
		resp, err = s.once(ctx, packet)
		if !errors.Is(err, errTimeout) && !errors.Is(err, errRefused) {
			break
		}
	}
	s.stats.Varbinds += len(resp.vars)
	return resp, err
}

func (s *session) once(ctx context.Context, packet []byte) (response, error) {
	if err := ctx.Err(); err != nil {
		return response{}, err
	}
	if _, err := s.conn.Write(packet); err != nil {
		return response{}, socketError("send", err)
	}
	end := time.Now().Add(s.timeout)
	limit, limited := ctx.Deadline()
	if limited = limited && limit.Before(end); limited {
		end = limit
	}
	if err := s.conn.SetReadDeadline(end); err != nil {
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
		n, err := s.conn.Read(s.buffer[:])
		if ctx.Err() != nil {
			return response{}, ctx.Err()
		}
		if err != nil {
			return response{}, socketError("receive", err)
		}
		resp, ours, err := s.decode(s.buffer[:n])
		if ours {
			return resp, err
		}
		s.stats.Strays++
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

func (s *session) encode(r request) (packet []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errUnsendable
		}
	}()
	vars := make([]gosnmp.SnmpPDU, len(r.oids))
	for i, oid := range r.oids {
		vars[i] = gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Null}
	}
	// The codec counts up from here and keeps 31 bits.
	s.codec.SetRequestID(s.lastID)
	s.lastID = (s.lastID + 1) & 0x7fffffff
	packet, err = s.codec.SnmpEncodePacket(pduTypes[r.kind], vars, 0, uint32(r.reps))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsendable, err)
	}
	return packet, nil
}

// decode tells whether a datagram is the answer to the last request, and reads
// it. Of an answer that cannot be read to its end the varbinds before the bad
// one count; without any it is malformed.
func (s *session) decode(b []byte) (resp response, ours bool, err error) {
	defer func() {
		if recover() != nil {
			resp, ours, err = response{}, false, errMalformed
		}
	}()
	p, err := s.codec.SnmpDecodePacket(b)
	if p == nil || p.PDUType != gosnmp.GetResponse || p.Version != s.codec.Version ||
		p.Community != s.codec.Community || p.RequestID != s.lastID {
		return response{}, false, nil
	}
	if err != nil && len(p.Variables) == 0 {
		return response{}, true, errMalformed
	}
	resp = response{status: errorStatus(p.Error), index: int(p.ErrorIndex), size: len(b)}
	if resp.status == noError {
		resp.vars = make([]varbind, len(p.Variables))
		for i, v := range p.Variables {
			resp.vars[i] = toVarbind(v)
		}
	}
	return resp, true, nil
}

func (s *session) version1() bool { return s.codec.Version == gosnmp.Version1 }
