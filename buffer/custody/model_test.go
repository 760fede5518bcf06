package custody

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// The model is what the store should be, told in the plainest way: each point
// of each block has a state.

type modelKey struct {
	site       string
	epoch, seq uint64
}

type modelBlock struct {
	Block
	state    []byte // of each point: b a(rchived) d r(efused) l(ogged) x(dropped) p(urged) m (damaged)
	done     bool   // its site has heard of it
	counts   Counts // what it has heard
	gone     bool
	recalled bool
	number   uint64
}

type model struct {
	mode   Mode
	blocks map[modelKey]*modelBlock
	floors map[modelKey]uint64 // seq is 0
	done   int
}

func (m *model) account(site string) (a buffer.Account) {
	for k, b := range m.blocks {
		if site != "" && k.site != site {
			continue
		}
		for _, s := range b.state {
			a.Accepted++
			switch s {
			case 'b':
				a.Buffered++
			case 'd':
				a.Delivered++
			case 'r':
				a.DeadLetter++
			case 'p':
				a.Purged++
			case 'm':
				a.Damaged++
			case 'a':
				a.Late++
			case 'l':
				a.Late++
				a.LateLogged++
			case 'x':
				a.Late++
				a.LateDropped++
			}
		}
	}
	return complete(a)
}

// hear counts what a block's site hears, once.
func (m *model) hear(b *modelBlock) {
	open := slices.Contains(b.state, 'b') || m.mode == Logs && slices.Contains(b.state, 'a')
	b.gone = !slices.Contains(b.state, 'b') && !slices.Contains(b.state, 'a')
	if open || b.done {
		return
	}
	b.done = true
	m.done++
	for _, s := range b.state {
		switch s {
		case 'd':
			b.counts.Delivered++
		case 'r':
			b.counts.DeadLetter++
		case 'a':
			b.counts.LateArchived++
		case 'l':
			b.counts.LateLogged++
		case 'x':
			b.counts.LateDropped++
		case 'p':
			b.counts.Purged++
		case 'm':
			b.counts.Damaged++
		}
	}
}

// late moves what the clock has passed.
func (m *model) late(now time.Time) {
	for _, b := range m.blocks {
		if b.recalled || b.Last >= now.Add(-time.Hour).UnixMilli() {
			continue
		}
		to := byte('a')
		if m.mode == Drop {
			to = 'x'
		}
		b.replace('b', to)
		m.hear(b)
	}
}

func (b *modelBlock) replace(from, to byte) {
	for i := range b.state {
		if b.state[i] == from {
			b.state[i] = to
		}
	}
}

// expect is what a lookup should say.
func (m *model) expect(k modelKey) Result {
	b := m.blocks[k]
	switch {
	case k.seq < m.floors[modelKey{k.site, k.epoch, 0}]:
		return Result{Status: Done}
	case b == nil || b.recalled:
		return Result{}
	case !b.done:
		return Result{Status: Stored}
	case b.counts.Plain():
		return Result{Status: Done}
	}
	return Result{Done, b.counts}
}

// play is one game of random operations.
type play struct {
	*rig
	m      *model
	random *rand.Rand
}

func (p *play) anyKey() modelKey {
	return modelKey{string(rune('a' + p.random.IntN(3))), 1 + uint64(p.random.IntN(2)), 1 + uint64(p.random.IntN(60))}
}

func (p *play) put() {
	k := p.anyKey()
	want := p.m.expect(k)
	b := p.m.blocks[k]
	if b == nil || want.Status == Unknown && !b.recalled {
		b = &modelBlock{Block: p.block(k.site, k.epoch, k.seq, 1+p.random.IntN(8))}
		b.Lane = 1 + uint8(p.random.IntN(2))
		back := int64(p.random.IntN(50)) * 60_000
		b.First, b.Last = b.First-back, b.Last-back
	}
	got, err := p.Put(b.Block).Wait(context10(p.t))
	if err != nil {
		p.t.Fatal(err)
	}
	switch {
	case want.Status == Unknown:
		if got.Status != Stored {
			p.t.Fatalf("new block %+v is %v", k, got.Status)
		}
		if !b.recalled {
			b.state = slices.Repeat([]byte{'b'}, b.Points)
			p.m.blocks[k] = b
			p.find(k, b)
		}
		b.recalled = false
	case want.Status == Stored && got.Status == Duplicate:
	case got.Status == Done && want.Status == Done && (got.Counts == want.Counts || got.Counts.Plain() && want.Counts.Plain()):
	default:
		p.t.Fatalf("block %+v is %+v, want %+v", k, got, want)
	}
}

// find gives a block of the model its number.
func (p *play) find(k modelKey, b *modelBlock) {
	q := Query{KindPoints, b.Lane, false}
	for x, ok := p.Next(k.site, q, 0); ok; x, ok = p.Next(k.site, q, x.Number) {
		if x.Epoch == k.epoch && x.Seq == k.seq {
			b.number = x.Number
			return
		}
	}
	p.t.Fatalf("block %+v is not offered", k)
}

// pick gives a block that is there.
func (p *play) pick() *modelBlock {
	var keys []modelKey
	for k, b := range p.m.blocks {
		if !b.gone && !b.recalled {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(a, b modelKey) int { return int(p.m.blocks[a].number) - int(p.m.blocks[b].number) })
	return p.m.blocks[keys[p.random.IntN(len(keys))]]
}

func (p *play) settleSome() {
	b := p.pick()
	if b == nil {
		return
	}
	late := slices.Contains(b.state, 'a')
	kinds := map[byte]buffer.Outcome{'d': buffer.Delivered, 'r': buffer.Refused}
	open := byte('b')
	if late {
		kinds, open = map[byte]buffer.Outcome{'l': buffer.Logged, 'x': buffer.Dropped, 'r': buffer.Refused}, 'a'
	}
	names := slices.Sorted(maps.Keys(kinds))
	var parts []Part
	for range 1 + p.random.IntN(3) {
		to, from := names[p.random.IntN(len(names))], p.random.IntN(b.Points)
		end := from + 1 + p.random.IntN(b.Points-from)
		if p.random.IntN(2) == 0 {
			from, end = 0, b.Points
		}
		parts = append(parts, Part{From: from, To: end, Outcome: kinds[to]})
		for i := from; i < end; i++ {
			if b.state[i] == open {
				b.state[i] = to
			}
		}
	}
	p.settle(b.number, parts...)
	p.m.hear(b)
}

func (p *play) step() {
	switch n := p.random.IntN(100); {
	case n < 45:
		p.put()
	case n < 75:
		p.settleSome()
	case n < 82:
		p.clock.add(time.Duration(1+p.random.IntN(15)) * time.Minute)
		p.flush()
		p.m.late(p.clock.now())
	case n < 87:
		k := p.anyKey()
		k.seq = 0
		known := false
		for x := range p.m.blocks {
			known = known || x.site == k.site && x.epoch == k.epoch
		}
		if floor := uint64(p.random.IntN(60)); known {
			p.Forget(k.site, k.epoch, floor)
			p.m.floors[k] = max(p.m.floors[k], floor)
			for x, b := range p.m.blocks {
				if b.recalled && x.site == k.site && x.epoch == k.epoch && x.seq < floor {
					b.recalled = false
					b.replace('b', 'm')
					b.replace('a', 'm')
					p.m.hear(b)
				}
			}
		}
	case n < 91:
		// Blocks that the site has let go are given up, and that is tested elsewhere.
		if b := p.pick(); b != nil && !b.done && b.Seq >= p.m.floors[modelKey{b.Site, b.Epoch, 0}] {
			p.Recall(b.number)
			b.recalled = true
		}
	case n < 94:
		before := p.clock.now().Add(-40 * time.Minute)
		if _, err := p.Purge(context10(p.t), Purge{Site: "b", Before: before}); err != nil {
			p.t.Fatal(err)
		}
		for k, b := range p.m.blocks {
			if k.site == "b" && b.Last < before.UnixMilli() && !b.gone {
				b.replace('b', 'p')
				b.replace('a', 'p')
				b.recalled = false
				p.m.hear(b)
			}
		}
	case n < 97:
		p.reopen()
		p.flush() // a start looks for late blocks at once
		p.m.late(p.clock.now())
	}
}

// check holds the store against the model.
func (p *play) check() {
	p.t.Helper()
	p.flush()
	p.account(p.m.account(""))
	for _, x := range p.Sites() {
		if want := p.m.account(x.Site); x.Account != want {
			p.t.Errorf("site %s has %+v, want %+v", x.Site, x.Account, want)
		}
	}
	for range 10 {
		k := p.anyKey()
		p.look(k.site, k.epoch, k.seq, p.m.expect(k))
	}
	for _, b := range p.m.blocks {
		if !b.gone && !b.recalled {
			p.data(b.number, b.Data)
		}
	}
	p.verify()
}

// TestModel plays random operations against the plain model.
func TestModel(t *testing.T) {
	games := 6
	if longForm() {
		games = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for game := range games {
		mode := Mode(game % 3)
		p := &play{
			rig:    start(t, func(o *Options) { o.Late = mode }),
			m:      &model{mode: mode, blocks: make(map[modelKey]*modelBlock), floors: make(map[modelKey]uint64)},
			random: rand.New(rand.NewPCG(seed, uint64(game))),
		}
		finished := 0
		for i := range 250 {
			p.step()
			if i%10 == 0 || t.Failed() {
				p.check()
			}
			finished += len(p.TakeFinished())
			if t.Failed() {
				t.Fatalf("game %d, step %d, mode %d", game, i, mode)
			}
		}
		p.check()
		finished += len(p.TakeFinished())
		if finished > p.m.done || finished == 0 { // a restart forgets some
			t.Errorf("%d blocks finished, want %d", finished, p.m.done)
		}
	}
}
