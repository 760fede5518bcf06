package snmp

import "time"

// startRung is where on the ladder a column starts, -1 where that is not known.
func (d *device) startRung(column string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rung, ok := d.rungs[column]; ok {
		return max(d.rung, rung)
	}
	return d.rung
}

func (d *device) shapeOf(columns []string) shape {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shapes[columns[0]]
}

func (d *device) isHopeless(oid string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hopeless[oid]
}

// maxHopeless is how many of the values are remembered that cannot be decoded:
// a table whose rows change with every poll must not fill the memory.
const maxHopeless = 1000

// learnWalk remembers what a walk has shown: the shape of the table, values
// that cannot be decoded, and how far down its columns had to go.
func (d *device) learnWalk(w *walk, now time.Duration) {
	rungs, common := w.lesson()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.learnShapeLocked(w)
	for _, oid := range w.hopeless {
		if len(d.hopeless) >= maxHopeless {
			break
		}
		if d.hopeless == nil {
			d.hopeless = map[string]bool{}
		}
		d.hopeless[oid] = true
		d.learnedLocked(now)
	}
	if len(rungs) == 0 {
		if d.rung < 0 {
			d.rung = firstRung(w.ladder)
		}
		return
	}
	d.fell = true
	for column, rung := range rungs {
		d.rungs[column] = rung
	}
	d.rung = max(d.rung, common)
}

// settle ends a poll: after some without trouble the columns climb a rung.
// Whole tells that every table was walked.
func (d *device) settle(whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fell {
		if d.climbed && d.calm == 0 { // that was too much
			d.patience = min(2*d.patience, maxPatience)
		}
		d.patience = max(d.patience, firstPatience)
		d.fell, d.climbed, d.calm = false, false, 0
		return
	}
	switch {
	case !whole:
		return
	case d.rung <= 0 && len(d.rungs) == 0:
		d.patience = 0 // at the top
		return
	}
	if d.calm++; d.calm < d.patience {
		return
	}
	if d.climbed {
		d.patience /= 2
	}
	d.climbed, d.calm = true, 0
	d.rung = max(d.rung-1, 0)
	for column, rung := range d.rungs {
		if rung--; rung > d.rung {
			d.rungs[column] = rung
		} else {
			delete(d.rungs, column)
		}
	}
}

// learnShapeLocked remembers the shape of a table. One that was half read may
// be longer than what came of it.
func (d *device) learnShapeLocked(w *walk) {
	s, table := w.shape(), w.columns[0].root
	if s.perVar == 0 {
		return
	}
	if worst, _ := w.worst(); worst != nil {
		s.rows = max(s.rows, d.shapes[table].rows)
	}
	if d.shapes == nil {
		d.shapes = map[string]shape{}
	}
	d.shapes[table] = s
}

// maxPatient is the longest timeout that a slow device gets.
const maxPatient = 10 * time.Second

// patientOf is the timeout for the device: long enough for the answer to the
// first try where the last one took longer than the usual timeout.
func (d *device) patientOf(usual time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(usual, min(d.latency*3/2, maxPatient))
}

// learnLatency remembers how long the device took to answer. Whether a lost
// datagram was part of that is not known; the next answer shows it.
func (d *device) learnLatency(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latency = took
}
