package courier

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// packed is a block that was made of a lease.
type packed struct {
	payload []byte
	kind    wire.Kind
	items   int
	keep    func(i int) bool // what of the lease is in it; nil: all
}

// badItem says that one or more items of a lease can be in no block.
type badItem struct {
	from []int32
	kind string // of the dead letter
	text string
	err  error
}

func (e *badItem) Error() string { return e.err.Error() }

// packing says how a block is made.
type packing struct {
	header wire.Header
	naming wire.Naming
	now    time.Time
	folded time.Duration // of late points
	site   string
}

// pack makes a block of as much of a lease as fits. The error is a *badItem
// where something of the lease is to blame.
func pack(w *wire.Writer, l *buffer.Lease, p packing) (packed, error) {
	switch {
	case len(l.Points) > 0 && l.Late():
		return p.late(w, l)
	case len(l.Points) > 0:
		return p.points(w, l)
	case len(l.Entries) > 0:
		return p.entries(w, l)
	}
	return packed{}, fmt.Errorf("make block: the lease is empty")
}

func (p packing) points(w *wire.Writer, l *buffer.Lease) (packed, error) {
	payload, taken, err := w.AppendPoints(nil, p.header, l.Points, p.naming)
	if bad := (*wire.PointError)(nil); errors.As(err, &bad) {
		return packed{}, &badItem{from: []int32{0}, text: l.Points[0].Series.Key(), err: bad.Err}
	}
	return prefix(packed{payload: payload, kind: wire.Points}, taken, len(l.Points)), err
}

// prefix notes that a block holds the first of the items.
func prefix(made packed, taken, of int) packed {
	made.items = taken
	if taken < of {
		made.keep = func(i int) bool { return i < taken }
	}
	return made
}

// late makes log records of late points, many points in one.
func (p packing) late(w *wire.Writer, l *buffer.Lease) (packed, error) {
	records := record.Late(l.Points, record.LateOptions{Now: p.now, Resolution: p.folded, Site: p.site})
	entries := make([]wire.Entry, len(records))
	for i, r := range records {
		entries[i] = wire.Entry{Kind: uint8(buffer.LogEntry), Stamp: r.Record.Stamp, Data: record.AppendRecord(nil, r.Record)}
	}
	p.header.Kind = wire.Logs
	payload, taken, err := w.AppendEntries(nil, p.header, entries, p.most())
	if bad := (*wire.PointError)(nil); errors.As(err, &bad) {
		return packed{}, &badItem{from: records[0].From, kind: "log", text: records[0].Record.Content, err: bad.Err}
	}
	made := packed{payload: payload, kind: wire.Logs, items: taken}
	if taken < len(records) {
		in := make([]bool, len(l.Points))
		for _, r := range records[:taken] {
			for _, at := range r.From {
				in[at] = true
			}
		}
		made.keep = func(i int) bool { return in[i] }
	}
	return made, err
}

// most is the most bytes of a block; one that is made again may be larger.
func (p packing) most() int {
	if p.naming.Again {
		return wire.MaxBlock
	}
	return p.naming.Most
}

func (p packing) entries(w *wire.Writer, l *buffer.Lease) (packed, error) {
	entries := make([]wire.Entry, len(l.Entries))
	p.header.Kind = wire.Logs
	if l.Entries[0].Kind == buffer.EventEntry && !l.Late() {
		p.header.Kind = wire.Events
	}
	for i, e := range l.Entries {
		var err error
		if entries[i], err = p.entry(e, l.Late()); err != nil {
			return packed{}, &badItem{from: []int32{int32(i)}, kind: letterOf(e.Kind), err: err}
		}
	}
	payload, taken, err := w.AppendEntries(nil, p.header, entries, p.most())
	if bad := (*wire.PointError)(nil); errors.As(err, &bad) {
		return packed{}, &badItem{from: []int32{0}, kind: letterOf(l.Entries[0].Kind), err: bad.Err}
	}
	return prefix(packed{payload: payload, kind: p.header.Kind}, taken, len(entries)), err
}

func letterOf(k buffer.EntryKind) string {
	if k == buffer.EventEntry {
		return "event"
	}
	return "log"
}

// entry is an entry for a block: a late one is a log record of now, which
// says when it was.
func (p packing) entry(e buffer.Entry, late bool) (wire.Entry, error) {
	if !late {
		return wire.Entry{Kind: uint8(e.Kind), Stamp: e.Stamp, Data: e.Data}, nil
	}
	if e.Kind == buffer.EventEntry {
		event, err := record.ParseEvent(e.Data)
		if err != nil {
			return wire.Entry{}, err
		}
		r := record.InTime(record.EventRecord(record.DateEvent(event, e.Stamp)), p.now)
		return wire.Entry{Kind: uint8(buffer.LogEntry), Stamp: r.Stamp, Data: record.AppendRecord(nil, r)}, nil
	}
	r, err := record.ParseRecord(e.Data)
	if err != nil {
		return wire.Entry{}, err
	}
	r = record.InTime(record.DateRecord(r, e.Stamp), p.now)
	return wire.Entry{Kind: uint8(buffer.LogEntry), Stamp: r.Stamp, Data: record.AppendRecord(nil, r)}, nil
}

// oldestOf is the wall time of the oldest point of a lease, in Unix ms.
func oldestOf(l *buffer.Lease) int64 {
	oldest := l.Points[0].Stamp.Wall
	for i := range l.Points {
		oldest = min(oldest, l.Points[i].Stamp.Wall)
	}
	return oldest
}

// refusal settles the items that are to blame as refused for good, and gives
// the others back.
func refusal(n int, bad *badItem) []buffer.Settlement {
	each := slices.Repeat([]buffer.Settlement{{Outcome: buffer.Later}}, n)
	for _, at := range bad.from {
		each[at] = buffer.Settlement{Outcome: buffer.Refused, Kind: bad.kind, Line: bad.text, Reason: bad.Error()}
	}
	return each
}
