package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// maxPath is the room of a path in a unix socket address, less its last NUL.
const maxPath = 107

// socketMode lets the agent's user and one group talk to it, and nobody else.
const socketMode = 0o660

// readers is the group of those who may ask how the agent fares. It is not the
// service's own group, which reads the secrets.
const readers = "edgehold-status"

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
func listen(path string) (*net.UnixListener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create the folder of the control socket: %w; create it for the agent's user, or set `socket:` to a path it may write", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w; set `socket:` to a path the agent's user may write", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("set the mode of the control socket: %w", err)
	}
	giveToReaders(path, user.LookupGroup)
	return l, nil
}

// giveToReaders makes the socket one of the readers' group, where there is one
// and the agent is in it; else it stays one of the agent's own group.
func giveToReaders(path string, lookup func(name string) (*user.Group, error)) {
	group, err := lookup(readers)
	if err != nil {
		return
	}
	if gid, err := strconv.Atoi(group.Gid); err == nil {
		_ = os.Chown(path, -1, gid)
	}
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

// The loop that takes connections tells that often that it is well, and may be
// late by so much.
const (
	beatEvery = 10 * time.Second
	beatGrace = 30 * time.Second
)

// limited is a listener with at most cap(slots) connections at a time.
type limited struct {
	*net.UnixListener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
	beat   func(within time.Duration)
}

// limit bounds the connections of l to n. beat may be nil.
func limit(l *net.UnixListener, n int, beat func(within time.Duration)) *limited {
	if beat == nil {
		beat = func(time.Duration) {}
	}
	return &limited{UnixListener: l, slots: make(chan struct{}, n), closed: make(chan struct{}), beat: beat}
}

// Accept waits for a free slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	if err := l.await(); err != nil {
		return nil, err
	}
	for {
		l.beat(beatEvery + beatGrace)
		if err := l.SetDeadline(time.Now().Add(beatEvery)); err != nil {
			<-l.slots
			return nil, fmt.Errorf("wait for a connection: %w", err)
		}
		conn, err := l.UnixListener.Accept()
		switch {
		case err == nil:
			return &slotConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			<-l.slots
			return nil, err
		}
	}
}

// await takes a slot.
func (l *limited) await() error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		l.beat(beatEvery + beatGrace)
		select {
		case l.slots <- struct{}{}:
			return nil
		case <-l.closed:
			return net.ErrClosed
		case <-tick.C:
		}
	}
}

// Close ends a waiting Accept too.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.UnixListener.Close()
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
