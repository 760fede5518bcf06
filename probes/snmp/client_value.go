package snmp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Tag is the type of a value as BER has it.
type Tag uint8

// The types of values. The last two are an Opaque that holds a number.
const (
	TagInteger   Tag = 0x02
	TagOctets    Tag = 0x04
	TagNull      Tag = 0x05
	TagOID       Tag = 0x06
	TagIPAddress Tag = 0x40
	TagCounter32 Tag = 0x41
	TagGauge32   Tag = 0x42
	TagTimeTicks Tag = 0x43
	TagOpaque    Tag = 0x44
	TagCounter64 Tag = 0x46
	TagUnsigned  Tag = 0x47
	TagFloat     Tag = 0x78
	TagDouble    Tag = 0x79
)

// NoSuchInstance is the Exception of what a device does not have.
const NoSuchInstance = "No Such Instance currently exists at this OID"

// Varbind is one instance and its value.
type Varbind struct {
	OID       string // no leading dot
	Tag       Tag
	Cell      plan.Cell
	Exception string // why there is no value; "": there is one
}

func toVarbinds(vars []varbind) []Varbind {
	out := make([]Varbind, len(vars))
	for i, v := range vars {
		out[i] = toVarbindOut(v)
	}
	return out
}

func toVarbindOut(v varbind) Varbind {
	out := Varbind{OID: v.oid, Tag: Tag(v.tag), Cell: v.cell}
	if v.exc != noException {
		out.Exception = NoSuchInstance
	}
	return out
}

// Type is the word that net-snmp's tools use for the type.
func (v Varbind) Type() string {
	switch v.Tag {
	case TagInteger:
		return "INTEGER"
	case TagOctets:
		if !plainText(v.Cell.Text) {
			return "Hex-STRING"
		}
		return "STRING"
	case TagNull:
		return "NULL"
	case TagOID:
		return "OID"
	case TagIPAddress:
		return "IpAddress"
	case TagCounter32:
		return "Counter32"
	case TagGauge32, TagUnsigned:
		return "Gauge32"
	case TagTimeTicks:
		return "Timeticks"
	case TagOpaque, TagFloat, TagDouble:
		return "Opaque"
	case TagCounter64:
		return "Counter64"
	}
	return "Unknown"
}

// String is the instance and its value as net-snmp's tools print them with -On.
func (v Varbind) String() string {
	return "." + v.OID + " = " + v.value()
}

func (v Varbind) value() string {
	text := v.Cell.Text
	switch {
	case v.Exception != "":
		return v.Exception
	case v.Tag == TagNull:
		return "NULL"
	case v.Tag == TagOctets && text == "":
		return `""`
	case v.Tag == TagOctets && plainText(text):
		text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	case v.Cell.Kind == plan.Octets:
		text = strings.ToUpper(spacedHex(text))
	case v.Tag == TagOID:
		text = "." + text
	case v.Tag == TagTimeTicks:
		text = fmt.Sprintf("(%d) %s", v.Cell.Uint, ticks(v.Cell.Uint))
	case v.Tag == TagFloat, v.Tag == TagDouble:
		text = "Float: " + v.Number()
	case v.Cell.Kind == plan.Absent:
		text = "(a value that could not be read)"
	case v.Cell.Kind != plan.Text:
		text = v.Number()
	}
	return v.Type() + ": " + text
}

// Number is the value as a decimal number, "" where it is none.
func (v Varbind) Number() string {
	switch v.Cell.Kind {
	case plan.Integer:
		return strconv.FormatInt(v.Cell.Int, 10)
	case plan.Unsigned, plan.Counter32, plan.Counter64:
		return strconv.FormatUint(v.Cell.Uint, 10)
	case plan.Real:
		return strconv.FormatFloat(v.Cell.Float, 'g', -1, 64)
	}
	return ""
}

// plainText tells whether net-snmp would print octets as a text.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && (c < '\t' || c > '\r') {
			return false
		}
	}
	return true
}

func spacedHex(s string) string {
	return fmt.Sprintf("% x", s)
}

// ticks writes hundredths of a second as net-snmp does.
func ticks(n uint64) string {
	days, text := n/8_640_000, fmt.Sprintf("%d:%02d:%02d.%02d", n/360_000%24, n/6000%60, n/100%60, n%100)
	switch days {
	case 0:
		return text
	case 1:
		return "1 day, " + text
	}
	return fmt.Sprintf("%d days, %s", days, text)
}
