package ping

import (
	"encoding/binary"
	"fmt"
)

// family is 4 or 6, the version of IP.
type family uint8

const (
	headerSize = 8 // of an ICMP message
	tokenSize  = 8
	ipv4Header = 20 // without options
	ipv6Header = 40
	protoICMP  = 1
	protoICMP6 = 58
)

// The types of messages.
const (
	echoReply4   = 0
	unreachable4 = 3
	echoRequest4 = 8
	exceeded4    = 11
	parameter4   = 12

	unreachable6 = 1
	tooBig6      = 2
	exceeded6    = 3
	parameter6   = 4
	echoRequest6 = 128
	echoReply6   = 129
)

func (f family) request() byte {
	if f == 4 {
		return echoRequest4
	}
	return echoRequest6
}

func (f family) reply() byte {
	if f == 4 {
		return echoReply4
	}
	return echoReply6
}

// echo is what tells one packet from all others. The kernel puts an id of its own
// into those of its ICMP sockets.
type echo struct {
	id, seq uint16
	token   uint64
	short   bool // it was quoted without the token
}

// appendEcho appends a request whose payload has size bytes, at least tokenSize.
// The checksum of IPv6 is the kernel's.
func appendEcho(dst []byte, f family, e echo, size int) []byte {
	start := len(dst)
	dst = append(dst, f.request(), 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, e.id)
	dst = binary.BigEndian.AppendUint16(dst, e.seq)
	dst = binary.BigEndian.AppendUint64(dst, e.token)
	for i := tokenSize; i < size; i++ {
		dst = append(dst, byte(i))
	}
	if f == 4 {
		binary.BigEndian.PutUint16(dst[start+2:], ^sum(dst[start:]))
	}
	return dst
}

// sum is the internet checksum (RFC 1071), not inverted. Over a message with its
// checksum in place it is 0xffff.
func sum(b []byte) uint16 {
	var total uint32
	for ; len(b) > 1; b = b[2:] {
		total += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint32(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// parseReply reads an echo reply.
func parseReply(f family, b []byte) (e echo, ok bool) {
	if len(b) < headerSize+tokenSize || b[0] != f.reply() || b[1] != 0 {
		return echo{}, false
	}
	return fields(b), true
}

func fields(b []byte) echo {
	e := echo{id: binary.BigEndian.Uint16(b[4:]), seq: binary.BigEndian.Uint16(b[6:])}
	if len(b) < headerSize+tokenSize {
		e.short = true
		return e
	}
	e.token = binary.BigEndian.Uint64(b[headerSize:])
	return e
}

// parseQuoted reads a request that somebody sends back in an error, maybe cut
// after its header.
func parseQuoted(f family, b []byte) (e echo, ok bool) {
	if len(b) < headerSize || b[0] != f.request() || b[1] != 0 {
		return echo{}, false
	}
	return fields(b), true
}

// fault is what an ICMP error says.
type fault struct {
	family    family
	typ, code byte
}

// parseFault reads an ICMP error with the request that it quotes.
func parseFault(f family, b []byte) (said fault, e echo, ok bool) {
	if len(b) < headerSize || !f.isFault(b[0]) {
		return fault{}, echo{}, false
	}
	quoted, ok := skipHeader(f, b[headerSize:])
	if !ok {
		return fault{}, echo{}, false
	}
	e, ok = parseQuoted(f, quoted)
	return fault{f, b[0], b[1]}, e, ok
}

func (f family) isFault(typ byte) bool {
	if f == 4 {
		return typ == unreachable4 || typ == exceeded4 || typ == parameter4
	}
	return typ >= unreachable6 && typ <= parameter6
}

// skipHeader takes the IP header off a quoted packet of ICMP that is no later
// fragment.
func skipHeader(f family, b []byte) ([]byte, bool) {
	if f == 6 {
		if len(b) < ipv6Header || b[0]>>4 != 6 || b[6] != protoICMP6 {
			return nil, false
		}
		return b[ipv6Header:], true
	}
	if len(b) < ipv4Header || b[0]>>4 != 4 || b[9] != protoICMP || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil, false
	}
	size := int(b[0]&0xf) * 4
	if size < ipv4Header || size > len(b) {
		return nil, false
	}
	return b[size:], true
}

var unreachable4Words = map[byte]string{
	0: "the network is unreachable", 1: "the host is unreachable", 2: "the host does not know ICMP", 3: "the port is unreachable",
	4: "the packet is too big and must not be fragmented", 5: "the source route failed", 6: "the network is unknown", 7: "the host is unknown",
	8: "this machine is isolated", 9: "the network is administratively prohibited", 10: "the host is administratively prohibited",
	11: "the network is unreachable with this TOS", 12: "the host is unreachable with this TOS", 13: "this is administratively prohibited",
}

var unreachable6Words = map[byte]string{
	0: "there is no route", 1: "this is administratively prohibited", 2: "the address is beyond the scope of this machine's", 3: "the host is unreachable",
	4: "the port is unreachable", 5: "the source address is against the policy", 6: "the route is rejected",
}

// String says in words what the error means.
func (f fault) String() string {
	words := ""
	switch {
	case f.family == 4 && f.typ == unreachable4:
		words = unreachable4Words[f.code]
	case f.family == 6 && f.typ == unreachable6:
		words = unreachable6Words[f.code]
	case f.family == 6 && f.typ == tooBig6:
		words = "the packet is too big"
	case f.family == 4 && f.typ == exceeded4, f.family == 6 && f.typ == exceeded6:
		words = "the packet went over too many hops (TTL exceeded), which is mostly a loop"
		if f.code == 1 {
			words = "a fragment of the packet was missing"
		}
	case f.family == 4 && f.typ == parameter4, f.family == 6 && f.typ == parameter6:
		words = "the header of the packet is wrong"
	}
	if words == "" {
		return fmt.Sprintf("an ICMP error of type %d, code %d", f.typ, f.code)
	}
	return words
}
