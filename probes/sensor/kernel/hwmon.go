package kernel

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// unit is how a class of the kernel writes a quantity: value * times / over is in
// the unit of the quantity. A division keeps decimal fractions exact.
type unit struct {
	word        string
	of          quantity.Quantity
	times, over float64
	min, max    float64 // as in quantity.Reading
}

// What no sensor of the kernel can be right about.
const (
	coldest = -273.15
	hottest = 2500 // thermocouples end below
)

// hwmonUnits are those of Documentation/hwmon/sysfs-interface of the kernel.
var hwmonUnits = []unit{
	{"temp", quantity.Temperature, 1, 1000, coldest, hottest},
	{"humidity", quantity.Humidity, 1, 1000, 0, 100},
	{"in", quantity.Voltage, 1, 1000, 0, 0},
	{"curr", quantity.Current, 1, 1000, 0, 0},
	{"power", quantity.Power, 1, 1e6, 0, 0},
	{"energy", quantity.Energy, 1, 3.6e12, 0, 0},
	{"fan", quantity.FanSpeed, 1, 1, 0, 0},
}

// hwmon reads one chip. It looks for it each time: bound again, it has another
// number.
type hwmon struct {
	class, address string
	rung           map[string]bool // alarms that were on since the start
}

// input is one thing that a chip measures.
type input struct {
	unit
	name  string // temp1
	file  string // temp1_input
	order int
	index string // of the reading
}

func (h *hwmon) read() ([]quantity.Reading, error) {
	c, err := h.find()
	if err != nil {
		return nil, err
	}
	files, err := namesIn(c.dir)
	if err != nil {
		return nil, gone("read hwmon %s: %w", h.address, err)
	}
	inputs := hwmonInputs(files)
	nameIndexes(inputs, func(in input) string { return filepath.Join(c.dir, in.name+"_label") })
	var readings []quantity.Reading
	var faults []error
	for _, in := range inputs {
		r, err := in.readHwmon(c.dir)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		readings = append(readings, r...)
		readings = append(readings, h.alarm(c.dir, in, files)...)
	}
	return gathered("hwmon "+h.address, readings, faults)
}

func (h *hwmon) find() (chip, error) {
	dirs, err := entries(h.class)
	if err != nil {
		return chip{}, gone("find hwmon %s: %w", h.address, err)
	}
	var chips []chip
	for _, dir := range dirs {
		c := chip{dir: dir}
		if device, err := filepath.EvalSymlinks(filepath.Join(dir, "device")); err == nil { // a virtual one has none
			c.device = filepath.Base(device)
		}
		if c.name, err = readText(filepath.Join(dir, "name")); err != nil { // old drivers have all their files there
			c.dir = filepath.Join(dir, "device")
			c.name, err = readText(filepath.Join(c.dir, "name"))
		}
		if err == nil {
			chips = append(chips, c)
		}
	}
	return choose(HWMon, h.address, chips)
}

func namesIn(dir string) (map[string]bool, error) {
	list, err := os.ReadDir(dir)
	names := make(map[string]bool, len(list))
	for _, e := range list {
		names[e.Name()] = true
	}
	return names, err
}

// hwmonInputs are the inputs by kind and number.
func hwmonInputs(files map[string]bool) []input {
	var out []input
	for file := range files {
		for _, u := range hwmonUnits {
			if in, ok := hwmonInput(file, u); ok && (in.file != in.name+"_average" || !files[in.name+"_input"]) {
				out = append(out, in)
			}
		}
	}
	sortInputs(out)
	return out
}

func sortInputs(list []input) {
	sort.Slice(list, func(i, j int) bool { // not the generic one, which is 20 kB of code for each type
		a, b := &list[i], &list[j]
		return cmp.Or(strings.Compare(a.word, b.word), a.order-b.order, strings.Compare(a.name, b.name)) < 0
	})
}

func hwmonInput(file string, u unit) (in input, ok bool) {
	rest, ok := strings.CutPrefix(file, u.word)
	n := digits(rest)
	if !ok || n == 0 || rest[n:] != "_input" && rest[n:] != "_average" {
		return in, false
	}
	order, err := strconv.Atoi(rest[:n])
	return input{unit: u, name: u.word + rest[:n], file: file, order: order}, err == nil
}

// nameIndexes gives the inputs what tells them apart: the label in a file, else
// the name where there is another one of the quantity. Labels that come twice get
// the name behind them.
func nameIndexes(inputs []input, label func(input) string) {
	count, labels := map[string]int{}, map[string]int{}
	for i := range inputs {
		in := &inputs[i]
		count[in.of.Key]++
		if text, err := readText(label(*in)); err == nil {
			in.index = text
			labels[in.of.Key+"\n"+text]++
		}
	}
	for i := range inputs {
		switch in := &inputs[i]; {
		case in.index == "" && count[in.of.Key] > 1:
			in.index = in.name
		case in.index != "" && labels[in.of.Key+"\n"+in.index] > 1:
			in.index += " (" + in.name + ")"
		}
	}
}

// readHwmon gives nothing for an input that is switched off.
func (in input) readHwmon(dir string) ([]quantity.Reading, error) {
	at := filepath.Join(dir, in.name)
	if text, err := readText(at + "_enable"); err == nil && text == "0" {
		return nil, nil
	}
	if isSet(at + "_fault") {
		return nil, fmt.Errorf("%s: the chip says that what it measures with is broken or not connected (%s_fault)", cmp.Or(in.index, in.name), in.name)
	}
	n, err := readNumber(filepath.Join(dir, in.file))
	if err != nil {
		return nil, err
	}
	return []quantity.Reading{in.reading(n)}, nil
}

func (in input) reading(n float64) quantity.Reading {
	return quantity.Reading{Of: in.of, Value: n * in.times / in.over, Index: in.index, Min: in.min, Max: in.max}
}

// alarm gives the state of the limits that the chip watches, once one of them was
// passed: until then there is nothing to tell, and each series is billed.
func (h *hwmon) alarm(dir string, in input, files map[string]bool) []quantity.Reading {
	state := 0.0
	for _, suffix := range []string{"", "_min", "_max", "_lcrit", "_crit", "_cap", "_emergency"} {
		if file := in.name + suffix + "_alarm"; files[file] && isSet(filepath.Join(dir, file)) {
			state, h.rung[in.name] = 1, true
		}
	}
	if !h.rung[in.name] {
		return nil
	}
	return []quantity.Reading{{Of: quantity.Alarm, Value: state, Index: cmp.Or(in.index, in.name), Max: 1}}
}
