package part

import (
	"encoding/hex"
	"math"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// op is one transaction, in hex; "" is nothing.
type op struct{ w, r string }

func playback(t *testing.T, address uint16, ops []op) *i2ctest.Playback {
	t.Helper()
	bytesOf := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p := &i2ctest.Playback{DontPanic: true}
	for _, o := range ops {
		p.Ops = append(p.Ops, i2ctest.IO{Addr: address, W: bytesOf(o.w), R: bytesOf(o.r)})
	}
	return p
}

const (
	calibration280PT = "706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017004b" // the data sheet's, H1 75
	calibrationBME   = "720100132903" + "1e"                                  // H2 370, H3 0, H4 313, H5 50, H6 30
	calibration180B  = "0198ffb8c7d17fe57ff55a71182e00048000ddf90b34"         // the data sheet's
)

// Each part's transactions byte by byte, with the values of its data sheet where
// that has some.
func TestPlayback(t *testing.T) {
	for _, test := range []struct {
		part    string
		address uint16
		ops     []op
		want    string
	}{
		{"sht3x", 0x44, []op{{"3093", ""}, {"f32d", ""}, {"", "8010e1"}, {"2400", ""}, {"", "666693" + "8000a2"}}, "temperature=25 humidity=50.00076"},
		{"hdc302x", 0x47, []op{{"3093", ""}, {"3781", ""}, {"", "300033"}, {"2400", ""}, {"", "666693" + "abcd6f"}}, "temperature=25 humidity=67.1107"},
		{"sht4x", 0x44, []op{{"89", ""}, {"", "beef92" + "000081"}, {"fd", ""}, {"", "666693" + "8000a2"}}, "temperature=25 humidity=56.50095"},
		{"scd4x", 0x62, []op{
			{"3f86", ""},
			{"3682", ""},
			{"", "f89631" + "9f07c2" + "3bbe89"},
			{"21b1", ""},
			{"e4b8", ""},
			{"", "8000a2"},
			{"e4b8", ""},
			{"", "800604"},
			{"ec05", ""},
			{"", "01f433" + "6667a2" + "5eb93c"},
		}, "co2=500 temperature=25.00267 humidity=37.0016"},
		{"aht20", 0x38, []op{{"", "10"}, {"be0800", ""}, {"ac3300", ""}, {"", "98000000000000"}, {"", "18800006000023"}}, "temperature=25 humidity=50"},
		{"bmp280", 0x76, []op{
			{"d0", "58"},
			{"f3", "00"},
			{"88", calibration280PT},
			{"f5a0", ""},
			{"f46d", ""},
			{"f3", "086ca0"},
			{"f3", "006ca0"},
			{"f7", "655ac07eed00"},
		}, "temperature=25.08248 pressure=100653.3"},
		{"bme280", 0x77, []op{
			{"d0", "60"},
			{"f3", "01"},
			{"f3", "00"},
			{"88", calibration280PT},
			{"e1", calibrationBME},
			{"f5a0", ""},
			{"f203f46d", ""},
			{"f3", "006ca0"},
			{"f7", "655ac07eed006c00"},
		}, "temperature=25.08248 humidity=42.81487 pressure=100653.3"},
		{"bmp180", 0x77, []op{
			{"d0", "55"},
			{"aa", calibration180B},
			{"f42e", ""},
			{"f4", "0e"},
			{"f6", "6cfa"},
			{"f4f4", ""},
			{"f4", "d4"},
			{"f6", "5d2300"},
		}, "temperature=15 pressure=69963"},
		{"mcp9808", 0x18, []op{{"06", "0054"}, {"07", "0400"}, {"01", "0108"}, {"0803", ""}, {"010008", ""}, {"05", "c194"}}, "temperature=25.25"},
		{"tmp105", 0x49, []op{{"01", "1e"}, {"017e", ""}, {"01", "7e"}, {"00", "e700"}}, "temperature=-25"},
		{"lm75", 0x48, []op{{"01", "07"}, {"0106", ""}, {"01", "06"}, {"00", "19ff"}}, "temperature=25.5"},
		{"tmp102", 0x48, []op{{"01", "7fff"}, {"017eaf", ""}, {"01", "7e8f"}, {"00", "ffc0"}}, "temperature=-0.25"},
		{"ina226", 0x40, []op{{"fe", "5449"}, {"004527", ""}, {"00", "4527"}, {"01", "1f40"}, {"02", "2570"}}, "current=10 voltage=11.98 power=119.8"},
		{"ina226", 0x4f, []op{{"fe", "5449"}, {"004527", ""}, {"00", "4527"}, {"01", "e0c0"}, {"02", "2570"}}, "current=-10 voltage=11.98 power=-119.8"},
		{"ina219", 0x40, []op{{"003e67", ""}, {"00", "3e67"}, {"01", "07d0"}, {"02", "5d98"}}, "current=10 voltage=11.98 power=119.8"},
		{"ads1115", 0x48, []op{
			{"01c383", ""},
			{"01", "4383"},
			{"01", "c383"},
			{"00", "4000"},
			{"01b383", ""},
			{"01", "b383"},
			{"00", "ffff"},
		}, "0:voltage=2.048 2-3:voltage=-0.000125"},
	} {
		t.Run(test.part, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := playback(t, test.address, test.ops)
				readings, err := readOnce(t, test.part, bus, test.address)
				if err != nil {
					t.Fatal(err)
				}
				if got := show(readings); got != test.want {
					t.Errorf("%s, expected %s", got, test.want)
				}
				if err := bus.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The examples that the makers give of checksums.
func TestCRC(t *testing.T) {
	for text, want := range map[string]byte{"beef": 0x92, "abcd": 0x6f, "01f4": 0x33, "0000": 0x81, "188000060000": 0x23} {
		b, _ := hex.DecodeString(text)
		if got := crc8(b); got != want {
			t.Errorf("%s: %#x, expected %#x", text, got, want)
		}
	}
}

// The example of the data sheet of the BMP180, which takes one sample.
func TestBMP180Example(t *testing.T) {
	b, _ := hex.DecodeString(calibration180B)
	cal := decode180([22]byte(b))
	if celsius, pascal := cal.both(27898, 23843, 0); celsius != 15 || pascal != 69964 {
		t.Errorf("%v degrees, %v Pa", celsius, pascal)
	}
}

// A calibration that divides by zero gives no number, which nobody takes for one.
func TestBMP180Nonsense(t *testing.T) {
	for _, cal := range []calibration180{{}, {md: 1}, {md: -1, ac3: 1, mc: 5}} {
		if _, pascal := cal.both(1, 1, 3); !math.IsNaN(pascal) {
			t.Errorf("%+v: %v", cal, pascal)
		}
	}
	if celsius, _ := (&calibration180{}).both(1, 1, 3); !math.IsNaN(celsius) {
		t.Error(celsius)
	}
}

// Two's complement at the ends, at zero and on both sides of it.
func TestTemperatureWords(t *testing.T) {
	for _, test := range []struct {
		raw  uint16
		bits int
		want float64
	}{
		{0x7ff0, 12, 127.9375},
		{0x6400, 12, 100},
		{0x0040, 12, 0.25},
		{0x0010, 12, 0.0625},
		{0, 12, 0},
		{0xfff0, 12, -0.0625},
		{0xc900, 12, -55},
		{0x8000, 12, -128},
		{0x191f, 12, 25.0625},
		{0x7d00, 9, 125},
		{0x0080, 9, 0.5},
		{0x00ff, 9, 0.5},
		{0x007f, 9, 0},
		{0xff80, 9, -0.5},
		{0xc900, 9, -55},
		{0x7f00, 11, 127},
		{0x0020, 11, 0.125},
		{0xffe0, 11, -0.125},
		{0xc920, 11, -54.875},
	} {
		if got := lm75Celsius(test.raw, test.bits); got != test.want {
			t.Errorf("%#x in %d bits: %v, expected %v", test.raw, test.bits, got, test.want)
		}
	}
	for raw, want := range map[uint16]float64{0xc194: 25.25, 0x0194: 25.25, 0x1e6c: -25.25, 0xfe6c: -25.25, 0: 0, 0x1fff: -0.0625, 0x0001: 0.0625, 0x07d0: 125, 0x1d80: -40} {
		if got := mcpCelsius(raw); got != want {
			t.Errorf("%#x: %v, expected %v", raw, got, want)
		}
	}
}

// The ends of the ranges: what is beyond is for the caller to drop.
func TestRanges(t *testing.T) {
	for _, test := range []struct {
		part  string
		set   func(c *chip)
		fails string // the quantity that is out of range, "": none
	}{
		{"sht3x", func(c *chip) { c.answers["2400"] = sums(0, 0xffff) }, "temperature"},
		{"sht3x", func(c *chip) { c.answers["2400"] = sums(0xffff, 0) }, "temperature"},
		{"sht4x", func(c *chip) { c.answers["fd"] = sums(0x6666, 0xffff) }, ""}, // 119 percent, cut
		{"sht4x", func(c *chip) { c.answers["fd"] = sums(0x6666, 0) }, ""},
		{"scd4x", func(c *chip) { c.answers["ec05"] = sums(0xffff, 0x6666, 0) }, "co2"},
		{"tmp105", func(c *chip) { c.setWord(0, 0x8000) }, "temperature"},
		{"tmp105", func(c *chip) { c.setWord(0, 0x7ff0) }, ""},
		{"mcp9808", func(c *chip) { c.setWord(5, 0x1000) }, "temperature"},
		{"ina226", func(c *chip) { c.setWord(1, 0x7fff) }, "current"},
		{"ina226", func(c *chip) { c.setWord(1, 0x8000) }, "current"},
		{"ina226", func(c *chip) { c.setWord(2, 0x7fff) }, "voltage"},
		{"ina219", func(c *chip) { c.setWord(1, 32000) }, "current"},
		{"ina219", func(c *chip) { c.setWord(1, 31998) }, ""},
		{"ads1115", func(c *chip) { c.setWord(0, 0x7fff) }, "voltage"},
		{"ads1015", func(c *chip) { c.setWord(0, 0x7ff0) }, "voltage"},
		{"ads1115", func(c *chip) { c.setWord(0, 0x8000) }, "voltage"},
		{"ads1115", func(c *chip) { c.setWord(0, 0x7fe0) }, ""},
		{"bmp280", func(c *chip) { c.setBytes(0xf7, 0xff, 0xff, 0xf0) }, "pressure"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := chips(t)[test.part]
			test.set(c)
			readings, err := readOnce(t, test.part, c, c.address)
			if err != nil {
				t.Fatal(test.part, err)
			}
			out := ""
			for _, r := range readings {
				if !inRange(r) && out == "" {
					out = r.Of.Short()
				}
			}
			if out != test.fails {
				t.Errorf("%s: %s, out of range is %q, expected %q", test.part, show(readings), out, test.fails)
			}
		})
	}
}
