package snmp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/rs/zerolog"
)

func TestNamesAreLookedUpAgain(t *testing.T) {
	clock := newClock()
	var found []netip.Addr
	var fails error
	asked := 0
	k := newKit(probes.Deps{Clock: clock})
	k.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if asked++; host != "switch.example" {
			t.Errorf("looked up %q", host)
		}
		return append([]netip.Addr(nil), found...), fails
	}
	p := newPeer(k)
	d := plan.Device{Host: "switch.example", Port: 161}
	want := func(address string, lookups int) {
		t.Helper()
		got, err := p.address(t.Context(), d)
		if (err != nil) != (address == "") || err == nil && got.String() != address || asked != lookups {
			t.Errorf("%v, %v after %d look-ups, want %q after %d", got, err, asked, address, lookups)
		}
	}
	away := &net.DNSError{Err: "server misbehaving", Name: d.Host, IsTemporary: true}
	fails = away
	want("", 1)
	fails, found = nil, []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	want("192.0.2.1:161", 2)
	want("192.0.2.1:161", 2)
	p.route.silent(false) // it never answered: the other family
	want("[2001:db8::1]:161", 3)
	p.route.answered(netip.AddrPort{}, netip.AddrPort{})
	clock.advance(addressTTL)
	want("[2001:db8::1]:161", 4) // it is still among the addresses
	clock.advance(addressTTL)
	fails = away
	want("[2001:db8::1]:161", 5)
	want("[2001:db8::1]:161", 6) // the next poll asks again
	fails, found = nil, found[:1]
	want("192.0.2.1:161", 7)
	fails, found = nil, nil
	clock.advance(addressTTL)
	want("192.0.2.1:161", 8) // a name without any address is a fault of the DNS
	if _, err := newPeer(k).address(t.Context(), d); !errors.As(err, new(*net.DNSError)) {
		t.Errorf("a name without any address: %v", err)
	}
}

func TestAddressesKeepTheirZone(t *testing.T) {
	p := newPeer(newKit(probes.Deps{}))
	for host, want := range map[string]string{"fe80::1%eth0": "[fe80::1%eth0]:161", "::ffff:192.0.2.1": "192.0.2.1:161", "2001:db8::1": "[2001:db8::1]:161"} {
		d, err := ParseDevice(host)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.address(t.Context(), d); err != nil || got.String() != want {
			t.Errorf("%s is %v, %v, want %s", host, got, err, want)
		}
	}
}

func TestUnknownZone(t *testing.T) {
	task := Tasks(ifPlan(), []plan.Device{{Host: "fe80::1%none9", Credentials: []probes.Credential{{Name: "a"}}}}, TaskOptions{}, probes.Deps{Clock: newClock()})[0]
	_, err := task.Probe.Poll(t.Context())
	wantStatus(t, err, probes.StatusDeviceConnectionError, `has an interface "none9"`, "name the interface: fe80::1%eth0")
}

func TestLinkLocal(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil || !prefix.Addr().Is6() || !prefix.Addr().IsLinkLocalUnicast() {
				continue
			}
			host := prefix.Addr().WithZone(i.Name)
			r, err := snmptest.Start(snmptest.Options{
				Addr: netip.AddrPortFrom(host, 0).String(), Communities: map[string]*snmptest.MIB{"public": snmptest.NewSwitch("v6", 2, 1, nil)},
			})
			if err != nil {
				continue
			}
			defer r.Close()
			if _, err := open(t, deviceAt(t, r.Addr())).exchange(t.Context(), askUptime); err != nil {
				t.Errorf("%s: %v", r.Addr(), err)
			}
			return
		}
	}
	t.Skip("SKIPPED: no interface has a link-local address")
}

// A device that answers from elsewhere is heard at the second request, and from
// then on at the first; what does not fit the request is not heard from there
// either.
func TestAnswersFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"127.0.0.2:0", "127.0.0.1:0"} {
		agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": snmptest.NewSwitch("x", 2, 1, nil)}})
		if err != nil {
			t.Fatal(err)
		}
		defer agent.Close()
		var log bytes.Buffer
		dev := deviceAt(t, agent.Addr())
		dev.Timeout = quick
		d := newDevice(dev, newKit(probes.Deps{Log: zerolog.New(&log)}))
		reach := func() (probes.PollStats, error) {
			var stats probes.PollStats
			s, _, err := d.reach(t.Context(), &stats)
			if err == nil {
				s.close()
			}
			return stats, err
		}
		agent.SetFaults(snmptest.Faults{OtherSource: source, WrongCommunity: true})
		if stats, err := reach(); err == nil || stats.Requests != 2 || stats.Strays != 1 || stats.Elsewhere != 0 {
			t.Errorf("%s: another community: %v, %+v", source, err, stats)
		}
		d.peer.route.polls = 0 // as at the first contact
		agent.SetFaults(snmptest.Faults{OtherSource: source})
		for i, requests := range []int{2, 1, 1} {
			if stats, err := reach(); err != nil || stats.Requests != requests || stats.Elsewhere != 1 {
				t.Errorf("%s: poll %d: %v, %+v; want %d requests", source, i, err, stats, requests)
			}
		}
		if n := strings.Count(log.String(), "answers from another address"); n != 1 {
			t.Errorf("%s: said %d times, want once: %s", source, n, log.String())
		}
	}
}

// With several credentials, each tried once, the way is found in a later poll.
func TestElsewhereWithSeveralCredentials(t *testing.T) {
	t.Parallel()
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": snmptest.NewSwitch("x", 2, 1, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	agent.SetFaults(snmptest.Faults{OtherSource: "127.0.0.2:0"})
	dev := deviceAt(t, agent.Addr())
	dev.Timeout = quick
	dev.Credentials = append(dev.Credentials, credentialOf("other", false))
	d := newDevice(dev, newKit(probes.Deps{}))
	var stats probes.PollStats
	for range 2 {
		s, _, err := d.reach(t.Context(), &stats)
		if err == nil {
			s.close()
			return
		}
	}
	t.Errorf("not found: %+v", stats)
}

// A late answer to the first try is heard although the socket was changed.
func TestLateAnswerAtFirstContact(t *testing.T) {
	t.Parallel()
	first := make(chan []byte, 1)
	d := rawAgent(t, func(in []byte) [][]byte {
		m := answerTo(in)
		select {
		case first <- m.Append(nil):
			return nil
		default: // the second request, whose own answer gets lost
			return [][]byte{<-first}
		}
	})
	d.Timeout = quick
	s := open(t, d)
	if _, err := s.exchange(t.Context(), askUptime); err != nil || s.socket.connected {
		t.Errorf("%v, connected: %v", err, s.socket.connected)
	}
	if s.stats.Requests != 2 {
		t.Errorf("%d requests, want 2", s.stats.Requests)
	}
}

func TestCancelAfterLoosening(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	d := rawAgent(t, func([]byte) [][]byte { asked <- struct{}{}; return nil })
	d.Timeout = quick
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := dial(ctx, d, newPeer(newKit(probes.Deps{})), &probes.PollStats{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.use(d.Credentials[0]); err != nil {
		t.Fatal(err)
	}
	go func() { <-asked; <-asked; cancel() }()
	s.tries = 100
	start := time.Now()
	if _, err := s.exchange(ctx, askUptime); !errors.Is(err, context.Canceled) || s.stats.Requests > 4 {
		t.Errorf("%v after %v and %d requests, want cancelled", err, time.Since(start), s.stats.Requests)
	}
}
