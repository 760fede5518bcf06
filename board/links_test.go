package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a network namespace of its own, in which the watcher runs and the test
// changes things. All of it happens on one thread that is thrown away.
type lab struct {
	t      *testing.T
	todo   chan func() // run on a thread in the namespace
	events chan LinkEvent
	hold   chan struct{} // not nil: the watcher's fn waits for it
}

// onThread runs fn on a thread of its own that joins, and leaves, nothing else.
// The thread ends with it, so that its namespace cannot leak.
func onThread(fn func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		fn()
	}()
	return done
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, todo: make(chan func()), events: make(chan LinkEvent, 100)}
	refused, namespace := make(chan error, 1), make(chan int, 1)
	hands := onThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		refused <- err
		if err != nil {
			return
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			fd = -1
		}
		namespace <- fd
		for fn := range l.todo {
			fn()
		}
	})
	if err := <-refused; err != nil {
		t.Skipf("SKIPPED: no network namespace can be made here: %v", err)
	}
	fd := <-namespace
	if fd < 0 {
		t.Fatal("the namespace cannot be opened")
	}
	ctx, cancel := context.WithCancel(t.Context())
	watching, ended := make(chan error, 1), make(chan error, 1)
	eyes := onThread(func() {
		w := linkWatcher{fn: l.see, buffer: make([]byte, netlinkBuffer)}
		err := unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
		if err == nil {
			err = w.open()
		}
		watching <- err
		if err == nil {
			ended <- w.watch(ctx)
		}
	})
	opened := <-watching
	t.Cleanup(func() {
		cancel()
		<-eyes
		close(l.todo)
		<-hands
		if opened != nil {
			return
		}
		if err := <-ended; err != nil {
			t.Errorf("the watcher ended with %v", err)
		}
	})
	if opened != nil {
		t.Fatal(opened)
	}
	return l
}

func (l *lab) see(e LinkEvent) {
	l.events <- e
	if l.hold != nil {
		<-l.hold
	}
}

// do runs fn in the namespace.
func (l *lab) do(fn func() error) {
	l.t.Helper()
	result := make(chan error)
	l.todo <- func() { result <- fn() }
	if err := <-result; err != nil {
		l.t.Fatal(err)
	}
}

// expect waits until all the changes were told, and fails on others.
func (l *lab) expect(want ...string) {
	l.t.Helper()
	var got []string
	deadline := time.After(10 * time.Second)
	for len(got) < len(want) {
		select {
		case e := <-l.events:
			for _, c := range e.Changes {
				got = append(got, c.String())
			}
		case <-deadline:
			l.t.Fatalf("told of %q, want %q", got, want)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.t.Fatalf("told of %q, want %q", got, want)
	}
}

// request sends one rtnetlink request and waits for the kernel's word.
func request(kind, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	m := message(netlinkMessage{kind: kind, flags: flags | unix.NLM_F_REQUEST | unix.NLM_F_ACK, seq: 1, body: body})
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 8<<10)
	n, _, err := unix.Recvfrom(fd, buffer, 0)
	if err != nil {
		return err
	}
	return eachMessage(buffer[:n], func(m netlinkMessage) error {
		if code := int32(binary.NativeEndian.Uint32(m.body)); m.kind == unix.NLMSG_ERROR && code != 0 {
			return fmt.Errorf("request %d: %w", kind, unix.Errno(-code))
		}
		return nil
	})
}

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

func makePair(name, peer string) error {
	other := append(make([]byte, linkHeader), attr(unix.IFLA_IFNAME, []byte(peer+"\x00"))...)
	info := slices.Concat(attr(unix.IFLA_INFO_KIND, []byte("veth\x00")), attr(unix.IFLA_INFO_DATA, attr(1, other))) // VETH_INFO_PEER
	body := slices.Concat(make([]byte, linkHeader), attr(unix.IFLA_IFNAME, []byte(name+"\x00")), attr(unix.IFLA_LINKINFO, info))
	return request(unix.RTM_NEWLINK, create, body)
}

func indexOf(name string) (int32, error) {
	w := linkWatcher{buffer: make([]byte, netlinkBuffer)}
	if err := w.open(); err != nil {
		return 0, err
	}
	defer w.close()
	for index, l := range w.state.links {
		if l.name == name {
			return index, nil
		}
	}
	return 0, errors.New("no interface " + name)
}

func setUp(name string, up bool) error {
	index, err := indexOf(name)
	if err != nil {
		return err
	}
	body := make([]byte, linkHeader)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	if up {
		binary.NativeEndian.PutUint32(body[8:], unix.IFF_UP)
	}
	binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP)
	return request(unix.RTM_NEWLINK, 0, body)
}

func addAddress(name, prefix string) error {
	index, err := indexOf(name)
	if err != nil {
		return err
	}
	return request(unix.RTM_NEWADDR, create, addressBody(address{index, netip.MustParsePrefix(prefix)}, unix.IFA_F_NODAD, 0))
}

func addDefault(name, gateway string, more uint16) error {
	index, err := indexOf(name)
	if err != nil {
		return err
	}
	r := route{family: unix.AF_INET, index: index, table: unix.RT_TABLE_MAIN, gateway: netip.MustParseAddr(gateway)}
	body := routeBody(r)
	body[5] = unix.RTPROT_BOOT
	return request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|more, body)
}

func TestWatchLinksInNamespace(t *testing.T) {
	l := newLab(t)
	l.do(func() error { return makePair("wan0", "hub0") })
	l.do(func() error { return setUp("lo", true) })
	l.do(func() error { return setUp("wan0", true) }) // no carrier: the other end is down
	l.do(func() error { return setUp("hub0", true) })
	l.expect("wan0: carrier up", "hub0: carrier up")
	l.do(func() error { return addAddress("wan0", "192.0.2.7/24") })
	l.expect("wan0: address added 192.0.2.7/24")
	l.do(func() error { return addAddress("wan0", "2001:db8::7/64") })
	l.expect("wan0: address added 2001:db8::7/64")
	l.do(func() error { return addDefault("wan0", "192.0.2.1", unix.NLM_F_EXCL) })
	l.expect("wan0: default route added via 192.0.2.1")
	l.do(func() error { return addDefault("wan0", "192.0.2.2", unix.NLM_F_REPLACE) })
	l.expect("wan0: default route added via 192.0.2.2", "wan0: default route removed via 192.0.2.1")
	l.do(func() error { return setUp("hub0", false) }) // the cable is pulled at the other end
	l.expect("wan0: carrier down", "hub0: carrier down")
	l.do(func() error { return setUp("hub0", true) })
	l.expect("wan0: carrier up", "hub0: carrier up")
	// The kernel tells of no IPv4 route that goes with its interface.
	l.do(func() error { return setUp("wan0", false) })
	l.expect("wan0: carrier down", "hub0: carrier down", "wan0: default route removed via 192.0.2.2", "wan0: address removed 2001:db8::7/64")
	l.do(func() error { return setUp("wan0", true) })
	l.do(func() error { return addDefault("wan0", "192.0.2.2", unix.NLM_F_EXCL) })
	l.expect("wan0: carrier up", "hub0: carrier up", "wan0: default route added via 192.0.2.2")
}

// TestWatchLinksCoalesces: one event tells of all that came at once.
func TestWatchLinksCoalesces(t *testing.T) {
	l := newLab(t)
	l.do(func() error {
		return errors.Join(makePair("wan0", "hub0"), setUp("wan0", true), setUp("hub0", true),
			addAddress("wan0", "192.0.2.7/24"), addDefault("wan0", "192.0.2.1", unix.NLM_F_EXCL))
	})
	select {
	case e := <-l.events:
		text := e.String()
		for _, want := range []string{"wan0: carrier up", "address added 192.0.2.7/24", "default route added"} {
			if !strings.Contains(text, want) {
				t.Errorf("the first event is %q and lacks %q", text, want)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
}

// TestWatchLinksFlood: the watcher is held while more happens than its socket
// can take; what is told afterwards is the state as it is.
func TestWatchLinksFlood(t *testing.T) {
	l := newLab(t)
	l.hold = make(chan struct{})
	l.do(func() error { return makePair("wan0", "hub0") })
	l.do(func() error { return errors.Join(setUp("wan0", true), setUp("hub0", true)) })
	l.expect("wan0: carrier up", "hub0: carrier up")
	l.do(func() error { return addAddress("wan0", "192.0.2.7/24") })
	for range 60 {
		l.do(func() error {
			for i := range 50 {
				if err := addAddress("hub0", fmt.Sprintf("198.51.100.%d/32", i+1)); err != nil {
					return err
				}
			}
			return errors.Join(setUp("hub0", false), removeAddresses("hub0"), setUp("hub0", true))
		})
	}
	l.do(func() error { return addAddress("hub0", "203.0.113.9/24") })
	close(l.hold)
	l.expect("wan0: address added 192.0.2.7/24", "hub0: address added 203.0.113.9/24")
}

func removeAddresses(name string) error {
	w := linkWatcher{buffer: make([]byte, netlinkBuffer)}
	if err := w.open(); err != nil {
		return err
	}
	defer w.close()
	for a := range w.state.addresses {
		if w.state.links[a.index].name != name {
			continue
		}
		if err := request(unix.RTM_DELADDR, 0, addressBody(a, 0, 0)); err != nil {
			return err
		}
	}
	return nil
}

func TestWatchLinksEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- WatchLinks(ctx, func(LinkEvent) {}) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the watcher does not end")
	}
}
