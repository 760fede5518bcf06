package sensor

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

func options(set func(o *Options)) *Options {
	o := defaults().(*Options)
	set(o)
	return o
}

func TestCheck(t *testing.T) {
	bme := func(o *Options) { o.Part, o.Bus, o.Address = "bme280", "i2c-1", "0x76" }
	adc := func(o *Options) {
		o.Part, o.Bus, o.Address, o.Channels = "ads1115", "1", "0x48", []Channel{{Input: "0"}}
	}
	door := func(o *Options) { o.Part, o.Line = "input", "GPIO17" }
	for _, test := range []struct {
		name string
		base func(o *Options)
		set  func(o *Options)
		want []string // of each error, a part
	}{
		{"good", bme, nil, nil},
		{"only address", bme, func(o *Options) { o.Part, o.Address = "aht20", "" }, nil},
		{"upper case", bme, func(o *Options) { o.Address = "0X5F" }, nil},
		{"no part", bme, func(o *Options) { o.Part = "" }, []string{"part: empty, expected one of ads1015,"}},
		{"near part", bme, func(o *Options) { o.Part = "BME208" }, []string{"did you mean bme280?"}},
		{"nearer part", bme, func(o *Options) { o.Part = "sht31" }, []string{"did you mean sht3x?"}},
		{"swapped letters", bme, func(o *Options) { o.Part = "ina262" }, []string{"did you mean ina226?"}},
		{"far part", bme, func(o *Options) { o.Part = "geiger" }, []string{"part: there is no \"geiger\", expected one of"}},
		{"no bus", bme, func(o *Options) { o.Bus = "" }, []string{"bus: empty"}},
		{"no address", bme, func(o *Options) { o.Address = "" }, []string{"address: empty, a bme280 has 0x76 or 0x77"}},
		{"decimal", bme, func(o *Options) { o.Address = "76" }, []string{"address: found \"76\", expected it in hexadecimal such as 0x76"}},
		{"no number", bme, func(o *Options) { o.Address = "0xyz" }, []string{"address: found \"0xyz\""}},
		{"low", bme, func(o *Options) { o.Address = "0x02" }, []string{"expected 0x03 to 0x77; a bme280 has 0x76 or 0x77"}},
		{"high", bme, func(o *Options) { o.Address = "0x78" }, []string{"address: 0x78 is not on the bus"}},
		{"lowest", bme, func(o *Options) { o.Address = "0x03" }, nil},
		{"highest", bme, func(o *Options) { o.Address = "0x77" }, nil},
		{"interval", bme, func(o *Options) { o.Interval = 1 }, []string{"interval: 1ns is too short, expected 1s"}},
		{"slow part", bme, func(o *Options) {
			o.Part, o.Address, o.Interval = "scd4x", "", probes.Duration(9*time.Second)
		}, []string{"expected 10s or more"}},
		{"shunt of another", bme, func(o *Options) { o.Shunt = 0.1 }, []string{"shunt: a sensor of part bme280 takes none, remove it"}},
		{"shunt", bme, func(o *Options) { o.Part, o.Shunt = "ina226", -1 }, []string{"shunt: found -1"}},
		{"resolution", bme, func(o *Options) { o.Part, o.Resolution = "tmp105", 13 }, []string{"resolution: found 13, expected 9 to 12"}},
		{"resolution of another", bme, func(o *Options) { o.Part, o.Resolution = "lm75", 9 }, []string{"resolution: a sensor of part lm75"}},
		{"line of another", bme, func(o *Options) { o.Line, o.Pull, o.Debounce = "1", "up", 0 }, []string{"line:", "pull:", "debounce:"}},
		{"corrections", bme, func(o *Options) {
			o.Offset = 1
			o.Corrections = map[string]Correction{"co2": {}, "humidity": {Offset: 1}, "temperature": {Offset: 1}}
		}, []string{"corrections.co2: a bme280 does not measure it, expected temperature, humidity, pressure", "corrections.temperature: scale and offset of the sensor"}},
		{"dimensions", bme, func(o *Options) { o.Dimensions = map[string]string{"Room": "1", "floor": ""} }, []string{`dimensions: "Room" cannot be a key`, "dimensions.floor: empty"}},
		{"channels", adc, nil, nil},
		{"no channels", adc, func(o *Options) { o.Channels = nil }, []string{"channels: empty"}},
		{"channels of another", bme, func(o *Options) { o.Channels = []Channel{{Input: "0"}} }, []string{"channels: a sensor of part bme280"}},
		{"bad channels", adc, func(o *Options) {
			o.Channels = []Channel{{Input: "4"}, {Input: "1", Gain: "3"}, {Input: "2"}, {Input: "2"}, {Input: "3", Quantity: "level"}, {Input: "0", Unit: "V"}}
		}, []string{`channels[0].input: found "4"`, `channels[1].gain: found "3"`, "channels[3].input: 2 is there twice", `channels[4].quantity: found "level", expected co2, current`, "channels[5].unit: voltage has a unit"}},
		{"scale of all channels", adc, func(o *Options) { o.Scale = 2 }, []string{"scale: a sensor of part ads1115 takes none, give each of its channels a scale"}},
		{"kernel", bme, func(o *Options) { o.Part, o.Bus, o.Address = "hwmon", "", "tmp421@1-004c" }, nil},
		{"kernel with a bus", bme, func(o *Options) { o.Part, o.Address = "iio", "dps310" }, []string{"bus: a sensor of part iio takes none"}},
		{"kernel with an offset", bme, func(o *Options) { o.Part, o.Bus, o.Address, o.Offset = "hwmon", "", "tmp421", 1 }, []string{"corrections: {temperature: {offset: -0.5}}"}},
		{"no chip", bme, func(o *Options) { o.Part, o.Bus, o.Address = "hwmon", "", "" }, []string{"address: "}},
		{"1-wire", bme, func(o *Options) { o.Part, o.Bus, o.Address, o.Offset = "ds18b20", "", "28-0000075c3f1a", 1 }, nil},
		{"input", door, nil, nil},
		{"no line", door, func(o *Options) { o.Line = "" }, []string{"line: empty"}},
		{"pull", door, func(o *Options) { o.Pull = "strong" }, []string{`pull: found "strong"`}},
		{"debounce", door, func(o *Options) { o.Debounce = probes.Duration(time.Minute) }, []string{"debounce: found 1m0s"}},
		{"event", door, func(o *Options) { o.EventOn = "Door" }, []string{"event: "}},
		{"pulses of an input", door, func(o *Options) { o.PerPulse, o.Unit = 2, "l" }, []string{"per_pulse: a sensor of part input", "unit: a sensor of part input"}},
		{"pulse", door, func(o *Options) { o.Part, o.PerPulse, o.Start, o.Unit = "pulse", 0.1, 12, "l" }, nil},
		{"negative pulse", door, func(o *Options) { o.Part, o.PerPulse = "pulse", -1 }, []string{"per_pulse: "}},
		{"address of a line", door, func(o *Options) { o.Address, o.Offset = "0x44", 1 }, []string{"address: a sensor of part input", "offset: a sensor of part input"}},
	} {
		o := options(test.base)
		if test.set != nil {
			test.set(o)
		}
		errs := o.Check()
		text := errors.Join(errs...)
		if len(errs) != len(test.want) {
			t.Errorf("%s: %d errors, expected %d:\n%v", test.name, len(errs), len(test.want), text)
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(errs[i].Error(), want) {
				t.Errorf("%s: %v, expected %s in it", test.name, errs[i], want)
			}
		}
		if _, err := Kind().New(o, probes.Deps{Clock: &clock{}}); (err == nil) != (len(errs) == 0) {
			t.Errorf("%s: New gives %v", test.name, err)
		}
	}
}

func TestBusName(t *testing.T) {
	for text, want := range map[probes.Word]string{"1": "i2c-1", "i2c-1": "i2c-1", "/dev/i2c-11": "i2c-11", "21a0000.i2c": "21a0000.i2c", "/soc/i2c@7e804000": "/soc/i2c@7e804000", "i2c-": "i2c-"} {
		if got := busName(text); got != want {
			t.Errorf("%s: %s, expected %s", text, got, want)
		}
	}
}

// What a sensor gives is described, and what is described fits the quantities.
func TestMetrics(t *testing.T) {
	keys := func(o *Options) (keys []string) {
		for _, m := range Kind().Metrics(o) {
			if m.Unit == "" || m.DisplayName == "" || m.Type != probes.Gauge && m.Type != probes.Count {
				t.Errorf("%+v", m)
			}
			keys = append(keys, strings.TrimPrefix(m.Key, "edgehold.sensor."))
		}
		return keys
	}
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Part: "bme280"}, "temperature humidity pressure crc_errors implausible"},
		{Options{Part: "input"}, "active changes"},
		{Options{Part: "pulse"}, "pulses total rate pulses.lost"},
		{Options{Part: "ads1115", Channels: []Channel{{Quantity: "value"}, {}, {Quantity: "value"}}}, "value voltage crc_errors implausible"},
		{Options{Part: "nothing"}, ""},
	} {
		if got := strings.Join(keys(&test.o), " "); got != test.want {
			t.Errorf("%s: %s, expected %s", test.o.Part, got, test.want)
		}
	}
	if got := keys(&Options{Part: "hwmon"}); !slices.Contains(got, "alarm") || !slices.Contains(got, "fanspeed") {
		t.Error(got)
	}
	for _, q := range quantity.Measured() {
		if found, ok := quantity.Named(q.Short()); !ok || found != q {
			t.Errorf("%s is not found by its name", q.Short())
		}
	}
}

// Each setting changes the fingerprint, and the same settings do not.
func TestSame(t *testing.T) {
	base := func() Options {
		return Options{
			Part: "ads1115", Bus: "1", Address: "0x48", Channels: []Channel{{Input: "0", Scale: 2}},
			Dimensions: map[string]string{"a": "1", "b": "2", "c": "3"}, Corrections: nil,
		}
	}
	first := one(t, base(), probes.Deps{}).Same
	if again := one(t, base(), probes.Deps{}).Same; again != first {
		t.Error("the same settings have another fingerprint")
	}
	for name, set := range map[string]func(o *Options){
		"address":    func(o *Options) { o.Address = "0x49" },
		"channel":    func(o *Options) { o.Channels[0].Scale = 3 },
		"dimensions": func(o *Options) { o.Dimensions["c"] = "4" },
		"interval":   func(o *Options) { o.Interval = probes.Duration(time.Second) },
	} {
		o := base()
		set(&o)
		if one(t, o, probes.Deps{}).Same == first {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A sensor of the kernel goes through the same mill: corrections, dimensions,
// and an error when its driver is unbound.
func TestKernelSensor(t *testing.T) {
	sys := t.TempDir()
	chip := filepath.Join(sys, "class/hwmon/hwmon3")
	write(t, filepath.Join(chip, "name"), "tmp421\n")
	write(t, filepath.Join(chip, "temp1_input"), "25125\n")
	write(t, filepath.Join(chip, "temp2_input"), "-12500\n")
	o := Options{Part: "hwmon", Address: "tmp421", Name: "cpu", Corrections: map[string]Correction{"temperature": {Offset: 0.5}}}
	task := one(t, o, probes.Deps{Sysfs: sys})
	got, batch, err := poll(t, task)
	if got != "temperature[temp1]=25.625 temperature[temp2]=-12" || err != nil {
		t.Fatal(got, err)
	}
	if d := dims(batch.Points[0].Series); d != "sensor.address=tmp421 sensor.index=temp1 sensor.name=cpu sensor.type=hwmon" {
		t.Error(d)
	}
	if task.ID != "sensor/hwmon/tmp421" || task.Device != "hwmon/tmp421" {
		t.Errorf("%+v", task)
	}
	if err := os.RemoveAll(chip); err != nil {
		t.Fatal(err)
	}
	if got, _, err := poll(t, task); got != "" || probes.StatusOf(err) != probes.StatusDeviceConnectionError {
		t.Error(got, err)
	}
	if stats := task.Probe.(probes.Measured).PollStats(); stats.Requests != 1 {
		t.Errorf("%+v", stats)
	}
	write(t, filepath.Join(sys, "class/hwmon/hwmon7/name"), "tmp421\n")
	write(t, filepath.Join(sys, "class/hwmon/hwmon7/temp1_input"), "26000\n")
	if got, _, err := poll(t, task); got != "temperature=26.5" || err != nil {
		t.Error(got, err)
	}
	wire := one(t, Options{Part: "ds18b20", Address: "28-0000075c3f1a"}, probes.Deps{Sysfs: sys})
	if wire.Device != "w1" || wire.ID != "sensor/ds18b20/28-0000075c3f1a" || wire.Label != "ds18b20 28-0000075c3f1a" {
		t.Errorf("%+v", wire)
	}
}

// Lines become sources, which ask the board for what is configured.
func TestLines(t *testing.T) {
	b := &board{}
	for _, part := range []string{"input", "pulse"} {
		task := one(t, Options{Part: part, Line: "pinctrl-bcm2711/17", ActiveLow: true, Pull: "up"}, probes.Deps{Board: b})
		if task.Source == nil || task.Probe != nil || task.ID != "sensor/line/pinctrl-bcm2711/17" || task.Device != "line/pinctrl-bcm2711/17" {
			t.Fatalf("%+v", task)
		}
		if err := task.Source.Run(t.Context(), func(probes.Batch) {}); err == nil || !strings.Contains(err.Error(), "the line is in use") {
			t.Error(err)
		}
		nowhere := one(t, Options{Part: part, Line: "x/1"}, probes.Deps{})
		if err := nowhere.Source.Run(t.Context(), func(probes.Batch) {}); !errors.Is(err, errNoBoard) {
			t.Error(err)
		}
		if _, lasting := task.Source.(probes.Lasting); lasting != (part == "pulse") {
			t.Errorf("%s: lasting is %v", part, lasting)
		}
	}
	want := probes.InputOptions{Line: "pinctrl-bcm2711/17", ActiveLow: true, Pull: probes.PullUp, Debounce: 10 * time.Millisecond}
	if !slices.Equal(b.lines, []probes.InputOptions{want, want}) {
		t.Errorf("%+v", b.lines)
	}
}

// What is no number is not told, even where nobody knows the range.
func TestDoubt(t *testing.T) {
	p := &probe{}
	for value, believed := range map[float64]bool{1e9: true, 0: true, math.Inf(1): false, math.NaN(): false} {
		if doubt := p.doubt(quantity.Reading{Of: quantity.Voltage, Value: value}); (doubt == "") != believed {
			t.Errorf("%v: %q", value, doubt)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("0x76", "bme280")
	f.Add("0X03", "sht31")
	f.Fuzz(func(t *testing.T, address, part string) {
		o := options(func(o *Options) { o.Part, o.Bus, o.Address = part, "1", probes.Word(address) })
		m, err := o.model()
		if err != nil {
			return
		}
		n, err := o.address(m)
		switch {
		case err == nil && (n < 0x03 || n > 0x77):
			t.Errorf("%q is taken as %#x", address, n)
		case err != nil && !strings.HasPrefix(err.Error(), "address: "):
			t.Error(err)
		}
		if d := nearest(part, []string{part}); part != "" && strings.ToLower(part) == part && d != part {
			t.Errorf("%q is not near itself", part)
		}
	})
}
