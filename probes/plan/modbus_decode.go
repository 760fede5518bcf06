package plan

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// cell takes the number of the register out of its bytes as they came, which
// are 2*Words, or one byte, 0 or 1, of a table of bits. It is absent where the
// device says that there is no value.
func (r *ModbusRegister) cell(raw []byte) Cell {
	if r.Table.Bits() {
		return Cell{Kind: Unsigned, Uint: uint64(raw[0] & 1)}
	}
	sorted := r.order.arrange(raw[:2*r.Words])
	size := 16 * r.Words
	u := binary.BigEndian.Uint64(sorted[:]) >> (64 - size)
	switch {
	case strings.HasPrefix(r.Type, "float"):
		return r.real(u)
	case slices.Contains(r.na, u):
		return Cell{}
	case r.mask != 0:
		return Cell{Kind: Unsigned, Uint: u >> r.shift & r.mask}
	case strings.HasPrefix(r.Type, "int"):
		return Cell{Kind: Integer, Int: int64(u<<(64-size)) >> (64 - size)}
	}
	return Cell{Kind: Unsigned, Uint: u}
}

// real takes an IEEE 754 number; devices write NaN where there is none. A short
// one is widened by its shortest decimal, so that 230.1 does not become
// 230.10000610351562.
func (r *ModbusRegister) real(u uint64) Cell {
	f := math.Float64frombits(u)
	if r.Words == 2 {
		f = widened(math.Float32frombits(uint32(u)))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) || slices.Contains(r.naReal, f) {
		return Cell{}
	}
	return Cell{Kind: Real, Float: f}
}

// Gauge is the number of a register, false where it has none. A string has none.
func (r *ModbusRegister) Gauge(raw []byte) (probes.Value, bool) {
	if r.Type == modbusString {
		return probes.Value{}, false
	}
	cell := r.cell(raw)
	if cell.Kind == Absent {
		return probes.Value{}, false
	}
	value, v := r.number.gauge(cell, 0)
	return value, v == number
}

// Label is the text of a register: of a string, or of the number, as texts have
// it. "": it has none.
func (r *ModbusRegister) Label(raw []byte) string {
	if r.Type == modbusString {
		return r.string(raw)
	}
	value, ok := r.Gauge(raw)
	if !ok {
		return ""
	}
	text := valueText(value)
	if named := r.texts[text]; named != "" {
		return named
	}
	return text
}

// string reads characters up to a NUL. Devices fill with blanks or NULs.
func (r *ModbusRegister) string(raw []byte) string {
	text := slices.Clone(raw[:2*r.Words])
	if r.order[0] == 1 {
		for i := 0; i+1 < len(text); i += 2 {
			text[i], text[i+1] = text[i+1], text[i]
		}
	}
	if end := slices.Index(text, 0); end >= 0 {
		text = text[:end]
	}
	if !slices.ContainsFunc(text, func(c byte) bool { return c != 0xff }) { // memory that was never written
		return ""
	}
	return strings.TrimSpace(Readable(text))
}

// widened is the double with the shortest decimal of a float.
func widened(f float32) float64 {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil { // NaN and infinities are read too
		return float64(f)
	}
	return wide
}

// valueText is a number as people write it.
func valueText(v probes.Value) string {
	switch v.Form() {
	case probes.FormInt:
		return strconv.FormatInt(v.Int64(), 10)
	case probes.FormUint:
		return strconv.FormatUint(v.Uint64(), 10)
	}
	return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
}
