package ping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errForbidden names both mends.
var errForbidden = errors.New("this machine does not let the agent send pings: either allow it to all, with `sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"` " +
	"and a file in /etc/sysctl.d, or give the service CAP_NET_RAW, with the drop-in /usr/share/edgehold/dropins/ping.conf")

const roomForAnswers = 1 << 20 // bytes

// socket is one for ICMP, or a raw one.
type socket struct {
	family family
	raw    bool
	id     uint16 // of the requests of a raw one
	file   *os.File
	conn   syscall.RawConn

	draining sync.Mutex // guards what follows
	buf, oob []byte
}

// message is what a socket got.
type message struct {
	from  netip.Addr // of an error: who says it; invalid: nobody knows
	at    time.Time  // when the kernel had it; zero: it did not say
	echo  echo
	fault *fault // nil: it is a reply
}

// open opens a socket that needs no rights or, where that is not allowed, one
// that does. The id is for the latter.
func open(f family, id uint16) (*socket, error) {
	domain, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if f == 6 {
		domain, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	s := &socket{family: f, id: id, buf: make([]byte, 512), oob: make([]byte, 512)}
	fd, first := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if first != nil {
		var err error
		if fd, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto); err != nil {
			return nil, refused(f, first, err)
		}
		s.raw = true
	}
	if err := s.configure(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up a socket for ICMP: %w", err)
	}
	s.file = os.NewFile(uintptr(fd), "icmp")
	conn, err := s.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach a socket for ICMP: %w", err), s.file.Close())
	}
	s.conn = conn
	return s, nil
}

func refused(f family, first, second error) error {
	if errors.Is(first, fs.ErrPermission) || errors.Is(second, fs.ErrPermission) {
		return errForbidden
	}
	if f == 6 && errors.Is(second, unix.EAFNOSUPPORT) {
		return errors.New("this machine has no IPv6")
	}
	return fmt.Errorf("open a socket for ICMP: %w", second)
}

// configure asks for the kernel's times and for errors, and keeps from a raw
// socket what is neither reply nor error.
func (s *socket) configure(fd int) error {
	// Without the kernel's times those of this process are good enough.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	// As much room as there may be: what does not fit is lost, and looks as if the
	// network had lost it.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, roomForAnswers)
	switch {
	case !s.raw && s.family == 4:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	case !s.raw:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	case s.family == 4:
		pass := uint32(1<<echoReply4 | 1<<unreachable4 | 1<<exceeded4 | 1<<parameter4)
		return unix.SetsockoptInt(fd, solRaw, icmpFilter, int(int32(^pass)))
	}
	var filter unix.ICMPv6Filter // a set bit is kept out
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	for _, typ := range []int{unreachable6, tooBig6, exceeded6, parameter6, echoReply6} {
		filter.Data[typ/32] &^= 1 << (typ % 32)
	}
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
}

// Of linux/icmp.h.
const (
	solRaw     = 255
	icmpFilter = 1
)

// send sends a message and tells when. An error that belongs to an earlier packet
// is taken off the socket: receive tells of it.
func (s *socket) send(b []byte, to netip.Addr) (at time.Time, err error) {
	address, err := sockaddr(to)
	if err != nil {
		return time.Now(), err
	}
	const tries = 4
	for range tries {
		var failed error
		err = s.conn.Write(func(fd uintptr) bool {
			at = time.Now()
			failed = unix.Sendto(int(fd), b, 0, address)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err == nil {
			err = failed
		}
		if err == nil || s.raw {
			break
		}
	}
	return at, err
}

func sockaddr(to netip.Addr) (unix.Sockaddr, error) {
	if to.Is4() {
		return &unix.SockaddrInet4{Addr: to.As4()}, nil
	}
	a := &unix.SockaddrInet6{Addr: to.As16()}
	if zone := to.Zone(); zone != "" {
		n, err := strconv.ParseUint(zone, 10, 32)
		if err != nil {
			link, err := net.InterfaceByName(zone)
			if err != nil {
				return nil, fmt.Errorf("there is no interface %q", zone)
			}
			n = uint64(link.Index)
		}
		a.ZoneId = uint32(n)
	}
	return a, nil
}

// receive hands on what comes until the socket is closed.
func (s *socket) receive(each func(message)) {
	_ = s.conn.Read(func(fd uintptr) bool {
		for s.drain(int(fd), each) {
		}
		return false
	})
}

// flush hands on what has come and nobody had the time to look at. Of a flood it
// takes a part: whoever calls it has something else to do.
func (s *socket) flush(each func(message)) {
	_ = s.conn.Control(func(fd uintptr) { s.drain(int(fd), each) })
}

func (s *socket) close() error { return s.file.Close() }

// drain reads until there is nothing left, or much was read: then there may be
// more. A pending error comes first, once, in the place of a message; its details
// lie in a queue of their own.
func (s *socket) drain(fd int, each func(message)) (more bool) {
	s.draining.Lock()
	defer s.draining.Unlock()
	const (
		most     = 4096 // messages at a time, so that a flood holds nobody up
		failures = 64   // in a row that are no message's
	)
	failed := 0
	for range most {
		if !s.raw {
			s.drainErrors(fd, each)
		}
		n, oobn, _, from, err := unix.Recvmsg(fd, s.buf, s.oob, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil:
			if failed++; failed == failures {
				return false
			}
			continue
		}
		failed = 0
		m := message{from: addrOf(from), at: stamped(s.oob[:oobn])}
		if s.read(s.buf[:n], &m) {
			each(m)
		}
	}
	return true
}

// read takes a reply and, from a raw socket, an error.
func (s *socket) read(b []byte, m *message) (ok bool) {
	if s.raw && s.family == 4 {
		if b, ok = skipHeader(4, b); !ok {
			return false
		}
	}
	if m.echo, ok = parseReply(s.family, b); ok {
		return !s.raw || m.echo.id == s.id
	}
	said, quoted, ok := parseFault(s.family, b)
	if !ok || !s.raw || quoted.id != s.id {
		return false
	}
	m.echo, m.fault = quoted, &said
	return true
}

func (s *socket) drainErrors(fd int, each func(message)) {
	const most = 256 // at a time, likewise
	for range most {
		n, oobn, _, _, err := unix.Recvmsg(fd, s.buf, s.oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		var m message
		var ok bool
		if m.echo, ok = parseQuoted(s.family, s.buf[:n]); ok && s.explain(s.oob[:oobn], &m) {
			each(m)
		}
	}
}

// explain reads the kernel's words on an error: struct sock_extended_err with the
// address of who says it behind (linux/errqueue.h).
func (s *socket) explain(oob []byte, m *message) bool {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, c := range all {
		ip4 := c.Header.Level == unix.IPPROTO_IP && c.Header.Type == unix.IP_RECVERR
		ip6 := c.Header.Level == unix.IPPROTO_IPV6 && c.Header.Type == unix.IPV6_RECVERR
		if !ip4 && !ip6 || len(c.Data) < 16 {
			continue
		}
		origin := c.Data[4]
		if origin != unix.SO_EE_ORIGIN_ICMP && origin != unix.SO_EE_ORIGIN_ICMP6 || !s.family.isFault(c.Data[5]) {
			return false // the kernel also queues redirects
		}
		m.fault, m.from = &fault{s.family, c.Data[5], c.Data[6]}, offender(c.Data[16:])
		return true
	}
	return false
}

// offender reads a struct sockaddr_in or sockaddr_in6.
func offender(b []byte) netip.Addr {
	switch {
	case len(b) >= 8 && binary.NativeEndian.Uint16(b) == unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case len(b) >= 24 && binary.NativeEndian.Uint16(b) == unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	return netip.Addr{}
}

func addrOf(from unix.Sockaddr) netip.Addr {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

// stamped is when the kernel got a packet: a struct timespec, of two 32-bit
// numbers on 32-bit machines.
func stamped(oob []byte) time.Time {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, c := range all {
		if c.Header.Level != unix.SOL_SOCKET || c.Header.Type != unix.SO_TIMESTAMPNS {
			continue
		}
		switch b := c.Data; len(b) {
		case 16:
			return time.Unix(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:])))
		case 8:
			return time.Unix(int64(int32(binary.NativeEndian.Uint32(b))), int64(binary.NativeEndian.Uint32(b[4:])))
		}
	}
	return time.Time{}
}
