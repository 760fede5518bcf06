package record

import (
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// Measurements whose time nobody knows have an event of now, and no times of 1970.
func TestGapOfUnknownTime(t *testing.T) {
	now := probes.Stamp{Wall: 1_790_000_000_000}
	e := Gap(GapOptions{Site: "plant", Points: 12, Devices: []string{"192.0.2.1"}, Mode: "archive", Now: now})
	if e.Start != now || e.End != now || strings.Contains(e.Title, "0s") {
		t.Errorf("event %+v", e)
	}
	for _, d := range e.Properties {
		if strings.Contains(d.Value, "1970") || d.Key == "edgehold.from" {
			t.Errorf("property %v", d)
		}
	}
	if !slices.Contains(e.Properties, probes.Dimension{Key: "edgehold.points", Value: "12"}) {
		t.Errorf("properties %v", e.Properties)
	}
}
