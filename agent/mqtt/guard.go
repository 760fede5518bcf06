package mqtt

import "fmt"

// The packets of MQTT 3.1.1 that matter here, as the upper half of their first
// byte.
const (
	packetConnack   = 0x20
	packetPublish   = 0x30
	packetPuback    = 0x40
	packetSubscribe = 0x80
	packetSuback    = 0x90
	packetPingresp  = 0xd0
)

// guard follows the stream of packets from a broker and stops at what the
// library is not up to: a packet of any size it makes room for, a SUBACK that
// answers more than was asked makes it panic, and a code that it does not know
// counts for a connection.
type guard struct {
	most int // bytes of a packet after its length

	begun  bool // the first packet was seen
	first  byte // of the packet
	length int
	shift  int  // of the next byte of length
	at     part // what comes next
	body   int  // bytes of the body that were seen
}

// part is where in a packet the stream is.
type part uint8

const (
	atType part = iota
	atLength
	atBody
)

// check takes the next bytes of the stream.
func (g *guard) check(b []byte) error {
	for len(b) > 0 {
		switch g.at {
		case atType:
			g.first, g.length, g.shift, g.body, g.at = b[0], 0, 0, 0, atLength
			b = b[1:]
		case atLength:
			if err := g.lengthByte(b[0]); err != nil {
				return err
			}
			b = b[1:]
		case atBody:
			n := min(g.length-g.body, len(b))
			if err := g.bodyBytes(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return nil
}

func (g *guard) lengthByte(b byte) error {
	g.length |= int(b&0x7f) << g.shift
	g.shift += 7
	if b&0x80 != 0 {
		if g.shift > 21 {
			return g.foreign()
		}
		return nil
	}
	g.at = atBody
	if g.length == 0 {
		g.at = atType
	}
	return g.head()
}

// head judges the packet by its first byte and its length.
func (g *guard) head() error {
	begun := g.begun
	g.begun = true
	want := -1 // any length
	switch {
	case !begun:
		if g.first != packetConnack || g.length != 2 {
			g.begun = false
			return g.foreign()
		}
		return nil
	case g.first&0xf0 == packetPublish && g.first&0x06 <= 0x02: // QoS 0 or 1, as subscribed
	case g.first == packetPuback:
		want = 2
	case g.first == packetSuback:
		want = 3 // a packet identifier, and a code for the one filter that was asked for
	case g.first == packetPingresp:
		want = 0
	default:
		return g.foreign()
	}
	if want >= 0 && g.length != want {
		return g.foreign()
	}
	if g.length > g.most {
		return fmt.Errorf("the broker sends a message of %d bytes, more than %d: %w", g.length, g.most, ErrTooLarge)
	}
	return nil
}

func (g *guard) bodyBytes(b []byte) error {
	if g.first == packetConnack && g.body+len(b) == 2 {
		if code := b[len(b)-1]; code != 0 {
			return refusal(code)
		}
	}
	g.body += len(b)
	if g.body == g.length {
		g.at = atType
	}
	return nil
}

// foreignError is a packet that a broker does not send.
type foreignError struct {
	first   byte
	length  int
	greeted bool // after a proper greeting
}

func (e *foreignError) Error() string {
	if !e.greeted {
		return "the answer is not MQTT"
	}
	return fmt.Sprintf("the broker sent a packet that has no place here (0x%02x, %d bytes)", e.first, e.length)
}

func (g *guard) foreign() error { return &foreignError{g.first, g.length, g.begun} }
