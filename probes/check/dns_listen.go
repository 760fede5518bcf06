package check

import (
	"encoding/binary"
	"net"
	"sync"
)

// listener hears what DNS servers answer to a resolver.
type listener struct {
	mu    sync.Mutex
	heard bool
	code  int
}

// last is the response code of the last answer.
func (l *listener) last() (code int, heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.code, l.heard
}

const dnsHeader = 12

// take reads the header of a message: a response has the first bit of its flags.
func (l *listener) take(b []byte) {
	if len(b) < dnsHeader || b[2]&0x80 == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.code = true, int(b[3]&0xf)
}

// listen puts itself into a connection. The resolver tells datagrams from streams
// by whether there is a ReadFrom.
func (l *listener) listen(conn net.Conn) net.Conn {
	if conn.LocalAddr().Network() == "udp" {
		return &heardPackets{conn, l}
	}
	return &heardStream{Conn: conn, listener: l}
}

type heardPackets struct {
	net.Conn
	listener *listener
}

// Read hears a datagram.
func (h *heardPackets) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if n > 0 {
		h.listener.take(b[:n])
	}
	return n, err
}

// ReadFrom is there to tell that these are datagrams.
func (h *heardPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := h.Read(b)
	return n, h.RemoteAddr(), err
}

// WriteTo is there for the same reason; there is one address only.
func (h *heardPackets) WriteTo(b []byte, _ net.Addr) (int, error) { return h.Write(b) }

// heardStream hears the one answer of a stream, which its length precedes.
type heardStream struct {
	net.Conn
	listener *listener
	begun    []byte
}

// Read hears the header of a message, in however many parts it comes.
func (h *heardStream) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	const enough = 2 + dnsHeader
	if room := enough - len(h.begun); n > 0 && room > 0 {
		h.begun = append(h.begun, b[:min(n, room)]...)
		if len(h.begun) == enough && binary.BigEndian.Uint16(h.begun) >= dnsHeader {
			h.listener.take(h.begun[2:])
		}
	}
	return n, err
}
