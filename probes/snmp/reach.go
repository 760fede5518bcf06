package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// reach opens a session and asks for sysUpTime with the credentials that are
// due, until one is answered. The cell is absent where the device answers but
// has no sysUpTime. After an error the session is closed.
func (d *device) reach(ctx context.Context, stats *probes.PollStats) (*session, plan.Cell, error) {
	return d.reachWith(ctx, stats, nil)
}

// reachWith asks for the scalars in the same request; nil: for none. Where that
// is not answered as it should be, sysUpTime is asked for alone and the scalars
// are left as they are.
func (d *device) reachWith(ctx context.Context, stats *probes.PollStats, scalars *gets) (*session, plan.Cell, error) {
	if len(d.Credentials) == 0 {
		return nil, plan.Cell{}, probes.WithStatus(probes.StatusInvalidConfigError,
			fmt.Errorf("no credentials for %s: name at least one", d.label()))
	}
	s, err := dial(ctx, d.Device, d.peer, stats)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, plan.Cell{}, ctx.Err()
		}
		d.silent()
		return nil, plan.Cell{}, d.dialError(err)
	}
	usual := s.timeout
	s.timeout = d.patientOf(usual)
	uptime, err := d.ask(ctx, s, scalars)
	s.timeout = d.patientOf(usual)
	if err != nil {
		s.close()
		return nil, plan.Cell{}, err
	}
	return s, uptime, nil
}

// ask goes through the credentials. The last failure is the one that is told,
// but a refusal says more than silence.
func (d *device) ask(ctx context.Context, s *session, scalars *gets) (plan.Cell, error) {
	var failed error
	for _, t := range d.tries() {
		uptime, err := d.askWith(ctx, s, t, scalars)
		if err == nil {
			d.answered(t.credential)
			return uptime, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return plan.Cell{}, ctx.Err()
		}
		if failed == nil || !refusal(failed) || refusal(err) {
			failed = err
		}
		if errors.Is(err, errRefused) {
			break
		}
	}
	d.silent()
	d.peer.engine.forget()
	if !refusal(failed) {
		d.peer.route.silent(errors.Is(failed, errRefused))
	}
	return plan.Cell{}, d.gateError(failed, s)
}

func (d *device) askWith(ctx context.Context, s *session, t try, scalars *gets) (plan.Cell, error) {
	c := d.Credentials[t.credential]
	if err := s.use(c); err != nil {
		return plan.Cell{}, err
	}
	if scalars == nil || t.requests < 2 {
		return d.gate(ctx, s, c, t.requests)
	}
	uptime, err := d.gateWith(ctx, s, c, scalars)
	if err == nil || refusal(err) || errors.Is(ctx.Err(), context.Canceled) {
		return uptime, err
	}
	if errors.Is(err, errTimeout) {
		s.stats.Retries++
	}
	return d.gate(ctx, s, c, t.requests-1)
}

var errNotPlain = errors.New("the answer is not a plain one")

// gateWith asks for sysUpTime and the first batch of the scalars at once.
// Anything but a whole answer is an error.
func (d *device) gateWith(ctx context.Context, s *session, c probes.Credential, scalars *gets) (plan.Cell, error) {
	oids := append([]string{sysUpTime}, scalars.queue[0]...)
	resp, err := d.gateRequest(ctx, s, request{kind: get, oids: oids}, 1)
	switch {
	case refusal(err):
		return plan.Cell{}, refused{c, err}
	case err != nil:
		return plan.Cell{}, err
	case resp.status != noError || len(resp.vars) != len(oids) || resp.vars[0].oid != sysUpTime:
		return plan.Cell{}, errNotPlain
	}
	uptime := resp.vars[0].cell
	resp.vars = resp.vars[1:]
	scalars.feed(resp, nil)
	return uptime, nil
}

func (d *device) gate(ctx context.Context, s *session, c probes.Credential, requests int) (plan.Cell, error) {
	resp, err := d.gateRequest(ctx, s, request{kind: get, oids: []string{sysUpTime}}, requests)
	switch {
	case refusal(err):
		return plan.Cell{}, refused{c, err}
	case errors.Is(err, errMalformed): // it has our id and community: the device is there
		return plan.Cell{}, nil
	case err != nil:
		return plan.Cell{}, err
	case resp.status.denied():
		return plan.Cell{}, refused{c, resp.status.err()}
	}
	if len(resp.vars) == 1 && resp.vars[0].oid == sysUpTime {
		return resp.vars[0].cell, nil
	}
	return plan.Cell{}, nil
}

func (d *device) gateRequest(ctx context.Context, s *session, r request, requests int) (response, error) {
	if err := d.pace(ctx); err != nil {
		return response{}, err
	}
	begin := time.Now()
	resp, err := s.send(ctx, r, requests)
	if err == nil {
		d.learnLatency(time.Since(begin))
	}
	return resp, s.diagnose(ctx, err)
}

// label is the address as people write it; the usual port goes without saying.
func (d *device) label() string {
	if d.Port == defaultPort {
		return d.Host
	}
	return hostPort(d.Device)
}

func (d *device) dialError(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		err = fmt.Errorf("the name %q cannot be resolved (%s): check its spelling and this machine's DNS, or give the IP address", d.Host, dns.Err)
	} else if addr, bad := netip.ParseAddr(d.Host); bad == nil && addr.Zone() != "" {
		err = fmt.Errorf("no way to %s: %w: check that this machine has an interface %q and that it is up, or name the interface: %s%%eth0",
			d.label(), err, addr.Zone(), addr.WithZone(""))
	} else {
		err = fmt.Errorf("no way to %s: %w: check the address and this machine's network and routes", d.label(), err)
	}
	return probes.WithStatus(probes.StatusDeviceConnectionError, err)
}

func (d *device) gateError(err error, s *session) error {
	status := probes.StatusDeviceConnectionError
	var refusal refused
	switch {
	case errors.As(err, &refusal):
		status = probes.StatusAuthenticationError
		err = fmt.Errorf("%s answers but refuses credential %q: %w: %s", d.label(), refusal.credential.Name, refusal.why, refusal.mend())
	case errors.Is(err, errRefused):
		err = fmt.Errorf("%s refuses UDP port %d: the host is up but no SNMP agent listens there: switch SNMP on at the device or correct the port", d.label(), d.Port)
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer from %s to %s: check the address, that SNMP is switched on there, %s and SNMP version (tried %s), "+
			"the device's list of allowed managers, and firewalls on UDP port %d%s",
			hostPort(d.Device), plural(s.stats.Requests, "request"), d.keysOf(), d.credentials(), d.Port, strays(s.stats))
	default:
		err = fmt.Errorf("ask %s: %w", d.label(), err)
	}
	return probes.WithStatus(status, err)
}

// strays tells that something did come, which a wrong port explains.
func strays(s *probes.PollStats) string {
	if s.Strays == 0 {
		return ""
	}
	return fmt.Sprintf("; %s came that were no answer to our requests: is something other than SNMP on that port", plural(s.Strays, "datagram"))
}

// credentials names the credentials, never what is in them.
func (d *device) credentials() string {
	names := make([]string, len(d.Credentials))
	for i, c := range d.Credentials {
		names[i] = strings.TrimSpace(c.Name + " " + versionName(c))
	}
	return strings.Join(names, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
