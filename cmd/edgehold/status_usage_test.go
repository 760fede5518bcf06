package main

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

func TestUsageTable(t *testing.T) {
	lines := show(func(w *strings.Builder) {
		printUsage(w, []control.Usage{
			{Package: "com.example.slow", Devices: 300, Polls: 5000, Points: 70000, Series: 4200, TimeS: 7300, WaitedS: 95},
			{Package: "custom:new", Devices: 1, Polls: 1, Points: 1, Series: 1},
			{Package: "custom:\x1b[1mrack", Devices: 1, Polls: 60, Points: 120, Series: 2, TimeS: 0.6, WaitedS: 0.2},
		})
	})
	mustHave(t, lines, "usage since the start",
		"  com.example.slow  300 devices, 5000 polls in 2h01m, 70000 points, 4200 series, waited 1m35s for others",
		"1 device, 1 poll in 0ms, 1 point, 1 series",
		"1 device, 60 polls in 600ms, 120 points, 2 series")
	if strings.Contains(strings.Join(lines, "\n"), "\x1b") {
		t.Error("a name moves the cursor")
	}
	if got := show(func(w *strings.Builder) { printUsage(w, nil) }); len(got) != 1 || got[0] != "" {
		t.Errorf("nothing to show: %q", got)
	}
}

func TestSourcesAmongDevices(t *testing.T) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	lines := show(func(w *strings.Builder) {
		printDevices(w, control.Status{Devices: []control.Device{
			{Label: "traps a", State: control.StateOK, LastOK: now.Add(-time.Minute), Source: &control.Source{Received: 70, Dropped: 5, Refused: 3}},
			{Label: "traps b", State: control.StatePending, Message: "nothing has arrived yet", Source: &control.Source{}},
		}}, view{now: now})
	})
	mustHave(t, lines, "  ok           traps a  70 received, 5 dropped, 3 refused, the last 1m00s ago", "  pending      traps b  0 received", "nothing has arrived yet")
}
