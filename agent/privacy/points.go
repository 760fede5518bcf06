package privacy

import "github.com/edgehold/edgehold/probes"

// Cache remembers what a policy makes of the series of one task, so that each
// is looked at once, and forgets those that no longer come. The zero Cache is
// ready; it is for one goroutine at a time.
type Cache struct {
	policy *Policy
	known  map[*probes.Series]*probes.Series
	one    map[[16]byte]origin // by the id of what leaves
	merges bool                // two series have become one
	sets   map[string]*ruleSet // by metric key
	shared map[row]*probes.Dimensions
}

// origin is what leaves in the place of a series.
type origin struct {
	series *probes.Series
	from   [16]byte
}

// ruleSet are the rules that concern a metric. Metrics with the same rules have
// the same one.
type ruleSet struct {
	rules []*rule
	mask  string
}

// row are the dimensions that the series of one row share.
type row struct {
	dims *probes.Dimensions
	set  *ruleSet
}

// Points applies a policy to the points of one poll, in place. Points whose
// series become one are folded: deltas add, gauges become a statistic.
func (c *Cache) Points(p *Policy, points []probes.Point) []probes.Point {
	if c.policy != p || len(c.known) > 2*len(points)+1000 {
		*c = Cache{policy: p}
	}
	if p == nil || len(points) == 0 {
		return points
	}
	for i := range points {
		s := points[i].Series
		leaves := c.known[s]
		if leaves == nil {
			leaves = c.learn(s)
		}
		points[i].Series = leaves
	}
	if !c.merges {
		return points
	}
	return c.fold(points)
}

// fold leaves out of it what is no number: it would spoil the others, and the
// store refuses it by itself.
func (c *Cache) fold(points []probes.Point) []probes.Point {
	sound := make([]probes.Point, 0, len(points))
	var bad []probes.Point
	for _, p := range points {
		if p.Value.Check() != nil {
			bad = append(bad, p)
			continue
		}
		sound = append(sound, p)
	}
	folded, taken := probes.Fold(sound)
	c.policy.folded.Add(int64(taken))
	return append(folded, bad...)
}

// learn finds out what leaves in the place of a series.
func (c *Cache) learn(s *probes.Series) *probes.Series {
	if c.known == nil {
		c.known = map[*probes.Series]*probes.Series{}
		c.one = map[[16]byte]origin{}
		c.sets = map[string]*ruleSet{}
		c.shared = map[row]*probes.Dimensions{}
	}
	leaves := s
	if dims := c.dims(s); dims != s.Shared() {
		leaves = probes.NewSeriesOf(s.Key(), s.Type(), dims)
	}
	first, seen := c.one[leaves.ID()]
	if !seen {
		first = origin{leaves, s.ID()}
		c.one[leaves.ID()] = first
	}
	c.merges = c.merges || first.from != s.ID()
	c.known[s] = first.series
	return first.series
}

func (c *Cache) dims(s *probes.Series) *probes.Dimensions {
	of := row{s.Shared(), c.rulesOf(s.Key())}
	dims := c.shared[of]
	if dims == nil {
		dims = of.dims
		if out, changes := c.policy.dims(of.set.rules, s.Dims()); changes != nil {
			dims = probes.NewDimensions(out...)
		}
		c.shared[of] = dims
	}
	return dims
}

func (c *Cache) rulesOf(metric string) *ruleSet {
	if set := c.sets[metric]; set != nil {
		return set
	}
	made := &ruleSet{}
	mask := make([]byte, len(c.policy.rules))
	for i := range c.policy.rules {
		if r := &c.policy.rules[i]; r.concerns(metric) {
			made.rules = append(made.rules, r)
			mask[i] = 1
		}
	}
	made.mask = string(mask)
	for _, set := range c.sets {
		if set.mask == made.mask {
			made = set
			break
		}
	}
	c.sets[metric] = made
	return made
}
