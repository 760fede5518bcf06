package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	minInterval = time.Second
	maxInterval = 24 * time.Hour
)

// Options are the options of a `probes:` entry of kind host.
type Options struct {
	Interval        probes.Duration   `yaml:"interval"`
	Groups          []string          `yaml:"groups"`           // empty: the usual ones
	InterfaceFilter string            `yaml:"interface_filter"` // on the name, as in eth0; "": those with hardware
	MountFilter     string            `yaml:"mount_filter"`     // on the path
	DiskFilter      string            `yaml:"disk_filter"`      // on the name, as in mmcblk0; "": those with hardware
	Dimensions      map[string]string `yaml:"dimensions"`
}

// Kind is the kind of probe that measures this machine.
func Kind() probes.Kind {
	return probes.Kind{
		Name:    "host",
		Options: func() any { return &Options{Interval: probes.Duration(time.Minute)} },
		New:     newTasks,
		Metrics: describe,
	}
}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() (errs []error) {
	if d := o.Interval.Std(); d < minInterval || d > maxInterval {
		errs = append(errs, fmt.Errorf("interval: found %v, expected %v to %v", o.Interval, minInterval, maxInterval))
	}
	for i, g := range o.Groups {
		if g != groupAll && !slices.Contains(groups, g) {
			errs = append(errs, fmt.Errorf("groups[%d]: there is no group %q, expected all or some of %s", i, g, strings.Join(groups, ", ")))
		}
	}
	for _, f := range []struct{ field, text string }{
		{"interface_filter", o.InterfaceFilter}, {"mount_filter", o.MountFilter}, {"disk_filter", o.DiskFilter},
	} {
		if _, err := plan.ParseFilter(f.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; write it as in $eq(eth0) or $or($prefix(eth),$prefix(wwan))", f.field, err))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(o.Dimensions)) {
		if key == "" || probes.DimensionKey(key) != key {
			errs = append(errs, fmt.Errorf("dimensions: %q is no key of a dimension, write it in lower case with letters, digits and . _ - : beginning with a letter", key))
		}
	}
	return errs
}

// chosen are the groups that are read, in the order of groups.
func (o *Options) chosen() []string {
	switch {
	case len(o.Groups) == 0:
		return groups[:usual]
	case slices.Contains(o.Groups, groupAll):
		return groups
	}
	return slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return !slices.Contains(o.Groups, g) })
}

func newTasks(options any, deps probes.Deps) ([]probes.Task, error) {
	o, ok := options.(*Options)
	if !ok {
		return nil, fmt.Errorf("options are a %T, expected *host.Options", options)
	}
	p, err := newProbe(o, deps)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v %q %q", *o, deps.Procfs, deps.Sysfs))
	return []probes.Task{{
		ID:       "host/" + strings.Join(o.chosen(), "+"),
		Device:   "this machine",
		Label:    "host",
		Interval: o.Interval.Std(),
		Probe:    p,
		Same:     hex.EncodeToString(sum[:]),
	}}, nil
}

// describe tells of the metrics of the chosen groups.
func describe(options any) []probes.Metadata {
	o, ok := options.(*Options)
	if !ok {
		return nil
	}
	var all []probes.Metadata
	chosen := o.chosen()
	for _, m := range metrics {
		if slices.Contains(chosen, m.group) {
			all = append(all, probes.Metadata{Key: m.key, Type: m.kind, Unit: m.unit, DisplayName: m.name})
		}
	}
	return all
}

// filters are the parsed ones of the options; nil is none.
type filters struct{ interfaces, mounts, disks *plan.Filter }

func (o *Options) filters() (f filters, err error) {
	var errs [3]error
	f.interfaces, errs[0] = plan.ParseFilter(o.InterfaceFilter)
	f.mounts, errs[1] = plan.ParseFilter(o.MountFilter)
	f.disks, errs[2] = plan.ParseFilter(o.DiskFilter)
	return f, errors.Join(errs[:]...)
}
