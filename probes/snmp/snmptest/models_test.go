package snmptest

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// hands is a clock that a test moves.
type hands struct{ at time.Time }

func (h *hands) now() time.Time { return h.at }

func newHands() *hands { return &hands{time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)} }

func fixedClock() func() time.Time { return newHands().now }

func reading(m *MIB) map[string]Value {
	values := make(map[string]Value)
	for oid, v := range m.All() {
		values[oid.String()] = v
	}
	return values
}

func models() map[string]func(seed uint64, now func() time.Time) *MIB {
	return map[string]func(uint64, func() time.Time) *MIB{
		"switch": func(seed uint64, now func() time.Time) *MIB { return NewSwitch("sw", 24, seed, now) },
		"ups":    func(seed uint64, now func() time.Time) *MIB { return NewUPS("ups", seed, now) },
	}
}

func TestModelsDependOnSeedAndClock(t *testing.T) {
	for name, build := range models() {
		a, b, other := build(1, newHands().now), build(1, newHands().now), build(2, newHands().now)
		if !maps.Equal(reading(a), reading(b)) {
			t.Errorf("%s: one seed gives two devices", name)
		}
		if maps.Equal(reading(a), reading(other)) {
			t.Errorf("%s: two seeds give one device", name)
		}
		if build(1, nil).Len() != a.Len() {
			t.Errorf("%s: without a clock it is another device", name)
		}
		for oid, v := range a.All() {
			if err := v.check(); err != nil {
				t.Errorf("%s: %s: %v", name, oid, err)
			}
		}
	}
}

// Counters never go back over steps of the clock from nothing to a second,
// which is too short for a 32-bit one to move by half its range.
func TestCountersOnlyRise(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for name, build := range models() {
		h := newHands()
		mib := build(5, h.now)
		for range 300 {
			h.at = h.at.Add(time.Duration(dice.Int64N(int64(5 * time.Hour))))
			before := reading(mib)
			h.at = h.at.Add(time.Duration(dice.Int64N(int64(time.Second) >> dice.IntN(30))))
			for oid, v := range reading(mib) {
				if fell(before[oid], v) {
					t.Fatalf("%s: %s fell from %x to %x", name, oid, before[oid].Body, v.Body)
				}
			}
		}
		up := MustOID("1.3.6.1.2.1.1.3.0")
		a, _ := mib.Get(up).Uint64()
		h.at = h.at.Add(90 * time.Second)
		if b, _ := mib.Get(up).Uint64(); b != a+9000 {
			t.Errorf("%s: sysUpTime goes from %d to %d in 90 s", name, a, b)
		}
	}
}

func fell(before, now Value) bool {
	a, _ := before.Uint64()
	b, _ := now.Uint64()
	switch now.Tag {
	case TagCounter32:
		return uint32(b-a) >= 1<<31
	case TagCounter64:
		return b < a
	}
	return false
}

func TestNarrowCountersAreTheLowHalf(t *testing.T) {
	mib := NewSwitch("sw", 24, 5, fixedClock())
	for i := range uint32(24) {
		low, _ := mib.Get(MustOID("1.3.6.1.2.1.2.2.1.10").Append(i + 1)).Uint64()
		high, _ := mib.Get(MustOID("1.3.6.1.2.1.31.1.1.1.6").Append(i + 1)).Uint64()
		if low != high&(1<<32-1) {
			t.Errorf("port %d: ifInOctets is %d, ifHCInOctets %d", i+1, low, high)
		}
	}
}

func TestSwitchPorts(t *testing.T) {
	const seconds = 60
	h := newHands()
	mib := NewSwitch("sw", 24, 9, h.now)
	at := func(column string, port int) uint64 {
		v := mib.Get(MustOID(column).Append(uint32(port)))
		if v.Tag == TagInteger {
			return uint64(integerOf(v))
		}
		n, ok := v.Uint64()
		if !ok {
			t.Fatalf("%s.%d is %+v", column, port, v)
		}
		return n
	}
	if got := mib.Get(MustOID("1.3.6.1.2.1.2.1.0")); got != Integer(24) {
		t.Errorf("ifNumber is %v", got)
	}
	before := make([]uint64, 25)
	for port := 1; port <= 24; port++ {
		before[port] = at("1.3.6.1.2.1.31.1.1.1.6", port)
	}
	h.at = h.at.Add(seconds * time.Second)
	var loaded, quiet, down, off int
	for port := 1; port <= 24; port++ {
		rate := (at("1.3.6.1.2.1.31.1.1.1.6", port) - before[port]) / seconds
		line := at("1.3.6.1.2.1.31.1.1.1.15", port) * 1e6 / 8
		admin, oper := at("1.3.6.1.2.1.2.2.1.7", port), at("1.3.6.1.2.1.2.2.1.8", port)
		switch {
		case rate > line:
			t.Errorf("port %d takes in %d B/s of %d", port, rate, line)
		case oper == 2 && rate != 0:
			t.Errorf("port %d has no link and takes in %d B/s", port, rate)
		case admin == 2:
			off++
		case oper == 2:
			down++
		case rate > line/200:
			loaded++
		default:
			quiet++
		}
	}
	if off != 1 || down != 4 || quiet < 4 || loaded < 10 || loaded+quiet != 19 {
		t.Errorf("%d loaded, %d quiet, %d without link, %d off", loaded, quiet, down, off)
	}
}

func TestUPSIsPlausible(t *testing.T) {
	bounds := map[string][2]int64{
		"1.3.6.1.2.1.33.1.2.3.0":        {20, 200},    // minutes
		"1.3.6.1.2.1.33.1.2.4.0":        {90, 100},    // percent
		"1.3.6.1.2.1.33.1.2.5.0":        {500, 560},   // 0.1 V
		"1.3.6.1.2.1.33.1.2.7.0":        {20, 30},     // degrees
		"1.3.6.1.2.1.33.1.3.3.1.2.1":    {495, 505},   // 0.1 Hz
		"1.3.6.1.2.1.33.1.3.3.1.3.1":    {220, 240},   // V
		"1.3.6.1.2.1.33.1.3.3.1.4.1":    {5, 40},      // 0.1 A
		"1.3.6.1.2.1.33.1.4.4.1.4.1":    {200, 700},   // W
		"1.3.6.1.2.1.33.1.4.4.1.5.1":    {20, 50},     // percent
		"1.3.6.1.4.1.318.1.1.1.2.2.1.0": {90, 100},    // percent
		"1.3.6.1.4.1.318.1.1.1.2.2.3.0": {1e5, 2e6},   // ticks
		"1.3.6.1.4.1.318.1.1.1.3.3.1.0": {2200, 2400}, // 0.1 V
		"1.3.6.1.4.1.318.1.1.1.4.2.3.0": {20, 50},     // percent
		"1.3.6.1.4.1.318.1.1.1.4.3.4.0": {5, 40},      // 0.1 A
		"1.3.6.1.4.1.318.1.1.1.2.2.8.0": {50, 56},     // V
		"1.3.6.1.4.1.318.1.1.1.2.2.2.0": {20, 30},     // degrees
		"1.3.6.1.4.1.318.1.1.1.4.2.1.0": {228, 232},   // V
		"1.3.6.1.4.1.318.1.1.1.3.2.4.0": {49, 51},     // Hz
		"1.3.6.1.4.1.318.1.1.1.4.1.1.0": {2, 2},       // on line
		"1.3.6.1.4.1.318.1.1.1.2.1.1.0": {2, 2},       // normal
		"1.3.6.1.2.1.33.1.2.1.0":        {2, 2},       // normal
		"1.3.6.1.2.1.33.1.4.1.0":        {3, 3},       // normal
		"1.3.6.1.2.1.2.1.0":             {2, 2},
		"1.3.6.1.4.1.318.1.1.1.2.2.4.0": {1, 1},
		"1.3.6.1.4.1.318.1.1.1.2.3.1.0": {900, 1000},
		"1.3.6.1.4.1.318.1.1.1.3.2.1.0": {220, 240},
	}
	h := newHands()
	mib := NewUPS("ups", 11, h.now)
	seen := make(map[Value]bool)
	for range 500 {
		h.at = h.at.Add(7 * time.Second)
		for oid, bound := range bounds {
			v := mib.Get(MustOID(oid))
			n, unsigned := v.Uint64()
			if !unsigned {
				n = uint64(integerOf(v))
			}
			if int64(n) < bound[0] || int64(n) > bound[1] {
				t.Fatalf("%s is %d, want %d to %d", oid, n, bound[0], bound[1])
			}
		}
		seen[mib.Get(MustOID("1.3.6.1.4.1.318.1.1.1.4.3.3.0"))] = true
	}
	if len(seen) < 50 {
		t.Errorf("the load took %d values only", len(seen))
	}
	for oid, v := range mib.All() {
		if v.Tag == TagCounter64 {
			t.Errorf("%s is a Counter64", oid)
		}
	}
}
