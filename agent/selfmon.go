package agent

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// The agent's own points are taken once a minute, whatever else is configured.
const selfInterval = time.Minute

// selfProbe measures the agent itself. Its points go the same way as all
// others, so that a gap in them is a gap of the agent.
type selfProbe struct {
	clock  probes.Clock
	store  *buffer.Store
	floor  func() time.Time // of the clock
	states func() []taskState
	// constants go on every series; nil: they are added later.
	constants func() *[]probes.Dimension
	// certificates tells how long packages are trusted; nil: there are none.
	certificates func() []certificateLife
	// entries are what became of the configuration; nil: there is none.
	entries   func() []entryState
	last      buffer.Account
	gaps      uint64
	told      deviceTeller
	status    statusTeller
	collector collector
}

func newSelfTask(p *selfProbe) probes.Task {
	p.last = p.store.Account()
	return probes.Task{
		ID:       "edgehold/self",
		Device:   selfDevice,
		Label:    "edgehold itself",
		Config:   "edgehold",
		Interval: selfInterval,
		Probe:    p,
	}
}

// Poll reads counters that are in memory; it cannot fail.
func (p *selfProbe) Poll(context.Context) (probes.Batch, error) {
	points := selfPoints{stamp: p.clock.Now()}
	p.keepFloor()
	p.collector.tune(time.Now())
	p.account(&points)
	p.buffer(&points)
	var constants *[]probes.Dimension
	if p.constants != nil {
		constants = p.constants()
	}
	p.told.begin(constants)
	gaps := uint64(0)
	states := p.states()
	for _, t := range states {
		if t.Task.Device != selfDevice {
			p.told.tell(&points, t)
			gaps += t.Last.Gaps
		}
	}
	p.told.forget()
	points.count("edgehold.poll.gaps", int64(gaps-min(gaps, p.gaps))) // a task that is gone takes its gaps along
	p.gaps = gaps
	if p.certificates != nil {
		points.lives(p.certificates())
	}
	var news probes.Batch
	if p.entries != nil {
		news = p.status.tell(&points, p.entries(), states, constants)
	}
	if m, err := board.ResidentMemory(); err == nil {
		points.gauge("edgehold.memory.resident", probes.Int(m.RSS))
		points.gauge("edgehold.memory.anonymous", probes.Int(m.Anon))
	}
	news.Points = points.list
	return news, nil
}

// keepFloor has the store keep a moment that is surely past, for a start on a
// machine that has forgotten the time.
func (p *selfProbe) keepFloor() {
	if text, err := p.floor().MarshalText(); err == nil {
		p.store.Keep(floorNote, text)
	}
}

// account sends what each counter grew by. Counters of the account never fall,
// except late and dead letters, which move on to evicted or purged.
func (p *selfProbe) account(out *selfPoints) {
	now := p.store.Account()
	for _, c := range []struct {
		key      string
		was, now int64
	}{
		{"edgehold.points.accepted", p.last.Accepted, now.Accepted},
		{"edgehold.points.delivered", p.last.Delivered, now.Delivered},
		{"edgehold.points.evicted", p.last.Evicted, now.Evicted},
		{"edgehold.points.damaged", p.last.Damaged, now.Damaged},
		{"edgehold.points.late_logged", p.last.LateLogged, now.LateLogged},
		{"edgehold.points.late_dropped", p.last.LateDropped, now.LateDropped},
	} {
		out.count(c.key, c.now-c.was)
	}
	out.gauge("edgehold.points.late", probes.Int(now.Late))
	out.gauge("edgehold.points.late_archived", probes.Int(now.LateArchived))
	out.gauge("edgehold.points.dead_letter", probes.Int(now.DeadLetter))
	out.gauge("edgehold.points.buffered", probes.Int(now.Buffered))
	p.last = now
}

func (p *selfProbe) buffer(out *selfPoints) {
	st := p.store.Stat()
	out.gauge("edgehold.buffer.bytes", probes.Int(st.FileBytes))
	out.gauge("edgehold.buffer.used_bytes", probes.Int(st.UsedBytes))
	age := 0.0
	if !st.Oldest.IsZero() {
		age = max(0, out.stamp.Time().Sub(st.Oldest).Seconds())
	}
	out.gauge("edgehold.backlog.age", probes.Float(age))
}

// selfPoints collects points of one stamp.
type selfPoints struct {
	stamp probes.Stamp
	list  []probes.Point
}

func (s *selfPoints) add(series *probes.Series, v probes.Value) {
	s.list = append(s.list, probes.Point{Series: series, Value: v, Stamp: s.stamp})
}

func (s *selfPoints) gauge(key string, v probes.Value) {
	s.add(probes.NewSeries(key, probes.Gauge), v)
}

func (s *selfPoints) count(key string, n int64) {
	s.add(probes.NewSeries(key, probes.Count), probes.Int(n))
}
