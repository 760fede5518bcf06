// Package kernel reads sensors for which the kernel has a driver, as files below
// /sys: chips of hwmon, devices of iio, and thermometers on a 1-wire bus. Each is
// found by a name that stays, never by the number that the kernel gave it this time.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// The parts.
const (
	HWMon   = "hwmon"   // address NAME or NAME@DEVICE, as in tmp421@1-004c
	IIO     = "iio"     // likewise
	DS18B20 = "ds18b20" // a thermometer on a 1-wire bus, address 28-0000075c3f1a
)

// Reader takes the readings of one sensor. Readings and an error of
// probes.StatusWarning are what could be had; without readings the error says why.
type Reader interface {
	Read(ctx context.Context) ([]quantity.Reading, error)
}

// Check says what is wrong with an address.
func Check(part, address string) error {
	switch part {
	case HWMon, IIO:
		name, device, at := strings.Cut(address, "@")
		if name == "" || at && device == "" || strings.ContainsAny(address, "/ \t\n") {
			return fmt.Errorf("%q is no name of a chip: write e.g. tmp421, or tmp421@1-004c where there are several", address)
		}
	case DS18B20:
		if !isThermometer(address) {
			return fmt.Errorf("%q is no 1-wire thermometer: write e.g. 28-0000075c3f1a, as in /sys/bus/w1/devices", address)
		}
	default:
		return fmt.Errorf("the kernel part is %q: write %s, %s or %s", part, HWMon, IIO, DS18B20)
	}
	return nil
}

// Open gives the reader of an address that Check takes. It touches nothing before
// the first Read. sysfs "" is /sys.
func Open(sysfs, part, address string) Reader {
	if sysfs == "" {
		sysfs = "/sys"
	}
	var read func() ([]quantity.Reading, error)
	switch part {
	case HWMon:
		read = (&hwmon{class: filepath.Join(sysfs, "class/hwmon"), address: address, rung: map[string]bool{}}).read
	case IIO:
		read = (&iio{bus: filepath.Join(sysfs, "bus/iio/devices"), address: address}).read
	case DS18B20:
		read = (&thermometer{bus: filepath.Join(sysfs, "bus/w1/devices"), address: address}).read
	default:
		read = func() ([]quantity.Reading, error) {
			return nil, probes.WithStatus(probes.StatusInvalidConfigError, Check(part, address))
		}
	}
	return &patient{of: part + " " + address, read: read, turn: make(chan struct{}, 1)}
}

// patient makes a read end with its context. Within the kernel it goes on: a
// conversion takes most of a second, and a bus that hangs far longer. One read at a
// time does.
type patient struct {
	of   string
	read func() ([]quantity.Reading, error)
	turn chan struct{}
}

type outcome struct {
	readings []quantity.Reading
	err      error
}

// Read waits for the read before it, should that still go on.
func (p *patient) Read(ctx context.Context) ([]quantity.Reading, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, p.late("the kernel still works on the read before this one", ctx)
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-p.turn }()
		readings, err := p.read()
		done <- outcome{readings, err}
	}()
	select {
	case o := <-done:
		return o.readings, o.err
	case <-ctx.Done():
		return nil, p.late("the kernel gave no value in time", ctx)
	}
}

func (p *patient) late(what string, ctx context.Context) error {
	return gone("read %s: %s (its bus may hang): %w", p.of, what, ctx.Err())
}

// gone is the error of a sensor that is not there or does not answer.
func gone(format string, args ...any) error {
	return probes.WithStatus(probes.StatusDeviceConnectionError, fmt.Errorf(format, args...))
}

// gathered tells how the reads of one sensor's inputs went together.
func gathered(of string, readings []quantity.Reading, faults []error) ([]quantity.Reading, error) {
	switch {
	case len(faults) == 0 && len(readings) == 0:
		return nil, gone("read %s: it has no input that is measured in a unit known here", of)
	case len(faults) == 0:
		return readings, nil
	}
	err := fmt.Errorf("read %s: %w", of, few(faults))
	if len(readings) == 0 || slices.ContainsFunc(faults, isGone) { // it went while it was read
		return nil, gone("%w", err)
	}
	return readings, probes.WithStatus(probes.StatusWarning, err)
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// few joins the first errors; a chip that is gone has one for each input.
func few(errs []error) error {
	const shown = 3
	var text strings.Builder
	for i, err := range errs[:min(shown, len(errs))] {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(err.Error())
	}
	if more := len(errs) - shown; more > 0 {
		fmt.Fprintf(&text, "; and %d more", more)
	}
	return errors.New(text.String())
}
