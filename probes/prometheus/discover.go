package prometheus

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"time"
)

const (
	defaultRefresh = 30 * time.Second
	maxTargets     = 100
)

// discover brings the targets up to date: the endpoint itself, or one for each
// IPv4 address of its name. After an error they are those of the last answer.
func (p *Probe) discover(ctx context.Context, now time.Duration) error {
	d := p.client.Discovery
	if d == nil || len(p.targets) > 0 && now-p.resolved < cmp.Or(d.Refresh, defaultRefresh) {
		return nil
	}
	u, err := url.Parse(p.client.URL)
	if err != nil {
		return fmt.Errorf("the URL cannot be read; write it as in http://exporters.example:9100/metrics")
	}
	resolver := p.deps.DNS
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, p.client.Timeout)
	defer cancel()
	found, err := resolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil {
		return fmt.Errorf("look up %s: %w", u.Hostname(), err)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Less(found[j]) })
	found = slices.Compact(found)
	if len(found) > maxTargets {
		return fmt.Errorf("look up %s: it has %d addresses, expected at most %d", u.Hostname(), len(found), maxTargets)
	}
	port := u.Port()
	if d.Port != 0 {
		port = strconv.Itoa(int(d.Port))
	}
	p.resolved = now
	return p.renew(u, found, port)
}

// renew keeps the targets that are there still.
func (p *Probe) renew(u *url.URL, found []netip.Addr, port string) error {
	var targets []*target
	for _, addr := range found {
		one := *u
		if one.Host = addr.Unmap().String(); port != "" {
			one.Host = net.JoinHostPort(one.Host, port)
		}
		at := slices.IndexFunc(p.targets, func(t *target) bool { return t.url == one.String() })
		if at >= 0 {
			targets = append(targets, p.targets[at])
			continue
		}
		t := p.newTarget(one.String())
		if err := p.resume(t); err != nil {
			p.deps.Log.Warn().Err(err).Str("endpoint", t.name).Msg("counters begin anew")
		}
		targets = append(targets, t)
	}
	p.targets = targets
	return nil
}
