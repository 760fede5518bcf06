package httpjson

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	checkpointFormat = 1
	maxCheckpoint    = 64 << 20 // bytes
	// After so many polls what an earlier run left is forgotten where no item
	// came for it.
	forgetSavedAfter = 60
)

var errCheckpoint = errors.New("the counter baselines are damaged or of another version")

// checkpoint is what a state carries over a restart.
type checkpoint struct {
	Format   int
	Boot     string
	Uptime   time.Duration
	Wall     int64
	Guess    bool
	Counters []savedCounter
	Events   []savedEvent
}

// savedCounter is a baseline; the sum names its item and metric.
type savedCounter struct {
	Sum   uint64
	Kind  plan.CellKind
	Int   int64   `json:",omitempty"`
	Uint  uint64  `json:",omitempty"`
	Float float64 `json:",omitempty"`
	Age   time.Duration
}

// savedEvent is an open event; the sums name its block, and its item and event.
type savedEvent struct {
	Block, Sum uint64
	Type       string
	Title      string
	Entity     string `json:",omitempty"`
	Properties []probes.Dimension
	Timeout    time.Duration
	Wall       int64         // of its Start
	Uptime     time.Duration // of its Start
	Age        time.Duration // since it was sent
}

// saved is what an earlier run left, until its items come.
type saved struct {
	counters map[uint64]counter
	events   map[uint64]savedOpen
	rounds   int
}

type savedOpen struct {
	block uint64
	openEvent
}

// give hands a new item what an earlier run left for it.
func (s *saved) give(b *plan.DocBlock, bs *blockState, r *row) {
	if len(s.counters) > 0 {
		for i := range r.counters {
			sum := bs.counterSum(&b.Metrics[i], r.key)
			if c, ok := s.counters[sum]; ok {
				r.counters[i] = c
				delete(s.counters, sum)
			}
		}
	}
	if len(s.events) > 0 {
		for i := range r.open {
			sum := bs.eventSum(&b.Events[i], r.key)
			if e, ok := s.events[sum]; ok {
				r.open[i] = &e.openEvent
				delete(s.events, sum)
			}
		}
	}
}

// left takes out the events of a block whose items did not come.
func (s *state) left(b *plan.DocBlock) []*openEvent {
	var all []*openEvent
	block := s.block(b).id
	for sum, e := range s.saved.events {
		if e.block == block {
			all = append(all, &e.openEvent)
			delete(s.saved.events, sum)
		}
	}
	s.open -= len(all)
	return all
}

// age forgets what an earlier run left after some polls.
func (s *state) age() {
	left := &s.saved
	if left.counters == nil && left.events == nil {
		return
	}
	if left.rounds++; left.rounds > forgetSavedAfter {
		s.open -= len(left.events)
		*left = saved{}
	}
}

// marshal writes what is carried over a restart.
func (s *state) marshal() ([]byte, error) {
	c := checkpoint{
		Format: checkpointFormat, Boot: hex.EncodeToString(s.stamp.Boot[:]),
		Uptime: s.stamp.Uptime, Wall: s.stamp.Wall, Guess: s.stamp.Guess,
	}
	for sum, left := range s.saved.counters {
		c.Counters = append(c.Counters, s.save(sum, left))
	}
	for sum, left := range s.saved.events {
		c.Events = append(c.Events, s.saveEvent(left.block, sum, &left.openEvent))
	}
	for b, bs := range s.blocks {
		for _, r := range bs.rows {
			s.saveRow(&c, b, bs, r)
		}
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write the counter baselines: %w", err)
	}
	return data, nil
}

func (s *state) saveRow(c *checkpoint, b *plan.DocBlock, bs *blockState, r *row) {
	for i, kept := range r.counters {
		if kept.cell.Kind != plan.Absent {
			c.Counters = append(c.Counters, s.save(bs.counterSum(&b.Metrics[i], r.key), kept))
		}
	}
	for i, open := range r.open {
		if open != nil {
			c.Events = append(c.Events, s.saveEvent(bs.id, bs.eventSum(&b.Events[i], r.key), open))
		}
	}
}

func (s *state) save(sum uint64, c counter) savedCounter {
	return savedCounter{
		Sum: sum, Kind: c.cell.Kind, Int: c.cell.Int, Uint: c.cell.Uint, Float: c.cell.Float, Age: min(s.now-c.at, unknownTime),
	}
}

func (s *state) saveEvent(block, sum uint64, open *openEvent) savedEvent {
	e := &open.event
	return savedEvent{
		Block: block, Sum: sum, Type: e.Type, Title: e.Title, Entity: e.EntitySelector, Properties: e.Properties,
		Timeout: e.Timeout, Wall: e.Start.Wall, Uptime: e.Start.Uptime, Age: min(s.now-open.sent, unknownTime),
	}
}

// unmarshal takes what marshal wrote. After an error the state is as it was.
func (s *state) unmarshal(data []byte) error {
	if len(data) > maxCheckpoint {
		return errCheckpoint
	}
	var c checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	boot, err := hex.DecodeString(c.Boot)
	if err != nil || c.Format != checkpointFormat || len(boot) != len(probes.BootID{}) || c.Uptime < 0 {
		return errCheckpoint
	}
	now := unknownTime + 1
	left := saved{counters: make(map[uint64]counter), events: make(map[uint64]savedOpen)}
	stamp := probes.Stamp{Boot: probes.BootID(boot), Uptime: c.Uptime, Wall: c.Wall, Guess: c.Guess}
	for _, from := range c.Counters {
		if !from.sound() {
			return errCheckpoint
		}
		left.counters[from.Sum] = counter{plan.Cell{Kind: from.Kind, Int: from.Int, Uint: from.Uint, Float: from.Float}, now - from.Age}
	}
	for _, from := range c.Events {
		if from.Age < 0 || from.Age > unknownTime || from.Timeout < 0 {
			return errCheckpoint
		}
		start := stamp
		start.Wall, start.Uptime = from.Wall, from.Uptime
		left.events[from.Sum] = savedOpen{from.Block, openEvent{sent: now - from.Age, event: probes.Event{
			Type: from.Type, Title: from.Title, EntitySelector: from.Entity, Properties: from.Properties, Timeout: from.Timeout, Start: start,
		}}}
	}
	*s = state{now: now, stamp: stamp, saved: left, open: len(left.events)}
	return nil
}

func (c *savedCounter) sound() bool {
	known := c.Kind == plan.Integer || c.Kind == plan.Counter64 || c.Kind == plan.Real
	return known && c.Age >= 0 && c.Age <= unknownTime && !math.IsNaN(c.Float)
}
