package mqtt

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// pipe is what the client library reads and writes: whole packets, checked.
type pipe struct {
	net.Conn // the socket, or TLS or WebSocket over it
	wire     *wire
	reader   *bufio.Reader // the library reads byte by byte
	guard    guard         // of the reader
	writing  sync.Mutex    // one packet at a time: the library tests the link while it publishes
	written  chan struct{} // has room for one: a message or a subscription was written
}

func newPipe(conn net.Conn, w *wire, maxPacket int) *pipe {
	return &pipe{
		Conn: conn, wire: w, reader: bufio.NewReader(conn),
		guard: guard{most: maxPacket}, written: make(chan struct{}, 1),
	}
}

// Read implements net.Conn.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.reader.Read(b)
	if bad := p.guard.check(b[:n]); bad != nil {
		p.wire.fail(bad)
		return 0, bad
	}
	return n, p.wire.because(err)
}

// Write implements net.Conn. The library writes each packet with one call.
func (p *pipe) Write(b []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	n, err := p.Conn.Write(b)
	if kind := b[0] & 0xf0; kind == packetPublish || kind == packetSubscribe {
		select {
		case p.written <- struct{}{}:
		default:
		}
	}
	return n, p.wire.because(err)
}

// SetWriteDeadline implements net.Conn. The library's is for publishes only;
// the wire has one for every write.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.Conn.
func (p *pipe) Close() error {
	if p.wire.failed() == nil {
		return p.Conn.Close()
	}
	return nil // it is closed, without the farewell of TLS: nothing more can be written
}
