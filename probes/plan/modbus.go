package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// ModbusPrefix goes before a metric key that has no dot.
const ModbusPrefix = "edgehold.modbus."

// ModbusProfiles gives what to read from known kinds of Modbus devices. It may
// be used by several goroutines.
type ModbusProfiles interface {
	Named(name string) (*ModbusProfile, error)
	Names() []string // sorted
}

// ModbusProfile is what to read from one kind of device. It is immutable.
type ModbusProfile struct {
	Name         string // e.g. eastron-sdm630
	DeviceType   string // "": the name
	MaxRegisters int    // of one read; 0: as the protocol has it
	MaxGap       *int   // unused registers that one read may span; nil: the probe's default
	Registers    []ModbusRegister
}

// ModbusTable is one of the four tables of a device.
type ModbusTable string

// The tables, and the function that reads each.
const (
	ModbusHolding  ModbusTable = "holding"  // 3
	ModbusInput    ModbusTable = "input"    // 4
	ModbusCoil     ModbusTable = "coil"     // 1
	ModbusDiscrete ModbusTable = "discrete" // 2
)

// Bits tells whether the table holds bits, not registers.
func (t ModbusTable) Bits() bool { return t == ModbusCoil || t == ModbusDiscrete }

// ModbusNumber is a whole number as manuals write it: 52, 0x34, 34h or -1; of
// a float also 1.5.
type ModbusNumber string

// UnmarshalText takes any text; what it is used for knows what is allowed.
func (n *ModbusNumber) UnmarshalText(text []byte) error {
	*n = ModbusNumber(text)
	return nil
}

var errNumber = errors.New("expected a whole number such as 52, 0x34 or 34h")

// uint64 is the number; a negative one is in two's complement.
func (n ModbusNumber) uint64() (uint64, error) {
	text := string(n)
	digits, negative := strings.CutPrefix(text, "-")
	base := 10
	if hex, ok := strings.CutPrefix(strings.ToLower(digits), "0x"); ok {
		digits, base = hex, 16
	} else if hex, ok := strings.CutSuffix(strings.ToLower(digits), "h"); ok {
		digits, base = hex, 16
	} else if len(digits) > 1 && digits[0] == '0' {
		return 0, fmt.Errorf("found %.30q, which may be decimal or hexadecimal; write 0x%s or %s", text, digits, strings.TrimLeft(digits, "0"))
	}
	u, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil || strings.ContainsAny(digits, "+-_"):
		return 0, fmt.Errorf("found %.30q, %w", text, errNumber)
	case negative:
		return -u, nil
	}
	return u, nil
}

// ModbusRegisterOptions describe one value of a device, in a profile or in an
// entry of the configuration.
type ModbusRegisterOptions struct {
	Key         string            `yaml:"key"`         // of the metric; without a dot ModbusPrefix goes before it
	Dimension   string            `yaml:"dimension"`   // its text goes here; without a key on all metrics of the device
	Address     ModbusNumber      `yaml:"address"`     // as it is sent, the first is 0
	Table       ModbusTable       `yaml:"table"`       // "": that of the profile or entry
	Type        string            `yaml:"type"`        // uint16 where it is ""
	Length      int               `yaml:"length"`      // of a string, in registers
	Order       string            `yaml:"order"`       // "": that of the profile or entry
	Bits        string            `yaml:"bits"`        // 3, or 3..5
	Scale       float64           `yaml:"scale"`       // 0 is 1
	Offset      float64           `yaml:"offset"`      // value = raw * scale + offset
	NA          []ModbusNumber    `yaml:"na"`          // raw numbers that stand for none
	Texts       map[string]string `yaml:"texts"`       // for the dimension, by number
	Count       bool              `yaml:"count"`       // it grows: its growth is told
	Wrap        ModbusNumber      `yaml:"wrap"`        // of a count: it begins anew here
	Dimensions  map[string]string `yaml:"dimensions"`  // of this metric
	Unit        string            `yaml:"unit"`        // as Dynatrace writes it
	Name        string            `yaml:"name"`        // for people
	Description string            `yaml:"description"` // for people
}

// ModbusDefaults are those of the registers of a profile or entry.
type ModbusDefaults struct {
	Table ModbusTable // "": holding
	Order string      // "": ABCD
}

// ModbusFault is what is wrong with one register.
type ModbusFault struct {
	Index       int // of the register
	Field, Text string
}

// Error names the field as the configuration does.
func (f *ModbusFault) Error() string {
	return fmt.Sprintf("registers[%d].%s: %s", f.Index, f.Field, f.Text)
}

// ModbusRegister is one checked value of a device.
type ModbusRegister struct {
	Key       string // "": only a dimension
	Dimension string
	Table     ModbusTable
	Address   int
	Words     int // registers, or bits of a table of bits, that it takes
	Type      string
	Count     bool
	Dims      []probes.Dimension
	Meta      probes.Metadata

	order  modbusOrder
	shift  uint
	mask   uint64 // 0: no bit field
	na     []uint64
	naReal []float64
	number Conversion
	texts  map[string]string
	wrap   uint64 // 0: it does not wrap
}

// Text tells whether the register is read for a dimension of all metrics, which
// seldom changes: an identity, not a state.
func (r *ModbusRegister) Text() bool { return r.Key == "" && r.texts == nil }

// modbusOrder gives the byte of each place as it comes: 0 is the most
// significant one. nil: most significant first.
type modbusOrder []uint8

// wideOrders are the orders of four bytes that mean the same for other widths:
// whether words, and whether the bytes in them, are swapped.
var wideOrders = map[string]struct{ words, bytes bool }{
	"ABCD": {}, "CDAB": {words: true}, "BADC": {bytes: true}, "DCBA": {words: true, bytes: true},
}

// parseModbusOrder reads AB, ABCD or ABCDEFGH, or the same letters in another
// order: A is the most significant byte, and the first letter the byte that
// comes first. An order of four letters is also one of two and of eight bytes.
func parseModbusOrder(text string, size int) (modbusOrder, error) {
	text = strings.ToUpper(text)
	wide, known := wideOrders[text]
	if len(text) != size && known {
		order := make(modbusOrder, size)
		for i := range order {
			word, low := i/2, i%2
			if wide.words {
				word = size/2 - 1 - word
			}
			if wide.bytes {
				low = 1 - low
			}
			order[i] = uint8(2*word + low)
		}
		return order, nil
	}
	order, seen := make(modbusOrder, len(text)), 0
	for i := range len(text) {
		order[i] = text[i] - 'A'
		if order[i] < 8 {
			seen |= 1 << order[i]
		}
	}
	if len(text) != size || seen != 1<<size-1 {
		return nil, fmt.Errorf("found %.20q, expected ABCD (most significant byte first), CDAB, BADC or DCBA, or the first %d letters in the order in which the bytes come", text, size)
	}
	return order, nil
}

// arrange puts bytes as they came into the order of their significance.
func (o modbusOrder) arrange(raw []byte) (sorted [8]byte) {
	for i, place := range o {
		sorted[place] = raw[i]
	}
	return sorted
}

// OrNumber implements probes.OrNumber.
func (ModbusNumber) OrNumber() {}
