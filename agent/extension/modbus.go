package extension

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

//go:embed modbus/*.yaml
var modbusFiles embed.FS

// modbusFolder is where profiles lie in the program, and below a site's folder
// of profiles.
const modbusFolder = "modbus"

var (
	modbusKeys         = []string{"name", "device_type", "table", "order", "max_registers", "max_gap", "registers"}
	modbusRegisterKeys = []string{
		"key", "dimension", "address", "table", "type", "length", "order", "bits", "scale", "offset", "na",
		"texts", "count", "wrap", "dimensions", "unit", "name", "description",
	}
)

// ModbusProfiles are the profiles of this program and those of a site. It
// implements plan.ModbusProfiles.
type ModbusProfiles struct {
	byName map[string]*plan.ModbusProfile
	names  []string
}

// OpenModbusProfiles reads the profiles of this program and, where site is not
// nil, those in the folder modbus of a site's folder, which take the place of
// others of the same name. Name is the site's folder as its user knows it.
func OpenModbusProfiles(site fs.FS, name string) (*ModbusProfiles, error) {
	p := &ModbusProfiles{byName: map[string]*plan.ModbusProfile{}}
	if err := p.add(modbusFiles, "built-in profile"); err != nil {
		return nil, err
	}
	if site != nil {
		if err := p.add(site, name); err != nil {
			return nil, err
		}
	}
	for name := range p.byName {
		p.names = append(p.names, name)
	}
	slices.Sort(p.names)
	return p, nil
}

// add takes the profiles of one folder, in which no name may come twice.
func (p *ModbusProfiles) add(from fs.FS, name string) error {
	files, err := fs.Glob(from, modbusFolder+"/*.yaml")
	if err == nil && len(files) > maxProfiles {
		err = fmt.Errorf("found %d files, expected at most %d", len(files), maxProfiles)
	}
	if err != nil {
		return fmt.Errorf("read profiles of %s: %w", name, err)
	}
	var errs []error
	here := map[string]string{}
	for _, file := range files {
		shown := path.Join(name, file)
		data, err := readBounded(from, file)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", shown, err))
			continue
		}
		made, err := parseModbusProfile(data, shown)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if first := here[made.Name]; first != "" {
			errs = append(errs, fmt.Errorf("%s: name: %s is the name of the profile in %s too, give it another", shown, made.Name, first))
		}
		here[made.Name] = shown
		p.byName[made.Name] = made
	}
	return errors.Join(errs...)
}

// Names lists the profiles, sorted.
func (p *ModbusProfiles) Names() []string { return p.names }

// Named gives one profile.
func (p *ModbusProfiles) Named(name string) (*plan.ModbusProfile, error) {
	if made := p.byName[name]; made != nil {
		return made, nil
	}
	known := suggest(name, p.names)
	if known == "" {
		known = ", expected one of " + strings.Join(p.names, ", ")
	}
	return nil, fmt.Errorf("unknown profile %.80q%s", name, known)
}

// modbusReader is a reader whose warnings are errors: a key that is not known is
// a register that is read wrong.
type modbusReader struct{ manifestParser }

func parseModbusProfile(data []byte, file string) (*plan.ModbusProfile, error) {
	root, err := parseYAML(data, file)
	if err != nil {
		return nil, err
	}
	r := modbusReader{manifestParser{reader: reader{file: file}, own: true}}
	made := r.profile(value{root, ""})
	return made, r.err()
}

func (r *modbusReader) profile(v value) *plan.ModbusProfile {
	o := r.object(v, modbusKeys)
	made := &plan.ModbusProfile{
		Name: o.text("name"), DeviceType: o.label("device_type"),
		MaxRegisters: o.integer("max_registers", 1, plan.MaxModbusRegisters, 0),
	}
	if made.Name == "" {
		o.missing("name", "a name such as eastron-sdm630")
	}
	if _, given := o.get("max_gap"); given {
		gap := o.integer("max_gap", 0, plan.MaxModbusRegisters, 0)
		made.MaxGap = &gap
	}
	items := o.list("registers")
	if len(items) == 0 && len(r.errs) == 0 {
		o.missing("registers", "a list of registers")
	}
	all := make([]plan.ModbusRegisterOptions, len(items))
	for i, item := range items {
		all[i] = r.register(item)
	}
	if r.firmly(); len(r.errs) > 0 { // a misspelt key would be told as one that is missing, too
		return made
	}
	var faults []*plan.ModbusFault
	made.Registers, faults = plan.CompileModbus(all, plan.ModbusDefaults{Table: plan.ModbusTable(o.text("table")), Order: o.text("order")})
	for _, f := range faults {
		at := items[f.Index].node
		if n := at.field(f.Field); n != nil {
			at = n
		}
		r.fail(at, fmt.Sprintf("registers[%d].%s", f.Index, f.Field), f.Text)
	}
	return made
}

func (r *modbusReader) register(v value) plan.ModbusRegisterOptions {
	o := r.object(v, modbusRegisterKeys)
	made := plan.ModbusRegisterOptions{
		Key: o.text("key"), Dimension: o.text("dimension"), Address: plan.ModbusNumber(o.label("address")),
		Table: plan.ModbusTable(o.text("table")), Type: o.text("type"), Length: o.integer("length", 1, plan.MaxModbusRegisters, 0),
		Order: o.text("order"), Bits: o.label("bits"), Scale: r.number(o, "scale"), Offset: r.number(o, "offset"),
		Texts: r.words(o, "texts"), Count: o.flag("count", false), Wrap: plan.ModbusNumber(o.label("wrap")),
		Dimensions: r.words(o, "dimensions"), Unit: o.label("unit"), Name: o.label("name"), Description: o.label("description"),
	}
	for _, n := range o.list("na") {
		made.NA = append(made.NA, plan.ModbusNumber(n.text))
	}
	return made
}

// number returns a number, 0 where it is missing.
func (r *modbusReader) number(o object, key string) float64 {
	v, ok := o.get(key)
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(v.text, 64)
	switch {
	case v.kind != kindNumber || err != nil:
		r.fail(v.node, v.path, "found "+v.what()+", expected a number such as 0.1")
	case f == 0 && key == "scale":
		r.fail(v.node, v.path, "found 0, with which every value is 0; expected a number such as 0.1")
	}
	return f
}

// words returns the texts of an object; numbers are taken as they are written.
func (r *modbusReader) words(o object, key string) map[string]string {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	in := r.object(v, nil)
	words := make(map[string]string, len(v.fields))
	for _, f := range v.fields {
		words[f.key] = in.label(f.key)
	}
	return words
}
