package agent

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
)

// Entry is what would become of one entry of a configuration.
type Entry struct {
	Name string
	Asked
	Tasks    int
	PerDay   int    // points that all of it gives in a day, about
	Assumed  string // what PerDay rests on, for people
	Unsigned bool
	Warnings []string
	Err      error
}

// Asked is how many things an entry asks, or listens to.
type Asked struct {
	Devices   int // of SNMP, and what the built-in probes ask
	Endpoints int // of Prometheus and http
	Receivers int // of traps
	Listeners int // to what else arrives by itself
}

// askedBy counts what some tasks ask. A device or endpoint may have several.
func askedBy(tasks []probes.Task) Asked {
	var a Asked
	seen := map[[3]string]bool{}
	for _, t := range tasks {
		key := [3]string{t.Device, t.Lane}
		if t.Package == "" { // each task of a built-in probe is a thing of its own
			key[2] = t.ID
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		switch {
		case t.Source != nil && t.Package == "":
			a.Listeners++
		case t.Source != nil:
			a.Receivers++
		case t.Lane != "": // only endpoints have lanes of their own
			a.Endpoints++
		default:
			a.Devices++
		}
	}
	return a
}

// Checked is what would become of a configuration.
type Checked struct {
	Entries  []Entry
	Packages []control.Package
	Warnings []string // of the trust folders
}

// Check makes the tasks of a configuration as a start would, without touching
// the network or the store, and tells of each entry whether it would run.
// Signatures are judged by this machine's clock, which is not believed before
// built.
func Check(cfg *config.Config, kinds []probes.Kind, built time.Time) Checked {
	w := newWarden(cfg, wardenOptions{at: MachineMoment(built)})
	b := builder{kinds: kinds, deps: probes.Deps{Log: zerolog.Nop()}, warden: w}
	states := b.Build(cfg)
	out := Checked{Packages: packageStatuses(states, w.at), Warnings: w.complaints(w.at)}
	for _, s := range states {
		e := Entry{
			Name: s.Name, Asked: askedBy(s.Tasks), Tasks: len(s.Tasks),
			Unsigned: s.Unsigned != "", Warnings: s.Warnings, Err: s.Err,
		}
		if s.PerDay != nil && s.Err == nil {
			e.PerDay, e.Err = s.PerDay()
			e.Assumed = s.Assumed
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}
