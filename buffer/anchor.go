package buffer

import (
	"time"

	"github.com/edgehold/edgehold/probes"
)

// SetAnchor says how the clock of this boot is tied to true time. Points of
// this boot that carry a guess get their true time: those that are packed from
// now on at once, those in the file with the next commit. Those of other boots
// that never had an anchor will have no time: they become late. A process that
// takes its time from a saved anchor sets that again, for the sake of those.
func (s *Store) SetAnchor(a probes.Anchor) {
	s.mu.Lock()
	s.anchor, s.anchored = &a, true
	waits := s.ledger.Guesses.waits()
	s.mu.Unlock()
	if !waits {
		return
	}
	s.holds.mu.Lock()
	s.holds.touch(true) // points wait for it: the commit comes within a second
	s.holds.mu.Unlock()
	s.wakeUp()
}

// Anchor gives the last anchor that was set, in this run or an earlier one,
// of whatever boot.
func (s *Store) Anchor() (probes.Anchor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.anchor == nil {
		return probes.Anchor{}, false
	}
	return *s.anchor, true
}

// savedAnchor is an anchor in the ledger.
type savedAnchor struct {
	Boot   bootID `json:"boot"`
	Offset int64  `json:"offset"` // milliseconds
	Error  int64  `json:"error"`  // nanoseconds
	Source string `json:"source"`
}

func saveAnchor(a *probes.Anchor) *savedAnchor {
	if a == nil {
		return nil
	}
	return &savedAnchor{bootID(a.Boot), a.Offset, int64(a.Error), a.Source}
}

func (a *savedAnchor) anchor() *probes.Anchor {
	if a == nil {
		return nil
	}
	return &probes.Anchor{Boot: probes.BootID(a.Boot), Offset: a.Offset, Error: time.Duration(a.Error), Source: a.Source}
}

// hasAnchor tells whether the anchor is written down.
func (l *ledger) hasAnchor(a *probes.Anchor) bool {
	return a == nil || l.Anchor != nil && *l.Anchor == *saveAnchor(a)
}

// date writes the anchor down and gives records their time by it. With over
// it is of this boot, so that others have ended.
func (l *ledger) date(a *probes.Anchor, over bool) (changed bool) {
	if a == nil {
		return false
	}
	l.Anchor = saveAnchor(a)
	l.Guesses, changed = l.Guesses.date(*a, over)
	return changed
}
