package agent

import (
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
)

// described is implemented by probes that know what they read a device with.
type described interface{ Description() string }

func pollingStatus(p pace) control.Polling {
	return control.Polling{
		LatenessP99MS: milliseconds(p.Late), Overruns: p.Overruns,
		InFlight: p.InFlight, MaxInFlight: p.Slots, Dead: p.Dead,
	}
}

// textSince is of a task whose last poll came through to nobody, on an endpoint
// that has answered another task since.
const textSince = "the last poll of this part failed, and the device has answered since: "

// deviceStatuses is the list of tasks. It says of each endpoint what its
// configuration says of it: one that answers and gives nothing is not ok.
func deviceStatuses(tasks []taskState, endpoints map[string][]endpoint) []control.Device {
	type key struct{ config, label, device string }
	known := map[key]endpoint{}
	for _, list := range endpoints {
		for _, e := range list {
			known[key{e.Config, e.Label, e.Device}] = e
		}
	}
	var out []control.Device
	for _, t := range tasks {
		k := key{t.Task.Config, t.Task.Label, t.Task.Device}
		if t.Task.Source != nil {
			k.device = ""
		}
		out = append(out, agreed(deviceStatus(t), known[k]))
	}
	return out
}

// agreed brings the status of a task and that of its endpoint together. A task
// may be better than its endpoint, as one of two is, but not worse, and it is not
// ok where nothing is collected.
func agreed(d control.Device, e endpoint) control.Device {
	own := probes.Status(d.Status)
	switch {
	case own == probes.StatusOK && (e.Message == textEmpty || e.Message == textFirst):
		d.Status, d.Message = string(e.Status), e.Message
	case severity(own) > severity(e.Status):
		d.Status, d.Message = string(probes.StatusPending), textSince+d.Message
	default:
		return d
	}
	d.State = stateWord(result{Status: probes.Status(d.Status)})
	return d
}

func deviceStatus(t taskState) control.Device {
	stats := t.Last.Stats
	d := control.Device{
		Label:      t.Task.Label,
		Address:    t.Task.Device,
		Config:     t.Task.Config,
		State:      stateWord(t.Last),
		Status:     string(t.Last.Status),
		Message:    t.Last.Message,
		LastPoll:   t.Last.At,
		LastOK:     t.Last.LastOK,
		Next:       t.Next,
		IntervalS:  t.Task.Interval.Seconds(),
		DurationMS: milliseconds(t.Last.Duration),
		LateS:      t.Last.Late.Seconds(),
		OverranS:   t.Last.Overran.Seconds(),
		Points:     t.Last.Points,
		Polls:      t.Last.Polls,
		Skipped:    t.Last.Skipped,
		Failures:   t.Last.Fails,
		Gaps:       t.Last.Gaps,
		Requests:   stats.Requests,
		Retries:    stats.Retries,
		Timeouts:   stats.Timeouts,
		Varbinds:   stats.Varbinds,
		Rows:       stats.Rows,
		Strays:     stats.Strays,
		Malformed:  stats.Malformed,
		Reports:    stats.Reports,
		Partial:    stats.Partial,
		Tables:     make([]control.Table, len(stats.Tables)),
	}
	if t.Task.Source != nil {
		d.IntervalS, d.Source = 0, &control.Source{Received: t.Last.Received, Dropped: t.Last.Dropped, Refused: t.Last.Refused}
	}
	for i, x := range stats.Tables {
		d.Tables[i] = control.Table{OID: x.OID, Rows: x.Rows, Requests: x.Requests, DurationMS: milliseconds(x.Took)}
	}
	if p, ok := t.Task.Probe.(described); ok {
		d.Profile = p.Description()
	}
	return d
}

// stateWord is the state of a task in one word for people.
func stateWord(r result) string {
	switch r.Status {
	case probes.StatusOK:
		return control.StateOK
	case probes.StatusPending, "":
		return control.StatePending
	case probes.StatusWarning:
		return control.StatePartial
	case probes.StatusAuthenticationError:
		return control.StateDenied
	case probes.StatusDeviceConnectionError:
		if r.Fails > 1 {
			return control.StateBackingOff
		}
		return control.StateSilent
	}
	return control.StateError
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
