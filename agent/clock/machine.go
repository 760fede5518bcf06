package clock

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

// Machine is the clocks of this machine.
type Machine interface {
	Boot() probes.BootID
	Uptime() time.Duration // since boot, on the clock that also counts suspend and is never set
	Wall() time.Time
	NTP() (board.NTPState, error)
	// WatchSteps calls fn after each step of the wall clock until ctx ends.
	WatchSteps(ctx context.Context, fn func()) error
}

// boardMachine is the real one.
type boardMachine struct{ boot probes.BootID }

func (m boardMachine) Boot() probes.BootID          { return m.boot }
func (m boardMachine) Uptime() time.Duration        { return board.SinceBoot() }
func (m boardMachine) Wall() time.Time              { return time.Now() }
func (m boardMachine) NTP() (board.NTPState, error) { return board.NTP() }
func (m boardMachine) WatchSteps(ctx context.Context, fn func()) error {
	return board.WatchSteps(ctx, fn)
}

// sample is the wall clock and the uptime of one moment.
type sample struct {
	wall   time.Time
	uptime time.Duration
}

// take reads both clocks as close together as a few tries allow: the process
// may lose the processor in between.
func take(m Machine) sample {
	best, width := sample{}, time.Duration(-1)
	for range 4 {
		before := m.Uptime()
		wall := m.Wall()
		after := m.Uptime()
		if w := after - before; width < 0 || w < width {
			best, width = sample{wall: wall, uptime: before + w/2}, w
		}
		if width < 100*time.Microsecond {
			break
		}
	}
	return best
}

// offset is the wall time at the boot's uptime zero, milliseconds.
func (s sample) offset() int64 { return s.wall.UnixMilli() - s.uptime.Milliseconds() }
