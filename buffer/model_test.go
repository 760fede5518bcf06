package buffer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model drives a store at random and remembers in a plain map where each
// point must be.
func model(t *testing.T, seed uint64, steps int) {
	t.Helper()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := start(t, func(o *Options) { o.Window = time.Minute })
	type state struct {
		at time.Time // measured
		in string
	}
	points := make(map[int]*state)
	var leases []*Lease
	next := 0
	for range steps {
		switch random.IntN(6) {
		case 0, 1:
			n := 1 + random.IntN(300)
			r.append(r.points(next, n)...)
			for i := range n {
				points[next+i] = &state{r.clock.now(), "buffered"}
			}
			next += n
		case 2:
			if l := r.lease(1 + random.IntN(200)); l != nil {
				for _, v := range values(l) {
					if points[v].in != "buffered" || points[v].at.Before(r.clock.now().Add(-time.Minute)) {
						t.Fatalf("point %d of %v was leased, it is %s", v, points[v].at, points[v].in)
					}
					points[v].in = "leased"
				}
				leases = append(leases, l)
			}
		case 3:
			if len(leases) > 0 {
				i := random.IntN(len(leases))
				each := make([]Settlement, len(leases[i].Points))
				for j, v := range values(leases[i]) {
					each[j].Outcome = Outcome(1 + random.IntN(3))
					points[v].in = map[Outcome]string{Delivered: "delivered", Refused: "dead", Later: "buffered"}[each[j].Outcome]
				}
				r.settle(leases[i], each...)
				leases = slices.Delete(leases, i, i+1)
			}
		case 4:
			r.clock.add(time.Duration(random.IntN(20)) * time.Second)
		case 5:
			if random.IntN(10) == 0 {
				r.reopen()
				leases = nil
				for _, p := range points {
					if p.in == "leased" {
						p.in = "buffered"
					}
				}
			}
		}
		// Late goes by whole records, and only at a commit.
		r.flush()
		a := r.Account()
		count := make(map[string]int64)
		cutoff := r.clock.now().Add(-time.Minute)
		for _, p := range points {
			if p.in == "buffered" && p.at.Before(cutoff) {
				p.in = "late or to be"
			}
			count[p.in]++
		}
		if a.Accepted != int64(next) || a.Delivered != count["delivered"] || a.DeadLetter != count["dead"] ||
			a.Late > count["late or to be"] || a.Buffered+a.Late != count["buffered"]+count["leased"]+count["late or to be"] {
			t.Fatalf("account %+v, model %v", a, count)
		}
		r.verify()
	}
}
