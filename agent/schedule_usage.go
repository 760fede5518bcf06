package agent

import (
	"time"

	"github.com/edgehold/edgehold/probes"
)

// usage is what a package has cost since the start, over all its tasks.
type usage struct {
	Polls  uint64
	Points uint64
	Busy   time.Duration // of its polls, added up
	Waited time.Duration // for slots, added up
	Used   time.Time     // last
}

// usageKept is how long a package that has no tasks is remembered.
const usageKept = 24 * time.Hour

// cost is that of one poll.
type cost struct {
	points       int
	busy, waited time.Duration
}

func (u *usage) add(c cost, now time.Time) {
	u.Polls++
	u.Points += uint64(c.points)
	u.Busy += c.busy
	u.Waited += c.waited
	u.Used = now
}

// shareOf names who shares polling slots with a task.
func shareOf(t probes.Task) string {
	if t.Package != "" {
		return t.Package
	}
	return t.Config
}

func (s *schedule) usageLocked(share string) *usage {
	u := s.usage[share]
	if u == nil {
		u = &usage{}
		s.usage[share] = u
	}
	return u
}

// divideLocked gives each package its part of the slots, by how many devices, or
// lanes of devices, it has, and forgets packages that are long gone.
func (s *schedule) divideLocked(now time.Time) {
	devices := map[string]int{}
	seen := map[laneKey]int{} // lanes, and how many a device has
	for _, e := range s.entries {
		lane := laneKey{shareOf(e.task), e.task.Device, e.task.Lane}
		host := laneKey{share: lane.share, device: lane.device, lane: "\x00"}
		if e.source != nil || seen[lane] > 0 || seen[host] == hostTurns {
			continue
		}
		seen[lane]++
		seen[host]++
		devices[lane.share]++
	}
	for _, p := range []*pool{s.slots, s.dead, s.patient} {
		p.Divide(devices)
	}
	for share, u := range s.usage {
		if devices[share] == 0 && now.Sub(u.Used) > usageKept {
			delete(s.usage, share)
		}
	}
}

// Usage is what the tasks of one package have cost, and what they hold now.
func (s *schedule) Usage(share string) (u usage, held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.usage[share]; known != nil {
		u = *known
	}
	for _, p := range []*pool{s.slots, s.dead, s.patient} {
		held += p.Held(share)
	}
	return u, held
}

// holds tells whether anything was collected.
func holds(b probes.Batch) bool { return len(b.Points)+len(b.Events)+len(b.Records) > 0 }
