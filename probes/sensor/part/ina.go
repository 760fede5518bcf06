package part

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// inaModel is how a member of the family differs from the others.
type inaModel struct {
	settings  uint16  // 16 samples a value, without end; not those after power-on
	shuntStep float64 // volt
	shuntEnd  float64 // volt, beyond which it cannot see
	busShift  int     // bits of the bus voltage that are flags
	busStep   float64 // volt
	busEnd    float64 // volt
	maker     bool    // it tells who has made it
}

var (
	ina219 = inaModel{settings: 0x3e67, shuntStep: 10e-6, shuntEnd: 0.32, busShift: 3, busStep: 4e-3, busEnd: 26}
	ina226 = inaModel{settings: 0x4527, shuntStep: 2.5e-6, shuntEnd: 0.08192, busStep: 1.25e-3, busEnd: 36, maker: true}
)

// ina measures a voltage and the one over a resistor. Current and power are
// worked out here, so that no calibration is in the part, which would lose it
// with its power and tell a current of zero from then on.
type ina struct {
	inaModel
	shunt float64 // ohm
}

func newINA(m inaModel, s Settings) driver { return &ina{m, s.Shunt} }

const (
	inaSettings = 0
	inaShunt    = 1
	inaBus      = 2
	inaMaker    = 0xfe
	inaTI       = 0x5449
)

func (d *ina) start(p port) error {
	if d.maker {
		maker, err := p.wordOf(inaMaker)
		if err != nil {
			return err
		}
		if maker != inaTI {
			return fmt.Errorf("%w: its maker is %#04x, expected %#04x", quantity.ErrNotSuch, maker, inaTI)
		}
	}
	if err := p.setWord(inaSettings, d.settings); err != nil {
		return err
	}
	return p.wait(50 * time.Millisecond) // the first values: 35 ms
}

func (d *ina) read(p port) ([]quantity.Reading, error) {
	var words [3]uint16
	for i, register := range []byte{inaSettings, inaShunt, inaBus} {
		var err error
		if words[i], err = p.wordOf(register); err != nil {
			return nil, err
		}
	}
	if words[0] != d.settings {
		return nil, restarted()
	}
	return d.decode(words[1], words[2]), nil
}

func (d *ina) decode(shunt, bus uint16) []quantity.Reading {
	volts := float64(bus>>d.busShift) * d.busStep
	amperes := float64(int16(shunt)) * d.shuntStep / d.shunt
	most := (d.shuntEnd - d.shuntStep*1.5) / d.shunt // the last step may stand for any current beyond
	return []quantity.Reading{
		{Of: quantity.Current, Value: amperes, Min: -most, Max: most},
		{Of: quantity.Voltage, Value: volts, Min: 0, Max: d.busEnd},
		{Of: quantity.Power, Value: volts * amperes, Min: -most * d.busEnd, Max: most * d.busEnd},
	}
}
