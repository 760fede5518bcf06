package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/beevik/ntp"

	"github.com/edgehold/edgehold/probes"
)

// NTPOptions are the options of a `probes:` entry of kind ntp_check.
type NTPOptions struct {
	Server     string            `yaml:"server"` // host or host:port
	Name       string            `yaml:"name"`
	MaxOffset  probes.Duration   `yaml:"max_offset"` // beyond it the check fails; 0: never
	Interval   probes.Duration   `yaml:"interval"`
	Timeout    probes.Duration   `yaml:"timeout"`
	Event      bool              `yaml:"event"`
	Dimensions map[string]string `yaml:"dimensions"`
}

func (o *NTPOptions) common() *common {
	return &common{kind: "ntp_check", name: o.Name, target: o.Server, interval: o.Interval.Std(), timeout: o.Timeout.Std(), event: o.Event, dimensions: o.Dimensions}
}

// Check finds what is wrong with the options themselves.
func (o *NTPOptions) Check() []error {
	errs := o.common().check()
	if _, _, err := splitTarget(o.Server, "123"); err != nil {
		errs = append(errs, fmt.Errorf("server: %.80q is wrong: %w; write it as in ntp.example.com or 192.0.2.1:123", o.Server, err))
	}
	if o.MaxOffset < 0 {
		errs = append(errs, fmt.Errorf("max_offset: found %v, expected a time such as 1s, or no max_offset", o.MaxOffset))
	}
	return errs
}

func ntpKind() probes.Kind {
	return probes.Kind{
		Name:    "ntp_check",
		Options: func() any { return &NTPOptions{Interval: probes.Duration(time.Minute)} },
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*NTPOptions)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *check.NTPOptions", options)
			}
			host, address, err := splitTarget(o.Server, "123")
			if err != nil {
				return nil, fmt.Errorf("server: %w", err)
			}
			c := o.common()
			c.device = host
			n := &ntpCheck{common: c, opts: *o, address: address, dialer: newDialer(deps)}
			return c.task(*o, probes.Secret{}, deps, n.ask), nil
		},
		Metrics: describe(ntpOffset, ntpStratum),
	}
}

type ntpCheck struct {
	*common
	opts    NTPOptions
	address string
	dialer  *dialer
}

// ask sends one request. The offset is against this machine's clock as it is.
func (n *ntpCheck) ask(ctx context.Context, now probes.Stamp) (a answer, _ error) {
	begin := time.Now()
	r, err := ntp.QueryWithOptions(n.address, ntp.QueryOptions{
		Timeout: n.limit(),
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := n.dialer.dial(ctx, "udp", remote)
			if err == nil {
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	})
	if err != nil {
		a.wrong = fail(n.explain(ctx, err))
		return a, nil
	}
	a.took = time.Since(begin)
	if err := r.Validate(); err != nil {
		a.wrong = fail(refusedTime(r, err))
		return a, nil
	}
	a.addTime(ntpOffset, r.ClockOffset)
	a.addTime(ntpDelay, r.RTT)
	a.add(ntpStratum, float64(r.Stratum))
	if most := n.opts.MaxOffset.Std(); most > 0 && r.ClockOffset.Abs() > most {
		a.wrong = failf("the server's clock is %v off this machine's, more than %v", r.ClockOffset, most)
		if now.Guess {
			a.wrong = warnf("the server's clock is %v off this machine's, whose clock is not trusted yet", r.ClockOffset)
		}
	}
	return a, nil
}

func (n *ntpCheck) explain(ctx context.Context, err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return fmt.Errorf("no answer within %v", n.limit())
	}
	if words := n.words(ctx, err); !errors.Is(words, errUnread) {
		return words
	}
	return fmt.Errorf("the answer is none of NTP that counts: %w", err)
}

// refusedTime says why a server's time does not count.
func refusedTime(r *ntp.Response, err error) error {
	switch {
	case errors.Is(err, ntp.ErrKissOfDeath):
		return fmt.Errorf("the server asks to be left alone (%s); ask it less often, or ask another one", cmp.Or(printable(r.KissCode), "without a known code"))
	case errors.Is(err, ntp.ErrInvalidLeapSecond), errors.Is(err, ntp.ErrInvalidStratum), errors.Is(err, ntp.ErrServerNotSynchronized):
		return fmt.Errorf("the server says that its own clock is not kept by anybody: %w", err)
	}
	return fmt.Errorf("the server's time does not count: %w", err)
}
