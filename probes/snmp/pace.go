package snmp

import (
	"context"
	"time"
)

// paced sends no more requests a second to a device than its settings allow.
type paced struct {
	exchanger
	device *device
}

// paced is ex, or ex behind the limit where there is one.
func (d *device) paced(ex exchanger) exchanger {
	if d.PacketsPerSecond <= 0 {
		return ex
	}
	return paced{ex, d}
}

func (p paced) exchange(ctx context.Context, r request) (response, error) {
	if err := p.device.pace(ctx); err != nil {
		return response{}, err
	}
	return p.exchanger.exchange(ctx, r)
}

func (p paced) alive(ctx context.Context) error {
	if err := p.device.pace(ctx); err != nil {
		return err
	}
	return p.exchanger.alive(ctx)
}

// pace waits until the next request may be sent. It does not begin to wait for
// a moment that is behind the deadline.
func (d *device) pace(ctx context.Context) error {
	wait, ok := d.takeTurn(ctx, time.Now())
	switch {
	case !ok:
		return context.DeadlineExceeded
	case wait <= 0:
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeTurn tells how long to wait; ok=false: longer than the deadline allows.
func (d *device) takeTurn(ctx context.Context, now time.Time) (wait time.Duration, ok bool) {
	if d.PacketsPerSecond <= 0 {
		return 0, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := now
	if d.turn.After(now) {
		at = d.turn
	}
	if deadline, limited := ctx.Deadline(); limited && at.After(deadline) {
		return 0, false
	}
	d.turn = at.Add(time.Second / time.Duration(d.PacketsPerSecond))
	return at.Sub(now), true
}
