package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// GapOptions say what is known of an outage.
type GapOptions struct {
	Site     string
	From, To int64 // Unix time in ms of the first and of the last measurement that came too late; 0: nobody knows
	Points   int64
	Devices  []string // their names, each once; the event tells the first 20
	Mode     string   // what becomes of the points: archive, logs or drop
	Now      probes.Stamp
}

// maxNames is how many devices an event names.
const maxNames = 20

// fates are the words for what becomes of late points.
var fates = map[string]string{
	"archive": "kept on the gateway, to be exported",
	"logs":    "sent as log records with their true times",
	"drop":    "dropped",
}

// oldestStart is how long ago the event of an outage may begin: what the Events
// API takes, less a day to arrive.
const oldestStart = MaxInfoAge - 24*time.Hour

// Gap is the event that tells of an outage. It begins and ends as the outage
// did, and is of type CUSTOM_INFO. An outage that began before all that an event
// can tell still has an event: that one begins later, and says so.
func Gap(o GapOptions) probes.Event {
	if o.To == 0 {
		return undatedGap(o)
	}
	from, to := probes.Stamp{Wall: o.From}, probes.Stamp{Wall: o.To}
	length := time.Duration(o.To-o.From) * time.Millisecond
	e := probes.Event{
		Type:  "CUSTOM_INFO",
		Title: fmt.Sprintf("Edgehold %s: measurements of %s came too late to be metrics", o.Site, length.Round(time.Second)),
		Start: from,
		End:   to,
		Properties: []probes.Dimension{
			{Key: "site", Value: o.Site},
			{Key: "edgehold.from", Value: isoTime(from)},
			{Key: "edgehold.to", Value: isoTime(to)},
			{Key: "edgehold.seconds", Value: strconv.FormatInt(int64(length/time.Second), 10)},
		},
	}
	e.Properties = append(e.Properties, o.extent()...)
	if oldest := o.Now.Wall - oldestStart.Milliseconds(); o.From < oldest {
		e.Start.Wall, e.End.Wall = oldest, max(o.To, oldest)
		e.Properties = append(e.Properties, probes.Dimension{Key: "edgehold.note", Value: "it began earlier than an event can: see edgehold.from"})
	}
	return FitEvent(e)
}

// undatedGap is of measurements of boots that never learned the time.
func undatedGap(o GapOptions) probes.Event {
	e := probes.Event{
		Type:       "CUSTOM_INFO",
		Title:      fmt.Sprintf("Edgehold %s: measurements of unknown time cannot be metrics", o.Site),
		Start:      o.Now,
		End:        o.Now,
		Properties: []probes.Dimension{{Key: "site", Value: o.Site}, {Key: "edgehold.time_unknown", Value: "true"}},
	}
	e.Properties = append(e.Properties, o.extent()...)
	return FitEvent(e)
}

// extent tells how much a gap is of, and what becomes of it.
func (o GapOptions) extent() []probes.Dimension {
	return []probes.Dimension{
		{Key: "edgehold.points", Value: strconv.FormatInt(o.Points, 10)},
		{Key: "edgehold.devices", Value: strconv.Itoa(len(o.Devices))},
		{Key: "edgehold.device_names", Value: names(o.Devices)},
		{Key: "edgehold.late", Value: o.Mode},
		{Key: "edgehold.outcome", Value: fates[o.Mode]},
	}
}

// names lists the first devices and how many there are more.
func names(devices []string) string {
	list := strings.Join(devices[:min(len(devices), maxNames)], ", ")
	if more := len(devices) - maxNames; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
