package drain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// networkCause puts an error of the HTTP client into plain words with what may
// mend it.
func networkCause(err error) string {
	text := clean(err.Error(), maxWords)
	for _, m := range mends {
		if m.fits(err) {
			return text + ": " + m.words
		}
	}
	return text
}

// mend is what may mend one kind of failure.
type mend struct {
	fits  func(error) bool
	words string
}

// mends go from the particular to the general; the first that fits counts.
var mends = [...]mend{
	{caused(errLinkChanged), "it is tried again on the new one"},
	{caused(errStalled), "the connection stands still; check the link and the firewall"},
	{caused(errDeadline), "the link is too slow for it or the server does not answer in time"},
	{caused(errUnprocessed), "it is tried again"},
	{naming(func(e *net.DNSError) bool { return e.IsNotFound }), "there is no such name; check the host in the URL, and this machine's DNS servers if it is right"},
	{naming(func(e *net.DNSError) bool { return e.IsTimeout }), "no name server answers; check the link and this machine's DNS servers"},
	{naming(func(e *net.DNSError) bool { return strings.Contains(e.Err, "server misbehaving") }), "the name server fails (SERVFAIL); check this machine's DNS servers and what they ask"},
	{naming(func(*net.DNSError) bool { return true }), "check the host in the URL and this machine's DNS servers"},
	{typed[x509.UnknownAuthorityError], "if a proxy or a private authority signs here, name its certificate as CA file"},
	{certificate("is before"), "the server's certificate is not valid yet; check this machine's clock"},
	{certificate("is after"), "the server's certificate has expired; it has to be renewed, unless this machine's clock is ahead"},
	{typed[x509.CertificateInvalidError], "the server's certificate is not fit for this; it has to be renewed"},
	{typed[x509.HostnameError], "the server's certificate is for another name; check the host in the URL"},
	{saying("unrecognized name"), "the server knows no such name; check the host in the URL"},
	{func(err error) bool { return wantsClientCertificate(err.Error()) }, "the server asks for a client certificate, which this agent has none of; check host and port of the URL"},
	{saying("protocol version", "unsupported protocol"), "the server speaks no TLS of version 1.2 or newer; it has to be updated"},
	{saying("handshake failure"), "the server and this agent have no kind of encryption in common, or the server asks for a client certificate, which this agent has none of"},
	{saying("bad record MAC", "error decoding message"), "bytes are changed on the way; check the link and what stands in between"},
	{typed[tls.RecordHeaderError], "the other side does not speak TLS; check scheme and port of the URL and the proxy"},
	{saying("server gave HTTP response to HTTPS client"), "the other side does not speak TLS; check scheme and port of the URL and the proxy"},
	{saying("malformed MIME header"), "the answer broke off in its header; check the link and the proxy"},
	{saying("malformed HTTP"), "the other side does not speak HTTP; check scheme and port of the URL and the proxy"},
	{saying("Proxy Authentication Required"), "the proxy asks for a user and password: " + proxyMend},
	{caused(syscall.ECONNREFUSED), "nothing listens there; check host and port of the URL and the proxy"},
	{caused(syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN), "there is no way to the server; check the link and the routes"},
	{saying("GOAWAY"), "the server ended the connection; it is tried again"},
	{caused(context.Canceled), "it was stopped here"},
	{timedOut, "the server did not answer in time; check the link and the firewall"},
	{caused(io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE), "the connection was cut before the answer"},
}

func caused(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

func typed[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func saying(parts ...string) func(error) bool {
	return func(err error) bool {
		for _, p := range parts {
			if strings.Contains(err.Error(), p) {
				return true
			}
		}
		return false
	}
}

func naming(fits func(*net.DNSError) bool) func(error) bool {
	return func(err error) bool {
		var e *net.DNSError
		return errors.As(err, &e) && fits(e)
	}
}

// certificate fits one that is judged at a time outside of its validity, which
// x509 tells apart in its words only.
func certificate(side string) func(error) bool {
	return func(err error) bool {
		var e x509.CertificateInvalidError
		return errors.As(err, &e) && e.Reason == x509.Expired && strings.Contains(e.Detail, side)
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// wantsClientCertificate fits the alerts of a server that has not got the
// certificate it wants. With TLS 1.3 they come after the request has left.
func wantsClientCertificate(text string) bool {
	_, alert, remote := strings.Cut(text, "remote error: tls: ")
	return remote && (strings.HasPrefix(alert, "certificate required") || strings.HasPrefix(alert, "bad certificate"))
}
