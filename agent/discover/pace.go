package discover

import (
	"context"
	"sync"
	"time"
)

// pace spreads packets over time.
type pace struct {
	gap time.Duration

	mu   sync.Mutex
	next time.Time // when the next packet may leave
}

func newPace(perSecond int) *pace { return &pace{gap: time.Second / time.Duration(perSecond)} }

// wait returns when n packets may leave, or with the context's error.
func (p *pace) wait(ctx context.Context, n int) error {
	p.mu.Lock()
	at := p.next
	if now := time.Now(); at.Before(now) {
		at = now
	}
	p.next = at.Add(time.Duration(n) * p.gap)
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
