package buffer

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// kin says which stamps may lie in one segment: true ones, which have the
// zero kin, or the guesses of one boot.
type kin struct {
	guess bool
	boot  probes.BootID
}

// stamper makes stamps for the file.
type stamper struct {
	anchor *probes.Anchor                    // nil: there is none
	bases  map[probes.BootID]int64           // of the guesses of each boot
	base   func(probes.BootID) (int64, bool) // of records that wait in the file
}

func newStamper(a *probes.Anchor, g guesses) *stamper {
	return &stamper{anchor: a, bases: make(map[probes.BootID]int64), base: g.base}
}

// stamp keeps the uptime to the millisecond, as finely as any uplink tells
// time. A guess becomes the truth where its boot has an anchor; else all
// guesses of a boot get the base of the first one, so that one shift makes all
// of them true.
func (st *stamper) stamp(s probes.Stamp) (arc.Stamp, kin) {
	out := arc.Stamp{Boot: s.Boot, Uptime: s.Uptime.Milliseconds(), Wall: s.Wall}
	if !s.Guess {
		return out, kin{}
	}
	if st.anchor != nil && st.anchor.Boot == s.Boot {
		out.Wall = st.anchor.Offset + out.Uptime
		return out, kin{}
	}
	base, ok := st.bases[s.Boot]
	if !ok {
		if base, ok = st.base(s.Boot); !ok {
			base = out.Wall - out.Uptime
		}
		st.bases[s.Boot] = base
	}
	out.Wall = base + out.Uptime
	return out, kin{true, s.Boot}
}

// kins are the kinds of stamps that the tickets bring, true ones last: they
// are those that go on.
func (st *stamper) kins(tickets []*Ticket) []kin {
	var guesses []kin
	truth := false
	note := func(s probes.Stamp) {
		if !s.Guess {
			truth = true
			return
		}
		_, k := st.stamp(s)
		truth = truth || !k.guess
		if k.guess && !slices.Contains(guesses, k) {
			guesses = append(guesses, k)
		}
	}
	for _, t := range tickets {
		for rest := t.points; len(rest) > 0; rest = rest[len(sameStamp(rest)):] {
			note(rest[0].Stamp)
		}
		for i := range t.entries {
			note(t.entries[i].Stamp)
		}
	}
	if truth {
		guesses = append(guesses, kin{})
	}
	return guesses
}

func fromStamp(s arc.Stamp, d dating) probes.Stamp {
	return probes.Stamp{Boot: s.Boot, Uptime: time.Duration(s.Uptime) * time.Millisecond, Wall: d.wall(s.Wall), Guess: d.state != timed}
}
