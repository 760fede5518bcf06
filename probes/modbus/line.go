package modbus

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	tries = 2 // of a request

	// A connection that is not used for so long is closed: devices have room for
	// few, and a serial port that is held keeps its name from an adapter that is
	// plugged in anew.
	idleAfter = 30 * time.Second

	busyPause   = 200 * time.Millisecond
	resolveTime = 5 * time.Second
)

// lines are what the entries of a Kind share: their lines, by their key.
type lines struct {
	mu     sync.Mutex
	all    map[string]*line
	folder string // of a site's profiles
}

// setProfiles notes where the profiles of the entries are.
func (l *lines) setProfiles(folder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folder = folder
}

func (l *lines) profiles() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.folder
}

// of gives the line of a key.
func (l *lines) of(key string, dns *net.Resolver) *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*line{}
	}
	if l.all[key] == nil {
		l.all[key] = &line{turn: make(chan struct{}, 1), dns: dns, idleAfter: idleAfter}
	}
	return l.all[key]
}

// line is a bus or a device: one connection, on which one request is under way
// at a time. Its fields belong to who has the turn.
type line struct {
	turn      chan struct{}
	dns       *net.Resolver
	idleAfter time.Duration

	link  link // nil: it is closed
	with  settings
	last  time.Time // of the last answer or try
	idle  *time.Timer
	doubt doubt
}

// doubt is a request that timed out on a serial line. Its answer may still come,
// and nothing in it tells what it is an answer to but the unit.
type doubt struct {
	unit  uint8
	until time.Time // zero: there is none
}

// question is one request.
type question struct {
	settings
	unit uint8
	span span
}

// answer is what came of it.
type answer struct {
	raw   []byte
	err   error
	stats probes.PollStats
}

// ask sends a request and waits for its answer, or for the end of ctx. A request
// that is under way then goes on to its end, and who asks next waits for that.
func (l *line) ask(ctx context.Context, q question) answer {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
	done := make(chan answer, 1)
	go func() {
		a := l.exchange(ctx, q)
		l.rest()
		<-l.turn
		done <- a
	}()
	select {
	case a := <-done:
		return a
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
}

func (l *line) exchange(ctx context.Context, q question) (a answer) {
	if a.err = l.settle(ctx, q); a.err != nil {
		return a
	}
	for try := 1; ; try++ {
		kept := l.link != nil
		if a.err = l.open(ctx, q.settings); a.err != nil {
			return a
		}
		a.stats.Requests++
		a.raw, a.err = l.link.read(q.unit, q.span)
		l.last = time.Now()
		if a.err == nil {
			return a
		}
		again := l.failed(q, &a)
		if kept && errors.Is(a.err, errLost) {
			try-- // the device had closed it meanwhile: that was no try
		}
		if !again || try == tries || ctx.Err() != nil {
			return a
		}
		a.stats.Retries++
		if a.err = wait(ctx, l.delay(a.err, q)); a.err != nil {
			return a
		}
	}
}

// failed notes an error and tells whether another try may help.
func (l *line) failed(q question, a *answer) (again bool) {
	var e exception
	if errors.As(a.err, &e) {
		return e == deviceBusy || e == acknowledged
	}
	l.shut()
	switch {
	case errors.Is(a.err, errTimeout):
		a.stats.Timeouts++
		if q.scheme != schemeTCP {
			l.doubt = doubt{q.unit, time.Now().Add(q.timeout)}
		}
	case errors.Is(a.err, errGarbled):
		a.stats.Malformed++
	}
	return true
}

// delay is the time before another try. A late answer to the same request is an
// answer to it, so that a timeout needs none.
func (l *line) delay(err error, q question) time.Duration {
	var refused exception
	if errors.As(err, &refused) {
		return busyPause
	}
	return q.pause
}

// settle waits until the line is ready for another request: for the pause that
// the devices need, and for an answer that may come late. What has come till
// then is dropped with the connection.
func (l *line) settle(ctx context.Context, q question) error {
	rest := time.Until(l.last.Add(q.pause))
	if !l.doubt.until.IsZero() {
		if l.doubt.unit == q.unit {
			rest = max(rest, time.Until(l.doubt.until))
		}
		l.shut()
	}
	if err := wait(ctx, rest); err != nil {
		return err
	}
	if time.Now().After(l.doubt.until) {
		l.doubt = doubt{}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open opens the line, if it is not open in this way.
func (l *line) open(ctx context.Context, s settings) error {
	if l.link != nil && l.with.same(s) {
		return nil
	}
	l.shut()
	hosts := []string{s.host}
	if s.path == "" {
		var err error
		if hosts, err = l.resolve(ctx, s.host); err != nil {
			return connectError(s.target, err)
		}
	}
	var failure error
	for _, host := range hosts {
		made, err := open(s, host)
		if err == nil {
			l.link, l.with = made, s
			return nil
		}
		if failure = err; ctx.Err() != nil {
			break
		}
	}
	return connectError(s.target, failure)
}

// same tells whether what is open serves these settings; the pause is not of the
// connection.
func (s settings) same(o settings) bool {
	s.pause = o.pause
	return s == o
}

// resolve gives the addresses of a host.
func (l *line) resolve(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	dns := l.dns
	if dns == nil {
		dns = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	return dns.LookupHost(ctx, host)
}

func (l *line) shut() {
	if l.link != nil {
		l.link.close()
		l.link = nil
	}
}

// rest has the connection closed once nobody has used it for long.
func (l *line) rest() {
	if l.idle == nil {
		l.idle = time.AfterFunc(l.idleAfter, l.expire)
		return
	}
	l.idle.Reset(l.idleAfter)
}

// expire closes the connection unless it is in use; then it is called again.
func (l *line) expire() {
	select {
	case l.turn <- struct{}{}:
		l.shut()
		<-l.turn
	default:
	}
}
