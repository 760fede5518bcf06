// Package snmprec writes what a device answers as a recording (.snmprec, the
// format of snmpsim) and masks what tells of its owner. It is pure.
package snmprec

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// The types of values, as BER and so recordings number them.
const (
	tagOctets    = 0x04
	tagNull      = 0x05
	tagOID       = 0x06
	tagIPAddress = 0x40
	tagGauge32   = 0x42
	tagOpaque    = 0x44
	tagUnsigned  = 0x47
	tagFloat     = 0x78
	tagDouble    = 0x79
)

// Row is one instance and its value.
type Row struct {
	OID  string // numeric, no leading dot
	Tag  uint8  // of BER; 0x78 and 0x79 are an Opaque that holds a float or double
	Cell plan.Cell
}

// Sort puts rows into the order of their OIDs. Of equal OIDs the first comes
// first.
func Sort(rows []Row) {
	type keyed struct {
		arcs []uint32
		row  Row
	}
	all := make([]keyed, len(rows))
	for i, r := range rows {
		all[i] = keyed{arcsOf(r.OID), r}
	}
	sort.SliceStable(all, func(i, j int) bool { return slices.Compare(all[i].arcs, all[j].arcs) < 0 })
	for i := range all {
		rows[i] = all[i].row
	}
}

// AppendRow appends one line, OID|TAG|VALUE. ok is false for a row whose value
// cannot be written, such as one that could not be read.
func AppendRow(b []byte, r Row) (line []byte, ok bool) {
	tag, value, ok := valueOf(r)
	if !ok {
		return b, false
	}
	b = append(b, r.OID...)
	b = append(b, '|')
	b = append(b, tag...)
	b = append(b, '|')
	b = append(b, value...)
	return append(b, '\n'), true
}

func valueOf(r Row) (tag, value string, ok bool) {
	number, c := strconv.Itoa(int(r.Tag)), r.Cell
	switch r.Tag {
	case tagNull:
		return number, "", true
	case tagFloat:
		raw := binary.BigEndian.AppendUint32([]byte{0x9f, 0x78, 4}, math.Float32bits(float32(c.Float)))
		return "68x", hex.EncodeToString(raw), c.Kind == plan.Real
	case tagDouble:
		raw := binary.BigEndian.AppendUint64([]byte{0x9f, 0x79, 8}, math.Float64bits(c.Float))
		return "68x", hex.EncodeToString(raw), c.Kind == plan.Real
	case tagIPAddress:
		addr, err := netip.ParseAddr(c.Text)
		if err != nil || !addr.Is4() {
			return "", "", false
		}
		raw := addr.As4()
		return "64x", hex.EncodeToString(raw[:]), true
	case tagUnsigned: // of the same range; recordings have no such type
		number = strconv.Itoa(tagGauge32)
	}
	switch c.Kind {
	case plan.Integer:
		return number, strconv.FormatInt(c.Int, 10), true
	case plan.Unsigned, plan.Counter32, plan.Counter64:
		return number, strconv.FormatUint(c.Uint, 10), true
	case plan.Text:
		return number, c.Text, r.Tag == tagOID
	case plan.Octets:
		if r.Tag == tagOctets && plain(c.Text) {
			return number, c.Text, true
		}
		return number + "x", hex.EncodeToString([]byte(c.Text)), true
	}
	return "", "", false
}

// plain tells whether octets survive as a text, whoever reads them.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// arcsOf reads a numeric OID; a wrong arc counts as 0.
func arcsOf(oid string) []uint32 {
	arcs := make([]uint32, 0, strings.Count(oid, ".")+1)
	for arc := range strings.SplitSeq(oid, ".") {
		n, _ := strconv.ParseUint(arc, 10, 32)
		arcs = append(arcs, uint32(n))
	}
	return arcs
}

func oidOf(arcs []uint32) string {
	b := make([]byte, 0, 4*len(arcs))
	for i, arc := range arcs {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(arc), 10)
	}
	return string(b)
}
