package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"

	"github.com/edgehold/edgehold/probes"
)

// dialer counts what it opens.
type dialer struct {
	net.Dialer
	traffic probes.Traffic
}

func newDialer(deps probes.Deps) *dialer {
	return &dialer{Dialer: net.Dialer{Resolver: deps.DNS}, traffic: deps.Traffic}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.traffic == nil {
		return d.DialContext(ctx, network, address)
	}
	return d.traffic.Connect(ctx, d.Dialer, network, address)
}

// bound dials, and ends the connection with ctx.
func (d *dialer) bound(ctx context.Context, address string) (conn net.Conn, release func(), err error) {
	conn, err = d.dial(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() {
		stop()
		conn.Close()
	}, nil
}

const maxCause = 300 // bytes of an error that are told

// words says what is wrong with a connection. It quotes nothing of an answer, which
// may repeat what was sent: a secret.
func (c *common) words(ctx context.Context, err error) error {
	var (
		name    *net.DNSError
		network *net.OpError
		record  tls.RecordHeaderError
		told    *certificateError
	)
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &name):
		return fmt.Errorf("look up %s: %s", printable(name.Name), nameWords(name))
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %v", c.limit())
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the connection is refused: nothing listens at that port, or a firewall says so")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return errors.New("the host cannot be reached")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the other side ended the connection before it had answered")
	case errors.As(err, &record):
		return errors.New("what answers there does not speak TLS; look at the port")
	case errors.As(err, &network), strings.HasPrefix(err.Error(), "tls: "):
		return errors.New(printable(err.Error()))
	}
	return errUnread
}

var errUnread = errors.New("the answer cannot be read; look at the port and at what speaks there")

func nameWords(e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return "there is no such name"
	case e.IsTimeout:
		return "no answer of the DNS server in time"
	}
	return printable(e.Err)
}

// printable takes what steers a terminal out of a text, and cuts it.
func printable(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s), "")
	if len(s) > maxCause {
		s = strings.ToValidUTF8(s[:maxCause], "") + "..."
	}
	return s
}

// pool reads certificates to trust in place of the system's; nil is the system's.
func pool(read func(name string) ([]byte, error), file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := read(file)
	if err != nil {
		return nil, probes.WithStatus(probes.StatusInvalidConfigError, fmt.Errorf("ca_file: %w; name a file that the agent may read", err))
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(pem) {
		return nil, probes.WithStatus(probes.StatusInvalidConfigError, fmt.Errorf("ca_file: there is no certificate in %s, expected PEM", file))
	}
	return all, nil
}
