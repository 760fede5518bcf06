package drain

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/buffer"
)

const (
	maxPoints = 20_000 // of a post
	maxLeases = 64     // of a post
	// wholePosts leave from one lease of whole minutes, which costs the store more.
	wholePosts = 2
	maxItems   = 5_000   // data points and log records of a post
	smallPost  = 4 << 10 // bytes of text of a trial
	smallLine  = 150     // bytes of text of a point, where nothing was measured
)

// batch is how much one post may carry.
type batch struct {
	text  int // bytes before compression
	lines int
}

// batch shapes the next post of a lane.
func (d *Drain) batch(c cargo) batch {
	b := batch{text: d.shaper.size(), lines: maxItems}
	if c == metrics {
		b.text, b.lines = min(b.text, maxBytes-1), maxLines
	}
	if d.gates.halfOpen() || d.gates.cargo[c].held {
		b.text = min(b.text, smallPost)
	}
	b.lines = max(1, min(b.lines, int(float64(b.text)/d.perLine[c])))
	return b
}

// measured keeps the size of a line, so that leases have about the points that
// one post takes.
func (d *Drain) measured(c cargo, text, lines int) {
	if lines > 0 {
		d.perLine[c] += 0.2 * (float64(text)/float64(lines) - d.perLine[c])
	}
}

// fill leases for a lane, and makes lines of the lease. It reports whether
// there was something to lease.
func (d *Drain) fill(l lane) (bool, error) {
	now := d.opts.Now()
	b := d.batch(l.cargo(d.sender.target.Protocol))
	switch l {
	case laneLive, laneWindow:
		return d.fillMetrics(l, now, b)
	case laneEvents:
		return d.fillEvents(now, b)
	case laneLogs:
		return d.fillLogs(now, b)
	}
	return d.fillLate(now, b)
}

// lease tries queries one after the other.
func (d *Drain) lease(queries ...buffer.Query) (*buffer.Lease, buffer.Query, error) {
	for _, q := range queries {
		lease, err := d.opts.Store.Lease(q)
		if lease != nil || err != nil {
			return lease, q, err
		}
	}
	return nil, buffer.Query{}, nil
}

// scope is what the queries of metrics depend on.
func (d *Drain) scope(now time.Time, b batch) scope {
	s := scope{
		now: now, window: d.opts.Window, settle: d.opts.Settle, spread: d.spreadUntil,
		estimate: d.shaper.estimate(b.text), points: b.lines, cadence: d.cadence,
	}
	if s.cadence != nil {
		s.folded = min(maxPoints, 1+int(float64(wholePosts*b.lines)*d.perFold))
	}
	return s
}

// gather leases for one post. Where a lease holds one period only, it takes
// several, until there are points enough for the post.
func (d *Drain) gather(x *load, enough int, queries ...buffer.Query) (found buffer.Query, err error) {
	for len(x.leases) == 0 || found.Whole > 0 && len(x.points) < enough && len(x.leases) < maxLeases {
		var lease *buffer.Lease
		for i := range queries {
			queries[i].Spare = x.spare
		}
		x.spare = nil
		if lease, found, err = d.lease(queries...); lease == nil {
			break
		}
		x.take(lease)
		queries = []buffer.Query{found}
	}
	if len(x.leases) > 0 {
		err = nil // the next lease meets it again
	}
	return queries[0], err
}

// fillMetrics leases points and makes lines of them, as many as a post takes.
// The others are given back with the lease.
func (d *Drain) fillMetrics(l lane, now time.Time, b batch) (bool, error) {
	s := d.scope(now, b)
	queries := s.backlog()
	if l == laneLive {
		queries = s.fresh()
	}
	if len(queries) == 0 {
		return false, nil
	}
	x := &d.loads[l]
	x.begin(l.cargo(d.sender.target.Protocol))
	q, err := d.gather(x, s.folded, queries...)
	if len(x.leases) == 0 {
		return false, err
	}
	if d.cadence != nil && q.Whole == 0 {
		d.cadence.learn(x.points)
	}
	items := d.fold(x, q.Whole)
	if x.cargo == metrics {
		posts := 1
		if q.Whole > 0 {
			posts = wholePosts
		}
		d.writeLines(x, items, b, posts)
	} else {
		d.writePoints(x, items, b)
	}
	return true, nil
}

// fold makes the items of the metric lanes: points that are folded, or one by
// one without those of series that will be.
func (d *Drain) fold(x *load, whole time.Duration) []folded {
	x.folds = fold(x.folds, x.points, whole)
	if d.cadence == nil {
		return x.folds
	}
	if whole == 0 {
		return slices.DeleteFunc(x.folds, func(f folded) bool { return d.cadence.fast(f.point.Series) })
	}
	for i := range x.folds {
		if len(x.folds[i].from) > 1 {
			d.cadence.confirm(x.folds[i].point)
		}
	}
	d.perFold += 0.2 * (float64(len(x.points))/float64(len(x.folds)) - d.perFold)
	return x.folds
}

// writeLines makes metric lines for so many posts.
func (d *Drain) writeLines(x *load, items []folded, b batch, posts int) {
	x.texts.clear()
	x.form = &x.texts
	for some := range slices.Chunk(items[:min(len(items), posts*b.lines)], b.lines) {
		if !d.writePost(x, some, b.text) {
			break
		}
	}
	d.measured(metrics, len(x.texts.bytes), len(x.lines))
}

// writePost makes the lines of one post. It is false where not all fit.
func (d *Drain) writePost(x *load, items []folded, most int) bool {
	t, first, begin, fits := &x.texts, len(x.lines), len(x.texts.bytes), true
	for _, r := range d.sorting.order(items) {
		item := &items[r]
		text, err := t.writer.AppendLine(t.bytes, item.point)
		if err != nil {
			x.unsendable(item.from, item.point.Series.Key(), err.Error())
			continue
		}
		if len(text)-begin >= most && len(x.lines) > first {
			fits = false
			break
		}
		t.bytes = text
		t.close()
		x.add(item.from)
	}
	if first < len(x.lines) {
		x.parts = append(x.parts, span{first, len(x.lines)})
	}
	return fits
}

// writePoints makes OTLP data points.
func (d *Drain) writePoints(x *load, items []folded, b batch) {
	f := &otlpPoints{options: otlp.Options{Version: d.opts.Version}, bytes: d.scratch}
	for i := range items {
		f.points = append(f.points, items[i].point)
	}
	n := otlp.Fits(f.points, b.text, f.options)
	if n == 0 {
		n = min(1, len(items))
	}
	f.points, items = f.points[:n], items[:n]
	var refused []otlp.Refused
	f.bytes, refused = otlp.AppendMetrics(f.bytes[:0], f.points, f.options)
	for _, r := range refused {
		x.unsendable(items[r.Index].from, lineOf(f.points[r.Index]), r.Reason)
	}
	gone := func(i int) bool {
		_, found := slices.BinarySearchFunc(refused, i, func(r otlp.Refused, i int) int { return cmp.Compare(r.Index, i) })
		return found
	}
	kept := f.points[:0]
	for i := range items {
		if !gone(i) {
			kept = append(kept, items[i].point)
			x.add(items[i].from)
		}
	}
	f.points = kept
	d.measured(otlpMetrics, len(f.bytes), n)
	d.scratch = f.bytes
	x.ready(f)
}
