package modbus

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// span is what one request reads: count registers or bits from an address on,
// for some registers of the device.
type span struct {
	table   plan.ModbusTable
	address int
	count   int
	members []int // by their index
}

// limits bound a request.
type limits struct {
	registers int
	gap       int // registers that nobody wants, in a row; -1: only what overlaps is read at once
}

// apart are the limits with which only what overlaps is read at once.
const apart = -1

// merge lays registers together to as few requests as the limits allow.
func merge(registers []plan.ModbusRegister, wanted []int, l limits) []span {
	wanted = slices.Clone(wanted)
	slices.SortStableFunc(wanted, func(a, b int) int {
		x, y := &registers[a], &registers[b]
		if x.Table != y.Table {
			return strings.Compare(string(x.Table), string(y.Table))
		}
		return x.Address - y.Address
	})
	var spans []span
	for _, i := range wanted {
		r := &registers[i]
		if n := len(spans); n > 0 && spans[n-1].take(r, l) {
			spans[n-1].members = append(spans[n-1].members, i)
			continue
		}
		spans = append(spans, span{table: r.Table, address: r.Address, count: r.Words, members: []int{i}})
	}
	return spans
}

// take makes the span longer by a register that does not begin before it, if
// the limits allow.
func (s *span) take(r *plan.ModbusRegister, l limits) bool {
	most, gap := l.registers, l.gap
	if s.table.Bits() {
		most = plan.MaxModbusBits
		gap = max(gap, 16*gap)
	}
	end := max(s.address+s.count, r.Address+r.Words)
	if r.Table != s.table || r.Address-(s.address+s.count) > gap || end-s.address > most {
		return false
	}
	s.count = end - s.address
	return true
}

// split gives the parts of a span that a device refused: first without its
// gaps, then each register alone. nil: it cannot be split.
func (s *span) split(registers []plan.ModbusRegister) []span {
	for _, gap := range []int{0, apart} {
		if parts := merge(registers, s.members, limits{s.count, gap}); len(parts) > 1 {
			return parts
		}
	}
	return nil
}

// deal hands the answer out to the registers of the span. raw holds two bytes
// for a register and one for a bit.
func (s *span) deal(registers []plan.ModbusRegister, raw []byte, to [][]byte) {
	size := 2
	if s.table.Bits() {
		size = 1
	}
	for _, i := range s.members {
		r := &registers[i]
		from := size * (r.Address - s.address)
		to[i] = raw[from : from+size*r.Words]
	}
}
