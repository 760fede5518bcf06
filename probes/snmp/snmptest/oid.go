package snmptest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// OID is an object identifier, one element an arc. It has 2 to 128 arcs.
type OID []uint32

const maxArcs = 128 // RFC 2578, section 3.5

var (
	errOIDShort = errors.New("object identifier needs at least two arcs")
	errOIDLong  = errors.New("object identifier has more than 128 arcs")
	errOIDRoot  = errors.New("object identifier starts outside 0.0-0.39, 1.0-1.39 and 2")
	errOIDBody  = errors.New("object identifier is badly encoded")
)

// ParseOID reads dotted text such as "1.3.6.1.2.1.1.5.0"; one leading dot is
// allowed.
func ParseOID(text string) (OID, error) {
	parts := strings.Split(strings.TrimPrefix(text, "."), ".")
	oid := make(OID, 0, len(parts))
	for _, part := range parts {
		arc, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("parse object identifier %q: arc %q is no number from 0 to 4294967295", text, part)
		}
		oid = append(oid, uint32(arc))
	}
	if err := oid.check(); err != nil {
		return nil, fmt.Errorf("parse object identifier %q: %w", text, err)
	}
	return oid, nil
}

// MustOID is ParseOID for text that is a constant: it panics on a bad one.
func MustOID(text string) OID {
	oid, err := ParseOID(text)
	if err != nil {
		panic(err)
	}
	return oid
}

func (o OID) check() error {
	switch {
	case len(o) < 2:
		return errOIDShort
	case len(o) > maxArcs:
		return errOIDLong
	case o[0] > 2 || o[0] < 2 && o[1] > 39 || o[0] == 2 && o[1] > math.MaxUint32-80:
		return errOIDRoot
	}
	return nil
}

// String is the dotted text without a leading dot.
func (o OID) String() string {
	var text []byte
	for i, arc := range o {
		if i > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendUint(text, uint64(arc), 10)
	}
	return string(text)
}

// Compare orders OIDs as a walk does: negative when o comes before other.
func (o OID) Compare(other OID) int { return slices.Compare(o, other) }

// HasPrefix tells whether o is prefix or lies below it.
func (o OID) HasPrefix(prefix OID) bool {
	return len(o) >= len(prefix) && slices.Equal(o[:len(prefix)], prefix)
}

// Append returns a new OID with arcs added at the end.
func (o OID) Append(arcs ...uint32) OID { return slices.Concat(o, arcs) }

// appendOIDBody adds the content octets of o, which has passed check.
func appendOIDBody(dst []byte, o OID) []byte {
	dst = appendBase128(dst, o[0]*40+o[1])
	for _, arc := range o[2:] {
		dst = appendBase128(dst, arc)
	}
	return dst
}

func appendBase128(dst []byte, n uint32) []byte {
	for shift := 28; shift > 0; shift -= 7 {
		if n>>shift != 0 {
			dst = append(dst, byte(n>>shift)|0x80)
		}
	}
	return append(dst, byte(n&0x7f))
}

// parseOIDBody reads content octets; padded arcs are refused.
func parseOIDBody(body []byte) (OID, error) {
	if len(body) == 0 {
		return nil, errOIDBody
	}
	oid := make(OID, 0, len(body)+1)
	for len(body) > 0 {
		arc, size := parseBase128(body)
		if size == 0 {
			return nil, errOIDBody
		}
		body = body[size:]
		if len(oid) == 0 {
			root := min(arc/40, 2)
			oid = append(oid, root, arc-root*40)
			continue
		}
		oid = append(oid, arc)
	}
	if len(oid) > maxArcs {
		return nil, errOIDLong
	}
	return oid, nil
}

// parseBase128 returns the first arc of body and its size, 0 when it is bad.
func parseBase128(body []byte) (arc uint32, size int) {
	if body[0] == 0x80 {
		return 0, 0
	}
	for i, b := range body {
		if arc > math.MaxUint32>>7 {
			return 0, 0
		}
		arc = arc<<7 | uint32(b&0x7f)
		if b < 0x80 {
			return arc, i + 1
		}
	}
	return 0, 0
}
