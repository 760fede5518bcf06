package snmp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// TrapOptions belong to the task of one configuration.
type TrapOptions struct {
	Config   string        // the configuration entry; it begins the task's id
	Receiver *TrapReceiver // that of the process
}

// TrapTasks makes the task that takes the notifications of a configuration, none
// where the plan or the configuration has nothing to take. The network is not
// touched before it runs.
func TrapTasks(p *plan.Plan, sources []plan.TrapSource, o TrapOptions, deps probes.Deps) []probes.Task {
	if p.Traps == nil || len(sources) == 0 {
		return nil
	}
	return []probes.Task{{
		ID:     o.Config + "/snmptraps",
		Device: "snmptraps of " + o.Config,
		Label:  "traps " + shortName(p.Extension),
		Config: o.Config,
		Source: &trapSource{
			plan: p.Traps, extension: p.Extension, config: o.Config,
			sources: sources, receiver: o.Receiver, deps: deps,
		},
		Interval: trapPeriod,
		Same:     trapPrint(p, sources),
	}}
}

// trapPrint changes with every setting, secrets included, and tells none.
func trapPrint(p *plan.Plan, sources []plan.TrapSource) string {
	h := sha256.New()
	t := *p.Traps
	if t.Names != nil {
		fmt.Fprintf(h, "%q ", t.Names.Digest())
	}
	t.Names = nil
	fmt.Fprintf(h, "%q %q %#v\n", p.Extension, p.Version, t)
	for _, s := range sources {
		c := s.Credential
		fmt.Fprintf(h, "%v %d %d %q %q %q\n", s.From, s.Port, c.Version, c.Community.Reveal(), c.Context, keyOf(&c))
	}
	return hex.EncodeToString(h.Sum(nil))
}
