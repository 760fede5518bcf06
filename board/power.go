package board

import (
	"path/filepath"
	"strconv"
	"strings"
)

// Power is what a Raspberry Pi tells of its supply and of what it does against
// heat.
type Power struct {
	Source    string   `json:"source"`     // "firmware" knows all words, "hwmon" under-voltage now
	Now       []string `json:"now"`        // of PowerWords
	SinceBoot []string `json:"since_boot"` // what has ever been
}

// PowerWords are the troubles in the order of the firmware's bits.
var PowerWords = []string{"under-voltage", "frequency-capped", "throttled", "soft-temperature-limit"}

// Power asks the firmware and, where the kernel does not pass that on, the
// hwmon sensor rpi_volt; nil: this machine has neither.
func (p Paths) Power() *Power {
	for _, pattern := range []string{"devices/platform/*firmware/get_throttled", "devices/platform/*/*firmware/get_throttled"} {
		files, _ := filepath.Glob(p.sys(pattern))
		for _, file := range files {
			if power, ok := parseThrottled(readText(file)); ok {
				return power
			}
		}
	}
	names, _ := filepath.Glob(p.sys("class/hwmon/hwmon*/name"))
	for _, name := range names {
		if readText(name) != "rpi_volt" {
			continue
		}
		alarm, ok := readNumber(filepath.Join(filepath.Dir(name), "in0_lcrit_alarm"))
		if !ok {
			return nil
		}
		power := &Power{Source: "hwmon", Now: []string{}, SinceBoot: []string{}}
		if alarm != 0 {
			power.Now = append(power.Now, PowerWords[0])
		}
		return power
	}
	return nil
}

// parseThrottled reads the firmware's number, which is hexadecimal with or
// without 0x: what is now in the low half, what has been since boot in the high.
func parseThrottled(text string) (*Power, bool) {
	bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return nil, false
	}
	return &Power{Source: "firmware", Now: powerWords(bits), SinceBoot: powerWords(bits >> 16)}, true
}

func powerWords(bits uint64) []string {
	words := []string{}
	for i, word := range PowerWords {
		if bits>>i&1 != 0 {
			words = append(words, word)
		}
	}
	return words
}
