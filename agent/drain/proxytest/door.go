package proxytest

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// backlog of the listening socket while it is open.
const backlog = 128

// door is the port of a proxy.
type door struct {
	listener  *net.TCPListener // nil while connections are refused
	filler    net.Conn         // keeps the queue of a black hole full; nil otherwise
	hole      bool
	accepting sync.WaitGroup
}

// Refuse makes the port refuse connections until Restore. Open ones go on.
func (p *Proxy) Refuse() {
	p.control.Lock()
	defer p.control.Unlock()
	p.door.shut()
}

// BlackHole makes new connections come to nothing until Restore: the kernel
// drops their SYN. Open ones go on.
func (p *Proxy) BlackHole() error {
	p.control.Lock()
	defer p.control.Unlock()
	d := &p.door
	if d.hole {
		return nil
	}
	if d.listener == nil {
		if err := p.open(p.addr); err != nil {
			return err
		}
	}
	_ = d.listener.SetDeadline(time.Unix(1, 0)) // ends the accepting; an open listener takes it
	d.accepting.Wait()
	if err := d.setBacklog(0); err != nil {
		return err
	}
	d.hole = true
	// One connection fills the queue. Where a client was faster, this one hangs.
	d.filler, _ = net.DialTimeout("tcp", p.addr, 200*time.Millisecond)
	return nil
}

// reopen ends a refusal and a black hole.
func (p *Proxy) reopen() error {
	p.control.Lock()
	defer p.control.Unlock()
	d := &p.door
	if p.ctx.Err() != nil {
		return nil
	}
	if d.listener == nil {
		return p.open(p.addr)
	}
	if !d.hole {
		return nil
	}
	if err := d.setBacklog(backlog); err != nil {
		return err
	}
	d.hole = false
	_ = d.listener.SetDeadline(time.Time{}) // an open listener takes it
	p.accept(d.listener, d.fill())
	return nil
}

// fill gives the address of the connection that filled the queue, and ends it.
func (d *door) fill() string {
	if d.filler == nil {
		return ""
	}
	addr := d.filler.LocalAddr().String()
	d.filler.Close()
	d.filler = nil
	return addr
}

func (d *door) setBacklog(n int) error {
	raw, err := d.listener.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the proxy's socket: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), n) }); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("set the proxy's backlog: %w", failed)
	}
	return nil
}

func (p *Proxy) open(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the proxy: %w", err)
	}
	p.door.listener = l.(*net.TCPListener)
	p.accept(p.door.listener, "")
	return nil
}

// accept serves connections, but for the one from ignored.
func (p *Proxy) accept(l *net.TCPListener, ignored string) {
	p.door.accepting.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return // closed, or told to stop
			}
			if c.RemoteAddr().String() == ignored {
				c.Close()
				continue
			}
			id := p.connections.Add(1)
			p.work.Go(func() { p.serve(c, id) })
		}
	})
}

// shut closes the port.
func (d *door) shut() {
	if d.listener == nil {
		return
	}
	d.listener.Close()
	d.accepting.Wait()
	d.listener, d.hole = nil, false
	d.fill()
}
