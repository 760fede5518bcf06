package part

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Every part in the catalogue has a chip in the tests, and is read.
func TestEveryPart(t *testing.T) {
	all := chips(t)
	names := []string{}
	for _, p := range Catalogue() {
		names = append(names, p.Name)
		synctest.Test(t, func(t *testing.T) {
			c := all[p.Name]
			if c == nil {
				t.Fatalf("no chip for %s", p.Name)
			}
			if c.address < p.First || c.address > p.Last {
				t.Errorf("%s at %#x, expected %#x to %#x", p.Name, c.address, p.First, p.Last)
			}
			s := p.New(c.address, settings(t))
			for range 2 {
				readings, err := s.Read(t.Context(), c)
				if err != nil {
					t.Fatalf("%s: %v", p.Name, err)
				}
				checkReadings(t, p, readings)
			}
		})
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
}

func checkReadings(t *testing.T, p Part, readings []quantity.Reading) {
	t.Helper()
	if !p.Channels && len(readings) != len(p.Measures) {
		t.Errorf("%s gives %s, expected %v", p.Name, show(readings), p.Measures)
	}
	for _, r := range readings {
		if !slices.Contains(p.Measures, r.Of) || !inRange(r) || r.Min >= r.Max {
			t.Errorf("%s gives %+v", p.Name, r)
		}
	}
}

// A part that does not answer is an error of the bus at whatever transaction that
// is, and it is set up again as at first.
func TestVanish(t *testing.T) {
	for name := range chips(t) {
		fresh := chips(t)[name]
		var first []string
		synctest.Test(t, func(t *testing.T) {
			if _, err := readOnce(t, name, fresh, fresh.address); err != nil {
				t.Fatal(name, err)
			}
			first = fresh.written
		})
		for at := 1; at <= fresh.count; at++ {
			synctest.Test(t, func(t *testing.T) { vanish(t, name, at, first) })
		}
	}
}

// vanish takes the part away at one transaction of its second reading, or of the
// first, and gives it back without its power having been on.
func vanish(t *testing.T, name string, at int, first []string) {
	c := chips(t)[name]
	s := partOf(t, name).New(c.address, settings(t))
	c.fault = func(count int, w []byte) error {
		if count == at && !isStop(w) {
			return errNoAnswer
		}
		return nil
	}
	_, err := s.Read(t.Context(), c)
	if err == nil {
		if c.count < at {
			t.Errorf("%s: no transaction %d", name, at)
		}
		return // a stop that nobody hears is none
	}
	if !errors.Is(err, errNoAnswer) || errors.Is(err, quantity.ErrChecksum) || errors.Is(err, quantity.ErrNotReady) || errors.Is(err, quantity.ErrNotSuch) {
		t.Errorf("%s, transaction %d: %v", name, at, err)
	}
	if c.count != at {
		t.Errorf("%s went on after transaction %d failed, to %d", name, at, c.count)
	}
	c.written = nil
	if _, err := s.Read(t.Context(), c); err != nil {
		t.Errorf("%s, back after transaction %d: %v", name, at, err)
	}
	if len(c.written) != len(first) {
		t.Errorf("%s, back after transaction %d: wrote %v, expected as at first %v", name, at, c.written, first)
	}
}

func isStop(w []byte) bool {
	return bytes.Equal(w, []byte{0x30, 0x93}) || bytes.Equal(w, []byte{0x3f, 0x86})
}

// One wrong bit anywhere in an answer with a checksum is noticed, and costs no
// new set-up.
func TestWrongBit(t *testing.T) {
	for _, test := range []struct {
		part  string
		bytes int
	}{{"sht3x", 6}, {"hdc302x", 6}, {"sht4x", 6}, {"scd4x", 9}, {"aht20", 7}} {
		for bit := range 8 * test.bytes {
			if test.part == "aht20" && bit == 0 {
				continue // it says that it is busy
			}
			synctest.Test(t, func(t *testing.T) {
				c := chips(t)[test.part]
				s := partOf(t, test.part).New(c.address, settings(t))
				if _, err := s.Read(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				c.distort = func(r []byte) {
					if len(r) == test.bytes {
						r[bit/8] ^= 0x80 >> (bit % 8)
					}
				}
				if _, err := s.Read(t.Context(), c); !errors.Is(err, quantity.ErrChecksum) {
					t.Errorf("%s, bit %d: %v", test.part, bit, err)
				}
				c.distort, c.written = nil, nil
				if _, err := s.Read(t.Context(), c); err != nil || slices.ContainsFunc(c.written, isStart) {
					t.Errorf("%s: %v, wrote %v", test.part, err, c.written)
				}
			})
		}
	}
}

func isStart(w string) bool {
	return slices.Contains([]string{"3093", "f32d", "3781", "89", "3682", "21b1", "be0800"}, w)
}

// Another part at the address is named where its id is known.
func TestOtherPart(t *testing.T) {
	for _, test := range []struct {
		part string
		set  func(c *chip)
		want string
	}{
		{"bme280", func(c *chip) { c.setBytes(0xd0, 0x58) }, "write part: bmp280"},
		{"bmp280", func(c *chip) { c.setBytes(0xd0, 0x60) }, "write part: bme280"},
		{"bmp180", func(c *chip) { c.setBytes(0xd0, 0x61) }, "chip id is 0x61"},
		{"bmp280", func(c *chip) { c.setBytes(0x88, 0, 0) }, "calibration"},
		{"bmp180", func(c *chip) { c.setBytes(0xaa+6, 0xff, 0xff) }, "calibration"},
		{"mcp9808", func(c *chip) { c.setWord(6, 0xffff) }, "0xffff"},
		{"mcp9808", func(c *chip) { c.setWord(7, 0x0300) }, "0x0300"},
		{"ina226", func(c *chip) { c.setWord(0xfe, 0x399f) }, "0x399f"},
		{"hdc302x", func(c *chip) { c.answers["3781"] = sums(0x2000) }, "0x2000"},
		{"ads1115", func(c *chip) { c.afterPut = func(c *chip, register byte) { c.setWord(1, 0x8583) } }, "0x8583"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := chips(t)[test.part]
			test.set(c)
			if _, err := readOnce(t, test.part, c, c.address); !errors.Is(err, quantity.ErrNotSuch) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, expected %s", test.part, err, test.want)
			}
		})
	}
}

// A part that was without power between two readings is noticed, and set up again.
func TestLossOfPower(t *testing.T) {
	for _, test := range []struct {
		part string
		off  func(c *chip)
	}{
		{"bme280", func(c *chip) { c.setBytes(0xf5, 0) }},
		{"bmp280", func(c *chip) { c.setBytes(0xf5, 0) }},
		{"bmp280", func(c *chip) { c.setBytes(0xf7, 0x80, 0, 0) }}, // nothing measured
		{"bmp280", func(c *chip) { c.setBytes(0xfa, 0x80, 0, 0) }},
		{"bme280", func(c *chip) { c.setBytes(0xfd, 0x80, 0) }},
		{"tmp105", func(c *chip) { c.regs[1] = []byte{0} }},
		{"tmp75", func(c *chip) { c.regs[1] = []byte{0} }},
		{"tmp102", func(c *chip) { c.setWord(1, 0x61a0) }},
		{"lm75", func(c *chip) { c.regs[1] = []byte{1} }},
		{"ina219", func(c *chip) { c.setWord(0, 0x399f) }},
		{"ina226", func(c *chip) { c.setWord(0, 0x4127) }},
		{"aht20", func(c *chip) {
			c.answers[""] = append([]byte{0x10, 0, 0, 0, 0, 0}, slowCRC([]byte{0x10, 0, 0, 0, 0, 0}))
		}},
		{"scd4x", func(c *chip) { c.answers["e4b8"] = sums(0x8000) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := chips(t)[test.part]
			s := partOf(t, test.part).New(c.address, settings(t))
			if _, err := s.Read(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			good := chips(t)[test.part]
			test.off(c)
			if _, err := s.Read(t.Context(), c); !errors.Is(err, quantity.ErrNotReady) {
				t.Errorf("%s: %v", test.part, err)
			}
			if good.answers != nil { // registers are written, answers come back with the power
				c.answers = good.answers
			}
			for at := byte(0xf7); at != 0; at++ {
				if v := good.regs[at]; v != nil && !c.words {
					c.regs[at] = v
				}
			}
			if _, err := s.Read(t.Context(), c); err != nil {
				t.Errorf("%s, set up again: %v", test.part, err)
			}
		})
	}
}

// A part that measures without end does not hold the poll for ever.
func TestBusyForEver(t *testing.T) {
	for name, stuck := range map[string]func(c *chip){
		"bme280":  func(c *chip) { c.afterPut = func(c *chip, _ byte) { c.setBytes(0xf3, 0x08) } },
		"bmp280":  func(c *chip) { c.setBytes(0xf3, 0x01) },
		"bmp180":  func(c *chip) { c.afterPut = func(c *chip, _ byte) { c.setBytes(0xf4, 0x20) } },
		"ads1115": func(c *chip) { c.afterPut = func(c *chip, _ byte) { c.setWord(1, 0x4383) } },
		"aht20":   func(c *chip) { c.answers[""] = bytes.Repeat([]byte{0xff}, 7) },
		"scd4x":   func(c *chip) { c.answers["e4b8"] = sums(0x8000) },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := chips(t)[name]
			stuck(c)
			begun := time.Now()
			_, err := readOnce(t, name, c, c.address)
			if !errors.Is(err, quantity.ErrNotReady) || time.Since(begun) > 12*time.Second || c.count > 100 {
				t.Errorf("%s: %v after %v and %d transactions", name, err, time.Since(begun), c.count)
			}
		})
	}
}

// The end of a poll ends each wait at once, and no transaction begins after it.
func TestCancelled(t *testing.T) {
	for name := range chips(t) {
		synctest.Test(t, func(t *testing.T) {
			fresh := chips(t)[name]
			begun := time.Now()
			_, _ = readOnce(t, name, fresh, fresh.address)
			whole := time.Since(begun)
			for seventh := range time.Duration(7) {
				after := whole * seventh / 7
				c := chips(t)[name]
				ctx, cancel := context.WithTimeout(t.Context(), after+time.Microsecond)
				begun := time.Now()
				_, err := partOf(t, name).New(c.address, settings(t)).Read(ctx, c)
				cancel()
				if took := time.Since(begun); err == nil || !errors.Is(err, context.DeadlineExceeded) || took > after+time.Microsecond {
					t.Errorf("%s, ended after %v: %v, took %v", name, after, err, took)
				}
			}
			c := chips(t)[name]
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := partOf(t, name).New(c.address, settings(t)).Read(ctx, c); !errors.Is(err, context.Canceled) || c.count != 0 {
				t.Errorf("%s: %v, %d transactions", name, err, c.count)
			}
		})
	}
}

// The first measurement of an SCD4x comes five seconds after the start.
func TestFirstMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chips(t)["scd4x"]
		ready := c.answers["e4b8"]
		var begun time.Time
		c.fault = func(int, []byte) error {
			if begun.IsZero() && slices.Contains(c.written, "21b1") {
				begun = time.Now()
			}
			c.answers["e4b8"] = sums(0x8000)
			if !begun.IsZero() && time.Since(begun) > 5100*time.Millisecond {
				c.answers["e4b8"] = ready
			}
			return nil
		}
		if readings, err := readOnce(t, "scd4x", c, c.address); err != nil {
			t.Errorf("%s, %v", show(readings), err)
		}
	})
}
