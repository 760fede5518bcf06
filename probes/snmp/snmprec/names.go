package snmprec

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// words of each kind of text begin what stands in its place.
var words = map[kind]string{name: "name", contact: "contact", location: "location", alias: "alias", vlan: "vlan", serial: "SERIAL"}

// common are texts that many devices come with. They are masked where they are
// a name, but not within other texts.
var common = []string{
	"unknown", "none", "default", "switch", "router", "system", "server", "localhost", "printer", "ups", "not set", "n/a", "admin", "root", "linux", "port", "public", "private",
}

// minName is how long a name must be to be looked for within other texts.
const minName = 3

// names gives each name another one, the same wherever it stands.
type names struct {
	made   map[string]string // by the old name in lower case
	count  map[kind]int
	starts map[string][]string // old names, in lower case, by their first bytes; longest first
	plain  map[string]bool     // texts that name an interface or a type, in lower case
}

func newNames() *names {
	return &names{map[string]string{}, map[kind]int{}, map[string][]string{}, map[string]bool{}}
}

// learn takes a name that is to be masked.
func (n *names) learn(k kind, text string) {
	text = strings.ToLower(strings.TrimRight(text, "\x00"))
	if strings.TrimSpace(text) == "" || n.plain[text] || n.made[text] != "" || k == vlan && usualVLAN(text) {
		return
	}
	n.count[k]++
	made := fmt.Sprintf("%s-%d", words[k], n.count[k])
	n.made[text] = made
	host, domain, dotted := strings.Cut(text, ".")
	if k == name && dotted && strings.ContainsFunc(host, letter) && strings.ContainsFunc(domain, letter) {
		n.part(host, made)
		n.part(domain, "domain-"+made)
	}
}

// part adds a part of a name, which is not counted.
func (n *names) part(text, made string) {
	if len(text) >= minName && n.made[text] == "" && !n.plain[text] {
		n.made[text] = made
	}
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// usualVLAN tells names that a switch makes up itself.
func usualVLAN(text string) bool {
	text = strings.TrimLeft(strings.TrimPrefix(text, "vlan"), " _-0123456789")
	return text == "" || strings.HasSuffix(text, "default")
}

// assign makes the names ready to be looked for.
func (n *names) assign() {
	for text := range n.made {
		if len(text) >= minName && !slices.Contains(common, text) {
			n.starts[text[:minName]] = append(n.starts[text[:minName]], text)
		}
	}
	for _, list := range n.starts {
		sort.Slice(list, func(i, j int) bool { return len(list[i]) > len(list[j]) })
	}
}

// whole is what stands in the place of a text that is a name as a whole.
func (n *names) whole(text string) (made string, ok bool) {
	made, ok = n.made[strings.ToLower(strings.TrimRight(text, "\x00"))]
	return made, ok
}

// inText puts new names in the place of the old ones. A short name is looked
// for as a word of its own only.
func (n *names) inText(s string) string {
	if len(n.starts) == 0 || len(s) < minName {
		return s
	}
	low := lower(s)
	var out []byte
	last := 0
	for i := 0; i+minName <= len(s); {
		old := n.at(low, i)
		if old == "" {
			i++
			continue
		}
		out = append(append(out, s[last:i]...), n.made[old]...)
		i += len(old)
		last = i
	}
	return string(append(out, s[last:]...))
}

// lower keeps every byte in its place, whatever the text is.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// at is the longest name that begins at i.
func (n *names) at(low string, i int) string {
	for _, old := range n.starts[low[i:i+minName]] {
		if strings.HasPrefix(low[i:], old) && (len(old) >= 6 || alone(low, i, len(old))) {
			return old
		}
	}
	return ""
}

func alone(s string, from, size int) bool {
	word := func(i int) bool { return i >= 0 && i < len(s) && (letter(rune(s[i])) || digit(s[i])) }
	return !word(from-1) && !word(from+size)
}
