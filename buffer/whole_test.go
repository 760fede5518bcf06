package buffer

import (
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// poll appends a point of each of n series, at the time of the rig; the value
// is 100 times the poll plus the series.
func (r *rig) poll(number, n int) {
	r.t.Helper()
	r.append(r.pollPoints(number, n)...)
}

func (r *rig) pollPoints(number, n int) []probes.Point {
	points := r.points(0, n)
	for i := range points {
		points[i].Value = probes.Uint(uint64(100*number + i))
	}
	return points
}

func (r *rig) query(q Query) []int {
	r.t.Helper()
	l, err := r.Lease(q)
	if err != nil {
		r.t.Fatal(err)
	}
	return values(l)
}

func dimIs(values ...string) func(*probes.Series) bool {
	return func(s *probes.Series) bool { return slices.Contains(values, s.Dim("n")) }
}

func TestWholeLeases(t *testing.T) {
	r := start(t, nil) // at the start of a minute
	for i := range 9 { // three polls a minute
		r.poll(i, 4)
		r.clock.add(20 * time.Second)
	}
	minute := func(q Query) Query { q.Whole = time.Minute; return q }
	if got := r.query(minute(Query{Max: 7})); !slices.Equal(got, []int{0, 1, 100, 101, 200, 201}) {
		t.Errorf("first lease %v", got)
	}
	if got := r.query(minute(Query{Max: 1})); !slices.Equal(got, []int{2, 102, 202}) {
		t.Errorf("a series with more points than asked for: %v", got)
	}
	if got := r.query(minute(Query{Max: 100, Match: dimIs("0", "1")})); !slices.Equal(got, []int{300, 301, 400, 401, 500, 501}) {
		t.Errorf("with Match, whose series of the first minute are leased: %v", got)
	}
	if got := r.query(minute(Query{Max: 100})); !slices.Equal(got, []int{3, 103, 203}) {
		t.Errorf("the rest of the first minute: %v", got)
	}
	cut := Query{Max: 100, Newest: newWall().now().Add(3*time.Minute - 2*time.Millisecond)}
	if got := r.query(minute(cut)); !slices.Equal(got, []int{302, 303, 402, 403, 502, 503}) {
		t.Errorf("the second minute: %v", got)
	}
	r.expectNone(minute(cut)) // Newest cuts the third one
	cut.Newest = cut.Newest.Add(time.Millisecond)
	if got := r.query(minute(cut)); len(got) != 12 {
		t.Errorf("the third minute: %v", got)
	}
}

// TestWholeLeaseIsBlocked has a point of each of two series leased.
func TestWholeLeaseIsBlocked(t *testing.T) {
	r := start(t, nil)
	r.poll(0, 2)
	r.clock.add(20 * time.Second)
	r.poll(1, 4)
	r.clock.add(20 * time.Second)
	if got := values(r.lease(2)); !slices.Equal(got, []int{0, 1}) {
		t.Fatal(got)
	}
	r.poll(2, 4)
	// Series 0 and 1 would take all the room if they were not found blocked.
	if got := r.query(Query{Max: 2, Whole: time.Minute}); !slices.Equal(got, []int{102, 202}) {
		t.Errorf("got %v", got)
	}
	if got := r.query(Query{Max: 9, Whole: time.Minute}); !slices.Equal(got, []int{103, 203}) {
		t.Errorf("got %v", got)
	}
	r.expectNone(Query{Max: 9, Whole: time.Minute})
}

// TestWholeLeaseBlockedLate has the leased point behind the others: its series
// takes the room of the next one before that is seen.
func TestWholeLeaseBlockedLate(t *testing.T) {
	r := start(t, nil)
	r.poll(0, 2)
	r.clock.add(20 * time.Second)
	at := r.clock.now()
	r.poll(1, 2)
	if got := r.query(Query{Max: 1, Oldest: at}); !slices.Equal(got, []int{100}) {
		t.Fatal(got)
	}
	r.clock.add(20 * time.Second)
	r.poll(2, 2)
	if got := r.query(Query{Max: 1, Whole: time.Minute}); !slices.Equal(got, []int{1, 101, 201}) {
		t.Errorf("got %v", got)
	}
}

// TestWholeLateHour has an hour that becomes late bit by bit: it is leased when
// all of it is late.
func TestWholeLateHour(t *testing.T) {
	r := start(t, nil)
	for i := range 60 {
		r.poll(i, 3)
		r.clock.add(time.Minute)
	}
	hour := Query{Max: 60, Late: true, Whole: time.Hour}
	r.clock.add(30 * time.Minute)
	r.flush()
	if a := r.Account(); a.Late == 0 || a.Buffered == 0 {
		t.Fatalf("account %+v", a)
	}
	r.expectNone(hour)
	r.clock.add(30 * time.Minute)
	r.flush()
	var leases []*Lease
	for range 3 {
		l, err := r.Lease(hour)
		if err != nil || l == nil || len(l.Points) != 60 {
			t.Fatalf("leased %v, %v", values(l), err)
		}
		for _, p := range l.Points {
			if p.Series != l.Points[0].Series {
				t.Errorf("series %v and %v", p.Series.Dims(), l.Points[0].Series.Dims())
			}
		}
		leases = append(leases, l)
	}
	r.expectNone(hour)
	for _, l := range leases {
		r.settle(l, Settlement{Outcome: Logged})
	}
	r.flush()
	r.account(Account{Accepted: 180, Late: 180, LateLogged: 180})
}

// TestWholeUndated does not put guesses of different boots together.
func TestWholeUndated(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 0, 0, 5)...)
	r.append(r.guessed(boot(2), 0, 10, 5)...)
	r.poll(9, 1)
	r.anchorNow(boot(3), 0)
	r.flush()
	for _, want := range [][]int{sequence(0, 5), sequence(10, 5), nil} {
		if got := r.query(Query{Max: 100, Late: true, Whole: time.Hour}); !slices.Equal(got, want) {
			t.Errorf("leased %v, want %v", got, want)
		}
	}
}

// TestWholeUndatedReadsOnePeriod holds that a lease out of many guesses reads
// those of its period, not all: else an archive of them would take days.
func TestWholeUndatedReadsOnePeriod(t *testing.T) {
	r := start(t, nil)
	const periods = 40
	for i := range periods {
		r.append(r.guessed(boot(1), 0, i*60, 3)...)
	}
	r.anchorNow(boot(3), 0)
	r.flush()
	for i := range 3 {
		if got := r.query(Query{Max: 100, Late: true, Whole: time.Minute}); !slices.Equal(got, sequence(i*60, 3)) {
			t.Errorf("leased %v", got)
		}
		if read := int(r.holds.late.next); read > periods/2 {
			t.Errorf("lease %d has read %d records", i, read)
		}
	}
}

func TestPeriods(t *testing.T) {
	w := &whole{length: 60_000}
	for wall, want := range map[int64]int64{0: 0, 59_999: 0, 60_000: 60_000, -1: -60_000, -60_000: -60_000, -60_001: -120_000} {
		if got := w.period(wall); got != want {
			t.Errorf("%d is in the period of %d, want %d", wall, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	r := start(t, nil)
	r.poll(0, 5)
	r.poll(1, 5)
	if got := r.query(Query{Max: 3, Match: dimIs("1", "3")}); !slices.Equal(got, []int{1, 3, 101}) {
		t.Errorf("got %v", got)
	}
	if got := r.query(Query{Max: 100, Match: dimIs("1", "3")}); !slices.Equal(got, []int{103}) {
		t.Errorf("got %v", got)
	}
	if got := values(r.lease(100)); !slices.Equal(got, []int{0, 2, 4, 100, 102, 104}) {
		t.Errorf("the others: %v", got)
	}
}

// TestOutcomesOfLeases has outcomes that points of a lane cannot have.
func TestOutcomesOfLeases(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 5)...)
	r.clock.add(2 * time.Hour)
	r.append(r.points(5, 5)...)
	late, now := r.lateLease(), r.lease(5)
	for _, c := range []struct {
		lease *Lease
		bad   []Outcome
	}{{late, []Outcome{0, Delivered, Dropped + 1}}, {now, []Outcome{0, Logged, Dropped, Dropped + 1}}} {
		for _, o := range c.bad {
			if err := r.Settle(c.lease, []Settlement{{Outcome: o}}); err == nil {
				t.Errorf("outcome %d was taken", o)
			}
		}
	}
	r.settle(late, Settlement{Outcome: Logged})
	r.settle(now, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: 10, Late: 5, LateLogged: 4, Delivered: 5})
}

// TestLateLeaseIsNotEvicted fills a small store while late points are on their
// way: those that are not go first.
func TestLateLeaseIsNotEvicted(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
	r.append(r.points(0, 10)...)
	r.reopen() // ends the segment
	r.append(r.points(10, 10)...)
	r.reopen()
	r.clock.add(2 * time.Hour)
	r.flush()
	l := r.lateLease()
	n := r.overfill()
	r.settle(l, Settlement{Outcome: Logged})
	r.flush()
	a := r.Account()
	if a.LateLogged != 4 || a.LateArchived != 6 || a.Accepted != n+20 {
		t.Errorf("account %+v", a)
	}
	r.verify()
}

// TestLateCursorIsFreed checks that an idle store does not keep what reading
// late points took.
func TestLateCursorIsFreed(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	r.clock.add(2 * time.Hour)
	r.flush()
	r.lease(1)
	l := r.lateLease()
	if r.holds.late == nil {
		t.Error("late points were read with the cursor of another lane")
	}
	r.settle(l, Settlement{Outcome: Logged})
	r.flush()
	rest, err := r.Lease(Query{Max: 100, Late: true})
	if err != nil {
		t.Fatal(err)
	}
	r.expectNone(Query{Max: 1, Late: true})
	if r.holds.late != nil {
		t.Error("the cursor is still there")
	}
	r.settle(rest, Settlement{Outcome: Later})
}
