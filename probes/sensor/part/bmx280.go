package part

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// bmx280 is the BMP280 and, with humidity, the BME280. It measures when it is
// told to.
type bmx280 struct {
	humid bool
	cal   calibration280
}

const (
	boschID       = 0xd0
	boschBMP180   = 0x55
	boschBME280   = 0x60
	bmxHumidity   = 0xf2
	bmxStatus     = 0xf3
	bmxControl    = 0xf4
	bmxSettings   = 0xf5
	bmxValues     = 0xf7
	bmxFourTimes  = 3                        // samples a value
	bmxForced     = bmxFourTimes*0x24 | 0x01 // of temperature and pressure, once
	bmxMeasuring  = 0x08
	bmxCopying    = 0x01
	bmxMark       = 0xa0                  // a pause that it never takes: its settings are not those after power-on
	bmxDuration   = 35 * time.Millisecond // 30.1 ms at most
	skippedLong   = 0x80000               // in place of a value that is not measured
	skippedShort  = 0x8000
	calibrationPT = 0x88
	calibrationH  = 0xe1
)

// boschName is the part of a chip id, "" for none that is known.
func boschName(id byte) string {
	switch id {
	case boschBMP180:
		return "bmp180"
	case 0x56, 0x57, 0x58:
		return "bmp280"
	case boschBME280:
		return "bme280"
	}
	return ""
}

// checkBosch tells which part it is in place of the one that is wanted.
func checkBosch(p port, want string) error {
	id, err := p.byteOf(boschID)
	if err != nil {
		return err
	}
	switch name := boschName(id); name {
	case want:
		return nil
	case "":
		return fmt.Errorf("%w: its chip id is %#02x, which no %s has", quantity.ErrNotSuch, id, want)
	default:
		return fmt.Errorf("%w: its chip id %#02x is that of a %s; write part: %s", quantity.ErrNotSuch, id, name, name)
	}
}

func (d *bmx280) start(p port) error {
	name := "bmp280"
	if d.humid {
		name = "bme280"
	}
	if err := checkBosch(p, name); err != nil {
		return err
	}
	err := p.until(4, 2*time.Millisecond, func() (bool, error) {
		status, err := p.byteOf(bmxStatus)
		return status&bmxCopying == 0, err // the calibration, after power-on
	})
	if err != nil {
		return err
	}
	var pt [26]byte
	if err := p.register(calibrationPT, pt[:]); err != nil {
		return err
	}
	var h [7]byte
	if d.humid {
		if err := p.register(calibrationH, h[:]); err != nil {
			return err
		}
	}
	d.cal = decode280(pt, h)
	if d.cal.t1 == 0 || d.cal.p1 == 0 {
		return fmt.Errorf("%w: it has no calibration", quantity.ErrNotSuch)
	}
	return p.write(bmxSettings, bmxMark)
}

func (d *bmx280) read(p port) ([]quantity.Reading, error) {
	begin := []byte{bmxControl, bmxForced}
	if d.humid { // it counts with the next write to the control register only
		begin = []byte{bmxHumidity, bmxFourTimes, bmxControl, bmxForced}
	}
	if err := p.write(begin...); err != nil {
		return nil, err
	}
	if err := p.wait(bmxDuration); err != nil {
		return nil, err
	}
	var state [bmxSettings - bmxStatus + 1]byte
	err := p.until(5, 10*time.Millisecond, func() (bool, error) {
		err := p.register(bmxStatus, state[:])
		return state[0]&bmxMeasuring == 0, err
	})
	if err != nil {
		return nil, err
	}
	if state[bmxSettings-bmxStatus] != bmxMark { // another part may be in its place, with a calibration of its own
		return nil, restarted()
	}
	var b [8]byte
	n := 6
	if d.humid {
		n = 8
	}
	if err := p.register(bmxValues, b[:n]); err != nil {
		return nil, err
	}
	return d.decode(b)
}

// decode reads 20 bits of pressure, 20 bits of temperature and 16 bits of
// humidity.
func (d *bmx280) decode(b [8]byte) ([]quantity.Reading, error) {
	press := int32(b[0])<<12 | int32(b[1])<<4 | int32(b[2])>>4
	warm := int32(b[3])<<12 | int32(b[4])<<4 | int32(b[5])>>4
	wet := int32(b[6])<<8 | int32(b[7])
	if press == skippedLong || warm == skippedLong || d.humid && wet == skippedShort {
		return nil, restarted()
	}
	fine := d.cal.fine(warm)
	readings := make([]quantity.Reading, 0, 3)
	readings = append(readings, temperature(fine/5120, -40, 85))
	if d.humid {
		readings = append(readings, humidity(d.cal.percent(wet, fine)))
	}
	return append(readings, pressure(d.cal.pascal(press, fine))), nil
}

// calibration280 are the numbers of the part, with their names in the data sheet.
type calibration280 struct {
	t1 uint16
	t2 int16
	t3 int16
	p1 uint16
	p  [10]int16 // from 2 on
	h1 uint8
	h2 int16
	h3 uint8
	h4 int16
	h5 int16
	h6 int8
}

func decode280(pt [26]byte, h [7]byte) (c calibration280) {
	word := func(at int) uint16 { return binary.LittleEndian.Uint16(pt[at:]) }
	c.t1, c.t2, c.t3, c.p1 = word(0), int16(word(2)), int16(word(4)), word(6)
	for i := 2; i < len(c.p); i++ {
		c.p[i] = int16(word(4 + 2*i))
	}
	c.h1, c.h2, c.h3 = pt[25], int16(binary.LittleEndian.Uint16(h[:])), h[2]
	c.h4 = int16(int8(h[3]))<<4 | int16(h[4]&0x0f) // 12 bits with a sign
	c.h5 = int16(int8(h[5]))<<4 | int16(h[4]>>4)   // likewise
	c.h6 = int8(h[6])
	return c
}

// fine is the temperature in 1/5120 degree.
func (c *calibration280) fine(raw int32) float64 {
	t := float64(raw)
	a := (t/16384 - float64(c.t1)/1024) * float64(c.t2)
	b := t/131072 - float64(c.t1)/8192
	return a + b*b*float64(c.t3)
}

// pascal is 0 where it has no meaning.
func (c *calibration280) pascal(raw int32, fine float64) float64 {
	a := fine/2 - 64000
	b := a*a*float64(c.p[6])/32768 + a*float64(c.p[5])*2
	b = b/4 + float64(c.p[4])*65536
	a = (float64(c.p[3])*a*a/524288 + float64(c.p[2])*a) / 524288
	a = (1 + a/32768) * float64(c.p1)
	if a == 0 {
		return 0
	}
	p := (1048576 - float64(raw) - b/4096) * 6250 / a
	high := float64(c.p[9]) * p * p / 2147483648
	return p + (high+p*float64(c.p[8])/32768+float64(c.p[7]))/16
}

func (c *calibration280) percent(raw int32, fine float64) float64 {
	a := fine - 76800
	h := (float64(raw) - (float64(c.h4)*64 + float64(c.h5)/16384*a)) *
		(float64(c.h2) / 65536 * (1 + float64(c.h6)/67108864*a*(1+float64(c.h3)/67108864*a)))
	h *= 1 - float64(c.h1)*h/524288
	return min(100, max(0, h))
}
