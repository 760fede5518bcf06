package linktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is one side of a link: a network namespace with a loopback and the
// link's device.
type Namespace struct {
	Addr string // of this side, IPv4

	net *os.File // holds the namespace
	tun *os.File
}

func newNamespace(addr string, mtu int) (*Namespace, error) {
	n := &Namespace{Addr: addr}
	err := elsewhere(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		if n.net, err = os.Open(threadNet); err != nil {
			return err
		}
		if n.tun, err = openTUN(); err != nil {
			return err
		}
		if err := configure(addr, mtu); err != nil {
			return err
		}
		return loopback()
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *Namespace) close() (err error) {
	for _, f := range []*os.File{n.tun, n.net} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

const threadNet = "/proc/thread-self/ns/net"

// elsewhere goes to another namespace, calls fn there, and comes back.
func elsewhere(move, fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(threadNet)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open this thread's network namespace: %w", err)
	}
	defer home.Close()
	if err := move(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("a thread is stuck in a network namespace: %v", err))
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// Do calls fn in the namespace. What fn opens stays there; goroutines that it
// starts are not there.
func (n *Namespace) Do(fn func() error) error {
	return elsewhere(func() error { return unix.Setns(int(n.net.Fd()), unix.CLONE_NEWNET) }, fn)
}

// DialContext connects from within the namespace. The address is no name: a
// resolver would ask from outside.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.Do(func() (err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen opens a port within the namespace.
func (n *Namespace) Listen(network, address string) (l net.Listener, err error) {
	err = n.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Start starts a command, made by exec.Command, within the namespace. It keeps
// the folders and users of the test.
func (n *Namespace) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// SetInterface takes the link's interface of this side down or up again, as an
// operator does: while it is down its routes are gone. The kernel tells
// listeners on netlink.
func (n *Namespace) SetInterface(up bool) error {
	return n.Do(func() error { return withSocket(func(fd int) error { return setUp(fd, linkName, up) }) })
}

// SetAddress takes the address of this side away or gives it back, as a lease
// of DHCP that ends and is renewed. The kernel tells listeners on netlink.
func (n *Namespace) SetAddress(present bool) error {
	return n.Do(func() error {
		return withSocket(func(fd int) error {
			if present {
				return address(fd, n.Addr)
			}
			return setAddr(fd, unix.SIOCSIFADDR, "0.0.0.0")
		})
	})
}
