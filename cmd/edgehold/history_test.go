package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// What was measured while the time is only a guess is told, not denied.
func TestHistoryWhileTheTimeIsAGuess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgehold.db")
	s, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	var points []probes.Point
	for i := range 3 {
		series := probes.NewSeries("guess.test", probes.Gauge, probes.Dimension{Key: "device.address", Value: "192.0.2.1"})
		stamp := probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Duration(i+1) * time.Minute, Wall: time.Now().UnixMilli() + int64(i), Guess: true}
		points = append(points, probes.Point{Series: series, Value: probes.Int(1), Stamp: stamp})
	}
	known := probes.NewSeries("guess.test", probes.Gauge, probes.Dimension{Key: "device.address", Value: "192.0.2.2"})
	points = append(points, probes.Point{Series: known, Value: probes.Int(1), Stamp: probes.Stamp{Boot: probes.BootID{2}, Uptime: time.Minute, Wall: time.Now().UnixMilli()}})
	if err := s.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"192.0.2.1"}, {"192.0.2.1", "guess.test"}, {"192.0.2.1", "--until", "1h"}} {
		run(append([]string{"history", "--file", path}, args...)...).want(t, exitOK, "192.0.2.1: 3 points, all measured while the time was not known: they are kept, and shown once the agent knows it", "")
	}
	run("history", "--file", path, "192.0.2.3").want(t, exitError, "", "holds nothing of a device")
	for device, undated := range map[string]int64{"192.0.2.1": 3, "192.0.2.2": 0} {
		s := run("history", "--file", path, "--json", device)
		s.want(t, exitOK, "", "")
		var h export.History
		if err := json.Unmarshal([]byte(s.out), &h); err != nil {
			t.Fatal(err)
		}
		if h.Undated != undated || h.Points != max(undated, 1) || len(h.Series) != int(min(1, 3-undated)) {
			t.Errorf("%s: %+v", device, h)
		}
	}
}
