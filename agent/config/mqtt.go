package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// MQTT is how brokers are reached, by a site that hands its points to a relay,
// or by a relay.
type MQTT struct {
	Brokers            []string    `yaml:"brokers"` // tried in this order: mqtts:// or wss://; mqtt:// and ws:// to this machine
	Prefix             string      `yaml:"prefix"`  // of all topics
	CAFile             string      `yaml:"ca_file"` // PEM; empty: the system's
	CertFile           string      `yaml:"cert_file"`
	KeyFile            string      `yaml:"key_file"`
	User               string      `yaml:"user"`
	PasswordFile       string      `yaml:"password_file"` // at most one of the three
	PasswordCredential string      `yaml:"password_credential"`
	PasswordEnv        string      `yaml:"password_env"`
	BlockSize          probes.Size `yaml:"block_size"` // of a site: the most bytes of a message
	Codec              string      `yaml:"codec"`      // of a site: packed, text
}

// Relay is the hub's side: what edgehold relay needs beside the uplink.
type Relay struct {
	ID          string          // of its topics and its certificate; "": there is no relay
	MQTT        MQTT            // without what only a site has
	SiteQuota   probes.Size     // of the store, for one site; 0: none
	SilentAfter probes.Duration // a site that says nothing for so long is told as an event; 0: never
	DenyFile    string          // a signed deny list that goes to all sites
}

// relay is the document of a Relay.
type relay struct {
	ID          string          `yaml:"id"`
	MQTT        relayMQTT       `yaml:"mqtt"`
	SiteQuota   probes.Size     `yaml:"site_quota"`
	SilentAfter probes.Duration `yaml:"silent_after"`
	DenyFile    string          `yaml:"deny_file"`
}

type relayMQTT struct {
	Brokers            []string `yaml:"brokers"`
	Prefix             string   `yaml:"prefix"`
	CAFile             string   `yaml:"ca_file"`
	CertFile           string   `yaml:"cert_file"`
	KeyFile            string   `yaml:"key_file"`
	User               string   `yaml:"user"`
	PasswordFile       string   `yaml:"password_file"`
	PasswordCredential string   `yaml:"password_credential"`
	PasswordEnv        string   `yaml:"password_env"`
}

func (m relayMQTT) mqtt() MQTT {
	return MQTT{
		Brokers: m.Brokers, Prefix: m.Prefix, CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, User: m.User,
		PasswordFile: m.PasswordFile, PasswordCredential: m.PasswordCredential, PasswordEnv: m.PasswordEnv,
	}
}

const (
	leastBlock   = 4 << 10
	defaultBlock = 64 << 10
	mostBlock    = 120 << 10
)

// topicName is what may stand for a site or a relay in a topic.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// prefixName is one or more levels before all topics.
var prefixName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,2}$`)

// mqttUplink checks uplink.mqtt.
func (c *checker) mqttUplink(doc *MQTT, site string) MQTT {
	at := []string{"uplink", "mqtt"}
	out := c.mqtt(*doc, at)
	if site != "" && c.topicName(site, "site") {
		c.certificateName(out, site, "site", at)
	}
	out.BlockSize = defaultBlock
	if c.given(under(at, "block_size")...) {
		out.BlockSize = doc.BlockSize
		if n := doc.BlockSize; n < leastBlock || n > mostBlock {
			c.fault(Error{Found: "found " + n.String(), Expected: "4KiB to 120KiB"}, under(at, "block_size")...)
		}
	}
	out.Codec = c.choice(doc.Codec, choices["codec"], under(at, "codec"))
	return out
}

// relay checks what makes this the configuration of a relay.
func (c *checker) relay(doc relay) Relay {
	if !c.given("relay") {
		return Relay{}
	}
	out := Relay{ID: doc.ID, SiteQuota: doc.SiteQuota, SilentAfter: doc.SilentAfter}
	at := []string{"relay", "mqtt"}
	c.need("id: hub-1", "relay", "id")
	out.MQTT = c.mqtt(doc.MQTT.mqtt(), at)
	if doc.ID != "" && c.topicName(doc.ID, "relay", "id") {
		c.certificateName(out.MQTT, doc.ID, "relay.id", at)
	}
	if c.given("uplink", "mqtt") {
		c.fault(Error{Found: "a relay cannot send to another relay", Expected: "dynatrace or otlp"}, "uplink", "mqtt")
	}
	if out.SilentAfter == 0 && !c.given("relay", "silent_after") {
		out.SilentAfter = probes.Duration(15 * time.Minute)
	}
	if d := out.SilentAfter.Std(); d != 0 && (d < time.Minute || d > 7*24*time.Hour) {
		c.fault(Error{Found: "found " + out.SilentAfter.String(), Expected: "1m to 7d, or 0 for never"}, "relay", "silent_after")
	}
	if n := out.SiteQuota; n != 0 && n < 1<<20 {
		c.fault(Error{Found: "found " + n.String(), Expected: "1MiB or more, or 0 for none"}, "relay", "site_quota")
	}
	out.DenyFile = c.file(doc.DenyFile, "relay", "deny_file")
	return out
}

// topicName checks a name that stands in topics.
func (c *checker) topicName(name string, keys ...string) bool {
	if topicName.MatchString(name) && name != "relay" {
		return true
	}
	c.fault(Error{
		Found: "cannot be a part of an MQTT topic", Expected: "1 to 64 of letters, digits and . _ -, and not the word relay",
		Mend: "choose such a name; it is the name in the certificate too",
	}, keys...)
	return false
}

// mqtt checks what a site and a relay have in common.
func (c *checker) mqtt(doc MQTT, at []string) MQTT {
	out := doc
	c.need("brokers: [mqtts://broker.example.com:8883]", under(at, "brokers")...)
	out.Brokers = nil
	for i, text := range doc.Brokers {
		broker, fault := normalBroker(text)
		if fault.Found != "" {
			c.fault(fault, append(under(at, "brokers"), fmt.Sprintf("[%d]", i))...)
			continue
		}
		if slices.Contains(out.Brokers, broker) {
			c.fault(Error{Found: "given twice", Mend: "remove one"}, append(under(at, "brokers"), fmt.Sprintf("[%d]", i))...)
		}
		out.Brokers = append(out.Brokers, broker)
	}
	if len(doc.Brokers) == 0 && c.given(under(at, "brokers")...) {
		c.fault(Error{Found: "is empty", Expected: "at least one broker"}, under(at, "brokers")...)
	}
	if out.Prefix == "" && !c.given(under(at, "prefix")...) {
		out.Prefix = "edgehold"
	}
	if !prefixName.MatchString(out.Prefix) {
		c.fault(Error{Found: "not the begin of a topic", Expected: "one to three levels such as plant/edgehold, of letters, digits and . _ -"}, under(at, "prefix")...)
	}
	c.mqttFiles(doc, &out, at)
	c.mqttPassword(doc, &out, at)
	return out
}

func (c *checker) mqttFiles(doc MQTT, out *MQTT, at []string) {
	out.CAFile = c.file(doc.CAFile, under(at, "ca_file")...)
	out.CertFile = c.file(doc.CertFile, under(at, "cert_file")...)
	out.KeyFile = c.file(doc.KeyFile, under(at, "key_file")...)
	for key, path := range map[string]string{"ca_file": out.CAFile, "cert_file": out.CertFile} {
		if err := checkCertificates(path); err != nil {
			c.fault(Error{Found: err.Error(), Expected: "the path of a PEM file with certificates"}, under(at, key)...)
		}
	}
	switch {
	case out.CertFile != "" && out.KeyFile == "":
		c.fault(Error{Found: "missing, and cert_file is given", Mend: "write the path of the private key that belongs to the certificate"}, under(at, "key_file")...)
	case out.KeyFile != "" && out.CertFile == "":
		c.fault(Error{Found: "missing, and key_file is given", Mend: "write the path of the certificate"}, under(at, "cert_file")...)
	case out.KeyFile != "":
		if err := CheckPrivate(out.KeyFile); err != nil {
			c.fault(Error{Found: err.Error(), Expected: "a private key that others may not read"}, under(at, "key_file")...)
		}
	}
}

func (c *checker) mqttPassword(doc MQTT, out *MQTT, at []string) {
	s := doc.password()
	if s.file+s.credential+s.env == "" {
		return
	}
	c.source(s, "password_file: /etc/edgehold/mqtt-password", at)
	if doc.User == "" {
		c.fault(Error{Found: "missing, and a password is given", Mend: "write user: NAME"}, under(at, "user")...)
	}
	out.PasswordFile = c.file(doc.PasswordFile, under(at, "password_file")...)
}

// certificateName holds the certificate against the name that the broker knows
// the client by: who publishes under another's name would be refused there.
func (c *checker) certificateName(m MQTT, name, key string, at []string) {
	if m.CertFile == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(m.CertFile, m.KeyFile)
	if err != nil {
		// No error: while both are being exchanged the agent goes on polling.
		c.warn("it does not belong to the certificate, or cannot be read, so no broker will take it: "+err.Error(), under(at, "key_file")...)
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.Subject.CommonName == name {
		return
	}
	c.fault(Error{
		Found: fmt.Sprintf("the certificate is for %q, and %s is %q", leaf.Subject.CommonName, key, name),
		Mend:  "name the certificate that was made for it, or change " + key,
	}, under(at, "cert_file")...)
}

func (m MQTT) password() secretSource {
	return secretSource{name: "password", file: m.PasswordFile, credential: m.PasswordCredential, env: m.PasswordEnv}
}

// HasPassword reports whether a source of the password is named.
func (m MQTT) HasPassword() bool { return m.PasswordFile+m.PasswordCredential+m.PasswordEnv != "" }

// Password reads the password now. Errors name where it was looked for and the
// mend, never the password.
func (m MQTT) Password() (probes.Secret, error) {
	s := m.password()
	password, err := s.read()
	if err != nil {
		return password, fmt.Errorf("%s: %w", s.key(), err)
	}
	return password, nil
}

// Equal reports whether both say the same.
func (m MQTT) Equal(o MQTT) bool {
	return slices.Equal(m.Brokers, o.Brokers) && m.fields() == o.fields()
}

func (m MQTT) fields() [10]string {
	return [...]string{
		m.Prefix, m.CAFile, m.CertFile, m.KeyFile, m.User, m.PasswordFile, m.PasswordCredential, m.PasswordEnv,
		m.BlockSize.String(), m.Codec,
	}
}

var brokerPorts = map[string]string{"mqtts": "8883", "mqtt": "1883", "wss": "443", "ws": "80"}

// normalBroker is the address of a broker with its port.
func normalBroker(text string) (string, Error) {
	const example = "mqtts://broker.example.com:8883"
	u, err := url.Parse(text)
	if err != nil || !strings.Contains(text, "://") || u.Hostname() == "" || strings.ContainsAny(u.Host, " \"") {
		return "", Error{Found: "not the address of a broker", Expected: "one such as " + example}
	}
	port, known := brokerPorts[u.Scheme]
	web := u.Scheme == "wss" || u.Scheme == "ws"
	clear := u.Scheme == "mqtt" || u.Scheme == "ws"
	switch {
	case u.User != nil:
		return "", Error{Found: "holds a user or password", Mend: "write user: and password_file: beside brokers"}
	case u.RawQuery != "" || u.Fragment != "" || !web && strings.Trim(u.Path, "/") != "":
		return "", Error{Found: "holds more than scheme, host and port", Expected: "one such as " + example}
	case !known:
		return "", Error{Found: "an unknown scheme", Expected: "mqtts:// or wss://; mqtt:// and ws:// are for this machine only"}
	case clear && !loopback(u.Hostname()):
		return "", Error{Found: u.Scheme + " would send everything in clear text", Expected: u.Scheme + "s", Mend: "write " + u.Scheme + "s://HOST; without TLS is for this machine only (127.0.0.1, ::1, localhost)"}
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "" {
		host += ":" + port
	}
	path := ""
	if web {
		path = strings.TrimRight(u.EscapedPath(), "/")
	}
	return u.Scheme + "://" + host + path, Error{}
}
