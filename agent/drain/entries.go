package drain

import (
	"time"

	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	// manyEvents are looked through for those that can go now.
	manyEvents = 256
	// fewEvents leave from one lease, one post each.
	fewEvents = 16
	// logAhead is how far in the future an entry may lie.
	logAhead = 4 * time.Minute
)

// entryQuery is for events or log records that are still taken as such.
func entryQuery(now time.Time, kind buffer.EntryKind, most int) buffer.Query {
	return buffer.Query{Entries: true, Kind: kind, Oldest: now.Add(margin - entryWindow), Newest: now.Add(logAhead), Max: most}
}

// fillEvents leases events: for the events API those that it takes, one post
// each. Over OTLP they leave as log records, many in a post.
func (d *Drain) fillEvents(now time.Time, b batch) (bool, error) {
	q := entryQuery(now, buffer.EventEntry, manyEvents)
	found, err := d.someEvents(now, b, q)
	x := &d.loads[laneEvents]
	if !found || err != nil || x.busy() || x.refused > 0 {
		return found, err
	}
	// Those that only log records can tell of must not hold up the others.
	d.finish(x)
	q.Oldest = now.Add(-record.MaxProblemAge)
	return d.someEvents(now, b, q)
}

// someEvents makes a load of what a query gives.
func (d *Drain) someEvents(now time.Time, b batch, q buffer.Query) (bool, error) {
	x := &d.loads[laneEvents]
	x.begin(laneEvents.cargo(d.sender.target.Protocol))
	if _, err := d.gather(x, manyEvents, q); len(x.leases) == 0 {
		return false, err
	}
	if x.cargo == otlpLogs {
		d.writeRecords(x, d.recordsOf(x, now, false), b)
		return true, nil
	}
	f := &objects{}
	f.clear()
	for i, e := range x.entries {
		event, err := eventOf(e)
		if err != nil {
			x.unsendable([]int32{int32(i)}, "", err.Error())
			continue
		}
		if len(x.lines) == fewEvents || !record.EventInTime(event, now) {
			continue
		}
		f.bytes = record.AppendEventBody(f.bytes, event)
		f.close()
		x.add([]int32{int32(i)})
		x.parts = append(x.parts, span{len(x.lines) - 1, len(x.lines)})
	}
	x.form = f
	return true, nil
}

// fillLogs leases log records, else events that the events API does not take
// any more.
func (d *Drain) fillLogs(now time.Time, b batch) (bool, error) {
	x := &d.loads[laneLogs]
	x.begin(laneLogs.cargo(d.sender.target.Protocol))
	q, err := d.gather(x, b.lines, entryQuery(now, buffer.LogEntry, b.lines), entryQuery(now, buffer.EventEntry, manyEvents))
	if len(x.leases) == 0 {
		return false, err
	}
	d.writeRecords(x, d.recordsOf(x, now, q.Kind == buffer.EventEntry && x.cargo == logs), b)
	return true, nil
}

// item is a log record and what it stands for.
type item struct {
	record probes.Record
	from   []int32
}

// recordsOf makes log records of the entries of a lease. With stale, those
// events are left out that can still go as events.
func (d *Drain) recordsOf(x *load, now time.Time, stale bool) []item {
	items := make([]item, 0, len(x.entries))
	for i, e := range x.entries {
		at := []int32{int32(i)}
		if e.Kind == buffer.EventEntry {
			event, err := eventOf(e)
			if err != nil {
				x.unsendable(at, "", err.Error())
			} else if !stale || !record.EventInTime(event, now) {
				items = append(items, item{record.InTime(record.EventRecord(event), now), at})
			}
			continue
		}
		r, err := record.ParseRecord(e.Data)
		if err != nil {
			x.unsendable(at, "", err.Error())
			continue
		}
		items = append(items, item{record.InTime(record.DateRecord(r, e.Stamp), now), at})
	}
	return items
}

func eventOf(e buffer.Entry) (probes.Event, error) {
	event, err := record.ParseEvent(e.Data)
	return record.DateEvent(event, e.Stamp), err
}

// writeRecords makes a post of log records, as many as it takes.
func (d *Drain) writeRecords(x *load, items []item, b batch) {
	if x.cargo == otlpLogs {
		d.writeOTLPRecords(x, items, b)
		return
	}
	f := &objects{list: true}
	f.clear()
	for _, it := range items[:min(len(items), b.lines)] {
		begin := len(f.bytes)
		f.bytes = record.AppendLogItem(f.bytes, it.record)
		if len(f.bytes) > b.text && len(x.lines) > 0 {
			f.bytes = f.bytes[:begin]
			break
		}
		f.close()
		x.add(it.from)
	}
	d.measured(logs, len(f.bytes), len(x.lines))
	x.ready(f)
}

func (d *Drain) writeOTLPRecords(x *load, items []item, b batch) {
	f := &otlpRecords{options: otlp.Options{Version: d.opts.Version, Observed: d.opts.Now().UnixMilli()}}
	for _, it := range items {
		f.records = append(f.records, it.record)
	}
	n := max(otlp.FitsLogs(f.records, b.text, f.options), min(1, len(items)))
	f.records = f.records[:n]
	for _, it := range items[:n] {
		x.add(it.from)
	}
	if n > 0 {
		d.measured(otlpLogs, len(f.body(span{0, n})), n)
	}
	x.ready(f)
}
