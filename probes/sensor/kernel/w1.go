package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// families are the thermometers that the kernel's w1_therm drives, with the range
// in Celsius that each can tell.
var families = map[string][2]float64{
	"10": {-55, 125},      // DS18S20
	"22": {-55, 125},      // DS1822
	"28": {-55, 125},      // DS18B20
	"3b": {-270, hottest}, // DS1825, and MAX31850 for thermocouples
	"42": {-40, 85},       // DS28EA00
}

// isThermometer takes a family and a serial number as the kernel writes them.
func isThermometer(address string) bool {
	family, serial, _ := strings.Cut(address, "-")
	_, known := families[family]
	_, err := hex.DecodeString(serial)
	return known && err == nil && len(serial) == 12 && serial == strings.ToLower(serial)
}

// thermometer reads one sensor on a 1-wire bus.
type thermometer struct {
	bus, address string
	last         float64 // that was believed; 0: none, which is far from powerOn too
}

// powerOn is what all of them say, in thousandths of a degree, when they were
// switched on and have not measured since, e.g. because the power broke down while
// they did.
const powerOn = 85_000

func (t *thermometer) read() ([]quantity.Reading, error) {
	measured, err := t.measure()
	if err != nil {
		return nil, err
	}
	if !measured.believable(t.last) {
		return nil, gone("read 1-wire %s: it says 85 C, which is what it says before it has measured: its power may break down (pull-up, length of the wires): %w", t.address, quantity.ErrNotReady)
	}
	celsius := float64(measured.milli) / 1000
	bounds := families[t.address[:2]]
	t.last = celsius
	return []quantity.Reading{{Of: quantity.Temperature, Value: celsius, Min: bounds[0], Max: bounds[1]}}, nil
}

func (t *thermometer) measure() (measurement, error) {
	text, err := readText(filepath.Join(t.bus, t.address, "w1_slave"))
	if err == nil {
		m, err := parseSlave(text)
		if err != nil {
			return m, gone("read 1-wire %s: %w", t.address, err)
		}
		return m, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return measurement{}, gone("read 1-wire %s: %w", t.address, err)
	}
	milli, err := readNumber(filepath.Join(t.bus, t.address, "temperature")) // the kernel has checked it
	if errors.Is(err, fs.ErrNotExist) {
		return measurement{}, t.missing()
	}
	if err != nil {
		return measurement{}, gone("read 1-wire %s: %w", t.address, err)
	}
	return measurement{milli: int(milli)}, nil
}

// missing tells which others there are.
func (t *thermometer) missing() error {
	dirs, err := entries(t.bus)
	if err != nil {
		return gone("find 1-wire %s: %w", t.address, err)
	}
	var others []string
	for _, dir := range dirs {
		if name := filepath.Base(dir); isThermometer(name) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return gone("1-wire %s is not there, and no other thermometer: look at its wires, and at the overlay w1-gpio or the driver of the adapter", t.address)
	}
	return gone("1-wire %s is not there: look at its wires; there are %s", t.address, strings.Join(others, ", "))
}

// measurement is what a thermometer has said.
type measurement struct {
	pad   [9]byte // its scratchpad; all 0: not known
	milli int     // thousandths of a degree Celsius
}

// The byte of the scratchpad that tells whether there was a conversion: after one
// that gave whole degrees it is 0x10, when the part was switched on 0x0c. Copies of
// the part have other values there.
const (
	countByte = 6
	converted = 0x10
	nearHot   = 80 // Celsius
)

// believable refuses 85 degrees, unless the scratchpad shows a conversion or the
// value before was near.
func (m measurement) believable(last float64) bool {
	return m.milli != powerOn || m.pad[countByte] == converted || last >= nearHot
}

// parseSlave reads the two lines of w1_slave. The kernel has checked the CRC; the
// bytes are checked here again, for what the kernel takes: a line that is shorted
// gives nine zeros, whose CRC is right.
func parseSlave(text string) (m measurement, err error) {
	if text == "" {
		return m, errors.New("it does not answer")
	}
	first, second, _ := strings.Cut(text, "\n")
	pad, verdict, ok := splitPad(first)
	fields := strings.Fields(verdict)
	if !ok || len(fields) != 3 || fields[0] != ":" || fields[2] != "YES" && fields[2] != "NO" {
		return m, fmt.Errorf("%.80q is no line of w1_slave", first)
	}
	switch {
	case pad == [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255}:
		return m, errors.New("it does not answer: all bytes are ff")
	case fields[2] == "NO" || crc8(pad[:8]) != pad[8]:
		return m, fmt.Errorf("the bytes % x: %w", pad, quantity.ErrChecksum)
	case pad == [9]byte{}:
		return m, fmt.Errorf("all bytes are 0, the line may be shorted: %w", quantity.ErrChecksum)
	}
	again, value, ok := splitPad(second)
	milli, isValue := strings.CutPrefix(value, "t=")
	m.milli, err = strconv.Atoi(milli)
	if !ok || !isValue || err != nil || again != pad {
		return m, fmt.Errorf("%.80q does not go with the line before it in w1_slave", second)
	}
	m.pad = pad
	return m, nil
}

// splitPad takes nine bytes in hex off a line.
func splitPad(line string) (pad [9]byte, rest string, ok bool) {
	const size = len("00 ") * len(pad)
	if len(line) < size {
		return pad, "", false
	}
	text := strings.ReplaceAll(line[:size], " ", "")
	n, err := hex.Decode(pad[:], []byte(text[:min(len(text), 2*len(pad))]))
	return pad, line[size:], err == nil && n == len(pad) && len(text) == 2*len(pad)
}

// crc8 is that of 1-wire: x^8 + x^5 + x^4 + 1, the low bit first.
func crc8(data []byte) byte {
	var crc byte
	for _, b := range data {
		crc ^= b
		for range 8 {
			if carry := crc & 1; carry != 0 {
				crc = crc>>1 ^ 0x8c
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}
