package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// shown writes w1_slave as the kernel does. pad has nine bytes in hex.
func shown(pad, verdict, again string, milli int) string {
	spaced := func(s string) string {
		var b strings.Builder
		for i := 0; i < len(s); i += 2 {
			b.WriteString(s[i:i+2] + " ")
		}
		return b.String()
	}
	return fmt.Sprintf("%s: crc=%s %s\n%st=%d\n", spaced(pad), pad[16:], verdict, spaced(again), milli)
}

// Scratchpads of real parts and of the data sheet.
const (
	warm     = "72014b467fff0e1057" // 23.125 C
	frozen   = "5efe4b467fff0210"   // -26.125 C, made whole below
	switched = "50054b467fff0c101c" // 85 C, as it comes up
)

// whole puts the CRC behind eight bytes.
func whole(t *testing.T, pad string) string {
	t.Helper()
	b, err := hex.DecodeString(pad)
	if err != nil || len(b) != 8 {
		t.Fatal(pad, err)
	}
	return pad + hex.EncodeToString([]byte{crcByTable(b)})
}

// crcByTable is the CRC as Maxim's application note 27 has it: a shift register of
// eight cells, bit by bit.
func crcByTable(data []byte) byte {
	var cells [8]bool // the last one is the lowest bit
	for _, b := range data {
		for i := range 8 {
			in := b>>i&1 == 1
			feedback := in != cells[7]
			copy(cells[1:], cells[:7])
			cells[0] = feedback
			cells[4] = cells[4] != feedback
			cells[5] = cells[5] != feedback
		}
	}
	var out byte
	for i, c := range cells {
		if c {
			out |= 1 << (7 - i)
		}
	}
	return out
}

func (f tree) w1(address, text string) {
	f.t.Helper()
	f.put("bus/w1/devices/"+address, map[string]string{"w1_slave": strings.TrimSuffix(text, "\n"), "name": address})
}

func TestThermometer(t *testing.T) {
	const address = "28-0000075c3f1a"
	f := newTree(t)
	r := Open(f.root, DS18B20, address)
	expect(t, r, "", probes.StatusDeviceConnectionError, address+" is not there", "no other thermometer")
	f.w1("10-000802b4b181", "")
	expect(t, r, "", probes.StatusDeviceConnectionError, "there are 10-000802b4b181")
	f.w1(address, shown(warm, "YES", warm, 23125))
	expect(t, r, "temperature[]=23.125", probes.StatusOK)
	f.w1(address, shown(whole(t, frozen), "YES", whole(t, frozen), -26125))
	expect(t, r, "temperature[]=-26.125", probes.StatusOK)
	f.w1(address, "")
	expect(t, r, "", probes.StatusDeviceConnectionError, "does not answer")
	f.remove("bus/w1/devices/" + address)
	expect(t, r, "", probes.StatusDeviceConnectionError, "is not there")
	f.w1(address, shown(warm, "YES", warm, 23125))
	expect(t, r, "temperature[]=23.125", probes.StatusOK)
}

func TestThermometerRange(t *testing.T) {
	f := newTree(t)
	for family, want := range map[string][2]float64{"10": {-55, 125}, "22": {-55, 125}, "28": {-55, 125}, "3b": {-270, 2500}, "42": {-40, 85}} {
		address := family + "-0000075c3f1a"
		f.w1(address, shown(warm, "YES", warm, 23125))
		got, err := Open(f.root, DS18B20, address).Read(t.Context())
		if err != nil || len(got) != 1 || got[0].Min != want[0] || got[0].Max != want[1] {
			t.Errorf("%s: %+v %v", family, got, err)
		}
	}
}

func TestThermometerRefuses(t *testing.T) {
	zeros, ones := strings.Repeat("00", 9), strings.Repeat("ff", 9)
	wrong := warm[:16] + "58"
	for name, tt := range map[string]struct {
		text string
		want error // nil: another one
		part string
	}{
		"the kernel says no":        {shown(warm, "NO", warm, 23125), quantity.ErrChecksum, "72 01 4b"},
		"the kernel says yes":       {shown(wrong, "YES", wrong, 23125), quantity.ErrChecksum, "72 01 4b"},
		"nobody pulls the line":     {shown(ones, "NO", warm, 23125), nil, "does not answer"},
		"the line is shorted":       {shown(zeros, "YES", zeros, 0), quantity.ErrChecksum, "shorted"},
		"the lines differ":          {shown(warm, "YES", switched, 23125), nil, "does not go with"},
		"no value":                  {strings.Replace(shown(warm, "YES", warm, 23125), "t=23125", "t=", 1), nil, "does not go with"},
		"one line":                  {strings.Split(shown(warm, "YES", warm, 1), "\n")[0], nil, "does not go with"},
		"another word":              {shown(warm, "MAYBE", warm, 23125), nil, "is no line of w1_slave"},
		"no bytes":                  {"hello", nil, "is no line of w1_slave"},
		"no hex":                    {strings.Replace(shown(warm, "YES", warm, 23125), "72", "7g", 1), nil, "is no line of w1_slave"},
		"too few bytes in the line": {strings.Replace(shown(warm, "YES", warm, 23125), "72 01", "72   ", 1), nil, "is no line of w1_slave"},
	} {
		f := newTree(t)
		f.w1("28-0000075c3f1a", tt.text)
		readings, err := Open(f.root, DS18B20, "28-0000075c3f1a").Read(t.Context())
		if readings != nil || err == nil || statusOf(err) != probes.StatusDeviceConnectionError || !strings.Contains(err.Error(), tt.part) {
			t.Errorf("%s: %v %v, want %s", name, readings, err, tt.part)
		}
		if errors.Is(err, quantity.ErrChecksum) != (tt.want != nil) {
			t.Errorf("%s: %v is of the wrong kind", name, err)
		}
	}
}

// 85 degrees are what it says before it has measured.
func TestThermometerPowerOn(t *testing.T) {
	const address = "28-0000075c3f1a"
	hot, near := whole(t, "50054b467fff1010"), whole(t, "20054b467fff1010")
	cases := []struct {
		pad   string
		milli int
		ok    bool
	}{
		{switched, 85000, false}, // at first
		{warm, 23125, true},
		{switched, 85000, false}, // after 23 C
		{hot, 85000, true},       // the scratchpad shows a conversion
		{switched, 85000, true},  // after 85 C: it may be
		{near, 82000, true},
		{switched, 85000, true},
		{warm, 23125, true},
		{switched, 85000, false},
		{switched, 85000, false}, // what was refused is no value before
		{whole(t, "51054b467fff0f10"), 85062, true},
	}
	f := newTree(t)
	r := Open(f.root, DS18B20, address)
	for i, tt := range cases {
		f.w1(address, shown(tt.pad, "YES", tt.pad, tt.milli))
		readings, err := r.Read(t.Context())
		if (len(readings) == 1 && err == nil) != tt.ok {
			t.Errorf("%d: %v %v", i, readings, err)
		}
		if !tt.ok && (!errors.Is(err, quantity.ErrNotReady) || statusOf(err) != probes.StatusDeviceConnectionError) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Where w1_slave is missing the file temperature is read, whose bytes the kernel
// has checked.
func TestThermometerWithoutSlaveFile(t *testing.T) {
	const address = "22-0000075c3f1a"
	f := newTree(t)
	r := Open(f.root, DS18B20, address)
	for text, want := range map[string]string{"-1250": "temperature[]=-1.25", "23437": "temperature[]=23.437"} {
		f.put("bus/w1/devices/"+address, map[string]string{"temperature": text})
		expect(t, r, want, probes.StatusOK)
	}
	f.put("bus/w1/devices/"+address, map[string]string{"temperature": "85000"})
	expect(t, r, "", probes.StatusDeviceConnectionError, "before it has measured")
	f.put("bus/w1/devices/"+address, map[string]string{"temperature": ""})
	expect(t, r, "", probes.StatusDeviceConnectionError, "not a number")
}

// Whatever is taken has nine bytes with their CRC, in both lines, and is written
// again as it was; and none of its bits may be another one.
func FuzzSlave(f *testing.F) {
	for _, pad := range []string{warm, switched, strings.Repeat("00", 9), strings.Repeat("ff", 9)} {
		f.Add(shown(pad, "YES", pad, 85000))
		f.Add(shown(pad, "NO", pad, -62))
	}
	f.Add("72 01 4b 46 7f ff 0f 10 72 : crc=72 YES\n91 01 4b 46 7f ff 0f 10 72 t=+23125 ")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseSlave(text)
		if err != nil {
			return
		}
		if crcByTable(m.pad[:8]) != m.pad[8] || m.pad == [9]byte{} {
			t.Fatalf("%q: the CRC of % x is wrong", text, m.pad)
		}
		pad := hex.EncodeToString(m.pad[:])
		written := shown(pad, "YES", pad, m.milli)
		if again, err := parseSlave(strings.TrimSpace(written)); err != nil || again != m {
			t.Fatalf("%q: %+v is written as %q, read as %+v %v", text, m, written, again, err)
		}
		for bit := range 72 {
			flipped := m.pad
			flipped[bit/8] ^= 1 << (bit % 8)
			bad := hex.EncodeToString(flipped[:])
			for _, second := range []string{bad, pad} {
				if _, err := parseSlave(shown(bad, "YES", second, m.milli)); err == nil {
					t.Fatalf("bit %d of % x is flipped and it is taken", bit, m.pad)
				}
			}
		}
	})
}

func TestCRC(t *testing.T) {
	for _, data := range []string{"", "00", "72014b467fff0e10", "50054b467fff0c10", "ffffffffffffffff", "1c01000000b802a2"} {
		b, _ := hex.DecodeString(data)
		if crc8(b) != crcByTable(b) {
			t.Errorf("%s: %02x and %02x", data, crc8(b), crcByTable(b))
		}
	}
	if b, _ := hex.DecodeString("02000000b81c01"); crc8([]byte{0x02, 0x1c, 0xb8, 0x01, 0, 0, 0}) != 0xa2 { // of the application note
		t.Errorf("% x", b)
	}
}
