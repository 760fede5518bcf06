package agent

import "github.com/edgehold/edgehold/probes"

// A reload that changes a task makes a probe anew. What the one before it knows,
// such as counter baselines and open events, is handed over when the new one is
// about to poll: until then the last poll of the old one may still go on.

// leaves is whose knowledge a task in the place of this one takes; nil: there is
// none. One that was never polled has left its own predecessor's alone.
func (e *entry) leaves() *entry {
	switch {
	case e == nil:
		return nil
	case e.before != nil:
		return e.before
	case e.source != nil || statefulOf(e.task) == nil:
		return nil
	}
	return e
}

// keeper is the task that holds what is to be written for the entry.
func (e *entry) keeper() probes.Task {
	if e.before != nil {
		return e.before.task
	}
	return e.task
}

// inherit hands over what the task before this one has left. Where that is still
// being polled, which takes a lane that has changed too, it is lost.
func (s *schedule) inherit(e *entry, t probes.Task) {
	s.mu.Lock()
	before := e.before
	e.before = nil
	busy := before != nil && before.polling
	s.mu.Unlock()
	to := statefulOf(t)
	if before == nil || busy || to == nil {
		return
	}
	data, err := statefulOf(before.task).Checkpoint()
	if err == nil && len(data) > 0 {
		err = to.Restore(data)
	}
	if err != nil {
		s.log.Warn().Str("task", t.Label).Err(err).Msg("baselines not taken over from before the reload, the first poll gives no deltas")
	}
}
