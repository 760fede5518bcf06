package kernel

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// iioUnits are those of Documentation/ABI/testing/sysfs-bus-iio of the kernel. Of
// concentrations, which are in percent, carbon dioxide is read.
var iioUnits = []unit{
	{"temp", quantity.Temperature, 1, 1000, coldest, hottest},
	{"humidityrelative", quantity.Humidity, 1, 1000, 0, 100},
	{"pressure", quantity.Pressure, 1000, 1, 0, 0},
	{"voltage", quantity.Voltage, 1, 1000, 0, 0},
	{"current", quantity.Current, 1, 1000, 0, 0},
	{"power", quantity.Power, 1, 1000, 0, 0},
	{"illuminance", quantity.Illuminance, 1, 1, 0, 0},
	{"concentration", quantity.CO2, 1e4, 1, 0, 1e6},
}

// iio reads one device.
type iio struct {
	bus, address string
}

func (d *iio) read() ([]quantity.Reading, error) {
	c, err := d.find()
	if err != nil {
		return nil, err
	}
	files, err := namesIn(c.dir)
	if err != nil {
		return nil, gone("read iio %s: %w", d.address, err)
	}
	inputs := iioInputs(files)
	nameIndexes(inputs, func(in input) string { return filepath.Join(c.dir, "in_"+in.name+"_label") })
	var readings []quantity.Reading
	var faults []error
	for _, in := range inputs {
		n, err := in.readIIO(c.dir, files)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		readings = append(readings, in.reading(n))
	}
	return gathered("iio "+d.address, readings, faults)
}

// find looks at the devices of the bus. What a device sits on is the folder that
// holds its own.
func (d *iio) find() (chip, error) {
	dirs, err := entries(d.bus)
	if err != nil {
		return chip{}, gone("find iio %s: %w", d.address, err)
	}
	var chips []chip
	for _, dir := range dirs {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue // it is gone
		}
		if name, err := readText(filepath.Join(dir, "name")); err == nil {
			chips = append(chips, chip{dir: dir, name: name, device: filepath.Base(filepath.Dir(real))})
		}
	}
	return choose(IIO, d.address, chips)
}

// iioInputs are the channels that have a value in a known unit.
func iioInputs(files map[string]bool) []input {
	var out []input
	for file := range files {
		for _, u := range iioUnits {
			if in, ok := iioInput(file, u, files); ok {
				out = append(out, in)
			}
		}
	}
	sortInputs(out)
	return out
}

// iioInput takes in_voltage0_raw and in_temp_input, of which the second is ready
// made and goes first. A raw value without a scale has no unit.
func iioInput(file string, u unit, files map[string]bool) (in input, ok bool) {
	name, in1 := strings.CutPrefix(file, "in_")
	name, ready := strings.CutSuffix(name, "_input")
	name, raw := strings.CutSuffix(name, "_raw")
	rest, of := strings.CutPrefix(name, u.word)
	switch {
	case !in1 || ready == raw || !of:
		return in, false
	case rest != "" && rest[0] != '_' && rest[0] != '-' && digits(rest) == 0: // another word
		return in, false
	case u.word == "concentration" && !strings.Contains(rest, "_co2"):
		return in, false
	case hasAnySuffix(rest, "_mean", "_peak", "_trough"): // of the same channel
		return in, false
	}
	in = input{unit: u, name: name, file: file}
	in.order, _ = strconv.Atoi(rest[:digits(rest)]) // none: it is the first
	return in, ready || !files["in_"+name+"_input"] && in.attribute("scale", files) != ""
}

func hasAnySuffix(s string, suffixes ...string) bool {
	for _, x := range suffixes {
		if strings.HasSuffix(s, x) {
			return true
		}
	}
	return false
}

// attribute finds the file of a scale or offset: the channel's own, one of all
// channels of its type, or of all. "": there is none.
func (in input) attribute(what string, files map[string]bool) string {
	for _, name := range []string{"in_" + in.name, "in_" + in.unnumbered(), "in_" + in.word, "in"} {
		if file := name + "_" + what; files[file] {
			return file
		}
	}
	return ""
}

// unnumbered makes voltage-voltage of voltage0-voltage1.
func (in input) unnumbered() string {
	parts := strings.Split(in.name, in.word)
	for i := 1; i < len(parts); i++ {
		parts[i] = parts[i][digits(parts[i]):]
	}
	return strings.Join(parts, in.word)
}

// readIIO is the value in the unit of iio.
func (in input) readIIO(dir string, files map[string]bool) (float64, error) {
	n, err := readNumber(filepath.Join(dir, in.file))
	if err != nil || strings.HasSuffix(in.file, "_input") {
		return n, err
	}
	offset, scale := 0.0, 1.0
	if file := in.attribute("offset", files); file != "" {
		offset, err = readNumber(filepath.Join(dir, file))
	}
	if err == nil {
		scale, err = readNumber(filepath.Join(dir, in.attribute("scale", files)))
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", cmp.Or(in.index, in.name), err)
	}
	if n = (n + offset) * scale; math.IsInf(n, 0) {
		return 0, fmt.Errorf("%s: the value with its scale is no number", cmp.Or(in.index, in.name))
	}
	return n, nil
}
