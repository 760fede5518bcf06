package sensor

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/kernel"
	"github.com/edgehold/edgehold/probes/sensor/part"
	"github.com/edgehold/edgehold/probes/sensor/pin"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// kindName begins the ids of the tasks.
const kindName = "sensor"

// What is told of the readings themselves, where there is something to tell.
var (
	checksums   = quantity.Quantity{Key: "edgehold.sensor.crc_errors", Unit: "Count", Name: "Readings with a wrong checksum", Type: probes.Count}
	implausible = quantity.Quantity{Key: "edgehold.sensor.implausible", Unit: "Count", Name: "Values that the part cannot have measured", Type: probes.Count}
)

// errNoBoard is that of a machine without buses and lines.
var errNoBoard = errors.New("this machine shows no buses and no lines to the agent; run it where the sensor is wired to")

// Kind is the kind of probe that reads one sensor.
func Kind() probes.Kind {
	return probes.Kind{Name: kindName, Options: defaults, New: newTasks, Metrics: metrics}
}

func newTasks(options any, deps probes.Deps) ([]probes.Task, error) {
	o, ok := options.(*Options)
	if !ok {
		return nil, fmt.Errorf("options are a %T, expected *sensor.Options", options)
	}
	if err := errors.Join(o.Check()...); err != nil {
		return nil, err
	}
	m, err := o.model()
	if err != nil {
		return nil, err
	}
	var t probes.Task
	switch m.family {
	case onBus:
		t, err = o.busTask(m, deps)
	case inKernel:
		t = o.kernelTask(m, deps)
	default:
		t = o.lineTask(m, deps)
	}
	t.ID = kindName + "/" + t.ID
	t.Config, t.Interval, t.Same = kindName, o.Interval.Std(), o.fingerprint()
	return []probes.Task{t}, err
}

// fingerprint changes with every setting.
func (o *Options) fingerprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", *o))
	return hex.EncodeToString(sum[:])
}

// busName is the same for all ways to write the number of a bus.
func busName(text probes.Word) string {
	number := strings.TrimPrefix(strings.TrimPrefix(string(text), "/dev/"), "i2c-")
	if number != "" && strings.Trim(number, "0123456789") == "" {
		return "i2c-" + number
	}
	return string(text)
}

func (o *Options) busTask(m model, deps probes.Deps) (probes.Task, error) {
	address, err := o.address(m)
	if err != nil {
		return probes.Task{}, err
	}
	settings := part.Settings{Shunt: cmp.Or(o.Shunt, defaultShunt), Resolution: o.Resolution}
	for i, c := range o.Channels {
		made, err := c.of()
		if err != nil {
			return probes.Task{}, fmt.Errorf("channels[%d].%w", i, err)
		}
		settings.Channels = append(settings.Channels, made)
	}
	bus, at := busName(o.Bus), fmt.Sprintf("%#02x", address)
	r := &busReader{sensor: m.New(address, settings), board: deps.Board, bus: bus, at: at, model: m}
	if address < m.First || address > m.Last {
		r.hint = fmt.Sprintf(", where a %s has %s", m.Name, addresses(m))
	}
	own := []probes.Dimension{{Key: "sensor.bus", Value: bus}, {Key: "sensor.address", Value: at}}
	p := o.probe(m, deps, own)
	p.read, p.tries = r.Read, busTries
	return probes.Task{ID: bus + "/" + at, Device: bus, Label: o.label(m, bus+"/"+at), Probe: p}, nil
}

func (o *Options) kernelTask(m model, deps probes.Deps) probes.Task {
	address := string(o.Address)
	p := o.probe(m, deps, []probes.Dimension{{Key: "sensor.address", Value: address}})
	p.read, p.tries = kernel.Open(deps.Sysfs, m.Name, address).Read, 1
	device := m.Name + "/" + address
	if m.Name == kernel.DS18B20 { // the bus converts for one at a time
		device = "w1"
	}
	return probes.Task{ID: m.Name + "/" + address, Device: device, Label: o.label(m, address), Probe: p}
}

func (o *Options) lineTask(m model, deps probes.Deps) probes.Task {
	line := string(o.Line)
	wanted := probes.InputOptions{Line: line, ActiveLow: o.ActiveLow, Pull: probes.Pull(o.Pull), Debounce: o.Debounce.Std()}
	dims := o.dimensions(m, deps, []probes.Dimension{{Key: "sensor.address", Value: line}})
	shared := pin.Options{
		Clock: deps.Clock, Line: line, Interval: o.Interval.Std(), Dimensions: dims,
		Open: func() (probes.InputLine, error) {
			if deps.Board == nil {
				return nil, errNoBoard
			}
			return deps.Board.Input(wanted)
		},
	}
	// An input and a pulse counter of one line have one id: the line has one user.
	t := probes.Task{ID: "line/" + line, Device: "line/" + line, Label: o.label(m, line)}
	if m.Name == pulsePart {
		t.Source = pin.NewPulse(shared, o.count())
		return t
	}
	t.Source = pin.NewInput(shared, o.event())
	return t
}

// name is what people know the sensor by.
func (o *Options) name(at string) string { return cmp.Or(o.Name, o.Part+" "+at) }

func (o *Options) label(m model, at string) string {
	if o.Name == "" {
		return o.name(at)
	}
	return o.Name + " (" + m.Name + " " + at + ")"
}

// dimensions are those of all series of the sensor. The first one of a key wins.
func (o *Options) dimensions(m model, deps probes.Deps, own []probes.Dimension) []probes.Dimension {
	all := append([]probes.Dimension{}, deps.Constants...)
	for key, value := range o.Dimensions {
		all = append(all, probes.Dimension{Key: key, Value: value})
	}
	at := make([]string, len(own))
	for i, d := range own {
		at[i] = d.Value
	}
	all = append(all, own...)
	return append(all, probes.Dimension{Key: "sensor.name", Value: o.name(strings.Join(at, "/"))}, probes.Dimension{Key: "sensor.type", Value: m.Name})
}

// metrics describes what a sensor of these options gives.
func metrics(options any) []probes.Metadata {
	o, ok := options.(*Options)
	if !ok {
		return nil
	}
	m, err := o.model()
	if err != nil {
		return nil
	}
	given := slices.Clone(m.Measures)
	if m.Channels {
		given = nil
		for _, c := range o.Channels {
			q, _ := quantity.Named(c.quantity())
			given = append(given, q)
		}
	}
	if m.family != onLine {
		given = append(given, checksums, implausible)
	}
	var all []probes.Metadata
	seen := map[string]bool{}
	for _, q := range given {
		if !seen[q.Key] && q.Key != "" {
			all = append(all, probes.Metadata{Key: q.Key, Type: q.Type, Unit: q.Unit, DisplayName: q.Name})
		}
		seen[q.Key] = true
	}
	return all
}
