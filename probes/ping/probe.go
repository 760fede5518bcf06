package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	keyDevice  = "device.address"
	keyAddress = "ping.address"

	maxAddresses = 16 // of one name
)

// Probe pings one target.
type Probe struct {
	target string
	opts   Options
	deps   probes.Deps
	shared *pinger
	series map[string]*seriesSet // by address, "" where a target has one set
}

func newProbe(target string, o *Options, deps probes.Deps, shared *pinger) *Probe {
	return &Probe{target: target, opts: *o, deps: deps, shared: shared, series: map[string]*seriesSet{}}
}

// Poll sends the packets and waits for their answers.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	stamp := p.deps.Clock.Now()
	addrs, err := p.resolve(ctx)
	if err != nil {
		return probes.Batch{}, err
	}
	volleys, err := p.fire(ctx, addrs)
	if err != nil {
		return probes.Batch{}, err
	}
	var b probes.Batch
	for _, v := range volleys {
		b.Points = append(b.Points, p.seriesOf(v.to).points(stamp, v.tally(p.opts.timeout()))...)
	}
	p.forget(addrs)
	return b, p.verdict(volleys)
}

// resolve finds the addresses anew for each poll.
func (p *Probe) resolve(ctx context.Context) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(p.target); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	resolver := p.deps.DNS
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	limited, cancel := context.WithTimeout(ctx, p.opts.Interval.Std()/2)
	defer cancel()
	addrs, err := resolver.LookupNetIP(limited, families[p.opts.Family], p.target)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case err != nil:
		return nil, probes.WithStatus(probes.StatusGenericError, fmt.Errorf("look up the name: %w; nothing was sent", err))
	}
	if !p.opts.All {
		addrs = addrs[:1] // the first is the one that fits this machine's own addresses best
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// volley is what is sent to one address.
type volley struct {
	to    netip.Addr
	line  *line
	err   error // why nothing could be sent at all
	shots []*shot
}

// fire sends all packets and waits until each is answered or its time is over.
func (p *Probe) fire(ctx context.Context, addrs []netip.Addr) ([]*volley, error) {
	r := map[*line]*round{}
	volleys := make([]*volley, len(addrs))
	for i, to := range addrs {
		v := &volley{to: to}
		volleys[i] = v
		if v.line, v.err = p.shared.join(familyOf(to)); v.err != nil {
			continue
		}
		defer p.shared.leave(v.line)
		if r[v.line] == nil {
			r[v.line] = &round{done: make(chan struct{}, 1)}
		}
	}
	err := p.send(ctx, volleys, r)
	if err == nil {
		err = p.await(ctx, r)
	}
	for _, v := range volleys {
		if v.line != nil {
			v.line.gather(v.shots)
			p.count(v)
		}
	}
	return volleys, err
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return 4
	}
	return 6
}

func (p *Probe) send(ctx context.Context, volleys []*volley, r map[*line]*round) error {
	if len(r) == 0 {
		return nil
	}
	tick := time.NewTicker(max(p.opts.spacing(), time.Nanosecond))
	defer tick.Stop()
	for i := range p.opts.Count {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return cancelled(ctx)
			}
		}
		for _, v := range volleys {
			if v.line != nil {
				v.shots = append(v.shots, v.line.shoot(r[v.line], v.to, p.opts.Size))
			}
		}
	}
	return nil
}

// await waits for the rounds, in turn, and together no longer than the timeout.
func (p *Probe) await(ctx context.Context, r map[*line]*round) error {
	timer := time.NewTimer(p.opts.timeout())
	defer timer.Stop()
	for l, one := range r {
		for l.waits(one) {
			select {
			case <-one.done:
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return cancelled(ctx)
			}
		}
	}
	return nil
}

// cancelled is nil where the poll has merely taken too long: what was measured
// until then counts.
func cancelled(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return nil
}

// count tells of what was carried.
func (p *Probe) count(v *volley) {
	if p.deps.Traffic == nil {
		return
	}
	to, size := netip.AddrPortFrom(v.to, 0), headerSize+p.opts.Size
	for _, s := range v.shots {
		if s.err == nil {
			p.deps.Traffic.Sent(to, p.target, size)
		}
		if !s.got.IsZero() {
			p.deps.Traffic.Received(to, p.target, size*(1+s.again))
		}
	}
}

// verdict is the status of the poll: an error where nothing came back, a warning
// where something is strange. Packets that are merely lost are in the metrics.
func (p *Probe) verdict(volleys []*volley) error {
	var said []string
	status, failed := probes.StatusWarning, 0
	for _, v := range volleys {
		words, worst := v.verdict(p.opts.timeout())
		if words == "" {
			continue
		}
		if p.target != v.to.String() {
			words = v.to.String() + ": " + words
		}
		said = append(said, words)
		if worst != probes.StatusWarning {
			failed++
			status = worst
		}
	}
	switch {
	case len(said) == 0:
		return nil
	case failed < len(volleys):
		status = probes.StatusWarning
	}
	return probes.WithStatus(status, errors.New(strings.Join(said, "; ")))
}

// verdict says what is wrong with the answers of one address, "" for nothing.
func (v *volley) verdict(timeout time.Duration) (words string, status probes.Status) {
	if v.err != nil {
		return v.err.Error(), probes.StatusInvalidConfigError
	}
	t := v.tally(timeout)
	why := v.why()
	switch {
	case t.received > 0 && why == "":
		return "", probes.StatusOK
	case t.received > 0:
		return fmt.Sprintf("%d of %d packets were answered, but %s", t.received, t.sent, why), probes.StatusWarning
	case why != "":
		return fmt.Sprintf("no answer to %d packets: %s", t.sent, why), probes.StatusGenericError
	case t.late > 0:
		return fmt.Sprintf("no answer to %d packets within %v, %d came later; lengthen the timeout if the way is that long", t.sent, timeout, t.late), probes.StatusGenericError
	}
	return fmt.Sprintf("no answer to %d packets within %v", t.sent, timeout), probes.StatusGenericError
}

// why is the first thing that was told of a packet.
func (v *volley) why() string {
	for _, s := range v.shots {
		switch {
		case s.fault != nil && s.by.IsValid():
			return fmt.Sprintf("%v says that %v", s.by, s.fault)
		case s.fault != nil:
			return s.fault.String()
		case s.err != nil:
			return sendWords(s.err)
		case s.foreign.IsValid():
			return fmt.Sprintf("%v answered, which was not asked", s.foreign)
		}
	}
	return ""
}

func sendWords(err error) string {
	switch {
	case errors.Is(err, syscall.EMSGSIZE):
		return "the packet is too big for the way; make size smaller"
	case errors.Is(err, syscall.ENETUNREACH):
		return "this machine has no route there"
	}
	return "it could not be sent: " + err.Error()
}
