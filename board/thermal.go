package board

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// ThermalZone is a place whose temperature the kernel watches.
type ThermalZone struct {
	Name     string   `json:"name"`               // thermal_zone0
	Type     string   `json:"type"`               // cpu-thermal
	Celsius  *float64 `json:"celsius"`            // nil: it cannot be read now
	Critical *float64 `json:"critical,omitempty"` // °C at which the kernel shuts down
}

// ThermalZones lists the zones by number.
func (p Paths) ThermalZones() []ThermalZone {
	all := []ThermalZone{}
	for _, n := range numbers(p.sys("class/thermal"), "thermal_zone") {
		name := "thermal_zone" + strconv.Itoa(n)
		dir := p.sys("class/thermal", name)
		all = append(all, ThermalZone{
			Name:     name,
			Type:     readText(filepath.Join(dir, "type")),
			Celsius:  readMilli(filepath.Join(dir, "temp")),
			Critical: criticalTrip(dir),
		})
	}
	return all
}

func criticalTrip(dir string) *float64 {
	for trip := 0; ; trip++ {
		base := filepath.Join(dir, fmt.Sprintf("trip_point_%d_", trip))
		switch readText(base + "type") {
		case "critical":
			return readMilli(base + "temp")
		case "":
			return nil
		}
	}
}

func readMilli(path string) *float64 {
	n, ok := readNumber(path)
	if !ok {
		return nil
	}
	value := float64(n) / 1000
	return &value
}
