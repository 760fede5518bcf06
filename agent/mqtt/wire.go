package mqtt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pieceSize is how much has to move within the write timeout.
const pieceSize = 16 << 10

// wire is the socket. Each piece that is written has a deadline of its own, so
// that neither an acknowledgement nor a test hangs behind a full buffer. Those
// over it write one packet at a time.
type wire struct {
	net.Conn
	timeout time.Duration
	traffic func(sent, received int) // nil: nobody counts

	mu    sync.Mutex // guards what follows
	limit time.Time  // of the handshake; zero: none
	cause error      // why the connection was given up; nil: it was not
}

// errStalled is the cause where a write came to nothing.
var errStalled = errors.New("the connection takes no more bytes")

func newWire(conn net.Conn, timeout time.Duration, traffic func(sent, received int)) *wire {
	if c, ok := conn.(syscall.Conn); ok {
		setUserTimeout(c, timeout+timeout/2)
	}
	return &wire{Conn: conn, timeout: timeout, traffic: traffic}
}

// setUserTimeout bounds how long the kernel resends to a side that is silent.
// It is longer than the deadlines, whose words say more.
func setUserTimeout(conn syscall.Conn, timeout time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // a kernel without it has the deadlines
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 && w.traffic != nil {
		w.traffic(0, n)
	}
	return n, w.because(err)
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.writePiece(p[done:min(done+pieceSize, len(p))])
		done += n
		if errors.Is(err, errStalled) {
			w.fail(err) // half a packet is on its way: nothing may follow it
		}
		if err != nil {
			return done, w.because(err)
		}
	}
	return done, nil
}

func (w *wire) writePiece(p []byte) (int, error) {
	if err := w.Conn.SetWriteDeadline(w.deadline()); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(p)
	if n > 0 && w.traffic != nil {
		w.traffic(n, 0)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: nothing moved for %v", errStalled, w.timeout)
	}
	return n, err
}

func (w *wire) deadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := time.Now().Add(w.timeout)
	if !w.limit.IsZero() && w.limit.Before(end) {
		return w.limit
	}
	return end
}

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(t time.Time) error {
	_ = w.SetWriteDeadline(t)
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn. A write has the deadline that is
// nearer.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = t
	return nil
}

// fail gives the connection up; the first cause counts.
func (w *wire) fail(cause error) {
	w.mu.Lock()
	if w.cause == nil {
		w.cause = cause
	}
	w.mu.Unlock()
	_ = w.Conn.Close() // it may be closed already
}

func (w *wire) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

// because is err, or the cause why the connection was given up. The client
// takes a socket that is closed for its own doing, and tells nobody.
func (w *wire) because(err error) error {
	if cause := w.failed(); err != nil && cause != nil {
		return cause
	}
	return err
}
