package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// TLSOptions are the options of a `probes:` entry of kind tls_check.
type TLSOptions struct {
	Target     string            `yaml:"target"` // host or host:port
	Name       string            `yaml:"name"`
	ServerName string            `yaml:"server_name"` // that the certificate is for; empty: the host
	StartTLS   string            `yaml:"starttls"`    // smtp, imap
	CAFile     string            `yaml:"ca_file"`     // in place of the system's
	WarnDays   int               `yaml:"warn_days"`   // before the chain expires
	Interval   probes.Duration   `yaml:"interval"`
	Timeout    probes.Duration   `yaml:"timeout"`
	Event      bool              `yaml:"event"`
	Dimensions map[string]string `yaml:"dimensions"`
}

func (o *TLSOptions) common() *common {
	return &common{kind: "tls_check", name: o.Name, target: o.Target, interval: o.Interval.Std(), timeout: o.Timeout.Std(), event: o.Event, dimensions: o.Dimensions}
}

// Warnings tells of authorities that cannot be read now; each check tries anew.
func (o *TLSOptions) Warnings([]probes.Task) []string { return warnFile(o.CAFile) }

func (o *TLSOptions) port() string {
	switch o.StartTLS {
	case "smtp":
		return "25"
	case "imap":
		return "143"
	}
	return "443"
}

// Check finds what is wrong with the options themselves.
func (o *TLSOptions) Check() []error {
	errs := o.common().check()
	if _, _, err := splitTarget(o.Target, o.port()); err != nil {
		errs = append(errs, fmt.Errorf("target: %.80q is wrong: %w; write it as in www.example.com or 192.0.2.1:8443", o.Target, err))
	}
	if o.ServerName != "" && !isHost(o.ServerName) {
		errs = append(errs, fmt.Errorf("server_name: %.80q is neither a host name nor an IP address", o.ServerName))
	}
	if o.StartTLS != "" && o.StartTLS != "smtp" && o.StartTLS != "imap" {
		errs = append(errs, fmt.Errorf("starttls: found %.20q, expected smtp or imap, or no starttls where TLS begins at once", o.StartTLS))
	}
	return append(errs, checkWarn(o.WarnDays)...)
}

// ResolveFiles makes the path of the authorities absolute.
func (o *TLSOptions) ResolveFiles(absolute func(path string) string) {
	if o.CAFile != "" {
		o.CAFile = absolute(o.CAFile)
	}
}

func tlsKind() probes.Kind {
	return probes.Kind{
		Name:    "tls_check",
		Options: func() any { return &TLSOptions{WarnDays: warnDays, Interval: probes.Duration(time.Hour)} },
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*TLSOptions)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *check.TLSOptions", options)
			}
			host, address, err := splitTarget(o.Target, o.port())
			if err != nil {
				return nil, fmt.Errorf("target: %w", err)
			}
			c := o.common()
			c.device = host
			t := &tlsCheck{common: c, opts: *o, host: host, address: address, dialer: newDialer(deps)}
			if o.ServerName != "" {
				t.host = o.ServerName
			}
			return c.task(*o, probes.Secret{}, deps, t.ask), nil
		},
		Metrics: describe(daysLeft, daysLeft),
	}
}

type tlsCheck struct {
	*common
	opts    TLSOptions
	host    string // that the certificate is for
	address string
	dialer  *dialer
}

// ask shakes hands; what the certificates say is told even where they are wrong.
func (t *tlsCheck) ask(ctx context.Context, now probes.Stamp) (a answer, _ error) {
	j, err := newJudge(judge{caFile: t.opts.CAFile, warn: t.opts.WarnDays, now: now})
	if err != nil {
		return a, err
	}
	begin := time.Now()
	conn, release, err := t.dialer.bound(ctx, t.address)
	if err != nil {
		a.wrong = fail(t.words(ctx, err))
		return a, nil
	}
	defer release()
	if err = t.shake(ctx, conn, j); err != nil {
		a.wrong = fail(err)
	} else {
		a.took = time.Since(begin)
	}
	j.tell(&a)
	return a, nil
}

func (t *tlsCheck) shake(ctx context.Context, conn net.Conn, j *judge) error {
	if err := startTLS(conn, t.opts.StartTLS); err != nil {
		var said *refusal
		if errors.As(err, &said) {
			return said
		}
		return fmt.Errorf("before TLS: %w", t.words(ctx, err))
	}
	if err := tls.Client(conn, j.config(t.host)).HandshakeContext(ctx); err != nil {
		return t.words(ctx, err)
	}
	return nil
}
