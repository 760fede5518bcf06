package export

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// Filter says which points are read. Empty fields choose all.
type Filter struct {
	Device string            `json:"device,omitempty"` // a name or an address of it, in any case of letters
	Key    string            `json:"key,omitempty"`    // metric key, its last sections, or a pattern with *
	Dims   map[string]string `json:"dims,omitempty"`   // the series has all of these
	Since  time.Time         `json:"since,omitzero"`   // wall time, both included
	Until  time.Time         `json:"until,omitzero"`
	// Delivered also gives what is delivered and still in the file.
	Delivered bool   `json:"delivered,omitempty"`
	From      uint64 `json:"from,omitempty"` // number of the record to begin with
}

// Check refuses what can never match; the error names the field and the mend.
func (f Filter) Check() error {
	if _, err := path.Match(f.Key, ""); err != nil {
		return fmt.Errorf("metric key %q is not a pattern, expected a key such as if.in.bytes, its last sections, or a pattern such as *.bytes", f.Key)
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Until.Before(f.Since) {
		return fmt.Errorf("until (%s) is before since (%s); exchange them", f.Until.Format(time.RFC3339), f.Since.Format(time.RFC3339))
	}
	return nil
}

// selection is the filter in the words of the store. What it sees of devices
// that do not match goes to seen.
func (f Filter) selection(seen *sighting) buffer.Selection {
	sel := buffer.Selection{Oldest: f.Since, Newest: f.Until, Settled: f.Delivered, From: f.From}
	if f.Device == "" && f.Key == "" && len(f.Dims) == 0 {
		return sel
	}
	known := map[*probes.Series]bool{} // the store asks for each point
	sel.Match = func(s *probes.Series) bool {
		fits, ok := known[s]
		if !ok {
			if len(known) >= maxNames {
				clear(known)
			}
			fits = f.match(s, seen)
			known[s] = fits
		}
		return fits
	}
	return sel
}

func (f Filter) match(s *probes.Series, seen *sighting) bool {
	if f.Device != "" && !matchDevice(s, f.Device) {
		seen.device(s)
		return false
	}
	if f.Key != "" && !matchKey(s.Key(), f.Key) {
		seen.key(s)
		return false
	}
	for k, v := range f.Dims {
		if s.Dim(k) != v {
			return false
		}
	}
	return true
}

// matchKey takes the whole key, its last sections, or a pattern over the key.
func matchKey(key, want string) bool {
	if key == want {
		return true
	}
	if strings.ContainsAny(want, `*?[\`) {
		ok, err := path.Match(want, key)
		return ok && err == nil
	}
	head, ok := strings.CutSuffix(key, want)
	return ok && (strings.HasSuffix(head, ".") || strings.HasPrefix(want, "."))
}

// deviceKeys are the dimensions that name a device.
var deviceKeys = []string{"device.address", "device.name", "device.hostname", "device"}

// deviceNames are all the names that the device of a series answers to.
func deviceNames(s *probes.Series) []string {
	var names []string
	for _, k := range deviceKeys {
		v := s.Dim(k)
		if v == "" || slices.Contains(names, v) {
			continue
		}
		names = append(names, v)
		if port := s.Dim("device.port"); port != "" && k == "device.address" {
			names = append(names, joinPort(v, port))
		}
	}
	return names
}

func joinPort(address, port string) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return address + ":" + port
}

func matchDevice(s *probes.Series, want string) bool {
	return slices.ContainsFunc(deviceNames(s), func(n string) bool { return strings.EqualFold(n, want) })
}

// maxSeen bounds the names that are remembered for a hint.
const maxSeen = 10_000

// sighting is what a read has seen beside what was asked for, so that an empty
// answer can name what is there.
type sighting struct {
	devices, keys map[string]bool
}

func newSighting() *sighting {
	return &sighting{devices: map[string]bool{}, keys: map[string]bool{}}
}

func (s *sighting) device(series *probes.Series) {
	if len(s.devices) >= maxSeen {
		return
	}
	for _, n := range deviceNames(series) {
		s.devices[n] = true
	}
}

func (s *sighting) key(series *probes.Series) {
	if len(s.keys) < maxSeen {
		s.keys[series.Key()] = true
	}
}

// nearest gives the n names that are most like want, the best first.
func nearest(names map[string]bool, want string, n int) []string {
	all := slices.Sorted(maps.Keys(names))
	far := make(map[string]int, len(all))
	for _, name := range all {
		far[name] = distance(strings.ToLower(name), strings.ToLower(want))
	}
	sort.SliceStable(all, func(i, j int) bool { return far[all[i]] < far[all[j]] })
	return all[:min(n, len(all))]
}

// distance counts the bytes to change, add or take away to make b of a. A name
// that holds the other one is near whatever is around it.
func distance(a, b string) int {
	if b != "" && strings.Contains(a, b) {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := left
			if a[i] != b[j] {
				change++
			}
			left = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// ParseMoment reads a point in time: how long ago (7d, 36h), RFC 3339, or a
// date with or without a time in the zone of this machine. "now" is now.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	var ago probes.Duration
	if err := ago.UnmarshalText([]byte(text)); err == nil && ago >= 0 {
		return now.Add(-ago.Std()), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time, expected how long ago such as 7d or 36h, or a date such as 2026-03-01, \"2026-03-01 14:30\" or 2026-03-01T14:30:00Z", text)
}
