// Package catalog is the plain list of the kinds of probe.
package catalog

import (
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

// Kinds lists the kinds that a configuration may name under `probes`. The plan
// of the embedded package is handed in, since probes parse no packages.
func Kinds(builtin func() (*plan.Plan, error)) []probes.Kind {
	return []probes.Kind{snmp.Kind(builtin)}
}
