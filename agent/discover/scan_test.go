package discover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// site serves devices on addresses of one loopback network, all on one port.
func site(t *testing.T, devices map[string]snmptest.Options) (port uint16, at map[string]*snmptest.Responder) {
	t.Helper()
	at = map[string]*snmptest.Responder{}
	for addr, o := range devices {
		o.Addr = fmt.Sprintf("%s:%d", addr, port)
		r, err := snmptest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		port = netip.MustParseAddrPort(r.Addr()).Port()
		at[addr] = r
	}
	return port, at
}

func community(text string) probes.Credential {
	return probes.Credential{Name: "of-" + text, Version: probes.SNMPv2c, Community: probes.NewSecret(text)}
}

func answersTo(mib *snmptest.MIB, text string) snmptest.Options {
	return snmptest.Options{Communities: map[string]*snmptest.MIB{text: mib}}
}

func TestScan(t *testing.T) {
	t.Parallel()
	two := snmptest.NewSwitch("two-legs", 4, 2, nil)
	port, at := site(t, map[string]snmptest.Options{
		"127.77.1.1":   answersTo(snmptest.NewSwitch("first", 4, 1, nil), "red"),
		"127.77.1.2":   answersTo(two, "blue"),
		"127.77.1.200": answersTo(two, "blue"),
		"127.77.1.7":   answersTo(snmptest.NewUPS("ups", 3, nil), "blue"),
		"127.77.1.9":   answersTo(snmptest.NewSwitch("stranger", 4, 4, nil), "green"),
		"127.77.1.255": answersTo(snmptest.NewSwitch("broadcast", 4, 5, nil), "red"),
	})
	var mu sync.Mutex
	var done, of uint64
	found, err := Scan(t.Context(), Options{
		Networks:    []netip.Prefix{netip.MustParsePrefix("127.77.1.0/24"), netip.MustParsePrefix("127.77.1.7/32")},
		Credentials: []probes.Credential{community("red"), community("blue")},
		PerSecond:   2000, Port: port, Timeout: 500 * time.Millisecond,
		Profile: func(objectID, _ string) string { return "for-" + objectID[strings.LastIndexByte(objectID, '.')+1:] },
		Progress: func(d, o uint64, _ int) {
			mu.Lock()
			defer mu.Unlock()
			done, of = max(done, d), o
		},
	})
	if err != nil || done != 254 || of != 255 {
		t.Errorf("%d of %d addresses, %v", done, of, err)
	}
	var got []string
	for _, d := range found {
		got = append(got, fmt.Sprintf("%s %s %s", strings.Join(d.Addresses, "+"), d.Name, d.Credential))
		if d.ChassisMAC == "" && d.Name != "ups" || !strings.HasPrefix(d.Profile, "for-") || d.Description == "" || d.Target() != fmt.Sprintf("%s:%d", d.Addresses[0], port) {
			t.Errorf("%+v", d)
		}
	}
	want := []string{"127.77.1.1 first of-red", "127.77.1.2+127.77.1.200 two-legs of-blue", "127.77.1.7 ups of-blue"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if n := at["127.77.1.255"].Requests(); n.Get+n.GetBulk != 0 {
		t.Error("the broadcast address was asked")
	}
	if n := at["127.77.1.9"].Requests(); n.Unknown != 2 {
		t.Errorf("the stranger was asked %d times, want once with each credential", n.Unknown)
	}
}

// A scan that is stopped gives what it has.
func TestScanStopped(t *testing.T) {
	t.Parallel()
	port, _ := site(t, map[string]snmptest.Options{"127.77.2.1": answersTo(snmptest.NewSwitch("first", 4, 1, nil), "red")})
	ctx, cancel := context.WithCancel(t.Context())
	found, err := Scan(ctx, Options{
		Networks: []netip.Prefix{netip.MustParsePrefix("127.77.2.0/24")}, Credentials: []probes.Credential{community("red")},
		PerSecond: 200, Port: port, Timeout: time.Second,
		Progress: func(_, _ uint64, devices int) {
			if devices == 1 {
				cancel()
			}
		},
	})
	if err == nil || len(found) != 1 || found[0].Name != "first" {
		t.Errorf("%+v %v", found, err)
	}
}

// Packets keep to their pace, however many ask at once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(50)
		start := time.Now()
		var all sync.WaitGroup
		for range 25 {
			all.Go(func() {
				for range 4 {
					_ = p.wait(t.Context(), 1)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 99*20*time.Millisecond {
			t.Errorf("100 packets at 50 a second took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if p.wait(ctx, 1) == nil {
			t.Error("waited for nothing")
		}
	})
}

func TestNetworks(t *testing.T) {
	for _, tt := range []struct {
		text  string
		size  uint64
		first string
		last  string
	}{
		{"192.0.2.0/24", 254, "192.0.2.1", "192.0.2.254"},
		{"192.0.2.77/30", 2, "192.0.2.77", "192.0.2.78"},
		{"192.0.2.77/31", 2, "192.0.2.76", "192.0.2.77"},
		{"192.0.2.77", 1, "192.0.2.77", "192.0.2.77"},
		{"255.255.255.252/30", 2, "255.255.255.253", "255.255.255.254"},
		{"2001:db8::/126", 3, "2001:db8::1", "2001:db8::3"},
		{"2001:db8::5", 1, "2001:db8::5", "2001:db8::5"},
		{"10.0.0.0/16", 65534, "10.0.0.1", "10.0.255.254"},
	} {
		p, err := ParseNetwork(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Collect(addresses([]netip.Prefix{p}))
		if Size([]netip.Prefix{p}) != tt.size || uint64(len(all)) != tt.size || all[0].String() != tt.first || all[len(all)-1].String() != tt.last {
			t.Errorf("%s: size %d, %d addresses from %v to %v", tt.text, Size([]netip.Prefix{p}), len(all), all[0], all[len(all)-1])
		}
	}
	for _, bad := range []string{"", "ten", "192.0.2.0/33", "192.0.2.1/", "fe80::1%eth0"} {
		if p, err := ParseNetwork(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, p)
		}
	}
	if n := Size([]netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("::/0")}); n != 1<<62 {
		t.Errorf("all of IPv6 twice: %d", n)
	}
}

func TestMerge(t *testing.T) {
	device := func(addr, engine, serial, mac, name string) Device {
		return Device{Addresses: []string{addr}, ObjectID: "1.3.6.1.4.1.9.1.1", EngineID: engine, Serial: serial, ChassisMAC: mac, Name: name}
	}
	for _, tt := range []struct {
		name string
		a, b Device
		same bool
	}{
		{"one engine", device("10.0.0.1", "e1", "", "", "a"), device("10.0.0.2", "e1", "", "", "b"), true},
		{"one serial", device("10.0.0.1", "", "S1", "", ""), device("10.0.0.2", "", "S1", "", ""), true},
		{"one chassis", device("10.0.0.1", "", "", "m1", ""), device("10.0.0.2", "", "", "m1", ""), true},
		{"one name", device("10.0.0.1", "", "", "", "a"), device("10.0.0.2", "", "", "", "a"), true},
		{"an engine id that many devices come with", device("10.0.0.1", "e1", "S1", "", "a"), device("10.0.0.2", "e1", "S2", "", "b"), false},
		{"one name, two serials", device("10.0.0.1", "", "S1", "", "a"), device("10.0.0.2", "", "S2", "", "a"), false},
		{"nothing is known", device("10.0.0.1", "", "", "", ""), device("10.0.0.2", "", "", "", ""), false},
	} {
		got := Merge([]Device{tt.b, tt.a})
		if (len(got) == 1) != tt.same || got[0].Addresses[0] != "10.0.0.1" {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
