package extension

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	profilePrefix = "edgehold." // may be left out of a name
	// GenericProfile reads what the standards describe.
	GenericProfile = profilePrefix + "generic"
	maxProfiles    = 2000
)

// Profiles are the profiles of this program and those of a site. It implements
// plan.Profiles and may be used by several goroutines.
type Profiles struct {
	byName map[string]*profile
	names  []string // sorted
	sum    string

	mu    sync.Mutex // bodies and plans
	plans map[string]*plan.Plan
}

// OpenProfiles reads the profiles of this program and, where site is not nil,
// those of a site's folder, which take the place of others of the same name.
// Name is the folder as its user knows it.
func OpenProfiles(site fs.FS, name string) (*Profiles, error) {
	return openProfiles(packed, site, name)
}

func openProfiles(pack string, site fs.FS, name string) (*Profiles, error) {
	p := &Profiles{byName: map[string]*profile{}, plans: map[string]*plan.Plan{}}
	folders := []folder{{pack: pack, name: "built-in profile"}}
	if site != nil {
		folders = append(folders, folder{FS: site, name: name, foreign: true})
	}
	h := sha256.New() // what is embedded never changes
	for _, f := range folders {
		if err := p.add(f, h); err != nil {
			return nil, err
		}
	}
	for name := range p.byName {
		p.names = append(p.names, name)
	}
	slices.Sort(p.names)
	p.sum = hex.EncodeToString(h.Sum(nil))
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// folder is where profiles lie.
type folder struct {
	fs.FS          // nil: those of the program
	pack    string // that hold them
	name    string // as in messages
	foreign bool   // of a site
}

// files reads the *.yaml, in the order of their names.
func (f folder) files() ([]packedFile, error) {
	if f.FS == nil {
		return unpack(f.pack)
	}
	names, err := fs.Glob(f, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) > maxProfiles {
		return nil, fmt.Errorf("found %d files, expected at most %d", len(names), maxProfiles)
	}
	files := make([]packedFile, len(names))
	for i, name := range names {
		data, err := readBounded(f.FS, name)
		if err != nil {
			return nil, err
		}
		files[i] = packedFile{name, data}
	}
	return files, nil
}

// add takes the profiles of one folder, in which no name may come twice. What a
// site wrote goes into the sum.
func (p *Profiles) add(f folder, sum io.Writer) error {
	files, err := f.files()
	if err != nil {
		return fmt.Errorf("read profiles of %s: %w", f.name, err)
	}
	var errs []error
	here := map[string]string{}
	for _, file := range files {
		made, err := f.read(file, sum)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if first, twice := here[made.name]; twice {
			errs = append(errs, fmt.Errorf("%s: name: %s is the name of the profile in %s too, give it another", made.file, made.name, first))
		}
		here[made.name] = made.file
		p.byName[made.name] = made
	}
	return errors.Join(errs...)
}

// read reads the head of a profile, and the body of one that may change.
func (f folder) read(file packedFile, sum io.Writer) (*profile, error) {
	made, err := parseHead(file.data, path.Join(f.name, file.name))
	if err != nil {
		return nil, err
	}
	made.entry, made.pack, made.foreign = file.name, f.pack, f.foreign
	if f.foreign {
		fmt.Fprintf(sum, "%d %s", len(file.data), file.data)
		err = made.parse(file.data)
	}
	return made, err
}

// check compiles the profiles of a site. Tests do so with those of the program.
func (p *Profiles) check() error {
	var errs []error
	for _, name := range p.names {
		if !p.byName[name].foreign {
			continue
		}
		if _, err := p.compile(name, plan.ProfileOptions{FeatureSets: []string{allSets}}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Names lists the profiles, sorted.
func (p *Profiles) Names() []string { return p.names }

// Sum changes with every profile.
func (p *Profiles) Sum() string { return p.sum }

// For compiles the profile that fits a device best: the one with the longest
// match of the sysObjectID, else the generic one.
func (p *Profiles) For(sysObjectID, sysDescr string, o plan.ProfileOptions) (*plan.Plan, error) {
	sysObjectID = strings.TrimPrefix(sysObjectID, ".")
	best, bestAt := GenericProfile, 0
	for _, name := range p.names {
		if fit := p.byName[name].match(sysObjectID, sysDescr); fit > bestAt {
			best, bestAt = name, fit
		}
	}
	return p.Named(best, o)
}

// Named compiles one profile. The same plan is given for the same options.
func (p *Profiles) Named(name string, o plan.ProfileOptions) (*plan.Plan, error) {
	full := name
	if p.byName[full] == nil {
		full = profilePrefix + name
	}
	if p.byName[full] == nil {
		return nil, p.unknown(name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprintf("%s %q %q %d", full, o.FeatureSets, o.InterfaceFilter, o.Interval)
	if made := p.plans[key]; made != nil {
		return made, nil
	}
	made, err := p.compile(full, o)
	if err == nil {
		p.plans[key] = made
	}
	return made, err
}

func (p *Profiles) unknown(name string) error {
	short := make([]string, len(p.names))
	for i, n := range p.names {
		short[i] = strings.TrimPrefix(n, profilePrefix)
	}
	known := suggest(strings.TrimPrefix(name, profilePrefix), append(short, "auto"))
	if known == "" { // it is not repeated: in a CSV file it may be a community in the wrong column
		return fmt.Errorf("unknown profile, expected auto or one of %s", strings.Join(short, ", "))
	}
	return fmt.Errorf("unknown profile %q%s", name, known)
}

// FeatureSets lists the names that some profile knows, sorted.
func (p *Profiles) FeatureSets() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sets []string
	for _, name := range p.names {
		if err := p.byName[name].read(); err != nil {
			return nil, err
		}
		sets = append(sets, p.byName[name].body.FeatureSets...)
	}
	slices.Sort(sets)
	return slices.Compact(sets), nil
}

const (
	allSets       = "all"
	interfaceName = "if.name"
)

func (p *Profiles) compile(name string, o plan.ProfileOptions) (*plan.Plan, error) {
	filter, err := plan.ParseFilter(o.InterfaceFilter)
	if err != nil {
		return nil, fmt.Errorf("interface_filter: %w", err)
	}
	r := resolution{profiles: p, added: map[string]bool{}}
	if err := r.add(name, nil); err != nil {
		return nil, err
	}
	m := r.manifest
	m.File, m.Name, m.Version = p.byName[name].file, name, p.byName[name].body.Version
	m.vars = []variable{{id: deviceType}}
	for i := range m.groups {
		m.groups[i].dims = overlay(m.common, m.groups[i].dims)
	}
	m.FeatureSets = append(slices.Clip(m.FeatureSets), o.FeatureSets...) // one of another profile is no fault here
	c := Configuration{
		Name: m.File, FeatureSets: o.FeatureSets,
		Vars: map[string]string{deviceType: cmp.Or(r.deviceType, strings.TrimPrefix(name, profilePrefix))},
	}
	made, _, err := Compile(&m, c, CompileOptions{Interval: o.Interval})
	if err != nil {
		return nil, fmt.Errorf("compile profile %s: %w", name, err)
	}
	made.Walk = r.walk
	filterInterfaces(made, filter)
	return made, nil
}

// filterInterfaces puts a filter on the names of interfaces, beside one that is
// there.
func filterInterfaces(p *plan.Plan, filter *plan.Filter) {
	if filter == nil {
		return
	}
	for i := range p.Blocks {
		dims := p.Blocks[i].Dims
		at := slices.IndexFunc(dims, func(d plan.Dim) bool { return d.Key == interfaceName })
		if at < 0 {
			continue
		}
		only := dims[at]
		only.Key, only.Filter = "", filter // a dimension without a key is no dimension of the points
		p.Blocks[i].Dims = append(slices.Clip(dims), only)
	}
}

// resolution gathers a profile and what it extends.
type resolution struct {
	profiles   *Profiles
	manifest   Manifest
	deviceType string
	walk       plan.Walk
	added      map[string]bool
}

func (r *resolution) add(name string, path []string) error {
	q := r.profiles.byName[name]
	if q == nil {
		from := r.profiles.byName[path[len(path)-1]]
		return fmt.Errorf("%s: profile.extends: there is no profile %s%s", from.file, name, suggest(name, r.profiles.names))
	}
	if slices.Contains(path, name) {
		return fmt.Errorf("%s: profile.extends: %s extends itself by way of %s", q.file, name, strings.Join(append(path, name), ", "))
	}
	if r.added[name] {
		return nil // laid once more over what came since, it would undo that
	}
	r.added[name] = true
	if err := q.read(); err != nil {
		return err
	}
	for _, base := range q.extends {
		if err := r.add(base, append(slices.Clip(path), name)); err != nil {
			return err
		}
	}
	r.manifest.merge(q.body)
	r.deviceType = cmp.Or(q.deviceType, r.deviceType)
	if q.walk != nil {
		r.walk = *q.walk
	}
	return nil
}
