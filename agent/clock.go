package agent

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

// machineClock stamps with this boot's id and clocks.
type machineClock struct{ boot probes.BootID }

// NewClock reads the boot id once.
func NewClock() (probes.Clock, error) {
	id, err := board.BootID()
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	return machineClock{boot: id}, nil
}

// Now stamps this moment.
func (c machineClock) Now() probes.Stamp {
	return probes.Stamp{Boot: c.boot, Uptime: board.SinceBoot(), Wall: time.Now().UnixMilli()}
}
