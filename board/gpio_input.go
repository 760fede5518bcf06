package board

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InputOptions name a GPIO line and how it is read.
type InputOptions struct {
	Line      string // CHIP/OFFSET with the chip's label or device name, or the line's name
	ActiveLow bool
	Pull      string        // "" as it is, "up", "down", "none"
	Debounce  time.Duration // by the kernel, in microseconds up to 71 minutes; 0: none
}

// Edge is a change of a line.
type Edge struct {
	Active bool
	Uptime time.Duration // since boot, suspend included
	Lost   int           // edges before it that were more than the kernel holds
}

// Input is a line that was asked for as an input. Its methods may be called at
// the same time, but one Watch at a time.
type Input struct {
	at    place
	file  *os.File
	dev   device
	edges bool
	order sequence
}

// consumer is what others read of who uses the line.
const consumer = "edgehold"

// eventBuffer is the most edges that the kernel holds for a line until they are
// read.
const eventBuffer = 1024

// OpenInput asks the kernel for a line. Edges are held from now on. A line that
// somebody uses is refused, with who it is.
func (p Paths) OpenInput(o InputOptions) (*Input, error) {
	pull, known := pullFlags[o.Pull]
	if !known {
		return nil, fmt.Errorf("GPIO line %q: pull %q is none of up, down, none", o.Line, o.Pull)
	}
	if us := o.Debounce.Microseconds(); us < 0 || us > math.MaxUint32 {
		return nil, fmt.Errorf("GPIO line %q: debounce %v is not within 0 and 71m", o.Line, o.Debounce)
	}
	at, err := p.findLine(o.Line)
	if err != nil {
		return nil, err
	}
	chip, err := p.ask().open(at.path)
	if err != nil {
		return nil, access(at.path, "gpio", err)
	}
	defer chip.Close()
	flags := lineInput | pull
	if o.ActiveLow {
		flags |= lineActiveLow
	}
	fd, edges, err := requestLine(chip, at.offset, flags, o.Debounce)
	if errors.Is(err, unix.ENXIO) && o.Debounce > 0 {
		return nil, fmt.Errorf("open GPIO line %s: its chip has no interrupts, without which the kernel cannot debounce: leave debounce out: %w", at, err)
	}
	if err != nil {
		return nil, explainRequest(chip, at, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open GPIO line %s: %w", at, err)
	}
	file := os.NewFile(uintptr(fd), at.String())
	return &Input{at: at, file: file, dev: p.ask().wrap(file), edges: edges}, nil
}

// requestLine asks for edges first. Lines of chips without interrupts can be
// read all the same.
func requestLine(chip device, offset int, flags uint64, debounce time.Duration) (fd int, edges bool, err error) {
	for _, edgeFlags := range []uint64{lineEdgeRising | lineEdgeFalling, 0} {
		request := &unix.GPIOV2LineRequest{Num_lines: 1}
		request.Offsets[0] = uint32(offset)
		copy(request.Consumer[:], consumer)
		request.Config.Flags = flags | edgeFlags
		if edgeFlags != 0 {
			request.Event_buffer_size = eventBuffer
		}
		if debounce > 0 {
			request.Config.Num_attrs = 1
			request.Config.Attrs[0].Mask = 1
			request.Config.Attrs[0].Attr.Id = unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE
			setDebounce(&request.Config.Attrs[0].Attr, uint32(max(1, debounce.Microseconds())))
		}
		if err = chip.Ioctl(unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(request)); err == nil {
			return int(request.Fd), edgeFlags != 0, nil
		}
		if !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	return 0, false, err
}

func explainRequest(chip device, at place, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		who := "the kernel"
		if line, asked := askLine(chip, at.offset); asked == nil && line.Consumer != "" {
			who = line.Consumer
		}
		if strings.HasPrefix(who, consumer) {
			who += ", perhaps by another entry of this configuration"
		}
		return fmt.Errorf("GPIO line %s is in use by %s: a line has one user at a time: %w", at, who, err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("GPIO line %s: %w", at, errOldGPIO)
	}
	return fmt.Errorf("open GPIO line %s: %w", at, err)
}

// String is such as "pinctrl-bcm2711/17 (GPIO17)".
func (l *Input) String() string { return l.at.String() }

// Active tells whether the line is active now, as its debouncing sees it.
func (l *Input) Active() (bool, error) {
	values := &unix.GPIOV2LineValues{Mask: 1}
	if err := l.dev.Ioctl(unix.GPIO_V2_LINE_GET_VALUES_IOCTL, unsafe.Pointer(values)); err != nil {
		return false, fmt.Errorf("read GPIO line %s: %w", l.at, err)
	}
	return values.Bits&1 != 0, nil
}

// Watch gives every edge since the line was opened, in their order, until ctx
// ends, which is nil, or the line is gone. each is called from the caller's
// goroutine.
func (l *Input) Watch(ctx context.Context, each func(Edge)) error {
	if !l.edges {
		return fmt.Errorf("watch GPIO line %s: its chip has no interrupts, so that it can be read but not watched: %w", l.at, errors.ErrUnsupported)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 16*eventSize)
	for ctx.Err() == nil {
		n, err := l.file.Read(buffer)
		switch {
		case ctx.Err() != nil:
			err = nil // the deadline; what was read is still given
		case errors.Is(err, os.ErrDeadlineExceeded): // an earlier Watch's
			err = l.file.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return fmt.Errorf("watch GPIO line %s: %w", l.at, bare(err))
		}
		clock := readClocks()
		for _, e := range lineEvents(buffer[:n]) {
			each(l.order.edge(e, clock))
		}
	}
	return nil
}

// Close gives the line back and ends a Watch.
func (l *Input) Close() error { return l.file.Close() }
