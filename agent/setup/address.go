package setup

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/edgehold/edgehold/agent/config"
)

// Address is where points are to go, read from what a person pasted.
type Address struct {
	Kind, URL string
	Changed   string // what was made of the text, "" where it was taken as it is
}

var (
	brokerScheme = regexp.MustCompile(`^(mqtts?|wss?)://`)
	anyScheme    = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://`)
	// environmentPage is a page of an environment behind its own address.
	environmentPage = regexp.MustCompile(`^(/e/[A-Za-z0-9._-]+)(/.*)?$`)
)

// ParseAddress reads the address of an environment, an ActiveGate, a receiver
// of OTLP or a broker. What people copy from the browser is corrected: the web
// interface's host, its pages, a missing https://. The error holds the mend.
func ParseAddress(text string) (Address, error) {
	text = strings.TrimSpace(text)
	full := text
	if !anyScheme.MatchString(strings.ToLower(text)) {
		full = "https://" + text
	}
	if brokerScheme.MatchString(strings.ToLower(full)) {
		normal, err := config.BrokerURL(full)
		return Address{Kind: MQTT, URL: normal}, err
	}
	u, err := url.Parse(full)
	if err != nil || u.Hostname() == "" {
		return Address{}, errors.New("not an address, expected one such as https://abc12345.live.dynatrace.com")
	}
	if path := strings.TrimRight(u.Path, "/"); strings.HasSuffix(path, "/otlp") || strings.HasSuffix(path, "/v1/metrics") {
		return receiver(full)
	}
	return environment(u, text)
}

// ParseReceiver reads the address of a receiver of OTLP whose path says nothing.
func ParseReceiver(text string) (Address, error) {
	text = strings.TrimSpace(text)
	if !anyScheme.MatchString(strings.ToLower(text)) {
		text = "https://" + text
	}
	return receiver(text)
}

func receiver(text string) (Address, error) {
	normal, err := config.ReceiverURL(text, false)
	return Address{Kind: OTLP, URL: normal}, err
}

// environment corrects the address of an environment, then has it checked.
func environment(u *url.URL, given string) (Address, error) {
	clean := *u
	clean.Host = strings.Replace(strings.ToLower(u.Host), ".apps.dynatrace", ".live.dynatrace", 1)
	clean.Fragment, clean.RawFragment, clean.RawQuery, clean.ForceQuery = "", "", "", false
	saas := strings.HasSuffix(clean.Hostname(), ".dynatrace.com")
	if m := environmentPage.FindStringSubmatch(u.Path); m != nil {
		clean.Path, clean.RawPath = m[1], ""
	} else if saas {
		clean.Path, clean.RawPath = "", ""
	}
	normal, err := config.EnvironmentURL(clean.String())
	if err != nil {
		return Address{}, err
	}
	a := Address{Kind: Dynatrace, URL: normal}
	if u.Port() == "9999" && clean.Path == "" {
		return Address{}, errors.New("port 9999 is an ActiveGate's, which needs to know the environment; write https://" + clean.Host + "/e/ID")
	}
	if strings.TrimRight(given, "/") != normal {
		a.Changed = normal
	}
	return a, nil
}
