package drain

import (
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// fillLate leases what the window has passed. Points leave as log records, one
// for each set of dimensions and period, once the whole period is late.
func (d *Drain) fillLate(now time.Time, b batch) (bool, error) {
	if d.opts.Late == LateDrop {
		return d.dropLate(now)
	}
	points := min(maxPoints, 1+int(float64(b.lines)*d.perRecord))
	x := &d.loads[laneLate]
	x.begin(laneLate.cargo(d.sender.target.Protocol))
	_, err := d.gather(x, points,
		buffer.Query{Late: true, Whole: d.opts.LateResolution, Max: points},
		buffer.Query{Late: true, Entries: true, Max: b.lines},
	)
	if len(x.leases) == 0 {
		return false, err
	}
	if len(x.entries) > 0 {
		d.writeRecords(x, d.recordsOf(x, now, false), b)
		return true, nil
	}
	made := record.Late(x.points, record.LateOptions{Now: now, Resolution: d.opts.LateResolution, Site: d.opts.Site})
	d.perRecord += 0.2 * (float64(len(x.points))/float64(len(made)) - d.perRecord)
	items := make([]item, len(made))
	for i, m := range made {
		items[i] = item{m.Record, m.From}
	}
	d.writeRecords(x, items, b)
	return true, nil
}

// dropLate gives up what is late, without a post.
func (d *Drain) dropLate(now time.Time) (bool, error) {
	lease, _, err := d.lease(buffer.Query{Late: true, Max: maxPoints}, buffer.Query{Late: true, Entries: true, Max: maxItems})
	if lease == nil {
		return false, err
	}
	d.update(func(*State) {
		for _, p := range lease.Points {
			d.ages.of(p.Stamp, now).Dropped++
		}
		for _, e := range lease.Entries {
			d.ages.of(e.Stamp, now).Dropped++
		}
	})
	return true, d.opts.Store.Settle(lease, []buffer.Settlement{{Outcome: buffer.Dropped}})
}

// ages count what became of late points, by their age.
type ages [5]Age

// ageClasses are the upper ends of the classes but for the last two.
var ageClasses = [...]struct {
	word string
	upto time.Duration
}{{"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}}

func newAges() (a ages) {
	for i, c := range ageClasses {
		a[i].Upto = c.word
	}
	a[3].Upto, a[4].Upto = "more", "unknown"
	return a
}

// of is the class of a stamp.
func (a *ages) of(s probes.Stamp, now time.Time) *Age {
	if s.Guess {
		return &a[4]
	}
	for i, c := range ageClasses {
		if now.Sub(s.Time()) <= c.upto {
			return &a[i]
		}
	}
	return &a[3]
}

// count takes the outcomes of a load of late points.
func (a *ages) count(x *load, now time.Time) {
	for i, s := range x.each {
		switch s.Outcome {
		case buffer.Logged:
			a.of(x.stamp(i), now).Logged++
		case buffer.Refused:
			a.of(x.stamp(i), now).Refused++
		}
	}
}
