package part

import (
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// aht20 is asked for a measurement and read once it is done.
type aht20 struct{}

const (
	ahtBusy       = 0x80
	ahtCalibrated = 0x08
)

// start loads the calibration where the part has not done so at power-on.
func (aht20) start(p port) error {
	var status [1]byte
	if err := p.read(status[:]); err != nil || status[0]&ahtCalibrated != 0 {
		return err
	}
	if err := p.write(0xbe, 0x08, 0x00); err != nil {
		return err
	}
	return p.wait(10 * time.Millisecond)
}

func (aht20) read(p port) ([]quantity.Reading, error) {
	if err := p.write(0xac, 0x33, 0x00); err != nil {
		return nil, err
	}
	if err := p.wait(80 * time.Millisecond); err != nil {
		return nil, err
	}
	var b [7]byte
	err := p.until(8, 10*time.Millisecond, func() (bool, error) {
		err := p.read(b[:])
		return b[0]&ahtBusy == 0, err
	})
	if err != nil {
		return nil, err
	}
	return decodeAHT20(b)
}

// decodeAHT20 reads the status, 20 bits of humidity, 20 bits of temperature and
// the checksum.
func decodeAHT20(b [7]byte) ([]quantity.Reading, error) {
	if crc8(b[:6]) != b[6] {
		return nil, quantity.ErrChecksum
	}
	if b[0]&ahtCalibrated == 0 {
		return nil, restarted()
	}
	const full = 1 << 20
	wet := uint32(b[1])<<12 | uint32(b[2])<<4 | uint32(b[3])>>4
	warm := uint32(b[3]&0x0f)<<16 | uint32(b[4])<<8 | uint32(b[5])
	return []quantity.Reading{
		temperature(200*float64(warm)/full-50, -40, 85),
		humidity(100 * float64(wet) / full),
	}, nil
}
