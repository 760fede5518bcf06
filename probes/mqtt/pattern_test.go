package mqtt

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPatternsThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                        "empty",
		"a/#/b":                   "behind #",
		"a/b#":                    "whole levels",
		"a/room-{x}":              "whole level",
		"a/{x}{y}":                "whole level",
		"a/{x}/{x}":               "twice",
		"a/{Room}":                "lower case",
		"a/{}":                    "lower case",
		"$share/g/a":              "shared subscription",
		"a\x00b":                  "UTF-8",
		"a/\xff":                  "UTF-8",
		strings.Repeat("a/", 60):  "too long",
		strings.Repeat("a", 1001): "too long",
	} {
		if _, err := parsePattern(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, expected %q", text, err, says)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		fits           bool
		values         []string
	}{
		{"zigbee/{device}/climate/{room}", "zigbee/th1/climate/hall", true, []string{"th1", "hall"}},
		{"zigbee/{device}/climate/{room}", "zigbee/th1/climate", false, nil},
		{"zigbee/{device}", "zigbee/th1/x", false, nil},
		{"zigbee/{device}", "zigbee/", true, []string{""}},
		{"a/#", "a", true, nil},
		{"a/#", "a/b/c", true, nil},
		{"a/#", "ab", false, nil},
		{"+/+", "/finance", true, nil},
		{"+", "/finance", false, nil},
		{"#", "$SYS/x", false, nil},
		{"+/x", "$SYS/x", false, nil},
		{"$SYS/#", "$SYS/x", true, nil},
		{"/a", "/a", true, nil},
		{"/a", "a", false, nil},
		{"#", "a", true, nil},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		values, fits := p.match(c.topic, nil)
		if fits != c.fits || fits && !slices.Equal(values, c.values) {
			t.Errorf("%s on %s: %v %q", c.pattern, c.topic, fits, values)
		}
	}
}

// byRegexp is another reading of the rules of MQTT for filters.
func byRegexp(filter string) func(topic string) bool {
	text := regexp.QuoteMeta(filter)
	text = strings.ReplaceAll(text, `\+`, `[^/]*`)
	switch {
	case text == "#":
		text = `.*`
	case strings.HasSuffix(text, "/#"):
		text = strings.TrimSuffix(text, "/#") + `(/.*)?`
	}
	expression := regexp.MustCompile(`(?s)^` + text + `$`)
	return func(topic string) bool {
		hidden := strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$")
		return topic != "" && !hidden && expression.MatchString(topic)
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a/+/c", "a/b/c"}, {"a/#", "a"}, {"{x}/b", "/b"}, {"$SYS/#", "$SYS"}, {"#", "$"}, {"+/#", "a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, topic string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		values, fits := p.match(topic, nil)
		if want := byRegexp(p.filter())(topic); fits != want {
			t.Fatalf("%s on %q: %v", p.filter(), topic, fits)
		}
		if !fits {
			return
		}
		// The topic can be made again of the names' values.
		parts := strings.Split(topic, "/")
		for i, name := range p.names {
			if name == "" {
				continue
			}
			if parts[i] != values[0] {
				t.Fatalf("%s on %q: %s is %q", text, topic, name, values[0])
			}
			values = values[1:]
		}
		if len(values) > 0 {
			t.Errorf("%s on %q: %q is too much", text, topic, values)
		}
	})
}

// smallTopics are all topics of up to three levels of a few texts.
func smallTopics() (all []string) {
	levels := []string{"", "a", "b", "$"}
	for _, a := range levels {
		all = append(all, a)
		for _, b := range levels {
			all = append(all, a+"/"+b)
			for _, c := range levels {
				all = append(all, a+"/"+b+"/"+c)
			}
		}
	}
	return all[1:] // without the empty one
}

func FuzzFilters(f *testing.F) {
	topics := smallTopics()
	for _, s := range []string{"a/#,a/+", "a/+/b,+/a/b", "a,a,a", "a/b,b/+,+/#", "#,$/#", "$/a,+/a", "a/,/a,+/+", "a/a/#,a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var patterns []pattern
		for part := range strings.SplitSeq(text, ",") {
			p, err := parsePattern(part)
			if err != nil || len(patterns) > 6 {
				return
			}
			patterns = append(patterns, p)
		}
		chosen := filters(patterns)
		var wanted, given []func(string) bool
		for _, p := range patterns {
			wanted = append(wanted, byRegexp(p.filter()))
		}
		for _, filter := range chosen {
			given = append(given, byRegexp(filter))
		}
		fitting := func(all []func(string) bool, topic string) (n int) {
			for _, fits := range all {
				if fits(topic) {
					n++
				}
			}
			return n
		}
		for _, topic := range topics {
			if before, after := fitting(wanted, topic), fitting(given, topic); after > 1 || before > 0 && after == 0 {
				t.Fatalf("%s becomes %q: %q fits %d, then %d", text, chosen, topic, before, after)
			}
		}
	})
}

func TestFilters(t *testing.T) {
	for text, want := range map[string]string{
		"a/b,a/c":           "a/b,a/c",
		"a/b,a/b":           "a/b",
		"a/+,a/b":           "a/+",
		"a/#,a/b/c":         "a/#",
		"a/+/c,+/b/c":       "+/+/c",
		"a/+/c,+/b/c,x/y/c": "+/+/c",
		"#,$SYS/#":          "#,$SYS/#",
	} {
		var patterns []pattern
		for part := range strings.SplitSeq(text, ",") {
			p, err := parsePattern(part)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		if got := strings.Join(filters(patterns), ","); got != want {
			t.Errorf("%s: %s, expected %s", text, got, want)
		}
	}
}
