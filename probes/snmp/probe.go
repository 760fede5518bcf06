package snmp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Probe polls one device for the blocks of one interval.
type Probe struct {
	device *device
	blocks []*plan.Block
	deps   probes.Deps

	chassisMAC string             // "" while it is not known
	watch      func(plan.Reading) // is shown what was read; nil: nobody
	mu         sync.Mutex         // held while a poll runs
	state      plan.State
	life       lifeSign
	saved      bool    // state and life are of an earlier run and not yet checked
	told       bool    // an oddity of the plan was logged
	narrow     bool    // the last reading of the interfaces gave no more than the system group
	wanted     *wanted // nil: not worked out yet
	carried    int     // as many scalars of wanted came in one plain answer

	statsMu sync.Mutex
	stats   probes.PollStats
}

// Poll reads the device once and returns the points with one stamp, that of
// the poll's start. A StatusWarning error beside points says what is missing.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stats probes.PollStats
	defer func() {
		p.statsMu.Lock()
		p.stats = stats
		p.statsMu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	stamp := p.deps.Clock.Now()
	p.device.relearn(stamp.Uptime)
	scalars := p.carry()
	s, uptime, err := p.device.reachWith(ctx, &stats, scalars)
	if err != nil {
		return probes.Batch{}, err
	}
	defer s.close()
	r := p.read(ctx, s, p.device.newReading(stamp, uptime), scalars)
	defer p.device.drop(r)
	if errors.Is(ctx.Err(), context.Canceled) {
		// Nothing was counted yet, so the next poll's deltas cover this one.
		return probes.Batch{}, ctx.Err()
	}
	p.checkLife(p.signOfLife(ctx, s, newLifeSign(stamp, uptime)))
	points, notes := plan.Points(p.blocks, p.identity(), r.Reading, &p.state)
	p.tell(notes)
	if p.watch != nil {
		p.watch(r.Reading)
	}
	stats.Gaps = notes.Gaps
	stats.Partial = r.partial()
	p.see(r)
	return probes.Batch{Points: points}, r.verdict(p.blocks, notes)
}

// The system group, and a table that every device has, as its view lets on.
const (
	systemGroup = "1.3.6.1.2.1.1."
	ifTable     = "1.3.6.1.2.1.2.2.1."
)

// see notes whether the device shows no more than its system group. That is known
// from readings that ask for the interfaces; in those between, which leave tables
// out that were not there, it stays as it was unless something else shows up.
func (p *Probe) see(r *reading) {
	ofInterfaces := func(columns []string) bool { return slices.ContainsFunc(columns, isInterfaces) }
	if slices.ContainsFunc(p.wants().tables, ofInterfaces) {
		p.narrow = p.narrow || len(r.reasons()) == 0
	}
	p.narrow = p.narrow && r.onlySystem()
	r.narrow = p.narrow
}

func isInterfaces(oid string) bool { return strings.HasPrefix(oid, ifTable) }

func (p *Probe) identity() plan.Identity {
	id := plan.Identity{Address: p.device.Host, Port: p.device.Port, ChassisMAC: p.chassisMAC}
	if p.deps.Resolver != nil {
		id.Name = p.deps.Resolver.NameOf(p.device.Host)
	}
	return id
}

// tell logs, once, that the plan does not fit the device.
func (p *Probe) tell(notes plan.Notes) {
	if p.told || notes.Folded == 0 && len(notes.Skipped) == 0 {
		return
	}
	p.told = true
	p.deps.Log.Warn().Str("device", p.device.label()).
		Int("points_of_one_series", notes.Folded).Strs("oids_without_a_number", notes.Skipped).
		Msg("rows share a series and were folded, or metrics gave no number")
}

// PollStats returns the traffic of the last poll.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}

// limit is how long a poll may take: it has to be over before the next is due.
// A short interval leaves a slow device the time for its answers all the same.
func (p *Probe) limit() time.Duration {
	const least = 10 * time.Second
	if len(p.blocks) == 0 {
		return least
	}
	return max(p.blocks[0].Interval*8/10, least)
}

// wanted is what the blocks need.
type wanted struct {
	blocks  []*plan.Block // these
	scalars []string
	tables  [][]string
	columns int // of all tables
}

// wants works it out once.
func (p *Probe) wants() *wanted {
	if p.wanted == nil || !slices.Equal(p.wanted.blocks, p.blocks) {
		w := &wanted{blocks: p.blocks}
		w.scalars, w.tables = plan.Needs(p.blocks)
		w.scalars = slices.DeleteFunc(w.scalars, func(oid string) bool { return oid == sysUpTime })
		for _, columns := range w.tables {
			w.columns += len(columns)
		}
		p.wanted = w
	}
	return p.wanted
}

// carry is the scalars that the reachability gate may ask for: those that the
// last poll got in one plain answer. nil: none.
func (p *Probe) carry() *gets {
	before := p.wanted
	scalars := p.newGets(p.wants())
	if p.wanted != before || scalars == nil || len(scalars.queue[0]) != p.carried {
		scalars = nil
	}
	p.carried = 0
	return scalars
}

// carriable is how many scalars the gate may ask for next time: those that one
// answer held, where there is room for sysUpTime beside them.
func (p *Probe) carriable(read *gets) int {
	if n := read.asked; read.plain() && n < orDefault(p.device.MaxOIDs, defaultBatch) {
		return n
	}
	return 0
}

// newGets is nil where there is nothing to ask.
func (p *Probe) newGets(want *wanted) *gets {
	oids := p.device.present(want.scalars)
	if len(oids) == 0 {
		return nil
	}
	return newGets(oids, p.device.MaxOIDs)
}

// read asks for all that the blocks need, but for those scalars that the gate
// has brought. What could not be had is in the reading's account, not in an
// error. The caller may drop the reading when it is done with it.
func (p *Probe) read(ctx context.Context, s *session, r *reading, scalars *gets) *reading {
	want := p.wants()
	r.asked = len(want.scalars) + want.columns
	ex := p.device.paced(s)
	if scalars == nil {
		scalars = p.newGets(want)
	}
	var stopped error
	if scalars != nil {
		stopped = drive(ctx, ex, scalars)
		p.device.learnAbsent(scalars.absent, r.Stamp.Uptime)
		r.addScalars(scalars)
		p.carried = p.carriable(scalars)
	}
	p.readTables(ctx, tableReader{exchanger: ex, reading: r, stats: s.stats, options: p.walkOptions(s, r.slate), each: p.limit() * 3 / 4, stopped: stopped})
	return r
}

// tableReader reads one table after the other, until one of them has shown that
// it is of no use to go on.
type tableReader struct {
	exchanger
	reading *reading
	stats   *probes.PollStats
	options walkOptions
	each    time.Duration // that one of several tables may take
	stopped error
}

func (p *Probe) readTables(ctx context.Context, t tableReader) {
	tables := p.wants().tables
	if len(tables) == 0 {
		return
	}
	before := p.deps.Clock.Now()
	for _, columns := range tables {
		t.options.shape = p.device.shapeOf(columns)
		w := newWalk(columns, t.options)
		if t.stopped != nil {
			w.abort(t.stopped)
		} else {
			t.stopped = t.drive(ctx, w, len(tables) > 1)
			p.device.learnWalk(w, before.Uptime)
		}
		if t.options.bytes = w.bytes; w.bytes <= 0 {
			t.stopped = errTooMuch
		}
		t.reading.addTable(w)
		now := p.deps.Clock.Now()
		t.stats.Rows += w.rows()
		t.stats.Tables = append(t.stats.Tables, probes.TableStats{
			OID: tableOf(columns[0]), Rows: w.rows(), Requests: w.used, Took: now.Uptime - before.Uptime,
		})
		before = now
	}
	p.device.settle(t.stopped == nil)
}

// drive walks one table. One of several may not take all the time of the poll.
func (t *tableReader) drive(ctx context.Context, w *walk, several bool) error {
	if !several {
		return drive(ctx, t.exchanger, w)
	}
	limited, cancel := context.WithTimeout(ctx, t.each)
	defer cancel()
	err := drive(limited, t.exchanger, w)
	if deadline, ok := ctx.Deadline(); !errors.Is(err, errOutOfTime) || ctx.Err() != nil || ok && !time.Now().Before(deadline) {
		return err
	}
	for _, c := range w.columns {
		if errors.Is(c.cut, errOutOfTime) {
			c.cut = errSlowTable
		}
	}
	return nil
}

func (p *Probe) walkOptions(s *session, memory *slate) walkOptions {
	d := p.device
	o := walkOptions{
		noBulk: d.NoBulk || s.version1(), unordered: d.Unordered,
		reps: d.MaxReps, level: d.startRung, skip: d.isHopeless, slate: memory,
	}
	if d.MaxOIDs > 0 {
		o.width = min(d.MaxOIDs, defaultWidth)
	}
	return o
}
