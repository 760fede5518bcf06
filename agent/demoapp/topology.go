package demoapp

import (
	"fmt"
	"math/rand/v2"
)

// group is one group of the topology, in one of the two spellings.
type group struct {
	Name    string   `json:"name"`
	Devices []device `json:"devices,omitempty"`
	Nodes   []device `json:"nodes,omitempty"`
}

type device struct {
	Name  string `json:"name"`
	IP    string `json:"ip"`
	Stats stats  `json:"stats"`
}

// stats are what a device tells of itself.
type stats struct {
	Version      string   `json:"version"`
	Random       int64    `json:"random"` // 1 to 1000
	Counter      int64    `json:"counter"`
	State        string   `json:"state"`
	StatCounter  []int64  `json:"stat_counter,omitempty"`
	StatsCounter []int64  `json:"stats_counter,omitempty"`
	BatteryLevel *float64 `json:"battery_level,omitempty"` // percent
}

// states come in these shares.
var states = []string{"OK", "OK", "OK", "OK", "OK", "OK", "WARNING", "WARNING", "ERROR", "ERROR"}

// holdFor is for how many requests a device keeps its state.
const holdFor = 3

// topologyAt is what the n-th request is answered, from 1.
func (o *Options) topologyAt(n int64) []group {
	groups := make([]group, o.Groups)
	for g := range groups {
		groups[g].Name = fmt.Sprintf("My Group %02d", g+1)
		devices := make([]device, 0, o.Devices+1)
		for d := range o.Devices {
			devices = append(devices, o.deviceOf(g+1, d+1, o.Counter+n))
		}
		if later := int64(o.Appear); later > 0 && n >= later && g == o.Groups-1 {
			devices = append(devices, o.deviceOf(g+1, o.Devices+1, n-later))
		}
		if o.Spelling == SpellingTutorial {
			groups[g].Nodes = devices
		} else {
			groups[g].Devices = devices
		}
	}
	return groups
}

func (o *Options) deviceOf(group, number int, counter int64) device {
	kind := "Device"
	if o.Spelling == SpellingTutorial {
		kind = "Node"
	}
	return device{
		Name:  fmt.Sprintf("My %s %02d", kind, number),
		IP:    fmt.Sprintf("192.168.%d.%d", group-1, number),
		Stats: o.statsOf(group, number, counter),
	}
}

// statsOf are the numbers of a device when it has counted so far. They follow
// from the seed.
func (o *Options) statsOf(group, number int, counter int64) stats {
	spread := o.draw(group, number, counter, 1) % 10
	held := (counter + int64(group+number)) / holdFor
	s := stats{
		Version: "1.001",
		Random:  1 + o.draw(group, number, counter, 2)%1000,
		Counter: counter,
		State:   states[o.draw(group, number, held, 3)%int64(len(states))],
	}
	values := []int64{10 - spread, 10, 10 + spread}
	if o.Spelling == SpellingTutorial {
		s.StatsCounter = values
		return s
	}
	s.StatCounter = values
	level := float64(max(1000-counter, 0)) / 10
	s.BatteryLevel = &level
	return s
}

// draw gives the same number for the same seed and place, 0 or more.
func (o *Options) draw(group, number int, at int64, what uint64) int64 {
	place := uint64(group)<<56 | uint64(number)<<48 | what<<40
	source := rand.NewPCG(o.Seed, place^uint64(at))
	source.Uint64() // what follows differs more between places that lie close
	return int64(source.Uint64() >> 1)
}
