package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/setup"
	"github.com/edgehold/edgehold/probes"
)

// askSite asks for the name of the site.
func (s *initSession) askSite(again bool) error {
	check := func(name string) error { return config.SiteName(name, s.broker != "") }
	if s.site != "" && (!again || s.console == nil) {
		s.answers.Site = s.site
		if err := check(s.site); err != nil {
			return usage(s.cmd, fmt.Errorf("--site: %w", err))
		}
		return nil
	}
	host, _ := os.Hostname() // a proposal
	if check(host) != nil || host == "localhost" {
		host = ""
	}
	site, err := s.console.ask(question{
		text: "Name of this site", fallback: cmp.Or(s.answers.Site, s.site, host), check: check,
		help: "A short name of this place, such as plant-7. Every measurement carries it, so that\n  two sites with the same addresses are told apart.",
	})
	if err == nil {
		s.answers.Site = site
	}
	return err // there is nothing before it: back is here
}

// askUplink asks where points go, and tests the way to an environment.
func (s *initSession) askUplink(again bool) error {
	for {
		if err := s.address(again); err != nil {
			return err
		}
		u := &s.answers.Uplink
		if u.Kind == setup.MQTT {
			if err := config.SiteName(s.answers.Site, true); err != nil {
				return s.siteForTopic(err)
			}
			return nil // it is tested with its certificate
		}
		if err := s.way(again); err != nil {
			return err
		}
		s.env = &setup.Environment{Uplink: *u, Version: version, Floor: buildTime(), Now: time.Now}
		choice, err := s.test(func() []setup.Finding {
			found := s.env.Reach(s.ctx)
			s.unreached = setup.AnyFailed(found)
			return found
		})
		if err != nil || choice == goOn {
			return err
		}
		again = true
	}
}

// siteForTopic goes back to the site, whose name cannot be used with a broker.
func (s *initSession) siteForTopic(err error) error {
	if s.console == nil {
		return usage(s.cmd, fmt.Errorf("--site: %w", err))
	}
	s.console.say("The name of the site " + err.Error())
	return errBack
}

// test tells what a test finds, as often as it is wanted. change is to be
// answered by new questions; goOn goes on.
func (s *initSession) test(run func() []setup.Finding) (choice, error) {
	for {
		if s.say(run()) {
			return goOn, nil
		}
		c, err := s.failed()
		if errors.Is(err, errBack) {
			return change, nil
		}
		if err != nil || c != tryAgain {
			return c, err
		}
	}
}

// address reads where points go.
func (s *initSession) address(again bool) error {
	given := cmp.Or(s.url, s.otlp, s.broker)
	if given != "" && (!again || s.console == nil) {
		a, err := s.parse(given)
		if err != nil {
			return usage(s.cmd, fmt.Errorf("--%s: %w", s.addressFlag(), err)) // it may hold a password
		}
		s.take(a)
		return nil
	}
	var a setup.Address
	_, err := s.console.ask(question{
		text: "Address of your Dynatrace environment", fallback: cmp.Or(s.answers.Uplink.URL, given),
		help: "https://ID.live.dynatrace.com, https://HOST/e/ID (Managed) or https://ACTIVEGATE:9999/e/ID;\n  it may be copied from the browser. Or a receiver of OTLP (https://HOST/api/v2/otlp), or the\n  MQTT broker of a relay (mqtts://HOST).",
		check: func(text string) (err error) {
			a, err = s.parse(text)
			return err
		},
	})
	if err != nil {
		return err
	}
	s.take(a)
	return nil
}

// addressFlag is the flag that gave the address.
func (s *initSession) addressFlag() string {
	switch {
	case s.otlp != "":
		return "otlp"
	case s.broker != "":
		return "broker"
	}
	return "url"
}

// parse takes an address for what its flag says that it is.
func (s *initSession) parse(text string) (setup.Address, error) {
	a, err := setup.ParseAddress(text)
	switch {
	case s.otlp != "":
		return setup.ParseReceiver(text)
	case err != nil:
		return a, err
	case s.broker != "" && a.Kind != setup.MQTT:
		return a, errors.New("not the address of a broker, expected one such as mqtts://hub.example.com")
	case s.url != "" && a.Kind == setup.MQTT && s.console == nil:
		return a, errors.New("a broker is given with --broker")
	}
	return a, nil
}

func (s *initSession) take(a setup.Address) {
	u := &s.answers.Uplink
	if u.Kind != a.Kind {
		*u = setup.Uplink{}
	}
	u.Kind, u.URL = a.Kind, a.URL
	if a.Changed != "" {
		fmt.Fprintf(s.out, "  the address is %s\n", a.Changed)
	}
}

// way reads a proxy and authorities, which are asked for where a test failed.
func (s *initSession) way(again bool) error {
	u := &s.answers.Uplink
	if !again || s.console == nil {
		u.Proxy, u.CAFile = cmp.Or(s.proxy, proxyHere(u.URL)), s.ca
		if err := config.ProxyURL(u.Proxy); err != nil {
			return usage(s.cmd, fmt.Errorf("--proxy: %w", err))
		}
		return nil
	}
	proxy, err := s.console.ask(question{
		text: "Proxy (none for none)", fallback: cmp.Or(u.Proxy, s.proxy, "none"), help: "Such as http://proxy.example.com:3128.",
		check: func(text string) error { return config.ProxyURL(noneIsEmpty(text)) },
	})
	if err != nil {
		return err
	}
	ca, err := s.certificates(u.CAFile)
	if err != nil {
		return err
	}
	u.Proxy, u.CAFile = noneIsEmpty(proxy), ca
	return nil
}

// certificates asks for authorities beside the system's.
func (s *initSession) certificates(before string) (string, error) {
	ca, err := s.console.ask(question{
		text: "File with certificates to trust beside the system's (none for none)", fallback: cmp.Or(before, s.ca, "none"),
		help: "A file in PEM form, for an ActiveGate, a broker or a proxy whose certificate a private\n  authority has signed.",
		check: func(text string) error {
			_, err := drain.Roots(noneIsEmpty(text))
			return err
		},
	})
	return noneIsEmpty(ca), err
}

func noneIsEmpty(text string) string {
	if text == "none" {
		return ""
	}
	return text
}

// proxyHere is the proxy that this shell has, which the service would not know
// of. One with a password cannot be written down.
func proxyHere(url string) string {
	req, err := http.NewRequest(http.MethodHead, url, nil)
	if err != nil {
		return ""
	}
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil || proxy == nil || proxy.User != nil {
		return ""
	}
	return proxy.String()
}

// askAccess asks for what lets the site in, and tests it.
func (s *initSession) askAccess(again bool) error {
	if s.answers.Uplink.Kind == setup.MQTT {
		return s.askBroker(again)
	}
	for {
		if err := s.token(again); err != nil {
			return err
		}
		if err := s.clearText(); err != nil {
			return err
		}
		if s.unreached {
			fmt.Fprintf(s.out, "  %-7s the token was not tried, since the environment is not reached\n", "note")
			return nil
		}
		s.env.Uplink = s.answers.Uplink
		choice, err := s.test(func() []setup.Finding { return s.env.Token(s.ctx) })
		if err != nil || choice == goOn {
			return err
		}
		again = true
	}
}

// clearText refuses to send a token where everybody can read it.
func (s *initSession) clearText() error {
	u := s.answers.Uplink
	if u.Kind != setup.OTLP || u.Token.IsZero() {
		return nil
	}
	_, err := config.ReceiverURL(u.URL, true)
	if err != nil && s.console != nil {
		s.console.say(err.Error())
		return errBack
	}
	if err != nil {
		return usage(s.cmd, fmt.Errorf("--otlp: %w", err))
	}
	return nil
}

func (s *initSession) token(again bool) error {
	u := &s.answers.Uplink
	if s.tokenFile != "" && (!again || s.console == nil) {
		secret, err := config.ReadSecretFile(s.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		u.Token = secret
		return nil
	}
	if s.console == nil {
		return nil // a receiver of OTLP may want none
	}
	text, err := s.console.ask(question{
		text: "Token (it is not shown)", hidden: true, empty: u.Kind == setup.OTLP, check: setup.CheckToken,
		help: "An access token of the environment (Access tokens, Generate new token) with the scopes\n  metrics.ingest, events.ingest and logs.ingest. For other receivers of OTLP: theirs, or Enter for none.",
	})
	if err == nil {
		u.Token = secretOf(text)
	}
	return err
}

// secretOf is the zero secret for "".
func secretOf(text string) probes.Secret {
	if text == "" {
		return probes.Secret{}
	}
	return probes.NewSecret(text)
}

// askBroker asks for a certificate, or a user and password, and tests them.
func (s *initSession) askBroker(again bool) error {
	for {
		if err := s.brokerAccess(again); err != nil {
			return err
		}
		choice, err := s.test(func() []setup.Finding {
			return setup.Broker(s.ctx, s.answers.Uplink, s.answers.Site, time.Now())
		})
		if err != nil || choice == goOn {
			return err
		}
		again = true
	}
}

func (s *initSession) brokerAccess(again bool) error {
	u := &s.answers.Uplink
	if s.console == nil || !again && s.cert+s.mqttUser != "" {
		u.CAFile, u.CertFile, u.KeyFile, u.User = s.ca, s.cert, s.key, s.mqttUser
		return s.brokerPassword()
	}
	ca, err := s.certificates(u.CAFile)
	if err != nil {
		return err
	}
	cert, err := s.fileName("Certificate of this site (none for none)", cmp.Or(u.CertFile, s.cert, "none"),
		"A file in PEM form that the hub has made for this site, with the site's name in it: edgehold relay cert.")
	if err != nil {
		return err
	}
	key := ""
	if cert != "" {
		if key, err = s.fileName("Key of the certificate", cmp.Or(u.KeyFile, s.key), "The private key, in PEM form."); err != nil {
			return err
		}
	}
	user, err := s.console.ask(question{text: "User at the broker (none for none)", fallback: cmp.Or(u.User, s.mqttUser, "none"), help: "Where the broker knows sites by user and password."})
	if err != nil {
		return err
	}
	password := ""
	if user = noneIsEmpty(user); user != "" {
		if password, err = s.console.ask(question{text: "Password (it is not shown)", hidden: true, help: "The one of that user."}); err != nil {
			return err
		}
	}
	u.CAFile, u.CertFile, u.KeyFile, u.User, u.Password = ca, cert, key, user, secretOf(password)
	return nil
}

func (s *initSession) brokerPassword() error {
	if s.passwordFile == "" {
		return nil
	}
	secret, err := config.ReadSecretFile(s.passwordFile)
	if err != nil {
		return fmt.Errorf("--mqtt-password-file: %w", err)
	}
	s.answers.Uplink.Password = secret
	return nil
}

// fileName asks for a file that can be read.
func (s *initSession) fileName(text, fallback, help string) (string, error) {
	name, err := s.console.ask(question{text: text, fallback: fallback, help: help, check: func(name string) error {
		if noneIsEmpty(name) == "" {
			return nil
		}
		_, err := os.ReadFile(name)
		return err
	}})
	return noneIsEmpty(name), err
}
