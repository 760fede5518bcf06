package snmp

import (
	"errors"
	"slices"

	"github.com/edgehold/edgehold/probes/plan"
)

const defaultBatch = 20 // OIDs in one GET

// gets reads scalars. Like walk it is a pure state machine. An OID that the
// device does not have is absent from cells; one that could not be asked for
// is in failed with the reason.
type gets struct {
	queue  [][]string // batches to send; the first is the one in flight
	cells  map[string]plan.Cell
	failed map[string]error
	absent []string // OIDs that SNMP v1 answered with noSuchName
	once   bool     // what cannot be decoded is not asked for again
	unread map[string]bool
	mute   int // requests that were not answered
	asked  int // OIDs
	fed    int // answers and failures
}

func newGets(oids []string, batch int) *gets {
	return &gets{
		queue:  slices.Collect(slices.Chunk(oids, orDefault(batch, defaultBatch))),
		asked:  len(oids),
		cells:  map[string]plan.Cell{},
		failed: map[string]error{},
	}
}

func (g *gets) next() (r request, ok bool) {
	if len(g.queue) == 0 {
		return request{}, false
	}
	r = request{kind: get, oids: g.queue[0]}
	if g.mute > 0 && len(r.oids) > 1 {
		r.tries = 1 // a smaller one is the better second try
	}
	return r, true
}

func (g *gets) feed(r response, err error) {
	batch := g.queue[0]
	g.queue = g.queue[1:]
	g.fed++
	switch {
	case err != nil:
		if errors.Is(err, errTimeout) {
			g.mute++
		}
		g.split(batch, err)
	case r.status == noError:
		g.take(batch, r.vars)
	case r.index >= 1 && r.index <= len(batch) && r.status == noSuchName:
		g.absent = append(g.absent, batch[r.index-1])
		g.push(slices.Concat(batch[:r.index-1], batch[r.index:]))
	case len(batch) == 1 && r.status == noSuchName:
		g.absent = append(g.absent, batch[0])
	case r.index >= 1 && r.index <= len(batch) && r.status != tooBig:
		g.failed[batch[r.index-1]] = r.status.err()
		g.push(slices.Concat(batch[:r.index-1], batch[r.index:]))
	default:
		g.split(batch, r.status.err())
	}
}

// plain reports whether one answer held all of it.
func (g *gets) plain() bool {
	return g.fed == 1 && len(g.queue) == 0 && len(g.failed) == 0 && len(g.absent) == 0
}

// split asks again in two halves; one OID alone has failed.
func (g *gets) split(batch []string, why error) {
	if len(batch) == 1 {
		g.failed[batch[0]] = why
		return
	}
	half := len(batch) / 2
	g.push(batch[half:])
	g.push(batch[:half])
}

// push puts a batch before the others.
func (g *gets) push(batch []string) {
	if len(batch) > 0 {
		g.queue = slices.Insert(g.queue, 0, batch)
	}
}

// take goes by the OIDs of the reply, not by their order. What is missing is
// asked for again as long as each reply brings something, and what could not be
// decoded, once.
func (g *gets) take(batch []string, vars []varbind) {
	var missing, again []string
	for n, oid := range batch {
		i := n
		if i >= len(vars) || vars[i].oid != oid {
			i = slices.IndexFunc(vars, func(v varbind) bool { return v.oid == oid })
		}
		switch {
		case i < 0:
			missing = append(missing, oid)
		case vars[i].unreadable():
			again = append(again, oid)
		case vars[i].exc == noException && vars[i].cell.Kind != plan.Absent:
			g.cells[oid] = vars[i].cell
		}
	}
	if len(missing) == len(batch) {
		g.split(batch, errors.New("the reply does not hold it"))
		return
	}
	g.push(missing)
	g.repeat(again)
}

// repeat asks once more for what could not be decoded, apart from the others.
func (g *gets) repeat(oids []string) {
	var first []string
	for _, oid := range oids {
		if g.once || g.unread[oid] {
			g.failed[oid] = errUnreadable
			continue
		}
		if g.unread == nil {
			g.unread = map[string]bool{}
		}
		g.unread[oid] = true
		first = append(first, oid)
	}
	if len(first) > 0 {
		g.queue = append(g.queue, first)
	}
}

// abort gives up what was not read yet.
func (g *gets) abort(why error) {
	for _, batch := range g.queue {
		for _, oid := range batch {
			g.failed[oid] = why
		}
	}
	g.queue = nil
}
