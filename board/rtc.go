package board

import (
	"path/filepath"
	"strconv"
	"time"
)

// RTC is a clock that goes on without power.
type RTC struct {
	Name   string `json:"name"`   // rtc0
	Driver string `json:"driver"` // rtc-ds1307 1-0068
	// Time is what it shows, taken for UTC as the kernel does; nil: it holds no
	// time, as after its battery was empty.
	Time *time.Time `json:"time"`
	// SetSystem says that the wall clock was set from it at boot.
	SetSystem bool `json:"set_system_clock"`
}

// RTCs lists the clocks by number.
func (p Paths) RTCs() []RTC {
	all := []RTC{}
	for _, n := range numbers(p.sys("class/rtc"), "rtc") {
		name := "rtc" + strconv.Itoa(n)
		dir := p.sys("class/rtc", name)
		clock := RTC{Name: name, Driver: readText(filepath.Join(dir, "name")), SetSystem: readText(filepath.Join(dir, "hctosys")) == "1"}
		if seconds, ok := readNumber(filepath.Join(dir, "since_epoch")); ok {
			shown := time.Unix(seconds, 0).UTC()
			clock.Time = &shown
		}
		all = append(all, clock)
	}
	return all
}
