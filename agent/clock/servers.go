package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/beevik/ntp"
)

const (
	queryPatience = 5 * time.Second
	queryFirst    = 2 * time.Second  // the pause after the first failure; it doubles
	queryMost     = 64 * time.Second // while time is not trusted
	queryEvery    = time.Hour        // afterwards, and for a server that asks for silence
)

// watchServers asks all NTP servers, with back-off until time is trusted, and
// every hour from then on.
func (c *Clock) watchServers(ctx context.Context) {
	if len(c.opts.NTPServers) == 0 {
		return
	}
	silent := map[string]time.Duration{} // uptime until which a server is left alone
	wait := queryFirst
	for ctx.Err() == nil {
		c.askServers(ctx, silent)
		if c.Trusted() {
			pause(ctx, queryEvery)
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, queryMost)
	}
}

// askServers asks those that are not to be left alone, and hands in what most
// of those that answer agree on.
func (c *Clock) askServers(ctx context.Context, silent map[string]time.Duration) {
	type answer struct {
		Reading
		err error
	}
	answers := make([]answer, len(c.opts.NTPServers))
	var wg sync.WaitGroup
	for i, server := range c.opts.NTPServers {
		if c.machine.Uptime() < silent[server] {
			answers[i].err = fmt.Errorf("%s asked for silence", server)
			continue
		}
		wg.Go(func() { answers[i].Reading, answers[i].err = c.query(ctx, server) })
	}
	wg.Wait()
	var readings []Reading
	var failed []error
	for i, a := range answers {
		if a.err == nil {
			readings = append(readings, a.Reading)
			continue
		}
		failed = append(failed, a.err)
		if errors.Is(a.err, ntp.ErrKissOfDeath) {
			silent[c.opts.NTPServers[i]] = c.machine.Uptime() + queryEvery
		}
	}
	if ctx.Err() != nil {
		return
	}
	r, err := agreed(readings)
	if len(readings) == 0 {
		err = errors.Join(failed...)
	}
	if err == nil {
		err = c.Offer(r)
	}
	c.warn(NTP, err)
}

// warn sets or takes back a warning.
func (c *Clock) warn(kind string, err error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	b := c.belief.Load().clone()
	delete(b.warnings, kind)
	if err != nil && b.warnings["doubt "+kind] == "" && b.warnings["floor "+kind] == "" {
		b.warnings[kind] = fmt.Sprintf("ntp: %v", err)
	}
	c.belief.Store(b)
}

// agreed is the most exact of the readings that more than half agree with: one
// false server among three changes nothing, and of two that differ none counts.
func agreed(readings []Reading) (Reading, error) {
	best, votes := Reading{}, 0
	for _, r := range readings {
		n := 0
		for _, other := range readings {
			if r.estimate().apartFrom(other.estimate()) <= r.Error+other.Error {
				n++
			}
		}
		if n > votes || n == votes && r.Error < best.Error {
			best, votes = r, n
		}
	}
	if 2*votes <= len(readings) {
		return Reading{}, fmt.Errorf("the %d servers that answer contradict each other: check them", len(readings))
	}
	return best, nil
}

// querySNTP asks one server. Time is measured on the uptime, so that a step of
// the wall clock meanwhile does not matter.
func (c *Clock) querySNTP(ctx context.Context, server string) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, queryPatience)
	defer cancel()
	pseudo := func() time.Time { return time.UnixMilli(c.base).Add(c.machine.Uptime()) }
	response, err := ntp.QueryWithOptions(server, ntp.QueryOptions{
		Timeout:       queryPatience,
		GetSystemTime: pseudo,
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := c.opts.Dial(ctx, "udp", remote)
			if err == nil {
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	})
	if err == nil {
		err = response.Validate()
	}
	if err != nil {
		return Reading{}, fmt.Errorf("ask %s: %w", server, err)
	}
	uptime := c.machine.Uptime()
	return Reading{
		Source: NTP,
		Time:   time.UnixMilli(c.base).Add(uptime + response.ClockOffset),
		Uptime: uptime,
		Error:  response.RootDistance + time.Millisecond,
	}, nil
}
