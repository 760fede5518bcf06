package quantity

import (
	"slices"
	"strings"
)

const prefix = "edgehold.sensor."

// measured is in the order of the names.
var measured = []Quantity{CO2, Current, Energy, FanSpeed, Humidity, Illuminance, Power, Pressure, Temperature, Value, Voltage}

// Measured lists what can be measured, in the order of the names. What only a line
// of a board gives is not among it.
func Measured() []Quantity { return slices.Clone(measured) }

// Short is the name in configurations: the key without what all of them begin with.
func (q Quantity) Short() string { return strings.TrimPrefix(q.Key, prefix) }

// Names lists the short names of quantities, with commas between.
func Names(list []Quantity) string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Short()
	}
	return strings.Join(names, ", ")
}

// Named finds what can be measured by its short name.
func Named(short string) (Quantity, bool) {
	for i := range measured {
		if measured[i].Short() == short {
			return measured[i], true
		}
	}
	return Quantity{}, false
}
