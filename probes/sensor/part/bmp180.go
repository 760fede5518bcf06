package part

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// bmp180 measures when it is told to: first the temperature, then the pressure.
type bmp180 struct{ cal calibration180 }

const (
	bmp180Control     = 0xf4
	bmp180Value       = 0xf6
	bmp180Converting  = 0x20
	bmp180Temperature = 0x2e
	bmp180Pressure    = 0x34
	bmp180Samples     = 3 // as a power of two
)

func (d *bmp180) start(p port) error {
	if err := checkBosch(p, "bmp180"); err != nil {
		return err
	}
	var b [22]byte
	if err := p.register(0xaa, b[:]); err != nil {
		return err
	}
	for i := 0; i < len(b); i += 2 {
		if w := binary.BigEndian.Uint16(b[i:]); w == 0 || w == 0xffff { // as the data sheet says
			return fmt.Errorf("%w: its calibration is not in order", quantity.ErrNotSuch)
		}
	}
	d.cal = decode180(b)
	return nil
}

func (d *bmp180) read(p port) ([]quantity.Reading, error) {
	var b [3]byte
	if err := convert180(p, bmp180Temperature, 5*time.Millisecond, b[:2]); err != nil {
		return nil, err
	}
	warm := int64(b[0])<<8 | int64(b[1])
	if err := convert180(p, bmp180Pressure|bmp180Samples<<6, 27*time.Millisecond, b[:]); err != nil {
		return nil, err
	}
	press := (int64(b[0])<<16 | int64(b[1])<<8 | int64(b[2])) >> (8 - bmp180Samples)
	celsius, pascal := d.cal.both(warm, press, bmp180Samples)
	return []quantity.Reading{temperature(celsius, -40, 85), pressure(pascal)}, nil
}

func convert180(p port, what byte, duration time.Duration, into []byte) error {
	if err := p.write(bmp180Control, what); err != nil {
		return err
	}
	if err := p.wait(duration); err != nil {
		return err
	}
	err := p.until(4, 5*time.Millisecond, func() (bool, error) {
		now, err := p.byteOf(bmp180Control)
		return now&bmp180Converting == 0, err
	})
	if err != nil {
		return err
	}
	return p.register(bmp180Value, into)
}

// calibration180 are the numbers of the part, with their names in the data sheet.
type calibration180 struct{ ac1, ac2, ac3, ac4, ac5, ac6, b1, b2, mc, md int64 }

func decode180(b [22]byte) calibration180 {
	word := func(i int) uint16 { return binary.BigEndian.Uint16(b[2*i:]) }
	signed := func(i int) int64 { return int64(int16(word(i))) }
	return calibration180{
		ac1: signed(0), ac2: signed(1), ac3: signed(2),
		ac4: int64(word(3)), ac5: int64(word(4)), ac6: int64(word(5)),
		b1: signed(6), b2: signed(7), mc: signed(9), md: signed(10), // 8 is MB, which nothing uses
	}
}

// both gives degrees and pascals, not a number where the calibration gives none.
func (c *calibration180) both(warm, press int64, samples uint) (celsius, pascal float64) {
	x1 := (warm - c.ac6) * c.ac5 >> 15
	if x1+c.md == 0 {
		return math.NaN(), math.NaN()
	}
	b5 := x1 + c.mc<<11/(x1+c.md)
	celsius = float64((b5+8)>>4) / 10

	b6 := b5 - 4000
	x3 := (c.b2*(b6*b6>>12))>>11 + c.ac2*b6>>11
	b3 := ((c.ac1*4+x3)<<samples + 2) / 4
	x3 = (c.ac3*b6>>13 + c.b1*(b6*b6>>12)>>16 + 2) >> 2
	b4 := c.ac4 * (x3 + 32768) >> 15
	if b4 == 0 {
		return celsius, math.NaN()
	}
	p := (press - b3) * (50000 >> samples) * 2 / b4
	x1 = (p >> 8) * (p >> 8) * 3038 >> 16
	return celsius, float64(p + (x1+(-7357*p>>16)+3791)>>4)
}
