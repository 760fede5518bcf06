package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/sign"
)

// entryState is what became of one entry of the configuration, an extension or
// a probe.
type entryState struct {
	Key      string // the files or the place it comes from
	Name     string // also the Config of its tasks
	Tasks    []probes.Task
	Judged   *judged  // its package; nil: it has none
	Unsigned string   // the package, where it runs without a signature
	Warnings []string // the entry runs, but not all of it
	Err      error    // the entry does not run, or not all of it
	Idle     bool     // it is switched off
	Identity string   // what names devices in its lines: site, or "" for their address
	Site     string
	Sources  []string            // the data sources that it collects with
	Metadata []probes.Metadata   // of its metrics
	PerDay   func() (int, error) // points that its devices give in a day, about; nil: not known
	Assumed  string              // what PerDay rests on, for people
	Kept     bool                // the new files are bad, so the tasks of the last good ones run on
}

// builder makes tasks of a checked configuration. It reads package and
// configuration files but never touches the network.
type builder struct {
	kinds  []probes.Kind
	deps   probes.Deps
	warden *warden // of the configuration
	traps  *snmp.TrapReceiver
	first  map[string]activation // of each extension, while Build goes through the entries
}

// Build goes through all entries; one that cannot run does not stop another.
func (b builder) Build(cfg *config.Config) []entryState {
	deps := b.deps
	deps.Credentials = cfg.Credentials
	deps.Profiles = cfg.Profiles
	deps.Constants = cfg.Dimensions
	b.first = map[string]activation{}
	var states []entryState
	for _, e := range cfg.Extensions {
		made := b.extension(cfg, e, deps)
		for i := range made {
			made[i].Key = e.Package + "\x00" + e.Configuration
		}
		states = append(states, made...)
	}
	for _, p := range cfg.Probes {
		states = append(states, b.probe(cfg, p, deps))
	}
	uniqueNames(states)
	dropDoubles(states)
	bindConstants(states, cfg.Dimensions)
	b.warden.forget()
	return states
}

// uniqueNames tells entries of one name apart, and with them those tasks whose
// id begins with the name.
func uniqueNames(states []entryState) {
	seen := map[string]int{}
	for i := range states {
		name := states[i].Name
		seen[name]++
		if seen[name] > 1 {
			states[i].Name = fmt.Sprintf("%s#%d", name, seen[name])
		}
		for j := range states[i].Tasks {
			t := &states[i].Tasks[j]
			t.Config = states[i].Name
			if rest, ok := strings.CutPrefix(t.ID, name+"/"); ok {
				t.ID = t.Config + "/" + rest
			}
		}
	}
}

// bindConstants makes the constants part of what a task is, since its series
// hold them: with other constants it is another task.
func bindConstants(states []entryState, constants []probes.Dimension) {
	text := fmt.Sprintf(" %q", constants)
	for _, s := range states {
		for j := range s.Tasks {
			s.Tasks[j].Same += text
		}
	}
}

// dropDoubles leaves out a task that an entry above has already, so that a
// device listed twice is polled once.
func dropDoubles(states []entryState) {
	owner := map[string]string{}
	for i := range states {
		s := &states[i]
		s.Tasks = slices.DeleteFunc(s.Tasks, func(t probes.Task) bool {
			first, double := owner[t.ID]
			if double {
				s.Warnings = append(s.Warnings, fmt.Sprintf("%s is polled by %s already", t.Label, first))
				return true
			}
			owner[t.ID] = s.Name
			return false
		})
	}
}

func (b builder) probe(cfg *config.Config, p config.Probe, deps probes.Deps) entryState {
	state := entryState{Name: "built-in " + p.Kind, Sources: []string{p.Kind}}
	at := slices.IndexFunc(b.kinds, func(k probes.Kind) bool { return k.Name == p.Kind })
	if at < 0 {
		state.Err = invalid(placed(p.Where, p.Path, fmt.Errorf("kind: unknown kind %q", p.Kind)))
		return state
	}
	tasks, err := b.kinds[at].New(p.Options, deps)
	if err != nil {
		state.Err = invalid(placed(p.Where, p.Path, err))
		return state
	}
	state.Tasks = tasks
	if describe := b.kinds[at].Metrics; describe != nil {
		state.Metadata = describe(p.Options)
	}
	if o, ok := p.Options.(interface{ Warnings([]probes.Task) []string }); ok {
		for _, w := range o.Warnings(tasks) {
			state.Warnings = append(state.Warnings, p.Where+": "+p.Path+"."+w)
		}
	}
	if o, ok := p.Options.(*snmp.Options); ok {
		state.PerDay = func() (int, error) { return pointsPerDay(o, tasks, cfg) }
		state.Assumed = extension.Assumptions(&plan.Plan{Blocks: make([]plan.Block, 1)})
	}
	return state
}

// pointsPerDay is about what the devices of an entry will give. What they are is
// not known before they are asked, so those of profile auto count as generic.
func pointsPerDay(o *snmp.Options, tasks []probes.Task, cfg *config.Config) (perDay int, err error) {
	profiles, err := OpenProfiles(cfg.Profiles)
	if err != nil {
		return 0, invalid(err)
	}
	name := o.Profile
	if name == "auto" {
		name = extension.GenericProfile
	}
	chosen := plan.ProfileOptions{FeatureSets: o.FeatureSets, InterfaceFilter: o.InterfaceFilter}
	for _, t := range tasks {
		chosen.Interval = t.Interval
		p, err := profiles.Named(name, chosen)
		if err != nil {
			return 0, invalid(err)
		}
		perDay += extension.EstimatePoints(p, extension.AssumedInterfaces, cfg.Uplink.Slot()).PerDay
	}
	return perDay, nil
}

// extension makes one state for each monitoring configuration in the entry's
// file, or a single one that says why there is none.
func (b builder) extension(cfg *config.Config, e config.Extension, deps probes.Deps) []entryState {
	pkg := b.warden.open(e)
	name := filepath.Base(e.Package)
	if pkg.Name != "" {
		name = pkg.Name
	}
	configurations, err := readConfigurations(e.Configuration)
	if err != nil {
		err = errors.Join(pkg.Err, err)
		return []entryState{{Name: name, Judged: pkg.told(), Err: invalid(placed(e.Where, "", err)), Warnings: pkg.warnings}}
	}
	var states []entryState
	for i, c := range configurations {
		if !c.Enabled {
			continue
		}
		chosen := b.warden.pinned(e, pkg, c.Version)
		if chosen.Err != nil {
			states = append(states, entryState{Name: name, Judged: chosen.told(), Err: invalid(placed(e.Where, "", chosen.Err)), Warnings: chosen.warnings})
			continue
		}
		states = append(states, b.configuration(activation{
			name:  configurationName(chosen.Name, e.Configuration, i),
			entry: e, pkg: chosen, configuration: c, site: cfg.Site, deps: deps, slot: cfg.Uplink.Slot(), traps: b.traps,
		}))
	}
	if len(states) == 0 && pkg.Err != nil {
		return []entryState{{Name: name, Judged: pkg.told(), Err: invalid(placed(e.Where, "", pkg.Err)), Warnings: pkg.warnings}}
	}
	if len(states) == 0 {
		states = append(states, entryState{
			Name: name, Judged: pkg.told(), Idle: true,
			Warnings: append(slices.Clone(pkg.warnings), fmt.Sprintf("%s: no enabled configuration in %s, so nothing runs", e.Where, e.Configuration)),
		})
	}
	return oneOfEach(states)
}

// configuration makes the state of one monitoring configuration.
func (b builder) configuration(a activation) entryState {
	state := entryState{Name: a.name}
	err := b.warden.within(&a.pkg, a.pkg.manifest, a.configuration.Targets())
	if err == nil {
		err = b.single(a)
	}
	if err != nil {
		state.Err = invalid(placed(a.entry.Where, "", err))
	} else {
		state = activate(a)
	}
	state.describe(a.pkg.told())
	return state
}

// single refuses another version of an extension than the one of an entry
// before: one runs at a time, unless a monitoring configuration chose another
// among those that are installed.
func (b builder) single(a activation) error {
	if pinned := a.pkg.Package != a.entry.Package; pinned || b.warden.named {
		return nil
	}
	before, known := b.first[a.pkg.Name]
	if !known {
		b.first[a.pkg.Name] = a
		return nil
	}
	if before.pkg.Version == a.pkg.Version && before.pkg.Digest == a.pkg.Digest {
		return nil
	}
	return &sign.Refusal{
		Rule: ruleSecondVersion,
		Text: fmt.Sprintf("package %s: %s runs in version %s already, of the entry at %s, and this is version %s with the SHA-256 %.12s",
			a.pkg.Package, a.pkg.Name, before.pkg.Version, before.entry.Where, a.pkg.Version, a.pkg.Digest),
		Mend: "name the same package in both entries",
	}
}

// oneOfEach leaves out states that say the same: a package that cannot run says
// why once for all configurations of a file.
func oneOfEach(states []entryState) []entryState {
	var out []entryState
	for _, s := range states {
		if !slices.ContainsFunc(out, func(o entryState) bool {
			return o.Err != nil && s.Err != nil && o.Name == s.Name && o.Err.Error() == s.Err.Error()
		}) {
			out = append(out, s)
		}
	}
	return out
}

func configurationName(extension, file string, i int) string {
	name := extension + "/" + filepath.Base(file)
	if i > 0 {
		name = fmt.Sprintf("%s[%d]", name, i)
	}
	return name
}

// mostConfiguration is far above any list of devices, in bytes.
const mostConfiguration = 16 << 20

// readConfigurations reads a monitoring configuration. One that holds secrets
// must not be readable by everybody.
func readConfigurations(path string) ([]extension.Configuration, error) {
	data, err := sign.ReadRegular(path, mostConfiguration)
	if err != nil {
		return nil, fmt.Errorf("read monitoring configuration: %w; give the JSON that says which devices to poll, as `configuration`", err)
	}
	configurations, err := extension.ParseConfiguration(data, path)
	if err != nil {
		return nil, err
	}
	for _, c := range configurations {
		if !c.HoldsSecrets() {
			continue
		}
		if err := config.CheckPrivate(path); err != nil {
			return nil, err
		}
	}
	return configurations, nil
}

func invalid(err error) error {
	var known *probes.StatusError
	if errors.As(err, &known) {
		return err
	}
	return probes.WithStatus(probes.StatusInvalidConfigError, err)
}

func texts(warnings []extension.Warning) []string {
	out := make([]string, len(warnings))
	for i, w := range warnings {
		out[i] = w.String()
	}
	return out
}

// logEntries says once what became of each entry.
func logEntries(log zerolog.Logger, states []entryState) {
	for _, s := range states {
		for _, w := range s.Warnings {
			log.Warn().Str("configuration", s.Name).Msg(w)
		}
		switch {
		case s.Kept:
			log.Error().Str("configuration", s.Name).Err(s.Err).Msg("new files refused, the last good ones keep running")
		case s.Err != nil && len(s.Tasks) > 0:
			log.Error().Str("configuration", s.Name).Err(s.Err).Int("tasks", len(s.Tasks)).Msg("runs in part")
		case s.Err != nil:
			log.Error().Str("configuration", s.Name).Err(s.Err).Msg("does not run")
		default:
			log.Info().Str("configuration", s.Name).Int("tasks", len(s.Tasks)).Msg("runs")
		}
		if s.Unsigned != "" && len(s.Tasks) > 0 {
			log.Warn().Str("package", s.Unsigned).Msg("runs without a checked signature (trust.allow_unsigned)")
		}
	}
}
