package part

import (
	"encoding/binary"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/physic"
	periphAHT20 "periph.io/x/devices/v3/aht20"
	"periph.io/x/devices/v3/bmxx80"
	periphHDC "periph.io/x/devices/v3/hdc302x"
	periphMCP "periph.io/x/devices/v3/mcp9808"
	periphSCD "periph.io/x/devices/v3/scd4x"
	periphTMP "periph.io/x/devices/v3/tmp102"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// The drivers of periph.io were written by others from the same data sheets: both
// have to understand a part alike.
func TestAgainstPeriph(t *testing.T) {
	for name, ask := range map[string]func(c *chip) (physic.Env, error){
		"mcp9808": func(c *chip) (e physic.Env, err error) {
			d, err := periphMCP.New(c, &periphMCP.Opts{Addr: int(c.address)})
			if err == nil {
				err = d.Sense(&e)
			}
			return e, err
		},
		"tmp102": func(c *chip) (e physic.Env, err error) {
			d, err := periphTMP.NewI2C(c, c.address, nil)
			if err == nil {
				err = d.Sense(&e)
			}
			return e, err
		},
		"hdc302x": func(c *chip) (e physic.Env, err error) {
			d, err := periphHDC.NewI2C(c, c.address, periphHDC.RateHertz)
			if err == nil {
				err = d.Sense(&e)
			}
			return e, err
		},
		"aht20": func(c *chip) (e physic.Env, err error) {
			d, err := periphAHT20.NewI2C(c, nil)
			if err == nil {
				err = d.Sense(&e)
			}
			return e, err
		},
		"scd4x": func(c *chip) (physic.Env, error) {
			var e periphSCD.Env
			d, err := periphSCD.NewI2C(c, c.address)
			if err == nil {
				err = d.Sense(&e)
			}
			return e.Env, err
		},
		"bme280": bosch, "bmp280": bosch, "bmp180": bosch,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for seed := range uint64(300) {
					compare(t, name, seed, ask)
				}
			})
		})
	}
}

func bosch(c *chip) (e physic.Env, err error) {
	d, err := bmxx80.NewI2C(c, c.address, &bmxx80.DefaultOpts)
	if err == nil {
		err = d.Sense(&e)
	}
	return e, err
}

func compare(t *testing.T, name string, seed uint64, ask func(c *chip) (physic.Env, error)) {
	t.Helper()
	ours, theirs := chips(t)[name], chips(t)[name]
	randomise(ours, name, seed)
	randomise(theirs, name, seed)
	want, err := ask(theirs)
	if err != nil {
		t.Fatalf("%d: periph: %v", seed, err)
	}
	readings, err := readOnce(t, name, ours, ours.address)
	if err != nil {
		t.Fatalf("%d: %v", seed, err)
	}
	for _, r := range readings {
		same := true
		switch r.Of {
		case quantity.Temperature:
			same = near(r.Value, want.Temperature.Celsius(), 0.011)
		case quantity.Humidity:
			same = near(r.Value, float64(want.Humidity)/float64(physic.PercentRH), 0.02)
		case quantity.Pressure: // one works with integers, the other with floats
			same = near(r.Value, float64(want.Pressure)/float64(physic.Pascal), 3)
		}
		if !same {
			t.Errorf("%d: %+v, periph has %v", seed, r, want)
		}
	}
}

// randomise sets what a part measures, and in part its calibration.
func randomise(c *chip, name string, seed uint64) {
	rnd := noise(seed)
	word := func() uint16 { return uint16(rnd.Uint32()) }
	switch name {
	case "mcp9808":
		c.setWord(5, word())
	case "tmp102":
		c.setWord(0, word()&0xfff0)
	case "hdc302x":
		c.answers["e000"] = sums(word(), word())
		c.answers["2400"] = c.answers["e000"]
	case "scd4x":
		c.answers["ec05"] = sums(word(), word(), word())
		c.answers["36f6"] = nil
	case "aht20":
		b := []byte{0x18, byte(word()), byte(word()), byte(word()), byte(word()), byte(word())}
		c.answers[""] = append(b, slowCRC(b))
		c.answers["71"] = []byte{0x18}
	case "bmp180":
		warm, press := 27000+word()%2000, 23000+word()%3000
		c.afterPut = func(c *chip, register byte) {
			if register != 0xf4 {
				return
			}
			up := uint32(press) << 8
			if c.regs[0xf4][0] == 0x2e {
				up = uint32(warm) << 8
			} else if c.regs[0xf4][0]>>6 == 2 { // periph takes four samples: the same sum in fewer bits
				up &^= 0x1f
			}
			c.setBytes(0xf6, byte(up>>16), byte(up>>8), byte(up))
			c.setBytes(0xf4, c.regs[0xf4][0]&^0x20)
		}
	default:
		var b [2]byte
		for _, at := range []byte{0x88, 0x8a, 0x8e, 0x90, 0x9c} { // T1, T2, P1, P2, P8: within a few percent
			old := uint16(c.regs[at][0]) | uint16(c.regs[at+1][0])<<8
			binary.LittleEndian.PutUint16(b[:], old+word()%512)
			c.setBytes(at, b[:]...)
		}
		c.setBytes(0xe4, byte(0x10+word()%8), byte(word()), byte(word()%8)) // as real parts have it; periph takes negative ones for large ones
		c.setBytes(0xe3, byte(word()%64))
		press, warm, wet := 380_000+rnd.Uint32N(80_000), 440_000+rnd.Uint32N(160_000), word()&0x7fff
		c.setBytes(0xf7, byte(press>>12), byte(press>>4), byte(press<<4), byte(warm>>12), byte(warm>>4), byte(warm<<4), byte(wet>>8), byte(wet))
	}
}

// Numbers of 12 bits with a sign, of which periph takes negative ones for large ones.
func TestNegativeH4(t *testing.T) {
	var pt [26]byte
	for _, test := range []struct {
		h      [7]byte
		h4, h5 int16
	}{
		{[7]byte{3: 0xff, 4: 0x0f}, -1, 0},
		{[7]byte{3: 0x80, 4: 0x00}, -2048, 0},
		{[7]byte{3: 0x13, 4: 0x29, 5: 0x03}, 0x139, 0x32},
		{[7]byte{4: 0xf0, 5: 0xff}, 0, -1},
		{[7]byte{4: 0x10, 5: 0x80}, 0, -2047},
	} {
		if c := decode280(pt, test.h); c.h4 != test.h4 || c.h5 != test.h5 {
			t.Errorf("% x: %d and %d, expected %d and %d", test.h, c.h4, c.h5, test.h4, test.h5)
		}
	}
}
