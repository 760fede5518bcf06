package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	linkBurst     = 200 * time.Millisecond // changes that come together are told together
	dumpPatience  = 5 * time.Second
	dumpRetry     = 100 * time.Millisecond
	dumpTries     = 50 // in a row, before the watcher gives up
	netlinkBuffer = 64 << 10
)

// WatchLinks calls fn when a way into the network came up or went: the carrier
// of an interface, an address that reaches beyond the link, a default route.
// What the kernel repeats, statistics, the loopback, ports of bridges and
// bridges without a way out are no news. fn is called from the caller's
// goroutine and holds up the watcher while it runs. WatchLinks returns nil when
// ctx ends; its sockets belong to the network namespace of the calling thread.
func WatchLinks(ctx context.Context, fn func(LinkEvent)) error {
	w := linkWatcher{fn: fn, buffer: make([]byte, netlinkBuffer)}
	if err := w.open(); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	return w.watch(ctx)
}

type linkWatcher struct {
	fn     func(LinkEvent)
	news   *os.File // joined to the groups
	asks   *os.File // for dumps
	buffer []byte
	seq    uint32
	state  *network
}

const linkGroups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// open joins the groups before it looks, so that nothing falls between.
func (w *linkWatcher) open() (err error) {
	if w.news, err = openNetlink(linkGroups); err != nil {
		return err
	}
	if w.asks, err = openNetlink(0); err == nil {
		w.state, err = w.look()
	}
	if err != nil {
		w.close()
	}
	return err
}

func (w *linkWatcher) close() {
	w.news.Close()
	if w.asks != nil {
		w.asks.Close()
	}
}

func openNetlink(groups uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w; in a systemd unit add AF_NETLINK to RestrictAddressFamilies", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind netlink socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// watch closes the sockets in the end.
func (w *linkWatcher) watch(ctx context.Context) error {
	defer w.close()
	defer context.AfterFunc(ctx, w.close)()
	return unlessEnded(ctx, w.run(ctx))
}

func (w *linkWatcher) run(ctx context.Context) error {
	failed := 0
	for {
		if failed == 0 {
			if err := w.await(); err != nil {
				return fmt.Errorf("watch links: %w", err)
			}
		}
		next, err := w.look()
		if err == nil {
			failed = 0
			w.tell(next)
			continue
		}
		if failed++; failed == dumpTries || ctx.Err() != nil {
			return fmt.Errorf("watch links: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(dumpRetry):
		}
	}
}

func (w *linkWatcher) tell(next *network) {
	changes := diff(w.state, next)
	w.state = next
	if len(changes) > 0 {
		w.fn(LinkEvent{Changes: changes})
	}
}

// await returns when something may have changed and the burst is over.
func (w *linkWatcher) await() error {
	for {
		matters, err := w.read(time.Time{})
		if err != nil {
			return err
		}
		if matters {
			break
		}
	}
	end := time.Now().Add(linkBurst)
	for {
		_, err := w.read(end)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read takes one datagram. Messages that the kernel had to drop, or that cannot
// be read, matter.
func (w *linkWatcher) read(deadline time.Time) (matters bool, err error) {
	if err := w.news.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	n, err := w.news.Read(w.buffer)
	if errors.Is(err, unix.ENOBUFS) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	err = eachMessage(w.buffer[:n], func(m netlinkMessage) error {
		matters = matters || w.state.matters(m)
		return nil
	})
	return matters || err != nil, nil
}

// look asks for all links, addresses and routes.
func (w *linkWatcher) look() (*network, error) {
	n := newNetwork()
	for _, kind := range []uint16{unix.RTM_GETLINK, unix.RTM_GETADDR, unix.RTM_GETROUTE} {
		if err := w.dump(kind, n); err != nil {
			return nil, fmt.Errorf("list network (request %d): %w", kind, err)
		}
	}
	return n, nil
}

var (
	errDumpDone   = errors.New("the dump is over")
	errDumpTorn   = errors.New("the list changed while it was read")
	errDumpFailed = errors.New("the kernel refused the list")
)

func (w *linkWatcher) dump(kind uint16, n *network) error {
	w.seq++
	if err := w.asks.SetDeadline(time.Now().Add(dumpPatience)); err != nil {
		return err
	}
	if _, err := w.asks.Write(dumpRequest(kind, w.seq)); err != nil {
		return err
	}
	for {
		size, err := w.asks.Read(w.buffer)
		if err != nil {
			return err
		}
		err = eachMessage(w.buffer[:size], func(m netlinkMessage) error { return w.take(m, n) })
		if errors.Is(err, errDumpDone) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take puts one message of an answer into n. What is left of an earlier answer
// that was given up is passed over.
func (w *linkWatcher) take(m netlinkMessage, n *network) error {
	switch {
	case m.seq != w.seq:
		return nil
	case m.flags&unix.NLM_F_DUMP_INTR != 0:
		return errDumpTorn
	case m.kind == unix.NLMSG_DONE:
		return errDumpDone
	case m.kind == unix.NLMSG_ERROR:
		if len(m.body) < 4 {
			return errDumpFailed
		}
		return fmt.Errorf("%w: %w", errDumpFailed, unix.Errno(-int32(binary.NativeEndian.Uint32(m.body))))
	}
	return n.add(m)
}

// dumpRequest asks for everything of a kind. The body is that of the largest
// header, zeros: any family.
func dumpRequest(kind uint16, seq uint32) []byte {
	request := make([]byte, messageHeader+linkHeader)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(request[8:], seq)
	return request
}
