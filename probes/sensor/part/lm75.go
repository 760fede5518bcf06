package part

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Registers of the LM75 and its many relatives.
const (
	lmTemperature = 0
	lmSettings    = 1

	lmShutdown   = 0x01
	lmResolution = 0x60
	lmFirst      = 300 * time.Millisecond // the slowest conversion of them all
)

// tmpBits are the resolutions that the TMP75 and TMP105 can be set to.
var tmpBits = []int{9, 10, 11, 12}

// lm75 measures by itself. What its settings say of its alarm output stays: a
// thermostat may hang on it.
type lm75 struct {
	bits int
	set  bool // the resolution can be chosen
}

func newTMP(s Settings) driver {
	d := &lm75{bits: slices.Max(tmpBits), set: true}
	if s.Resolution != 0 {
		d.bits = s.Resolution
	}
	return d
}

// own are the settings that are the driver's, as they should be.
func (d *lm75) own() (mask, want byte) {
	if !d.set {
		return lmShutdown, 0
	}
	return lmShutdown | lmResolution, byte(d.bits-9) << 5
}

func (d *lm75) start(p port) error {
	now, err := p.byteOf(lmSettings)
	if err != nil {
		return err
	}
	mask, want := d.own()
	if err := p.write(lmSettings, now&^mask|want); err != nil {
		return err
	}
	return p.wait(lmFirst)
}

func (d *lm75) read(p port) ([]quantity.Reading, error) {
	now, err := p.byteOf(lmSettings)
	if err != nil {
		return nil, err
	}
	if mask, want := d.own(); now&mask != want {
		return nil, restarted()
	}
	raw, err := p.wordOf(lmTemperature)
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{temperature(lm75Celsius(raw, d.bits), -55, 127.9375)}, nil
}

// lm75Celsius is the meaning of so many bits at the upper end of a word; the
// others are undefined.
func lm75Celsius(raw uint16, bits int) float64 {
	return float64(int16(raw&^(0xffff>>bits))) / 256
}

// tmp102 is an LM75 with settings of 16 bits.
type tmp102 struct{}

const (
	tmpOwn  = 0x01d0 // shutdown, rate, extended mode
	tmpWant = 0x0080 // on, four times a second, 12 bits
)

func (tmp102) start(p port) error {
	now, err := p.wordOf(lmSettings)
	if err != nil {
		return err
	}
	if err := p.setWord(lmSettings, now&^tmpOwn|tmpWant); err != nil {
		return err
	}
	return p.wait(lmFirst)
}

func (tmp102) read(p port) ([]quantity.Reading, error) {
	now, err := p.wordOf(lmSettings)
	if err != nil {
		return nil, err
	}
	if now&tmpOwn != tmpWant {
		return nil, restarted()
	}
	raw, err := p.wordOf(lmTemperature)
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{temperature(lm75Celsius(raw, 12), -55, 127.9375)}, nil
}
