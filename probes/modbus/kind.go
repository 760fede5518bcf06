package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Options are the options of a `probes:` entry of kind modbus.
type Options struct {
	Address      string                       `yaml:"address"` // tcp://HOST[:PORT], rtu:///dev/NAME or rtuovertcp://HOST:PORT
	Units        []int                        `yaml:"units"`
	Name         string                       `yaml:"name"`
	Profile      string                       `yaml:"profile"`
	Registers    []plan.ModbusRegisterOptions `yaml:"registers"` // beside those of the profile
	Table        plan.ModbusTable             `yaml:"table"`     // of registers that name none
	Order        string                       `yaml:"order"`     // so
	Interval     probes.Duration              `yaml:"interval"`
	Timeout      probes.Duration              `yaml:"timeout"` // of one request
	Pause        probes.Duration              `yaml:"pause"`   // between two requests
	MaxRegisters int                          `yaml:"max_registers"`
	MaxGap       *int                         `yaml:"max_gap"`
	Speed        int                          `yaml:"speed"`
	Parity       string                       `yaml:"parity"`
	DataBits     int                          `yaml:"data_bits"`
	StopBits     int                          `yaml:"stop_bits"`
	Dimensions   map[string]string            `yaml:"dimensions"`
}

const (
	minInterval = time.Second
	minTimeout  = 50 * time.Millisecond
	maxTimeout  = 30 * time.Second
	maxPause    = 5 * time.Second

	// A gap of so many registers is read along with its neighbours: it takes less
	// time than a request of its own does, even at 9600 baud.
	defaultGap = 10
)

// speeds are what serial ports are set to.
var speeds = []int{300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	to, err := parseAddress(o.Address)
	if err != nil {
		wrong("address", "%w", err)
	}
	if o.Profile == "" && len(o.Registers) == 0 {
		wrong("profile", "missing, expected the name of a profile such as eastron-sdm630, or registers")
	}
	for _, f := range []struct{ field, text string }{{"table", string(o.Table)}, {"order", o.Order}} {
		if f.text != "" && len(o.Registers) == 0 {
			wrong(f.field, "it is for the registers of this entry, of which there are none; a profile has its own. Remove it, or write a profile of your own")
		}
	}
	if o.Interval.Std() < minInterval {
		wrong("interval", "%v is too short, expected %v or more", o.Interval, minInterval)
	}
	if t := o.Timeout.Std(); t < minTimeout || t > maxTimeout {
		wrong("timeout", "found %v, expected %v to %v", o.Timeout, minTimeout, maxTimeout)
	}
	if p := o.Pause.Std(); p < 0 || p > maxPause {
		wrong("pause", "found %v, expected 0s to %v", o.Pause, maxPause)
	}
	if o.MaxRegisters < 0 || o.MaxRegisters > plan.MaxModbusRegisters {
		wrong("max_registers", "found %d, expected 1 to %d, or 0 for the profile's", o.MaxRegisters, plan.MaxModbusRegisters)
	}
	if o.MaxGap != nil && (*o.MaxGap < 0 || *o.MaxGap > plan.MaxModbusRegisters) {
		wrong("max_gap", "found %d, expected 0 to %d", *o.MaxGap, plan.MaxModbusRegisters)
	}
	for key := range o.Dimensions {
		if probes.DimensionKey(key) != key {
			wrong("dimensions", "found the key %.80q, expected lower-case letters, digits, - and _ in parts that are joined with dots", key)
		}
	}
	_, faults := o.registers()
	for _, f := range faults {
		errs = append(errs, f)
	}
	return slices.Concat(errs, o.checkUnits(to), o.checkSerial())
}

func (o *Options) registers() ([]plan.ModbusRegister, []*plan.ModbusFault) {
	return plan.CompileModbus(o.Registers, plan.ModbusDefaults{Table: o.Table, Order: o.Order})
}

func (o *Options) checkUnits(to target) (errs []error) {
	lowest, highest := 0, 255
	if to.scheme != schemeTCP {
		lowest, highest = 1, 247 // 0 is for all of a bus, which nobody answers
	}
	if len(o.Units) == 0 {
		errs = append(errs, errors.New("units: empty, expected the number of at least one device on the bus, such as [1]"))
	}
	for i, unit := range o.Units {
		switch {
		case unit < lowest || unit > highest:
			errs = append(errs, fmt.Errorf("units[%d]: found %d, expected %d to %d", i, unit, lowest, highest))
		case slices.Contains(o.Units[:i], unit):
			errs = append(errs, fmt.Errorf("units[%d]: %d is named twice, once is enough", i, unit))
		}
	}
	return errs
}

func (o *Options) checkSerial() (errs []error) {
	if !slices.Contains(speeds, o.Speed) {
		errs = append(errs, fmt.Errorf("speed: found %d, expected that of the devices, one of %s", o.Speed, strings.Trim(fmt.Sprint(speeds), "[]")))
	}
	if !slices.Contains([]string{parityNone, parityEven, parityOdd}, o.Parity) {
		errs = append(errs, fmt.Errorf("parity: found %.20q, expected none, even or odd", o.Parity))
	}
	if o.DataBits != 7 && o.DataBits != 8 {
		errs = append(errs, fmt.Errorf("data_bits: found %d, expected 8, or 7 of very old devices", o.DataBits))
	}
	if o.StopBits != 1 && o.StopBits != 2 {
		errs = append(errs, fmt.Errorf("stop_bits: found %d, expected 1 or 2", o.StopBits))
	}
	return errs
}

// Kind is the kind of probe that reads Modbus devices. Open reads the profiles,
// with those of a site's folder where it is not "". Entries of one Kind share
// lines: of a bus or device there is one connection.
func Kind(open func(folder string) (plan.ModbusProfiles, error)) probes.Kind {
	shared := &lines{}
	return probes.Kind{
		Name: "modbus",
		Options: func() any {
			return &Options{
				Units: []int{1}, Interval: probes.Duration(time.Minute), Timeout: probes.Duration(time.Second),
				Speed: 9600, Parity: parityNone, DataBits: 8, StopBits: 1,
			}
		},
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *modbus.Options", options)
			}
			shared.setProfiles(deps.Profiles)
			profile, err := o.chosen(open, deps.Profiles)
			if err != nil {
				return nil, err
			}
			return newTasks(o, profile, shared, deps)
		},
		Metrics: func(options any) []probes.Metadata {
			o, ok := options.(*Options)
			if !ok {
				return nil
			}
			profile, err := o.chosen(open, shared.profiles())
			if err != nil {
				profile = &plan.ModbusProfile{}
				profile.Registers, _ = o.registers()
			}
			return metadata(profile.Registers)
		},
	}
}

// chosen is the profile with the registers of the entry added.
func (o *Options) chosen(open func(folder string) (plan.ModbusProfiles, error), folder string) (*plan.ModbusProfile, error) {
	made := plan.ModbusProfile{}
	if o.Profile != "" {
		profiles, err := open(folder)
		if err != nil {
			return nil, err
		}
		named, err := profiles.Named(o.Profile)
		if err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
		made = *named
	}
	own, faults := o.registers()
	if len(faults) > 0 {
		return nil, faults[0]
	}
	for i := range own {
		if slices.ContainsFunc(made.Registers, own[i].SameSeries) {
			return nil, fmt.Errorf("registers[%d].key: the profile %s has %s with the same dimensions; give it dimensions of its own, or another key", i, o.Profile, own[i].Key)
		}
	}
	made.Registers = slices.Concat(made.Registers, own)
	made.MaxRegisters = cmp.Or(o.MaxRegisters, made.MaxRegisters, plan.MaxModbusRegisters)
	if o.MaxGap != nil {
		made.MaxGap = o.MaxGap
	}
	return &made, nil
}

// metadata describes each metric once.
func metadata(registers []plan.ModbusRegister) []probes.Metadata {
	var all []probes.Metadata
	for i := range registers {
		m := registers[i].Meta
		same := func(o probes.Metadata) bool { return o.Key == m.Key && o.Type == m.Type }
		if m.Key != "" && !slices.ContainsFunc(all, same) {
			all = append(all, m)
		}
	}
	return all
}

// target is a parsed address.
type target struct {
	scheme string
	host   string // "" of a serial port
	port   string
	path   string // of a serial port
}

// The schemes of addresses.
const (
	schemeTCP        = "tcp"
	schemeRTU        = "rtu"
	schemeRTUOverTCP = "rtuovertcp"
)

var errAddress = errors.New("expected tcp://HOST:502, rtu:///dev/ttyUSB0 or rtuovertcp://HOST:PORT")

func parseAddress(text string) (target, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	wrong := fmt.Errorf("found %.80q, %w", text, errAddress)
	switch {
	case text == "":
		return target{}, fmt.Errorf("missing, %w", errAddress)
	case !ok || rest == "" || strings.ContainsAny(rest, "@?# "):
		return target{}, wrong
	case scheme == schemeRTU:
		if !strings.HasPrefix(rest, "/") || strings.HasSuffix(rest, "/") {
			return target{}, wrong
		}
		return target{scheme: scheme, path: rest}, nil
	case scheme != schemeTCP && scheme != schemeRTUOverTCP:
		return target{}, wrong
	}
	host, port := splitPort(strings.TrimSuffix(rest, "/"))
	if port == "" && scheme == schemeTCP {
		port = "502"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/[]") {
		return target{}, wrong
	}
	return target{scheme: scheme, host: strings.ToLower(host), port: port}, nil
}

// splitPort reads HOST, HOST:PORT, an IPv6 address or [IPv6]:PORT.
func splitPort(text string) (host, port string) {
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && text[0] == '[' {
		return inner, strings.TrimPrefix(rest, ":")
	}
	if host, port, ok := strings.Cut(text, ":"); ok && !strings.Contains(port, ":") {
		return host, port
	}
	return text, ""
}
