package board

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attr builds one attribute, padded.
func attr(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(attributeHeader+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// message builds one message, padded.
func message(m netlinkMessage) []byte {
	b := u32(uint32(messageHeader + len(m.body)))
	b = binary.NativeEndian.AppendUint16(b, m.kind)
	b = binary.NativeEndian.AppendUint16(b, m.flags)
	b = append(append(b, u32(m.seq)...), 0, 0, 0, 0)
	b = append(b, m.body...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

// linkBody builds what parseLink reads.
func linkBody(index int32, l link) []byte {
	flags := uint32(unix.IFF_UP)
	if l.carrier {
		flags |= unix.IFF_RUNNING
	}
	if l.loopback {
		flags |= unix.IFF_LOOPBACK
	}
	b := make([]byte, linkHeader)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	b = append(b, attr(unix.IFLA_IFNAME, append([]byte(l.name), 0))...)
	if l.port {
		b = append(b, attr(unix.IFLA_MASTER, u32(7))...)
	}
	if l.bridge {
		b = append(b, attr(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, attr(unix.IFLA_INFO_KIND, []byte("bridge\x00")))...)
	}
	return b
}

func addressBody(a address, flags uint32, scope uint8) []byte {
	addr := a.prefix.Addr()
	family := uint8(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	b := append([]byte{family, uint8(a.prefix.Bits()), uint8(flags), scope}, u32(uint32(a.index))...)
	if addr.Is4() {
		b = append(b, attr(unix.IFA_LOCAL, addr.AsSlice())...)
	}
	return append(append(b, attr(unix.IFA_ADDRESS, addr.AsSlice())...), attr(unix.IFA_FLAGS, u32(flags))...)
}

func routeBody(r route) []byte {
	b := make([]byte, routeHeader)
	b[0], b[1], b[7] = r.family, r.bits, unix.RTN_UNICAST
	b = append(b, attr(unix.RTA_TABLE, u32(r.table))...)
	if r.index != 0 {
		b = append(b, attr(unix.RTA_OIF, u32(uint32(r.index)))...)
	}
	if r.metric != 0 {
		b = append(b, attr(unix.RTA_PRIORITY, u32(r.metric))...)
	}
	if r.gateway.IsValid() {
		b = append(b, attr(unix.RTA_GATEWAY, r.gateway.AsSlice())...)
	}
	return b
}

func parseAll(data []byte) (messages []netlinkMessage, err error) {
	err = eachMessage(data, func(m netlinkMessage) error {
		messages = append(messages, m)
		return nil
	})
	return messages, err
}

func TestNetlinkGoesRound(t *testing.T) {
	for _, l := range []link{
		{name: "eth0", carrier: true},
		{name: "lo", carrier: true, loopback: true},
		{name: "br-lan", bridge: true},
		{name: "veth123456789ab", carrier: true, port: true},
		{},
	} {
		if index, got, err := parseLink(linkBody(3, l)); err != nil || index != 3 || got != l {
			t.Errorf("%+v came back as %d %+v, %v", l, index, got, err)
		}
	}
	for _, p := range []string{"192.0.2.7/24", "2001:db8::1/64"} {
		a := address{index: 9, prefix: netip.MustParsePrefix(p)}
		if got, ok, err := parseAddress(addressBody(a, 0, 0)); err != nil || !ok || got != a {
			t.Errorf("%s came back as %+v, %t, %v", p, got, ok, err)
		}
	}
	for _, r := range []route{
		{family: unix.AF_INET, index: 2, table: unix.RT_TABLE_MAIN, metric: 100, gateway: netip.MustParseAddr("192.0.2.1")},
		{family: unix.AF_INET6, index: 2, table: 1000, gateway: netip.MustParseAddr("fe80::1")},
		{family: unix.AF_INET, bits: 1, index: 5, table: unix.RT_TABLE_MAIN},
		{family: unix.AF_INET, table: unix.RT_TABLE_MAIN},
	} {
		if got, ok, err := parseRoute(routeBody(r)); err != nil || !ok || got != r {
			t.Errorf("%+v came back as %+v, %t, %v", r, got, ok, err)
		}
	}
}

func TestNetlinkPassesOver(t *testing.T) {
	a := address{index: 2, prefix: netip.MustParsePrefix("2001:db8::1/64")}
	for name, body := range map[string][]byte{
		"tentative":  addressBody(a, unix.IFA_F_TENTATIVE, 0),
		"duplicate":  addressBody(a, unix.IFA_F_DADFAILED|unix.IFA_F_TENTATIVE, 0),
		"link-local": addressBody(a, 0, unix.RT_SCOPE_LINK),
		"host":       addressBody(a, 0, unix.RT_SCOPE_HOST),
		"no address": {unix.AF_INET, 24, 0, 0, 2, 0, 0, 0},
	} {
		if got, ok, err := parseAddress(body); ok || err != nil {
			t.Errorf("%s: taken as %+v, %v", name, got, err)
		}
	}
	if _, ok, err := parseAddress(addressBody(a, unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC, 0)); !ok || err != nil {
		t.Errorf("an optimistic address is usable: %t, %v", ok, err)
	}
	network := routeBody(route{family: unix.AF_INET, bits: 24, table: unix.RT_TABLE_MAIN})
	unreachable := routeBody(route{family: unix.AF_INET6, table: unix.RT_TABLE_MAIN})
	unreachable[7] = unix.RTN_UNREACHABLE
	local := routeBody(route{family: unix.AF_INET, table: unix.RT_TABLE_LOCAL})
	for name, body := range map[string][]byte{"network": network, "unreachable": unreachable, "local": local} {
		if got, ok, err := parseRoute(body); ok || err != nil {
			t.Errorf("%s: taken as %+v, %v", name, got, err)
		}
	}
}

func TestNetlinkCutShort(t *testing.T) {
	whole := slices.Concat(message(netlinkMessage{kind: unix.RTM_NEWLINK, body: linkBody(1, link{name: "eth0"})}),
		message(netlinkMessage{kind: unix.NLMSG_DONE}))
	for n := range whole {
		got, err := parseAll(whole[:n:n])
		full := n == 0 || n == len(whole)-messageHeader
		if full != (err == nil) || err != nil && !errors.Is(err, errCutShort) {
			t.Fatalf("%d of %d bytes: %d messages, %v", n, len(whole), len(got), err)
		}
	}
	for _, parse := range []func([]byte) error{
		func(b []byte) error { _, _, err := parseLink(b); return err },
		func(b []byte) error { _, _, err := parseAddress(b); return err },
		func(b []byte) error { _, _, err := parseRoute(b); return err },
	} {
		if err := parse(make([]byte, 7)); !errors.Is(err, errCutShort) {
			t.Errorf("a short body gave %v", err)
		}
		if err := parse(append(make([]byte, linkHeader), 99, 0, 1, 0)); !errors.Is(err, errCutShort) {
			t.Errorf("a long attribute gave %v", err)
		}
	}
}

// FuzzNetlink: what can be parsed is the same after it was built again, and the
// attributes of every body lie within it, one after the other.
func FuzzNetlink(f *testing.F) {
	f.Add(message(netlinkMessage{kind: unix.RTM_NEWLINK, seq: 4, body: linkBody(1, link{name: "eth0", carrier: true, bridge: true})}))
	f.Add(message(netlinkMessage{kind: unix.RTM_NEWADDR, body: addressBody(address{2, netip.MustParsePrefix("192.0.2.7/24")}, 0, 0)}))
	f.Add(message(netlinkMessage{kind: unix.RTM_NEWROUTE, body: routeBody(route{family: unix.AF_INET, index: 2, table: unix.RT_TABLE_MAIN})}))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clip(data)
		state := newNetwork()
		messages, err := parseAll(data)
		var built []byte
		for _, m := range messages {
			built = append(built, message(m)...)
			_ = state.add(m)
			checkBody(t, m)
		}
		again, againErr := parseAll(built)
		if againErr != nil || len(again) != len(messages) {
			t.Fatalf("%d messages (%v) became %d, %v", len(messages), err, len(again), againErr)
		}
		for i, m := range messages {
			if a := again[i]; a.kind != m.kind || a.flags != m.flags || a.seq != m.seq || !bytes.Equal(a.body, m.body) {
				t.Fatalf("message %d: %+v became %+v", i, m, a)
			}
			if state.matters(m) && m.kind == unix.RTM_NEWROUTE && state.add(m) == nil {
				t.Fatalf("a route that is known matters: %+v", m)
			}
		}
	})
}

func checkBody(t *testing.T, m netlinkMessage) {
	t.Helper()
	var rebuilt []byte
	err := eachAttribute(m.body, func(kind uint16, value []byte) {
		rebuilt = append(rebuilt, attr(kind, value)...)
	})
	if err == nil && len(rebuilt) != align4(len(m.body)) {
		t.Fatalf("%d bytes of attributes became %d", len(m.body), len(rebuilt))
	}
	if a, ok, err := parseAddress(m.body); ok && err == nil {
		if b, ok, err := parseAddress(addressBody(a, 0, 0)); !ok || err != nil || a != b {
			t.Fatalf("%+v became %+v, %v", a, b, err)
		}
	}
	if r, ok, err := parseRoute(m.body); ok && err == nil {
		if s, ok, err := parseRoute(routeBody(r)); !ok || err != nil || r != s {
			t.Fatalf("%+v became %+v, %v", r, s, err)
		}
	}
	if i, l, err := parseLink(m.body); err == nil && !strings.Contains(l.name, "\x00") {
		if j, k, err := parseLink(linkBody(i, l)); err != nil || i != j || l != k {
			t.Fatalf("%+v became %+v, %v", l, k, err)
		}
	}
}

func TestWhatMatters(t *testing.T) {
	eth := link{name: "eth0", carrier: true}
	a := address{2, netip.MustParsePrefix("192.0.2.7/24")}
	r := route{family: unix.AF_INET, index: 2, table: unix.RT_TABLE_MAIN, gateway: netip.MustParseAddr("192.0.2.1")}
	state := newNetwork()
	state.links[2], state.addresses[a], state.routes[r] = eth, true, true
	down, other, moved := eth, a, r
	down.carrier = false
	other.prefix = netip.MustParsePrefix("192.0.2.8/24")
	moved.gateway = netip.MustParseAddr("192.0.2.254")
	bridge := linkBody(2, down)
	bridge[0] = unix.AF_BRIDGE
	for _, c := range []struct {
		name string
		kind uint16
		body []byte
		want bool
	}{
		{"link as it was: statistics, wireless noise", unix.RTM_NEWLINK, linkBody(2, eth), false},
		{"link down", unix.RTM_NEWLINK, linkBody(2, down), true},
		{"link new", unix.RTM_NEWLINK, linkBody(3, eth), true},
		{"link gone", unix.RTM_DELLINK, linkBody(2, eth), true},
		{"link unknown gone", unix.RTM_DELLINK, linkBody(3, eth), false},
		{"a bridge about its port", unix.RTM_NEWLINK, bridge, false},
		{"address again", unix.RTM_NEWADDR, addressBody(a, 0, 0), false},
		{"address new", unix.RTM_NEWADDR, addressBody(other, 0, 0), true},
		{"address not usable yet", unix.RTM_NEWADDR, addressBody(other, unix.IFA_F_TENTATIVE, 0), false},
		{"address gone", unix.RTM_DELADDR, addressBody(a, 0, 0), true},
		{"address unknown gone", unix.RTM_DELADDR, addressBody(other, 0, 0), false},
		{"route again", unix.RTM_NEWROUTE, routeBody(r), false},
		{"route new", unix.RTM_NEWROUTE, routeBody(moved), true},
		{"route gone", unix.RTM_DELROUTE, routeBody(r), true},
		{"route unknown gone", unix.RTM_DELROUTE, routeBody(moved), false},
		{"neighbour", unix.RTM_NEWNEIGH, make([]byte, 12), false},
		{"not readable", unix.RTM_NEWADDR, []byte{1}, true},
	} {
		if got := state.matters(netlinkMessage{kind: c.kind, body: c.body}); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func TestDiff(t *testing.T) {
	eth := link{name: "eth0", carrier: true}
	docker := link{name: "docker0", bridge: true}
	dockerUp := docker
	dockerUp.carrier = true
	lan := address{2, netip.MustParsePrefix("192.0.2.7/24")}
	inner := address{3, netip.MustParsePrefix("172.17.0.1/16")}
	way := route{family: unix.AF_INET, index: 2, table: unix.RT_TABLE_MAIN, gateway: netip.MustParseAddr("192.0.2.1")}
	bridged := way
	bridged.index = 3
	state := func(links map[int32]link, as []address, rs []route) *network {
		n := newNetwork()
		n.links = links
		for _, a := range as {
			n.addresses[a] = true
		}
		for _, r := range rs {
			n.routes[r] = true
		}
		return n
	}
	empty := state(map[int32]link{2: {name: "eth0"}}, nil, nil)
	full := state(map[int32]link{2: eth}, []address{lan}, []route{way})
	for _, c := range []struct {
		name     string
		from, to *network
		want     string
		opens    bool
	}{
		{"comes", empty, full, "eth0: carrier up, eth0: address added 192.0.2.7/24, eth0: default route added via 192.0.2.1", true},
		{"goes", full, empty, "eth0: carrier down, eth0: address removed 192.0.2.7/24, eth0: default route removed via 192.0.2.1", false},
		{"stays", full, full, "", false},
		{"vanishes", full, newNetwork(), "eth0: carrier down, eth0: address removed 192.0.2.7/24, eth0: default route removed via 192.0.2.1", false},
		{"a bridge of containers", state(map[int32]link{3: docker}, nil, nil), state(map[int32]link{3: dockerUp, 4: {name: "veth1", carrier: true, port: true}}, []address{inner}, nil), "", false},
		{
			"a bridge that leads out", state(map[int32]link{3: docker}, nil, nil), state(map[int32]link{3: dockerUp}, []address{inner}, []route{bridged}),
			"docker0: carrier up, docker0: address added 172.17.0.1/16, docker0: default route added via 192.0.2.1", true,
		},
		{"loopback", empty, state(map[int32]link{2: {name: "eth0"}, 1: {name: "lo", carrier: true, loopback: true}}, []address{{1, netip.MustParsePrefix("10.0.0.1/32")}}, nil), "", false},
	} {
		e := LinkEvent{diff(c.from, c.to)}
		if e.String() != c.want || e.Opens() != c.opens {
			t.Errorf("%s: %q opens %t, want %q opens %t", c.name, e, e.Opens(), c.want, c.opens)
		}
	}
}
