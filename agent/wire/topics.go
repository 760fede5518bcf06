package wire

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// DefaultPrefix begins all topics unless the configuration says otherwise.
const DefaultPrefix = "edgehold"

// maxID is the longest id of a site or relay.
const maxID = 64

// lanes is how many topics the blocks of all sites are spread over, for
// brokers that share by topic.
const lanes = 16

// relayLevel stands where the id of a site stands in topics of sites.
const relayLevel = "relay"

// CheckID tells whether the id of a site or relay can stand in a topic. What
// names the field in the error, such as "site".
func CheckID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%s: is empty: give it a name of letters, digits, '.', '_' and '-'", what)
	case len(id) > maxID:
		return fmt.Errorf("%s: %.80q has %d characters: use at most %d", what, id, len(id), maxID)
	case id == relayLevel:
		return fmt.Errorf("%s: %q is taken by the topics of relays: use another name", what, id)
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("%s: %q holds %q: use letters without accents, digits, '.', '_' and '-' only", what, id, id[i:i+1])
		}
	}
	return nil
}

// CheckPrefix tells whether topics can begin with the prefix: one to four
// levels without wildcards, none of them empty.
func CheckPrefix(prefix string) error {
	levels := strings.Split(prefix, "/")
	for _, level := range levels {
		if level == "" || len(levels) > 4 || len(prefix) > 2*maxID || strings.ContainsAny(prefix, "+#\x00") || prefix[0] == '$' {
			return fmt.Errorf("prefix: %.150q cannot begin a topic: use one to four words with '/' between them, without '+' and '#', such as %q", prefix, DefaultPrefix)
		}
	}
	return nil
}

// Topics names the topics under one prefix.
type Topics struct{ Prefix string }

func (t Topics) of(levels ...string) string {
	prefix := t.Prefix
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return prefix + "/v1/" + strings.Join(levels, "/")
}

// Up is where a site publishes its blocks.
func (t Topics) Up(site string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(site)) // a hash takes everything
	return t.of(site, "up", strconv.Itoa(int(h.Sum32()%lanes)))
}

// Down is where relays answer a site.
func (t Topics) Down(site string) string { return t.of(site, "down") }

// State is where a site tells its state, retained.
func (t Topics) State(site string) string { return t.of(site, "state") }

// Ask is where a site asks relays what became of its blocks.
func (t Topics) Ask(site string) string { return t.of(site, "ask") }

// Probe is where a site talks to itself, to try a broker.
func (t Topics) Probe(site string) string { return t.of(site, "probe") }

// RelayState is where a relay tells its state, retained.
func (t Topics) RelayState(relay string) string { return t.of(relayLevel, relay, "state") }

// Deny is where the deny list is, retained.
func (t Topics) Deny() string { return t.of(relayLevel, "deny") }

// AllUp is the filter of the blocks of all sites.
func (t Topics) AllUp() string { return t.of("+", "up", "+") }

// AllAsk is the filter of the questions of all sites.
func (t Topics) AllAsk() string { return t.of("+", "ask") }

// AllStates is the filter of the states of all sites.
func (t Topics) AllStates() string { return t.of("+", "state") }

// AllRelayStates is the filter of the states of all relays.
func (t Topics) AllRelayStates() string { return t.of(relayLevel, "+", "state") }

// What says what a topic is for.
type What uint8

// What Parse tells apart.
const (
	UpTopic What = iota + 1
	DownTopic
	StateTopic
	AskTopic
	RelayStateTopic
	DenyTopic
)

// Parse tells what a topic is for, and of which site or relay; ok is false
// where it is none of these topics.
func (t Topics) Parse(topic string) (what What, id string, ok bool) {
	rest, ok := strings.CutPrefix(topic, t.of(""))
	if !ok {
		return 0, "", false
	}
	if rest == relayLevel+"/deny" {
		return DenyTopic, "", true
	}
	id, word, ok := strings.Cut(rest, "/")
	if ok && id == relayLevel {
		id, word, ok = strings.Cut(word, "/")
		return RelayStateTopic, id, ok && word == "state" && CheckID("relay", id) == nil
	}
	if !ok || CheckID("site", id) != nil {
		return 0, "", false
	}
	switch word {
	case "down":
		return DownTopic, id, true
	case "state":
		return StateTopic, id, true
	case "ask":
		return AskTopic, id, true
	}
	return UpTopic, id, topic == t.Up(id)
}
