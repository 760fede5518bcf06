package egress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// The paths of the control socket.
const (
	pathAudit  = "/v1/egress"
	pathFinish = "/v1/egress/finish"
)

// An audit lasts between these.
const (
	Shortest = time.Second
	Longest  = 24 * time.Hour
)

const tellEvery = time.Second

// Progress is how far an audit is.
type Progress struct {
	Destinations int   `json:"destinations"`
	BytesOut     int64 `json:"bytes_out"`
	BytesIn      int64 `json:"bytes_in"`
	Points       int64 `json:"points"`
}

// line is one line of the answer: the audit's number, then progress, and the
// report at the end.
type line struct {
	Audit    uint64    `json:"audit,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Report   *Report   `json:"report,omitempty"`
}

// Audits runs audits, one at a time.
type Audits struct {
	Meter *Meter
	// Sensitive tells why values of a dimension are not to be shown.
	Sensitive func(dimension string) (reason string, ok bool)
	// Complete adds what is known at the end: the site, the policy, notes.
	Complete func(*Report)

	mu     sync.Mutex
	number uint64
	finish chan struct{} // closed: the audit that runs ends early; nil: none runs
}

// Endpoint is one path of the control socket: Serve writes the answer. Each
// write goes to the client as it is.
type Endpoint struct {
	Method, Path string
	Serve        func(ctx context.Context, query url.Values, w io.Writer) error
	Quick        bool // takes no time to speak of
}

// Endpoints serve audits.
func (a *Audits) Endpoints() []Endpoint {
	return []Endpoint{
		{Method: "POST", Path: pathAudit, Serve: a.serve},
		{Method: "POST", Path: pathFinish, Quick: true, Serve: a.serveFinish},
	}
}

func (a *Audits) begin() (*Collector, uint64, <-chan struct{}, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.finish != nil {
		return nil, 0, nil, fmt.Errorf("an audit runs already, since %s; wait for its end", a.Meter.Running().began.Format(time.TimeOnly))
	}
	a.number++
	a.finish = make(chan struct{})
	c := newCollector(a.Sensitive)
	a.Meter.running.Store(c)
	return c, a.number, a.finish, nil
}

// end lets the next audit begin.
func (a *Audits) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Meter.running.Store(nil)
	a.finish = nil
}

// serve runs one audit for as long as its client stays, at most for the time
// that was asked for.
func (a *Audits) serve(ctx context.Context, query url.Values, w io.Writer) error {
	length, err := time.ParseDuration(query.Get("for"))
	if err != nil || length < Shortest || length > Longest {
		return fmt.Errorf("an audit lasts from %v to %v", Shortest, Longest)
	}
	c, number, finish, err := a.begin()
	if err != nil {
		return err
	}
	defer a.end()
	lines := json.NewEncoder(w)
	if err := lines.Encode(line{Audit: number}); err != nil {
		return err
	}
	early, err := a.watch(ctx, c, length, watching{lines, finish})
	if err != nil {
		return err
	}
	r := c.report()
	r.Early = early
	a.Complete(&r)
	return lines.Encode(line{Report: &r})
}

type watching struct {
	lines  *json.Encoder
	finish <-chan struct{}
}

// watch tells the progress until the audit is over.
func (a *Audits) watch(ctx context.Context, c *Collector, length time.Duration, w watching) (early bool, err error) {
	end := time.NewTimer(length)
	defer end.Stop()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-end.C:
			return false, nil
		case <-w.finish:
			return true, nil
		case <-tick.C:
			p := c.progress()
			if err := w.lines.Encode(line{Progress: &p}); err != nil {
				return false, err
			}
		}
	}
}

func (c *Collector) progress() Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// serveFinish ends an audit early; its own client gets the report.
func (a *Audits) serveFinish(_ context.Context, query url.Values, w io.Writer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.finish == nil || query.Get("audit") != strconv.FormatUint(a.number, 10) {
		return errors.New("this audit is over already")
	}
	select {
	case <-a.finish:
	default:
		close(a.finish)
	}
	_, err := io.WriteString(w, "{}\n")
	return err
}
