package snmp

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// What was learned of a device is forgotten after this, so that a bad day
	// of the network does not slow its polls down for ever.
	relearnAfter = 6 * time.Hour
	// After so many polls in a row without an answer the other credentials are
	// tried again.
	forgetCredentialAfter = 3
)

// device is what the tasks of one device share: its settings and what its
// answers have taught.
type device struct {
	plan.Device
	buffers *sync.Pool

	mu       sync.Mutex
	known    bool // credential is the one that worked
	current  int  // index of that credential
	failures int  // polls in a row without an answer
	searched bool // every credential has been tried since the last answer
	next     int  // where the search goes on
	rungs    map[string]int
	rung     int // where columns start that have no rung of their own
	absent   map[string]bool
	learned  time.Duration // since boot, when the first of these was learned
}

func newDevice(d plan.Device, buffers *sync.Pool) *device {
	return &device{Device: d, buffers: buffers, rungs: map[string]int{}, absent: map[string]bool{}}
}

// try is one credential to try and how often.
type try struct {
	credential int
	requests   int
}

// tries lists the credentials for the reachability gate. A known or a single
// one gets a second request. Several unknown ones are all tried once at first
// contact; after that a dead device costs no more than two requests a poll.
func (d *device) tries() []try {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.Credentials)
	switch {
	case d.known:
		return []try{{d.current, d.gateRequests()}}
	case n == 1:
		return []try{{0, d.gateRequests()}}
	}
	count := 2
	if !d.searched {
		count, d.searched, d.next = n, true, 0
	}
	all := make([]try, count)
	for i := range all {
		all[i] = try{(d.next + i) % n, 1}
	}
	d.next = (d.next + count) % n
	return all
}

func (d *device) gateRequests() int {
	if d.Retries == 0 {
		return 1
	}
	return 2
}

// answered remembers the credential that worked.
func (d *device) answered(credential int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known || d.current != credential {
		d.forgetLocked() // another credential may mean another version or view
	}
	d.known, d.current, d.failures = true, credential, 0
}

// silent counts a poll without an answer.
func (d *device) silent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures++
	if d.known && d.failures >= forgetCredentialAfter {
		d.known, d.searched, d.failures = false, false, 0
	}
}

// relearn forgets old lessons.
func (d *device) relearn(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.learned != 0 && now-d.learned > relearnAfter {
		d.forgetLocked()
	}
}

// restarted forgets all lessons: the device may run other software now.
func (d *device) restarted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked()
}

func (d *device) forgetLocked() {
	clear(d.rungs)
	clear(d.absent)
	d.rung, d.learned = 0, 0
}

// startRung is where on the ladder a column starts.
func (d *device) startRung(column string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.rung, d.rungs[column])
}

// learnWalk remembers how far down its columns had to go.
func (d *device) learnWalk(w *walk, now time.Duration) {
	rungs, common := w.lesson()
	if len(rungs) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for column, rung := range rungs {
		d.rungs[column] = rung
	}
	d.rung = max(d.rung, common)
	d.learnedLocked(now)
}

// learnAbsent remembers OIDs for which SNMP v1 refused a whole request.
func (d *device) learnAbsent(oids []string, now time.Duration) {
	if len(oids) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, oid := range oids {
		d.absent[oid] = true
	}
	d.learnedLocked(now)
}

func (d *device) learnedLocked(now time.Duration) {
	if d.learned == 0 {
		d.learned = now
	}
}

// present leaves out what is known to be absent.
func (d *device) present(oids []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := make([]string, 0, len(oids))
	for _, oid := range oids {
		if !d.absent[oid] {
			kept = append(kept, oid)
		}
	}
	return kept
}
