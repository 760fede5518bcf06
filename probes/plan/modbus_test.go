package plan

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func compileOne(t *testing.T, o ModbusRegisterOptions) *ModbusRegister {
	t.Helper()
	made, faults := CompileModbus([]ModbusRegisterOptions{o}, ModbusDefaults{})
	if len(faults) > 0 {
		t.Fatalf("%+v: %v", o, faults[0])
	}
	return &made[0]
}

func TestModbusFaults(t *testing.T) {
	good := ModbusRegisterOptions{Key: "a.b", Address: "1"}
	with := func(change func(*ModbusRegisterOptions)) ModbusRegisterOptions {
		o := good
		change(&o)
		return o
	}
	for want, o := range map[string]ModbusRegisterOptions{
		"key: missing, expected the key of a metric": {Address: "1"},
		`key: found "a b", expected letters`:         with(func(o *ModbusRegisterOptions) { o.Key = "a b" }),
		`key: found ".a", expected`:                  with(func(o *ModbusRegisterOptions) { o.Key = ".a" }),
		`dimension: found "...", expected a key`:     with(func(o *ModbusRegisterOptions) { o.Dimension = "..." }),
		"address: missing, expected":                 with(func(o *ModbusRegisterOptions) { o.Address = "" }),
		"address: found 400053, expected 0 to 65535; of a number such as 400053 the address is 52": with(func(o *ModbusRegisterOptions) { o.Address = "400053" }),
		`address: found "0034", which may be decimal or hexadecimal; write 0x0034 or 34`:           with(func(o *ModbusRegisterOptions) { o.Address = "0034" }),
		`address: found "5x", expected a whole number`:                                             with(func(o *ModbusRegisterOptions) { o.Address = "5x" }),
		"address: found -1, expected 0 to 65535":                                                   with(func(o *ModbusRegisterOptions) { o.Address = "-1" }),
		"address: found 65535, which leaves no room for 2 registers":                               with(func(o *ModbusRegisterOptions) { o.Address, o.Type = "65535", "uint32" }),
		`table: found "holdings", expected holding, input, coil or discrete`:                       with(func(o *ModbusRegisterOptions) { o.Table = "holdings" }),
		`type: found "float", expected uint16`:                                                     with(func(o *ModbusRegisterOptions) { o.Type = "float" }),
		"type: found bool in the table holding; a coil":                                            with(func(o *ModbusRegisterOptions) { o.Type = "bool" }),
		"type: found uint16 in the table coil":                                                     with(func(o *ModbusRegisterOptions) { o.Type, o.Table = "uint16", ModbusCoil }),
		"type: a string is no metric":                                                              with(func(o *ModbusRegisterOptions) { o.Type, o.Length = "string", 2 }),
		"length: found 0, expected the registers of the string":                                    {Dimension: "d", Address: "1", Type: "string"},
		"length: found 3, expected it of a string only":                                            with(func(o *ModbusRegisterOptions) { o.Length = 3 }),
		`order: found "ABDC", expected ABCD`:                                                       {Key: "a.b", Address: "1", Type: "uint16", Order: "ABDC"},
		`order: found "AACD", expected ABCD`:                                                       {Key: "a.b", Address: "1", Type: "uint32", Order: "AACD"},
		`order: found "AB", expected ABCD`:                                                         {Key: "a.b", Address: "1", Type: "uint32", Order: "AB"},
		"bits: found bits of a int16":                                                              with(func(o *ModbusRegisterOptions) { o.Type, o.Bits = "int16", "3" }),
		`bits: found "16", expected one bit`:                                                       with(func(o *ModbusRegisterOptions) { o.Bits = "16" }),
		`bits: found "5..3", expected`:                                                             with(func(o *ModbusRegisterOptions) { o.Bits = "5..3" }),
		"na: found 0x10000, which is no number of 16 bits":                                         with(func(o *ModbusRegisterOptions) { o.NA = []ModbusNumber{"0x10000"} }),
		`na: found "none", expected`:                                                               with(func(o *ModbusRegisterOptions) { o.Type, o.NA = "float32", []ModbusNumber{"none"} }),
		"wrap: found it where count is not true":                                                   with(func(o *ModbusRegisterOptions) { o.Wrap = "1000" }),
		`wrap: found "65537", expected the raw number`:                                             with(func(o *ModbusRegisterOptions) { o.Count, o.Wrap = true, "65537" }),
		"count: a count needs a key and a number that grows":                                       with(func(o *ModbusRegisterOptions) { o.Count, o.Offset = true, 1 }),
		"texts: found texts and no dimension":                                                      with(func(o *ModbusRegisterOptions) { o.Texts = map[string]string{"1": "on"} }),
		`texts: found "one", expected whole numbers`:                                               with(func(o *ModbusRegisterOptions) { o.Dimension, o.Texts = "d", map[string]string{"one": "on"} }),
		`dimensions: found the key "Phase"`:                                                        with(func(o *ModbusRegisterOptions) { o.Dimensions = map[string]string{"Phase": "L1"} }),
		"scale: found +Inf, expected a number":                                                     with(func(o *ModbusRegisterOptions) { o.Scale = math.Inf(1) }),
	} {
		made, faults := CompileModbus([]ModbusRegisterOptions{good, o}, ModbusDefaults{})
		if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), "registers[1]."+want) || len(made) != 1 {
			t.Errorf("got %v, want one that begins registers[1].%s", faults, want)
		}
	}
}

func TestModbusGauges(t *testing.T) {
	for _, c := range []struct {
		o    ModbusRegisterOptions
		raw  string
		want string // "": none
	}{
		{ModbusRegisterOptions{}, "\x12\x34", "4660"},
		{ModbusRegisterOptions{Order: "BA"}, "\x12\x34", "13330"},
		{ModbusRegisterOptions{Order: "BADC"}, "\x12\x34", "13330"},
		{ModbusRegisterOptions{Order: "CDAB"}, "\x12\x34", "4660"},
		{ModbusRegisterOptions{Type: "int16", Scale: 0.1, Offset: 20}, "\xff\xf6", "19"},
		{ModbusRegisterOptions{Type: "int16", NA: []ModbusNumber{"-32768"}}, "\x80\x00", ""},
		{ModbusRegisterOptions{Type: "uint32", NA: []ModbusNumber{"0xFFFFFFFF"}}, "\xff\xff\xff\xff", ""},
		{ModbusRegisterOptions{Type: "uint32", NA: []ModbusNumber{"FFFFFFFFh"}}, "\xff\xff\xff\xfe", "4294967294"},
		{ModbusRegisterOptions{Type: "uint64", NA: []ModbusNumber{"0xFFFFFFFFFFFFFFFF"}}, "\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{ModbusRegisterOptions{Type: "uint64", Scale: 0.01}, "\x00\x00\x00\x00\x00\x01\xe2\x40", "1234.56"},
		{ModbusRegisterOptions{Type: "int64", Order: "CDAB"}, "\xff\xfe\xff\xff\xff\xff\xff\xff", "-2"},
		{ModbusRegisterOptions{Type: "uint64", Order: "CDABGHEF"}, "\x00\x02\x00\x01\x00\x04\x00\x03", "281483566841860"}, // 1, 2, 3, 4
		{ModbusRegisterOptions{Type: "int32", Order: "DCBA"}, "\xfe\xff\xff\xff", "-2"},
		{ModbusRegisterOptions{Type: "float32"}, "\x43\x66\x19\x9a", "230.1"},
		{ModbusRegisterOptions{Type: "float32", Order: "BADC", Scale: 1000}, "\x66\x43\x9a\x19", "230100"},
		{ModbusRegisterOptions{Type: "float32"}, "\x7f\xc0\x00\x00", ""}, // NaN
		{ModbusRegisterOptions{Type: "float32"}, "\xff\x80\x00\x00", ""}, // -Inf
		{ModbusRegisterOptions{Type: "float32", NA: []ModbusNumber{"-9999.5"}}, "\xc6\x1c\x3e\x00", ""},
		{ModbusRegisterOptions{Type: "float64"}, "\x40\x09\x21\xfb\x54\x44\x2d\x18", "3.141592653589793"},
		{ModbusRegisterOptions{Bits: "3"}, "\x00\x08", "1"},
		{ModbusRegisterOptions{Bits: "3..5"}, "\x00\x28", "5"},
		{ModbusRegisterOptions{Type: "uint64", Bits: "0..63"}, "\x00\x00\x00\x00\x00\x00\x00\x09", "9"},
		{ModbusRegisterOptions{Table: ModbusCoil}, "\x01", "1"},
		{ModbusRegisterOptions{Table: ModbusDiscrete}, "\x00", "0"},
	} {
		c.o.Key, c.o.Address = "a.b", "0x34"
		r := compileOne(t, c.o)
		value, ok := r.Gauge([]byte(c.raw))
		got := ""
		if ok {
			got = valueText(value)
		}
		if got != c.want {
			t.Errorf("%+v of % x: got %q, want %q", c.o, c.raw, got, c.want)
		}
	}
}

func TestModbusLabels(t *testing.T) {
	for _, c := range []struct {
		o    ModbusRegisterOptions
		raw  string
		want string
	}{
		{ModbusRegisterOptions{Type: "string", Length: 3}, "B23\x00\x00\x00", "B23"},
		{ModbusRegisterOptions{Type: "string", Length: 3}, "B23   ", "B23"},
		{ModbusRegisterOptions{Type: "string", Length: 3, Order: "DCBA"}, "2B\x003ab", "B23"},
		{ModbusRegisterOptions{Type: "string", Length: 2}, "\xff\xff\xff\xff", ""},
		{ModbusRegisterOptions{Type: "string", Length: 2}, "\xfcber", "über"}, // Latin-1
		{ModbusRegisterOptions{Type: "uint32"}, "\x00\x01\x00\x02", "65538"},
		{ModbusRegisterOptions{Texts: map[string]string{"2": "hand"}}, "\x00\x02", "hand"},
		{ModbusRegisterOptions{Texts: map[string]string{"2": "hand"}}, "\x00\x03", "3"},
		{ModbusRegisterOptions{NA: []ModbusNumber{"0xFFFF"}}, "\xff\xff", ""},
	} {
		c.o.Dimension, c.o.Address = "d", "0"
		if got := compileOne(t, c.o).Label([]byte(c.raw)); got != c.want {
			t.Errorf("%+v of %q: got %q, want %q", c.o, c.raw, got, c.want)
		}
	}
}

// TestModbusOrders: each order of words and bytes is a permutation, no two are
// alike, and each undoes itself.
func TestModbusOrders(t *testing.T) {
	for _, size := range []int{2, 4, 8} {
		seen := map[string]string{}
		for name, wide := range wideOrders {
			order, err := parseModbusOrder(name, size)
			if err != nil {
				t.Fatal(err)
			}
			raw := []byte("abcdefgh")[:size]
			once := order.arrange(raw)
			if twice := order.arrange(once[:size]); string(twice[:size]) != string(raw) {
				t.Errorf("%s of %d bytes twice gives %q", name, size, twice[:size])
			}
			key := string(once[:size])
			if other := seen[key]; other != "" && (size > 2 || wideOrders[other].bytes != wide.bytes) {
				t.Errorf("%s and %s of %d bytes are the same", name, other, size)
			}
			seen[key] = name
		}
	}
}

// encode puts bits into bytes in the order of the letters, by other means than
// the decoder: it walks the letters from the number's side.
func encode(bits uint64, letters string) []byte {
	var sorted [8]byte
	binary.BigEndian.PutUint64(sorted[:], bits<<(64-8*len(letters)))
	raw := make([]byte, 0, 8)
	for _, letter := range letters {
		raw = append(raw, sorted[strings.IndexRune("ABCDEFGH", letter)])
	}
	return raw
}

// lettersOf are the letters of each short order at each width.
var lettersOf = map[string][3]string{
	"ABCD": {"AB", "ABCD", "ABCDEFGH"}, "CDAB": {"AB", "CDAB", "GHEFCDAB"},
	"BADC": {"BA", "BADC", "BADCFEHG"}, "DCBA": {"BA", "DCBA", "HGFEDCBA"},
}

// FuzzModbusNumbers: what an encoder of its own writes is read as the same number,
// in each order and type.
func FuzzModbusNumbers(f *testing.F) {
	f.Add(uint64(0), uint8(0))
	f.Add(uint64(math.MaxUint64), uint8(5))
	f.Add(math.Float64bits(-230.1), uint8(7))
	f.Add(uint64(math.Float32bits(0.1)), uint8(6))
	types := []string{"uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"}
	f.Fuzz(func(t *testing.T, bits uint64, which uint8) {
		kind := types[which%8]
		for short, letters := range lettersOf {
			width := map[string]int{"16": 0, "32": 1, "64": 2}[kind[len(kind)-2:]]
			size := 16 << width
			bits := bits & lowBits(size)
			for _, order := range []string{short, letters[width]} {
				r := compileOne(t, ModbusRegisterOptions{Key: "a.b", Address: "1", Type: kind, Order: order})
				value, ok := r.Gauge(encode(bits, letters[width]))
				var want float64
				switch kind {
				case "float32":
					want = float64(math.Float32frombits(uint32(bits)))
				case "float64":
					want = math.Float64frombits(bits)
				case "int16":
					want = float64(int16(bits))
				case "int32":
					want = float64(int32(bits))
				case "int64":
					want = float64(int64(bits))
				default:
					want = float64(bits)
				}
				if usable := !math.IsNaN(want) && !math.IsInf(want, 0); usable != ok {
					t.Fatalf("%s %s of %x: told %v, want %v", kind, order, bits, ok, usable)
				}
				if got := value.Float64(); ok && got != want && (kind != "float32" || float32(got) != float32(want)) {
					t.Fatalf("%s %s of %x: got %v, want %v", kind, order, bits, got, want)
				}
			}
		}
	})
}

// step is one reading of a counter, and what it gives.
type step struct {
	after time.Duration
	raw   uint64
	want  string // "": no point
}

func TestModbusCounters(t *testing.T) {
	const minute = time.Minute
	for name, c := range map[string]struct {
		o     ModbusRegisterOptions
		steps []step
		gaps  GapCounts
	}{
		"grows":                        {ModbusRegisterOptions{Type: "uint32", Scale: 0.1}, []step{{minute, 100, ""}, {minute, 100, "0"}, {minute, 115, "1.5"}}, GapCounts{}},
		"wraps at 16 bits":             {ModbusRegisterOptions{}, []step{{minute, 65000, ""}, {minute, 65500, "500"}, {minute, 64, "100"}}, GapCounts{}},
		"wraps at 32 bits":             {ModbusRegisterOptions{Type: "uint32"}, []step{{minute, 4294966000, ""}, {minute, 4294967000, "1000"}, {minute, 704, "1000"}}, GapCounts{}},
		"wraps where its display does": {ModbusRegisterOptions{Type: "uint32", Wrap: "1000000"}, []step{{minute, 999000, ""}, {minute, 999900, "900"}, {minute, 400, "500"}}, GapCounts{}},
		"is set back to 0":             {ModbusRegisterOptions{}, []step{{minute, 65000, ""}, {minute, 65500, "500"}, {minute, 0, ""}, {minute, 3, "3"}}, GapCounts{Reset: 1}},
		"is set back from the middle":  {ModbusRegisterOptions{}, []step{{minute, 30000, ""}, {minute, 30500, "500"}, {minute, 5, ""}}, GapCounts{Reset: 1}},
		"falls further than it ever went in such a time": {ModbusRegisterOptions{}, []step{{minute, 65000, ""}, {minute, 65001, "1"}, {minute, 500, ""}}, GapCounts{Wrap: 1}},
		"wraps at rest after a burst":                    {ModbusRegisterOptions{}, []step{{minute, 60000, ""}, {minute, 65000, "5000"}, {minute, 65001, "1"}, {minute, 501, "1036"}}, GapCounts{}},
		"of 64 bits falls":                               {ModbusRegisterOptions{Type: "uint64"}, []step{{minute, math.MaxUint64 - 5, ""}, {minute, math.MaxUint64, "5"}, {minute, 1, ""}}, GapCounts{Reset: 1}},
		"of 64 bits grows":                               {ModbusRegisterOptions{Type: "uint64"}, []step{{minute, 1 << 60, ""}, {minute, 1<<60 + 1, "1"}}, GapCounts{}},
		"a signed one falls":                             {ModbusRegisterOptions{Type: "int32"}, []step{{minute, 2147483000, ""}, {minute, 2147483600, "600"}, {minute, 7, ""}}, GapCounts{Reset: 1}},
		"a negative one is none":                         {ModbusRegisterOptions{Type: "int16"}, []step{{minute, 5, ""}, {minute, 0xffff, ""}, {minute, 7, "2"}}, GapCounts{}},
		"was away for long":                              {ModbusRegisterOptions{}, []step{{minute, 5, ""}, {time.Hour, 50, ""}, {minute, 60, "10"}}, GapCounts{Absence: 1}},
		"was away for a moment":                          {ModbusRegisterOptions{}, []step{{minute, 5, ""}, {9 * minute, 50, "45"}}, GapCounts{}},
		"does not know its value":                        {ModbusRegisterOptions{NA: []ModbusNumber{"0xFFFF"}}, []step{{minute, 5, ""}, {minute, 0xffff, ""}, {minute, 9, "4"}}, GapCounts{}},
		"of floats": {ModbusRegisterOptions{Type: "float32"}, []step{
			{minute, uint64(math.Float32bits(1234.5)), ""},
			{minute, uint64(math.Float32bits(1234.6)), "0.1"},
			{minute, uint64(math.Float32bits(2)), ""},
		}, GapCounts{Reset: 1}},
	} {
		c.o.Key, c.o.Address, c.o.Count = "a.b", "0", true
		r := compileOne(t, c.o)
		s := ModbusState{Registers: []ModbusRegister{*r}}
		var stamp probes.Stamp
		var gaps GapCounts
		for i, step := range c.steps {
			stamp.Uptime += step.after
			letters := lettersOf["ABCD"][map[int]int{1: 0, 2: 1, 4: 2}[r.Words]]
			points, notes := s.Points(ModbusReading{Stamp: stamp, Interval: minute, Raw: [][]byte{encode(step.raw, letters)}})
			got := ""
			if len(points) == 1 {
				got = valueText(points[0].Value)
			}
			if got != step.want {
				t.Errorf("a counter that %s: step %d gives %q, want %q", name, i, got, step.want)
			}
			gaps.Reset += notes.GapsBy.Reset
			gaps.Wrap += notes.GapsBy.Wrap
			gaps.Absence += notes.GapsBy.Absence
		}
		if gaps != c.gaps {
			t.Errorf("a counter that %s: gaps %+v, want %+v", name, gaps, c.gaps)
		}
	}
}

// TestModbusCheckpoint: baselines of other registers are left out, and those of
// another boot hold as long as the wall clock tells.
func TestModbusCheckpoint(t *testing.T) {
	counter := ModbusRegisterOptions{Key: "a.b", Address: "0", Count: true}
	r := *compileOne(t, counter)
	at := func(boot byte, uptime time.Duration, wall time.Duration) probes.Stamp {
		return probes.Stamp{Boot: probes.BootID{boot}, Uptime: uptime, Wall: wall.Milliseconds()}
	}
	read := func(s *ModbusState, stamp probes.Stamp, raw string) string {
		points, notes := s.Points(ModbusReading{Stamp: stamp, Interval: time.Minute, Raw: [][]byte{[]byte(raw)}})
		return fmt.Sprintf("%d %d", len(points), notes.GapsBy.Sum())
	}
	s := ModbusState{Registers: []ModbusRegister{r}}
	if data, err := s.Checkpoint(); data != nil || err != nil {
		t.Errorf("nothing is saved as %q, %v", data, err)
	}
	read(&s, at(1, time.Hour, 100*time.Hour), "\x00\x05")
	saved, err := s.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stamp    probes.Stamp
		address  ModbusNumber
		want     string
		register ModbusRegisterOptions
	}{
		"two minutes later":             {stamp: at(1, time.Hour+2*time.Minute, 0), want: "1 0"},
		"two minutes and a boot later":  {stamp: at(2, time.Second, 100*time.Hour+2*time.Minute), want: "1 0"},
		"a day and a boot later":        {stamp: at(2, time.Second, 124*time.Hour), want: "0 1"},
		"a boot later, without a clock": {stamp: probes.Stamp{Boot: probes.BootID{2}, Guess: true}, want: "0 1"},
		"another register":              {stamp: at(1, time.Hour+2*time.Minute, 0), address: "7", want: "0 0"},
	} {
		o := counter
		if c.address != "" {
			o.Address = c.address
		}
		again := ModbusState{Registers: []ModbusRegister{*compileOne(t, o)}}
		if err := again.Restore(saved); err != nil {
			t.Fatal(err)
		}
		if got := read(&again, c.stamp, "\x00\x09"); got != c.want {
			t.Errorf("%s: points and gaps %s, want %s", name, got, c.want)
		}
	}
	for _, bad := range []string{"", "{}", "[1]", `{"format":2}`} {
		if err := new(ModbusState).Restore([]byte(bad)); err == nil {
			t.Errorf("%q is taken as a checkpoint", bad)
		}
	}
}
