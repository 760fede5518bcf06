package modbus

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// key names the line: what has one request at a time.
func (t target) key() string {
	if t.path != "" {
		return t.path
	}
	return net.JoinHostPort(t.host, t.port)
}

// newTasks makes a task for each unit: one that is dead is put off alone.
func newTasks(o *Options, profile *plan.ModbusProfile, shared *lines, deps probes.Deps) ([]probes.Task, error) {
	to, err := parseAddress(o.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	s := settings{
		target: to, timeout: o.Timeout.Std(), pause: o.Pause.Std(),
		speed: o.Speed, parity: o.Parity, dataBits: o.DataBits, stopBits: o.StopBits,
	}
	content := sha256.Sum256(fmt.Appendf(nil, "%#v %d %q %q %v %#v", s, gapOf(profile), o.Name, o.Dimensions, profile.MaxRegisters, profile.Registers))
	what := cmp.Or(o.Name, o.Profile, "registers")
	tasks := make([]probes.Task, len(o.Units))
	for i, unit := range o.Units {
		tasks[i] = probes.Task{
			ID:       fmt.Sprintf("modbus/%s/%d/%s/%s", to.key(), unit, what, o.Interval),
			Device:   to.key(),
			Label:    fmt.Sprintf("%s unit %d %s", to.key(), unit, what),
			Config:   "modbus",
			Interval: o.Interval.Std(),
			Probe: &Probe{
				line: shared.of(to.key(), deps.DNS), settings: s, unit: uint8(unit), profile: what,
				interval: o.Interval.Std(), deps: deps,
				limits: limits{registers: profile.MaxRegisters, gap: gapOf(profile)},
				state:  plan.ModbusState{Registers: profile.Registers, Dims: o.dims(to, unit, profile, deps)},
			},
			Same: fmt.Sprintf("%s %d %d", hex.EncodeToString(content[:]), unit, o.Interval.Std()),
		}
	}
	return tasks, nil
}

func gapOf(profile *plan.ModbusProfile) int {
	if profile.MaxGap != nil {
		return *profile.MaxGap
	}
	return defaultGap
}

// dims are the dimensions of all metrics of a unit; of two with a key the first
// counts.
func (o *Options) dims(to target, unit int, profile *plan.ModbusProfile, deps probes.Deps) []probes.Dimension {
	var dims []probes.Dimension
	for _, key := range slices.Sorted(maps.Keys(o.Dimensions)) {
		dims = append(dims, probes.Dimension{Key: key, Value: o.Dimensions[key]})
	}
	dims = append(dims,
		probes.Dimension{Key: "device.address", Value: cmp.Or(to.path, to.host)},
		probes.Dimension{Key: "device.name", Value: o.Name},
		probes.Dimension{Key: "device.type", Value: cmp.Or(profile.DeviceType, o.Profile)},
		probes.Dimension{Key: "modbus.unit", Value: strconv.Itoa(unit)})
	return append(dims, deps.Constants...)
}

// settings are how a line is opened and asked.
type settings struct {
	target
	timeout, pause            time.Duration
	speed, dataBits, stopBits int
	parity                    string
}

// The words of parity.
const (
	parityNone = "none"
	parityEven = "even"
	parityOdd  = "odd"
)
