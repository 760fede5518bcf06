package part

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Part describes one kind of part.
type Part struct {
	Name        string
	First, Last uint16              // addresses that it can have
	Measures    []quantity.Quantity // the main one first
	MinInterval time.Duration       // that it can be asked in; 0: any
	Shunt       bool                // takes Settings.Shunt
	Channels    bool                // takes Settings.Channels
	Resolutions []int               // that can be chosen, in bits; the last one is used where none is
	driver      func(s Settings) driver
}

// Settings are those that some parts take.
type Settings struct {
	Shunt      float64 // resistance in ohm
	Resolution int     // in bits; 0: the highest
	Channels   []Channel
}

// driver is what differs from part to part.
type driver interface {
	// start checks that it is the part, and sets it up.
	start(p port) error
	// read takes one measurement of a part that was started.
	read(p port) ([]quantity.Reading, error)
}

// The measurements of parts.
var (
	climate   = []quantity.Quantity{quantity.Temperature, quantity.Humidity}
	barometer = []quantity.Quantity{quantity.Temperature, quantity.Pressure}
	thermo    = []quantity.Quantity{quantity.Temperature}
	electric  = []quantity.Quantity{quantity.Current, quantity.Voltage, quantity.Power}
	weather   = []quantity.Quantity{quantity.Temperature, quantity.Humidity, quantity.Pressure}
	air       = []quantity.Quantity{quantity.CO2, quantity.Temperature, quantity.Humidity}
	converter = []quantity.Quantity{quantity.Voltage}
)

// Catalogue lists all parts by name.
func Catalogue() []Part {
	return []Part{
		{Name: "ads1015", First: 0x48, Last: 0x4b, Measures: converter, Channels: true, driver: func(s Settings) driver { return &ads{s.Channels, 2 * time.Millisecond} }},
		{Name: "ads1115", First: 0x48, Last: 0x4b, Measures: converter, Channels: true, driver: func(s Settings) driver { return &ads{s.Channels, 9 * time.Millisecond} }},
		{Name: "aht20", First: 0x38, Last: 0x38, Measures: climate, driver: func(Settings) driver { return aht20{} }},
		{Name: "bme280", First: 0x76, Last: 0x77, Measures: weather, driver: func(Settings) driver { return &bmx280{humid: true} }},
		{Name: "bmp180", First: 0x77, Last: 0x77, Measures: barometer, driver: func(Settings) driver { return &bmp180{} }},
		{Name: "bmp280", First: 0x76, Last: 0x77, Measures: barometer, driver: func(Settings) driver { return &bmx280{} }},
		{Name: "hdc302x", First: 0x44, Last: 0x47, Measures: climate, driver: func(Settings) driver { return hdc302x }},
		{Name: "ina219", First: 0x40, Last: 0x4f, Measures: electric, Shunt: true, driver: func(s Settings) driver { return newINA(ina219, s) }},
		{Name: "ina226", First: 0x40, Last: 0x4f, Measures: electric, Shunt: true, driver: func(s Settings) driver { return newINA(ina226, s) }},
		{Name: "lm75", First: 0x48, Last: 0x4f, Measures: thermo, driver: func(Settings) driver { return &lm75{bits: 9} }},
		{Name: "lm75a", First: 0x48, Last: 0x4f, Measures: thermo, driver: func(Settings) driver { return &lm75{bits: 11} }},
		{Name: "lm75b", First: 0x48, Last: 0x4f, Measures: thermo, driver: func(Settings) driver { return &lm75{bits: 11} }},
		{Name: "mcp9808", First: 0x18, Last: 0x1f, Measures: thermo, driver: func(Settings) driver { return mcp9808{} }},
		{Name: "scd4x", First: 0x62, Last: 0x62, Measures: air, MinInterval: 10 * time.Second, driver: func(Settings) driver { return scd4x{} }},
		{Name: "sht3x", First: 0x44, Last: 0x45, Measures: climate, driver: func(Settings) driver { return sht3x }},
		{Name: "sht4x", First: 0x44, Last: 0x46, Measures: climate, driver: func(Settings) driver { return sht4x{} }},
		{Name: "tmp102", First: 0x48, Last: 0x4b, Measures: thermo, driver: func(Settings) driver { return tmp102{} }},
		{Name: "tmp105", First: 0x48, Last: 0x4f, Measures: thermo, Resolutions: tmpBits, driver: newTMP},
		{Name: "tmp75", First: 0x48, Last: 0x4f, Measures: thermo, Resolutions: tmpBits, driver: newTMP},
	}
}

// Sensor is one part at its address. It is not safe for use by two goroutines
// at a time.
type Sensor struct {
	address uint16
	driver  driver
	started bool
}

// New makes a sensor, and asks nothing yet.
func (p Part) New(address uint16, s Settings) *Sensor {
	return &Sensor{address: address, driver: p.driver(s)}
}

// Read takes one measurement. The part is identified and set up before the first
// one, and again after each that failed, unless only a checksum was wrong. Errors
// that wrap none of the quantity package's are the bus's.
func (s *Sensor) Read(ctx context.Context, bus i2c.Bus) ([]quantity.Reading, error) {
	p := port{ctx, bus, s.address}
	if !s.started {
		if err := s.driver.start(p); err != nil {
			return nil, fmt.Errorf("set up: %w", err)
		}
		s.started = true
	}
	readings, err := s.driver.read(p)
	if err != nil {
		s.started = errors.Is(err, quantity.ErrChecksum)
		return nil, fmt.Errorf("read: %w", err)
	}
	return readings, nil
}

// restarted is the error of a part that has lost its settings: it had no power.
func restarted() error {
	return fmt.Errorf("%w: the part has lost its settings, as after a loss of power", quantity.ErrNotReady)
}

// Ranges that several parts have.
const (
	lowPascal, highPascal = 30_000, 110_000
)

func temperature(celsius, low, high float64) quantity.Reading {
	return quantity.Reading{Of: quantity.Temperature, Value: celsius, Min: low, Max: high}
}

func humidity(percent float64) quantity.Reading {
	return quantity.Reading{Of: quantity.Humidity, Value: percent, Min: 0, Max: 100}
}

func pressure(pascal float64) quantity.Reading {
	return quantity.Reading{Of: quantity.Pressure, Value: pascal, Min: lowPascal, Max: highPascal}
}
