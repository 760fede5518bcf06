package sensor

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/edgehold/edgehold/probes"
)

type clock struct{ wall int64 }

func (c *clock) Now() probes.Stamp {
	c.wall++
	return probes.Stamp{Wall: c.wall}
}

var errNoAnswer = errors.New("remote I/O error")

// board has one bus with parts on it, each a function of what is written.
type board struct {
	mu     sync.Mutex
	open   int // buses that are not closed
	opened []string
	gone   error // why there is no bus
	parts  map[uint16]func(w, r []byte) error
	lines  []probes.InputOptions
}

func (b *board) I2C(name string) (i2c.BusCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone != nil {
		return nil, b.gone
	}
	b.open++
	b.opened = append(b.opened, name)
	return &bus{b}, nil
}

func (b *board) Input(o probes.InputOptions) (probes.InputLine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, o)
	return nil, errors.New("the line is in use")
}

type bus struct{ *board }

func (b *bus) String() string                  { return "bus" }
func (b *bus) SetSpeed(physic.Frequency) error { return nil }
func (b *bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	return nil
}

func (b *bus) Tx(address uint16, w, r []byte) error {
	if part := b.parts[address]; part != nil {
		return part(w, r)
	}
	return errNoAnswer
}

// tmp105 is one at 0x49. It loses its settings when it is away.
type tmp105 struct {
	raw      [2]byte
	settings byte
	away     bool
	asked    int
	setUps   int
}

func (p *tmp105) Tx(w, r []byte) error {
	p.asked++
	if p.away {
		p.settings = 0
		return errNoAnswer
	}
	switch {
	case len(w) == 2:
		p.settings = w[1]
		p.setUps++
	case w[0] == 1:
		r[0] = p.settings
	default:
		copy(r, p.raw[:])
	}
	return nil
}

// sht3x is one at 0x44 that answers with what it is told to, then with the last.
type sht3x struct {
	values []string
	last   []byte
}

func (p *sht3x) Tx(w, r []byte) error {
	if len(w) > 0 {
		p.last = slices.Clone(w)
		return nil
	}
	text := "8010e1"
	if p.last[0] == 0x24 {
		text = p.values[0]
		p.values = p.values[min(1, len(p.values)-1):]
	}
	b, err := hex.DecodeString(text)
	copy(r, b)
	return err
}

const (
	shtGood = "666693" + "8000a2" // 25 degrees, 50 percent
	shtBad  = "666694" + "8000a2"
	shtHot  = "ffffac" + "8000a2" // 130 degrees
)

func one(t *testing.T, o Options, deps probes.Deps) probes.Task {
	t.Helper()
	full := defaults().(*Options)
	debounce, interval := full.Debounce, full.Interval
	*full = o
	if full.Interval == 0 {
		full.Interval = interval
	}
	if full.Debounce == 0 {
		full.Debounce = debounce
	}
	if deps.Clock == nil {
		deps.Clock = &clock{}
	}
	tasks, err := Kind().New(full, deps)
	if err != nil || len(tasks) != 1 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	return tasks[0]
}

// lines writes points as key=value, with what tells their series apart.
func lines(points []probes.Point) string {
	var all []string
	for _, p := range points {
		text := strings.TrimPrefix(p.Series.Key(), "edgehold.sensor.")
		if i := p.Series.Dim("sensor.index"); i != "" {
			text += "[" + i + "]"
		}
		all = append(all, text+"="+trimmed(p.Value.Float64()))
	}
	return strings.Join(all, " ")
}

func dims(s *probes.Series) string {
	var all []string
	for _, d := range s.Dims() {
		all = append(all, d.Key+"="+d.Value)
	}
	return strings.Join(all, " ")
}

func poll(t *testing.T, task probes.Task) (string, probes.Batch, error) {
	t.Helper()
	b, err := task.Probe.Poll(t.Context())
	return lines(b.Points), b, err
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tmp105{raw: [2]byte{0x19, 0x20}}
		b := &board{parts: map[uint16]func(w, r []byte) error{0x49: p.Tx}}
		deps := probes.Deps{Board: b, Constants: []probes.Dimension{{Key: "site", Value: "plant-7"}}}
		task := one(t, Options{Part: "tmp105", Bus: "/dev/i2c-1", Address: "0x49", Name: "outdoor", Scale: 2, Offset: -1, Dimensions: map[string]string{"room": "7"}}, deps)
		got, batch, err := poll(t, task)
		if err != nil || got != "temperature=49.25" {
			t.Fatalf("%s, %v", got, err)
		}
		want := "room=7 sensor.address=0x49 sensor.bus=i2c-1 sensor.name=outdoor sensor.type=tmp105 site=plant-7"
		if d := dims(batch.Points[0].Series); d != want {
			t.Errorf("%s, expected %s", d, want)
		}
		_, again, _ := poll(t, task)
		if again.Points[0].Series != batch.Points[0].Series || again.Points[0].Stamp == batch.Points[0].Stamp {
			t.Error("the series is made anew, or the stamp is the old one")
		}
		if b.open != 0 || !slices.Equal(b.opened, []string{"i2c-1", "i2c-1"}) {
			t.Errorf("%d buses are open, of %v", b.open, b.opened)
		}
		if task.ID != "sensor/i2c-1/0x49" || task.Device != "i2c-1" || task.Lane != "" || task.Interval != time.Minute || task.Label != "outdoor (tmp105 i2c-1/0x49)" {
			t.Errorf("%+v", task)
		}
	})
}

// A sensor that goes and comes back is one error and one recovery, and is set up
// as at first.
func TestVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tmp105{raw: [2]byte{0x19, 0x20}}
		b := &board{parts: map[uint16]func(w, r []byte) error{0x49: p.Tx}}
		task := one(t, Options{Part: "tmp105", Bus: "1", Address: "0x49"}, probes.Deps{Board: b})
		var statuses []probes.Status
		note := func(times int, set func()) {
			set()
			for range times {
				_, batch, err := poll(t, task)
				if status := probes.StatusOf(err); len(statuses) == 0 || statuses[len(statuses)-1] != status {
					statuses = append(statuses, status)
				}
				if (err == nil) != (len(batch.Points) == 1) {
					t.Errorf("%d points, %v", len(batch.Points), err)
				}
			}
		}
		note(2, func() {})
		before := p.asked
		note(3, func() { p.away = true })
		if asked := p.asked - before; asked != 6 {
			t.Errorf("a sensor that is away was asked %d times in 3 polls, expected 6", asked)
		}
		note(2, func() { b.gone = errors.New("no such adapter") })
		note(2, func() { b.gone, p.away = nil, false })
		want := []probes.Status{probes.StatusOK, probes.StatusDeviceConnectionError, probes.StatusOK}
		if !slices.Equal(statuses, want) || p.setUps != 2 || p.settings != 0x60 {
			t.Errorf("%v, set up %d times, settings %#x", statuses, p.setUps, p.settings)
		}
		note(1, func() { p.settings = 0 }) // without power between two polls
		if p.setUps != 3 || len(statuses) != 3 {
			t.Errorf("%v, set up %d times", statuses, p.setUps)
		}
		if stats := task.Probe.(probes.Measured).PollStats(); stats.Requests != 2 || stats.Retries != 1 || stats.Timeouts != 0 {
			t.Errorf("%+v", stats)
		}
		if b.open != 0 {
			t.Errorf("%d buses are open", b.open)
		}
	})
}

func TestErrors(t *testing.T) {
	nobody := func([]byte, []byte) error { return errNoAnswer }
	for _, test := range []struct {
		name   string
		o      Options
		board  probes.Board
		status probes.Status
		words  []string
	}{
		{"no board", Options{Part: "sht3x", Bus: "i2c-1", Address: "0x44"}, nil, probes.StatusGenericError, []string{"no buses"}},
		{"no bus", Options{Part: "sht3x", Bus: "i2c-9", Address: "0x44"}, &board{gone: errors.New("there is no i2c-9")}, probes.StatusDeviceConnectionError, []string{"open bus i2c-9", "there is no i2c-9"}},
		{"no answer", Options{Part: "sht3x", Bus: "i2c-1", Address: "0x44"}, &board{}, probes.StatusDeviceConnectionError, []string{"sht3x at 0x44 on i2c-1 does not answer:", "remote I/O error"}},
		{"odd address", Options{Part: "sht3x", Bus: "i2c-1", Address: "0x50"}, &board{parts: map[uint16]func(w, r []byte) error{0x50: nobody}}, probes.StatusDeviceConnectionError, []string{"where a sht3x has 0x44 or 0x45"}},
		{"other part", Options{Part: "bme280", Bus: "i2c-1", Address: "0x76"}, &board{parts: map[uint16]func(w, r []byte) error{0x76: func(_, r []byte) error {
			for i := range r {
				r[i] = 0x58
			}
			return nil
		}}}, probes.StatusInvalidConfigError, []string{"write part: bmp280"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			task := one(t, test.o, probes.Deps{Board: test.board})
			got, _, err := poll(t, task)
			if got != "" || err == nil || probes.StatusOf(err) != test.status {
				t.Fatalf("%s: %s, %v, status %s", test.name, got, err, probes.StatusOf(err))
			}
			for _, w := range test.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: %v, expected %s in it", test.name, err, w)
				}
			}
		})
	}
}

func TestChecksumsAndRange(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   []string // of polls
		status []probes.Status
	}{
		{"one wrong", []string{shtBad, shtGood}, []string{"temperature=25 humidity=50.0008 crc_errors=1", "temperature=25 humidity=50.0008"}, []probes.Status{"OK", "OK"}},
		{"two wrong", []string{shtBad, shtBad, shtGood}, []string{"temperature=25 humidity=50.0008 crc_errors=2"}, []probes.Status{"OK"}},
		{"three wrong", []string{shtBad, shtBad, shtBad, shtGood}, []string{"", "temperature=25 humidity=50.0008 crc_errors=3"}, []probes.Status{"GENERIC_ERROR", "OK"}},
		{"too cold", []string{"000081" + "8000a2"}, []string{"humidity=50.0008 implausible=1"}, []probes.Status{"WARNING"}},
		{"too hot", []string{shtHot, shtGood}, []string{"humidity=50.0008 implausible=1", "temperature=25 humidity=50.0008"}, []probes.Status{"WARNING", "OK"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &sht3x{values: test.values}
			task := one(t, Options{Part: "sht3x", Bus: "i2c-1", Address: "0x44"}, probes.Deps{Board: &board{parts: map[uint16]func(w, r []byte) error{0x44: p.Tx}}})
			for i, want := range test.want {
				got, _, err := poll(t, task)
				if got != want || probes.StatusOf(err) != test.status[i] {
					t.Errorf("%s, poll %d: %s, %v, expected %s, %s", test.name, i, got, err, want, test.status[i])
				}
			}
		})
	}
}

// Scale and offset come after the range: what is out of it is not made plausible,
// and what is corrected may leave it.
func TestCorrectionComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &sht3x{values: []string{shtHot, shtGood}}
		deps := probes.Deps{Board: &board{parts: map[uint16]func(w, r []byte) error{0x44: p.Tx}}}
		task := one(t, Options{Part: "sht3x", Bus: "i2c-1", Address: "0x44", Offset: -100, Corrections: map[string]Correction{"humidity": {Scale: 4}}}, deps)
		if got, _, _ := poll(t, task); got != "humidity=200.0031 implausible=1" {
			t.Error(got)
		}
		if got, _, err := poll(t, task); got != "temperature=-75 humidity=200.0031" || err != nil {
			t.Error(got, err)
		}
	})
}

// A loop of 4 to 20 mA over 150 ohm is 0.6 to 3 V; a divider by three is a battery.
func TestChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settings [2]byte
		adc := func(w, r []byte) error {
			switch {
			case len(w) == 3:
				settings = [2]byte{w[1], w[2]}
			case w[0] == 1:
				copy(r, settings[:])
			case settings[0]&0x70 == 0x40: // input 0: 1.8 V of 4.096
				r[0], r[1] = 0x38, 0x40
			default: // input 3: 4 V of 6.144
				r[0], r[1] = 0x53, 0x55
			}
			return nil
		}
		o := Options{Part: "ads1115", Bus: "i2c-1", Address: "0x48", Name: "cabinet", Channels: []Channel{
			{Input: "0", Name: "tank", Quantity: "value", Unit: "m", Scale: 10 / 2.4, Offset: -2.5},
			{Input: "3", Gain: "2/3", Scale: 3},
		}}
		task := one(t, o, probes.Deps{Board: &board{parts: map[uint16]func(w, r []byte) error{0x48: adc}}})
		got, batch, err := poll(t, task)
		if got != "value[0]=5 voltage[3]=11.9998" || err != nil {
			t.Fatal(got, err)
		}
		for i, want := range []string{
			"sensor.address=0x48 sensor.bus=i2c-1 sensor.index=0 sensor.name=tank sensor.type=ads1115 sensor.unit=m",
			"sensor.address=0x48 sensor.bus=i2c-1 sensor.index=3 sensor.name=cabinet sensor.type=ads1115",
		} {
			if d := dims(batch.Points[i].Series); d != want {
				t.Errorf("%s, expected %s", d, want)
			}
		}
	})
}

// What a part is set to comes from the options.
func TestSettings(t *testing.T) {
	ina := func(w, r []byte) error {
		if len(r) == 2 {
			copy(r, map[byte][]byte{0: {0x3e, 0x67}, 1: {0x07, 0xd0}, 2: {0x5d, 0x98}}[w[0]])
		}
		return nil
	}
	p := &tmp105{raw: [2]byte{0x19, 0xf0}}
	deps := probes.Deps{Board: &board{parts: map[uint16]func(w, r []byte) error{0x40: ina, 0x49: p.Tx}}}
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Part: "ina219", Address: "0x40", Shunt: 0.002}, "current=10 voltage=11.98 power=119.8"},
		{Options{Part: "ina219", Address: "0x40"}, "current=0.2 voltage=11.98 power=2.396"},
		{Options{Part: "tmp75", Address: "0x49"}, "temperature=25.9375"},
		{Options{Part: "tmp75", Address: "0x49", Resolution: 9}, "temperature=25.5"},
	} {
		synctest.Test(t, func(t *testing.T) {
			test.o.Bus = "1"
			if got, _, err := poll(t, one(t, test.o, deps)); got != test.want || err != nil {
				t.Errorf("%s: %s, %v, expected %s", test.o.Part, got, err, test.want)
			}
		})
	}
}

func TestPollEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{parts: map[uint16]func(w, r []byte) error{0x49: (&tmp105{}).Tx}}
		task := one(t, Options{Part: "tmp105", Bus: "1", Address: "0x49"}, probes.Deps{Board: b})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // within the first conversion
		defer cancel()
		begun := time.Now()
		_, err := task.Probe.Poll(ctx)
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond || b.open != 0 {
			t.Errorf("%v after %v, %d buses open", err, took, b.open)
		}
	})
}

func trimmed(v float64) string {
	text := strconv.FormatFloat(v, 'f', 4, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
