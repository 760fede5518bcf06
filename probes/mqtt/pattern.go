package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

const (
	maxTopic  = 1000 // bytes of a topic, of a pattern too
	maxLevels = 50
)

// pattern is a topic of the configuration, such as zigbee/{device}/+/#.
type pattern struct {
	levels []string // as in a filter of MQTT
	names  []string // by level: the dimension that its text becomes, "" for none
	open   bool     // it fits several topics that its names do not tell apart
}

// parsePattern reads a topic in which a level may be {name}, + or, as the last
// one, #.
func parsePattern(text string) (pattern, error) {
	var p pattern
	switch {
	case text == "":
		return p, errors.New("empty, expected a topic such as zigbee/{device}/climate")
	case len(text) > maxTopic || strings.Count(text, "/") >= maxLevels:
		return p, fmt.Errorf("%.40q… is too long, expected at most %d bytes and %d levels", text, maxTopic, maxLevels)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return p, errors.New("has bytes that are no text, write it in UTF-8 without a zero byte")
	case strings.HasPrefix(text, "$share/"):
		return p, fmt.Errorf("%q is a shared subscription, which gets a part of the messages only; leave $share and its group away", text)
	}
	for level := range strings.SplitSeq(text, "/") {
		if slices.Contains(p.levels, "#") {
			return p, fmt.Errorf("%q goes on behind #, which is the last level where it stands", text)
		}
		filter, name, err := parseLevel(level)
		if err != nil {
			return p, err
		}
		if name != "" && slices.Contains(p.names, name) {
			return p, fmt.Errorf("{%s} stands in it twice, give each level a name of its own", name)
		}
		p.levels, p.names = append(p.levels, filter), append(p.names, name)
		p.open = p.open || name == "" && (filter == "+" || filter == "#")
	}
	return p, nil
}

// parseLevel gives the level of the filter, and the name.
func parseLevel(level string) (filter, name string, err error) {
	if level == "+" || level == "#" {
		return level, "", nil
	}
	if strings.ContainsAny(level, "+#") {
		return "", "", fmt.Errorf("level %q: + and # stand for whole levels, write them alone between slashes", level)
	}
	if !strings.ContainsAny(level, "{}") {
		return level, "", nil
	}
	name, whole := strings.CutPrefix(level, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !whole || !closed || strings.ContainsAny(name, "{}") {
		return "", "", fmt.Errorf("level %q: {name} stands for a whole level, write it alone between slashes", level)
	}
	if err := checkKey(name); err != nil {
		return "", "", fmt.Errorf("level %q: %w", level, err)
	}
	return "+", name, nil
}

// checkKey refuses what would leave as another key.
func checkKey(key string) error {
	if normal := probes.DimensionKey(key); normal != key || key == "" {
		return fmt.Errorf("%q is no key of a dimension, write it in lower case with letters, digits and . _ - : such as %s", key, orElse(normal, "room"))
	}
	return nil
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// filter is the pattern in the words of MQTT.
func (p *pattern) filter() string { return strings.Join(p.levels, "/") }

// match tells whether the pattern fits a topic. The texts of its named levels are
// appended to values, in their order.
func (p *pattern) match(topic string, values []string) ([]string, bool) {
	if topic == "" || topic[0] == '$' && p.levels[0] != "" && p.levels[0][0] != '$' {
		return values, false // wildcards leave the broker's own topics out
	}
	rest, more := topic, true
	for i, level := range p.levels {
		if level == "#" {
			return values, true // a/# fits a, too
		}
		if !more {
			return values, false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		if level != "+" && level != part {
			return values, false
		}
		if p.names[i] != "" {
			values = append(values, part)
		}
	}
	return values, !more
}

// filters are what to subscribe to for all patterns. No two of them fit the same
// topic: some brokers send a message once for each filter that it fits.
func filters(patterns []pattern) []string {
	var all [][]string
	for _, p := range patterns {
		wide := p.levels
		for {
			i := slices.IndexFunc(all, func(other []string) bool { return overlap(wide, other) })
			if i < 0 {
				break
			}
			wide = join(wide, all[i]) // which may overlap with others
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, wide)
	}
	texts := make([]string, len(all))
	for i, levels := range all {
		texts[i] = strings.Join(levels, "/")
	}
	slices.Sort(texts)
	return texts
}

// overlap tells whether a topic fits both filters.
func overlap(a, b []string) bool {
	if own := func(f []string) bool { return strings.HasPrefix(f[0], "$") }; own(a) != own(b) {
		return false
	}
	for i := 0; ; i++ {
		atA, atB := levelAt(a, i), levelAt(b, i)
		switch {
		case atA == "#" || atB == "#", i >= len(a) && i >= len(b):
			return true
		case i >= len(a) || i >= len(b):
			return false
		case atA != "+" && atB != "+" && atA != atB:
			return false
		}
	}
}

// levelAt is a level; "" behind the end, where # still fits.
func levelAt(filter []string, i int) string {
	if i >= len(filter) {
		return ""
	}
	return filter[i]
}

// join is the narrowest filter that fits what either of two that overlap does.
func join(a, b []string) []string {
	var wide []string
	for i := 0; i < len(a) || i < len(b); i++ {
		switch atA, atB := levelAt(a, i), levelAt(b, i); {
		case atA == "#" || atB == "#":
			return append(wide, "#")
		case atA == atB:
			wide = append(wide, atA)
		default:
			wide = append(wide, "+")
		}
	}
	return wide
}
