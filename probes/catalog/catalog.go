// Package catalog is the plain list of the kinds of probe.
package catalog

import (
	"slices"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/check"
	"github.com/edgehold/edgehold/probes/host"
	"github.com/edgehold/edgehold/probes/modbus"
	"github.com/edgehold/edgehold/probes/mqtt"
	"github.com/edgehold/edgehold/probes/ping"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/sensor"
	"github.com/edgehold/edgehold/probes/snmp"
)

// Kinds lists the kinds that a configuration may name under `probes`. What
// reads the profiles is handed in, since probes parse none.
func Kinds(profiles func(folder string) (plan.Profiles, error), meters func(folder string) (plan.ModbusProfiles, error)) []probes.Kind {
	return slices.Concat([]probes.Kind{
		snmp.Kind(profiles),
		sensor.Kind(),
		modbus.Kind(meters),
		ping.Kind(),
		host.Kind(),
		mqtt.Kind(),
	}, check.Kinds())
}
