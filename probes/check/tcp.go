package check

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const maxBanner = 64 << 10 // bytes that are searched for the expected text

// TCPOptions are the options of a `probes:` entry of kind tcp_check.
type TCPOptions struct {
	Target     string            `yaml:"target"` // host:port
	Name       string            `yaml:"name"`
	Send       string            `yaml:"send"`
	Expect     string            `yaml:"expect"` // a text that the answer contains
	Interval   probes.Duration   `yaml:"interval"`
	Timeout    probes.Duration   `yaml:"timeout"`
	Event      bool              `yaml:"event"`
	Dimensions map[string]string `yaml:"dimensions"`
}

func (o *TCPOptions) common() *common {
	return &common{kind: "tcp_check", name: o.Name, target: o.Target, interval: o.Interval.Std(), timeout: o.Timeout.Std(), event: o.Event, dimensions: o.Dimensions}
}

// Check finds what is wrong with the options themselves.
func (o *TCPOptions) Check() []error {
	errs := o.common().check()
	if _, _, err := splitTarget(o.Target, ""); err != nil {
		errs = append(errs, fmt.Errorf("target: %.80q is wrong: %w; write it as in mail.example.com:25 or [2001:db8::1]:22", o.Target, err))
	}
	if len(o.Expect) > maxBanner/2 {
		errs = append(errs, fmt.Errorf("expect: it has %d bytes, expected %d at most", len(o.Expect), maxBanner/2))
	}
	return errs
}

func tcpKind() probes.Kind {
	return probes.Kind{
		Name:    "tcp_check",
		Options: func() any { return &TCPOptions{Interval: probes.Duration(time.Minute)} },
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*TCPOptions)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *check.TCPOptions", options)
			}
			host, address, err := splitTarget(o.Target, "")
			if err != nil {
				return nil, fmt.Errorf("target: %w", err)
			}
			c := o.common()
			c.device = host
			t := &tcpCheck{common: c, opts: *o, address: address, dialer: newDialer(deps)}
			return c.task(*o, probes.Secret{}, deps, t.ask), nil
		},
		Metrics: describe(duration+1, duration),
	}
}

type tcpCheck struct {
	*common
	opts    TCPOptions
	address string
	dialer  *dialer
}

// ask connects and, where a text is expected, waits for it.
func (t *tcpCheck) ask(ctx context.Context, _ probes.Stamp) (a answer, _ error) {
	begin := time.Now()
	conn, release, err := t.dialer.bound(ctx, t.address)
	if err != nil {
		a.wrong = fail(t.words(ctx, err))
		return a, nil
	}
	defer release()
	a.took = time.Since(begin)
	if err := t.talk(ctx, conn); err != nil {
		a.wrong = fail(err)
		return a, nil
	}
	if t.opts.Expect != "" {
		a.took = time.Since(begin)
	}
	return a, nil
}

func (t *tcpCheck) talk(ctx context.Context, conn net.Conn) error {
	if t.opts.Send != "" {
		if _, err := io.WriteString(conn, t.opts.Send); err != nil {
			return fmt.Errorf("it takes the connection, but: %w", t.words(ctx, err))
		}
	}
	if t.opts.Expect == "" {
		return nil
	}
	found, n, err := search(io.LimitReader(conn, maxBanner), t.opts.Expect)
	switch {
	case found:
		return nil
	case ctx.Err() != nil && n > 0:
		return fmt.Errorf("the expected text did not come within %v, but %d other bytes", t.limit(), n)
	case err != nil:
		return fmt.Errorf("it takes the connection, but: %w", t.words(ctx, err))
	case n == maxBanner:
		return fmt.Errorf("the expected text is not within the first %d bytes of the answer", n)
	}
	return fmt.Errorf("the other side ended the connection after %d bytes, and the expected text is not among them", n)
}
