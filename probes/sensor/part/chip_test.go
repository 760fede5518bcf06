package part

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

var errNoAnswer = errors.New("remote I/O error")

// chip is a part on a bus as its data sheet has it: registers of 8 or 16 bits, or
// commands with an answer each.
type chip struct {
	address  uint16
	words    bool              // registers of 16 bits
	narrow   map[byte]bool     // registers of 8 bits beside them
	regs     map[byte][]byte   // those of 8 bits: what follows is read from the next ones
	answers  map[string][]byte // by command in hex; "": read without one
	pending  []byte
	written  []string // writes in hex
	count    int      // transactions
	away     bool     // it does not answer
	fault    func(count int, w []byte) error
	distort  func(r []byte)
	afterPut func(c *chip, register byte)
}

func (c *chip) String() string                  { return "chip" }
func (c *chip) SetSpeed(physic.Frequency) error { return nil }

func (c *chip) Tx(address uint16, w, r []byte) error {
	c.count++
	if c.away || address != c.address {
		return errNoAnswer
	}
	if c.fault != nil {
		if err := c.fault(c.count, w); err != nil {
			return err
		}
	}
	var err error
	if c.answers != nil {
		err = c.command(w, r)
	} else {
		err = c.register(w, r)
	}
	if err == nil && len(r) > 0 && c.distort != nil {
		c.distort(r)
	}
	return err
}

func (c *chip) command(w, r []byte) error {
	if len(w) > 0 {
		c.written = append(c.written, hex.EncodeToString(w))
		c.pending = c.answers[hex.EncodeToString(w)]
	}
	if len(r) == 0 {
		return nil
	}
	if c.pending == nil {
		c.pending = c.answers[""]
	}
	if len(c.pending) < len(r) {
		return errNoAnswer
	}
	copy(r, c.pending)
	c.pending = nil
	return nil
}

func (c *chip) register(w, r []byte) error {
	if len(w) == 0 {
		return errNoAnswer
	}
	at := w[0]
	if len(w) > 1 {
		c.written = append(c.written, hex.EncodeToString(w))
		if c.words && !c.narrow[at] {
			c.put(at, w[1:3])
		} else {
			for i := 0; i+1 < len(w); i += 2 {
				c.put(w[i], w[i+1:i+2])
			}
		}
	}
	if c.words {
		copy(r, c.regs[at])
		return nil
	}
	for i := range r {
		if v := c.regs[at+byte(i)]; v != nil {
			r[i] = v[0]
		}
	}
	return nil
}

func (c *chip) put(register byte, v []byte) {
	c.regs[register] = bytes.Clone(v)
	if c.afterPut != nil {
		c.afterPut(c, register)
	}
}

func (c *chip) setBytes(register byte, b ...byte) {
	for i, v := range b {
		c.regs[register+byte(i)] = []byte{v}
	}
}

func (c *chip) setWord(register byte, v uint16) { c.regs[register] = []byte{byte(v >> 8), byte(v)} }

// sum appends the checksum that the parts append.
func sum(w uint16) []byte {
	b := []byte{byte(w >> 8), byte(w)}
	return append(b, slowCRC(b))
}

func sums(words ...uint16) (out []byte) {
	for _, w := range words {
		out = append(out, sum(w)...)
	}
	return out
}

// slowCRC divides polynomials bit by bit, as by hand.
func slowCRC(b []byte) byte {
	var bits []byte
	for _, v := range append(append([]byte{}, b...), 0) {
		for i := 7; i >= 0; i-- {
			bits = append(bits, v>>i&1)
		}
	}
	for i := range 8 { // begun with all ones
		bits[i] ^= 1
	}
	for i := range len(bits) - 8 {
		if bits[i] == 1 {
			for j, p := range []byte{1, 0, 0, 1, 1, 0, 0, 0, 1} {
				bits[i+j] ^= p
			}
		}
	}
	var crc byte
	for _, v := range bits[len(bits)-8:] {
		crc = crc<<1 | v
	}
	return crc
}

// chips are parts in order, one of each kind, with what they measure.
func chips(t testing.TB) map[string]*chip {
	t.Helper()
	bosch := func(id byte) *chip {
		c := &chip{address: 0x76, regs: map[byte][]byte{}}
		c.setBytes(0xd0, id)
		c.setBytes(0x88, 0x70, 0x6b, 0x43, 0x67, 0x18, 0xfc, 0x7d, 0x8e, 0x43, 0xd6, 0xd0, 0x0b, 0x27, 0x0b, 0x8c, 0x00, 0xf9, 0xff, 0x8c, 0x3c, 0xf8, 0xc6, 0x70, 0x17, 0, 0x4b)
		c.setBytes(0xe1, 0x72, 0x01, 0x00, 0x13, 0x29, 0x03, 0x1e)
		c.setBytes(0xf7, 0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x6c, 0x00)
		return c
	}
	lm := func() *chip {
		c := &chip{address: 0x49, words: true, narrow: map[byte]bool{1: true}, regs: map[byte][]byte{0: {0x19, 0x10}, 1: {0}}}
		return c
	}
	tmp := &chip{address: 0x48, words: true, regs: map[byte][]byte{0: {0x19, 0x10}, 1: {0x60, 0xa0}}}
	mcp := &chip{address: 0x18, words: true, narrow: map[byte]bool{8: true}, regs: map[byte][]byte{1: {1, 0}, 5: {0xc1, 0x94}, 6: {0, 0x54}, 7: {4, 0}}}
	ads := func() *chip {
		c := &chip{address: 0x48, words: true, regs: map[byte][]byte{0: {0x40, 0}}}
		return c
	}
	ina := func(settings uint16) *chip {
		c := &chip{address: 0x40, words: true, regs: map[byte][]byte{}}
		c.setWord(0, settings)
		return c
	}
	ina226 := ina(0x4127)
	ina226.setWord(0xfe, 0x5449)
	ina226.setWord(1, 0x1f40)
	ina226.setWord(2, 0x2570)
	ina219 := ina(0x399f)
	ina219.setWord(1, 0x07d0)
	ina219.setWord(2, 0x5d98)
	b180 := bosch(0x55)
	b180.address = 0x77
	b180.setBytes(0xaa, 0x01, 0x98, 0xff, 0xb8, 0xc7, 0xd1, 0x7f, 0xe5, 0x7f, 0xf5, 0x5a, 0x71, 0x18, 0x2e, 0, 4, 0x80, 0, 0xdd, 0xf9, 0x0b, 0x34)
	b180.afterPut = func(c *chip, register byte) {
		if register == 0xf4 && c.regs[0xf4][0] == 0x2e {
			c.setBytes(0xf6, 0x6c, 0xfa)
		} else if register == 0xf4 {
			up := 23843 << 8 // with the samples of the example: 16 bits
			c.setBytes(0xf6, byte(up>>16), byte(up>>8), byte(up))
		}
		c.setBytes(0xf4, c.regs[0xf4][0]&^0x20)
	}
	aht := []byte{0x18, 0x80, 0, 6, 0, 0}
	return map[string]*chip{
		"ads1015": ads(), "ads1115": ads(),
		"aht20":   {address: 0x38, answers: map[string][]byte{"": append(aht, slowCRC(aht)), "ac3300": nil}},
		"bme280":  bosch(0x60),
		"bmp180":  b180,
		"bmp280":  bosch(0x58),
		"hdc302x": {address: 0x44, answers: map[string][]byte{"3781": sums(0x3000), "2400": sums(0x6666, 0x8000)}},
		"ina219":  ina219, "ina226": ina226,
		"lm75": lm(), "lm75a": lm(), "lm75b": lm(), "tmp75": lm(), "tmp105": lm(),
		"mcp9808": mcp,
		"scd4x":   {address: 0x62, answers: map[string][]byte{"3682": sums(0xf896, 0x9f07, 0x3bbe), "e4b8": sums(0x8006), "ec05": {0x01, 0xf4, 0x33, 0x66, 0x67, 0xa2, 0x5e, 0xb9, 0x3c}}},
		"sht3x":   {address: 0x44, answers: map[string][]byte{"f32d": sums(0x8010), "2400": sums(0x6666, 0x8000)}},
		"sht4x":   {address: 0x44, answers: map[string][]byte{"89": sums(0x1234, 0x5678), "fd": sums(0x6666, 0x8000)}},
		"tmp102":  tmp,
	}
}

func settings(t testing.TB) Settings {
	t.Helper()
	var s Settings
	s.Shunt = 0.002
	for _, input := range []string{"0", "2-3"} {
		c, err := NewChannel(input, "1")
		if err != nil {
			t.Fatal(err)
		}
		s.Channels = append(s.Channels, c)
	}
	return s
}

func partOf(t testing.TB, name string) Part {
	t.Helper()
	for _, p := range Catalogue() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no part %s", name)
	return Part{}
}

// show writes readings as the tests have them: temperature=25 humidity=50.
func show(readings []quantity.Reading) string {
	var all []string
	for _, r := range readings {
		text := fmt.Sprintf("%s=%.7g", r.Of.Short(), r.Value)
		if r.Index != "" {
			text = r.Index + ":" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func inRange(r quantity.Reading) bool { return r.Value >= r.Min && r.Value <= r.Max }

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func noise(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func readOnce(t testing.TB, name string, bus i2c.Bus, address uint16) ([]quantity.Reading, error) {
	t.Helper()
	return partOf(t, name).New(address, settings(t)).Read(context.Background(), bus)
}

var (
	_ i2c.Bus = (*chip)(nil)
	_ i2c.Bus = (*i2ctest.Playback)(nil)
)
