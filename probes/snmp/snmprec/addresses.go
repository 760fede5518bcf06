package snmprec

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// addresses learns which addresses there are and then gives each another one,
// the same wherever it stands. Both are raw octets.
type addresses struct{ v4, v6, mac map[string]string }

func newAddresses() *addresses {
	return &addresses{map[string]string{}, map[string]string{}, map[string]string{}}
}

// learn takes an address that tells something. Masks, loopback, multicast and
// the addresses that stand for none or all do not.
func (a *addresses) learn(addr netip.Addr) {
	b := addr.Unmap().AsSlice()
	switch {
	case len(b) == 4 && b[0] != 0 && b[0] != 127 && b[0] < 224:
		a.v4[string(b)] = ""
	case len(b) == 16 && !addr.IsLoopback() && !addr.IsUnspecified():
		a.v6[string(b)] = ""
	}
}

func (a *addresses) learnMAC(b []byte) {
	if len(b) == 6 && b[0]&1 == 0 && string(b) != "\x00\x00\x00\x00\x00\x00" {
		a.mac[string(b)] = ""
	}
}

// assign gives out the new addresses in the order of the old ones: networks of
// 256 stay together, and the vendor's part of a MAC address stays.
func (a *addresses) assign() {
	a.assign4()
	a.assign6()
	a.assignMAC()
}

func (a *addresses) assign4() {
	taken := map[string]bool{}
	for old := range a.v4 {
		taken[old[:3]] = true
	}
	network, last := "", ""
	next := uint32(100<<16 | 64<<8) // 100.64.0.0/10, and then what lies above it
	host := byte(0)
	for _, old := range sortedKeys(a.v4) {
		if old[:3] != last {
			for network = three(next); taken[network]; network = three(next) {
				next++
			}
			next++
			last, host = old[:3], 0
		}
		at := old[3]
		if at != 0 && at != 255 {
			host++
			at = host
		}
		a.v4[old] = network + string([]byte{at})
	}
}

func three(n uint32) string { return string([]byte{byte(n >> 16), byte(n >> 8), byte(n)}) }

func (a *addresses) assign6() {
	n := uint32(0)
	for _, old := range sortedKeys(a.v6) {
		head := "\x20\x01\x0d\xb8"
		if old[0] >= 0xfe { // link-local, multicast
			head = old[:2] + "\x00\x00"
		}
		made := ""
		for taken := true; taken; _, taken = a.v6[made] {
			n++
			made = head + strings.Repeat("\x00", 9) + three(n)
		}
		a.v6[old] = made
	}
}

func (a *addresses) assignMAC() {
	tails := map[string]bool{}
	for old := range a.mac {
		tails[old[3:]] = true
	}
	n := uint32(0)
	for _, old := range sortedKeys(a.mac) {
		for n++; tails[three(n)]; {
			n++
		}
		a.mac[old] = old[:3] + three(n)
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// of is the new address of an old one; what was not learned stays.
func (a *addresses) of(addr netip.Addr) netip.Addr {
	old := addr.Unmap().AsSlice()
	made := a.v4[string(old)] + a.v6[string(old)] // one of them is empty
	if made == "" {
		return addr
	}
	now, _ := netip.AddrFromSlice([]byte(made))
	return now
}

// Addresses within text.
var (
	text4   = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}`)
	text6   = regexp.MustCompile(`(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}`)
	textMAC = regexp.MustCompile(`(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b|\b[0-9a-f]{2}(?: [0-9a-f]{2}){5}\b|\b[0-9a-f]{4}(?:[.-][0-9a-f]{4}){2}\b`)
	bareMAC = regexp.MustCompile(`(?i)[0-9a-f]{12}`)
)

// learnText finds the addresses in a text.
func (a *addresses) learnText(s string) {
	if strings.Count(s, ".") >= 3 {
		each4(s, func(_, _ int, addr netip.Addr) { a.learn(addr) })
	}
	if strings.Count(s, ":") >= 2 {
		for _, found := range text6.FindAllString(s, -1) {
			if addr, err := netip.ParseAddr(found); err == nil && addr.Is6() {
				a.learn(addr)
			}
		}
	}
	for _, found := range textMAC.FindAllString(s, -1) {
		a.learnMAC(macIn(found))
	}
}

// each4 finds IPv4 addresses; a number with more parts, such as an OID, is none.
func each4(s string, found func(from, to int, addr netip.Addr)) {
	for _, at := range text4.FindAllStringIndex(s, -1) {
		from, to := at[0], at[1]
		if from > 0 && digitOrDot(s[from-1]) || to+1 < len(s) && s[to] == '.' && digit(s[to+1]) || to < len(s) && digit(s[to]) {
			continue
		}
		if addr, err := netip.ParseAddr(s[from:to]); err == nil {
			found(from, to, addr)
		}
	}
}

func digit(c byte) bool      { return c >= '0' && c <= '9' }
func digitOrDot(c byte) bool { return digit(c) || c == '.' }

// inText puts new addresses in the place of the old ones.
func (a *addresses) inText(s string) string {
	if len(a.mac) > 0 && len(s) >= 12 {
		s = textMAC.ReplaceAllStringFunc(s, a.macText)
		s = bareMAC.ReplaceAllStringFunc(s, a.macText)
	}
	if strings.Count(s, ":") >= 2 && len(a.v6) > 0 {
		s = text6.ReplaceAllStringFunc(s, func(old string) string {
			if addr, err := netip.ParseAddr(old); err == nil && a.of(addr) != addr {
				return a.of(addr).String()
			}
			return old
		})
	}
	if strings.Count(s, ".") < 3 {
		return s
	}
	var out strings.Builder
	last := 0
	each4(s, func(from, to int, addr netip.Addr) {
		out.WriteString(s[last:from])
		out.WriteString(a.of(addr).String())
		last = to
	})
	return out.String() + s[last:]
}

// macIn reads a MAC address however it is written.
func macIn(s string) []byte {
	b, _ := hex.DecodeString(strings.Map(func(r rune) rune {
		if strings.ContainsRune(":-. ", r) {
			return -1
		}
		return r
	}, s))
	return b
}

// macText writes the new address as the old one was written.
func (a *addresses) macText(old string) string {
	b := macIn(old)
	made := a.mac[string(b)]
	if made == "" {
		return old
	}
	digits := hex.EncodeToString([]byte(made))
	if strings.ToUpper(old) == old {
		digits = strings.ToUpper(digits)
	}
	out := []byte(old)
	next := 0
	for i, c := range out {
		if !strings.ContainsRune(":-. ", rune(c)) {
			out[i] = digits[next]
			next++
		}
	}
	return string(out)
}

// inOctets finds the MAC addresses within octets that are no text, such as a
// bridge id.
func (a *addresses) inOctets(s string) string {
	b := []byte(s)
	for i := 0; i+6 <= len(b); i++ {
		if made := a.mac[string(b[i:i+6])]; made != "" {
			copy(b[i:], made)
			i += 5
		}
	}
	if len(b) == 4 || len(b) == 16 {
		if addr, ok := netip.AddrFromSlice(b); ok {
			return string(a.of(addr).AsSlice())
		}
	}
	return string(b)
}
