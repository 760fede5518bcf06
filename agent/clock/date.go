package clock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"github.com/edgehold/edgehold/board"
)

// DateOptions say where the time is read and on what way.
type DateOptions struct {
	URL     string // of the environment; only its scheme, host and port are used
	Proxy   func(*http.Request) (*url.URL, error)
	RootCAs *x509.CertPool // nil: the system's
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Floor   time.Time // no date before it is accepted
	Uptime  func() time.Duration
}

const (
	datePatience = 30 * time.Second
	slowest      = 10 * time.Second // a round trip that says too little of when the answer was made
)

// ReadDate reads the environment's Date header without sending anything that is
// worth stealing: no token, no cookie, no data. The certificate is held, chain
// and name, against that very date, so that it works on a machine that does not
// know the time and believes nobody who cannot prove who he is. Plain http is
// for loopback alone.
func ReadDate(ctx context.Context, o DateOptions) (Reading, error) {
	target, err := dateTarget(o.URL)
	if err != nil {
		return Reading{}, err
	}
	if o.Uptime == nil {
		o.Uptime = board.SinceBoot
	}
	ctx, cancel := context.WithTimeout(ctx, datePatience)
	defer cancel()
	transport := o.transport(target)
	defer transport.CloseIdleConnections()
	var sent time.Duration
	trace := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = o.Uptime() },
	})
	request, err := http.NewRequestWithContext(trace, http.MethodHead, target.String(), nil)
	if err != nil {
		return Reading{}, fmt.Errorf("read the time from %s: %w", target, err)
	}
	request.Header.Set("Cache-Control", "no-cache")
	request.Header.Set("User-Agent", "edgehold")
	answer, err := transport.RoundTrip(request) // follows no redirect
	if err != nil {
		return Reading{}, fmt.Errorf("read the time from %s: %w", target, err)
	}
	got := o.Uptime()
	answer.Body.Close()
	date, err := o.judge(answer, target)
	if err != nil {
		return Reading{}, fmt.Errorf("read the time from %s: %w", target, err)
	}
	trip := got - sent
	if trip > slowest {
		return Reading{}, fmt.Errorf("read the time from %s: the answer took %v, more than %v: try again", target, trip.Round(time.Millisecond), slowest)
	}
	// The header has cut off the fraction of the second.
	return Reading{
		Source: Environment, Verified: true,
		Time: date.Add(time.Second / 2), Uptime: sent + trip/2, Error: time.Second + trip/2,
	}, nil
}

// dateTarget is the root page of the environment.
func dateTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("the environment's address is not a URL such as https://abc12345.live.dynatrace.com: check uplink")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("the time cannot be read from %s://%s: only https proves who answers, http is for loopback: check the uplink's url", u.Scheme, u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

var errProxyPassword = errors.New("an https proxy with a password cannot be used before the time is known, because its certificate cannot be checked: use an http proxy, or set the machine's clock by NTP")

func (o DateOptions) transport(target *url.URL) *http.Transport {
	t := &http.Transport{
		DialContext:            o.Dial,
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    datePatience / 2,
		MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// The other end proves that it has the key of its certificate;
			// whether that one is good is looked at when its date is known.
			InsecureSkipVerify: true,
		},
	}
	if o.Proxy == nil || target.Scheme == "http" {
		return t
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		proxy, err := o.Proxy(r)
		if err == nil && proxy != nil && proxy.Scheme == "https" && proxy.User != nil {
			return nil, errProxyPassword
		}
		return proxy, err
	}
	return t
}

// judge gives the date of an answer if it is proved.
func (o DateOptions) judge(answer *http.Response, target *url.URL) (time.Time, error) {
	values := answer.Header.Values("Date")
	if len(values) != 1 {
		return time.Time{}, fmt.Errorf("the answer (status %d) has %d Date headers, not one: is this the environment?", answer.StatusCode, len(values))
	}
	date, err := http.ParseTime(values[0])
	if err != nil || date.Unix() <= 0 { // the zero time would mean "now" to the verifier
		return time.Time{}, fmt.Errorf("the answer's Date header is %.40q: is this the environment?", values[0])
	}
	if age := answer.Header.Get("Age"); age != "" && age != "0" {
		return time.Time{}, fmt.Errorf("the answer comes from a cache (Age %.20q) and its Date is old: let no cache answer for the environment", age)
	}
	if date.Before(o.Floor) {
		return time.Time{}, fmt.Errorf("it says that it is %s, which is before %s: %s", text(date), text(o.Floor), belowFloorHint)
	}
	if target.Scheme == "http" {
		return date, nil
	}
	return date, o.verify(answer.TLS, target.Hostname(), date)
}

// verify holds the certificates of a connection against a date.
func (o DateOptions) verify(state *tls.ConnectionState, host string, date time.Time) error {
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("the answer came without a certificate")
	}
	options := x509.VerifyOptions{DNSName: host, Roots: o.RootCAs, CurrentTime: date, Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	if err == nil {
		return nil
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("its certificate is not valid at the time that it tells itself, %s (%w): check the clock and the certificate of the environment", text(date), err)
	}
	return fmt.Errorf("its certificate is not trusted: %w", err)
}
