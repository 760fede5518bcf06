package drain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestNetworkWords has the failures that no test can make with real sockets, and
// the order of those that are two things at once.
func TestNetworkWords(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	errno := func(e syscall.Errno) error { return dial(os.NewSyscallError("connect", e)) }
	remote := func(alert string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + alert)} }
	for name, test := range map[string]struct {
		err   error
		cause string
	}{
		"no network":         {errno(syscall.ENETUNREACH), "check the link and the routes"},
		"no host":            {errno(syscall.EHOSTUNREACH), "check the link and the routes"},
		"network down":       {errno(syscall.ENETDOWN), "check the link and the routes"},
		"refused":            {errno(syscall.ECONNREFUSED), "nothing listens there"},
		"kernel gives up":    {errno(syscall.ETIMEDOUT), "did not answer in time"},
		"dial takes long":    {dial(os.ErrDeadlineExceeded), "did not answer in time"},
		"no name server":     {dial(&net.DNSError{Err: "read udp 127.0.0.1:1->127.0.0.1:53: connection refused", Name: "env.example"}), "this machine's DNS servers"},
		"no name":            {dial(&net.DNSError{Err: "no such host", Name: "env.example", IsNotFound: true}), "no such name"},
		"name takes long":    {dial(&net.DNSError{Err: "i/o timeout", Name: "env.example", IsTimeout: true}), "no name server answers"},
		"name server fails":  {dial(&net.DNSError{Err: "server misbehaving", Name: "env.example", IsTemporary: true}), "SERVFAIL"},
		"proxy of no name":   {&net.OpError{Op: "proxyconnect", Err: dial(&net.DNSError{Err: "no such host", IsNotFound: true})}, "proxyconnect"},
		"constrained":        {x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.NotAuthorizedToSign}, "not fit for this"},
		"no name at server":  {remote("unrecognized name"), "the server knows no such name"},
		"version, remote":    {remote("protocol version not supported"), "no TLS of version 1.2"},
		"version, here":      {errors.New("tls: server selected unsupported protocol version 301"), "no TLS of version 1.2"},
		"changed bytes":      {remote("bad record MAC"), "changed on the way"},
		"changed bytes here": {errors.New("local error: tls: bad record MAC"), "changed on the way"},
		"certificate wanted": {remote("certificate required"), "asks for a client certificate"},
		"stopped":            {fmt.Errorf("post: %w", context.Canceled), "it was stopped here"},
		"cut in an answer":   {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "cut before the answer"},
		"pipe":               {&net.OpError{Op: "write", Err: syscall.EPIPE}, "cut before the answer"},
	} {
		if got := networkCause(test.err); !strings.Contains(got, test.cause) || !strings.HasPrefix(got, clean(test.err.Error(), maxWords)) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := networkCause(errors.New("odd\nthing")); got != "odd thing" {
		t.Errorf("unknown: %q", got)
	}
}
