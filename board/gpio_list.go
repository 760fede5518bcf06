package board

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GPIOChip is a block of lines. Its label stays over restarts and kernels, as
// its number may not.
type GPIOChip struct {
	Name  string     `json:"name"`  // gpiochip0
	Label string     `json:"label"` // pinctrl-bcm2711
	Count int        `json:"count"` // of lines
	Lines []GPIOLine `json:"lines"`
}

// GPIOLine is what the kernel tells of a line.
type GPIOLine struct {
	Offset    int    `json:"offset"`
	Name      string `json:"name,omitempty"`     // GPIO17, P9_12
	Used      bool   `json:"used"`               // it cannot be asked for
	Consumer  string `json:"consumer,omitempty"` // who uses it
	Direction string `json:"direction"`          // in, out
	ActiveLow bool   `json:"active_low,omitempty"`
	Pull      string `json:"pull,omitempty"` // up, down, none
	Debounce  string `json:"debounce,omitempty"`
}

// gpioGetChipInfo is GPIO_GET_CHIPINFO_IOCTL of linux/gpio.h.
const gpioGetChipInfo = 0x8044b401

// GPIOChips lists the chips with their lines, and notes on what could not be
// read. It asks the character devices only, so that no line changes.
func (p Paths) GPIOChips() (all []GPIOChip, notes []string) {
	all = []GPIOChip{}
	for _, n := range numbers(p.dev(), "gpiochip") {
		path := p.dev("gpiochip" + strconv.Itoa(n))
		if linkName(path) != "" {
			continue // an old name of a chip that is listed: gpiochip4 of a Raspberry Pi 5
		}
		chip, err := p.readChip(path)
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		all = append(all, chip)
	}
	if len(all) == 0 && len(notes) == 0 && len(numbers(p.sys("bus/gpio/devices"), "gpiochip")) > 0 {
		notes = append(notes, "the GPIO chips have no device file: the service sees them only with the drop-in gpio.conf (/usr/share/edgehold/dropins/README)")
	}
	return all, notes
}

func (p Paths) readChip(path string) (GPIOChip, error) {
	dev, err := p.ask().open(path)
	if err != nil {
		return GPIOChip{}, access(path, "gpio", err)
	}
	defer dev.Close()
	chip, err := askChip(dev)
	if err != nil {
		return GPIOChip{}, fmt.Errorf("read %s: %w", path, err)
	}
	for offset := range chip.Count {
		line, err := askLine(dev, offset)
		if err != nil {
			return GPIOChip{}, fmt.Errorf("read line %d of %s: %w", offset, path, err)
		}
		chip.Lines = append(chip.Lines, line)
	}
	return chip, nil
}

func askChip(dev device) (GPIOChip, error) {
	info := new(unix.GPIOChipInfo)
	if err := dev.Ioctl(gpioGetChipInfo, unsafe.Pointer(info)); err != nil {
		return GPIOChip{}, err
	}
	return GPIOChip{Name: kernelName(info.Name[:]), Label: kernelName(info.Label[:]), Count: int(info.Lines), Lines: []GPIOLine{}}, nil
}

func kernelName(b []byte) string {
	return plainText([]byte(unix.ByteSliceToString(b)))
}

// The flags of a line (GPIO_V2_LINE_FLAG_* of linux/gpio.h).
const (
	lineUsed        = 1 << 0
	lineActiveLow   = 1 << 1
	lineInput       = 1 << 2
	lineOutput      = 1 << 3
	lineEdgeRising  = 1 << 4
	lineEdgeFalling = 1 << 5
	linePullUp      = 1 << 8
	linePullDown    = 1 << 9
	linePullNone    = 1 << 10
)

var pullFlags = map[string]uint64{"": 0, "up": linePullUp, "down": linePullDown, "none": linePullNone}

var errOldGPIO = errors.New("this kernel has no version 2 of the GPIO interface: 5.10 or newer is needed")

func askLine(dev device, offset int) (GPIOLine, error) {
	info := &unix.GPIOV2LineInfo{Offset: uint32(offset)}
	err := dev.Ioctl(unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(info))
	if errors.Is(err, unix.ENOTTY) {
		err = errOldGPIO
	}
	if err != nil {
		return GPIOLine{}, err
	}
	line := GPIOLine{
		Offset:    offset,
		Name:      kernelName(info.Name[:]),
		Consumer:  kernelName(info.Consumer[:]),
		Used:      info.Flags&lineUsed != 0,
		ActiveLow: info.Flags&lineActiveLow != 0,
		Direction: "in",
	}
	if info.Flags&lineOutput != 0 {
		line.Direction = "out"
	}
	for pull, flag := range pullFlags {
		if info.Flags&flag != 0 {
			line.Pull = pull
		}
	}
	for _, a := range info.Attrs[:min(int(info.Num_attrs), len(info.Attrs))] {
		if a.Id == unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE {
			line.Debounce = (time.Duration(debounceOf(&a)) * time.Microsecond).String()
		}
	}
	return line, nil
}

// debounceOf is the member of the attribute's union, which is of 32 bits.
func debounceOf(a *unix.GPIOV2LineAttribute) uint32 { return *(*uint32)(unsafe.Pointer(&a.Flags)) }

func setDebounce(a *unix.GPIOV2LineAttribute, us uint32) { *(*uint32)(unsafe.Pointer(&a.Flags)) = us }

// place is where a line is.
type place struct {
	path   string // of the chip's device file
	chip   GPIOChip
	offset int
}

func (l place) String() string {
	text := l.chip.Label + "/" + strconv.Itoa(l.offset)
	if l.offset < len(l.chip.Lines) && l.chip.Lines[l.offset].Name != "" {
		text += " (" + l.chip.Lines[l.offset].Name + ")"
	}
	return text
}

// findLine finds a line by CHIP/OFFSET, where CHIP is a label, a name or a path
// of a device, or by its name.
func (p Paths) findLine(name string) (place, error) {
	chips, notes := p.GPIOChips()
	var found []place
	var labels []string
	slash := strings.LastIndexByte(name, '/')
	offset, bad := strconv.ParseUint(name[slash+1:], 10, 31)
	for _, c := range chips {
		labels = append(labels, fmt.Sprintf("%s (%s, %d lines)", c.Label, c.Name, c.Count))
		at := place{path: p.dev(c.Name), chip: c}
		if slash > 0 && bad == nil && p.isChip(c, name[:slash]) {
			at.offset = int(offset)
			found = append(found, at)
			continue
		}
		for _, l := range c.Lines {
			if l.Name == name && name != "" {
				at.offset = l.Offset
				found = append(found, at)
			}
		}
	}
	if len(found) == 1 && found[0].offset >= found[0].chip.Count {
		return place{}, fmt.Errorf("GPIO line %q: the chip has %d lines, 0 to %d", name, found[0].chip.Count, found[0].chip.Count-1)
	}
	return oneLine(name, found, lineHelp{labels, notes})
}

func (p Paths) isChip(c GPIOChip, name string) bool {
	if name == c.Label || name == c.Name {
		return true
	}
	target, err := filepath.EvalSymlinks(p.dev(strings.TrimPrefix(name, "/dev/")))
	return err == nil && filepath.Base(target) == c.Name && strings.HasPrefix(filepath.Base(name), "gpiochip")
}

type lineHelp struct{ labels, notes []string }

func oneLine(name string, found []place, help lineHelp) (place, error) {
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var where []string
		for _, f := range found {
			where = append(where, fmt.Sprintf("%s/%d", f.chip.Name, f.offset))
		}
		return place{}, fmt.Errorf("GPIO line %q is at %s: name the chip too", name, strings.Join(where, " and at "))
	case len(help.notes) > 0:
		return place{}, fmt.Errorf("no GPIO line %q: %s", name, help.notes[0])
	case len(help.labels) == 0:
		return place{}, fmt.Errorf("no GPIO line %q: this machine shows no GPIO chip", name)
	}
	return place{}, fmt.Errorf("no GPIO line %q: write CHIP/OFFSET or the name of a line; the chips are %s; `edgehold board --lines` lists the lines", name, strings.Join(help.labels, ", "))
}
