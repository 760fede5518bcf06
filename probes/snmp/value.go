package snmp

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

// toVarbind copies what a decoded binding holds; nothing of it points into
// the packet.
func toVarbind(p gosnmp.SnmpPDU) varbind {
	v := varbind{oid: strings.TrimPrefix(p.Name, ".")}
	switch p.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance:
		v.exc = noSuch
	case gosnmp.EndOfMibView:
		v.exc = endOfMibView
	default:
		v.cell = toCell(p.Type, p.Value)
	}
	return v
}

// toCell turns a value into a cell. What could not be decoded, and any type
// that holds nothing to measure, is absent.
func toCell(t gosnmp.Asn1BER, value any) plan.Cell {
	switch v := value.(type) {
	case int:
		return plan.Cell{Kind: plan.Integer, Int: int64(v)}
	case uint:
		return unsignedCell(t, uint64(v))
	case uint32:
		return unsignedCell(t, uint64(v))
	case uint64:
		return unsignedCell(t, v)
	case float32:
		return floatCell(float32(v))
	case float64:
		return realCell(v)
	case string: // IpAddress, OBJECT IDENTIFIER
		return plan.Cell{Kind: plan.Text, Text: strings.TrimPrefix(v, ".")}
	case []byte: // OCTET STRING, Opaque that is no number
		return plan.Cell{Kind: plan.Text, Text: readable(v)}
	}
	return plan.Cell{}
}

// unsignedCell keeps a Counter32 that does not fit 32 bits as what it is, a
// longer counter: the rules for a 32-bit wrap do not hold for it.
func unsignedCell(t gosnmp.Asn1BER, u uint64) plan.Cell {
	c := plan.Cell{Kind: plan.Unsigned, Uint: u}
	switch {
	case t == gosnmp.Counter64, t == gosnmp.Counter32 && u > math.MaxUint32:
		c.Kind = plan.Counter64
	case t == gosnmp.Counter32:
		c.Kind = plan.Counter32
	}
	return c
}

// floatCell widens by way of the shortest decimal, so that 12.3 stays 12.3.
func floatCell(f float32) plan.Cell {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return plan.Cell{}
	}
	return realCell(wide)
}

func realCell(f float64) plan.Cell {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return plan.Cell{}
	}
	return plan.Cell{Kind: plan.Real, Float: f}
}

// maxText is how many bytes of an OCTET STRING are kept. A dimension can send a
// quarter of that, and whatever a device makes up is stored with its series.
const maxText = 1000

// readable makes text of an OCTET STRING: trailing NULs go; printable UTF-8
// stays, then printable Latin-1; all else becomes lower-case hex with colons.
// Line breaks and tabs become spaces. What is longer than maxText is cut.
func readable(b []byte) string {
	b = cut(b)
	trimmed := strings.TrimRight(string(b), "\x00")
	if text, ok := printable(trimmed); ok {
		return text
	}
	if text, ok := latin1(trimmed); ok {
		return text
	}
	return colonHex(b)
}

// cut cuts between two characters where b is UTF-8.
func cut(b []byte) []byte {
	if len(b) <= maxText {
		return b
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	return b[:end]
}

func printable(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r == '\v', r == '\f':
			return ' '
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	whole := utf8.RuneCountInString(clean) == utf8.RuneCountInString(s)-strings.Count(s, "\r\n")
	return clean, whole
}

// latin1 asks for three quarters of plain ASCII beside: a MAC address whose
// bytes happen to be printable letters is no text.
func latin1(s string) (string, bool) {
	runes := make([]rune, 0, len(s))
	ascii := 0
	for i := range len(s) {
		runes = append(runes, rune(s[i]))
		if s[i] < utf8.RuneSelf {
			ascii++
		}
	}
	if ascii*4 < len(s)*3 {
		return "", false
	}
	return printable(string(runes))
}

func colonHex(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, []byte{c})
	}
	return string(out)
}
