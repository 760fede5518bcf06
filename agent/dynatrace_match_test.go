package agent

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// fields is a record as a pipeline sees it: a metric line or a log record.
type fields map[string]string

// matcher is a DQL matcher as far as the package uses the language: == and !=
// with a text, isNotNull, isNull, matchesValue with * at either end, and, or,
// not and parentheses. A comparison with a field that is missing is false.
type matcher struct {
	text  string
	left  []string // tokens
	reads map[string]bool
}

var matcherToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|==|!=|[(),]|[a-z][a-zA-Z0-9_.:]*`)

func parseMatcher(text string) (*matcher, error) {
	m := &matcher{text: text, left: matcherToken.FindAllString(text, -1), reads: map[string]bool{}}
	if strings.Join(m.left, "") != strings.Join(strings.Fields(text), "") {
		return nil, fmt.Errorf("%s: some of it is not understood", text)
	}
	tokens := m.left
	if _, err := m.either(fields{}); err != nil {
		return nil, err
	}
	if len(m.left) > 0 {
		return nil, fmt.Errorf("%s: %q is too much", text, m.left)
	}
	m.left = tokens
	return m, nil
}

func mustMatcher(t *testing.T, text string) *matcher {
	t.Helper()
	m, err := parseMatcher(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fits tells whether a record is one that the matcher means.
func (m *matcher) fits(f fields) bool {
	run := &matcher{text: m.text, left: m.left, reads: m.reads}
	ok, err := run.either(f)
	return ok && err == nil
}

func (m *matcher) peek() string {
	if len(m.left) == 0 {
		return ""
	}
	return m.left[0]
}

func (m *matcher) next() string {
	token := m.peek()
	m.left = m.left[min(1, len(m.left)):]
	return token
}

func (m *matcher) take(token string) error {
	if got := m.next(); got != token {
		return fmt.Errorf("%s: found %q, expected %q", m.text, got, token)
	}
	return nil
}

func (m *matcher) either(f fields) (bool, error) {
	any, err := m.both(f)
	for err == nil && m.peek() == "or" {
		m.next()
		var more bool
		more, err = m.both(f)
		any = any || more
	}
	return any, err
}

func (m *matcher) both(f fields) (bool, error) {
	all, err := m.term(f)
	for err == nil && m.peek() == "and" {
		m.next()
		var more bool
		more, err = m.term(f)
		all = all && more
	}
	return all, err
}

func (m *matcher) term(f fields) (bool, error) {
	switch token := m.next(); token {
	case "(":
		ok, err := m.either(f)
		if err != nil {
			return false, err
		}
		return ok, m.take(")")
	case "not":
		ok, err := m.term(f)
		return !ok, err
	case "isNotNull", "isNull":
		value, there, err := m.field(f)
		return (there && value != "") == (token == "isNotNull"), err
	case "matchesValue":
		return m.matchesValue(f)
	default:
		return m.compare(f, token)
	}
}

// field reads "(name)".
func (m *matcher) field(f fields) (value string, there bool, err error) {
	if err := m.take("("); err != nil {
		return "", false, err
	}
	name := m.next()
	m.reads[name] = true
	value, there = f[name]
	return value, there, m.take(")")
}

func (m *matcher) matchesValue(f fields) (bool, error) {
	if err := m.take("("); err != nil {
		return false, err
	}
	name := m.next()
	m.reads[name] = true
	if err := m.take(","); err != nil {
		return false, err
	}
	pattern, err := m.literal()
	if err != nil {
		return false, err
	}
	value, there := f[name]
	value, pattern = strings.ToLower(value), strings.ToLower(pattern)
	core := strings.TrimSuffix(strings.TrimPrefix(pattern, "*"), "*")
	if strings.Contains(core, "*") {
		return false, fmt.Errorf("%s: * stands within %q", m.text, pattern)
	}
	at := strings.Index(value, core)
	ok := there && at >= 0 && (at == 0 || strings.HasPrefix(pattern, "*"))
	if !strings.HasSuffix(pattern, "*") {
		ok = ok && strings.HasSuffix(value, core)
	}
	return ok, m.take(")")
}

func (m *matcher) compare(f fields, name string) (bool, error) {
	operator := m.next()
	if operator != "==" && operator != "!=" {
		return false, fmt.Errorf("%s: found %q after %s, expected == or !=", m.text, operator, name)
	}
	m.reads[name] = true
	text, err := m.literal()
	value, there := f[name]
	return there && (value == text) == (operator == "=="), err
}

func (m *matcher) literal() (string, error) {
	token := m.next()
	if len(token) < 2 || token[0] != '"' {
		return "", fmt.Errorf("%s: found %q, expected a text in quotes", m.text, token)
	}
	return strings.ReplaceAll(token[1:len(token)-1], `\"`, `"`), nil
}

func TestMatcher(t *testing.T) {
	record := fields{"metric.key": "edgehold.snmp.up", "site": "plant-7", "mac": "02:dc"}
	for text, want := range map[string]bool{
		`metric.key == "edgehold.snmp.up"`:                                 true,
		`metric.key != "edgehold.snmp.up"`:                                 false,
		`metric.kye != "edgehold.snmp.up"`:                                 false, // missing
		`isNotNull(site) and isNull(if.name)`:                              true,
		`isNotNull(if.name) or not isNotNull(sight)`:                       true,
		`matchesValue(metric.key, "edgehold.*")`:                           true,
		`matchesValue(metric.key, "edgehold.")`:                            false,
		`matchesValue(metric.key, "*.UP")`:                                 true,
		`matchesValue(mac, "*:*")`:                                         true,
		`matchesValue(site, "*:*")`:                                        false,
		`isNotNull(site) and (isNull(mac) or matchesValue(mac, "02:dc"))`:  true,
		`(isNotNull(site) or isNull(mac)) and metric.key == "edgehold.up"`: false,
	} {
		if got := mustMatcher(t, text).fits(record); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{``, `isNotNull(site`, `site = "x"`, `site == x`, `isNotNull(site) site`, `contains(site, "x")`, `matchesValue(site, "a*b")`, `isNotNull(site) && true`} {
		if m, err := parseMatcher(text); err == nil {
			t.Errorf("%q is understood: %v", text, m.reads)
		}
	}
}
