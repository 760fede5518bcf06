package ping

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/drain/linktest"
	"github.com/edgehold/edgehold/probes"
)

// inside makes a kind whose sockets are opened on the client's side of a link.
func inside(t *testing.T, l *linktest.Link, raw bool) *pinger {
	t.Helper()
	groups := "0 0" // of the root that this is here
	if raw {
		groups = "1 0" // nobody
	}
	sysctl(t, l.Client, "ipv4/ping_group_range", groups)
	return newPinger(func(f family, id uint16) (s *socket, err error) {
		err = l.Client.Do(func() (err error) {
			s, err = open(f, id)
			return err
		})
		if err == nil && s.raw != raw {
			t.Errorf("the socket is raw: %v, want %v", s.raw, raw)
		}
		return s, err
	}, new(steady).next)
}

func sysctl(t *testing.T, n *linktest.Namespace, name, value string) {
	t.Helper()
	err := n.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
	if err != nil {
		t.Skipf("SKIPPED: this machine does not let %s be set: %v", name, err)
	}
}

// eachSocket runs a test with sockets of both kinds.
func eachSocket(t *testing.T, test func(t *testing.T, raw bool)) {
	for name, raw := range map[string]bool{"icmp": false, "raw": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, raw)
		})
	}
}

// What is measured agrees with what the link lost, packet by packet, and with
// its delay.
func TestE2ELossAndDelay(t *testing.T) {
	const count, delay = 100, 50 * time.Millisecond
	eachSocket(t, func(t *testing.T, raw bool) {
		l := linktest.New(t, linktest.Options{
			Up: linktest.Path{Delay: 30 * time.Millisecond, Loss: 0.15}, Down: linktest.Path{Delay: 20 * time.Millisecond, Loss: 0.1}, Seed: 7,
		})
		o := options(linktest.ServerAddr)
		o.Count, o.Spacing, o.Timeout = count, ms(2), ms(2000)
		got, err := poll(t, o, inside(t, l, raw))
		if err != nil {
			t.Fatal(err)
		}
		up, down := l.Traffic()
		gone := up.Lost + down.Lost
		if gone < 10 || gone > 40 { // 23.5 expected, 4.2 is one sigma
			t.Fatalf("the link has lost %d of %d", gone, count)
		}
		if up.Dropped+down.Dropped > 0 {
			t.Fatalf("the link has dropped packets: %+v, %+v", up, down)
		}
		if got.float("loss") != float64(gone) || got.float("sent") != count || got.float("received") != float64(count-gone) {
			t.Errorf("loss %v %%, %v of %v; the link has lost %d of %d", got.float("loss"), got.float("received"), got.float("sent"), gone, count)
		}
		trips := got["edgehold.ping.rtt"].Summary()
		if least := time.Duration(trips.Min * 1e6); least < delay || least > 2*delay {
			t.Errorf("the shortest round trip is %v, want %v", least, delay)
		}
		if trips.Count != uint64(count-gone) || trips.Max < trips.Min || trips.Sum < trips.Min*float64(trips.Count) || trips.Sum > trips.Max*float64(trips.Count) {
			t.Errorf("round trips %+v", trips)
		}
	})
}

// Answers after the timeout are counted as late, and their packets as lost.
func TestE2ELate(t *testing.T) {
	eachSocket(t, func(t *testing.T, raw bool) {
		l := linktest.New(t, linktest.Options{Down: linktest.Path{Delay: 120 * time.Millisecond}})
		o := options(linktest.ServerAddr)
		o.Count, o.Spacing, o.Timeout = 8, ms(60), ms(60)
		got, err := poll(t, o, inside(t, l, raw))
		if got.float("loss") != 100 || got.float("received") != 0 || got.float("late") < 1 || got.float("late") > 8 || got.has("rtt") || got.has("jitter") {
			t.Errorf("%v", got)
		}
		wantError(t, err, probes.StatusGenericError, "no answer to 8 packets within 60ms", "came later")
	})
}

// A link that is down is a loss of all, and one that comes back is not.
func TestE2ELinkDown(t *testing.T) {
	l := linktest.New(t, linktest.Options{})
	shared := inside(t, l, false)
	o := options(linktest.ServerAddr)
	o.Count, o.Spacing, o.Timeout = 3, ms(1), ms(100)
	l.Set(linktest.Path{Loss: 1}, linktest.Path{})
	got, err := poll(t, o, shared)
	wantError(t, err, probes.StatusGenericError, "no answer to 3 packets within 100ms")
	if got.float("loss") != 100 {
		t.Errorf("%v", got)
	}
	l.Set(linktest.Path{}, linktest.Path{})
	o.Timeout = ms(5000)
	if got, err = poll(t, o, shared); err != nil || got.float("loss") != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// What routers say is told in words, with who said it.
func TestE2EErrors(t *testing.T) {
	for _, c := range []struct {
		name, target string
		route        byte // of the server's side, to the target
		words        []string
	}{
		{"redirect", "192.0.2.88", 0, []string{"no answer to 3 packets within 300ms"}},
		{"unreachable", "192.0.2.66", unix.RTN_UNREACHABLE, []string{linktest.ServerAddr + " says that the host is unreachable"}},
		{"prohibited", "192.0.2.66", unix.RTN_PROHIBIT, []string{linktest.ServerAddr + " says that this is administratively prohibited"}},
		{"hops", "192.0.2.77", 0, []string{linktest.ServerAddr + " says that the packet went over too many hops (TTL exceeded)"}},
		{"no route", "198.51.100.1", 0, []string{"this machine has no route there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSocket(t, func(t *testing.T, raw bool) {
				l := linktest.New(t, linktest.Options{})
				shared := inside(t, l, raw)
				sysctl(t, l.Server, "ipv4/ip_forward", "1")
				sysctl(t, l.Server, "ipv4/icmp_ratelimit", "0")
				if c.name == "hops" {
					sysctl(t, l.Client, "ipv4/ip_default_ttl", "1") // enough for the other side, and for nobody beyond
				}
				if c.route != 0 {
					if err := l.Server.Do(func() error { return route([4]byte{192, 0, 2, 66}, c.route) }); err != nil {
						t.Fatal(err)
					}
				}
				o := options(c.target)
				o.Count, o.Spacing, o.Timeout = 3, ms(1), ms(4000)
				if c.name == "redirect" { // which the router sends, and which says nothing
					o.Timeout = ms(300)
				}
				got, err := poll(t, o, shared)
				wantError(t, err, probes.StatusGenericError, append(c.words, "no answer to 3 packets")...)
				if got.float("loss") != 100 || got.float("sent") != 3 {
					t.Errorf("%v", got)
				}
				// An error to one target is none of another's.
				if got, err := poll(t, options(linktest.ServerAddr), shared); err != nil || got.float("loss") != 0 {
					t.Errorf("afterwards: %v, %v", got, err)
				}
			})
		})
	}
}

// arrived waits until so many packets have come back over the link.
func arrived(t *testing.T, link *linktest.Link, n int64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if _, down := link.Traffic(); down.Packets >= n {
			return
		}
	}
	t.Fatalf("%d packets never came back", n)
}

// aLine is a line that nobody reads.
func aLine(t *testing.T, shared *pinger) *line {
	t.Helper()
	s, err := shared.open(4, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return &line{socket: s, random: shared.random, shots: map[uint16]*shot{}}
}

// What has come is read at the end, even if the reader had no time for it, and
// has the kernel's time.
func TestE2EKernelTime(t *testing.T) {
	eachSocket(t, func(t *testing.T, raw bool) {
		link := linktest.New(t, linktest.Options{})
		l := aLine(t, inside(t, link, raw))
		s := l.shoot(&round{done: make(chan struct{}, 1)}, netip.MustParseAddr(linktest.ServerAddr), 56)
		for deadline := time.Now().Add(20 * time.Second); s.got.IsZero() && time.Now().Before(deadline); {
			l.flush(l.take)
		}
		if s.got.IsZero() || s.at.Before(s.sent.Round(0)) || s.at.After(s.got.Round(0)) {
			t.Errorf("sent at %v, had at %v, read at %v", s.sent, s.at, s.got)
		}
		late := l.shoot(s.round, s.to, 56)
		arrived(t, link, 2)
		if l.gather([]*shot{s, late}); late.got.IsZero() || len(l.shots) > 0 {
			t.Errorf("an answer that had come is not seen: %+v", late)
		}
	})
}

// An error that the kernel has for one packet does not keep the next from leaving.
func TestE2EPendingError(t *testing.T) {
	link := linktest.New(t, linktest.Options{})
	l := aLine(t, inside(t, link, false))
	sysctl(t, link.Server, "ipv4/ip_forward", "1")
	if err := link.Server.Do(func() error { return route([4]byte{192, 0, 2, 66}, unix.RTN_UNREACHABLE) }); err != nil {
		t.Fatal(err)
	}
	r := &round{done: make(chan struct{}, 1)}
	first := l.shoot(r, netip.MustParseAddr("192.0.2.66"), 56)
	arrived(t, link, 1)
	second := l.shoot(r, netip.MustParseAddr(linktest.ServerAddr), 56)
	if first.err != nil || second.err != nil {
		t.Errorf("not sent: %v, %v", first.err, second.err)
	}
	arrived(t, link, 2)
	if l.gather([]*shot{first, second}); first.fault == nil || second.got.IsZero() {
		t.Errorf("%+v, %+v", first, second)
	}
}

// route adds a route for one address, of a type that refuses.
func route(to [4]byte, typ byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := make([]byte, unix.NLMSG_HDRLEN, 64)
	b = append(b, unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, typ, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, 8)
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	b = append(b, to[:]...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_NEWROUTE)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_ACK)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 256)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < unix.NLMSG_HDRLEN+4 {
		return errors.Join(err, errors.New("no answer of the kernel"))
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// Without the right and without the setting the error names both mends, and
// nothing is measured.
func TestE2EForbidden(t *testing.T) {
	l := linktest.New(t, linktest.Options{})
	sysctl(t, l.Client, "ipv4/ping_group_range", "1 0")
	shared := newPinger(func(f family, id uint16) (s *socket, err error) {
		err = l.Client.Do(func() error {
			before, err := capabilities()
			if err != nil {
				return err
			}
			without := before
			without[0].Effective &^= 1 << unix.CAP_NET_RAW
			if err := setCapabilities(without); err != nil {
				return err
			}
			s, err = open(f, id)
			return errors.Join(err, setCapabilities(before))
		})
		return s, err
	}, new(steady).next)
	got, err := poll(t, options(linktest.ServerAddr), shared)
	wantError(t, err, probes.StatusInvalidConfigError, "net.ipv4.ping_group_range", "dropins/ping.conf", "CAP_NET_RAW")
	if len(got) > 0 {
		t.Errorf("%v", got)
	}
	if _, err := os.Stat("../../packaging/dropins/ping.conf"); err != nil {
		t.Error(err)
	}
}

// The capabilities of this thread, which is locked.
func capabilities() (data [2]unix.CapUserData, err error) {
	return data, unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
}

func setCapabilities(data [2]unix.CapUserData) error {
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
}

// Targets share one socket, which is closed when nobody needs it.
func TestE2EOneSocket(t *testing.T) {
	l := linktest.New(t, linktest.Options{Up: linktest.Path{Delay: 20 * time.Millisecond}})
	shared := inside(t, l, false)
	opened := 0
	openInside := shared.open
	shared.open = func(f family, id uint16) (*socket, error) {
		opened++ // under the lock of the pinger
		return openInside(f, id)
	}
	o := options(linktest.ServerAddr, "192.0.2.66", "127.0.0.1", "127.0.0.2")
	o.Timeout = ms(3000)
	tasks := tasksOf(t, o, shared)
	keep, err := shared.join(4) // as a poll that goes on for the whole time
	if err != nil {
		t.Fatal(err)
	}
	lost := map[string]float64{}
	type outcome struct {
		target string
		got    values
	}
	results := make(chan outcome)
	sysctl(t, l.Server, "ipv4/ip_forward", "1")
	sysctl(t, l.Server, "ipv4/icmp_ratelimit", "0")
	if err := l.Server.Do(func() error { return route([4]byte{192, 0, 2, 66}, unix.RTN_UNREACHABLE) }); err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		go func() {
			b, _ := task.Probe.Poll(t.Context())
			results <- outcome{task.Device, valuesOf(b)}
		}()
	}
	for range tasks {
		r := <-results
		lost[r.target] = r.got.float("loss")
	}
	if opened != 1 {
		t.Errorf("%d sockets were opened", opened)
	}
	if lost[linktest.ServerAddr] != 0 || lost["127.0.0.1"] != 0 || lost["127.0.0.2"] != 0 || lost["192.0.2.66"] != 100 {
		t.Errorf("lost %v", lost)
	}
	shared.leave(keep)
	if len(shared.lines) > 0 {
		t.Error("a socket is open although nobody uses it")
	}
	if err := keep.close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}
