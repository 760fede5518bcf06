package buffer

import (
	"encoding/hex"
	"fmt"
	"math"

	"github.com/edgehold/edgehold/probes"
)

// dating says what the wall times in a record are worth.
type dating struct {
	state datingState
	shift int64 // milliseconds to be added to them
}

type datingState uint8

const (
	timed   datingState = 0 // true, once shifted
	waiting datingState = 1 // guesses: the clock of their boot may yet be tied to true time
	undated datingState = 2 // guesses for ever: their boot ended before that
)

func (d dating) wall(ms int64) int64 { return ms + d.shift }

// guess is the records that were made while the clock of one boot was not
// trusted. Their wall times are the uptime plus the base.
type guess struct {
	Boot    bootID      `json:"boot"` // zeros where they are undated: those of all boots are one entry
	Base    int64       `json:"base"` // milliseconds
	State   datingState `json:"state"`
	Shift   int64       `json:"shift"`   // milliseconds, where they are timed
	Records []byte      `json:"records"` // their numbers

	records numbers // Records, in memory
}

// bootID is written as 32 hexadecimal digits.
type bootID probes.BootID

// MarshalText is for JSON.
func (b bootID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (b *bootID) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(b) {
		return fmt.Errorf("boot id %.40q has not 32 digits", text)
	}
	_, err := hex.Decode(b[:], text)
	return err
}

// guesses is the table of all records whose wall times are not true as they
// stand. A segment holds such of one boot, or none.
type guesses []guess

// of tells what the wall times of a record are worth.
func (g guesses) of(record uint64) dating {
	if x := g.find(record); x != nil {
		return dating{x.State, x.Shift}
	}
	return dating{}
}

func (g guesses) find(record uint64) *guess {
	for i := range g {
		if g[i].records.has(spanOf[uint64]{record, record + 1}) {
			return &g[i]
		}
	}
	return nil
}

// count is how many records of a span are in the table.
func (g guesses) count(x spanOf[uint64]) (n int64) {
	for i := range g {
		n += int64(x.to-x.from) - g[i].records.free(x).count()
	}
	return n
}

// total is how many records are in the table.
func (g guesses) total() (n int64) {
	for i := range g {
		n += g[i].records.count()
	}
	return n
}

// add takes in a new record. It waits.
func (g guesses) add(record uint64, boot probes.BootID, base int64) guesses {
	x := spanOf[uint64]{record, record + 1}
	for i := range g {
		if g[i].State == waiting && g[i].Boot == bootID(boot) && g[i].Base == base {
			g[i].records = g[i].records.add(x)
			return g
		}
	}
	return append(g, guess{Boot: bootID(boot), Base: base, State: waiting, records: numbers{x}})
}

// base is that of the records of a boot that wait.
func (g guesses) base(boot probes.BootID) (base int64, ok bool) {
	for i := range g {
		if g[i].State == waiting && g[i].Boot == bootID(boot) {
			return g[i].Base, true
		}
	}
	return 0, false
}

// date gives the records of the anchor's boot their time. With over all other
// boots are known to have ended: what waits for them waits no longer.
func (g guesses) date(a probes.Anchor, over bool) (_ guesses, changed bool) {
	var out guesses
	var never numbers
	for _, x := range g {
		switch {
		case x.State == waiting && x.Boot == bootID(a.Boot):
			x.State, x.Shift, changed = timed, a.Offset-x.Base, true
		case x.State == waiting && over:
			changed = true
			fallthrough
		case x.State == undated:
			never = never.union(x.records)
			continue
		}
		out = append(out, x)
	}
	if len(never) > 0 {
		out = append(out, guess{State: undated, records: never})
	}
	return out, changed
}

// waits reports whether records wait for the anchor, or for the end of another
// boot.
func (g guesses) waits() bool {
	for i := range g {
		if g[i].State == waiting {
			return true
		}
	}
	return false
}

// drop forgets records that are deleted from the file.
func (g guesses) drop(x spanOf[uint64]) guesses {
	out := g[:0]
	for _, one := range g {
		if one.records = one.records.remove(x); len(one.records) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// pack makes the table ready to be written.
func (g guesses) pack() guesses {
	out := make(guesses, len(g))
	for i, x := range g {
		x.Records = x.records.appendTo(nil)
		out[i] = x
	}
	return out
}

// unpack is the inverse of pack.
func (g guesses) unpack() error {
	for i := range g {
		if g[i].State > undated {
			return fmt.Errorf("a guess of the time has state %d: %w", g[i].State, errDamaged)
		}
		var err error
		if g[i].records, err = parseSet[uint64](g[i].Records, math.MaxUint64); err != nil {
			return err
		}
	}
	return nil
}
