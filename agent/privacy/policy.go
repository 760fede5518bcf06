// Package privacy keeps dimensions of a site's choice from leaving: a policy
// drops or hashes them before points, events and log records reach the store.
package privacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// Action is what becomes of a dimension.
type Action uint8

// The actions.
const (
	Drop Action = 1
	Hash Action = 2
)

// String is the word of the policy file.
func (a Action) String() string {
	if a == Hash {
		return "hash"
	}
	return "drop"
}

// Rule names dimensions and what becomes of them. Of several rules that match a
// dimension the first one counts.
type Rule struct {
	Dimension string // a glob: * is any text, ? one character
	Metric    string // a glob; "": of all metrics, and of events and log records
	Action    Action
	Where     string // for people
}

// Text is the rule in words.
func (r Rule) Text() string {
	text := r.Action.String() + " " + r.Dimension
	if r.Metric != "" {
		text += " of " + r.Metric
	}
	return text
}

// Policy is a set of rules. nil changes nothing. It is safe for use by several
// goroutines.
type Policy struct {
	rules  []rule
	salt   []byte
	folded atomic.Int64
}

type rule struct {
	Rule
	matched *atomic.Int64
}

// New makes a policy. The salt is needed where a rule hashes.
func New(rules []Rule, salt []byte) *Policy {
	p := &Policy{salt: slices.Clone(salt)}
	for _, r := range rules {
		p.rules = append(p.rules, rule{r, new(atomic.Int64)})
	}
	return p
}

// Same tells whether another policy would do the same.
func (p *Policy) Same(rules []Rule, salt []byte) bool {
	return p != nil && string(p.salt) == string(salt) &&
		slices.EqualFunc(p.rules, rules, func(a rule, b Rule) bool { return a.Rule == b })
}

// Matched is how many dimensions of series, events and records rule i has
// changed. A series counts once for each task, not for each of its points.
func (p *Policy) Matched(i int) int64 { return p.rules[i].matched.Load() }

// Folded is how many points were joined with another one, since their series
// had become one.
func (p *Policy) Folded() int64 { return p.folded.Load() }

// Rules are the rules.
func (p *Policy) Rules() []Rule {
	var all []Rule
	for _, r := range p.rules {
		all = append(all, r.Rule)
	}
	return all
}

// repeats are dimensions of Edgehold's own that hold the values of others: who
// hides a device's address must not find it in an event about the device.
var repeats = map[string][]string{
	"endpoint":                   {"device.address"},
	"edgehold.device_names":      {"device.address"},
	"edgehold.discovery.devices": {"device.address", "device.name"},
}

// Repeats are the dimensions whose values a dimension of Edgehold's own holds
// too.
func Repeats(key string) []string { return repeats[key] }

// covers tells whether a rule is about a dimension, by its name as the source
// gave it or as it is sent.
func (r *rule) covers(key string) bool {
	if Match(r.Dimension, key) || Match(r.Dimension, string(mint.AppendDimensionKey(nil, key))) {
		return true
	}
	return slices.ContainsFunc(repeats[key], func(of string) bool { return Match(r.Dimension, of) })
}

func (r *rule) concerns(metric string) bool {
	return r.Metric == "" || Match(r.Metric, metric) || Match(r.Metric, string(mint.AppendMetricKey(nil, metric)))
}

// Match holds a text against a glob, in any case: * is any text, ? one
// character.
func Match(glob, text string) bool {
	glob, text = strings.ToLower(glob), strings.ToLower(text)
	star, mark := -1, 0 // the last star, and what it has taken up to
	g, t := 0, 0
	for t < len(text) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, t
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == text[t]):
			g++
			t++
		case star >= 0:
			mark++
			g, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// hash is the same for the same text and salt, and tells nothing of the text to
// who does not have the salt.
func (p *Policy) hash(text string) string {
	mac := hmac.New(sha256.New, p.salt)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// apply gives the value that leaves in the place of one, false for none.
func (p *Policy) apply(r *rule, value string) (string, bool) {
	r.matched.Add(1)
	if r.Action == Hash {
		return p.hash(value), true
	}
	return "", false
}

// first is the first of the rules that covers a dimension, nil for none.
func first(rules []*rule, key string) *rule {
	for _, r := range rules {
		if r.covers(key) {
			return r
		}
	}
	return nil
}

// changed is a value that does not leave as it is.
type changed struct{ from, to string }

// dims applies rules to dimensions. Where nothing changes it gives them back as
// they are.
func (p *Policy) dims(rules []*rule, dims []probes.Dimension) (out []probes.Dimension, changes []changed) {
	for i, d := range dims {
		r := first(rules, d.Key)
		if r == nil {
			if changes != nil {
				out = append(out, d)
			}
			continue
		}
		if changes == nil {
			out = append(make([]probes.Dimension, 0, len(dims)), dims[:i]...)
		}
		value, stays := p.apply(r, d.Value)
		changes = append(changes, changed{d.Value, value})
		if stays {
			out = append(out, probes.Dimension{Key: d.Key, Value: value})
		}
	}
	if changes == nil {
		return dims, nil
	}
	return out, changes
}

// general are the rules that hold for all that is no metric.
func (p *Policy) general() (rules []*rule) {
	for i := range p.rules {
		if p.rules[i].Metric == "" {
			rules = append(rules, &p.rules[i])
		}
	}
	return rules
}
