package part

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Channel is one input of a converter, or two of which the difference is read.
type Channel struct {
	input, gain string
	mux         uint16
	amplifier   int
}

// The inputs and amplifications that the converters have, each at the place of
// its bits in their settings.
var (
	adsInputs = []string{"0-1", "0-3", "1-3", "2-3", "0", "1", "2", "3"}
	adsGains  = []string{"2/3", "1", "2", "4", "8", "16"}
	adsVolts  = []float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256}
)

// NewChannel finds a channel by its input, such as 0 or 0-1, and its
// amplification, such as 2/3 or 1. The errors name the field.
func NewChannel(input, gain string) (Channel, error) {
	mux, amplifier := indexOf(adsInputs, input), indexOf(adsGains, gain)
	if mux < 0 {
		return Channel{}, fmt.Errorf("input: found %.20q, expected 0 to 3, or two of which the difference is read: 0-1, 0-3, 1-3 or 2-3", input)
	}
	if amplifier < 0 {
		return Channel{}, fmt.Errorf("gain: found %.20q, expected %s for inputs up to 6.144, 4.096, 2.048, 1.024, 0.512 or 0.256 V", gain, strings.Join(adsGains, ", "))
	}
	return Channel{input: input, gain: gain, mux: uint16(mux), amplifier: amplifier}, nil
}

func indexOf(all []string, one string) int {
	for i, s := range all {
		if s == one {
			return i
		}
	}
	return -1
}

// ads converts when it is told to. It keeps no settings from one to the next.
type ads struct {
	channels []Channel
	duration time.Duration // of one conversion, a tenth longer than the data sheet's
}

const (
	adsConversion = 0
	adsSettings   = 1

	adsIdle = 0x8000 // written, it starts a conversion
	// One conversion, 128 a second with 16 bits and 1600 with 12, no comparator.
	adsOnce = 0x0100 | 0x0080 | 0x0003
)

func (*ads) start(port) error { return nil }

func (d *ads) read(p port) ([]quantity.Reading, error) {
	readings := make([]quantity.Reading, len(d.channels))
	for i, c := range d.channels {
		volts, err := d.convert(p, c)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", c.input, err)
		}
		// A converter at the end of its scale tells nothing.
		most := math.Nextafter(adsVolts[c.amplifier]*0x7ff0/0x8000, 0)
		readings[i] = quantity.Reading{Of: quantity.Voltage, Value: volts, Index: c.input, Min: -most, Max: most}
	}
	return readings, nil
}

func (d *ads) convert(p port, c Channel) (volts float64, err error) {
	settings := c.mux<<12 | uint16(c.amplifier)<<9 | adsOnce
	if err := p.setWord(adsSettings, settings|adsIdle); err != nil {
		return 0, err
	}
	if err := p.wait(d.duration); err != nil {
		return 0, err
	}
	err = p.until(5, d.duration, func() (bool, error) {
		now, err := p.wordOf(adsSettings)
		if err == nil && now&^adsIdle != settings {
			err = fmt.Errorf("%w: it reads %#04x where %#04x was written", quantity.ErrNotSuch, now, settings)
		}
		return now&adsIdle != 0, err
	})
	if err != nil {
		return 0, err
	}
	raw, err := p.wordOf(adsConversion)
	return float64(int16(raw)) * adsVolts[c.amplifier] / 0x8000, err
}
