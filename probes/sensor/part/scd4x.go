package part

import (
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// scd4x measures by itself every five seconds once it is started.
type scd4x struct{}

const (
	scdStop   = 0x3f86
	scdSerial = 0x3682
	scdStart  = 0x21b1
	scdReady  = 0xe4b8
	scdRead   = 0xec05

	scdFollow = 2 * time.Millisecond // 1 ms at most
	scdPeriod = 5 * time.Second
)

func (scd4x) start(p port) error {
	_ = p.write(scdStop>>8, scdStop&0xff) // it may be measuring, and hears little else then
	if err := p.wait(500 * time.Millisecond); err != nil {
		return err
	}
	if _, err := p.command(scdSerial, scdFollow, 3); err != nil {
		return err
	}
	return p.write(scdStart>>8, scdStart&0xff)
}

// read waits for a period at most: a part that was without power since its start is
// never ready.
func (scd4x) read(p port) ([]quantity.Reading, error) {
	const pause = 200 * time.Millisecond
	err := p.until(1+int(scdPeriod/pause)+5, pause, func() (bool, error) {
		words, err := p.command(scdReady, scdFollow, 1)
		return err == nil && words[0]&0x07ff != 0, err
	})
	if err != nil {
		return nil, err
	}
	words, err := p.command(scdRead, scdFollow, 3)
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{
		{Of: quantity.CO2, Value: float64(words[0]), Min: 0, Max: 40_000},
		temperature(shtCelsius(words[1]), -10, 60),
		humidity(100 * float64(words[2]) / 65535),
	}, nil
}
