package agent

import (
	"errors"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/httpjson"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/prometheus"
	"github.com/edgehold/edgehold/probes/snmp"
)

// activation is one monitoring configuration with the package that it is for.
type activation struct {
	name          string
	entry         config.Extension
	pkg           judged
	configuration extension.Configuration
	site          string
	deps          probes.Deps
	slot          time.Duration // of several points in it one is sent
	traps         *snmp.TrapReceiver
}

// activate makes the tasks of a configuration, of each data source that its
// package has.
func activate(a activation) entryState {
	state := entryState{Name: a.name, Identity: identityOf(a.entry), Site: a.site}
	p, warnings, err := a.compile()
	state.Warnings = texts(append(a.configuration.Warnings, warnings...))
	if err != nil {
		state.Err = invalid(placed(a.entry.Where, "", err))
		return state
	}
	if text := a.pkg.manifest.MayMerge(a.configuration, identityOf(a.entry)); text != "" {
		state.Warnings = append(state.Warnings, a.entry.Where+": "+text)
	}
	state.Metadata = p.Metadata
	var errs []error
	for _, source := range []func(*entryState, *plan.Plan) error{a.snmp, a.prometheus, a.snmptraps, a.http} {
		errs = append(errs, source(&state, p))
	}
	if err := errors.Join(errs...); err != nil { // the sound ones are polled all the same
		state.Err = invalid(placed(a.entry.Where, "", err))
	}
	return state
}

// compile makes the plan. Traps are named by the built-in objects too, whereas
// dimensions of SNMP show words for numbers only as a MIB file of the package or
// of the site has them.
func (a activation) compile() (*plan.Plan, []extension.Warning, error) {
	options := extension.CompileOptions{
		Interval: time.Duration(a.entry.Interval), MIBs: a.pkg.mibs, Identity: identityOf(a.entry), Site: a.site,
	}
	p, warnings, err := extension.Compile(a.pkg.manifest, a.configuration, options)
	if err != nil || p.Traps == nil {
		return p, warnings, err
	}
	options.MIBs = mib.Join(a.pkg.mibs, mib.BuiltIn())
	named, _, err := extension.Compile(a.pkg.manifest, a.configuration, options)
	if err != nil {
		return nil, warnings, err
	}
	p.Traps = named.Traps
	return p, warnings, nil
}

// identityOf is what names devices in the lines of an entry, as Compile wants it.
func identityOf(e config.Extension) string {
	if e.Identity == extension.IdentitySite {
		return e.Identity
	}
	return ""
}

// collects notes tasks of one data source.
func (s *entryState) collects(source string, tasks []probes.Task) {
	if len(tasks) == 0 {
		return
	}
	s.Tasks = append(s.Tasks, tasks...)
	s.Sources = append(s.Sources, source)
}

func (a activation) snmp(state *entryState, p *plan.Plan) error {
	if len(p.Blocks) == 0 {
		return nil
	}
	devices, err := a.configuration.Devices(a.deps.Credentials)
	state.collects("snmp", snmp.Tasks(p, devices, snmp.TaskOptions{Config: a.name}, a.deps))
	state.gives(&plan.Plan{Blocks: p.Blocks}, len(devices), a.slot)
	return err
}

// gives adds about what devices or endpoints give in a day.
func (s *entryState) gives(p *plan.Plan, devices int, slot time.Duration) {
	before := s.PerDay
	if text := extension.Assumptions(p); s.Assumed == "" {
		s.Assumed = text
	} else {
		s.Assumed += "; " + text
	}
	s.PerDay = func() (perDay int, err error) {
		if before != nil {
			perDay, err = before()
		}
		return perDay + devices*extension.EstimatePoints(p, extension.AssumedInterfaces, slot).PerDay, err
	}
}

func (a activation) prometheus(state *entryState, p *plan.Plan) error {
	if p.Exposition == nil {
		return nil
	}
	endpoints, err := a.configuration.ScrapeEndpoints(a.deps.Credentials)
	tasks, more := prometheus.Tasks(p, endpoints, prometheus.TaskOptions{Config: a.name}, a.deps)
	state.collects("prometheus", tasks)
	state.gives(&plan.Plan{Exposition: p.Exposition}, len(endpoints), a.slot)
	return errors.Join(err, more)
}

func (a activation) snmptraps(state *entryState, p *plan.Plan) error {
	if p.Traps == nil {
		return nil
	}
	sources, err := a.configuration.TrapSources(a.deps.Credentials)
	state.collects("snmptraps", snmp.TrapTasks(p, sources, snmp.TrapOptions{Config: a.name, Receiver: a.traps}, a.deps))
	return err
}

func (a activation) http(state *entryState, p *plan.Plan) error {
	if p.Documents == nil {
		return nil
	}
	endpoints, err := a.configuration.HTTPEndpoints(a.deps.Credentials)
	state.gives(&plan.Plan{Documents: p.Documents}, len(endpoints), a.slot)
	state.collects("http", httpjson.Tasks(p, endpoints, httpjson.TaskOptions{Config: a.name}, a.deps))
	return err
}

// describe puts what is known of the package onto its state and tasks.
func (s *entryState) describe(pkg *judged) {
	s.Judged = pkg
	if pkg.Unsigned {
		s.Unsigned = pkg.Package
	}
	s.Warnings = append(slices.Clone(pkg.warnings), s.Warnings...)
	for i := range s.Tasks {
		s.Tasks[i].Package = pkg.share()
	}
}
