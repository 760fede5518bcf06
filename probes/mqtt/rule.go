package mqtt

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	keyPrefix    = "edgehold.mqtt."
	topicKey     = "mqtt.topic" // the dimension where a wildcard has no name
	maxMetricKey = 250
	maxUnitText  = 60
	maxDimValue  = 250
)

// rule is a topic of the configuration, checked.
type rule struct {
	number  int // in its entry
	pattern pattern
	filter  string
	metric  string
	kind    string // typeGauge, typeCount, typeDelta
	path    plan.DocPath
	convert plan.Conversion
	words   map[string]float64
	fixed   []probes.Dimension // constants of the topic, then of the entry
	keys    []string           // of what is read at the paths
	paths   []plan.DocPath
	silent  time.Duration // 0: never
	told    bool          // that a message cannot be read; guarded by source.mu
}

// newRule checks a topic. The errors begin with the field.
func newRule(t *Topic, o *Options) (*rule, error) {
	p, err := parsePattern(t.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	r := &rule{pattern: p, filter: p.filter(), kind: orElse(t.Type, typeGauge), silent: o.SilentAfter.Std()}
	if err := oneOf("type", r.kind, typeGauge, typeCount, typeDelta); err != nil {
		return nil, err
	}
	if t.Value != "" {
		if r.path, err = pathOf(t.Value); err != nil {
			return nil, fmt.Errorf("value: %w", err)
		}
	}
	if t.SilentAfter != nil {
		r.silent = t.SilentAfter.Std()
	}
	if r.silent != 0 && r.silent < time.Second {
		return nil, fmt.Errorf("silent_after: found %v, expected 1s or more, or 0 for never", r.silent)
	}
	if len(t.Unit) > maxUnitText || strings.ContainsAny(t.Unit, "\"\n,=") {
		return nil, fmt.Errorf("unit: found %s, expected a word such as Celsius or Percent", shorten(t.Unit))
	}
	if err := r.numbers(t); err != nil {
		return nil, err
	}
	if r.metric, err = r.metricKey(t.Metric); err != nil {
		return nil, fmt.Errorf("metric: %w", err)
	}
	return r, r.dimensions(t, o)
}

// numbers checks what makes a value of a number.
func (r *rule) numbers(t *Topic) error {
	r.convert = plan.Conversion{Multiplier: t.Scale, Offset: t.Offset}
	if r.kind != typeGauge && (t.Offset != 0 || t.Scale < 0) {
		return fmt.Errorf("type: %s with an offset or a negative scale has no meaning; take the offset away", r.kind)
	}
	if len(t.Words) > 0 {
		r.words = make(map[string]float64, len(t.Words))
		for word, f := range t.Words {
			r.words[strings.ToLower(strings.TrimSpace(word))] = f
		}
	}
	return nil
}

// metricKey is the key that is given, or one by what the value is called.
func (r *rule) metricKey(given string) (string, error) {
	if given != "" {
		return given, checkMetric(given)
	}
	name := ""
	if r.path != nil {
		for _, step := range r.path[0] {
			if step.Kind == plan.StepField {
				name = step.Name
			}
		}
	} else {
		for _, level := range r.pattern.levels {
			if level != "+" && level != "#" {
				name = level
			}
		}
	}
	key := keyPrefix + probes.DimensionKey(name)
	if key == keyPrefix || checkMetric(key) != nil {
		return "", errors.New("missing, and neither topic nor value have a name for it; write one such as " + keyPrefix + "temperature")
	}
	return key, nil
}

// checkMetric refuses what Dynatrace would take under another key, or not at all.
func checkMetric(key string) error {
	bad := len(key) > maxMetricKey || !inKey(key)
	for i, section := range strings.Split(key, ".") {
		bad = bad || section == "" || section[0] == '-' || i == 0 && section[0] <= '9'
	}
	if bad {
		return fmt.Errorf("%s is no key of a metric, expected letters, digits, _ and - with points between the parts, beginning with a letter, such as %stemperature, at most %d bytes", shorten(key), keyPrefix, maxMetricKey)
	}
	return nil
}

func inKey(key string) bool {
	return !strings.ContainsFunc(key, func(c rune) bool {
		return c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// dimensions takes those of the topic and of the entry.
func (r *rule) dimensions(t *Topic, o *Options) error {
	for _, key := range slices.Sorted(maps.Keys(t.Dimensions)) {
		value := t.Dimensions[key]
		if err := checkKey(key); err != nil {
			return fmt.Errorf("dimensions: %w", err)
		}
		if slices.Contains(r.pattern.names, key) {
			return fmt.Errorf("dimensions: %s is a level of the topic already, take one of the two away", key)
		}
		text, found := strings.CutPrefix(value, "path:")
		if !found {
			r.fixed = append(r.fixed, probes.Dimension{Key: key, Value: value})
			continue
		}
		path, err := pathOf(text)
		if err != nil {
			return fmt.Errorf("dimensions: %s: %w", key, err)
		}
		r.keys, r.paths = append(r.keys, key), append(r.paths, path)
	}
	for _, key := range slices.Sorted(maps.Keys(o.Dimensions)) {
		r.fixed = append(r.fixed, probes.Dimension{Key: key, Value: o.Dimensions[key]})
	}
	return nil
}

func (r *rule) seriesType() probes.Type {
	if r.kind == typeGauge {
		return probes.Gauge
	}
	return probes.Count
}

// series makes the series of a topic, with the texts of its named levels and of
// the dimensions that stand in the message.
func (r *rule) series(topic string, levels, texts []string, constants []probes.Dimension) *probes.Series {
	dims := slices.Clone(constants)
	for _, name := range r.pattern.names {
		if name != "" {
			dims = append(dims, probes.Dimension{Key: name, Value: strings.Clone(levels[0])})
			levels = levels[1:]
		}
	}
	for i, key := range r.keys {
		dims = append(dims, probes.Dimension{Key: key, Value: texts[i]})
	}
	if r.pattern.open {
		dims = append(dims, probes.Dimension{Key: topicKey, Value: topic})
	}
	return probes.NewSeries(r.metric, r.seriesType(), append(dims, r.fixed...)...)
}

// line is one series and what came for it.
type line struct {
	series *probes.Series
	rule   *rule
	topic  string
	last   time.Duration // when a value came that was not retained, on the clock since boot; 0: never
	silent bool          // and that was told

	fresh  bool // a value came since the last point
	sum    probes.Summary
	newest float64
	grown  float64 // of a count
	read   bool    // newest is a value
}

// take adds a value, as it was read.
func (l *line) take(v float64) {
	switch was := l.newest; {
	case l.rule.kind == typeDelta:
		l.grown += v
		l.fresh = true
	case l.rule.kind == typeCount:
		if l.read && v >= was {
			l.grown += v - was
		}
		l.fresh = l.fresh || l.read && v >= was // one that fell has begun anew
	case l.fresh:
		l.sum = probes.Summary{Min: min(l.sum.Min, v), Max: max(l.sum.Max, v), Sum: l.sum.Sum + v, Count: l.sum.Count + 1}
	default:
		l.sum, l.fresh = probes.Summary{Min: v, Max: v, Sum: v, Count: 1}, true
	}
	l.newest, l.read = v, true
}

// value is what the values since the last point make, and begins anew.
func (l *line) value(emit string) probes.Value {
	l.fresh = false
	if l.rule.kind != typeGauge {
		grown := l.grown
		l.grown = 0
		return l.rule.growth(grown)
	}
	if v := probes.Summarize(l.sum); emit == emitStatistic && l.sum.Count > 1 && v.Check() == nil {
		return v
	}
	return probes.Float(l.newest)
}

// growth is a growth in the unit of the metric.
func (r *rule) growth(grown float64) probes.Value {
	const exact, digits = 1 << 53, 1e9
	if grown == math.Trunc(grown) && grown < exact {
		if v, ok := r.convert.Growth(uint64(grown)); ok {
			return v
		}
	}
	if grown < exact/digits {
		grown = math.Round(grown*digits) / digits // off with what a difference of floats has too much
	}
	v, _ := r.convert.GrowthOf(grown)
	return v
}

// scaled is a gauge in the unit of the metric.
func (r *rule) scaled(v float64) (float64, error) {
	value, _, ok := r.convert.Gauge(plan.Cell{Kind: plan.Real, Float: v})
	if !ok {
		return 0, fmt.Errorf("%v is out of range with its scale", v)
	}
	return value.Float64(), nil
}
