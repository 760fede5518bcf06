package agent

import (
	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
)

// Entry is what would become of one entry of a configuration.
type Entry struct {
	Name     string
	Devices  int
	Tasks    int
	PerDay   int // points that its devices give in a day, about: 24 interfaces each, sensors not counted
	Unsigned bool
	Warnings []string
	Err      error
}

// Check makes the tasks of a configuration as a start would, without touching
// the network or the store, and tells of each entry whether it would run.
func Check(cfg *config.Config, kinds []probes.Kind) []Entry {
	b := builder{kinds: kinds, deps: probes.Deps{Log: zerolog.Nop()}}
	var entries []Entry
	for _, s := range b.Build(cfg) {
		devices := map[string]bool{}
		for _, t := range s.Tasks {
			devices[t.Device] = true
		}
		e := Entry{
			Name: s.Name, Devices: len(devices), Tasks: len(s.Tasks),
			Unsigned: s.Unsigned != "", Warnings: s.Warnings, Err: s.Err,
		}
		if s.PerDay != nil && s.Err == nil {
			e.PerDay, e.Err = s.PerDay()
		}
		entries = append(entries, e)
	}
	return entries
}
