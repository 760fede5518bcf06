package snmptest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

const patience = 10 * time.Second

// client is a raw UDP client that sees every datagram and where it came from.
type client struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
	id   int32
}

func start(t testing.TB, mib *MIB) (*Responder, *client) {
	t.Helper()
	r, err := Start(Options{Communities: map[string]*MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, dial(t, r)
}

func dial(t testing.TB, r *Responder) *client {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, to: netip.MustParseAddrPort(r.Addr())}
}

func (c *client) send(datagram []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDPAddrPort(datagram, c.to); err != nil {
		c.t.Fatal(err)
	}
}

// request sends a request of v2c and returns its id. A bulk has the given
// repetitions.
func (c *client) request(kind PDUType, repetitions int32, oids ...OID) int32 {
	c.t.Helper()
	c.id++
	m := Message{Header: Header{V2c, "public", kind, c.id, 0, repetitions}}
	for _, oid := range oids {
		m.Varbinds = append(m.Varbinds, Varbind{oid, Null()})
	}
	c.send(m.Append(nil))
	return c.id
}

func (c *client) receive() ([]byte, netip.AddrPort) {
	c.t.Helper()
	buf := make([]byte, 1<<16)
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	n, from, err := c.conn.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("no answer")
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return buf[:n], from
}

func (c *client) reply() *Message {
	c.t.Helper()
	datagram, _ := c.receive()
	m, err := Decode(datagram)
	if err != nil {
		c.t.Fatalf("reply %x: %v", datagram, err)
	}
	return m
}

func (c *client) ask(kind PDUType, repetitions int32, oids ...OID) *Message {
	c.t.Helper()
	id := c.request(kind, repetitions, oids...)
	m := c.reply()
	if m.RequestID != id || m.Type != Response || m.Community != "public" {
		c.t.Fatalf("request %d is answered by %+v", id, m.Header)
	}
	return m
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// unanswered sends a request and proves that it gets no reply: the device is
// healed once it has taken the request, and the next datagram to come must
// answer the next request.
func (c *client) unanswered(r *Responder, kind PDUType, repetitions int32, oids ...OID) {
	c.t.Helper()
	before := r.Requests()
	c.request(kind, repetitions, oids...)
	until(c.t, "the request", func() bool {
		now := r.Requests()
		return now.Get+now.GetNext+now.GetBulk > before.Get+before.GetNext+before.GetBulk
	})
	r.SetFaults(Faults{})
	c.ask(GetRequest, 0, OID{1, 3})
}
