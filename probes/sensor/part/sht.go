package part

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Commands of the SHT3x and the HDC302x, which share the most of them.
const (
	shtMeasure  = 0x2400 // once, as exactly as possible, without holding the clock
	shtStop     = 0x3093
	shtStatus   = 0xf32d
	hdcMaker    = 0x3781
	hdcMakerTI  = 0x3000
	shtFollow   = time.Millisecond
	shtDuration = 20 * time.Millisecond // 15.5 ms at most
)

// single is a part that measures when it is told to. It keeps no settings.
type single struct{ maker bool } // it tells who has made it

var (
	sht3x   = single{}
	hdc302x = single{maker: true}
)

func (s single) start(p port) error {
	_ = p.write(shtStop>>8, shtStop&0xff) // of measurements that somebody else has begun; refused where there are none
	if err := p.wait(shtFollow); err != nil {
		return err
	}
	ask := uint16(shtStatus)
	if s.maker {
		ask = hdcMaker
	}
	words, err := p.command(ask, shtFollow, 1)
	if err != nil {
		return err
	}
	if s.maker && words[0] != hdcMakerTI {
		return fmt.Errorf("%w: its maker is %#04x, expected %#04x", quantity.ErrNotSuch, words[0], hdcMakerTI)
	}
	return nil
}

func (single) read(p port) ([]quantity.Reading, error) {
	words, err := p.command(shtMeasure, shtDuration, 2)
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{
		temperature(shtCelsius(words[0]), -40, 125),
		humidity(100 * float64(words[1]) / 65535),
	}, nil
}

func shtCelsius(raw uint16) float64 { return -45 + 175*float64(raw)/65535 }

// sht4x has commands of one byte.
type sht4x struct{}

func (sht4x) start(p port) error {
	const serial = 0x89
	if err := p.write(serial); err != nil {
		return err
	}
	_, err := p.words(shtFollow, 2)
	return err
}

func (sht4x) read(p port) ([]quantity.Reading, error) {
	const measure, duration = 0xfd, 10 * time.Millisecond // 8.3 ms at most
	if err := p.write(measure); err != nil {
		return nil, err
	}
	words, err := p.words(duration, 2)
	if err != nil {
		return nil, err
	}
	// Near the ends the formula goes beyond what is possible, which is no fault.
	percent := min(100, max(0, -6+125*float64(words[1])/65535))
	return []quantity.Reading{temperature(shtCelsius(words[0]), -40, 125), humidity(percent)}, nil
}
