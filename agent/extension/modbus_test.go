package extension

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/edgehold/edgehold/probes/plan"
)

// TestModbusProfiles holds the built-in profiles against the numbers of the
// manufacturers' tables, which are typed in here once more.
func TestModbusProfiles(t *testing.T) {
	p, err := OpenModbusProfiles(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Names(); !slices.Equal(got, []string{"abb-b23", "eastron-sdm630", "gavazzi-em340"}) {
		t.Errorf("profiles %v", got)
	}
	for name, want := range map[string]struct {
		most      int
		registers map[string]string // key and phase: table, address, registers and type
	}{
		"eastron-sdm630": {80, map[string]string{
			"voltage L1": "input 0 2 float32", "voltage L3": "input 4 2 float32", "current L1": "input 6 2 float32", "current L3": "input 10 2 float32",
			"power.active L1": "input 12 2 float32", "power.apparent L1": "input 18 2 float32", "power.reactive L1": "input 24 2 float32", "power.factor L1": "input 30 2 float32",
			"power.active total": "input 52 2 float32", "power.apparent total": "input 56 2 float32", "power.reactive total": "input 60 2 float32",
			"power.factor total": "input 62 2 float32", "frequency": "input 70 2 float32", "energy.import": "input 72 2 float32", "energy.export": "input 74 2 float32",
		}},
		"gavazzi-em340": {50, map[string]string{
			"voltage L1": "input 0 2 int32", "voltage L3": "input 4 2 int32", "current L2": "input 14 2 int32", "power.active L3": "input 22 2 int32",
			"power.apparent L1": "input 24 2 int32", "power.reactive L1": "input 30 2 int32", "power.active total": "input 40 2 int32", "power.factor L1": "input 46 1 int16",
			"power.factor total": "input 49 1 int16", "frequency": "input 51 1 int16", "energy.import": "input 52 2 int32", "energy.export": "input 78 2 int32",
		}},
		"abb-b23": {125, map[string]string{
			"voltage L1": "holding 23296 2 uint32", "voltage L3": "holding 23300 2 uint32", "current L1": "holding 23308 2 uint32", "current N": "holding 23314 2 uint32",
			"power.active total": "holding 23316 2 int32", "power.active L3": "holding 23322 2 int32", "power.reactive total": "holding 23324 2 int32",
			"power.apparent L3": "holding 23338 2 int32", "frequency": "holding 23340 1 uint16", "power.factor total": "holding 23354 1 int16",
			"device.serial": "holding 35072 2 uint32", "device.firmware": "holding 35080 8 string", "energy.import": "holding 20480 4 uint64", "energy.export": "holding 20484 4 uint64",
		}},
	} {
		profile, err := p.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		if profile.MaxRegisters != want.most {
			t.Errorf("%s: at most %d registers, want %d", name, profile.MaxRegisters, want.most)
		}
		got := map[string]string{}
		for _, r := range profile.Registers {
			key := strings.TrimPrefix(r.Key, plan.ModbusPrefix)
			if len(r.Dims) > 0 {
				key += " " + r.Dims[0].Value
			}
			if r.Key == "" {
				key = r.Dimension
			}
			if got[key] != "" {
				t.Errorf("%s: %s is there twice", name, key)
			}
			got[key] = fmt.Sprintf("%s %d %d %s", r.Table, r.Address, r.Words, r.Type)
			if r.Key != "" && (r.Meta.Unit == "" || r.Meta.DisplayName == "") {
				t.Errorf("%s: %s has no unit or no name", name, key)
			}
		}
		for key, place := range want.registers {
			if got[key] != place {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], place)
			}
		}
	}
}

func TestModbusProfileOfASite(t *testing.T) {
	folder := fstest.MapFS{
		"snmp.yaml": {Data: []byte("not looked at")},
		"modbus/press.yaml": {Data: []byte(`name: plant-press
registers:
  - {key: plant.press.force, address: 0034h, type: float32, order: CDAB, na: [-1]}
  - {dimension: state, address: 7, texts: {0: stopped, 1: runs}}
`)},
		"modbus/meter.yaml": {Data: []byte("name: abb-b23\nmax_gap: 0\nregisters: [{key: voltage, address: 1}]\n")},
	}
	p, err := OpenModbusProfiles(folder, "profiles")
	if err != nil {
		t.Fatal(err)
	}
	press, err := p.Named("plant-press")
	if err != nil {
		t.Fatal(err)
	}
	if r := press.Registers[0]; r.Address != 0x34 || r.Key != "plant.press.force" || press.Registers[1].Label([]byte{0, 1}) != "runs" {
		t.Errorf("got %+v", press.Registers)
	}
	if own, _ := p.Named("abb-b23"); len(own.Registers) != 1 || own.MaxGap == nil || *own.MaxGap != 0 || own.Registers[0].Key != "edgehold.modbus.voltage" {
		t.Errorf("a site's own profile does not take the place of the built-in one: %+v", own)
	}
	if _, err := p.Named("plant-pres"); err == nil || err.Error() != `unknown profile "plant-pres", did you mean plant-press?` {
		t.Errorf("got %v", err)
	}
	if _, err := p.Named("x"); err == nil || !strings.HasSuffix(err.Error(), "expected one of abb-b23, eastron-sdm630, gavazzi-em340, plant-press") {
		t.Errorf("got %v", err)
	}
}

func TestModbusProfileFaults(t *testing.T) {
	for want, text := range map[string]string{
		"p/modbus/a.yaml: the file is empty":                                                                  "",
		"p/modbus/a.yaml:1:1: name: missing, expected a name such as":                                         "registers: [{key: a, address: 1}]\n",
		"p/modbus/a.yaml:1:1: registers: missing, expected a list of registers":                               "name: a\n",
		"p/modbus/a.yaml:2:1: adddress: unknown key, left alone":                                              "name: a\nadddress: 1\nregisters: [{key: a.b, address: 1}]\n",
		"p/modbus/a.yaml:3:20: registers[0].adddress: unknown key, left alone, did you mean address?":         "name: a\nregisters:\n  - {key: voltage, adddress: 1}\n",
		"p/modbus/a.yaml:4:29: registers[1].address: found 99999, expected 0 to 65535":                        "name: a\nregisters:\n  - {key: voltage, address: 1}\n  - {key: current, address: 99999}\n",
		"p/modbus/a.yaml:3:5: registers[0].address: missing, expected the address":                            "name: a\nregisters:\n  - {key: voltage}\n",
		"p/modbus/a.yaml:3:39: registers[0].scale: found 0, with which every value is 0":                      "name: a\nregisters:\n  - {key: voltage, address: 1, scale: 0}\n",
		"p/modbus/a.yaml:2:16: max_registers: found 126, expected a whole number from 1 to 125":               "name: a\nmax_registers: 126\nregisters: [{key: a.b, address: 1}]\n",
		`p/modbus/a.yaml:3:13: registers[0].order: found "CBAD", expected ABCD (most significant byte first)`: "name: a\norder: CBAD\nregisters: [{key: a.b, address: 1, type: int64}]\n",
		"p/modbus/b.yaml: name: x is the name of the profile in p/modbus/a.yaml too, give it another":         "name: x\nregisters: [{key: a.b, address: 1}]\n",
		"p/modbus/a.yaml:1: not valid YAML: did not find expected ',' or ']'":                                 "name: a\nregisters: [{key: a.b, address: 1}\n",
		"p/modbus/a.yaml:3:44: registers[0].dimensions: found a text, expected an object":                     "name: a\nregisters:\n  - {key: voltage, address: 1, dimensions: L1}\n",
	} {
		folder := fstest.MapFS{"modbus/a.yaml": {Data: []byte(text)}}
		if strings.HasPrefix(want, "p/modbus/b") {
			folder["modbus/b.yaml"] = folder["modbus/a.yaml"]
		}
		_, err := OpenModbusProfiles(folder, "p")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// FuzzModbusProfile: what is taken has registers within the protocol, and is
// taken in the same way again.
func FuzzModbusProfile(f *testing.F) {
	files, err := modbusFiles.ReadDir(modbusFolder)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := modbusFiles.ReadFile(modbusFolder + "/" + file.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("name: a\nregisters: [{dimension: d, address: 0034h, type: string, length: 3, texts: {1: a}, na: [-1]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := parseModbusProfile(data, "f.yaml")
		if err != nil {
			return
		}
		if made.Name == "" || len(made.Registers) == 0 || made.MaxRegisters > plan.MaxModbusRegisters {
			t.Errorf("taken: %+v", made)
		}
		for i := range made.Registers {
			r := &made.Registers[i]
			if r.Address < 0 || r.Words < 1 || r.Address+r.Words > 1<<16 || r.Key == "" && r.Dimension == "" {
				t.Errorf("taken: %+v", r)
			}
			raw := make([]byte, 2*r.Words)
			r.Label(raw)
			if value, ok := r.Gauge(raw); r.Type != "string" && ok && value.Check() != nil {
				t.Errorf("%+v of 0 gives %v", r, value)
			}
		}
		again, err := parseModbusProfile(data, "f.yaml")
		if err != nil || fmt.Sprintf("%#v", made.Registers) != fmt.Sprintf("%#v", again.Registers) {
			t.Errorf("taken in two ways: %v", err)
		}
	})
}
