package extension

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

// What is assumed of an endpoint where nobody knows.
const (
	AssumedItems  = 10 // in each list of a JSON document
	AssumedSeries = 10 // of a metric whose block names labels

	assumedQuantiles = 3 // of a summary
)

// exposed adds the blocks of Prometheus endpoints.
func (e *Estimate) exposed(x *plan.Exposition, slot time.Duration) {
	for i := range x.Blocks {
		b := &x.Blocks[i]
		made := BlockEstimate{Path: b.Path, Rows: 1}
		if slices.ContainsFunc(b.Dims, func(d plan.LabelDim) bool { return d.Source != plan.LabelText }) {
			made.Rows = AssumedSeries
		}
		for _, m := range b.Metrics {
			made.PerDay += made.Rows * exposedPoints(m.Type) * pollsADay(b.Interval, slot)
		}
		e.add(made)
	}
}

// exposedPoints is how many points one series of a metric gives in a poll.
func exposedPoints(t plan.ExposedType) int {
	switch t {
	case plan.ExposedHistogram:
		return 2 // count and sum
	case plan.ExposedSummary:
		return 2 + assumedQuantiles
	}
	return 1
}

// documents adds the blocks of JSON documents.
func (e *Estimate) documents(d *plan.Documents, slot time.Duration) {
	for i := range d.Blocks {
		b := &d.Blocks[i]
		made := BlockEstimate{Path: b.Path, Rows: assumedItems(b.Outer) * assumedItems(b.Inner)}
		each := 0
		for j := range b.Metrics {
			each += documentPoints(&b.Metrics[j])
		}
		if b.Carrier.Metric != "" {
			each++
		}
		made.PerDay = made.Rows * each * pollsADay(b.Interval, slot)
		e.add(made)
	}
}

func documentPoints(m *plan.DocMetric) int {
	if m.Type == plan.DocState && m.All {
		return max(1, len(m.States))
	}
	return 1
}

// assumedItems is 1 for a path that leads to one place, and AssumedItems for
// each list that it goes through.
func assumedItems(p plan.DocPath) int {
	most := 1
	for _, way := range p {
		items := 1
		for _, step := range way {
			if step.Kind == plan.StepEach {
				items *= AssumedItems
			}
		}
		most = max(most, items)
	}
	return most
}

func (e *Estimate) add(b BlockEstimate) {
	e.PerDay += b.PerDay
	e.Blocks = append(e.Blocks, b)
}

func pollsADay(interval, slot time.Duration) int { return int(24 * time.Hour / max(interval, slot)) }

// Assumptions are what an estimate of a plan rests on, for people.
func Assumptions(p *plan.Plan) string {
	var all []string
	if len(p.Blocks) > 0 {
		all = append(all, "taking "+strconv.Itoa(AssumedInterfaces)+" interfaces each; tables of sensors and the like come on top")
	}
	if p.Exposition != nil {
		all = append(all, "taking "+strconv.Itoa(AssumedSeries)+" series of each metric for which the package names labels, and one of each other; further series come on top")
	}
	if p.Documents != nil {
		all = append(all, "taking "+strconv.Itoa(AssumedItems)+" items in each list; events come on top")
	}
	return strings.Join(all, "; ")
}

// PackageEstimate is about what one device or endpoint of a package gives in a
// day, whatever its configuration is.
type PackageEstimate struct {
	Always  int    `json:"always"` // without any feature set
	All     int    `json:"all"`    // with all of them
	Assumed string `json:"assumed"`
}

// EstimatePackage counts as EstimatePoints does. What variables leave out is not
// known; a package of traps alone gives what arrives, which is 0 here.
func EstimatePackage(m *Manifest, mibs *mib.Set, slot time.Duration) PackageEstimate {
	least, most := outline(m, mibs), outline(m, mibs, "all")
	return PackageEstimate{
		Always:  EstimatePoints(least, AssumedInterfaces, slot).PerDay,
		All:     EstimatePoints(most, AssumedInterfaces, slot).PerDay,
		Assumed: Assumptions(most),
	}
}

// outline compiles a package without a configuration: what is missing in it is
// no error here.
func outline(m *Manifest, mibs *mib.Set, sets ...string) *plan.Plan {
	k := compiler{
		manifest: m, configuration: &Configuration{FeatureSets: sets}, options: CompileOptions{MIBs: mibs},
		filters: make(map[string]*plan.Filter), said: make(map[Warning]bool), described: make(map[described]bool),
	}
	k.resolve()
	k.chooseSets()
	p := &plan.Plan{Extension: m.Name, Version: m.Version}
	for _, source := range dataSources() {
		source.compile(&k, p)
	}
	return p
}
