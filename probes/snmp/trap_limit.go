package snmp

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// trapLimit counts what came in one period. Senders beyond maxTrapSenders share
// the limit of all.
type trapLimit struct {
	since time.Duration
	all   int
	each  map[netip.Addr]int
}

func (l *trapLimit) admit(from netip.Addr, now time.Duration, most, each int) bool {
	if l.each == nil || now-l.since >= trapPeriod {
		l.since, l.all, l.each = now, 0, map[netip.Addr]int{}
	}
	n, known := l.each[from]
	if l.all >= most || n >= each {
		return false
	}
	l.all++
	if known || len(l.each) < maxTrapSenders {
		l.each[from] = n + 1
	}
	return true
}

// What messages of v3 that come to nothing may cost: a sender of more within a
// second is not heard for its rest. In a flood from many addresses it is fewer.
const (
	failedPeriod = time.Second
	maxFailed    = 2000
	maxFailedAll = 20_000
	fewFailed    = 20
)

// trapFailures counts the messages of v3 that came to nothing, which anybody can
// make, apart from those that have a good signature. One counts for as many keys
// as it was looked at with.
type trapFailures struct {
	since time.Duration
	all   int
	each  map[netip.Addr]int // of the first maxTrapSenders
}

// over tells whether a sender is not to be heard now.
func (f *trapFailures) over(from netip.Addr, now time.Duration) bool {
	if f.each == nil || now-f.since >= failedPeriod {
		f.since, f.all, f.each = now, 0, map[netip.Addr]int{}
	}
	n, known := f.each[from]
	switch {
	case f.all < maxFailedAll:
		return n >= maxFailed
	case known:
		return n >= fewFailed
	}
	return len(f.each) >= maxTrapSenders
}

// note counts a message that was looked at with so many keys; over was asked
// before.
func (f *trapFailures) note(from netip.Addr, keys int) {
	keys = max(keys, 1)
	f.all += keys
	if n, known := f.each[from]; known || len(f.each) < maxTrapSenders {
		f.each[from] = n + keys
	}
}

// trapRepeats holds back records that are like an earlier one.
type trapRepeats struct{ held map[[16]byte]*heldRecord }

type heldRecord struct {
	record probes.Record // the latest
	until  time.Duration
	more   uint64 // after the first
}

// first tells whether a record is the first of its kind until then. Beyond
// maxTrapRepeats kinds every one is, and so is a large one.
func (h *trapRepeats) first(r probes.Record, n *notification, until time.Duration) bool {
	if recordSize(r) > maxTrapRepeat {
		return true
	}
	id := likeness(r.Content, n)
	if held := h.held[id]; held != nil {
		held.record = r
		held.more++
		return false
	}
	if h.held == nil {
		h.held = map[[16]byte]*heldRecord{}
	}
	if len(h.held) < maxTrapRepeats {
		h.held[id] = &heldRecord{until: until}
	}
	return true
}

// likeness is the same for notifications that say the same, whenever they came.
// The content names sender and OID.
func likeness(content string, n *notification) [16]byte {
	h := sha256.New()
	_, _ = io.WriteString(h, content)
	for i := range n.vars {
		v := &n.vars[i]
		fmt.Fprintf(h, "%q %d %d %d %g %q", v.oid, v.tag, v.cell.Int, v.cell.Uint, v.cell.Float, v.cell.Text)
	}
	return [16]byte(h.Sum(nil)[:16])
}

// over gives, for each kind whose time is over, the last record that was held
// back, with how many there were.
func (h *trapRepeats) over(now time.Duration) []probes.Record {
	var all []probes.Record
	for id, held := range h.held {
		if now < held.until {
			continue
		}
		delete(h.held, id)
		if held.more == 0 {
			continue
		}
		r := held.record
		r.Content += "(" + strconv.FormatUint(held.more, 10) + " more like the one before)"
		r.Numbers = append(r.Numbers, probes.Number{Key: "snmp.trap_repeats", Value: probes.Uint(held.more)})
		all = append(all, r)
	}
	return all
}

// expire ends the time of all.
func (h *trapRepeats) expire() {
	for _, held := range h.held {
		held.until = 0
	}
}
