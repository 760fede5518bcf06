package agent

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/modbus"
	"github.com/edgehold/edgehold/probes/modbus/modbustest"
)

// oneMoment is a clock that stands still.
type oneMoment struct{}

func (oneMoment) Now() probes.Stamp { return probes.Stamp{Uptime: 1, Wall: 1} }

// words splits a number into registers, the low one first or last.
func words(n uint64, count int, lowFirst bool) []uint16 {
	all := make([]uint16, count)
	for i := range all {
		at := count - 1 - i
		if lowFirst {
			at = i
		}
		all[at] = uint16(n >> (16 * i))
	}
	return all
}

// TestModbusMeters polls a meter of each built-in profile. What it holds and what
// comes of it are as the manufacturer's table has it.
func TestModbusMeters(t *testing.T) {
	real := func(f float32) []uint16 { return words(uint64(math.Float32bits(f)), 2, false) }
	for profile, meter := range map[string]struct {
		function uint8
		size     int // of the table, from address 0 or what is set lowest
		set      map[int][]uint16
		want     []string
		requests int
	}{
		"eastron-sdm630": {modbustest.Input, 80, map[int][]uint16{
			0: real(230.1), 6: real(4.25), 52: real(-2300.5), 70: real(50.01), 72: real(1234.5),
		}, []string{"voltage L1 230.1", "current L1 4.25", "power.active total -2300.5", "frequency  50.01", "energy.import.total  1234.5"}, 1},
		"gavazzi-em340": {modbustest.Input, 80, map[int][]uint16{
			0: words(2301, 2, true), 14: words(4250, 2, true), 40: words(0xFFFFA622, 2, true), 51: {500}, 52: words(123456, 2, true),
			49: {0xFC7C}, 4: words(0x7FFFFFFF, 2, true),
		}, []string{"voltage L1 230.1", "current L2 4.25", "power.active total -2300.6", "frequency  50", "energy.import.total  12345.6", "power.factor total -0.9"}, 2},
		"abb-b23": {modbustest.Holding, 0, map[int][]uint16{
			0x5000: words(123456789, 4, false), 0x5004: words(math.MaxUint64, 4, false),
			0x5B00: append(words(2301, 2, false), make([]uint16, 16)...), 0x5B12: words(7, 2, false), 0x5B14: words(0xFFFC7D56, 2, false),
			0x5B16: make([]uint16, 22), 0x5B2C: {5001}, 0x5B2D: make([]uint16, 13), 0x5B3A: {985},
			0x8900: words(987654, 2, false), 0x8902: make([]uint16, 6), 0x8908: {0x4231, 0x2E31, 0x0000, 0, 0, 0, 0, 0},
		}, []string{"voltage L1 230.1", "current N 0.07", "power.active total -2300.58", "frequency  50.01", "energy.import.total  1.23456789e+06", "power.factor total 0.985"}, 3},
	} {
		s, err := modbustest.Listen(false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Set(1, meter.function, 0, make([]uint16, meter.size)...)
		for address, values := range meter.set {
			s.Set(1, meter.function, address, values...)
		}
		kind := modbus.Kind(OpenModbusProfiles)
		o := kind.Options().(*modbus.Options)
		o.Address, o.Profile = "tcp://"+s.Addr(), profile
		tasks, err := kind.New(o, probes.Deps{Clock: oneMoment{}, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := tasks[0].Probe.Poll(t.Context())
		if err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		got := map[string]bool{}
		for _, p := range batch.Points {
			got[fmt.Sprintf("%s %s %v", strings.TrimPrefix(p.Series.Key(), "edgehold.modbus."), p.Series.Dim("phase"), p.Value.Float64())] = true
			if profile == "abb-b23" && (p.Series.Dim("device.serial") != "987654" || p.Series.Dim("device.firmware") != "B1.1") {
				t.Fatalf("%s has dimensions %v", p.Series.Key(), p.Series.Dims())
			}
			if strings.HasPrefix(p.Series.Key(), "edgehold.modbus.energy.export.total") && profile == "abb-b23" {
				t.Errorf("%s told a number that stands for none", profile)
			}
		}
		for _, w := range meter.want {
			if !got[w] {
				t.Errorf("%s lacks %q, it gave %v", profile, w, got)
			}
		}
		if n := len(s.Requests()); n != meter.requests {
			t.Errorf("%s took %d requests, want %d", profile, n, meter.requests)
		}
	}
}

func TestModbusProfilesOfASite(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "modbus"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "modbus", "press.yaml")
	if err := os.WriteFile(file, []byte("name: press\nregisters: [{key: force, address: 1, typ: int16}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenModbusProfiles(folder); err == nil || !strings.HasPrefix(err.Error(), file+":2:38: registers[0].typ: unknown key") {
		t.Errorf("got %v, want file, line and key", err)
	}
}
