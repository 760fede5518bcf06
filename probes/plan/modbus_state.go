package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// ModbusReading is what one poll of one device gave.
type ModbusReading struct {
	Stamp    probes.Stamp
	Interval time.Duration
	Raw      [][]byte // by register, as it came; nil: it was not read
}

// ModbusNotes are what points do not show.
type ModbusNotes struct {
	GapsBy GapCounts
	None   int // registers that say that they have no value
}

// ModbusState makes the points of one device and keeps what they need from poll
// to poll. Registers and Dims are set before the first reading and stay.
type ModbusState struct {
	Registers []ModbusRegister
	Dims      []probes.Dimension // of all metrics; of two with a key the first counts

	texts    []string // by register, of those that make dimensions of all metrics
	series   []modbusSeries
	counters map[string]modbusCounter
}

// modbusSeries is the series of one register, for one text of its own.
type modbusSeries struct {
	*probes.Series
	text string
}

// modbusCounter is the last reading of a counter, as it is saved.
type modbusCounter struct {
	Raw   uint64        `json:"raw,omitempty"`
	Real  float64       `json:"real,omitempty"`
	Peak  float64       `json:"peak,omitempty"` // the fastest growth so far, raw in a second
	Stamp modbusInstant `json:"at"`
}

// modbusInstant is a Stamp as it is saved.
type modbusInstant struct {
	Boot   probes.BootID `json:"boot"`
	Uptime time.Duration `json:"uptime"`
	Wall   int64         `json:"wall"`
	Guess  bool          `json:"guess,omitempty"`
}

// Points makes the points of a reading.
func (s *ModbusState) Points(r ModbusReading) ([]probes.Point, ModbusNotes) {
	if s.series == nil {
		s.series = make([]modbusSeries, len(s.Registers))
		s.texts = make([]string, len(s.Registers))
	}
	s.takeTexts(r.Raw)
	points := make([]probes.Point, 0, len(s.Registers))
	var notes ModbusNotes
	for i := range s.Registers {
		m := &s.Registers[i]
		if m.Key == "" || r.Raw[i] == nil {
			continue
		}
		value, ok := s.value(m, r, i, &notes)
		if ok {
			points = append(points, probes.Point{Series: s.of(i, r.Raw[i]), Value: value, Stamp: r.Stamp})
		}
	}
	return points, notes
}

// takeTexts reads the dimensions of all metrics. With another text all series
// are others.
func (s *ModbusState) takeTexts(raw [][]byte) {
	for i := range s.Registers {
		m := &s.Registers[i]
		if m.Key != "" || raw[i] == nil {
			continue
		}
		if text := m.Label(raw[i]); text != s.texts[i] {
			s.texts[i] = text
			clear(s.series)
		}
	}
}

// of gives the series of a register.
func (s *ModbusState) of(i int, raw []byte) *probes.Series {
	m, kept, text := &s.Registers[i], &s.series[i], ""
	if m.Dimension != "" {
		text = m.Label(raw)
	}
	if kept.Series != nil && kept.text == text {
		return kept.Series
	}
	dims := append([]probes.Dimension{{Key: m.Dimension, Value: text}}, m.Dims...)
	for j := range s.Registers {
		dims = append(dims, probes.Dimension{Key: s.Registers[j].Dimension, Value: s.texts[j]})
	}
	dims = append(dims, s.Dims...)
	*kept = modbusSeries{probes.NewSeries(m.Key, m.Meta.Type, dims...), text}
	return kept.Series
}

func (s *ModbusState) value(m *ModbusRegister, r ModbusReading, i int, notes *ModbusNotes) (probes.Value, bool) {
	cell := m.cell(r.Raw[i])
	if cell.Kind == Absent {
		notes.None++
		return probes.Value{}, false
	}
	if !m.Count {
		return m.Gauge(r.Raw[i])
	}
	now := modbusCounter{Stamp: modbusInstant(r.Stamp)}
	switch cell.Kind {
	case Real:
		now.Real = cell.Float
	case Integer:
		now.Raw = uint64(cell.Int)
	default:
		now.Raw = cell.Uint
	}
	if cell.Float < 0 || cell.Int < 0 {
		notes.None++
		return probes.Value{}, false
	}
	return s.advance(m, now, r.Interval, &notes.GapsBy)
}

// id finds a counter again after a restart.
func (r *ModbusRegister) id() string {
	return fmt.Sprintf("%s %s/%d/%s", r.Key, r.Table, r.Address, r.Type)
}

// advance gives the growth since the last reading, in the unit of the metric.
// The first reading gives none, and a doubtful growth is a gap.
func (s *ModbusState) advance(m *ModbusRegister, now modbusCounter, interval time.Duration, gaps *GapCounts) (probes.Value, bool) {
	id := m.id()
	last, known := s.counters[id]
	if s.counters == nil {
		s.counters = map[string]modbusCounter{}
	}
	now.Peak = last.Peak
	defer func() { s.counters[id] = now }()
	if !known {
		return probes.Value{}, false
	}
	age := (&clock{stamp: probes.Stamp(last.Stamp)}).since(probes.Stamp(now.Stamp), 0)
	if age > absenceAfter(interval) {
		gaps.Absence++
		return probes.Value{}, false
	}
	if strings.HasPrefix(m.Type, "float") {
		return m.realGrowth(last, now, gaps)
	}
	delta, ok := m.growth(last, now, age, gaps)
	if !ok {
		return probes.Value{}, false
	}
	if age > 0 {
		now.Peak = max(last.Peak, float64(delta)/age.Seconds())
	}
	return m.number.count(delta)
}

// growth is what a counter of integers grew by. One that fell has wrapped only
// where it had come near its end, is not at its beginning, and grew by no more
// than 16 times what it ever did in such a time; else it was reset.
func (m *ModbusRegister) growth(last, now modbusCounter, age time.Duration, gaps *GapCounts) (uint64, bool) {
	if now.Raw >= last.Raw {
		return now.Raw - last.Raw, true
	}
	delta := now.Raw + m.wrap - last.Raw
	switch {
	case m.wrap == 0 || now.Raw == 0 || last.Raw >= m.wrap || delta > m.wrap/8:
		gaps.Reset++
		return 0, false
	case float64(delta) > 16*last.Peak*age.Seconds():
		gaps.Wrap++
		return 0, false
	}
	return delta, true
}

// realGrowth is the growth of a counter that the device tells as a float, which
// never wraps.
func (m *ModbusRegister) realGrowth(last, now modbusCounter, gaps *GapCounts) (probes.Value, bool) {
	if now.Real < last.Real {
		gaps.Reset++
		return probes.Value{}, false
	}
	scale, _ := m.number.factor()
	value := probes.Float(rounded(now.Real-last.Real) * scale)
	return value, value.Check() == nil
}

// rounded takes the noise off a difference of decimals.
func rounded(f float64) float64 {
	if rough := math.Round(f*1e9) / 1e9; math.Abs(f) < 1e6 {
		return rough
	}
	return f
}

const modbusFormat = 1

type modbusCheckpoint struct {
	Format   int                      `json:"format"`
	Counters map[string]modbusCounter `json:"counters"`
}

// Checkpoint writes the baselines of the counters, nil where there are none.
func (s *ModbusState) Checkpoint() ([]byte, error) {
	if len(s.counters) == 0 {
		return nil, nil
	}
	return json.Marshal(modbusCheckpoint{modbusFormat, s.counters})
}

// Restore takes what Checkpoint wrote. Counters of other registers are left out.
func (s *ModbusState) Restore(data []byte) error {
	var saved modbusCheckpoint
	if err := json.Unmarshal(data, &saved); err != nil || saved.Format != modbusFormat {
		return errors.Join(errCheckpoint, err)
	}
	s.counters = map[string]modbusCounter{}
	for i := range s.Registers {
		id := s.Registers[i].id()
		if c, ok := saved.Counters[id]; ok && s.Registers[i].Count {
			s.counters[id] = c
		}
	}
	return nil
}
