package snmp

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// What the device was seen to lack is asked for again after this.
	relearnAfter = 30 * time.Minute
	// After so many polls in a row without an answer the other credentials are
	// tried again.
	forgetCredentialAfter = 3
	// Polls without trouble after which a device that had some is asked for a
	// little more again, so that a bad day of the network does not slow its
	// polls down for long. Each attempt that fails doubles the number.
	firstPatience = 4
	maxPatience   = 32
)

// device is what the tasks of one device share: its settings and what its
// answers have taught.
type device struct {
	plan.Device
	peer *peer

	mu       sync.Mutex
	known    bool // credential is the one that worked
	current  int  // index of that credential
	failures int  // polls in a row without an answer
	searched bool // every credential has been tried since the last answer
	next     int  // where the search goes on
	rungs    map[string]int
	rung     int              // where columns start that have no rung of their own; -1: not known
	calm     int              // polls without trouble since the rungs last changed
	patience int              // that many of them, and the rungs are climbed by one
	climbed  bool             // the last change was upwards, and has not proved itself yet
	fell     bool             // in this poll
	shapes   map[string]shape // of tables, by their first column
	absent   map[string]bool
	hopeless map[string]bool // instances whose value cannot be decoded
	learned  time.Duration   // since boot, when the first of these was learned
	turn     time.Time       // when the next request may be sent
	latency  time.Duration   // of the last answer to the reachability gate
	lives    int             // restarts that were seen
}

func newDevice(d plan.Device, k *kit) *device {
	return &device{Device: d, peer: newPeer(k), rung: -1, rungs: map[string]int{}, absent: map[string]bool{}}
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
		d.latency = 0
	}
}

// relearn forgets what the device lacked long ago.
func (d *device) relearn(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.learned != 0 && now-d.learned > relearnAfter {
		clear(d.absent)
		clear(d.hopeless)
		d.learned = 0
	}
}

// restarted forgets all lessons: the device may run other software now.
func (d *device) restarted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives++
	d.forgetLocked()
}

// restarts counts the restarts that were seen.
func (d *device) restarts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lives
}

func (d *device) forgetLocked() {
	clear(d.rungs)
	clear(d.shapes)
	clear(d.absent)
	clear(d.hopeless)
	d.rung, d.learned = -1, 0
	d.calm, d.patience, d.climbed, d.fell = 0, 0, false, false
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
	if len(d.absent) == 0 {
		return oids
	}
	kept := make([]string, 0, len(oids))
	for _, oid := range oids {
		if !d.absent[oid] {
			kept = append(kept, oid)
		}
	}
	return kept
}
