package modbus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/modbus/modbustest"
	"github.com/edgehold/edgehold/probes/plan"
)

// fakeClock stands still until it is turned.
type fakeClock struct{ stamp probes.Stamp }

func (c *fakeClock) Now() probes.Stamp { return c.stamp }

func (c *fakeClock) turn(d time.Duration) {
	c.stamp.Uptime += d
	c.stamp.Wall += d.Milliseconds()
}

// noProfiles knows none.
func noProfiles(string) (plan.ModbusProfiles, error) { return nil, fmt.Errorf("no profiles here") }

// bench is one entry with its clock.
type bench struct {
	t     *testing.T
	clock *fakeClock
	kind  probes.Kind
}

func newBench(t *testing.T) *bench {
	return &bench{t, &fakeClock{probes.Stamp{Uptime: time.Hour, Wall: 1_700_000_000_000}}, Kind(noProfiles)}
}

// options are the defaults with an address, some registers and a short timeout.
func (b *bench) options(address string, registers ...plan.ModbusRegisterOptions) *Options {
	o, ok := b.kind.Options().(*Options)
	if !ok {
		b.t.Fatal("the options are of another type")
	}
	o.Address, o.Registers = address, registers
	o.Timeout = probes.Duration(100 * time.Millisecond)
	o.Speed = 115200
	return o
}

func (b *bench) tasks(o *Options) []probes.Task {
	b.t.Helper()
	if errs := o.Check(); len(errs) > 0 {
		b.t.Fatalf("options: %v", errs)
	}
	tasks, err := b.kind.New(o, probes.Deps{Clock: b.clock, Log: zerolog.Nop()})
	if err != nil {
		b.t.Fatal(err)
	}
	return tasks
}

// poll gives the points as text, sorted.
func poll(t *testing.T, p probes.Probe) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	batch, err := p.Poll(ctx)
	lines := make([]string, 0, len(batch.Points))
	for _, point := range batch.Points {
		line := point.Series.Key()
		for _, d := range point.Series.Dims() {
			if d.Key != "device.address" && d.Key != "modbus.unit" {
				line += "," + d.Key + "=" + d.Value
			}
		}
		lines = append(lines, fmt.Sprintf("%s %s %v", strings.TrimPrefix(line, plan.ModbusPrefix), point.Series.Type(), point.Value.Float64()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

func listen(t *testing.T, rtu bool) *modbustest.Server {
	t.Helper()
	s, err := modbustest.Listen(rtu)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func addressOf(s *modbustest.Server, rtu bool) string {
	if rtu {
		return "rtuovertcp://" + s.Addr()
	}
	return "tcp://" + s.Addr()
}

// asked lists the requests as FUNCTION/ADDRESS+COUNT.
func asked(s *modbustest.Server) string {
	var all []string
	for _, r := range s.Requests() {
		all = append(all, fmt.Sprintf("%d/%d+%d", r.Function, r.Address, r.Count))
	}
	return strings.Join(all, " ")
}

// reg is a register with its key and address.
func reg(key string, address int, more ...func(*plan.ModbusRegisterOptions)) plan.ModbusRegisterOptions {
	o := plan.ModbusRegisterOptions{Key: key, Address: plan.ModbusNumber(fmt.Sprint(address))}
	for _, f := range more {
		f(&o)
	}
	return o
}

func typed(t string) func(*plan.ModbusRegisterOptions) {
	return func(o *plan.ModbusRegisterOptions) { o.Type = t }
}

func in(table plan.ModbusTable) func(*plan.ModbusRegisterOptions) {
	return func(o *plan.ModbusRegisterOptions) { o.Table = table }
}

// wantError checks status and text of an error.
func wantError(t *testing.T, err error, status probes.Status, words ...string) {
	t.Helper()
	if err == nil || probes.StatusOf(err) != status {
		t.Fatalf("got %v (%s), want %s", err, probes.StatusOf(err), status)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want it to tell %q", err, w)
		}
	}
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
