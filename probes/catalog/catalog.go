// Package catalog is the plain list of the kinds of probe.
package catalog

import (
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

// Kinds lists the kinds that a configuration may name under `probes`. What
// reads the profiles is handed in, since probes parse none.
func Kinds(profiles func(folder string) (plan.Profiles, error)) []probes.Kind {
	return []probes.Kind{snmp.Kind(profiles)}
}
