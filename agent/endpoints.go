package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
)

// emptyPolls is after how many polls in a row that brought nothing an endpoint
// is no longer in order. Counters give nothing before the second.
const emptyPolls = 3

const (
	textFirst   = "it answers; counters give their first values with the next poll"
	textEmpty   = "it answers, and nothing is collected: look at the feature sets, the variables and the filters of the configuration"
	textNothing = "nothing is collected"
)

// endpoint is what one configuration reads in one place. It may have several
// tasks, of different intervals.
type endpoint struct {
	Config  string
	Label   string // for people
	Device  string // "" of a source, which has many
	Status  probes.Status
	Message string
}

// endpointsOf gives the endpoints of each configuration, in the order of their
// tasks.
func endpointsOf(tasks []taskState) map[string][]endpoint {
	type key struct{ config, device, label string }
	var order []key
	grouped := map[key][]taskState{}
	for _, t := range tasks {
		k := key{t.Task.Config, t.Task.Device, t.Task.Label}
		if grouped[k] == nil {
			order = append(order, k)
		}
		grouped[k] = append(grouped[k], t)
	}
	out := map[string][]endpoint{}
	for _, k := range order {
		e := endpoint{Config: k.config, Label: k.label, Device: k.device}
		if grouped[k][0].Task.Source != nil {
			e.Device = ""
		}
		e.Status, e.Message = combined(grouped[k])
		out[k.config] = append(out[k.config], e)
	}
	return out
}

// combined is the status of an endpoint: the worst of its tasks. A failed
// connection no longer counts once another task has come through.
func combined(tasks []taskState) (status probes.Status, message string) {
	var answered taskState // last
	for _, t := range tasks {
		if t.Last.Status != probes.StatusDeviceConnectionError && t.Last.At.After(answered.Last.At) {
			answered = t
		}
	}
	worst := taskState{Last: result{Status: probes.StatusPending}}
	for _, t := range tasks {
		stale := t.Last.Status == probes.StatusDeviceConnectionError && answered.Last.At.After(t.Last.At)
		if !stale && severity(t.Last.Status) > severity(worst.Last.Status) || worst.Last.Message == "" && t.Last.Status == worst.Last.Status {
			worst = t
		}
	}
	if worst.Last.Status == probes.StatusOK {
		return collected(tasks)
	}
	return worst.Last.Status, worst.Last.Message
}

// collected is the status of an endpoint without errors. It is OK only where
// data arrives.
func collected(tasks []taskState) (probes.Status, string) {
	empty, first := true, true
	for _, t := range tasks {
		polled := t.Task.Source == nil && t.Last.Status == probes.StatusOK
		empty = empty && (t.Last.Status == probes.StatusPending || polled && t.Last.Empty >= emptyPolls)
		first = first && (t.Last.Status == probes.StatusPending || polled && t.Last.LastOK.IsZero())
	}
	switch {
	case empty:
		return probes.StatusWarning, textEmpty
	case first:
		return probes.StatusPending, textFirst
	}
	return probes.StatusOK, ""
}

func severity(s probes.Status) int {
	switch s {
	case probes.StatusPending, "":
		return 0
	case probes.StatusOK:
		return 1
	case probes.StatusWarning:
		return 2
	}
	return 3
}

// configurationStatus sums up an entry's endpoints as the vendor's own tools
// do. An entry that cannot run says why instead.
func configurationStatus(e entryState, endpoints []endpoint) control.Configuration {
	c := control.Configuration{Name: e.Name, Warnings: e.Warnings, Sources: e.Sources, Unhealthy: []control.Endpoint{}}
	var all []probes.Status
	var unhealthy []string
	for _, x := range endpoints {
		all = append(all, x.Status)
		switch severity(x.Status) {
		case 0:
			c.Pending++
			continue
		case 1:
			c.OK++
			continue
		case 2:
			c.Warning++
		default:
			c.Error++
		}
		unhealthy = append(unhealthy, x.Label)
		c.Unhealthy = append(c.Unhealthy, control.Endpoint{Label: x.Label, Address: e.address(x), Status: string(x.Status), Message: x.Message})
	}
	c.Status = string(probes.SummarizeStatus(all))
	c.Message = fmt.Sprintf("Endpoints OK: %d WARNING: %d ERROR: %d", c.OK, c.Warning, c.Error)
	if len(unhealthy) > 0 {
		c.Message += " Unhealthy endpoints: " + strings.Join(unhealthy, ", ")
	}
	switch {
	case e.Err != nil:
		c.Status, c.Message = string(probes.StatusOf(e.Err)), e.Err.Error()
	case e.Idle:
		c.Status, c.Message = string(probes.StatusIdle), "it is switched off (enabled: false)"
	case len(e.Tasks) == 0:
		c.Status, c.Message = string(probes.StatusWarning), textNothing
	}
	return c
}

// address is what names an endpoint's device in the lines of the entry.
func (e entryState) address(x endpoint) string {
	if e.Identity == extension.IdentitySite && x.Device != "" {
		return e.Site + "/" + x.Device
	}
	return x.Device
}

// extensionName is the package that an entry runs, "" for a built-in probe.
func (e entryState) extensionName() (name, version string) {
	if e.Judged == nil {
		return "", ""
	}
	return cmp.Or(e.Judged.Name, e.Judged.Package), e.Judged.Version
}

// usageStatus tells what each package has cost since the start.
func (a *Agent) usageStatus(tasks []taskState) []control.Usage {
	var order []string
	all := map[string]*control.Usage{}
	devices := map[[2]string]bool{}
	for _, t := range tasks {
		share := shareOf(t.Task)
		u := all[share]
		if u == nil {
			spent, held := a.schedule.Usage(share)
			u = &control.Usage{
				Package: share, Polls: spent.Polls, Points: spent.Points, Slots: held,
				TimeS: spent.Busy.Seconds(), WaitedS: spent.Waited.Seconds(),
			}
			all[share] = u
			order = append(order, share)
		}
		if key := [2]string{share, t.Task.Device}; !devices[key] {
			devices[key] = true
			u.Devices++
		}
		u.Series += t.Last.Points
	}
	slices.SortStableFunc(order, func(x, y string) int { return cmp.Compare(all[y].TimeS, all[x].TimeS) })
	out := []control.Usage{}
	for _, share := range order {
		out = append(out, *all[share])
	}
	return out
}
