// Package quantity says what a sensor measures: quantities with their units, a
// reading of one, and why there is none.
package quantity

import (
	"errors"

	"github.com/edgehold/edgehold/probes"
)

// Quantity is what is measured.
type Quantity struct {
	Key  string // of the metric
	Unit string // as Dynatrace writes it
	Name string // for people
	Type probes.Type
}

// Reading is one value of a quantity. Index tells several of a sensor apart, "" where
// there is one, e.g. the channel of a converter or the label of a hwmon input.
type Reading struct {
	Of    Quantity
	Value float64 // in the unit of the quantity
	Index string
	// Min and Max are what the part can tell at all; both 0: nobody knows.
	Min, Max float64
}

// Why there is no reading. Errors wrap one of these; every other error means that
// the sensor did not answer.
var (
	ErrChecksum = errors.New("the checksum is wrong")        // the next try may be right
	ErrNotReady = errors.New("the measurement is not ready") // likewise
	ErrNotSuch  = errors.New("another part answers")         // a chip id that is not the part's
)

// The quantities. Those of sensors of network gear have the same keys.
var (
	Temperature = Quantity{"edgehold.sensor.temperature", "Celsius", "Temperature", probes.Gauge}
	Humidity    = Quantity{"edgehold.sensor.humidity", "Percent", "Humidity", probes.Gauge}
	Pressure    = Quantity{"edgehold.sensor.pressure", "Pascal", "Pressure", probes.Gauge}
	Voltage     = Quantity{"edgehold.sensor.voltage", "Volt", "Voltage", probes.Gauge}
	Current     = Quantity{"edgehold.sensor.current", "Ampere", "Current", probes.Gauge}
	Power       = Quantity{"edgehold.sensor.power", "Watt", "Power", probes.Gauge}
	Energy      = Quantity{"edgehold.sensor.energy", "KiloWattHour", "Energy", probes.Gauge}
	FanSpeed    = Quantity{"edgehold.sensor.fanspeed", "RevolutionsPerMinute", "Fan speed", probes.Gauge}
	CO2         = Quantity{"edgehold.sensor.co2", "PartsPerMillion", "Carbon dioxide", probes.Gauge}
	Illuminance = Quantity{"edgehold.sensor.illuminance", "Lux", "Illuminance", probes.Gauge}
	Value       = Quantity{"edgehold.sensor.value", "Unspecified", "Value", probes.Gauge}
	Active      = Quantity{"edgehold.sensor.active", "State", "Input is active", probes.Gauge}
	Changes     = Quantity{"edgehold.sensor.changes", "Count", "Changes of an input", probes.Count}
	Pulses      = Quantity{"edgehold.sensor.pulses", "Count", "Pulses", probes.Count}
	Total       = Quantity{"edgehold.sensor.total", "Unspecified", "Total of a pulse counter", probes.Gauge}
	Rate        = Quantity{"edgehold.sensor.rate", "Unspecified", "Rate of a pulse counter, per hour", probes.Gauge}
	Lost        = Quantity{"edgehold.sensor.pulses.lost", "Count", "Pulses that came faster than they could be counted", probes.Count}
	Alarm       = Quantity{"edgehold.sensor.alarm", "State", "A limit that the part watches is passed", probes.Gauge}
)
