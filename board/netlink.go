package board

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The parts of rtnetlink(7) that tell of links, addresses and default routes.
// Numbers are in the machine's own byte order; everything is aligned to four
// bytes.

const (
	messageHeader   = 16 // nlmsghdr
	attributeHeader = 4  // rtattr
	linkHeader      = 16 // ifinfomsg
	addressHeader   = 8  // ifaddrmsg
	routeHeader     = 12 // rtmsg
)

var errCutShort = errors.New("netlink message is cut short")

type netlinkMessage struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

func align4(n int) int { return (n + 3) &^ 3 }

// nextMessage takes the first message off data.
func nextMessage(data []byte) (m netlinkMessage, rest []byte, err error) {
	if len(data) < messageHeader {
		return m, nil, errCutShort
	}
	size := int64(binary.NativeEndian.Uint32(data))
	if size < messageHeader || size > int64(len(data)) {
		return m, nil, fmt.Errorf("%w: %d bytes said, %d there", errCutShort, size, len(data))
	}
	m = netlinkMessage{
		kind:  binary.NativeEndian.Uint16(data[4:]),
		flags: binary.NativeEndian.Uint16(data[6:]),
		seq:   binary.NativeEndian.Uint32(data[8:]),
		body:  data[messageHeader:size],
	}
	return m, data[min(align4(int(size)), len(data)):], nil
}

// eachMessage calls fn for every message of a datagram until one fails.
func eachMessage(data []byte, fn func(netlinkMessage) error) error {
	for len(data) > 0 {
		m, rest, err := nextMessage(data)
		if err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// eachAttribute calls fn for every attribute. The flags in the upper bits of a
// kind (nested, network byte order) are taken off.
func eachAttribute(data []byte, fn func(kind uint16, value []byte)) error {
	for len(data) > 0 {
		if len(data) < attributeHeader {
			return errCutShort
		}
		size := int(binary.NativeEndian.Uint16(data))
		if size < attributeHeader || size > len(data) {
			return fmt.Errorf("%w: attribute of %d bytes in %d", errCutShort, size, len(data))
		}
		fn(binary.NativeEndian.Uint16(data[2:])&0x3fff, data[attributeHeader:size])
		data = data[min(align4(size), len(data)):]
	}
	return nil
}

// link is what matters of an interface.
type link struct {
	name     string
	carrier  bool // up, and there is something at the other end
	loopback bool
	port     bool // of a bridge or a bond, which speaks for it
	bridge   bool
}

func parseLink(body []byte) (index int32, l link, err error) {
	if len(body) < linkHeader {
		return 0, l, errCutShort
	}
	const running = unix.IFF_UP | unix.IFF_RUNNING
	flags := binary.NativeEndian.Uint32(body[8:])
	l.carrier = flags&running == running
	l.loopback = flags&unix.IFF_LOOPBACK != 0
	index = int32(binary.NativeEndian.Uint32(body[4:]))
	master, slaveKind := false, ""
	err = eachAttribute(body[linkHeader:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(value)
		case unix.IFLA_MASTER:
			master = true
		case unix.IFLA_LINKINFO:
			var own string
			own, slaveKind = parseLinkInfo(value)
			l.bridge = own == "bridge"
		}
	})
	l.port = master && slaveKind != "vrf" // an interface in a VRF keeps its own addresses
	return index, l, err
}

// parseLinkInfo takes what it can read: a kind that is not known changes little.
func parseLinkInfo(data []byte) (own, slave string) {
	_ = eachAttribute(data, func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			own = unix.ByteSliceToString(value)
		case unix.IFLA_INFO_SLAVE_KIND:
			slave = unix.ByteSliceToString(value)
		}
	})
	return own, slave
}

// address is one address of an interface.
type address struct {
	index  int32
	prefix netip.Prefix
}

// parseAddress gives ok false for an address that cannot be used beyond the
// link, or not yet: IPv6 first asks whether another has it.
func parseAddress(body []byte) (a address, ok bool, err error) {
	if len(body) < addressHeader {
		return a, false, errCutShort
	}
	a.index = int32(binary.NativeEndian.Uint32(body[4:]))
	flags, scope := uint32(body[2]), body[3]
	var local, remote netip.Addr
	err = eachAttribute(body[addressHeader:], func(kind uint16, value []byte) {
		switch {
		case kind == unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_ADDRESS:
			remote, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_FLAGS && len(value) == 4:
			flags = binary.NativeEndian.Uint32(value)
		}
	})
	if !local.IsValid() { // point to point, both are there; else IPv6 has the second alone
		local = remote
	}
	a.prefix = netip.PrefixFrom(local, int(body[1]))
	usable := flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 || flags&unix.IFA_F_OPTIMISTIC != 0
	return a, err == nil && usable && a.prefix.IsValid() && scope < unix.RT_SCOPE_LINK, err
}

// route is a default route, or one of the two halves that some tunnels use.
type route struct {
	family  uint8
	bits    uint8 // 0, or 1 for a half
	index   int32 // 0: over several interfaces
	table   uint32
	metric  uint32
	gateway netip.Addr // not valid: none
}

// parseRoute gives ok false for every other route.
func parseRoute(body []byte) (r route, ok bool, err error) {
	if len(body) < routeHeader {
		return r, false, errCutShort
	}
	r = route{family: body[0], bits: body[1], table: uint32(body[4])}
	err = eachAttribute(body[routeHeader:], func(kind uint16, value []byte) {
		switch {
		case kind == unix.RTA_GATEWAY:
			r.gateway, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_VIA && len(value) > 2: // family, then an address of the other kind
			r.gateway, _ = netip.AddrFromSlice(value[2:])
		case len(value) != 4:
		case kind == unix.RTA_OIF:
			r.index = int32(binary.NativeEndian.Uint32(value))
		case kind == unix.RTA_PRIORITY:
			r.metric = binary.NativeEndian.Uint32(value)
		case kind == unix.RTA_TABLE:
			r.table = binary.NativeEndian.Uint32(value)
		}
	})
	cloned := binary.NativeEndian.Uint32(body[8:])&unix.RTM_F_CLONED != 0
	ok = err == nil && r.bits <= 1 && body[7] == unix.RTN_UNICAST && !cloned && r.table != unix.RT_TABLE_LOCAL
	return r, ok, err
}
