package plan

import (
	"net/netip"
	"strings"
)

// NameKind says what octets name.
type NameKind uint8

// The kinds of name. A value that has not the form of its kind is not named.
const (
	NameAny     NameKind = 0 // not known: as the form of the source says
	NameText    NameKind = 1 // an alias, a component, a circuit, a host name: Readable
	NameMAC     NameKind = 2 // 6 octets
	NameIP      NameKind = 3 // 4 or 16 octets, or with the zone 8 or 20 (RFC 4001)
	NameNetwork NameKind = 4 // the address family (IANA) and the address (LLDP), or one of the others
)

// Naming says that a value is an address or a name whose kind another value
// tells, or that is known. The zero Naming is none.
type Naming struct {
	By      string             // column on the same row or, with Scalar, instance that tells the kind; "": Kind
	Scalar  bool               // of By
	Kinds   map[int64]NameKind // of the numbers of By
	Kind    NameKind
	Default string // where nothing is named; "": the octets as they are
}

func (n *Naming) set() bool { return n.By != "" || n.Kind != NameAny || n.Default != "" }

// source is where the kind is read; n.By is set.
func (n *Naming) source() Source {
	if n.Scalar {
		return Source{Kind: FromScalar, OID: n.By}
	}
	return Source{Kind: FromColumn, OID: n.By}
}

// text names a cell, with the cell of By.
func (n *Naming) text(c, by Cell) string {
	kind := n.Kind
	if n.By != "" {
		number, ok := by.counter()
		kind = n.Kinds[int64(number)]
		if !ok {
			kind = NameAny
		}
	}
	if name := kind.name(c); name != "" || n.Default != "" {
		if name == "" {
			name = n.Default
		}
		return name
	}
	if c.Kind == Octets {
		return Readable([]byte(c.Text))
	}
	return (&Dim{}).text(c)
}

// name gives the name that a cell is, "" where it is none of the kind.
func (k NameKind) name(c Cell) string {
	if k == NameAny || c.Kind != Octets {
		if k != NameAny && c.Kind == Text {
			return c.Text // an IpAddress
		}
		return ""
	}
	b := cut([]byte(c.Text))
	switch k {
	case NameMAC:
		return macOf(b)
	case NameIP:
		text, _ := ipText(b)
		return text
	case NameNetwork:
		return networkName(b)
	}
	return strings.TrimSpace(Readable(b))
}

// macOf shows 6 octets; a MAC address that is text already stays.
func macOf(b []byte) string {
	if len(b) == 6 {
		return macText(b)
	}
	if text := strings.TrimRight(string(b), "\x00"); len(text) >= 12 && len(text) <= 17 {
		if shown, ok := printable(text); ok && strings.Trim(text, "0123456789abcdefABCDEF:-. ") == "" {
			return shown
		}
	}
	return ""
}

// The address families that are shown (IANA address family numbers).
const (
	familyIPv4, familyIPv6 = 1, 2
	familyMAC, familyDNS   = 6, 16
)

// networkName shows an address with its family before it, else one whose length
// tells what it is, else a host name.
func networkName(b []byte) string {
	if len(b) > 1 {
		rest := b[1:]
		switch {
		case b[0] == familyIPv4 && len(rest) == 4, b[0] == familyIPv6 && len(rest) == 16:
			addr, _ := netip.AddrFromSlice(rest)
			return addr.String()
		case b[0] == familyMAC && len(rest) == 6:
			return macText(rest)
		case b[0] == familyDNS:
			b = rest
		}
	}
	if len(b) == 6 {
		return macText(b)
	}
	if len(b) == 4 || len(b) == 16 {
		text, _ := ipText(b)
		return text
	}
	if text, ok := printable(strings.TrimRight(string(b), "\x00")); ok {
		return text
	}
	return ""
}
