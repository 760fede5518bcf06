package sensor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/kernel"
	"github.com/edgehold/edgehold/probes/sensor/part"
	"github.com/edgehold/edgehold/probes/sensor/pin"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

const (
	minInterval     = time.Second
	defaultInterval = time.Minute
	maxDebounce     = time.Second
	defaultDebounce = 10 * time.Millisecond
	defaultShunt    = 0.1
	maxName         = 20 // of a part, to be taken for a misspelt one
)

// Correction changes what is told: value * Scale + Offset.
type Correction struct {
	Scale  float64 `yaml:"scale"` // 0 is 1
	Offset float64 `yaml:"offset"`
}

// Channel is one input of a converter.
type Channel struct {
	Input    probes.Word `yaml:"input"`    // 0 to 3, or 0-1, 0-3, 1-3, 2-3
	Gain     probes.Word `yaml:"gain"`     // 2/3, 1, 2, 4, 8, 16; "" is 1
	Name     string      `yaml:"name"`     // "": the sensor's
	Quantity string      `yaml:"quantity"` // short name of what the voltage stands for; "" is voltage
	Unit     string      `yaml:"unit"`     // of the quantity value
	Scale    float64     `yaml:"scale"`    // per volt; 0 is 1
	Offset   float64     `yaml:"offset"`
}

// Options are the options of a `probes:` entry of kind sensor.
type Options struct {
	Part        string                `yaml:"part"`
	Name        string                `yaml:"name"`
	Bus         probes.Word           `yaml:"bus"`
	Address     probes.Word           `yaml:"address"`
	Interval    probes.Duration       `yaml:"interval"`
	Scale       float64               `yaml:"scale"`  // of the part's main quantity; 0 is 1
	Offset      float64               `yaml:"offset"` // likewise
	Corrections map[string]Correction `yaml:"corrections"`
	Shunt       float64               `yaml:"shunt"`      // ohm; 0: the default
	Resolution  int                   `yaml:"resolution"` // bits; 0: the highest
	Channels    []Channel             `yaml:"channels"`
	Line        probes.Word           `yaml:"line"`
	ActiveLow   bool                  `yaml:"active_low"`
	Pull        string                `yaml:"pull"`
	Debounce    probes.Duration       `yaml:"debounce"`
	Event       string                `yaml:"event"`
	EventOn     string                `yaml:"event_on"`
	EventOff    string                `yaml:"event_off"`
	PerPulse    float64               `yaml:"per_pulse"` // 0 is 1
	Start       float64               `yaml:"start"`
	Unit        string                `yaml:"unit"`
	Dimensions  map[string]string     `yaml:"dimensions"`
}

func defaults() any {
	return &Options{Interval: probes.Duration(defaultInterval), Debounce: probes.Duration(defaultDebounce)}
}

// family is how a part is reached.
type family int

const (
	onBus family = iota
	inKernel
	onLine
)

// The parts that are no chips.
const (
	inputPart = "input"
	pulsePart = "pulse"
)

// model is a part of any family.
type model struct {
	part.Part
	family family
}

// models lists all parts.
func models() []model {
	var all []model
	for _, p := range part.Catalogue() {
		all = append(all, model{p, onBus})
	}
	counts := []quantity.Quantity{quantity.Active, quantity.Changes}
	pulses := []quantity.Quantity{quantity.Pulses, quantity.Total, quantity.Rate, quantity.Lost}
	measured := quantity.Measured()
	return append(all,
		model{part.Part{Name: kernel.HWMon, Measures: append(measured, quantity.Alarm)}, inKernel},
		model{part.Part{Name: kernel.IIO, Measures: measured}, inKernel},
		model{part.Part{Name: kernel.DS18B20, Measures: []quantity.Quantity{quantity.Temperature}}, inKernel},
		model{part.Part{Name: inputPart, Measures: counts}, onLine},
		model{part.Part{Name: pulsePart, Measures: pulses}, onLine},
	)
}

// model finds the part of the options. The error names those that there are.
func (o *Options) model() (model, error) {
	all := models()
	names := make([]string, len(all))
	for i, m := range all {
		if names[i] = m.Name; m.Name == o.Part {
			return m, nil
		}
	}
	slices.Sort(names)
	if o.Part == "" {
		return model{}, fmt.Errorf("part: empty, expected one of %s", strings.Join(names, ", "))
	}
	if meant := nearest(o.Part, names); meant != "" {
		return model{}, fmt.Errorf("part: there is no %.40q, did you mean %s? All of them: %s", o.Part, meant, strings.Join(names, ", "))
	}
	return model{}, fmt.Errorf("part: there is no %.40q, expected one of %s", o.Part, strings.Join(names, ", "))
}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	m, err := o.model()
	if err != nil {
		return []error{err}
	}
	errs := o.checkTaken(m)
	switch m.family {
	case onBus:
		errs = append(errs, o.checkBus(m)...)
	case inKernel:
		errs = append(errs, o.checkKernel(m)...)
	case onLine:
		errs = append(errs, o.checkLine()...)
	}
	shortest := max(minInterval, m.MinInterval)
	if o.Interval.Std() < shortest {
		errs = append(errs, fmt.Errorf("interval: %v is too short, expected %v or more", o.Interval, shortest))
	}
	return slices.Concat(errs, o.checkCorrections(m), o.checkDimensions())
}

// checkTaken finds options that other parts have.
func (o *Options) checkTaken(m model) (errs []error) {
	bus, line, pulse := m.family == onBus, m.family == onLine, m.Name == pulsePart
	for _, f := range []struct {
		key          string
		given, taken bool
	}{
		{"bus", o.Bus != "", bus},
		{"address", o.Address != "", !line},
		{"scale", o.Scale != 0, m.single()},
		{"offset", o.Offset != 0, m.single()},
		{"corrections", len(o.Corrections) > 0, !line && !m.Channels},
		{"shunt", o.Shunt != 0, m.Shunt},
		{"resolution", o.Resolution != 0, m.Resolutions != nil},
		{"channels", len(o.Channels) > 0, m.Channels},
		{"line", o.Line != "", line},
		{"active_low", o.ActiveLow, line},
		{"pull", o.Pull != "", line},
		{"debounce", o.Debounce != probes.Duration(defaultDebounce), line},
		{"event", o.Event != "", m.Name == inputPart},
		{"event_on", o.EventOn != "", m.Name == inputPart},
		{"event_off", o.EventOff != "", m.Name == inputPart},
		{"per_pulse", o.PerPulse != 0, pulse},
		{"start", o.Start != 0, pulse},
		{"unit", o.Unit != "", pulse},
	} {
		if f.given && !f.taken {
			errs = append(errs, fmt.Errorf("%s: a sensor of part %s takes none, %s", f.key, m.Name, m.instead(f.key)))
		}
	}
	return errs
}

// instead is the mend of an option that a part does not take.
func (m model) instead(key string) string {
	switch {
	case (key == "scale" || key == "offset" || key == "corrections") && m.Channels:
		return "give each of its channels a scale and an offset"
	case (key == "scale" || key == "offset") && m.family == inKernel:
		return "name what is corrected: corrections: {temperature: {offset: -0.5}}"
	}
	return "remove it"
}

// single tells whether scale and offset are for one quantity beyond doubt: the
// part's main one.
func (m model) single() bool {
	return m.family == onBus && !m.Channels || m.Name == kernel.DS18B20
}

func (o *Options) checkBus(m model) (errs []error) {
	if o.Bus == "" {
		errs = append(errs, errors.New("bus: empty, expected the I2C bus such as i2c-1; `edgehold board` lists them"))
	}
	if _, err := o.address(m); err != nil {
		errs = append(errs, err)
	}
	if o.Shunt < 0 || o.Shunt > 1000 {
		errs = append(errs, fmt.Errorf("shunt: found %v, expected the resistance in ohm, such as 0.1", o.Shunt))
	}
	if o.Resolution != 0 && m.Resolutions != nil && !slices.Contains(m.Resolutions, o.Resolution) {
		errs = append(errs, fmt.Errorf("resolution: found %d, expected %d to %d bits", o.Resolution, m.Resolutions[0], slices.Max(m.Resolutions)))
	}
	if m.Channels {
		errs = append(errs, o.checkChannels()...)
	}
	return errs
}

// The addresses that the bus leaves for parts.
const lowest, highest = 0x03, 0x77

// address reads the address on the bus. Where a part has one only, it need not
// be given.
func (o *Options) address(m model) (uint16, error) {
	if o.Address == "" && m.First == m.Last {
		return m.First, nil
	}
	usual := fmt.Sprintf("a %s has %s", m.Name, addresses(m))
	if o.Address == "" {
		return 0, fmt.Errorf("address: empty, %s", usual)
	}
	digits, hex := strings.CutPrefix(strings.ToLower(string(o.Address)), "0x")
	n, err := strconv.ParseUint(digits, 16, 16)
	switch {
	case !hex || err != nil:
		return 0, fmt.Errorf("address: found %.20q, expected it in hexadecimal such as %#x, as i2cdetect shows it with 0x before it; %s", string(o.Address), m.First, usual)
	case n < lowest || n > highest:
		return 0, fmt.Errorf("address: %#x is not on the bus, expected %#02x to %#x; %s", n, lowest, highest, usual)
	}
	return uint16(n), nil
}

func addresses(m model) string {
	switch m.Last - m.First {
	case 0:
		return fmt.Sprintf("%#x", m.First)
	case 1:
		return fmt.Sprintf("%#x or %#x", m.First, m.Last)
	}
	return fmt.Sprintf("%#x to %#x", m.First, m.Last)
}

func (o *Options) checkChannels() (errs []error) {
	if len(o.Channels) == 0 {
		errs = append(errs, errors.New("channels: empty, expected at least one such as {input: 0, name: tank}"))
	}
	seen := map[probes.Word]bool{}
	for i, c := range o.Channels {
		_, err := c.of()
		if err == nil && seen[c.Input] {
			err = fmt.Errorf("input: %s is there twice, name it once", c.Input)
		}
		seen[c.Input] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("channels[%d].%w", i, err))
		}
		if _, known := quantity.Named(c.quantity()); !known {
			errs = append(errs, fmt.Errorf("channels[%d].quantity: found %.40q, expected %s", i, c.Quantity, quantity.Names(quantity.Measured())))
		}
		if c.Unit != "" && c.quantity() != quantity.Value.Short() {
			errs = append(errs, fmt.Errorf("channels[%d].unit: %s has a unit of its own, write quantity: value or remove it", i, c.quantity()))
		}
	}
	return errs
}

func (c Channel) quantity() string {
	if c.Quantity == "" {
		return quantity.Voltage.Short()
	}
	return c.Quantity
}

func (c Channel) of() (part.Channel, error) {
	gain := c.Gain
	if gain == "" {
		gain = "1"
	}
	return part.NewChannel(string(c.Input), string(gain))
}

func (o *Options) checkKernel(m model) []error {
	if err := kernel.Check(m.Name, string(o.Address)); err != nil {
		return []error{fmt.Errorf("address: %w", err)}
	}
	return nil
}

func (o *Options) checkLine() (errs []error) {
	if o.Line == "" {
		errs = append(errs, errors.New("line: empty, expected CHIP/OFFSET such as pinctrl-bcm2711/17, or the line's name such as GPIO17; `edgehold board` lists them"))
	}
	pulls := []probes.Pull{probes.PullUp, probes.PullDown, probes.PullNone}
	if o.Pull != "" && !slices.Contains(pulls, probes.Pull(o.Pull)) {
		errs = append(errs, fmt.Errorf("pull: found %.20q, expected up, down or none, or no pull to leave it as it is", o.Pull))
	}
	if d := o.Debounce.Std(); d < 0 || d > maxDebounce {
		errs = append(errs, fmt.Errorf("debounce: found %v, expected 0 to %v", o.Debounce, maxDebounce))
	}
	if err := o.count().Check(); err != nil {
		errs = append(errs, fmt.Errorf("per_pulse: %w", err))
	}
	if err := o.event().Check(); err != nil {
		errs = append(errs, fmt.Errorf("event: %w", err))
	}
	return errs
}

func (o *Options) event() pin.Event {
	return pin.Event{Type: o.Event, On: o.EventOn, Off: o.EventOff}
}

func (o *Options) count() pin.Count {
	return pin.Count{PerPulse: o.PerPulse, Start: o.Start, Unit: o.Unit}
}

func (o *Options) checkCorrections(m model) (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(o.Corrections)) {
		of := func(q quantity.Quantity) bool { return q.Short() == key }
		i := slices.IndexFunc(m.Measures, of)
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("corrections.%.40s: a %s does not measure it, expected %s", key, m.Name, quantity.Names(m.Measures)))
		case i == 0 && m.single() && (o.Scale != 0 || o.Offset != 0):
			errs = append(errs, fmt.Errorf("corrections.%s: scale and offset of the sensor correct it too, give it once", key))
		}
	}
	return errs
}

func (o *Options) checkDimensions() (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(o.Dimensions)) {
		if made := probes.DimensionKey(key); key == "" || made != key {
			errs = append(errs, fmt.Errorf("dimensions: %.60q cannot be a key, expected lower-case letters, digits, dots, dashes and underscores, such as %q", key, made))
		}
		if o.Dimensions[key] == "" {
			errs = append(errs, fmt.Errorf("dimensions.%.60s: empty, give it a value or remove it", key))
		}
	}
	return errs
}

// nearest is the name that differs in the fewest letters, "" where all differ in
// more than two, or in as many as the text has.
func nearest(text string, names []string) (best string) {
	least := min(3, len(text))
	if len(text) > maxName {
		return ""
	}
	for _, name := range names {
		if d := distance(strings.ToLower(text), name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be changed, added, taken away or swapped
// with their neighbour.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, next[j]+1, row[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
