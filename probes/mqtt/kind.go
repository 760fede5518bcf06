package mqtt

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	minInterval   = time.Second
	maxInterval   = 24 * time.Hour
	defaultSilent = time.Hour
	defaultSeries = 1000
	maxSeries     = 100_000
	maxTopics     = 1000
	maxClientID   = 100
)

// Options are the options of a `probes:` entry of kind mqtt.
type Options struct {
	Broker   string `yaml:"broker"`    // mqtts://, mqtt://, wss:// or ws://
	Plain    bool   `yaml:"plain"`     // without TLS also to other machines
	ClientID string `yaml:"client_id"` // "": one by chance
	User     string `yaml:"user"`
	// Credential is the name of a password in the configuration.
	Credential string `yaml:"credential"`
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`

	Topics []Topic `yaml:"topics"`
	Topic  string  `yaml:"topic"`  // with Metric and Value the short form of one topic
	Metric string  `yaml:"metric"` // likewise
	Value  string  `yaml:"value"`  // likewise

	Interval    probes.Duration   `yaml:"interval"`
	Emit        string            `yaml:"emit"`         // statistic, last, each
	Retained    string            `yaml:"retained"`     // ignore, use
	SilentAfter probes.Duration   `yaml:"silent_after"` // 0: never
	MaxSeries   int               `yaml:"max_series"`
	Dimensions  map[string]string `yaml:"dimensions"`
}

// Topic says what becomes of the messages of a topic.
type Topic struct {
	Topic       string             `yaml:"topic"`  // with {name} and + for a level, # for the rest
	Metric      string             `yaml:"metric"` // "": edgehold.mqtt. and the name of the value
	Name        string             `yaml:"name"`   // of the metric, for people
	Value       string             `yaml:"value"`  // path in JSON; "": the message is the number
	Type        string             `yaml:"type"`   // gauge, count, delta
	Unit        string             `yaml:"unit"`
	Scale       float64            `yaml:"scale"` // value * Scale + Offset; 0 is 1
	Offset      float64            `yaml:"offset"`
	Words       map[string]float64 `yaml:"words"`
	Dimensions  map[string]string  `yaml:"dimensions"`   // a text, or path: and where it stands in JSON
	SilentAfter *probes.Duration   `yaml:"silent_after"` // nil: that of the entry
}

// The words of Options and Topic.
const (
	emitStatistic, emitLast, emitEach = "statistic", "last", "each"
	retainedIgnore, retainedUse       = "ignore", "use"
	typeGauge, typeCount, typeDelta   = "gauge", "count", "delta"
)

// Kind is the kind of source that takes what sensors publish.
func Kind() probes.Kind {
	return probes.Kind{
		Name: "mqtt",
		Options: func() any {
			return &Options{
				Interval: probes.Duration(time.Minute), Emit: emitStatistic, Retained: retainedIgnore,
				SilentAfter: probes.Duration(defaultSilent), MaxSeries: defaultSeries,
			}
		},
		New:     newTasks,
		Metrics: metrics,
	}
}

// ResolveFiles makes the paths absolute.
func (o *Options) ResolveFiles(absolute func(path string) string) {
	for _, path := range []*string{&o.CAFile, &o.CertFile, &o.KeyFile} {
		if *path != "" {
			*path = absolute(*path)
		}
	}
}

// all is a copy of the topics, with that of the short form.
func (o *Options) all() []Topic {
	topics := slices.Clone(o.Topics)
	if o.Topic != "" {
		topics = append(topics, Topic{Topic: o.Topic, Metric: o.Metric, Value: o.Value})
	}
	return topics
}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	errs := o.checkBroker()
	if len(o.all()) == 0 {
		errs = append(errs, errors.New("topics: empty, expected at least one such as {topic: zigbee/{device}/climate, value: temperature}"))
	}
	if len(o.Topics) > maxTopics {
		errs = append(errs, fmt.Errorf("topics: there are %d, expected at most %d; let {name} stand for a level in which they differ", len(o.Topics), maxTopics))
	}
	if o.Topic == "" && o.Metric+o.Value != "" {
		errs = append(errs, errors.New("topic: missing, and metric or value is given, which go with it; write the topic, or put them into `topics`"))
	}
	if d := o.Interval.Std(); d < minInterval || d > maxInterval {
		errs = append(errs, fmt.Errorf("interval: found %v, expected %v to %v", o.Interval, minInterval, maxInterval))
	}
	errs = append(errs, oneOf("emit", o.Emit, emitStatistic, emitLast, emitEach), oneOf("retained", o.Retained, retainedIgnore, retainedUse))
	if d := o.SilentAfter.Std(); d != 0 && d < time.Second {
		errs = append(errs, fmt.Errorf("silent_after: found %v, expected 1s or more, or 0 for never", o.SilentAfter))
	}
	if o.MaxSeries < 1 || o.MaxSeries > maxSeries {
		errs = append(errs, fmt.Errorf("max_series: found %d, expected 1 to %d", o.MaxSeries, maxSeries))
	}
	for _, key := range slices.Sorted(maps.Keys(o.Dimensions)) {
		if err := checkKey(key); err != nil {
			errs = append(errs, fmt.Errorf("dimensions: %w", err))
		}
	}
	for i := range o.Topics {
		if _, err := newRule(&o.Topics[i], o); err != nil {
			errs = append(errs, fmt.Errorf("topics[%d]: %w", i, err))
		}
	}
	if o.Topic != "" {
		if _, err := newRule(&Topic{Topic: o.Topic, Metric: o.Metric, Value: o.Value}, o); err != nil {
			errs = append(errs, err)
		}
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

func oneOf(field, found string, words ...string) error {
	if slices.Contains(words, found) {
		return nil
	}
	return fmt.Errorf("%s: found %q, expected one of %s", field, found, strings.Join(words, ", "))
}

// checkBroker checks how the broker is reached.
func (o *Options) checkBroker() (errs []error) {
	if _, err := brokerHost(o.Broker, o.Plain); err != nil {
		errs = append(errs, fmt.Errorf("broker: %w", err))
	}
	if len(o.ClientID) > maxClientID || strings.ContainsRune(o.ClientID, 0) {
		errs = append(errs, fmt.Errorf("client_id: expected at most %d bytes of text", maxClientID))
	}
	if o.Credential != "" && o.User == "" {
		errs = append(errs, errors.New("user: missing, and a credential is given; write user: NAME"))
	}
	switch {
	case o.CertFile != "" && o.KeyFile == "":
		errs = append(errs, errors.New("key_file: missing, and cert_file is given; write the path of the private key that belongs to the certificate"))
	case o.KeyFile != "" && o.CertFile == "":
		errs = append(errs, errors.New("cert_file: missing, and key_file is given; write the path of the certificate"))
	}
	return errs
}

// brokerHost is host and port of a broker.
func brokerHost(text string, plain bool) (string, error) {
	const example = "expected one such as mqtts://broker.example.com:8883 or mqtt://127.0.0.1:1883"
	ports := map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "", errors.New("empty, " + example)
	case err != nil || u.Hostname() == "" || ports[u.Scheme] == "":
		return "", errors.New("not the address of a broker, " + example)
	case u.User != nil:
		return "", errors.New("holds a user or password; write user: NAME and credential: NAME beside it")
	case u.RawQuery != "" || u.Fragment != "" || u.Scheme[0] == 'm' && strings.Trim(u.Path, "/") != "":
		return "", errors.New("holds more than scheme, host and port, " + example)
	case (u.Scheme == "mqtt" || u.Scheme == "ws") && !plain && !loopback(u.Hostname()):
		return "", fmt.Errorf("%s would send passwords and values in clear text; write %ss://, or plain: true where the network in between is trusted", u.Scheme, u.Scheme)
	}
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port), nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// newTasks makes the one source of an entry.
func newTasks(options any, deps probes.Deps) ([]probes.Task, error) {
	o, ok := options.(*Options)
	if !ok {
		return nil, fmt.Errorf("options are a %T, expected *mqtt.Options", options)
	}
	host, err := brokerHost(o.Broker, o.Plain)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	s := &source{options: o, deps: deps, subscription: probes.Subscription{
		Broker: o.Broker, Plain: o.Plain, ClientID: o.ClientID, User: o.User,
		CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile,
	}}
	if o.ClientID == "" {
		s.subscription.ClientID = "edgehold-" + strings.ToLower(rand.Text()[:12])
	}
	if o.Credential != "" {
		c, known := deps.Credentials[o.Credential]
		if !known || c.Password.IsZero() {
			return nil, fmt.Errorf("credential: there is no password of this name, add it under the top-level `credentials` with a password_file, or correct the name")
		}
		s.subscription.Password = &c
	}
	var patterns []pattern
	var ids []string
	topics := o.all()
	for i := range topics {
		r, err := newRule(&topics[i], o)
		if err != nil {
			return nil, fmt.Errorf("topics[%d]: %w", i, err)
		}
		r.number = i
		s.rules, patterns, ids = append(s.rules, r), append(patterns, r.pattern), append(ids, topics[i].Topic, r.metric)
	}
	s.subscription.Filters = filters(patterns)
	return []probes.Task{{
		ID:       fmt.Sprintf("mqtt/%s/%.8s", host, fingerprint("%q", ids)),
		Device:   host,
		Label:    host + " " + labelOf(s.subscription.Filters),
		Interval: o.Interval.Std(),
		Source:   s,
		Same:     o.fingerprint(topics, deps),
	}}, nil
}

func labelOf(filters []string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return fmt.Sprintf("%s and %d more", filters[0], len(filters)-1)
}

// fingerprint changes with every setting, the password included, and tells none.
func (o *Options) fingerprint(topics []Topic, deps probes.Deps) string {
	all := *o
	all.Topics = nil
	silent := make([]probes.Duration, len(topics)) // by value
	for i, t := range topics {
		silent[i] = -1
		if t.SilentAfter != nil {
			silent[i] = *t.SilentAfter
		}
		topics[i].SilentAfter = nil
	}
	c := deps.Credentials[o.Credential]
	return fingerprint("%#v %#v %v %q", all, topics, silent, c.Password.Reveal())
}

func fingerprint(format string, what ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, format, what...))
	return hex.EncodeToString(sum[:])
}

// metrics describes what the topics become.
func metrics(options any) []probes.Metadata {
	o, ok := options.(*Options)
	if !ok {
		return nil
	}
	var all []probes.Metadata
	topics := o.all()
	for i := range topics {
		r, err := newRule(&topics[i], o)
		if err != nil {
			continue
		}
		m := probes.Metadata{Key: r.metric, Type: r.seriesType(), Unit: topics[i].Unit, DisplayName: topics[i].Name}
		known := func(other probes.Metadata) bool { return other.Key == m.Key && other.Type == m.Type }
		if !slices.ContainsFunc(all, known) {
			all = append(all, m)
		}
	}
	return all
}

// pathOf reads a path that leads to one value.
func pathOf(text string) (plan.DocPath, error) {
	path, err := plan.ParseDocPath(strings.TrimSpace(strings.TrimPrefix(text, "path:")))
	if err != nil {
		return nil, err
	}
	for _, way := range path {
		for _, step := range way {
			if step.Kind == plan.StepEach || step.Kind == plan.StepParent {
				return nil, fmt.Errorf("path %q has [] or ^, expected one that leads to a single value, such as sensors[0].temperature or sensors[name=inlet].temperature", text)
			}
		}
	}
	return path, nil
}
