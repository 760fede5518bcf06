package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// tree is a fake /sys.
type tree struct {
	t    *testing.T
	root string
}

func newTree(t *testing.T) tree { return tree{t, t.TempDir()} }

// put writes files, by path and content.
func (f tree) put(dir string, files map[string]string) {
	f.t.Helper()
	for name, text := range files {
		path := filepath.Join(f.root, dir, name)
		f.must(os.MkdirAll(filepath.Dir(path), 0o755))
		f.must(os.WriteFile(path, []byte(text+"\n"), 0o644))
	}
}

// link makes a link with a relative target, as sysfs has them.
func (f tree) link(at, to string) {
	f.t.Helper()
	path := filepath.Join(f.root, at)
	f.must(os.MkdirAll(filepath.Dir(path), 0o755))
	rel, err := filepath.Rel(filepath.Dir(path), filepath.Join(f.root, to))
	f.must(err)
	f.must(os.Symlink(rel, path))
}

func (f tree) remove(path string) { f.must(os.RemoveAll(filepath.Join(f.root, path))) }

func (f tree) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// hwmon puts a chip where a driver puts it: below its device, with links both ways.
func (f tree) hwmon(n int, device string, files map[string]string) {
	f.t.Helper()
	dir := fmt.Sprintf("%s/hwmon/hwmon%d", device, n)
	f.put(dir, files)
	f.link(dir+"/device", device)
	f.link(fmt.Sprintf("class/hwmon/hwmon%d", n), dir)
}

func (f tree) unbind(n int, device string) {
	f.remove(fmt.Sprintf("class/hwmon/hwmon%d", n))
	f.remove(device + "/hwmon")
}

func (f tree) iio(n int, device string, files map[string]string) {
	f.t.Helper()
	dir := fmt.Sprintf("%s/iio:device%d", device, n)
	f.put(dir, files)
	f.link(fmt.Sprintf("bus/iio/devices/iio:device%d", n), dir)
}

// told writes readings as "KEY INDEX VALUE".
func told(readings []quantity.Reading) string {
	var out []string
	for _, r := range readings {
		key := strings.TrimPrefix(r.Of.Key, "edgehold.sensor.")
		out = append(out, fmt.Sprintf("%s[%s]=%.10g", key, r.Index, r.Value))
	}
	return strings.Join(out, " ")
}

func statusOf(err error) probes.Status { return probes.StatusOf(err) }

// expect reads once and holds it against what is wanted.
func expect(t *testing.T, r Reader, want string, status probes.Status, parts ...string) {
	t.Helper()
	readings, err := r.Read(t.Context())
	if got := told(readings); got != want {
		t.Errorf("readings %s\n    want %s", got, want)
	}
	if statusOf(err) != status {
		t.Errorf("status %s (%v), want %s", statusOf(err), err, status)
	}
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v lacks %q", err, part)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		part, address string
		ok            bool
	}{
		{HWMon, "tmp421", true},
		{HWMon, "tmp421@1-004c", true},
		{IIO, "bme280@1-0076", true},
		{HWMon, "", false},
		{HWMon, "tmp421@", false},
		{HWMon, "@1-004c", false},
		{IIO, "../../etc", false},
		{DS18B20, "28-0000075c3f1a", true},
		{DS18B20, "3b-0000001921e8", true},
		{DS18B20, "28-0000075C3F1A", false},
		{DS18B20, "28-0000075c3f1", false},
		{DS18B20, "28-0000075c3f1az", false},
		{DS18B20, "26-0000075c3f1a", false}, // no thermometer
		{DS18B20, "28/../0000075c3", false},
		{"w1", "28-0000075c3f1a", false},
	} {
		if err := Check(tt.part, tt.address); (err == nil) != tt.ok {
			t.Errorf("%s %q: %v", tt.part, tt.address, err)
		}
	}
	expect(t, Open(t.TempDir(), "w1", "x"), "", probes.StatusInvalidConfigError, "write hwmon, iio or ds18b20")
}

const tmp421 = "devices/platform/soc/21a0000.i2c/i2c-0/0-004c"

// tmp421 with a remote diode that is not connected, as its driver shows it.
func tmp421Files() map[string]string {
	return map[string]string{
		"name": "tmp421", "temp1_input": "25125", "temp2_input": "-12500", "temp2_fault": "0",
		"temp3_input": "-128000", "temp3_fault": "1", "update_interval": "0", "power/control": "auto",
	}
}

func TestHwmon(t *testing.T) {
	f := newTree(t)
	f.hwmon(1, tmp421, tmp421Files())
	f.hwmon(0, "devices/virtual/thermal/thermal_zone0", map[string]string{"name": "cpu_thermal", "temp1_input": "48312"})
	f.put(tmp421+"/hwmon/hwmon1", map[string]string{"temp2_label": "Cabinet"})
	r := Open(f.root, HWMon, "tmp421")
	expect(t, r, "temperature[temp1]=25.125 temperature[Cabinet]=-12.5", probes.StatusWarning, "temp3", "not connected", "temp3_fault")
	expect(t, Open(f.root, HWMon, "tmp421@0-004c"), "temperature[temp1]=25.125 temperature[Cabinet]=-12.5", probes.StatusWarning)
	expect(t, Open(f.root, HWMon, "cpu_thermal"), "temperature[]=48.312", probes.StatusOK)
	expect(t, Open(f.root, HWMon, "tmp421@1-004c"), "", probes.StatusDeviceConnectionError,
		"tmp421@1-004c is not there", "cpu_thermal@thermal_zone0, tmp421@0-004c")
	f.put(tmp421+"/hwmon/hwmon1", map[string]string{"temp3_enable": "0"})
	expect(t, r, "temperature[temp1]=25.125 temperature[Cabinet]=-12.5", probes.StatusOK)
}

func TestHwmonUnits(t *testing.T) {
	f := newTree(t)
	f.hwmon(3, "devices/platform/board.0", map[string]string{
		"name": "everything", "in0_input": "1008", "in0_label": "VCore", "in10_input": "12096", "in2_input": "3360", "curr1_input": "-250",
		"power1_input": "12500000", "power1_average": "1", "power2_average": "7000000", "energy1_input": "7200000000000",
		"humidity1_input": "45678", "fan1_input": "1260", "temp1_input": "21000", "temp1_max": "85000", "pwm1": "128", "in0_min": "0",
		"intrusion0_alarm": "1", "temp1_crit_hyst": "5", "in_input": "5", "tempx_input": "3",
	})
	expect(t, Open(f.root, HWMon, "everything"),
		"current[]=-0.25 energy[]=2 fanspeed[]=1260 humidity[]=45.678 voltage[VCore]=1.008 voltage[in2]=3.36 voltage[in10]=12.096 "+
			"power[power1]=12.5 power[power2]=7 temperature[]=21", probes.StatusOK)
}

func TestHwmonBounds(t *testing.T) {
	f := newTree(t)
	f.hwmon(0, "devices/x/1-0040", map[string]string{"name": "sht3x", "temp1_input": "21000", "humidity1_input": "45678"})
	readings, err := Open(f.root, HWMon, "sht3x").Read(t.Context())
	if err != nil || len(readings) != 2 {
		t.Fatal(readings, err)
	}
	if h := readings[0]; h.Of != quantity.Humidity || h.Min != 0 || h.Max != 100 {
		t.Errorf("%+v", h)
	}
	if c := readings[1]; c.Of != quantity.Temperature || c.Min != -273.15 || c.Max != 2500 {
		t.Errorf("%+v", c)
	}
}

// Two processors: two chips of one name, each with labels that come twice in none.
func TestHwmonOfOneName(t *testing.T) {
	f := newTree(t)
	for n := range 2 {
		f.hwmon(n, fmt.Sprintf("devices/platform/coretemp.%d", n), map[string]string{
			"name": "coretemp", "temp1_input": "41000", "temp1_label": fmt.Sprintf("Package id %d", n),
			"temp2_input": "39000", "temp2_label": "Core 0", "temp18_input": "38000", "temp18_label": "Core 0",
		})
	}
	expect(t, Open(f.root, HWMon, "coretemp"), "", probes.StatusInvalidConfigError, "2 parts of hwmon are named coretemp", "coretemp@coretemp.0, coretemp@coretemp.1")
	expect(t, Open(f.root, HWMon, "coretemp@coretemp.1"),
		"temperature[Package id 1]=41 temperature[Core 0 (temp2)]=39 temperature[Core 0 (temp18)]=38", probes.StatusOK)
}

// Drivers of old have all their files, the name among them, with the device.
func TestHwmonOfOld(t *testing.T) {
	f := newTree(t)
	f.put("devices/platform/w83627hf.656", map[string]string{"name": "w83627hf", "temp1_input": "33000"})
	f.hwmon(0, "devices/platform/w83627hf.656", map[string]string{"uevent": ""})
	expect(t, Open(f.root, HWMon, "w83627hf"), "temperature[]=33", probes.StatusOK)
}

// An alarm gives a series once it has been on.
func TestHwmonAlarm(t *testing.T) {
	f := newTree(t)
	const dir = "devices/x/1-004c/hwmon/hwmon0"
	f.hwmon(0, "devices/x/1-004c", map[string]string{
		"name": "emc1413", "temp1_input": "25000", "temp1_min_alarm": "0", "temp1_max_alarm": "0", "temp1_crit_alarm": "0",
		"temp2_input": "26000", "temp2_fault": "0", "temp2_max_alarm": "0",
	})
	r := Open(f.root, HWMon, "emc1413")
	const values = "temperature[temp1]=25 temperature[temp2]=26"
	expect(t, r, values, probes.StatusOK)
	f.put(dir, map[string]string{"temp2_max_alarm": "1"})
	expect(t, r, values+" alarm[temp2]=1", probes.StatusOK)
	f.put(dir, map[string]string{"temp2_max_alarm": "0"})
	expect(t, r, values+" alarm[temp2]=0", probes.StatusOK)
	f.put(dir, map[string]string{"temp1_crit_alarm": "1"})
	expect(t, r, "temperature[temp1]=25 alarm[temp1]=1 temperature[temp2]=26 alarm[temp2]=0", probes.StatusOK)
}

// A chip that goes is one error for as long as it is gone; bound again it is found
// under its new number, whoever has the old one now.
func TestHwmonComesBack(t *testing.T) {
	f := newTree(t)
	files := tmp421Files()
	files["temp3_fault"] = "0"
	f.hwmon(1, tmp421, files)
	r := Open(f.root, HWMon, "tmp421@0-004c")
	const want = "temperature[temp1]=25.125 temperature[temp2]=-12.5 temperature[temp3]=-128"
	expect(t, r, want, probes.StatusOK)
	f.unbind(1, tmp421)
	for range 2 {
		expect(t, r, "", probes.StatusDeviceConnectionError, "tmp421@0-004c is not there", "load its driver")
	}
	f.hwmon(1, "devices/x/other.0", map[string]string{"name": "other", "temp1_input": "99000"})
	expect(t, r, "", probes.StatusDeviceConnectionError, "there are other@other.0")
	f.hwmon(2, tmp421, files)
	expect(t, r, want, probes.StatusOK)
}

// A chip none of whose inputs answers is not there; one whose files go while it is
// read neither.
func TestHwmonDoesNotAnswer(t *testing.T) {
	f := newTree(t)
	f.hwmon(0, "devices/x/1-0048", map[string]string{"name": "lm75", "temp1_input": "", "update_interval": "1000"})
	expect(t, Open(f.root, HWMon, "lm75"), "", probes.StatusDeviceConnectionError, `"" is not a number`)
	f.hwmon(1, "devices/x/1-0049", map[string]string{"name": "half", "temp1_input": "20000", "temp2_input": "21000", "in1_input": "nan", "in2_input": "1e999"})
	expect(t, Open(f.root, HWMon, "half"), "temperature[temp1]=20 temperature[temp2]=21", probes.StatusWarning, "in1_input", "in2_input")
	f.link("devices/x/1-0049/hwmon/hwmon1/temp3_input", "nowhere")
	expect(t, Open(f.root, HWMon, "half"), "", probes.StatusDeviceConnectionError, "no such file")
	f.hwmon(2, "devices/x/1-0050", map[string]string{"name": "mute", "pwm1": "1"})
	expect(t, Open(f.root, HWMon, "mute"), "", probes.StatusDeviceConnectionError, "no input")
}

// A file that holds more than a number does not fill logs and status.
func TestAFileOfNoise(t *testing.T) {
	f := newTree(t)
	f.hwmon(0, "devices/a", map[string]string{"name": "noise", "temp1_input": strings.Repeat("\xff9", 1<<20)})
	if _, err := Open(f.root, HWMon, "noise").Read(t.Context()); err == nil || len(err.Error()) > 400 {
		t.Errorf("%.500v", err)
	}
}

func TestManyFaultsAreCutShort(t *testing.T) {
	f := newTree(t)
	files := map[string]string{"name": "broken"}
	for n := range 9 {
		files[fmt.Sprintf("in%d_input", n)] = "-"
	}
	f.hwmon(0, "devices/x/b.0", files)
	_, err := Open(f.root, HWMon, "broken").Read(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "and 6 more") {
		t.Fatal(err)
	}
}

// A read that the kernel does not end ends with its context, and so does the next
// one; it works again once the first one has ended.
func TestReadHangs(t *testing.T) {
	f := newTree(t)
	f.hwmon(0, "devices/x/1-0048", map[string]string{"name": "lm75"})
	pipe := filepath.Join(f.root, "devices/x/1-0048/hwmon/hwmon0/temp1_input")
	f.must(unix.Mkfifo(pipe, 0o644))
	r := Open(f.root, HWMon, "lm75")
	for _, want := range []string{"gave no value in time", "still works on the read before"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		readings, err := r.Read(ctx)
		cancel()
		if readings != nil || statusOf(err) != probes.StatusDeviceConnectionError || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v, want %s", err, want)
		}
	}
	end, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	f.must(err)
	f.must(os.Remove(pipe))
	f.put("devices/x/1-0048/hwmon/hwmon0", map[string]string{"temp1_input": "20500"})
	_, err = end.WriteString("19000\n")
	f.must(err)
	f.must(end.Close())
	expect(t, r, "temperature[]=20.5", probes.StatusOK)
}

const dps310 = "devices/platform/soc/21a0000.i2c/i2c-0/0-0077"

func TestIIO(t *testing.T) {
	f := newTree(t)
	f.iio(0, dps310, map[string]string{
		"name": "dps310", "in_temp_input": "24312", "in_pressure_input": "101.325000000", "in_temp_oversampling_ratio": "1",
		"in_pressure_sampling_frequency": "1", "current_timestamp_clock": "realtime",
		"in_temp_raw": "7", "in_temp_scale": "1000",
	})
	f.iio(1, "devices/x/1-0040", map[string]string{ // hdc1080: raw values, each with an offset and a scale
		"name": "hdc1080", "in_temp_raw": "26214", "in_temp_offset": "-15887.515151", "in_temp_scale": "2.517700",
		"in_humidityrelative_raw": "32768", "in_humidityrelative_scale": "1.525879", "out_current_heater_raw": "0",
	})
	f.iio(2, "devices/x/1-0048", map[string]string{ // an ADC: a scale of all channels, one with a label, a difference
		"name": "ads1015", "in_voltage0_raw": "1000", "in_voltage1_raw": "-20", "in_voltage1_scale": "2", "in_voltage1_label": "battery",
		"in_voltage_scale": "3.000000000", "in_voltage0-voltage1_raw": "500", "in_voltage-voltage_scale": "0.5", "in_voltage2_mean_raw": "1",
	})
	f.iio(3, "devices/x/1-0062", map[string]string{
		"name": "scd4x", "in_concentration_co2_raw": "812", "in_concentration_co2_scale": "0.000100000",
		"in_concentration_voc_raw": "5", "in_concentration_voc_scale": "1",
		"in_temp_raw": "27307", "in_temp_scale": "2.670329", "in_temp_offset": "-16852.948", "in_humidityrelative_input": "45000",
	})
	f.iio(4, "devices/x/1-005a", map[string]string{ // kinds of one quantity, and what has no scale
		"name": "mlx90614", "in_temp_ambient_raw": "14700", "in_temp_object_raw": "15000", "in_temp_scale": "20", "in_temp_offset": "-13657.500000",
		"in_illuminance_raw": "77", "in_illuminance_input": "41.5", "in_intensity_raw": "3", "in_proximity_raw": "3", "in_power_raw": "9",
	})
	expect(t, Open(f.root, IIO, "dps310"), "pressure[]=101325 temperature[]=24.312", probes.StatusOK)
	expect(t, Open(f.root, IIO, "hdc1080"), "humidity[]=50.00000307 temperature[]=25.9989909", probes.StatusOK)
	expect(t, Open(f.root, IIO, "ads1015"), "voltage[voltage0]=3 voltage[voltage0-voltage1]=0.25 voltage[battery]=-0.04", probes.StatusOK)
	expect(t, Open(f.root, IIO, "scd4x@1-0062"), "co2[]=812 humidity[]=45 temperature[]=27.91575822", probes.StatusOK)
	expect(t, Open(f.root, IIO, "mlx90614"), "illuminance[]=41.5 temperature[temp_ambient]=20.85 temperature[temp_object]=26.85", probes.StatusOK)
	expect(t, Open(f.root, IIO, "bme280"), "", probes.StatusDeviceConnectionError, "bme280 is not there", "dps310@0-0077", "scd4x@1-0062")
}

func TestIIOFaults(t *testing.T) {
	f := newTree(t)
	for n, addr := range []string{"1-0076", "1-0077"} {
		f.iio(n, "devices/x/"+addr, map[string]string{"name": "bme280", "in_temp_input": "21500", "in_pressure_raw": "7", "in_pressure_scale": "broken"})
	}
	expect(t, Open(f.root, IIO, "bme280"), "", probes.StatusInvalidConfigError, "bme280@1-0076, bme280@1-0077")
	r := Open(f.root, IIO, "bme280@1-0077")
	expect(t, r, "temperature[]=21.5", probes.StatusWarning, "pressure", "broken")
	f.remove("bus/iio/devices/iio:device1")
	expect(t, r, "", probes.StatusDeviceConnectionError, "there are bme280@1-0076")
	f.link("bus/iio/devices/iio:device7", "devices/x/1-0077/iio:device1")
	expect(t, r, "temperature[]=21.5", probes.StatusWarning)
	expect(t, Open(filepath.Join(f.root, "nowhere"), IIO, "bme280"), "", probes.StatusDeviceConnectionError, "no other one")
}

// A driver that is there and has no channel with a unit.
func TestIIOWithoutUnits(t *testing.T) {
	f := newTree(t)
	f.iio(0, "devices/x/1-0029", map[string]string{"name": "tsl", "in_illuminance_raw": "3", "in_accel_x_raw": "3", "in_accel_scale": "1"})
	expect(t, Open(f.root, IIO, "tsl"), "", probes.StatusDeviceConnectionError, "no input that is measured in a unit")
}

func TestReadingsAreFinite(t *testing.T) {
	f := newTree(t)
	f.iio(0, "devices/x/a", map[string]string{"name": "a", "in_voltage0_raw": "1e308", "in_voltage0_scale": "1e308", "in_voltage1_raw": "1", "in_voltage1_scale": "1"})
	expect(t, Open(f.root, IIO, "a"), "voltage[voltage1]=0.001", probes.StatusWarning, "voltage0")
}
