package modbus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

func TestOptionsCheck(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"address: missing, expected tcp://HOST:502":                   func(o *Options) { o.Address = "" },
		`address: found "192.0.2.1", expected tcp://`:                 func(o *Options) { o.Address = "192.0.2.1" },
		`address: found "udp://h:1", expected`:                        func(o *Options) { o.Address = "udp://h:1" },
		`address: found "rtuovertcp://h", expected`:                   func(o *Options) { o.Address = "rtuovertcp://h" },
		`address: found "rtu://ttyUSB0", expected`:                    func(o *Options) { o.Address = "rtu://ttyUSB0" },
		`address: found "tcp://h:0", expected`:                        func(o *Options) { o.Address = "tcp://h:0" },
		`address: found "tcp://u@h", expected`:                        func(o *Options) { o.Address = "tcp://u@h" },
		"profile: missing, expected the name of a profile":            func(o *Options) { o.Registers = nil },
		"interval: 500ms is too short, expected 1s":                   func(o *Options) { o.Interval = probes.Duration(time.Second / 2) },
		"timeout: found 10ms, expected 50ms to 30s":                   func(o *Options) { o.Timeout = probes.Duration(10 * time.Millisecond) },
		"pause: found 1m0s, expected 0s to 5s":                        func(o *Options) { o.Pause = probes.Duration(time.Minute) },
		"max_registers: found 126, expected 1 to 125":                 func(o *Options) { o.MaxRegisters = 126 },
		"max_gap: found -1, expected 0 to 125":                        func(o *Options) { gap := -1; o.MaxGap = &gap },
		"units: empty, expected":                                      func(o *Options) { o.Units = nil },
		"units[1]: found 256, expected 0 to 255":                      func(o *Options) { o.Units = []int{0, 256} },
		"units[0]: found 0, expected 1 to 247":                        func(o *Options) { o.Units, o.Address = []int{0}, "rtu:///dev/ttyS0" },
		"units[1]: 3 is named twice":                                  func(o *Options) { o.Units = []int{3, 3} },
		"speed: found 9601, expected that of the devices, one of 300": func(o *Options) { o.Speed = 9601 },
		`parity: found "E", expected none, even or odd`:               func(o *Options) { o.Parity = "E" },
		"data_bits: found 9, expected 8":                              func(o *Options) { o.DataBits = 9 },
		"stop_bits: found 3, expected 1 or 2":                         func(o *Options) { o.StopBits = 3 },
		`dimensions: found the key "Hall"`:                            func(o *Options) { o.Dimensions = map[string]string{"Hall": "3"} },
		"registers[0].address: found 70000":                           func(o *Options) { o.Registers[0].Address = "70000" },
		`registers[0].order: found "XY"`:                              func(o *Options) { o.Order = "XY" },
		"registers[2000].key: found 2001 registers, expected at most 2000": func(o *Options) {
			o.Registers = make([]plan.ModbusRegisterOptions, 2001)
		},
		"order: it is for the registers of this entry": func(o *Options) { o.Order, o.Profile, o.Registers = "CDAB", "meter", nil },
		"table: it is for the registers of this entry": func(o *Options) { o.Table, o.Profile, o.Registers = "input", "meter", nil },
		"registers[1].key: the register at holding 0 has edgehold.modbus.a with the same dimensions": func(o *Options) {
			o.Registers = append(o.Registers, reg("a", 1))
		},
	} {
		b := newBench(t)
		o := b.options("tcp://192.0.2.1", reg("a", 0))
		change(o)
		if errs := o.Check(); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("got %v, want one that begins %s", errs, want)
		}
	}
}

func TestTasks(t *testing.T) {
	for address, want := range map[string]struct{ device, dim string }{
		"tcp://Meter.Example":           {"meter.example:502", "meter.example"},
		"tcp://192.0.2.1:1502":          {"192.0.2.1:1502", "192.0.2.1"},
		"tcp://[2001:db8::1]":           {"[2001:db8::1]:502", "2001:db8::1"},
		"tcp://2001:db8::1":             {"[2001:db8::1]:502", "2001:db8::1"},
		"rtuovertcp://192.0.2.1:4001/":  {"192.0.2.1:4001", "192.0.2.1"},
		"rtu:///dev/serial/by-id/usb-0": {"/dev/serial/by-id/usb-0", "/dev/serial/by-id/usb-0"},
	} {
		b := newBench(t)
		task := b.tasks(b.options(address, reg("a", 0)))[0]
		dims := probes.NewDimensions(task.Probe.(*Probe).state.Dims...)
		series := probes.NewSeriesOf("k", probes.Gauge, dims)
		if task.Device != want.device || task.ID != "modbus/"+want.device+"/1/registers/1m0s" || series.Dim("device.address") != want.dim || series.Dim("modbus.unit") != "1" {
			t.Errorf("%s: task %s of device %s, dimensions %v", address, task.ID, task.Device, series.Dims())
		}
	}
	b := newBench(t)
	first := b.tasks(b.options("tcp://192.0.2.1", reg("a", 0)))[0].Same
	for name, change := range map[string]func(*Options){
		"a register":  func(o *Options) { o.Registers[0].Address = "1" },
		"its scale":   func(o *Options) { o.Registers[0].Scale = 2 },
		"its texts":   func(o *Options) { o.Registers[0].Dimension, o.Registers[0].Texts = "d", map[string]string{"1": "on"} },
		"the timeout": func(o *Options) { o.Timeout *= 2 },
		"the gap":     func(o *Options) { gap := 3; o.MaxGap = &gap },
		"the name":    func(o *Options) { o.Name = "n" },
		"a dimension": func(o *Options) { o.Dimensions = map[string]string{"a": "b"} },
		"a unit":      func(o *Options) { o.Units = []int{2} },
	} {
		o := b.options("tcp://192.0.2.1", reg("a", 0))
		if same := b.tasks(o)[0].Same; same != first {
			t.Fatal("equal options make unequal tasks")
		}
		change(o)
		if b.tasks(o)[0].Same == first {
			t.Errorf("with another value of %s the task is the same", name)
		}
	}
}

// oneProfile knows one.
type oneProfile struct{ plan.ModbusProfile }

func (p oneProfile) Names() []string { return []string{p.Name} }
func (p oneProfile) Named(name string) (*plan.ModbusProfile, error) {
	if name != p.Name {
		return nil, errAddress
	}
	return &p.ModbusProfile, nil
}

func TestProfileAndMetrics(t *testing.T) {
	registers, _ := plan.CompileModbus([]plan.ModbusRegisterOptions{
		{Key: "voltage", Address: "0", Unit: "Volt", Name: "Voltage", Dimensions: map[string]string{"phase": "L1"}},
		{Key: "voltage", Address: "1", Unit: "Volt", Name: "Voltage", Dimensions: map[string]string{"phase": "L2"}},
		{Dimension: "device.serial", Address: "9"},
	}, plan.ModbusDefaults{})
	gap := 4
	kind := Kind(func(string) (plan.ModbusProfiles, error) {
		return oneProfile{plan.ModbusProfile{Name: "meter", DeviceType: "Meter", MaxRegisters: 20, MaxGap: &gap, Registers: registers}}, nil
	})
	b := newBench(t)
	o := b.options("tcp://192.0.2.1", reg("own", 30))
	o.Profile = "meter"
	tasks, err := kind.New(o, probes.Deps{Clock: b.clock, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	p := tasks[0].Probe.(*Probe)
	if p.limits != (limits{20, 4}) || len(p.state.Registers) != 4 || p.Description() != "meter" {
		t.Errorf("limits %+v, %d registers, described as %s", p.limits, len(p.state.Registers), p.Description())
	}
	if !slices.Contains(p.state.Dims, probes.Dimension{Key: "device.type", Value: "Meter"}) {
		t.Errorf("dimensions %v", p.state.Dims)
	}
	want := []probes.Metadata{
		{Key: "edgehold.modbus.voltage", Type: probes.Gauge, Unit: "Volt", DisplayName: "Voltage"},
		{Key: "edgehold.modbus.own", Type: probes.Gauge},
	}
	if got := kind.Metrics(o); !slices.Equal(got, want) {
		t.Errorf("metrics %+v", got)
	}
	o.Registers = append(o.Registers, reg("voltage", 40, func(r *plan.ModbusRegisterOptions) { r.Dimensions = map[string]string{"phase": "L2"} }))
	if _, err := kind.New(o, probes.Deps{}); err == nil || !strings.HasPrefix(err.Error(), "registers[1].key: the profile meter has edgehold.modbus.voltage") {
		t.Errorf("a register that the profile has: %v", err)
	}
	o.Profile = "none"
	if _, err := kind.New(o, probes.Deps{}); err == nil || !strings.HasPrefix(err.Error(), "profile: ") {
		t.Errorf("got %v", err)
	}
}

// TestMergeCovers: of random registers each is read once, in full, within the
// limits, and no span reads more than it must.
func TestMergeCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	types := []string{"uint16", "uint32", "uint64"}
	for range 2000 {
		var all []plan.ModbusRegisterOptions
		for i := range 1 + random.IntN(20) {
			o := reg(fmt.Sprint("a.b", i), random.IntN(60), typed(types[random.IntN(3)]), in([]plan.ModbusTable{plan.ModbusHolding, plan.ModbusInput}[random.IntN(2)]))
			all = append(all, o)
		}
		registers, faults := plan.CompileModbus(all, plan.ModbusDefaults{})
		if len(faults) > 0 {
			t.Fatal(faults[0])
		}
		wanted := make([]int, len(registers))
		for i := range wanted {
			wanted[i] = i
		}
		l := limits{4 + random.IntN(30), random.IntN(8) - 1}
		seen := map[int]bool{}
		for _, s := range merge(registers, wanted, l) {
			checkSpan(t, registers, s, l, seen)
		}
		if len(seen) != len(registers) {
			t.Fatalf("%d of %d registers are read", len(seen), len(registers))
		}
	}
}

func checkSpan(t *testing.T, registers []plan.ModbusRegister, s span, l limits, seen map[int]bool) {
	t.Helper()
	used := make([]bool, s.count)
	for _, i := range s.members {
		r := &registers[i]
		if seen[i] || r.Table != s.table || r.Address < s.address || r.Address+r.Words > s.address+s.count {
			t.Fatalf("%+v holds register %d at %d wrongly", s, i, r.Address)
		}
		seen[i] = true
		for w := range r.Words {
			used[r.Address-s.address+w] = true
		}
	}
	gap, longest := 0, 0
	for _, u := range used {
		if gap++; u {
			gap = 0
		}
		longest = max(longest, gap)
	}
	if s.count > l.registers || longest > max(l.gap, 0) || !used[0] || !used[len(used)-1] {
		t.Fatalf("%+v breaks %+v, its longest gap is %d", s, l, longest)
	}
}

// TestMetricsOfASite: what a profile in a site's folder measures is described
// too, and as that profile says where it takes the place of a built-in one.
func TestMetricsOfASite(t *testing.T) {
	kind := Kind(func(folder string) (plan.ModbusProfiles, error) {
		registers, _ := plan.CompileModbus([]plan.ModbusRegisterOptions{{Key: "force", Address: "0", Unit: "of " + folder}}, plan.ModbusDefaults{})
		return oneProfile{plan.ModbusProfile{Name: "press", Registers: registers}}, nil
	})
	o := newBench(t).options("tcp://192.0.2.1")
	o.Profile = "press"
	if _, err := kind.New(o, probes.Deps{Profiles: "/site"}); err != nil {
		t.Fatal(err)
	}
	if got := kind.Metrics(o); len(got) != 1 || got[0].Unit != "of /site" {
		t.Errorf("metrics %+v", got)
	}
}
