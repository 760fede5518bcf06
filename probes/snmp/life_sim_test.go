package snmp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	simInterval = time.Minute
	simName     = "1.3.6.1.2.1.31.1.1.1.1"
	simAlias    = "1.3.6.1.2.1.31.1.1.1.18"
	simSpeed    = "1.3.6.1.2.1.31.1.1.1.15"
	simBroken   = "1.3.6.1.2.1.31.1.1.1.19" // ifCounterDiscontinuityTime
	simWide     = "1.3.6.1.2.1.31.1.1.1.6"
	simNarrow   = "1.3.6.1.2.1.2.2.1.10"
)

func simBlock() *plan.Block {
	from := func(oid string, fallback ...string) plan.Source {
		return plan.Source{Kind: plan.FromColumn, OID: oid, Fallback: fallback}
	}
	return &plan.Block{
		Table: true, Interval: simInterval, HighSpeed: simSpeed, Discontinuity: simBroken, Identity: []string{"if.name"},
		Dims:    []plan.Dim{{Key: "if.name", Source: from(simName)}, {Key: "if.alias", Source: from(simAlias)}},
		Metrics: []plan.Metric{{Key: "in", Type: probes.Count, Source: from(simWide, simNarrow)}},
	}
}

// simPort is a port with its true traffic. What its counters show is that less
// what they had when they last began anew.
type simPort struct {
	name    string
	index   int
	mbit    uint64 // line rate
	wide    bool   // it has the 64-bit counter
	gone    int    // polls for which it is not there
	began   uint64
	traffic uint64 // octets, began at the beginning of the simulation
	wiped   uint64 // traffic when its counters last were zero
	broken  uint64 // sysUpTime of its last discontinuity
	heard   *heard // nil: nothing to reckon from
	settled uint64 // traffic that is told, missing or unseen
}

// heard is what the reader should know of a port.
type heard struct {
	traffic uint64 // when it was last read
	at      time.Duration
	made    time.Duration // earlier than at in an answer from a cache
	narrow  uint64
	dated   bool   // sysUpTime was told with it
	wide    bool   // which counter that was
	spoilt  string // why there can be no honest growth since
}

// simulation is a device, a reader with its restarts, and what both should
// make of each other.
type simulation struct {
	t       *testing.T
	rand    *rand.Rand
	now     time.Duration
	wall    int64
	boot    probes.Stamp // Boot, and Uptime and Wall at the boot of the reader
	born    time.Duration
	ticks   uint64 // sysUpTime when it was born
	ports   []*simPort
	block   *plan.Block
	state   *plan.State
	life    lifeSign
	knows   bool          // sysUpTime was told in this life of the device
	knew    time.Duration // when
	saved   bool
	cached  *simReading
	notes   plan.Notes
	counts  map[string]int // of what has happened
	told    uint64         // octets
	missing uint64         // octets in gaps
	unseen  uint64         // octets that passed when nobody had a reading to reckon from
}

// simReading is an answer of the device, with the truth of that moment.
type simReading struct {
	plan.Reading
	traffic map[string]uint64
	wide    map[string]bool
	known   bool // sysUpTime
	blind   bool // it is not, and was
	again   bool // it is the answer before
	made    time.Duration
}

// proves tells whether a port that is not in the answer is not there.
func (r *simReading) proves(wide bool) bool {
	column := simNarrow
	if wide {
		column = simWide
	}
	return len(r.Columns[column]) > 0 && !r.Partial[simWide] && !r.Partial[simNarrow] && len(r.Columns[simName]) == len(r.Columns[simAlias])
}

func (r *simReading) narrow(p *simPort) uint64 {
	for index, name := range r.Columns[simName] {
		if name.Text == p.name {
			return r.Columns[simNarrow][index].Uint
		}
	}
	return 0
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)), wall: 1_700_000_000_000, ticks: math.MaxUint32 - 40_000_000,
		block: simBlock(), state: &plan.State{}, counts: map[string]int{},
	}
	for i, mbit := range []uint64{10, 100, 100, 1000, 1000, 10_000, 100_000} {
		p := &simPort{name: fmt.Sprint("port", i), index: i + 1, mbit: mbit, wide: i > 3}
		p.traffic = s.rand.Uint64N(1 << 40)
		p.began, p.settled = p.traffic, p.traffic
		s.ports = append(s.ports, p)
	}
	return s
}

func (s *simulation) chance(one int) bool { return s.rand.IntN(one) == 0 }

func (s *simulation) uptime() uint64 {
	return (s.ticks + uint64((s.now-s.born)/(10*time.Millisecond))) & math.MaxUint32
}

// pass lets time go by, and traffic pass with it.
func (s *simulation) pass(d time.Duration) {
	s.now += d
	for _, p := range s.ports {
		most := float64(p.mbit) * 1e6 / 8 * d.Seconds()
		switch s.rand.IntN(4) {
		case 0: // idle
		case 1:
			p.traffic += uint64(most)
		default:
			p.traffic += uint64(most * s.rand.Float64())
		}
	}
}

func (s *simulation) spoil(why string, ports ...*simPort) {
	s.counts[why]++
	for _, p := range ports {
		if p.heard != nil {
			p.heard.spoilt = why
		}
	}
}

// befall lets something happen to the device.
func (s *simulation) befall() {
	port := s.ports[s.rand.IntN(len(s.ports))]
	switch {
	case s.now-s.born < 10*time.Minute:
		// A device that restarts within seconds of its last start cannot be told
		// from one that has run on.
	case s.chance(400): // reboot
		s.born, s.ticks = s.now, 0
		for _, p := range s.ports {
			p.wiped, p.broken = p.traffic, 0
		}
		s.shuffle()
		s.spoil("reboot", s.ports...)
	case s.chance(500): // the agent forgets its uptime, the counters go on
		s.born, s.ticks = s.now, 0
		s.spoil("uptime lost", s.ports...)
	case s.chance(300): // an operator clears the counters, and the device tells
		port.wiped, port.broken = port.traffic-s.rand.Uint64N(port.traffic+1), s.uptime()
		s.spoil("discontinuity", port)
	case s.chance(300) && port.wide && port.traffic-port.wiped > 1<<42: // it does not tell
		port.wiped = port.traffic
		s.spoil("reset", port)
	case s.chance(100):
		s.shuffle()
	case s.chance(300):
		port.gone = 1 + s.rand.IntN(5)
	case s.chance(3000) && s.uptime() < 1<<31: // 497 days soon
		s.ticks, s.born = math.MaxUint32-uint64(s.rand.IntN(1_000_000)), s.now
		s.spoil("another device", s.ports...)
	}
}

// shuffle gives the ports other indices.
func (s *simulation) shuffle() {
	s.counts["shuffled"]++
	for i, at := range s.rand.Perm(len(s.ports)) {
		s.ports[i].index = at + 1 + s.rand.IntN(2)*100
	}
}

// answer is what the device says now. Some answers lack something.
func (s *simulation) answer() *simReading {
	if s.cached != nil && !s.saved && s.uptime() < math.MaxUint32-20_000 && s.uptime() > 20_000 && s.now-s.cached.made < 70*time.Second && s.chance(50) {
		s.counts["from a cache"]++
		s.cached.again = true
		return s.cached
	}
	r := &simReading{traffic: map[string]uint64{}, wide: map[string]bool{}, known: !s.chance(200), made: s.now}
	r.Scalars, r.Columns, r.Partial = map[string]plan.Cell{}, map[string]map[string]plan.Cell{}, map[string]bool{}
	for _, oid := range []string{simName, simAlias, simSpeed, simBroken, simWide, simNarrow} {
		r.Columns[oid] = map[string]plan.Cell{}
	}
	if r.known {
		r.Scalars[sysUpTime] = plan.Cell{Kind: plan.Unsigned, Uint: s.uptime()}
	}
	deaf := s.chance(300) // the 64-bit counters do not answer
	for _, p := range s.ports {
		if p.gone > 0 {
			continue
		}
		index := fmt.Sprint(p.index)
		r.Columns[simName][index] = plan.Cell{Kind: plan.Octets, Text: p.name}
		r.Columns[simAlias][index] = plan.Cell{Kind: plan.Octets, Text: fmt.Sprint("alias", s.now/(40*time.Minute))}
		r.Columns[simSpeed][index] = plan.Cell{Kind: plan.Unsigned, Uint: p.mbit}
		r.Columns[simBroken][index] = plan.Cell{Kind: plan.Unsigned, Uint: p.broken}
		shown := p.traffic - p.wiped
		r.Columns[simNarrow][index] = plan.Cell{Kind: plan.Counter32, Uint: shown & math.MaxUint32}
		r.traffic[p.name], r.wide[p.name] = p.traffic, p.wide && !deaf
		if r.wide[p.name] {
			r.Columns[simWide][index] = plan.Cell{Kind: plan.Counter64, Uint: shown}
		}
	}
	s.cut(r)
	s.cached = r
	return r
}

// cut lets a column end before its end.
func (s *simulation) cut(r *simReading) {
	if !s.chance(60) {
		return
	}
	oid := []string{simWide, simNarrow, simName}[s.rand.IntN(3)]
	r.Partial[oid] = true
	for _, p := range s.ports {
		if s.chance(2) {
			continue
		}
		delete(r.Columns[oid], fmt.Sprint(p.index))
		switch {
		case oid == simWide:
			r.wide[p.name] = false
		case oid == simName || !r.wide[p.name]:
			delete(r.traffic, p.name) // it is not read this time
		}
	}
	s.counts["cut"]++
}

// stop ends the reader and starts it again, in some cases with what it saved
// and in some on a machine that has restarted.
func (s *simulation) stop() {
	kept := s.chance(2) && s.life.Known
	data, err := s.state.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = &plan.State{}
	if kept {
		if err := s.state.UnmarshalBinary(data); err != nil {
			s.t.Fatal(err)
		}
		s.saved = true
		s.counts["stopped"]++
	} else {
		s.life, s.saved, s.knows = lifeSign{}, false, false
		for _, p := range s.ports {
			p.heard = nil
		}
		s.counts["killed"]++
	}
	s.pass(time.Duration(s.rand.IntN(300)) * time.Second)
	if s.chance(2) {
		s.boot.Boot[0]++
		s.boot.Uptime = s.now
		before := s.boot.Guess
		if s.boot.Guess = s.chance(3); before || s.boot.Guess {
			s.spoil("no clock", s.ports...)
		}
	}
}

func (s *simulation) stamp() probes.Stamp {
	wall := s.wall + s.now.Milliseconds()
	if s.boot.Guess {
		wall = (s.now - s.boot.Uptime).Milliseconds()
	}
	return probes.Stamp{Boot: s.boot.Boot, Uptime: s.now - s.boot.Uptime, Wall: wall, Guess: s.boot.Guess}
}

// poll reads the device once and judges every growth that it tells.
func (s *simulation) poll() {
	r := s.answer()
	r.Stamp = s.stamp()
	sign := newLifeSign(r.Stamp, r.Scalars[sysUpTime])
	if s.saved && !r.known {
		s.spoil("nothing shows that it is the same", s.ports...)
	}
	if sign.rolled(s.life) {
		s.counts["rolled over"]++
	}
	if sign.ends(s.life, s.saved) {
		s.state.Restarted()
		s.knows = false
	}
	if r.known {
		s.knew, s.knows = s.now, true
	}
	r.blind = !r.known && s.knows && s.now-s.knew <= 10*time.Minute
	if sign.Known || s.saved {
		s.life = sign
	}
	s.saved = false
	points, notes := plan.Points([]*plan.Block{s.block}, plan.Identity{Address: "192.0.2.1"}, r.Reading, s.state)
	told := map[string]uint64{}
	for _, point := range points {
		name := point.Series.Dim("if.name")
		if _, twice := told[name]; twice || name == "" {
			s.t.Fatalf("%v: %q told twice", s.now, name)
		}
		told[name] = point.Value.Uint64()
	}
	gaps := 0
	s.notes = notes
	for _, p := range s.ports {
		grown, ok := told[p.name]
		gaps += s.judge(p, r, grown, ok)
	}
	if gaps != notes.Gaps || notes.Gaps != notes.GapsBy.Sum() {
		s.t.Fatalf("%v: %d gaps were told (%+v), %d were seen", s.now, notes.Gaps, notes.GapsBy, gaps)
	}
}

// judge compares what was told of a port with its true traffic, and counts 1
// where the truth is in a gap.
func (s *simulation) judge(p *simPort, r *simReading, grown uint64, told bool) int {
	traffic, read := r.traffic[p.name]
	before := p.heard
	awaited := before != nil && before.wide && r.Partial[simWide]
	if !read || awaited && !r.wide[p.name] || before != nil && r.blind {
		if told {
			s.t.Fatalf("%v: %s: told %d and was not read", s.now, p.name, grown)
		}
		if p.gone > 0 && before != nil && r.proves(before.wide) {
			p.heard = nil
		}
		return 0
	}
	now := &heard{traffic: traffic, at: s.now, made: r.made, dated: r.known, wide: r.wide[p.name], narrow: r.narrow(p)}
	if before == nil {
		if told {
			s.t.Fatalf("%v: %s: told %d at first sight", s.now, p.name, grown)
		}
		p.heard = now
		s.unseen += traffic - p.settled
		p.settled = traffic
		return 0
	}
	if !told && r.again && r.known && before.wide == r.wide[p.name] && traffic == before.traffic && s.now-before.at <= 2*simInterval {
		return 0 // skipped: the next growth covers it
	}
	p.heard = now
	why, doubt := s.excuse(p, r, before, now)
	switch {
	case told && why != "":
		s.t.Fatalf("%v: %s: told %d despite %s", s.now, p.name, grown, why)
	case !told && why == "" && doubt == "":
		s.t.Fatalf("%v: %s: a gap without a reason, %d to %d in %v: %+v", s.now, p.name, before.traffic, traffic, s.now-before.at, s.notes.GapsBy)
	case told && grown != traffic-before.traffic:
		s.t.Fatalf("%v: %s: told %d, true is %d", s.now, p.name, grown, traffic-before.traffic)
	case told && float64(grown) > float64(p.mbit)*1e6/8*(now.made-before.made).Seconds()+1:
		s.t.Fatalf("%v: %s: told %d in %v", s.now, p.name, grown, s.now-before.at)
	}
	p.settled = traffic
	if told {
		s.told += grown
		s.counts["told"]++
		return 0
	}
	s.missing += traffic - before.traffic
	s.counts["gaps"]++
	return 1
}

// traffic is all that passed up to what was last read of each port.
func (s *simulation) traffic() (all uint64) {
	for _, p := range s.ports {
		all += p.settled - p.began
	}
	return all
}

// excuse tells why there must be a gap, or why there may be one.
func (s *simulation) excuse(p *simPort, r *simReading, before, now *heard) (why, doubt string) {
	age := now.at - before.at
	switch {
	case before.spoilt != "":
		return before.spoilt, ""
	case before.wide != now.wide:
		return "another column", ""
	case age > 10*time.Minute:
		return "a long absence", ""
	case !now.wide && float64(p.mbit)*1e6/8*(age+age/20+3*time.Second).Seconds() >= 1<<32:
		return "wraps that nobody can count", ""
	case !now.wide && now.narrow < before.narrow && age < now.made-before.made:
		return "", "more than the line carries, as the answer before was old"
	case !now.wide && now.narrow < before.narrow && !before.dated:
		return "", "no uptime to trust a wrap"
	}
	return "", ""
}

// TestCounterLife lets devices and readers live for weeks: the sum of what is
// told is the true traffic less what is in counted gaps, every single growth is
// exact, and there is no gap without a reason.
func TestCounterLife(t *testing.T) {
	seeds, polls := 6, 7*24*60
	if testing.Short() {
		seeds, polls = 2, 2*24*60
	}
	if n, err := strconv.Atoi(os.Getenv("EDGEHOLD_TEST_SEEDS")); err == nil {
		seeds = n
	}
	total := map[string]int{}
	for seed := range seeds {
		s := newSimulation(t, uint64(seed))
		for range polls {
			s.pass(simInterval + time.Duration(s.rand.IntN(2000)-1000)*time.Millisecond)
			if s.befall(); s.cached != nil && s.cached.again {
				// What an agent has in its cache is not older than a poll.
			} else if s.chance(100) { // the network is down, or polls are skipped
				s.pass(time.Duration(s.rand.IntN(15)) * simInterval)
			} else if s.chance(200) {
				s.stop()
			}
			s.poll()
			for _, p := range s.ports {
				p.gone = max(p.gone-1, 0)
			}
		}
		if all := s.traffic(); s.told+s.missing+s.unseen != all {
			t.Errorf("seed %d: %d octets told, %d in gaps and %d before a first reading make not %d", seed, s.told, s.missing, s.unseen, all)
		}
		for what, n := range s.counts {
			total[what] += n
		}
	}
	var names []string
	for name := range total {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%6d %s", total[name], name)
	}
	for _, name := range []string{"reboot", "uptime lost", "discontinuity", "reset", "shuffled", "another device", "stopped", "killed", "cut", "from a cache", "no clock", "rolled over"} {
		if total[name] == 0 && !testing.Short() {
			t.Errorf("%q never happened", name)
		}
	}
}
