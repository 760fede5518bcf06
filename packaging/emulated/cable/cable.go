// Package cable carries connections over the console, for boards without a
// network: each side keeps its sockets and hands over what comes out of them.
package cable

import (
	"net"
	"sync"

	"github.com/edgehold/edgehold/packaging/emulated/talk"
)

// Cable is one end.
type Cable struct {
	// Send hands a piece to the other end.
	Send func(talk.Piece)
	// Dial makes the socket for a connection that the other end has opened; nil
	// at the end that opens them.
	Dial func() (net.Conn, error)

	pumps sync.WaitGroup
	mu    sync.Mutex
	last  int
	conns map[int]net.Conn
}

// Accept gives each connection that comes in to the other end, until the
// listener is closed.
func (c *Cable) Accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.last++
		n := c.last
		c.mu.Unlock()
		c.keep(n, conn)
		c.Send(talk.Piece{Conn: n})
		c.pumps.Go(func() { c.pump(n, conn) })
	}
}

// Take does what the other end has sent. Pieces come in their order.
func (c *Cable) Take(p talk.Piece) {
	c.mu.Lock()
	conn := c.conns[p.Conn]
	c.mu.Unlock()
	if conn == nil && c.Dial != nil && len(p.Data) == 0 && !p.Closed {
		c.open(p.Conn)
		return
	}
	if conn == nil {
		return // it was closed here meanwhile
	}
	if p.Closed {
		_ = conn.Close() // pump says so
		return
	}
	if _, err := conn.Write(p.Data); err != nil {
		_ = conn.Close()
	}
}

func (c *Cable) open(n int) {
	conn, err := c.Dial()
	if err != nil {
		c.Send(talk.Piece{Conn: n, Closed: true})
		return
	}
	c.keep(n, conn)
	c.pumps.Go(func() { c.pump(n, conn) })
}

func (c *Cable) keep(n int, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		c.conns = map[int]net.Conn{}
	}
	c.conns[n] = conn
}

// pump hands over what comes out of a socket, and its end.
func (c *Cable) pump(n int, conn net.Conn) {
	buffer := make([]byte, 8<<10)
	for {
		size, err := conn.Read(buffer)
		if size > 0 {
			c.Send(talk.Piece{Conn: n, Data: append([]byte(nil), buffer[:size]...)})
		}
		if err != nil {
			break
		}
	}
	c.mu.Lock()
	delete(c.conns, n)
	c.mu.Unlock()
	_ = conn.Close()
	c.Send(talk.Piece{Conn: n, Closed: true})
}

// Close cuts all connections, once neither Accept nor Take is called any more.
func (c *Cable) Close() {
	c.mu.Lock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.pumps.Wait()
}
