package agent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// pool hands out slots to packages, so that one with hundreds of slow devices
// cannot starve another. Half of the slots are kept back for the packages, to
// each as many as its devices can use of an equal share. The others are for
// whoever comes; where several wait, for the package that holds the fewest, and
// among equals for the one that was served longest ago.
type pool struct {
	size int

	mu     sync.Mutex
	shares map[string]*share
	kept   int // back for the packages, in all
	held   int
	lent   int // of the held ones, those beyond what is kept back for their holders
	queued int
	turn   uint64 // counts what was handed out
}

// share is what one package has of a pool.
type share struct {
	kept    int // back for it
	held    int
	wanted  int    // devices of the schedule
	served  uint64 // turn at which it got a slot last
	waiting []chan struct{}
}

func newPool(size int) *pool { return &pool{size: size, shares: map[string]*share{}} }

// Divide sets how many devices each package has. Slots that are held stay so.
func (p *pool) Divide(devices map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := divide(p.size/2, devices)
	for name := range devices {
		p.of(name)
	}
	p.kept, p.lent = 0, 0
	for name, s := range p.shares {
		s.kept, s.wanted = kept[name], devices[name]
		p.kept += s.kept
		p.lent += max(0, s.held-s.kept)
		p.forget(name, s)
	}
	p.grant()
}

// divide gives each name an equal part of n, but none more than it wants; what
// one leaves is for the others.
func divide(n int, wants map[string]int) map[string]int {
	out := map[string]int{}
	names := slices.Sorted(maps.Keys(wants))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(wants[a], wants[b]) })
	for i, name := range names {
		out[name] = min(wants[name], n/(len(names)-i))
		n -= out[name]
	}
	return out
}

func (p *pool) of(name string) *share {
	s := p.shares[name]
	if s == nil {
		s = &share{}
		p.shares[name] = s
	}
	return s
}

// forget drops a share that nobody needs any more.
func (p *pool) forget(name string, s *share) {
	if s.held == 0 && s.wanted == 0 && len(s.waiting) == 0 {
		delete(p.shares, name)
	}
}

// Take waits for a slot of a package. It is false where ctx ends first.
func (p *pool) Take(ctx context.Context, name string) bool {
	p.mu.Lock()
	s := p.of(name)
	if p.free(s) {
		p.give(s)
		p.mu.Unlock()
		return true
	}
	ready := make(chan struct{}) // closed once a slot is ours
	s.waiting = append(s.waiting, ready)
	p.queued++
	p.mu.Unlock()
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return p.leave(name, ready)
	}
}

// leave ends a wait; it is true where the slot has come meanwhile.
func (p *pool) leave(name string, ready chan struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shares[name]
	at := -1
	if s != nil {
		at = slices.Index(s.waiting, ready)
	}
	if at < 0 {
		return true
	}
	s.waiting = slices.Delete(s.waiting, at, at+1)
	p.queued--
	p.forget(name, s)
	return false
}

// Try takes a slot where one is free.
func (p *pool) Try(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.of(name)
	if !p.free(s) {
		p.forget(name, s)
		return false
	}
	p.give(s)
	return true
}

// Release gives back a slot of a package.
func (p *pool) Release(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shares[name]
	if s.held > s.kept {
		p.lent--
	}
	s.held--
	p.held--
	p.grant()
	p.forget(name, s)
}

// free tells whether a package may have one more slot.
func (p *pool) free(s *share) bool {
	return p.held < p.size && (s.held < s.kept || p.lent < p.size-p.kept)
}

func (p *pool) give(s *share) {
	if s.held >= s.kept {
		p.lent++
	}
	p.turn++
	s.served = p.turn
	s.held++
	p.held++
}

// grant hands free slots to those that wait.
func (p *pool) grant() {
	for p.queued > 0 && p.held < p.size {
		var best *share
		for _, s := range p.shares {
			if len(s.waiting) > 0 && p.free(s) && (best == nil || s.before(best)) {
				best = s
			}
		}
		if best == nil {
			return
		}
		ready := best.waiting[0]
		best.waiting = slices.Delete(best.waiting, 0, 1)
		p.queued--
		p.give(best)
		close(ready)
	}
}

func (s *share) before(other *share) bool {
	if s.held != other.held {
		return s.held < other.held
	}
	return s.served < other.served
}

// Held is how many slots a package has now.
func (p *pool) Held(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.shares[name]; s != nil {
		return s.held
	}
	return 0
}
