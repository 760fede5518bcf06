package clock

import (
	"context"
	"sync"
	"time"
)

const (
	lookEvery  = 5 * time.Second
	doubtPause = time.Minute // between two questions to the environment
)

// Run watches the kernel's clock, asks the NTP servers, and asks the
// environment where there is a doubt. It returns nil when ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	stepped := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { c.watchSteps(ctx, stepped) })
	wg.Go(func() { c.watchServers(ctx) })
	wg.Go(func() { c.watchDoubts(ctx) })
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			c.look()
		case <-stepped:
			c.look()
		}
	}
	wg.Wait()
	return nil
}

func (c *Clock) watchSteps(ctx context.Context, stepped chan<- struct{}) {
	err := c.machine.WatchSteps(ctx, func() {
		select {
		case stepped <- struct{}{}:
		default:
		}
	})
	if err != nil {
		c.opts.Log.Warn().Err(err).Msgf("steps of the clock are seen every %v only", lookEvery)
	}
}

// look notes a step of the wall clock and hands in the kernel's time if the
// kernel vouches for it. The clock is read first: one that is set by hand
// afterwards can no longer be taken for the kernel's word.
func (c *Clock) look() {
	c.turn.Lock()
	defer c.turn.Unlock()
	now := take(c.machine)
	state, err := c.machine.NTP()
	word := "unsynced"
	switch {
	case err != nil:
		word = "unknown"
	case state.Synced:
		word = "synced"
	}
	c.note(now, word)
	if word != "synced" {
		return
	}
	// A refusal is among the warnings.
	_ = c.offer(Reading{Source: Kernel, Time: now.wall, Uptime: now.uptime, Error: max(state.MaxError, state.EstError) + time.Millisecond})
}

// note keeps what was seen of the wall clock.
func (c *Clock) note(now sample, word string) {
	old := c.belief.Load()
	by := time.Duration(now.offset()-c.lastOff) * time.Millisecond
	c.lastOff = now.offset()
	step := by.Abs() >= stepWorth
	if !step && old.kernel == word {
		return
	}
	b := old.clone()
	b.kernel = word
	if word != "synced" { // it says nothing that could be refused
		delete(b.warnings, "floor "+Kernel)
	}
	if step {
		b.steps++
		c.opts.Log.Warn().Str("by", by.String()).Bool("trusted", b.trusted).Str("kernel", word).Msg("the machine's clock was set")
	}
	c.belief.Store(b)
}

// watchDoubts asks the environment when trusted time is in doubt. Before it is
// trusted, the drain asks at its own pace.
func (c *Clock) watchDoubts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.doubts:
		}
		if c.Trusted() && c.opts.Ask != nil {
			if err := c.Ask(ctx); err != nil && ctx.Err() == nil {
				c.opts.Log.Warn().Err(err).Msg("trusted time is in doubt")
			}
		}
		pause(ctx, doubtPause)
	}
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
