package relay

import (
	"context"
	"math"
	"time"
)

// mostSlow is how long a site is to wait when nothing is taken any more.
const mostSlow = 30 * time.Second

// slowFor is how long sites are to wait at a pressure from 0 to 1, in ms: longer
// the less room there is. It goes in steps of two, so that it seldom changes.
func slowFor(pressure float64) int64 {
	if pressure <= 0 {
		return 0
	}
	const least = 0.1 // seconds
	s := least * math.Pow(mostSlow.Seconds()/least, min(pressure, 1))
	return int64(1000 * least * math.Exp2(math.Floor(math.Log2(s/least))))
}

// watchPressure follows the pressure of the store until ctx ends. All sites hear
// of the store's, each one of its own.
func (r *Relay) watchPressure(ctx context.Context) {
	tick := time.NewTicker(r.opts.Ticks.Slow)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		was := r.slow.Load()
		now := slowFor(r.opts.Store.Stat().Pressure)
		r.slow.Store(now)
		accounts := r.opts.Store.Sites()
		bySite := make(map[string]int64)
		for _, a := range accounts {
			if ms := slowFor(a.Pressure); ms > 0 {
				bySite[a.Site] = ms
			}
		}
		r.sites.slowed(bySite)
		if was != now {
			r.announce()
		}
	}
}

// slowOf is how long a site is to wait, in ms.
func (r *Relay) slowOf(site string) int64 {
	return max(r.slow.Load(), r.sites.slowOf(site))
}
