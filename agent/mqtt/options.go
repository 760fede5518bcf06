package mqtt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultKeepAlive    = 30 * time.Second
	defaultWriteTimeout = time.Minute
	defaultInFlight     = 64
	defaultMaxMessage   = 256 << 10

	longestString  = 65535            // of MQTT, in bytes; the library cuts longer ones
	connectTimeout = 30 * time.Second // of a whole try
)

// ports are those that a URL without one means, by scheme.
var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// withDefaults fills in what is not said.
func (o Options) withDefaults() Options {
	if o.KeepAlive <= 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultInFlight
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Time == nil {
		o.Time = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return o
}

// check tells what is wrong with the options. The URL has its port afterwards.
func (o *Options) check() (*url.URL, error) {
	to, err := CheckBroker(o.Broker, o.Lab)
	if err != nil {
		return nil, err
	}
	switch {
	case o.ClientID == "" || len(o.ClientID) > longestString:
		return nil, errors.New("the client ID is empty or too long; give each client of a broker one of its own")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return nil, errors.New("a client certificate and its key go together; set cert_file and key_file, or none")
	case o.Password != nil && o.User == "":
		return nil, errors.New("there is a password without a user; set user too")
	case o.KeepAlive%time.Second != 0 || o.KeepAlive > longestString*time.Second:
		return nil, fmt.Errorf("keep-alive of %v: MQTT has whole seconds, at most %d", o.KeepAlive, longestString)
	}
	if o.Will == nil {
		return to, nil
	}
	if err := checkMessage(*o.Will, longestString); err != nil {
		return nil, fmt.Errorf("will: %w", err)
	}
	return to, nil
}

// CheckBroker parses the URL of a broker and adds the port of its scheme where
// there is none. Without TLS it has to lead to this machine, unless lab is set.
func CheckBroker(text string, lab bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w; a broker is written as in mqtts://hub.example.com:8883", stripURL(err))
	}
	port, known := ports[u.Scheme]
	secure := strings.HasSuffix(u.Scheme, "s") && u.Scheme != "ws"
	switch {
	case !known:
		return nil, fmt.Errorf("broker with the scheme %q; use mqtts:// or wss://, or mqtt:// or ws:// on this machine", u.Scheme)
	case u.User != nil:
		return nil, errors.New("user and password have no place in the URL of a broker; use user and password_file")
	case u.Hostname() == "":
		return nil, fmt.Errorf("broker %s names no host; write it as in mqtts://hub.example.com:8883", text)
	case strings.HasPrefix(u.Scheme, "mqtt") && u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("broker %s: there is more in the URL than scheme, host and port (a path is for ws:// and wss:// only)", text)
	case !secure && !lab && !loopback(u.Hostname()):
		return nil, fmt.Errorf("broker %s: without TLS, passwords and values can be read on the way; use %ss://", text, u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// stripURL is the error without the text that was parsed, which may hold a
// password.
func stripURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return fmt.Errorf("parse the URL of the broker: %w", e.Err)
	}
	return err
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// checkMessage refuses what would make a broker end the connection.
func checkMessage(m Message, most int) error {
	size := len(m.Topic) + len(m.Payload) + 4 // lengths and packet identifier
	switch {
	case m.Topic == "" || len(m.Topic) > longestString || !utf8.ValidString(m.Topic) || strings.ContainsAny(m.Topic, "+#\x00"):
		return fmt.Errorf("%q is no topic to publish to", m.Topic)
	case m.QoS > 1:
		return fmt.Errorf("quality of service %d is not for use here; use 0 or 1", m.QoS)
	case size > most:
		return fmt.Errorf("message to %s: %w: %d bytes, %d are allowed", m.Topic, ErrTooLarge, size, most)
	}
	return nil
}

// checkFilter refuses what the library or a broker would not take.
func checkFilter(filter string) error {
	levels := strings.Split(filter, "/")
	shared := levels[0] == "$share"
	bad := filter == "" || len(filter) > longestString || !utf8.ValidString(filter) || strings.ContainsRune(filter, 0) ||
		shared && (len(levels) < 3 || levels[1] == "" || levels[2] == "" && len(levels) == 3)
	for i, level := range levels {
		wild := strings.ContainsAny(level, "+#")
		bad = bad || wild && len(level) > 1 || level == "#" && i != len(levels)-1 || wild && shared && i == 1
	}
	if bad {
		return fmt.Errorf("%q is no filter to subscribe to", filter)
	}
	return nil
}

// fits tells whether a topic fits a filter.
func fits(filter, topic string) bool {
	if rest, shared := strings.CutPrefix(filter, "$share/"); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	if topic != "" && topic[0] == '$' && filter != "" && filter[0] != '$' {
		return false // wildcards leave the broker's own topics out
	}
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		name, left, deeper := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		if !more || !deeper {
			return more == deeper || rest == "#" && more // a/# fits a, too
		}
		filter, topic = rest, left
	}
}
