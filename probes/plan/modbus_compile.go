package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// The types of registers, and how many registers each takes.
var modbusTypes = map[string]int{
	"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4, "float32": 2, "float64": 4,
	modbusString: 0, modbusBool: 1,
}

const (
	modbusString = "string"
	modbusBool   = "bool"

	// MaxModbusRegisters and MaxModbusBits are what one answer can hold.
	MaxModbusRegisters = 125
	MaxModbusBits      = 2000

	maxModbusListed  = 2000 // registers of a profile or an entry
	maxModbusAddress = math.MaxUint16
	maxMetricKey     = 250
	minMetricKey     = 3
)

// CompileModbus checks the registers of a profile or an entry. It returns what is
// good, and all that is wrong.
func CompileModbus(all []ModbusRegisterOptions, defaults ModbusDefaults) ([]ModbusRegister, []*ModbusFault) {
	if len(all) > maxModbusListed {
		return nil, []*ModbusFault{{maxModbusListed, "key", fmt.Sprintf("found %d registers, expected at most %d; split them up", len(all), maxModbusListed)}}
	}
	made := make([]ModbusRegister, 0, len(all))
	var faults []*ModbusFault
	for i := range all {
		c := modbusCompiler{o: &all[i], defaults: defaults, index: i}
		r := c.register()
		c.alone(&r, made)
		if faults = append(faults, c.faults...); len(c.faults) == 0 {
			made = append(made, r)
		}
	}
	return made, faults
}

type modbusCompiler struct {
	o        *ModbusRegisterOptions
	defaults ModbusDefaults
	index    int
	faults   []*ModbusFault
}

func (c *modbusCompiler) fail(field, format string, args ...any) {
	c.faults = append(c.faults, &ModbusFault{c.index, field, fmt.Sprintf(format, args...)})
}

func (c *modbusCompiler) register() ModbusRegister {
	r := ModbusRegister{Dimension: probes.DimensionKey(c.o.Dimension), Count: c.o.Count, texts: c.o.Texts}
	r.number = Conversion{Multiplier: c.o.Scale, Offset: c.o.Offset}
	c.names(&r)
	c.place(&r)
	if len(c.faults) > 0 {
		return r // the rest would speak of what follows from these
	}
	c.width(&r)
	c.bits(&r)
	c.absent(&r)
	c.count(&r)
	c.text(&r)
	for _, f := range []struct {
		name  string
		value float64
	}{{"scale", c.o.Scale}, {"offset", c.o.Offset}} {
		if math.IsNaN(f.value) || math.IsInf(f.value, 0) {
			c.fail(f.name, "found %v, expected a number", f.value)
		}
	}
	return r
}

// alone refuses a register whose values would get into the series of another one.
func (c *modbusCompiler) alone(r *ModbusRegister, before []ModbusRegister) {
	if i := slices.IndexFunc(before, r.SameSeries); i >= 0 && len(c.faults) == 0 {
		c.fail("key", "the register at %s %d has %s with the same dimensions; give each of them dimensions of its own, such as {phase: L1}", before[i].Table, before[i].Address, r.Key)
	}
}

// SameSeries tells whether the values of both registers would be one series.
func (r *ModbusRegister) SameSeries(o ModbusRegister) bool {
	return r.Key != "" && r.Key == o.Key && r.Count == o.Count && r.Dimension == o.Dimension && slices.Equal(r.Dims, o.Dims)
}

func (c *modbusCompiler) names(r *ModbusRegister) {
	o := c.o
	if o.Key == "" && o.Dimension == "" {
		c.fail("key", "missing, expected the key of a metric such as voltage or plant.press.voltage, or a dimension")
		return
	}
	if r.Key = o.Key; o.Key != "" && !strings.Contains(o.Key, ".") {
		r.Key = ModbusPrefix + o.Key
	}
	if o.Key != "" && !isMetricKey(r.Key) {
		c.fail("key", "found %.80q, expected letters, digits, - and _ in parts that are joined with dots, beginning with a letter, at most %d characters", o.Key, maxMetricKey)
	}
	if o.Dimension != "" && r.Dimension == "" {
		c.fail("dimension", "found %.80q, expected a key such as device.serial", o.Dimension)
	}
	for key, value := range o.Dimensions {
		r.Dims = append(r.Dims, probes.Dimension{Key: key, Value: value})
		if probes.DimensionKey(key) != key {
			c.fail("dimensions", "found the key %.80q, expected lower-case letters, digits, - and _ in parts that are joined with dots", key)
		}
	}
	slices.SortStableFunc(r.Dims, func(a, b probes.Dimension) int { return strings.Compare(a.Key, b.Key) })
	r.Meta = probes.Metadata{Key: r.Key, Type: probes.Gauge, Unit: o.Unit, DisplayName: o.Name, Description: o.Description}
	if o.Count {
		r.Meta.Type = probes.Count
	}
}

// isMetricKey tells whether a key leaves as it is.
func isMetricKey(key string) bool {
	if len(key) < minMetricKey || len(key) > maxMetricKey || !isLetter(key[0]) && key[0] != '_' {
		return false
	}
	for part := range strings.SplitSeq(key, ".") {
		if part == "" || part[0] == '-' {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func (c *modbusCompiler) place(r *ModbusRegister) {
	address, err := c.o.Address.uint64()
	switch {
	case c.o.Address == "":
		c.fail("address", "missing, expected the address as it is sent, such as 52 or 0x34")
	case err != nil:
		c.fail("address", "%v", err)
	case address > maxModbusAddress:
		c.fail("address", "found %s, expected 0 to %d; of a number such as 400053 the address is 52", c.o.Address, maxModbusAddress)
	default:
		r.Address = int(address)
	}
	switch r.Table = firstOf(c.o.Table, c.defaults.Table, ModbusHolding); r.Table {
	case ModbusHolding, ModbusInput, ModbusCoil, ModbusDiscrete:
	default:
		c.fail("table", "found %.30q, expected holding, input, coil or discrete", r.Table)
	}
}

func firstOf(all ...ModbusTable) ModbusTable {
	for _, t := range all {
		if t != "" {
			return t
		}
	}
	return ""
}

func (c *modbusCompiler) width(r *ModbusRegister) {
	r.Type = strings.ToLower(c.o.Type)
	switch {
	case r.Type == "" && r.Table.Bits():
		r.Type = modbusBool
	case r.Type == "":
		r.Type = "uint16"
	}
	words, known := modbusTypes[r.Type]
	switch {
	case !known:
		c.fail("type", "found %.30q, expected uint16, int16, uint32, int32, uint64, int64, float32, float64, string or, of a coil or discrete input, bool", c.o.Type)
		return
	case (r.Type == modbusBool) != r.Table.Bits():
		c.fail("type", "found %s in the table %s; a coil or discrete input is a bool, and a bit of a register is written as bits: 3", r.Type, r.Table)
		return
	case r.Type != modbusString && c.o.Length != 0:
		c.fail("length", "found %d, expected it of a string only", c.o.Length)
	case r.Type == modbusString && (c.o.Length < 1 || c.o.Length > MaxModbusRegisters):
		c.fail("length", "found %d, expected the registers of the string, 1 to %d", c.o.Length, MaxModbusRegisters)
	case r.Type == modbusString:
		words = c.o.Length
	}
	if r.Words = words; r.Address+words-1 > maxModbusAddress {
		c.fail("address", "found %s, which leaves no room for %d registers up to %d", c.o.Address, words, maxModbusAddress)
	}
	c.order(r)
}

func (c *modbusCompiler) order(r *ModbusRegister) {
	text, size := c.o.Order, 2*r.Words
	if text == "" {
		text = c.defaults.Order
	}
	if text == "" {
		text = "ABCD"
	}
	if r.Table.Bits() {
		return
	}
	if r.Type == modbusString {
		size = 2 // the bytes of a word may be swapped, words never are
	}
	order, err := parseModbusOrder(text, size)
	if err != nil {
		c.fail("order", "%v", err)
	}
	r.order = order
}

// bits reads 3 or 3..5; bit 0 is the least significant one.
func (c *modbusCompiler) bits(r *ModbusRegister) {
	if c.o.Bits == "" {
		return
	}
	low, high, several := strings.Cut(c.o.Bits, "..")
	if !several {
		high = low
	}
	from, err := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	switch {
	case !strings.HasPrefix(r.Type, "uint"):
		c.fail("bits", "found bits of a %s, expected them of uint16, uint32 or uint64", r.Type)
	case err != nil || err2 != nil || from < 0 || to < from || to >= 16*r.Words:
		c.fail("bits", "found %.20q, expected one bit such as 3 or some such as 3..5, of 0 (the least significant) to %d", c.o.Bits, 16*r.Words-1)
	default:
		r.shift, r.mask = uint(from), 1<<(to-from+1)-1
		if to-from == 63 {
			r.mask = math.MaxUint64
		}
	}
}

// absent reads the numbers that stand for none.
func (c *modbusCompiler) absent(r *ModbusRegister) {
	for _, n := range c.o.NA {
		if strings.HasPrefix(r.Type, "float") {
			f, err := strconv.ParseFloat(string(n), 64)
			if err != nil {
				c.fail("na", "found %.30q, expected a number", string(n))
			}
			r.naReal = append(r.naReal, f)
			continue
		}
		u, err := n.uint64()
		size := 16 * r.Words
		switch {
		case r.Type == modbusString || r.Type == modbusBool:
			c.fail("na", "a %s has no number that stands for none", r.Type)
			return
		case err != nil:
			c.fail("na", "%v", err)
		case size < 64 && u>>size != 0 && u>>(size-1) != math.MaxUint64>>(size-1):
			c.fail("na", "found %s, which is no number of %d bits", n, size)
		}
		r.na = append(r.na, u&lowBits(size))
	}
}

func lowBits(n int) uint64 { return math.MaxUint64 >> (64 - n) }

func (c *modbusCompiler) count(r *ModbusRegister) {
	o := c.o
	if !o.Count {
		if o.Wrap != "" {
			c.fail("wrap", "found it where count is not true, remove one or add the other")
		}
		return
	}
	if r.Key == "" || r.Type == modbusString || r.Type == modbusBool || o.Bits != "" || o.Offset != 0 || o.Scale < 0 {
		c.fail("count", "a count needs a key and a number that grows: no string, bool, bits, offset or negative scale")
	}
	if size := 16 * r.Words; strings.HasPrefix(r.Type, "uint") && size < 64 {
		r.wrap = 1 << size
	}
	if o.Wrap == "" {
		return
	}
	wrap, err := o.Wrap.uint64()
	if err != nil || wrap < 2 || r.wrap > 0 && wrap > r.wrap || strings.HasPrefix(r.Type, "float") {
		c.fail("wrap", "found %.30q, expected the raw number, of an integer type, at which the counter is 0 again, such as 100000000", string(o.Wrap))
	}
	r.wrap = wrap
}

func (c *modbusCompiler) text(r *ModbusRegister) {
	switch {
	case r.Type == modbusString && r.Key != "":
		c.fail("type", "a string is no metric, give a dimension in place of the key")
	case len(c.o.Texts) > 0 && r.Dimension == "":
		c.fail("texts", "found texts and no dimension that takes them, add dimension: KEY")
	}
	for number := range c.o.Texts {
		if _, err := strconv.ParseInt(number, 10, 64); err != nil {
			c.fail("texts", "found %.30q, expected whole numbers as keys", number)
		}
	}
}
