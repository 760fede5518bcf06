package part

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Whatever words come, those with their checksums are taken, and no others.
func FuzzWords(f *testing.F) {
	f.Add(sums(0xbeef, 0), byte(0))
	f.Add([]byte{0x01, 0xf4, 0x33, 0x66, 0x67, 0xa2}, byte(3))
	f.Fuzz(func(t *testing.T, b []byte, flip byte) {
		b = b[:len(b)/3*3]
		words, err := decodeWords(b)
		right := true
		for i := 0; i < len(b); i += 3 {
			right = right && slowCRC(b[i:i+2]) == b[i+2]
		}
		if right != (err == nil) || err != nil && !errors.Is(err, quantity.ErrChecksum) {
			t.Fatalf("% x: %v", b, err)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(sums(words...), b) {
			t.Errorf("% x becomes % x", b, sums(words...))
		}
		if len(b) > 0 {
			b[int(flip)%len(b)] ^= 1 << (flip % 8)
			if _, err := decodeWords(b); err == nil {
				t.Errorf("% x is taken with a wrong bit", b)
			}
		}
	})
}

// encode puts degrees and percent into an answer of an AHT20.
func encodeAHT20(warm, wet uint32) [7]byte {
	b := []byte{0x18, byte(wet >> 12), byte(wet >> 4), byte(wet<<4) | byte(warm>>16)&0xf, byte(warm >> 8), byte(warm)}
	return [7]byte(append(b, slowCRC(b)))
}

func FuzzAHT20(f *testing.F) {
	f.Add(uint32(0x60000), uint32(0x80000))
	f.Fuzz(func(t *testing.T, warm, wet uint32) {
		warm, wet = warm&0xfffff, wet&0xfffff
		readings, err := decodeAHT20(encodeAHT20(warm, wet))
		if err != nil {
			t.Fatal(err)
		}
		if w := (readings[0].Value + 50) / 200 * (1 << 20); math.Abs(w-float64(warm)) > 0.01 {
			t.Errorf("%d becomes %v", warm, w)
		}
		if w := readings[1].Value / 100 * (1 << 20); math.Abs(w-float64(wet)) > 0.01 {
			t.Errorf("%d becomes %v", wet, w)
		}
	})
}

// Temperatures of all resolutions come back as the words that they are made of.
func FuzzCelsius(f *testing.F) {
	f.Add(uint16(0xc900), byte(12))
	f.Fuzz(func(t *testing.T, raw uint16, bits byte) {
		bits = 9 + bits%4
		step := 256 / math.Pow(2, float64(bits))
		c := lm75Celsius(raw, int(bits))
		if got := uint16(int16(math.Round(c/step))) << (16 - bits); got != raw>>(16-bits)<<(16-bits) {
			t.Errorf("%#x in %d bits: %v, back %#x", raw, bits, c, got)
		}
		if got := uint16(int16(math.Round(mcpCelsius(raw)*16))) & 0x1fff; got != raw&0x1fff {
			t.Errorf("%#x: %v, back %#x", raw, mcpCelsius(raw), got)
		}
	})
}

// Whatever a calibration and the values are, there is a number in range, a number
// that is dropped for being out of it, or an error: no panic and no endless loop.
func FuzzBosch(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0x7f}, 64))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 64 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			for _, name := range []string{"bme280", "bmp280", "bmp180"} {
				c := chips(t)[name]
				c.setBytes(0xaa, b[:22]...)
				c.setBytes(0x88, b[:26]...)
				c.setBytes(0xe1, b[26:33]...)
				c.setBytes(0xf7, b[33:41]...)
				readings, err := readOnce(t, name, c, c.address)
				if (err == nil) != (len(readings) == len(partOf(t, name).Measures)) {
					t.Errorf("%s: %v, %v", name, readings, err)
				}
				if err != nil && !errors.Is(err, quantity.ErrNotSuch) && !errors.Is(err, quantity.ErrNotReady) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	})
}

// What is measured with a current and a voltage is theirs again.
func FuzzINA(f *testing.F) {
	f.Add(uint16(0x1f40), uint16(0x2570), true)
	f.Fuzz(func(t *testing.T, shunt, bus uint16, newer bool) {
		m := ina219
		if newer {
			m = ina226
		}
		d := ina{m, 0.05}
		r := d.decode(shunt, bus)
		if got := int16(math.Round(r[0].Value * d.shunt / m.shuntStep)); got != int16(shunt) {
			t.Errorf("%d becomes %d", int16(shunt), got)
		}
		if got := uint16(math.Round(r[1].Value / m.busStep)); got != bus>>m.busShift {
			t.Errorf("%d becomes %d", bus>>m.busShift, got)
		}
		if inRange(r[0]) && inRange(r[1]) && !inRange(r[2]) {
			t.Errorf("the power of good values is %+v", r[2])
		}
	})
}
