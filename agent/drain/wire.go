package drain

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// traffic counts the bytes of all connections of one client, TLS and headers
// included, and can cut them.
type traffic struct {
	in, out atomic.Int64
	born    time.Time
	first   atomic.Int64 // when the first byte since begin was written, after born; 0: none was

	mu    sync.Mutex
	conns map[*wireConn]struct{}
}

func newTraffic() *traffic {
	return &traffic{born: time.Now(), conns: map[*wireConn]struct{}{}}
}

// total is how many bytes have moved so far, both ways.
func (t *traffic) total() int64 { return t.in.Load() + t.out.Load() }

// begin starts the watch for the first byte of a post.
func (t *traffic) begin() { t.first.Store(0) }

// sinceFirst is how long ago that byte was written, 0 where none was.
func (t *traffic) sinceFirst() time.Duration {
	first := t.first.Load()
	if first == 0 {
		return 0
	}
	return time.Since(t.born) - time.Duration(first)
}

// progress grows with every byte that was read, written or, what a write
// cannot tell, taken by the other side.
func (t *traffic) progress() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.total()
	for c := range t.conns {
		sum += c.acknowledged()
	}
	return sum
}

// abort makes the connections end with a reset, whoever closes them: without
// it the kernel would go on sending what it holds, and a post that was given up
// could still arrive.
func (t *traffic) abort() {
	t.each(func(conn net.Conn) {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a connection that is gone has nothing to reset
		}
	})
}

// cut closes all connections.
func (t *traffic) cut() {
	t.each(func(conn net.Conn) { _ = conn.Close() })
}

func (t *traffic) each(do func(net.Conn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		do(c.Conn)
	}
}

// wrap makes the bytes of a connection count.
func (t *traffic) wrap(conn net.Conn) net.Conn {
	c := &wireConn{Conn: conn, traffic: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns[c] = struct{}{}
	return c
}

// wireConn is one connection of a client.
type wireConn struct {
	net.Conn
	traffic *traffic
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.in.Add(int64(n))
	return n, err
}

// Write counts before it writes: bytes that are just leaving may be there
// already when the post is judged.
func (c *wireConn) Write(p []byte) (int, error) {
	c.traffic.first.CompareAndSwap(0, int64(time.Since(c.traffic.born))|1)
	c.traffic.out.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.traffic.out.Add(int64(n - len(p)))
	return n, err
}

func (c *wireConn) Close() error {
	c.traffic.mu.Lock()
	delete(c.traffic.conns, c)
	c.traffic.mu.Unlock()
	return c.Conn.Close()
}

// acknowledged is how many bytes the other side's kernel has taken, 0 where
// this one does not tell.
func (c *wireConn) acknowledged() int64 {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	taken := int64(0)
	_ = raw.Control(func(fd uintptr) { // an error means that it is closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			taken = int64(info.Bytes_acked)
		}
	})
	return taken
}

// userTimeout bounds how long the kernel resends to a side that is silent. It
// is longer than the stall of a post, whose words say more.
const userTimeout = 30 * time.Second

func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		// A kernel without it has the keepalive.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
