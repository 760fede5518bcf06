package extension

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// described is a metric that a plan collects.
type described struct {
	key string
	typ probes.Type
}

// describe notes that the plan gives a metric, so that people are told what it
// is. Every data source calls it for each of its metrics.
func (k *compiler) describe(key string, typ probes.Type) { k.described[described{key, typ}] = true }

// describeAll gives the plan what its package says of its metrics.
func (k *compiler) describeAll(p *plan.Plan) {
	for _, about := range k.manifest.Metrics {
		if about.DisplayName == "" && about.Description == "" && about.Unit == "" {
			continue
		}
		for _, typ := range []probes.Type{probes.Gauge, probes.Count} {
			if !k.described[described{about.Key, typ}] {
				continue
			}
			delete(k.described, described{about.Key, typ}) // what says it first counts
			p.Metadata = append(p.Metadata, probes.Metadata{
				Key: about.Key, Type: typ, Unit: about.Unit, DisplayName: about.DisplayName, Description: about.Description,
			})
		}
	}
	slices.SortStableFunc(p.Metadata, func(a, b probes.Metadata) int { return strings.Compare(a.Key, b.Key) })
}
