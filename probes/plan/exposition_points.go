package plan

import (
	"math"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	// ActivationEndpoint is the dimension that every line has.
	ActivationEndpoint = "activation_endpoint"

	// maxLineDims is how many dimensions a line may have.
	maxLineDims = 50

	// maxReferences is how many samples of one metric a dimension can refer to.
	maxReferences = 200

	// seriesBytes is what is remembered of a series beside its texts, and
	// dimensionBytes of each of its dimensions.
	seriesBytes, dimensionBytes = 320, 32

	// startLeeway is how much later a process must say that it started, to have
	// started anew: some work the time out from a clock that is being set.
	startLeeway = 5 // seconds
)

// ExposedNotes tell what became of the samples of one scrape.
type ExposedNotes struct {
	Samples    int // that a metric wants
	Matched    int // of these, that the filters let pass
	Numbers    int // of these, that have a number; NaN and the infinities are none
	Missing    int // metrics without any sample
	Duplicates int // samples whose name and labels came before
	Folded     int // points taken in by another one of the same series
	LabelsCut  int // samples that have more labels than a line has room for
	NoRoom     int // samples whose series have no room in memory, and so no points
	Unsure     int // samples of which a reference cannot tell which row is theirs
	GapsBy     GapCounts
}

// exposedCounter is the last reading of a counter; the zero one has none.
type exposedCounter struct {
	value   float64
	created float64       // Unix seconds, 0: not told
	at      time.Duration // on the state's clock
	life    uint32        // of the process
}

// exposedSeries is what one sample is to one metric.
type exposedSeries struct {
	series  *probes.Series // nil: a filter does not let it pass
	origin  uint64         // the sample, by a sum of its name and labels
	repeat  bool           // another metric makes the same series of the same sample
	cut     bool           // labels were left out
	size    int64          // that is held for it
	round   uint32
	seen    time.Duration
	counter exposedCounter
}

// ExposedState is what the points of one endpoint need to remember from scrape
// to scrape: baselines of counters, and the series. It belongs to one endpoint
// and to the blocks of one interval. The zero one is ready for use. It is not
// safe for use by two scrapes at a time.
type ExposedState struct {
	// Constants go on every series, before a dimension of the same key. They are
	// set before the first scrape, and so is Memory.
	Constants []probes.Dimension
	Memory    *probes.Hold // what the series may take; nil: no bound

	clock
	round   uint32
	tidied  uint32 // in which room was made
	life    uint32
	start   float64 // of the process, 0: not told
	series  map[uint64]*exposedSeries
	shared  bool // several samples make one series
	earlier map[uint64]exposedCounter
}

// exposure is one call of ExposedPoints.
type exposure struct {
	state      *ExposedState
	names      *ExposedNames
	scrape     *Scrape
	created    map[uint64]float64
	references map[string][]*Sample
	own        map[string]bool // names of the scrape that are not looked for by an alias
	found      map[*ExposedMetric]bool
	points     []probes.Point
	makers     []*exposedSeries // by point
	notes      ExposedNotes
	made       bool // a series
}

// ExposedPoints makes points of the samples of a scrape, all with its stamp.
// Counters become deltas from the state's last reading, which the first one
// does not have; a counter that fell, that was created anew, whose process
// started anew or that was not seen for long gives none and counts as a gap.
func ExposedPoints(names *ExposedNames, scrape *Scrape, s *ExposedState) ([]probes.Point, ExposedNotes) {
	if s.series == nil {
		s.series = make(map[uint64]*exposedSeries)
	}
	s.round++
	s.tick(&Reading{Stamp: scrape.Stamp})
	x := exposure{
		state: s, names: names, scrape: scrape,
		created: make(map[uint64]float64), references: make(map[string][]*Sample), own: make(map[string]bool),
		found:  make(map[*ExposedMetric]bool),
		points: make([]probes.Point, 0, len(scrape.Samples)),
	}
	for i := range scrape.Samples {
		x.survey(&scrape.Samples[i])
	}
	for i := range scrape.Samples {
		x.sample(&scrape.Samples[i])
	}
	if x.made {
		s.share()
	}
	if s.shared {
		x.fold()
	}
	s.forget(names.interval)
	x.notes.Missing = names.metrics - len(x.found)
	return x.points, x.notes
}

// survey notes what other samples need to know of this one.
func (x *exposure) survey(sample *Sample) {
	for _, u := range x.names.uses[sample.Name] {
		switch u.part {
		case partStart:
			if len(sample.Labels) == 0 {
				x.state.started(sample.Value)
			}
		case partCreated:
			if finite(sample.Value) {
				x.created[sample.sum(sample.Name)] = sample.Value
			}
		case partReference:
			if known := x.references[sample.Name]; len(known) <= maxReferences {
				x.references[sample.Name] = append(known, sample)
			}
		case partCount:
			x.own[sample.Name] = true
		}
	}
}

// started takes the time at which the process says that it started.
func (s *ExposedState) started(at float64) {
	if !finite(at) {
		return
	}
	if s.start != 0 && math.Abs(at-s.start) > startLeeway {
		s.life++
	}
	s.start = at
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// sum is that of a name and of the labels, without those in which the parts of
// one metric differ. It is the same in every process.
func (s *Sample) sum(name string, without ...string) uint64 {
	sum := fnv(fnvOffset, name)
	for _, l := range s.Labels {
		if len(without) > 0 && l.Key == without[0] {
			continue
		}
		sum = fnv(fnv(sum, l.Key), l.Value)
	}
	if s.rest != 0 {
		sum = (sum ^ s.rest) * fnvPrime
	}
	return sum
}

func (x *exposure) sample(sample *Sample) {
	var origin uint64
	for _, u := range x.names.uses[sample.Name] {
		if !u.takes(sample) || u.part == partAlias && x.own[u.metric.Name] {
			continue
		}
		if origin == 0 {
			origin = sample.sum(sample.Name)
		}
		x.notes.Samples++
		x.found[u.metric] = true
		x.take(u, sample, origin)
	}
}

// takes tells whether the sample is what the use is for.
func (u *use) takes(s *Sample) bool {
	switch u.part {
	case partCreated, partReference, partStart:
		return false
	case partBucket:
		return s.Label("le") != ""
	case partQuantile:
		return s.Label("quantile") != ""
	}
	return true
}

// take makes the point of one use of a sample.
func (x *exposure) take(u use, sample *Sample, origin uint64) {
	e := x.entry(u, sample, origin)
	if e == nil {
		x.notes.NoRoom++
		return
	}
	if e.round == x.state.round {
		x.notes.Duplicates++
		return
	}
	e.round, e.seen = x.state.round, x.state.now
	if e.series == nil {
		return
	}
	x.notes.Matched++
	if e.cut {
		x.notes.LabelsCut++
	}
	if !finite(sample.Value) {
		return
	}
	x.notes.Numbers++
	value, ok := sample.Value, true
	if e.series.Type() == probes.Count {
		value, ok = x.advance(u, sample, e)
	}
	if ok {
		x.points = append(x.points, probes.Point{Series: e.series, Value: probes.Float(value), Stamp: x.scrape.Stamp})
		x.makers = append(x.makers, e)
	}
}

// entry finds what is remembered of a sample and a metric, or makes it; nil where
// there is no room for it.
func (x *exposure) entry(u use, sample *Sample, origin uint64) *exposedSeries {
	s := x.state
	referred := x.referred(u.block, sample)
	id := origin
	for _, text := range [...]string{u.block.Path, u.metric.Key, string('0' + rune(u.part))} {
		id = fnv(id, text)
	}
	for _, text := range referred {
		id = fnv(id, text)
	}
	e := s.series[id]
	if e == nil {
		e = x.make(u, sample, referred)
		if e.size = e.bytes(); !s.room(e.size) {
			return nil
		}
		e.origin, e.counter = origin, s.earlier[id]
		s.series[id], x.made = e, true
		delete(s.earlier, id)
	}
	return e
}

// advance gives the growth of a counter since its last reading, and takes the
// reading.
func (x *exposure) advance(u use, sample *Sample, e *exposedSeries) (float64, bool) {
	was, now := e.counter, exposedCounter{value: sample.Value, at: x.state.now, life: x.state.life, created: x.createdAt(u, sample)}
	e.counter = now
	gaps, delta := &x.notes.GapsBy, now.value-was.value
	switch {
	case was.at == 0:
		return 0, false
	case was.life != now.life:
		gaps.Restart++
	case was.created != 0 && now.created != 0 && was.created != now.created:
		gaps.Reset++
	case now.at-was.at > absenceAfter(u.block.Interval):
		gaps.Absence++
	case delta < 0 || !finite(delta):
		gaps.Reset++
	default:
		return delta, true
	}
	return 0, false
}

// createdAt is when the counter was created, 0 where nobody tells.
func (x *exposure) createdAt(u use, sample *Sample) float64 {
	if len(x.created) == 0 {
		return 0
	}
	if u.part == partBucket {
		return x.created[sample.sum(u.metric.created(), "le")]
	}
	return x.created[sample.sum(u.metric.created())]
}

// bytes is about what is remembered of the entry.
func (e *exposedSeries) bytes() int64 {
	if e.series == nil {
		return seriesBytes
	}
	return int64(seriesBytes + dimensionBytes*len(e.series.Dims()) + e.series.Size())
}

// referred are the values that dimensions take from other metrics.
func (x *exposure) referred(b *ExposedBlock, sample *Sample) []string {
	var values []string
	unsure := false
	for i := range b.Dims {
		if b.Dims[i].Source == LabelReference {
			value, ok := x.refer(&b.Dims[i], sample)
			values, unsure = append(values, value), unsure || !ok
		}
	}
	if unsure {
		x.notes.Unsure++
	}
	return values
}

// refer finds the value of the rows that have most labels in common with a
// sample. It is not ok where they have several, and none is taken then: any of
// them could be of something else. Without a label in common all rows have to
// have that one value.
func (x *exposure) refer(d *LabelDim, sample *Sample) (value string, ok bool) {
	rows := x.references[d.Metric]
	most, several := -1, false
	for _, row := range rows {
		found := row.Label(d.Text)
		n := row.common(sample)
		if found == "" || n < 0 || n < most {
			continue
		}
		if n > most {
			value, most, several = found, n, false
		}
		several = several || found != value
	}
	if several || len(rows) > maxReferences {
		return "", false
	}
	return value, true
}

// make makes the series of a sample. Its keys are as lines have them: of two that
// would be one there, the first one counts.
func (x *exposure) make(u use, sample *Sample, referred []string) *exposedSeries {
	e := &exposedSeries{}
	dims := append([]probes.Dimension(nil), x.state.Constants...)
	for i := range u.block.Dims {
		d := &u.block.Dims[i]
		value := d.Text
		switch d.Source {
		case LabelOwn:
			value = sample.Label(d.Text)
		case LabelReference:
			value, referred = referred[0], referred[1:]
		}
		if !d.Filter.Match(value) {
			return e
		}
		dims = append(dims, probes.Dimension{Key: d.Key, Value: strings.Clone(value)})
	}
	dims = append(dims, probes.Dimension{Key: ActivationEndpoint, Value: x.scrape.Endpoint})
	for i := range dims {
		dims[i].Key = probes.DimensionKey(dims[i].Key)
	}
	dims, e.cut = withLabels(dims, sample.Labels)
	key, typ := u.series()
	e.series = probes.NewSeries(key, typ, dims...)
	return e
}

// withLabels adds the labels for which a line has room. Of those that have one
// key in a line, the one that is written like it goes first.
func withLabels(dims, labels []probes.Dimension) (all []probes.Dimension, cut bool) {
	room := maxLineDims
	for i, d := range dims {
		if d.Value != "" && !hasKey(dims[:i], d.Key) {
			room--
		}
	}
	for _, asWritten := range [...]bool{true, false} {
		for _, l := range labels {
			key := probes.DimensionKey(l.Key)
			if (key == l.Key) != asWritten || key == "" || hasKey(dims, key) {
				continue
			}
			if room--; room < 0 {
				return dims, true
			}
			// A label is a part of its line, which need not stay.
			dims = append(dims, probes.Dimension{Key: strings.Clone(key), Value: strings.Clone(l.Value)})
		}
	}
	return dims, false
}

func hasKey(dims []probes.Dimension, key string) bool {
	for _, d := range dims {
		if d.Key == key && d.Value != "" {
			return true
		}
	}
	return false
}

// series is the key and type of what a use makes.
func (u *use) series() (string, probes.Type) {
	switch u.part {
	case partCount, partAlias:
		return u.metric.Key, probes.Count
	case partEvents:
		return u.metric.Key + "_count", probes.Count
	case partSum:
		return u.metric.Key + "_sum.count", probes.Count
	case partBucket:
		return u.metric.Key + "_bucket.count", probes.Count
	}
	return u.metric.Key, probes.Gauge
}
