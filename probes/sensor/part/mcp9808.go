package part

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// mcp9808 measures by itself. What its settings say of its alarm output stays.
type mcp9808 struct{}

const (
	mcpSettings    = 1
	mcpTemperature = 5
	mcpMaker       = 6
	mcpDevice      = 7
	mcpResolution  = 8

	mcpMicrochip = 0x0054
	mcpShutdown  = 0x0100
	mcpFinest    = 3 // 1/16 degree
)

func (mcp9808) start(p port) error {
	maker, err := p.wordOf(mcpMaker)
	if err != nil {
		return err
	}
	device, err := p.wordOf(mcpDevice)
	if err != nil {
		return err
	}
	if maker != mcpMicrochip || device>>8 != 0x04 {
		return fmt.Errorf("%w: maker %#04x and device %#04x, expected 0x0054 and one from 0x0400 to 0x04ff", quantity.ErrNotSuch, maker, device)
	}
	now, err := p.wordOf(mcpSettings)
	if err != nil {
		return err
	}
	if err := p.write(mcpResolution, mcpFinest); err != nil {
		return err
	}
	if err := p.setWord(mcpSettings, now&^mcpShutdown); err != nil {
		return err
	}
	return p.wait(300 * time.Millisecond) // 250 ms for a conversion
}

func (mcp9808) read(p port) ([]quantity.Reading, error) {
	raw, err := p.wordOf(mcpTemperature)
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{temperature(mcpCelsius(raw), -40, 125)}, nil
}

// mcpCelsius is the meaning of the low 13 bits; the others are alarms.
func mcpCelsius(raw uint16) float64 { return float64(int16(raw<<3)) / 128 }
