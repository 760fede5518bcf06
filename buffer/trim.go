package buffer

// Late tells whether the points or entries were late when they were leased.
func (l *Lease) Late() bool { return l.late }

// Trim gives back what keep says no to, in the order of the lease, for others
// to lease; it asks about each once. An unloaded or claimed lease stays whole.
func (s *Store) Trim(l *Lease, keep func(i int) bool) {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.settled || l.at == nil || l.claim != nil {
		return
	}
	current, n := l.epoch == h.epoch, 0
	for i, at := range l.at {
		if !keep(i) {
			if current {
				h.settle(at, 1, Later)
			}
			continue
		}
		l.at[n] = at
		if l.entries {
			l.Entries[n] = l.Entries[i]
		} else {
			l.Points[n] = l.Points[i]
		}
		n++
	}
	l.at = l.at[:n]
	if l.entries {
		clear(l.Entries[n:])
		l.Entries = l.Entries[:n]
		return
	}
	clear(l.Points[n:])
	l.Points = l.Points[:n]
}
