package snmp

// rung is one step of the ladder that a column climbs down while its requests
// fail: fewer repetitions, then fewer columns, then GETNEXT.
type rung struct {
	kind  kind
	reps  int
	width int
}

// ladderFor is what a ladder was made for.
type ladderFor struct {
	noBulk      bool
	reps, width int
}

// climbFrom sets the ladder, which is kept from an earlier walk where it fits.
func (w *walk) climbFrom(l ladderFor) {
	if w.ladder == nil || w.ladderFor != l {
		w.ladder, w.ladderFor = ladder(l.noBulk, l.reps, l.width), l
	}
}

// ladder lists the rungs for a widest request of reps and width.
func ladder(noBulk bool, reps, width int) []rung {
	rungs := make([]rung, 0, 16)
	if !noBulk {
		for r := reps; r > 1; r /= 2 {
			rungs = append(rungs, rung{getBulk, r, width})
		}
		rungs = narrowing(rungs, getBulk, width)
	}
	return narrowing(rungs, getNext, width)
}

func narrowing(rungs []rung, k kind, width int) []rung {
	for ; width > 1; width = max(width/3, 1) {
		rungs = append(rungs, rung{k, 1, width})
	}
	return append(rungs, rung{k, 1, 1})
}

// firstRung is where a walk of an unknown device starts: it is not yet asked
// for as much as a known one.
func firstRung(rungs []rung) int {
	for i, r := range rungs {
		if r.reps <= defaultReps {
			return i
		}
	}
	return len(rungs) - 1
}

// firstNext is the widest rung of GETNEXT.
func firstNext(rungs []rung) int {
	for i, r := range rungs {
		if r.kind == getNext {
			return i
		}
	}
	return len(rungs) - 1
}

// lesson tells where columns should start in the next walk: those that went
// down the ladder, and the rung that all whole columns needed. A walk in which
// columns newly came to nothing teaches of these only, for they dragged their
// neighbours down with them.
func (w *walk) lesson() (rungs map[string]int, common int) {
	if !w.lowered {
		return nil, 0
	}
	lost := map[string]int{}
	rungs = map[string]int{}
	common = len(w.ladder)
	for _, c := range w.columns {
		switch {
		case c.cut == nil:
			common = min(common, c.level)
		case c.level == len(w.ladder)-1 && c.started < c.level:
			lost[c.root] = c.level
		}
		if c.level > c.started {
			rungs[c.root] = c.level
		}
	}
	switch {
	case len(lost) > 0:
		return lost, 0
	case common == len(w.ladder): // no column is whole
		return rungs, 0
	}
	return rungs, common
}
