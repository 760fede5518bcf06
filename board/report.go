package board

// Report is what this machine has.
type Report struct {
	Facts     Facts          `json:"facts"`
	Identity  Identity       `json:"identity"`
	I2C       []I2CAdapter   `json:"i2c"`
	GPIO      []GPIOChip     `json:"gpio"`
	LEDs      []LED          `json:"leds"`
	Thermal   []ThermalZone  `json:"thermal"`
	Power     *Power         `json:"power"` // null: it tells nothing of it
	Disks     []Disk         `json:"disks"`
	RTCs      []RTC          `json:"rtcs"`
	Watchdogs []WatchdogInfo `json:"watchdogs"`
	Notes     []string       `json:"notes"` // what could not be had, and the mend
}

// Look asks for everything. It changes nothing and needs no rights; what it may
// not see is in the notes.
func (p Paths) Look() Report {
	r := Report{
		Facts:     ReadFacts(),
		Identity:  p.Identity(),
		LEDs:      p.LEDs(),
		Thermal:   p.ThermalZones(),
		Power:     p.Power(),
		Disks:     p.Disks(),
		RTCs:      p.RTCs(),
		Watchdogs: p.Watchdogs(),
		Notes:     []string{},
	}
	var notes []string
	r.I2C, notes = p.I2CAdapters()
	r.Notes = append(r.Notes, notes...)
	r.GPIO, notes = p.GPIOChips()
	r.Notes = append(r.Notes, notes...)
	for _, clock := range r.RTCs {
		if clock.Time == nil {
			r.Notes = append(r.Notes, clock.Name+" holds no time: its battery may be empty, or it was never set")
		}
	}
	if len(r.RTCs) == 0 {
		r.Notes = append(r.Notes, "no real-time clock: the time after a start is a guess until the network tells it")
	}
	return r
}
