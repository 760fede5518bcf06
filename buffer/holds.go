package buffer

import (
	"sort"
	"sync"
	"time"
)

// maxHolds bounds the records that are remembered because of settlements,
// hurryHolds asks for a commit at once; maxLeased bounds those with leases too.
const (
	maxHolds   = 8192
	hurryHolds = 1024
	maxLeased  = 65_536
)

// holds is what is known in memory about records that are in use.
type holds struct {
	mu      sync.Mutex
	epoch   int // changes when the file is replaced: older leases mean nothing then
	records map[uint64]*hold
	cursors [2]*cursor // one for each lane
	late    *cursor    // for late points; nil while nobody leases them
	decoded decoded    // of the last period that whole series were leased of
	recent  recent     // of the last commits

	since   time.Time // when the first settlement or damage came that waits
	backlog bool      // some of them are not of the freshest points
	fresh   uint64    // first record of the last commit that added points
	cutoffs cutoffs   // of the running or last commit: older points are late, or about to be
	waiting int       // records with settlements that no commit has taken
	damaged map[uint64]bool
	broken  error // the file itself cannot be read

	claims    map[ClaimID]claim // of earlier runs, not reclaimed
	unclaimed []ClaimID         // to be deleted by the next commit
}

// hold is one record in use.
type hold struct {
	record     record // its head
	leased     spans
	by         outcomes // since the last commit
	letters    []Letter
	committing spans // in the running commit
}

// outcomes are points by what became of them; there are none at Later.
type outcomes [lastOutcome + 1]spans

func (o *outcomes) empty() bool {
	for _, points := range o {
		if len(points) > 0 {
			return false
		}
	}
	return true
}

func (h *hold) idle() bool {
	return len(h.leased)+len(h.committing) == 0 && h.by.empty()
}

// gone is the points that are settled, but not yet in the file.
func (h *hold) gone() spans { return h.committing.union(h.by[:]...) }

func (h *holds) of(r record) *hold {
	if h.records[r.number()] == nil {
		r.payload, r.frame = nil, frame{}
		h.records[r.number()] = &hold{record: r}
	}
	return h.records[r.number()]
}

// cursor picks the one for the record: that which is nearest before it, else
// the one that was not used for longer.
func (h *holds) cursor(r record, late bool) *cursor {
	if late {
		if h.late == nil {
			h.late = newCursor(h.cursors[0].codec)
		}
		return h.late
	}
	a, b := h.cursors[0], h.cursors[1]
	switch {
	case b.reaches(r) && (!a.reaches(r) || b.next > a.next):
		a, b = b, a
	case !a.reaches(r) && b.used < a.used:
		a, b = b, a
	}
	a.used = max(a.used, b.used) + 1
	return a
}

// freeLate gives the memory back that reading late points took.
func (h *holds) freeLate(late bool) {
	if late {
		h.late = nil
	}
}

func (h *holds) touch(backlog bool) {
	if h.since.IsZero() {
		h.since = time.Now()
	}
	h.backlog = h.backlog || backlog
}

// settle ends the lease of n points side by side.
func (h *holds) settle(at position, n uint32, o Outcome) {
	r := h.records[at.record]
	part := span{at.index, at.index + n}
	r.leased = r.leased.remove(part)
	if o != Later {
		if r.by.empty() {
			h.waiting++
		}
		r.by[o] = r.by[o].add(part)
		h.touch(at.record < h.fresh)
	}
	if r.idle() {
		delete(h.records, at.record)
	}
}

// settlement is what a commit does to one record.
type settlement struct {
	record  record
	by      outcomes
	letters []Letter
}

// takeDamaged moves what was found damaged into the running commit.
func (h *holds) takeDamaged() map[uint64]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	damaged := h.damaged
	h.damaged = nil
	return damaged
}

// takeUnclaimed moves the claims that are to go into the running commit.
func (h *holds) takeUnclaimed() []ClaimID {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.unclaimed
	h.unclaimed = nil
	return taken
}

// take moves what is settled into the running commit.
func (h *holds) take() (settlements []settlement) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.records {
		if r.by.empty() {
			continue
		}
		settlements = append(settlements, settlement{r.record, r.by, r.letters})
		r.committing = spans{}.union(r.by[:]...)
		r.by, r.letters = outcomes{}, nil
	}
	sort.Slice(settlements, func(i, j int) bool { return settlements[i].record.number() < settlements[j].record.number() })
	h.since, h.backlog, h.waiting = time.Time{}, false, 0
	if len(h.damaged) > 0 {
		h.touch(true) // found since takeDamaged
	}
	return settlements
}

// begin fixes the cut-offs of a commit and tells which records have leases out.
func (h *holds) begin(c cutoffs) (busy map[uint64]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutoffs = c
	busy = make(map[uint64]bool)
	for n, r := range h.records {
		if len(r.leased) > 0 {
			busy[n] = true
		}
	}
	return busy
}

// finish forgets what the commit has written, and notes what was found when
// the file was looked at.
func (h *holds) finish(w *work, found error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if isDamage(found) {
		h.broken = found
		h.touch(true)
	}
	for _, st := range w.settlements {
		n := st.record.number()
		if r := h.records[n]; r != nil {
			r.committing = nil
			if r.idle() {
				delete(h.records, n)
			}
		}
	}
	if len(w.drafts) > 0 {
		h.fresh = w.fresh
	}
	h.recent.renew(w)
	h.decoded.rest()
	for _, c := range h.cursors {
		c.rest()
	}
}

// due tells how long settlements may wait for a commit to ride in.
func (h *holds) due(interval time.Duration) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.since.IsZero():
		return 0, false
	case h.broken != nil || h.waiting > hurryHolds:
		return 0, true
	case h.backlog || interval == 0:
		interval = time.Second
	}
	return time.Until(h.since.Add(interval)), true
}

// moved forgets everything: the records are of a file that is gone. With
// emptied there was none, and their numbers go on.
func (h *holds) moved(v *volume, emptied bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !emptied {
		h.epoch++
	}
	h.records = make(map[uint64]*hold)
	h.cursors, h.late, h.decoded, h.recent = [2]*cursor{newCursor(v.codec), newCursor(v.codec)}, nil, decoded{}, recent{}
	h.damaged, h.broken, h.since, h.backlog, h.fresh, h.waiting = nil, nil, time.Time{}, false, 0, 0
	h.claims, h.unclaimed = nil, nil
}

// damage tells whether the file was found unreadable by a reader.
func (h *holds) damage() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken
}

func (h *holds) epochNow() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch
}

// breakOff notes that the file cannot be used.
func (h *holds) breakOff(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = cause
	h.touch(true)
}
