package board

import (
	"encoding/binary"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// eventSize is that of struct gpio_v2_line_event, in bytes.
const eventSize = 48

// lineEvent is what the kernel writes of an edge.
type lineEvent struct {
	at     uint64 // ns of CLOCK_MONOTONIC
	rising bool   // to active
	number uint32 // in the sequence of its line, from 1 on
}

// lineEvents takes what was read apart, which is whole records. A record of
// another kind than an edge is left out.
func lineEvents(data []byte) []lineEvent {
	var all []lineEvent
	for ; len(data) >= eventSize; data = data[eventSize:] {
		id := binary.NativeEndian.Uint32(data[8:])
		if id != unix.GPIO_V2_LINE_EVENT_RISING_EDGE && id != unix.GPIO_V2_LINE_EVENT_FALLING_EDGE {
			continue
		}
		all = append(all, lineEvent{
			at:     binary.NativeEndian.Uint64(data),
			rising: id == unix.GPIO_V2_LINE_EVENT_RISING_EDGE,
			number: binary.NativeEndian.Uint32(data[20:]),
		})
	}
	return all
}

// clocks are the two clocks since boot, read at once: the kernel stamps edges by
// the one that stands still in suspend.
type clocks struct{ monotonic, boot time.Duration }

func readClocks() clocks {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // every kernel has it
	return clocks{monotonic: time.Duration(ts.Nano()), boot: SinceBoot()}
}

// sequence remembers what the last edge was.
type sequence struct {
	number uint32
	uptime time.Duration
}

// edge places an event in time and tells what is missing before it. A stamp that
// no clock can have given is replaced by now; time does not go back.
func (s *sequence) edge(e lineEvent, now clocks) Edge {
	uptime := now.boot
	if e.at > 0 && e.at <= uint64(now.monotonic) {
		uptime = now.boot - (now.monotonic - time.Duration(e.at))
	}
	uptime = max(uptime, s.uptime)
	lost := e.number - s.number - 1
	if e.number <= s.number {
		lost = 0 // it began anew
	}
	s.number, s.uptime = e.number, uptime
	return Edge{Active: e.rising, Uptime: uptime, Lost: int(min(lost, math.MaxInt32))}
}
