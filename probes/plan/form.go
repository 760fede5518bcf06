package plan

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// render makes the text of a dimension from the bytes of an OCTET STRING. What
// does not have the form is shown as Readable shows it.
func render(s string, form TextForm, names map[int64]string) string {
	b := []byte(s)
	switch form {
	case FormText:
		return lossyText(b)
	case FormHex:
		return colonHex(cut(b))
	case FormMAC:
		if len(b) == 6 || !hasOctet(b) {
			return macText(b)
		}
	case FormIP:
		if text, ok := ipText(b); ok {
			return text
		}
	case FormDate:
		if text, ok := dateText(b); ok {
			return text
		}
	case FormBits:
		return bitsText(cut(b), names)
	}
	return Readable(b)
}

// hasOctet tells whether any octet is not zero.
func hasOctet(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return true
		}
	}
	return false
}

func macText(b []byte) string {
	if !hasOctet(b) {
		return ""
	}
	return colonHex(b)
}

// ipText shows an address of 4 or 16 octets, or one with its zone of 4 more.
// One that is text already stays: "10.0.0.1" has 8 octets as well.
func ipText(b []byte) (string, bool) {
	if len(b) > 4 {
		if _, err := netip.ParseAddr(string(b)); err == nil {
			return string(b), true
		}
	}
	zone := ""
	if len(b) == 8 || len(b) == 20 {
		at := len(b) - 4
		zone = strconv.FormatUint(uint64(b[at])<<24|uint64(b[at+1])<<16|uint64(b[at+2])<<8|uint64(b[at+3]), 10)
		b = b[:at]
	}
	addr, ok := netip.AddrFromSlice(b)
	if !ok {
		return "", false
	}
	if zone != "" && zone != "0" {
		return addr.String() + "%" + zone, true
	}
	return addr.String(), true
}

// dateText shows DateAndTime. A year, month or day of zero is no date: "".
func dateText(b []byte) (string, bool) {
	t, ok := dateTime(b)
	if !ok || t.IsZero() {
		return "", ok
	}
	return t.Format("2006-01-02T15:04:05.9Z07:00"), true
}

// dateTime reads DateAndTime of 8 octets, which are taken as UTC, or 11. It
// gives the zero time for a date that is not set.
func dateTime(b []byte) (time.Time, bool) {
	if len(b) != 8 && len(b) != 11 {
		return time.Time{}, false
	}
	year, month, day := int(b[0])<<8|int(b[1]), time.Month(b[2]), int(b[3])
	if year == 0 || month == 0 || day == 0 {
		return time.Time{}, true
	}
	if year > 9999 || month > 12 || b[4] > 23 || b[5] > 59 || b[6] > 60 || b[7] > 9 {
		return time.Time{}, false
	}
	zone := time.UTC
	if len(b) == 11 {
		if b[9] > 14 || b[10] > 59 || b[8] != '+' && b[8] != '-' {
			return time.Time{}, false
		}
		if offset := (int(b[9])*60 + int(b[10])) * 60; offset != 0 {
			if b[8] == '-' {
				offset = -offset
			}
			zone = time.FixedZone("", offset)
		}
	}
	second := min(int(b[6]), 59) // a leap second is shown as the one before it
	t := time.Date(year, month, day, int(b[4]), int(b[5]), second, int(b[7])*int(100*time.Millisecond), zone)
	return t, t.Day() == day
}

// bitsText lists the bits that are set; bit 0 is the highest of the first octet.
func bitsText(b []byte, names map[int64]string) string {
	var out []byte
	for i := range 8 * len(b) {
		if b[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		if len(out) > 0 {
			out = append(out, ',')
		}
		if name, ok := names[int64(i)]; ok {
			out = append(out, name...)
		} else {
			out = strconv.AppendInt(out, int64(i), 10)
		}
	}
	return string(cut(out))
}

// lossyText is UTF-8, else Latin-1, without what cannot be shown.
func lossyText(b []byte) string {
	s := string(cut(b))
	if !utf8.ValidString(s) {
		runes := make([]rune, 0, len(s))
		for i := range len(s) {
			runes = append(runes, rune(s[i]))
		}
		s = string(runes)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n")))
}
