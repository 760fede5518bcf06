package powercut

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// What is known of a point. Of what the child said only that counts that it
// said before the power went.
const (
	offered   = 1 << iota // it may be there
	acked                 // it was durable
	delivered             // it may have been settled as delivered
	refused               // it may have been settled as refused
	gone                  // its settlement was durable
	old                   // it is older than the window was at some time
	found                 // it is there
)

// verdict collects what is wrong.
type verdict struct {
	Problems []string
	Account  buffer.Account
	Found    int
}

func (v *verdict) add(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *verdict) check(what string, err error) bool {
	if err != nil {
		v.add("%s: %v", what, err)
	}
	return err == nil
}

// known is the state of each point, by its number, and what else was said.
type known struct {
	state []uint16
	said  history
	clock int64 // the latest
	last  buffer.Account
	exact bool // eviction goes strictly by age
}

func (h history) known() *known {
	k := &known{state: make([]uint16, h.points()), said: h, clock: epoch, exact: true}
	var settled []span
	for _, e := range h {
		k.clock = max(k.clock, e.Clock)
		k.exact = k.exact && !e.Held
		switch e.Op {
		case opOffer:
			k.mark(offered, e.Points)
		case opAck:
			k.mark(acked, e.Points)
		case opSettle:
			k.mark(delivered, e.Delivered...)
			k.mark(refused, e.Refused...)
			settled = append(append(settled, e.Delivered...), e.Refused...)
		case opCommit:
			k.mark(gone, settled...)
			settled, k.last = nil, *e.Account
		case opKill:
			settled = nil // of these it is not known
		}
	}
	for _, e := range h {
		if e.Op == opOffer && e.Wall < k.clock-late.Milliseconds() {
			k.mark(old, e.Points)
		}
	}
	return k
}

func (k *known) mark(flag uint16, spans ...span) {
	for _, s := range spans {
		for n := s.From; n < s.To; n++ {
			k.state[n] |= flag
		}
	}
}

// those are the points that have all of some flags and none of others.
func (k *known) those(with, without uint16) (numbers []uint64) {
	for n, s := range k.state {
		if s&with == with && s&without == 0 {
			numbers = append(numbers, uint64(n))
		}
	}
	return numbers
}

func (k *known) count(any uint16) (n int64) {
	for _, s := range k.state {
		if s&any != 0 {
			n++
		}
	}
	return n
}

// judge opens the store that the power cut has left and holds it against what
// was said before.
func judge(h history, path string) *verdict {
	v, k := &verdict{}, h.known()
	// A clock before all points makes none of them late, so that all that are
	// buffered can be had.
	s, err := buffer.Open(buffer.Options{Path: path, MaxSize: quota, Window: late, Now: at(epoch - late.Milliseconds())})
	if !v.check("open", err) {
		return v
	}
	if aside, _ := filepath.Glob(path + ".*"); len(aside) > 0 {
		v.add("files lie beside the buffer: %v", aside)
	}
	v.Account, err = s.Verify()
	v.check("verify", err)
	v.inspect(s, k)
	v.weigh(k)
	v.check("close", s.Close())
	if len(v.Problems) == 0 {
		v.goOn(k, path)
	}
	return v
}

func at(ms int64) func() time.Time { return func() time.Time { return time.UnixMilli(ms) } }

// inspect reads all points that are to be sent.
func (v *verdict) inspect(s *buffer.Store, k *known) {
	ranges := make(map[uint64]event)
	for {
		l, err := s.Lease(buffer.Query{Max: 50_000})
		if !v.check("lease", err) || l == nil {
			return
		}
		for _, p := range l.Points {
			if problem := k.find(p, ranges); problem != "" {
				v.add("%s", problem)
				return
			}
		}
		v.Found += len(l.Points)
	}
}

// find notes one point that is there.
func (k *known) find(p probes.Point, cache map[uint64]event) string {
	n, noisy := numberOf(p.Value)
	if n >= uint64(len(k.state)) || k.state[n]&offered == 0 {
		return fmt.Sprintf("point %d is there but was never offered", n)
	}
	if k.state[n]&found != 0 {
		return fmt.Sprintf("point %d is there twice", n)
	}
	k.state[n] |= found
	e, ok := cache[n>>8]
	if !ok || n < e.Points.From || n >= e.Points.To {
		for _, e = range k.said {
			if e.Op == opOffer && n >= e.Points.From && n < e.Points.To {
				break
			}
		}
		cache[n>>8] = e
	}
	series := fmt.Sprint(e.Series + int(n-e.Points.From))
	if noisy != e.Noise || p.Stamp.Wall != e.Wall || p.Series.Dim("n") != series {
		return fmt.Sprintf("point %d is there as %v at %d of series %s, but was of series %s at %d",
			n, p.Value.Uint64(), p.Stamp.Wall, p.Series.Dim("n"), series, e.Wall)
	}
	return ""
}

// weigh holds the account and the points that are there against what was said.
func (v *verdict) weigh(k *known) {
	a := v.Account
	v.check("account", a.Check())
	is := func(ok bool, format string, args ...any) {
		if !ok {
			v.add(format+": account %+v", append(args, a)...)
		}
	}
	is(a.Damaged == 0, "damage")
	is(a.Purged == 0, "nobody purged")
	is(a.Buffered == int64(v.Found), "%d points can be leased", v.Found)
	is(a.Accepted >= k.count(acked), "%d points were acknowledged", k.count(acked))
	is(a.Accepted <= k.count(offered), "%d points were offered", k.count(offered))
	is(a.Delivered <= k.count(delivered), "%d points were settled as delivered", k.count(delivered))
	is(a.DeadLetter <= k.count(refused), "%d points were settled as refused", k.count(refused))
	is(a.Accepted >= k.last.Accepted && a.Delivered >= k.last.Delivered && a.Evicted >= k.last.Evicted,
		"the last account told was %+v", k.last)
	if back := k.those(gone|found, 0); len(back) > 0 {
		v.add("%d points came back that were settled for good: %s", len(back), some(back))
	}
	missing := k.those(acked, delivered|refused|found)
	is(int64(len(missing)) <= a.Late+a.Evicted, "%d acknowledged points are missing: %s", len(missing), some(missing))
	young := k.those(acked, delivered|refused|found|old)
	is(int64(len(young)) <= a.Evicted, "%d acknowledged points are missing that cannot be late: %s", len(young), some(young))
	v.weighOrder(k, young)
	v.weighWhole(k)
}

// weighOrder: the oldest points go first, so no point that is there is older
// than one that was evicted.
func (v *verdict) weighOrder(k *known, young []uint64) {
	if len(young) == 0 || !k.exact {
		return
	}
	newest := young[len(young)-1]
	var older []uint64
	for n, s := range k.state[:newest] {
		if s&found != 0 {
			older = append(older, uint64(n))
		}
	}
	if len(older) > 0 {
		v.add("points %s are missing though older ones are there: %s", some(young), some(older))
	}
}

// weighWhole: what was handed over at once is there as a whole or not at all.
func (v *verdict) weighWhole(k *known) {
	for _, e := range k.said {
		if e.Op != opOffer {
			continue
		}
		there, lost := 0, 0
		for _, s := range k.state[e.Points.From:e.Points.To] {
			switch {
			case s&found != 0:
				there++
			case s&(delivered|refused) == 0:
				lost++
			}
		}
		if there > 0 && lost > 0 {
			v.add("of points %v, handed over at once, %d are there and %d are lost", e.Points, there, lost)
		}
	}
}

// goOn uses the store as it was left: at the right time, with new points.
func (v *verdict) goOn(k *known, path string) {
	s, err := buffer.Open(buffer.Options{Path: path, MaxSize: quota, Window: late, Now: at(k.clock)})
	if !v.check("open again", err) {
		return
	}
	var series catalog
	points := make([]probes.Point, 100)
	for i := range points {
		points[i] = probes.Point{Series: series.get(10 * i), Value: probes.Int(int64(i)), Stamp: probes.Stamp{Wall: k.clock}}
	}
	v.check("append", s.Append(context.Background(), points))
	l, err := s.Lease(buffer.Query{Max: 100, Oldest: time.UnixMilli(k.clock)})
	if v.check("lease", err) && l == nil {
		v.add("new points cannot be leased")
	}
	if l != nil {
		v.check("settle", s.Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}))
	}
	v.check("commit", s.Append(context.Background(), nil))
	a, err := s.Verify()
	v.check("verify after going on", err)
	if a.Accepted != v.Account.Accepted+100 || a.Delivered != v.Account.Delivered+100 || a.Damaged != 0 {
		v.add("account was %+v and is %+v after 100 points more", v.Account, a)
	}
	v.check("close again", s.Close())
}

// some are the first few of many points.
func some(numbers []uint64) string {
	spans := spansOf(numbers)
	var out []string
	for _, s := range spans[:min(len(spans), 5)] {
		out = append(out, s.String())
	}
	if len(spans) > 5 {
		out = append(out, "...")
	}
	return strings.Join(out, " ")
}
