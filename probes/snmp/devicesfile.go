package snmp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	maxDevicesFile = 16 << 20 // bytes
	maxDevices     = 100_000
	maxCell        = 300 // bytes; no address, name or list of names is longer
)

// inFile begins every message about the devices file.
const inFile = "devices_file: "

// target is one device of an entry and how it is polled.
type target struct {
	device      plan.Device
	credentials []string
	profile     string
	interval    time.Duration
	where       string // "devices_file: FILE:LINE: " for messages, "" of one named in the entry

	ownCredentials, ownProfile string // where, "" for what comes from the entry
}

// targets lists the devices of the entry, then those of its file. Beside an
// error stand the sound ones.
func (o *Options) targets() ([]target, error) {
	base := target{credentials: o.Credentials, profile: o.Profile, interval: o.Interval.Std()}
	var all []target
	var errs []error
	for i, text := range o.Devices {
		d, err := ParseDevice(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("devices[%d]: %w", i, err))
			continue
		}
		t := base
		t.device = d
		all = append(all, t)
	}
	if o.DevicesFile != "" {
		data, err := readDevicesFile(o.DevicesFile)
		if err != nil {
			return all, errors.Join(append(errs, fmt.Errorf(inFile+"%w", err))...)
		}
		listed, err := parseDevices(string(data), o.DevicesFile, base)
		all, errs = append(all, listed...), append(errs, err)
	}
	for i := range all {
		o.settle(&all[i].device)
	}
	return all, errors.Join(append(errs, unique(all))...)
}

// settle puts the options that all devices share on one.
func (o *Options) settle(d *plan.Device) {
	d.Timeout, d.MaxReps, d.PacketsPerSecond = o.Timeout.Std(), o.MaxRepetitions, o.PacketsPerSecond
	if o.Retries != nil {
		d.Retries = *o.Retries
	}
}

func unique(all []target) error {
	var errs []error
	seen := map[string]int{}
	for i, t := range all {
		key := hostPort(t.device)
		first, twice := seen[key]
		if !twice {
			seen[key] = i
			continue
		}
		other := strings.TrimSuffix(strings.TrimPrefix(all[first].where, inFile), ": ")
		if other == "" {
			other = fmt.Sprintf("devices[%d]", first)
		}
		errs = append(errs, fmt.Errorf("%s%s is the same device as %s, name it once", t.where, key, other))
	}
	return bounded(errs)
}

func readDevicesFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the file
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDevicesFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDevicesFile {
		return nil, fmt.Errorf("%s is larger than %d MiB, split it over several entries", path, maxDevicesFile>>20)
	}
	return data, nil
}

var deviceColumns = []string{"address", "credentials", "profile", "interval"}

// parseDevices reads a table with a comma or semicolon between its columns:
// address[:port], then optionally credentials (names with | between them),
// profile and interval. What a line leaves empty is taken from base. A first
// line with a cell "address" names the columns, also in another order and among
// others that are not read. Empty lines and those that begin with # are skipped.
func parseDevices(text, file string, base target) ([]target, error) {
	if strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf(inFile+"%s is not a text file, expected CSV in UTF-8 with a line for each device", file)
	}
	var all []target
	var errs []error
	columns := deviceColumns
	first, number := true, 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		where := fmt.Sprintf(inFile+"%s:%d: ", file, number)
		cells := splitCells(line)
		if first && slices.ContainsFunc(cells, isAddressColumn) {
			var err error
			if columns, err = header(cells, where); err != nil {
				return nil, err
			}
			first = false
			continue
		}
		first = false
		t, err := parseTarget(cells, columns, where, base)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if all = append(all, t); len(all) > maxDevices {
			return nil, fmt.Errorf("%smore than %d devices, split the file over several entries", where, maxDevices)
		}
	}
	if len(all) == 0 && len(errs) == 0 {
		return nil, fmt.Errorf(inFile+"%s has no device, expected lines such as 192.0.2.10 or 192.0.2.10,credential,auto,1m", file)
	}
	return all, bounded(errs)
}

// bounded keeps a file of another kind from giving an error for each line.
func bounded(errs []error) error {
	const most = 20
	if n := len(errs); n > most {
		errs = append(errs[:most], fmt.Errorf(inFile+"%d further lines are wrong", n-most))
	}
	return errors.Join(errs...)
}

func isAddressColumn(cell string) bool { return strings.EqualFold(cell, deviceColumns[0]) }

func splitCells(line string) []string {
	separator := ","
	if !strings.Contains(line, separator) {
		separator = ";"
	}
	cells := strings.Split(line, separator)
	for i, c := range cells {
		c = strings.TrimSpace(c)
		if len(c) >= 2 && c[0] == '"' && c[len(c)-1] == '"' {
			c = strings.TrimSpace(c[1 : len(c)-1])
		}
		cells[i] = c
	}
	return cells
}

func header(cells []string, where string) ([]string, error) {
	var columns []string
	for _, c := range cells {
		c = strings.ToLower(c)
		meant := near(c, deviceColumns)
		switch {
		case meant != "" && meant != c:
			return nil, fmt.Errorf("%sunknown column %q, did you mean %s?", where, c, meant)
		case meant != "" && slices.Contains(columns, c):
			return nil, fmt.Errorf("%scolumn %q is named twice", where, c)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func parseTarget(cells, columns []string, where string, base target) (target, error) {
	t := base
	t.where = where
	if len(cells) > len(columns) {
		return t, fmt.Errorf("%sfound %d columns, expected at most %d: %.200s", where, len(cells), len(columns), strings.Join(columns, ", "))
	}
	for i, c := range cells {
		if err := t.set(columns[i], c); err != nil {
			return t, fmt.Errorf("%s%s: %w", where, columns[i], err)
		}
	}
	if t.device.Host == "" {
		return t, fmt.Errorf("%saddress: missing", where)
	}
	if len(t.credentials) == 0 {
		return t, fmt.Errorf("%scredentials: empty, name some in this column or under the entry's `credentials`", where)
	}
	return t, nil
}

func (t *target) set(column, cell string) (err error) {
	switch {
	case len(cell) > maxCell && slices.Contains(deviceColumns, column):
		err = fmt.Errorf("found %d characters, expected at most %d", len(cell), maxCell)
	case column == "address":
		t.device, err = ParseDevice(cell)
	case cell == "":
	case column == "credentials":
		t.credentials, t.ownCredentials = nil, t.where
		for name := range strings.SplitSeq(cell, "|") {
			t.credentials = append(t.credentials, strings.TrimSpace(name))
		}
	case column == "profile":
		t.profile, t.ownProfile = cell, t.where
	case column == "interval":
		var d probes.Duration
		if err = d.UnmarshalText([]byte(cell)); err == nil && d.Std() < minInterval {
			err = fmt.Errorf("%v is too short, expected %v or more", d, minInterval)
		}
		t.interval = d.Std()
	}
	return err
}

// near is the known word that text is but for its case and one letter, "" where
// there is none.
func near(text string, known []string) string {
	text = strings.ToLower(text)
	for _, word := range known {
		other := strings.ToLower(word)
		short := min(len(text), len(other))
		head := 0
		for head < short && text[head] == other[head] {
			head++
		}
		tail := 0
		for tail < short-head && text[len(text)-1-tail] == other[len(other)-1-tail] {
			tail++
		}
		if max(len(text), len(other))-head-tail <= 1 {
			return word
		}
	}
	return ""
}
