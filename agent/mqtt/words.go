package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// failure is an error with what may mend it.
type failure struct {
	kind  error // ErrRefused; nil: trying again may help
	cause error
	mend  string
}

func (f *failure) Error() string { return f.cause.Error() + ": " + f.mend }

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.cause}
	}
	return []error{f.kind, f.cause}
}

var errNotSubscribed = errors.New("the broker refuses the subscription")

// refusals are the codes of a broker that does not want a client, with what may
// mend them.
var refusals = [...]struct {
	words, mend string
	kind        error
}{
	1: {"unacceptable protocol version", "the broker does not speak MQTT 3.1.1; allow it there", ErrRefused},
	2: {"client ID rejected", "the broker does not take this client ID; check its rules for client IDs", ErrRefused},
	3: {"server unavailable", "the broker is starting or has enough clients; it is tried again", nil},
	4: {"bad user name or password", "check user and password_file", ErrRefused},
	5: {"not authorised", "check user and password_file, or the client certificate, and the broker's access rules", ErrRefused},
}

// refusal is the error of a code of a greeting that is not 0.
func refusal(code byte) error {
	if int(code) >= len(refusals) {
		return &failure{ErrRefused, fmt.Errorf("the broker refuses the connection with code %d", code), "MQTT 3.1.1 has no such code; check what listens there"}
	}
	r := refusals[code]
	return &failure{r.kind, fmt.Errorf("the broker refuses the connection: %s (code %d)", r.words, code), r.mend}
}

// mend is what may mend one kind of failure.
type mend struct {
	fits  func(error) bool
	words string
	kind  error
}

// mends go from the particular to the general; the first that fits counts. An
// alert of the broker's TLS is about the certificate of this client.
var mends = [...]mend{
	{alert("expired certificate"), "the broker says that the client certificate has expired; issue a new one, unless the broker's clock is ahead", ErrRefused},
	{alert("unknown certificate authority", "bad certificate", "error decrypting message"), "the broker does not know the authority of the client certificate; issue one by the authority that the broker trusts", ErrRefused},
	{alert("revoked certificate"), "the client certificate was revoked; issue a new one", ErrRefused},
	{alert("certificate required", "handshake failure"), "the broker asks for a client certificate; set cert_file and key_file", ErrRefused},
	{alert("unsupported certificate", "unknown certificate", "access denied"), "the broker does not accept the client certificate; check that it is one for clients, and the broker's log", ErrRefused},
	{saying("protocol version not supported", "unsupported protocol"), "the broker speaks no TLS of version 1.2 or newer; it has to be updated", ErrRefused},
	{typed[x509.UnknownAuthorityError], "the broker's certificate is not signed by an authority of ca_file, or of this system if none is set; name its authority there", ErrRefused},
	{certificate("is before"), "the broker's certificate is not valid yet; check this machine's clock", ErrRefused},
	{certificate("is after"), "the broker's certificate has expired; renew it, unless this machine's clock is ahead", ErrRefused},
	{typed[x509.CertificateInvalidError], "the broker's certificate is not fit for a server; issue a new one", ErrRefused},
	{typed[x509.HostnameError], "the broker's certificate is for another name; check the host in the URL of the broker", ErrRefused},
	{typed[tls.RecordHeaderError], "the other side does not speak TLS; check scheme and port of the broker", nil},
	{caused(errNoWebSocket), "check host, port and path of the broker, which must speak WebSocket there", nil},
	{caused(os.ErrNotExist, os.ErrPermission), "check the path and that this program may read it", ErrRefused},
	{typed[*net.DNSError], "check the host in the URL of the broker and this machine's DNS servers", nil},
	{caused(syscall.ECONNREFUSED), "nothing listens there; check host and port of the broker, and whether it runs", nil},
	{caused(syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN), "there is no way to the broker; check the link and the routes", nil},
	{caused(errStalled), "check the link and the firewall", nil},
	{saying("pingresp not received"), "the broker does not answer any more; check the link", nil},
	{caused(context.Canceled), "it was stopped here", nil},
	{timedOut, "the broker did not answer in time; check the link, the firewall and the port", nil},
	{
		caused(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE),
		"the broker ended the connection: it was stopped, another client came with the same client ID, or a packet was not to its liking (TLS, rights, size)", nil,
	},
}

// explain puts an error into plain words with what may mend it. expires is the
// end of the client certificate.
func explain(err error, expires time.Time, o *Options) error {
	var done *failure
	var foreign *foreignError
	switch {
	case errors.As(err, &done):
		return done // without what the library put before it
	case errors.Is(err, ErrClosed):
		return ErrClosed
	case errors.As(err, &foreign):
		return &failure{nil, foreign, "check scheme and port of the broker"}
	}
	cause := plain(err)
	for _, m := range mends {
		if !m.fits(err) {
			continue
		}
		words := m.words
		if strings.Contains(words, "client certificate") && !expires.IsZero() {
			words += fmt.Sprintf(" (%s is valid until %s)", o.CertFile, expires.UTC().Format("2006-01-02 15:04 MST"))
		}
		return &failure{m.kind, cause, words}
	}
	return cause
}

// plain takes away what the library puts before an error.
func plain(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.HasPrefix(err.Error(), "network Error") {
		if parts := joined.Unwrap(); len(parts) == 2 {
			return parts[1]
		}
	}
	return err
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

// alert fits what the other side says about a handshake. With TLS 1.3 that
// comes after the handshake.
func alert(names ...string) func(error) bool {
	return func(err error) bool {
		_, text, remote := strings.Cut(err.Error(), "remote error: tls: ")
		for _, name := range names {
			if remote && strings.HasPrefix(text, name) {
				return true
			}
		}
		return false
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
