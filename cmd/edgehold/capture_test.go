package main_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/drain/linktest"
)

// packet is one packet of TCP or UDP that a capture has seen.
type packet struct {
	at     time.Time
	out    bool
	proto  string
	remote netip.AddrPort
	begins bool   // it asks for a connection
	fresh  int    // bytes of payload; of TCP those that were not seen before
	data   []byte // the payload
}

// capture sees every packet of a namespace, on all its interfaces.
type capture struct {
	fd   int
	done sync.WaitGroup

	mu   sync.Mutex
	all  []packet
	next map[flowKey]uint32 // the sequence number that comes next
}

type flowKey struct {
	out           bool
	local, remote netip.AddrPort
}

const etherTypeAll = uint16(unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8)

func startCapture(t *testing.T, ns *linktest.Namespace) *capture {
	t.Helper()
	c := &capture{next: map[flowKey]uint32{}}
	err := ns.Do(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(etherTypeAll))
		return err
	})
	if err != nil {
		t.Fatalf("open a packet socket: %v", err)
	}
	// A read that ends now and then, so that the capture can.
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	c.done.Go(func() { c.read(t, stop) })
	t.Cleanup(func() {
		close(stop)
		c.done.Wait()
		_ = unix.Close(c.fd)
	})
	return c
}

func (c *capture) read(t *testing.T, stop <-chan struct{}) {
	buf := make([]byte, 1<<16)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Errorf("read the packet socket: %v", err)
			return
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok {
			c.take(buf[:n], link.Pkttype == unix.PACKET_OUTGOING)
		}
	}
}

// take reads a packet of IPv4; the namespaces have no other addresses.
func (c *capture) take(b []byte, out bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	size, head := int(binary.BigEndian.Uint16(b[2:])), int(b[0]&15)*4
	if size > len(b) || size < head+8 {
		return
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p, body := packet{at: time.Now(), out: out}, b[head:size]
	from, to := netip.AddrPortFrom(src, binary.BigEndian.Uint16(body)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(body[2:]))
	p.remote = from
	key := flowKey{out, to, from}
	if out {
		p.remote, key = to, flowKey{out, from, to}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch b[9] {
	case unix.IPPROTO_UDP:
		p.proto, p.data = "udp", append([]byte{}, body[8:]...)
		p.fresh = len(p.data)
	case unix.IPPROTO_TCP:
		p.proto, p.data = "tcp", append([]byte{}, body[int(body[12]>>4)*4:]...)
		c.sequence(&p, key, body)
	default:
		return
	}
	c.all = append(c.all, p)
}

// sequence finds what of a segment was not sent before.
func (c *capture) sequence(p *packet, key flowKey, segment []byte) {
	const syn = 2
	seq := binary.BigEndian.Uint32(segment[4:])
	if segment[13]&syn != 0 {
		p.begins = true
		c.next[key] = seq + 1
		return
	}
	end := seq + uint32(len(p.data))
	if more := int32(end - c.next[key]); more > 0 {
		p.fresh = min(int(more), len(p.data))
		c.next[key] = end
	}
}

// place is a destination as both a capture and an audit know it.
type place struct {
	proto  string
	remote netip.AddrPort
}

// volume is what went to and came from a place.
type volume struct{ out, in, datagramsOut, datagramsIn int64 }

// between sums up what was seen in some time. A place counts as one from the
// first packet to it that carries something or asks for a connection.
func (c *capture) between(from, to time.Time) map[place]volume {
	c.mu.Lock()
	defer c.mu.Unlock()
	sums := map[place]volume{}
	for _, p := range c.all {
		if p.at.Before(from) || p.at.After(to) || p.fresh == 0 && !(p.begins && p.out) {
			continue
		}
		at := place{p.proto, p.remote}
		v := sums[at]
		n, datagrams := int64(p.fresh), int64(0)
		if p.proto == "udp" {
			datagrams = 1
		}
		if p.out {
			v.out, v.datagramsOut = v.out+n, v.datagramsOut+datagrams
		} else {
			v.in, v.datagramsIn = v.in+n, v.datagramsIn+datagrams
		}
		sums[at] = v
	}
	return sums
}

// packets counts those that went to a place.
func (c *capture) packets(at place) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		if p.out && p.proto == at.proto && p.remote == at.remote {
			n++
		}
	}
	return n
}

// payloads gives the payload of each packet that left, by its place.
func (c *capture) payloads(each func(at place, data []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		if p.out {
			each(place{p.proto, p.remote}, p.data)
		}
	}
}

// serveNames answers questions for the address of a name with addr, and knows
// nothing else.
func serveNames(t *testing.T, conn net.PacketConn, addr netip.Addr, names ...string) {
	t.Helper()
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := answerName(buf[:n], addr, names); answer != nil {
				_, _ = conn.WriteTo(answer, from) // who asked asks again
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
}

// answerName makes the answer to a question of one name (RFC 1035, section 4).
func answerName(q []byte, addr netip.Addr, names []string) []byte {
	name, at := "", 12
	for at < len(q) && q[at] != 0 {
		end := at + 1 + int(q[at])
		if end >= len(q) {
			return nil
		}
		name += string(q[at+1:end]) + "."
		at = end
	}
	if at+5 > len(q) {
		return nil
	}
	question := q[12 : at+5]
	kind := binary.BigEndian.Uint16(q[at+1:])
	known, answers := false, uint16(0)
	for _, n := range names {
		known = known || n+"." == name
	}
	flags := uint16(0x8183) // no such name
	if known {
		flags = 0x8180
	}
	if known && kind == 1 {
		answers = 1
	}
	out := append([]byte{}, q[:2]...)
	for _, v := range []uint16{flags, 1, answers, 0, 0} {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	out = append(out, question...)
	if answers == 1 {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4) // the name above, A, IN, five seconds
		out = append(out, addr.AsSlice()...)
	}
	return out
}
