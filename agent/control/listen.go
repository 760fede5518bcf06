package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// maxPath is the room of a path in a unix socket address, less its last NUL.
const maxPath = 107

// socketMode lets the agent's user and group talk to it, and nobody else.
const socketMode = 0o660

func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("no control socket is named; set `socket:` in the configuration, or --socket")
	case len(path) > maxPath:
		return fmt.Errorf("the path of the control socket %s is %d bytes long and at most %d are possible; set `socket:` (or --socket) to a shorter one", path, len(path), maxPath)
	}
	return nil
}

// listen makes the socket. What a dead agent left is removed; a living one's
// socket, and any other file, is left alone.
func listen(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create the folder of the control socket: %w; create it for the agent's user, or set `socket:` to a path it may write", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w; set `socket:` to a path the agent's user may write", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("set the mode of the control socket: %w", err)
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket and stays as it is; move it away, or set `socket:` to another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("another agent answers on %s; stop it, or set `socket:` to another path", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the socket of an earlier run: %w", err)
		}
		return nil
	}
	return fmt.Errorf("ask whether another agent runs: %w", err)
}

// limited is a listener with at most cap(slots) connections at a time.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for a free slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends a waiting Accept too.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type slotConn struct {
	net.Conn
	free func()
}

// Close gives the slot back.
func (c *slotConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
