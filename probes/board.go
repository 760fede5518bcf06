package probes

import (
	"context"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// Board opens what this machine has for probes: buses and pins. Each is found
// by a name that stays over a restart.
type Board interface {
	// I2C opens an adapter: by its number ("1", "i2c-1", "/dev/i2c-1") or, since
	// numbers may change, by its name in sysfs or the path of its device-tree node.
	// Those who ask for the same adapter share it; one transaction runs at a time.
	I2C(name string) (i2c.BusCloser, error)
	// Input opens a line of a GPIO chip as an input.
	Input(o InputOptions) (InputLine, error)
}

// InputOptions name a line and how it is read.
type InputOptions struct {
	Line      string // CHIP/OFFSET with the chip's label or device name, or the name of the line
	ActiveLow bool
	Pull      Pull
	Debounce  time.Duration // a level counts when it has stayed for so long; 0: at once
}

// Pull is the resistor that holds a line where nothing else does.
type Pull string

// The resistors; "" leaves it as it is.
const (
	PullDefault Pull = ""
	PullUp      Pull = "up"
	PullDown    Pull = "down"
	PullNone    Pull = "none"
)

// Edge is a change of a line that is over its debouncing.
type Edge struct {
	Active bool
	Uptime time.Duration // since boot, as in Stamp
	Lost   int           // edges before it that were more than the kernel holds
}

// InputLine is a line that was asked for. It belongs to one user at a time.
type InputLine interface {
	Active() (bool, error)
	// Watch gives every edge until ctx ends, which is nil, or the line is gone.
	Watch(ctx context.Context, each func(Edge)) error
	Close() error
}
