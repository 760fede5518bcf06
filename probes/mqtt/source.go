package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	eachFlush  = time.Second // how long a value of its own may wait
	maxPending = 10_000      // values that wait so
	forgotten  = 24 * time.Hour
	namesShown = 5
)

// source is a probes.Source and probes.Watched: what one entry takes.
type source struct {
	options      *Options
	deps         probes.Deps
	subscription probes.Subscription
	rules        []*rule // read only, but for told

	mu       sync.Mutex
	lines    []*line
	byKey    map[string]*line
	pending  []probes.Point // of emitEach
	folded   bool           // that two values share a series was told
	crowded  bool           // that there are too many series was told
	swept    time.Duration  // when lines were last looked through for old ones
	listens  time.Duration  // since when; 0: it does not
	failure  error          // why the last connection ended, or was not made
	bad      trouble
	full     trouble
	received uint64
	dropped  uint64
	refused  uint64
	last     probes.Stamp
}

// trouble is one kind of it: the last time, and what it was.
type trouble struct {
	at    time.Duration
	count int // since the start
	words string
}

func (t *trouble) note(now time.Duration, words string) {
	t.at, t.words = now, words
	t.count++
}

// recent tells whether it is not over yet.
func (t *trouble) recent(now, interval time.Duration) bool {
	return t.count > 0 && now-t.at < 2*interval
}

// Run connects, and takes messages until ctx or the connection ends.
func (s *source) Run(ctx context.Context, emit func(probes.Batch)) error {
	if s.deps.Subscribe == nil {
		return probes.WithStatus(probes.StatusInvalidConfigError, errors.New("this program has no MQTT; use one that is built with it"))
	}
	within, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.deps.Subscribe(within, s.subscription, s.ready, s.take) }()
	every := s.options.Interval.Std()
	if s.options.Emit == emitEach {
		every = min(every, eachFlush)
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				err = nil
			}
			s.over(err)
			s.flush(emit)
			return err
		case <-ticks.C:
			s.flush(emit)
			s.listen()
		}
	}
}

// ready notes that messages may come now.
func (s *source) ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens, s.failure = s.deps.Clock.Now().Uptime, nil
}

// over notes that the connection has ended.
func (s *source) over(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens = 0
	if err != nil {
		s.failure = err
	}
}

// take takes a message in.
func (s *source) take(m probes.Message) {
	now := s.deps.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(m.Topic) > maxTopic || len(m.Payload) > maxPayload {
		s.dropped++
		s.full.note(now.Uptime, fmt.Sprintf("a message on %s has %d bytes, more than %d, and is left out", shorten(m.Topic), len(m.Payload), maxPayload))
		return
	}
	t := taking{source: s, message: &m, now: now, payload: payload{text: m.Payload}}
	for _, r := range s.rules {
		t.levels = t.levels[:0]
		var fits bool
		if t.levels, fits = r.pattern.match(m.Topic, t.levels); fits {
			t.by(r)
		}
	}
	switch {
	case t.took:
		s.received++
		s.last = now
	case t.dropped:
		s.dropped++
	default:
		s.refused++
	}
}

// taking is one message on its way.
type taking struct {
	source  *source
	message *probes.Message
	now     probes.Stamp
	payload payload
	levels  []string // texts of the named levels
	texts   []string // of the dimensions that stand in the message
	key     []byte
	took    bool
	dropped bool
}

// by takes the message in by one rule.
func (t *taking) by(r *rule) {
	old := t.message.Retained
	if old && (t.source.options.Retained == retainedIgnore || r.kind == typeDelta) {
		return
	}
	v, err := t.number(r)
	if errors.Is(err, errAbsent) {
		return
	}
	if err != nil {
		t.source.unreadable(r, t, err)
		return
	}
	l := t.line(r)
	if l == nil {
		t.dropped = true
		return
	}
	if old && l.read && l.newest == v {
		return // the broker gives it again with each connection
	}
	t.took = true
	l.take(v)
	if !old {
		l.last = t.now.Uptime
	}
	if t.source.options.Emit == emitEach && r.kind == typeGauge {
		l.fresh = false
		t.source.put(l, v, t.now)
	}
}

// number is the value for the rule, in the unit of the metric where it is a gauge.
func (t *taking) number(r *rule) (float64, error) {
	v, err := t.payload.number(r.path, r.words)
	if err != nil {
		return 0, err
	}
	if r.kind != typeGauge {
		if v < 0 {
			return 0, fmt.Errorf("%v is negative, which a %s cannot be", v, r.kind)
		}
		return v, nil
	}
	return r.scaled(v)
}

// line finds the series of the message, nil where there are too many.
func (t *taking) line(r *rule) *line {
	t.texts = t.texts[:0]
	t.key = strconv.AppendInt(t.key[:0], int64(r.number), 10)
	t.key = append(append(t.key, ' '), t.message.Topic...)
	for _, path := range r.paths {
		text := ""
		if v, err := t.payload.at(path); err == nil {
			text, _ = textOf(v)
		}
		if len(text) > maxDimValue {
			text = strings.ToValidUTF8(text[:maxDimValue], "")
		}
		t.texts = append(t.texts, text)
		t.key = strconv.AppendQuote(append(t.key, 0), text) // a text may have any byte, a topic no zero
	}
	s := t.source
	if l := s.byKey[string(t.key)]; l != nil {
		return l
	}
	if !s.room(t.now.Uptime) {
		s.full.note(t.now.Uptime, fmt.Sprintf("there are more than %d series, and what comes for others is left out, the last one on %s; make the topics narrower, or raise max_series",
			s.options.MaxSeries, shorten(t.message.Topic)))
		return nil
	}
	l := &line{rule: r, topic: strings.Clone(t.message.Topic)}
	l.series = r.series(l.topic, t.levels, t.texts, s.deps.Constants)
	if s.byKey == nil {
		s.byKey = map[string]*line{}
	}
	s.byKey[string(t.key)] = l
	s.lines = append(s.lines, l)
	return l
}

// room tells whether one more series may be held, and forgets those that have
// been silent for long where that is needed.
func (s *source) room(now time.Duration) bool {
	if len(s.lines) < s.options.MaxSeries {
		return true
	}
	if now-s.swept >= s.options.Interval.Std() {
		s.swept = now
		old := func(l *line) bool { return now-max(l.last, s.listens) > forgotten && !l.fresh }
		s.lines = slices.DeleteFunc(s.lines, old)
		for key, l := range s.byKey {
			if old(l) {
				delete(s.byKey, key)
			}
		}
	}
	if len(s.lines) < s.options.MaxSeries {
		return true
	}
	if !s.crowded {
		s.crowded = true
		s.deps.Log.Warn().Str("broker", s.options.Broker).Int("max_series", s.options.MaxSeries).
			Msg("more series come than may be held, the others are left out; make the topics narrower, or raise max_series")
	}
	return false
}

// unreadable counts a message that has no number where there should be one, and
// tells the first one.
func (s *source) unreadable(r *rule, t *taking, err error) {
	s.bad.note(t.now.Uptime, fmt.Sprintf("a message on %s has no number for %s: %v", shorten(t.message.Topic), r.metric, err))
	if r.told {
		return
	}
	r.told = true
	s.deps.Log.Warn().Str("broker", s.options.Broker).Str("topic", t.message.Topic).Str("metric", r.metric).Err(err).
		Msg("a message has no number and is left out; that is told once")
}

// put has a value wait as a point of its own.
func (s *source) put(l *line, v float64, stamp probes.Stamp) {
	if len(s.pending) >= maxPending {
		s.dropped++
		s.full.note(stamp.Uptime, fmt.Sprintf("more than %d values came in a second, and the others are left out; use emit: statistic", maxPending))
		return
	}
	s.pending = append(s.pending, probes.Point{Series: l.series, Value: probes.Float(v), Stamp: stamp})
}

// flush hands on what has come since the last time.
func (s *source) flush(emit func(probes.Batch)) {
	stamp := s.deps.Clock.Now()
	s.mu.Lock()
	points := s.pending
	s.pending = nil
	for _, l := range s.lines {
		if l.fresh {
			points = append(points, probes.Point{Series: l.series, Value: l.value(s.options.Emit), Stamp: stamp})
		}
	}
	folded, taken := probes.Fold(points)
	tell := taken > 0 && !s.folded
	s.folded = s.folded || tell
	s.mu.Unlock()
	if tell {
		s.deps.Log.Info().Str("broker", s.options.Broker).Int("points", taken).
			Msg("values share a series and a time and were folded; topics of one metric differ in no dimension, or come at once")
	}
	if len(folded) > 0 {
		emit(probes.Batch{Points: folded})
	}
}

// listen tells of series that have become silent, and of those that are back.
func (s *source) listen() {
	now := s.deps.Clock.Now().Uptime
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone, back []string
	for _, l := range s.lines {
		is := s.silent(l.rule, l.last, now)
		switch {
		case is && !l.silent:
			gone = append(gone, l.topic)
		case !is && l.silent:
			back = append(back, l.topic)
		}
		l.silent = is
	}
	if len(gone) > 0 {
		s.deps.Log.Warn().Str("broker", s.options.Broker).Str("topics", some(gone)).Msg("sensors are silent")
	}
	if len(back) > 0 {
		s.deps.Log.Info().Str("broker", s.options.Broker).Str("topics", some(back)).Msg("sensors are heard again")
	}
}

// silent tells whether nothing has come for too long, while it could have.
func (s *source) silent(r *rule, last, now time.Duration) bool {
	return r.silent > 0 && s.listens > 0 && now-max(last, s.listens) > r.silent
}

// some names a few of many.
func some(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= namesShown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
}

// Watch tells how the source fares.
func (s *source) Watch() probes.SourceState {
	now := s.deps.Clock.Now().Uptime
	s.mu.Lock()
	defer s.mu.Unlock()
	state := probes.SourceState{Received: s.received, Dropped: s.dropped, Refused: s.refused, Last: s.last}
	if s.failure != nil {
		state.Status, state.Message = probes.StatusOf(s.failure), s.failure.Error()
		return state
	}
	var reasons []string
	interval := s.options.Interval.Std()
	if quiet := s.quiet(now); quiet != "" {
		reasons = append(reasons, quiet)
	}
	if s.full.recent(now, interval) {
		reasons = append(reasons, s.full.words)
	}
	if s.bad.recent(now, interval) {
		reasons = append(reasons, s.bad.words)
	}
	if len(reasons) > 0 {
		state.Status, state.Message = probes.StatusWarning, strings.Join(reasons, "; ")
	}
	return state
}

// quiet says which sensors are silent, "" where none is.
func (s *source) quiet(now time.Duration) string {
	heard := make([]bool, len(s.rules))
	var gone, never []string
	for _, l := range s.lines {
		heard[l.rule.number] = true
		if s.silent(l.rule, l.last, now) {
			gone = append(gone, l.topic)
		}
	}
	for i, r := range s.rules {
		if !heard[i] && s.silent(r, 0, now) {
			never = append(never, r.filter+" for "+r.metric)
		}
	}
	var reasons []string
	if len(gone) > 0 {
		reasons = append(reasons, "silent for too long: "+some(gone)+"; look at the sensor and its battery, or set silent_after higher, 0 for never")
	}
	if len(never) > 0 {
		reasons = append(reasons, "nothing has come on "+some(never)+"; look at the topic, and where the value stands")
	}
	return strings.Join(reasons, "; ")
}
