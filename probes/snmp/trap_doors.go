package snmp

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// door is one port of a source. The others go on while it cannot be had.
type door struct {
	number uint16
	sub    *subscriber
	err    error         // why nobody listens; nil: somebody does
	again  time.Duration // when it is tried again
}

// setDoors makes a door of each port that the sources name.
func (t *trapSource) setDoors() {
	t.doors = nil
	for _, s := range t.sources {
		at := slices.IndexFunc(t.doors, func(d *door) bool { return d.number == s.Port })
		if at < 0 {
			at = len(t.doors)
			t.doors = append(t.doors, &door{
				number: s.Port, sub: &subscriber{source: t, listen: listenAt(t.plan.Listen)}, err: errClosed,
			})
		}
		t.doors[at].sub.entries = append(t.doors[at].sub.entries, s)
	}
}

var errClosed = errors.New("not tried yet")

// knock opens the ports that are not open where it is time, and looks after the
// others. The error is of all of them: nothing can arrive.
func (t *trapSource) knock() error {
	now := t.receiver.now()
	var lost uint32
	for _, d := range t.doors {
		if d.err != nil && now >= d.again {
			d.err = t.receiver.subscribe(d.number, d.sub)
			d.again = now + portRetry
		}
		dropped, err := t.receiver.look(d.sub)
		lost += dropped
		if err != nil {
			t.receiver.unsubscribe(d.sub)
			d.err, d.again = err, now+portRetry
		}
	}
	text, err := t.closedDoors()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(droppedSocket, lost)
	t.listens, t.closed = err == nil, text
	return err
}

// closedDoors tells of the ports that are not open, with an error where none is.
func (t *trapSource) closedDoors() (text string, err error) {
	closed := 0
	for _, d := range t.doors {
		if d.err != nil {
			closed++
			err = d.err
		}
	}
	switch {
	case closed == 0:
		return "", nil
	case closed < len(t.doors):
		return fmt.Sprintf("%d of %d ports closed, tried again every %s: %v", closed, len(t.doors), portRetry, err), nil
	}
	status := probes.StatusGenericError
	if errors.Is(err, syscall.EACCES) {
		status = probes.StatusInvalidConfigError
	}
	return "", probes.WithStatus(status, err)
}

// shut leaves all ports, with a last look at what they have lost.
func (t *trapSource) shut() {
	var lost uint32
	for _, d := range t.doors {
		dropped, _ := t.receiver.look(d.sub)
		lost += dropped
		t.receiver.unsubscribe(d.sub)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(droppedSocket, lost)
}
