package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/courier"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/relay"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// relayVariable names the part that a child process of the relay tests plays.
const relayVariable = "EDGEHOLD_RELAY_CHILD"

// part is what such a process is to be.
type part struct {
	Role    string // site or relay
	Name    string
	Folder  string
	Brokers []string
	CA      string
	Cert    string
	Key     string

	Series int           // of a site: points of one tick
	Tick   time.Duration // of a site
	Ticks  int           // of a site: how many it makes; 0: until it is told to stop

	URL     string // of a relay: of the environment
	URLCA   string // of a relay: who has signed for it; "": it has no TLS
	MaxSize int64  // of a relay's store

	Real  bool   // the timings are those of the product
	Hasty bool   // of a site: commits are none the less those of chaos
	Polls int    // of a filler: how many its store is to hold
	Work  *work  // of a site and a filler: polls of switches
	Crowd *crowd // many sites
	Held  bool   // of a relay: nothing leaves until it is told to
}

// picture is how a part stands.
type picture struct {
	Account  buffer.Account
	Pending  int
	Made     int64 // points that a site has made in this life
	Courier  courier.Relay
	Drain    drain.State
	Stat     custody.Stat
	Wire     int64 // bytes that moved at a site
	CPU      float64
	Problems []string // what it has logged as an error
	Memory   memory
	Written  int64 // bytes that it had written to the disk
	Crowd    crowdPicture
}

// TestRelayChild is such a process.
func TestRelayChild(t *testing.T) {
	text := os.Getenv(relayVariable)
	if text == "" {
		return
	}
	var p part
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := &errorLog{}
	var look func() picture
	var done func() error
	heed := make(map[string]func())
	switch p.Role {
	case "site":
		s := newSiteChild(t, p, log)
		heed["quiet"], heed["poll"] = func() { s.quiet.Store(true) }, func() { s.poll(t) }
		look, done = s.look, s.run(ctx)
	case "relay":
		r := newRelayChild(t, p, log)
		heed["drain"] = sync.OnceFunc(func() { close(r.held) })
		look, done = r.look, r.run(ctx)
	case "filler":
		look, done = fill(t, p), func() error { return nil }
	case "crowd":
		f := newCrowdChild(t, p)
		heed["loud"], heed["quiet"], heed["count"] = func() { f.loud.Store(true) }, f.cancel, f.count
		look, done = f.look, f.run(ctx)
	default:
		t.Fatalf("no part is called %q", p.Role)
	}
	var most sampler
	if p.Real {
		debug.SetGCPercent(50) // as the agent runs
		go most.run(ctx)
	}
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		if order := heed[orders.Text()]; order != nil {
			order()
		}
		if orders.Text() == "look" {
			x := look()
			x.CPU, x.Problems = processorTime(t), log.take()
			x.Memory, x.Written = most.take(), writtenBytes()
			line, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("look %s\n", line)
		}
	}
	cancel()
	if err := done(); err != nil {
		t.Error(err)
	}
}

// errorLog keeps what is logged as an error.
type errorLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *errorLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(b), `"level":"error"`) {
		l.lines = append(l.lines, strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func (l *errorLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.lines
	l.lines = nil
	return taken
}

func (l *errorLog) logger() zerolog.Logger { return zerolog.New(l) }

// options are those of a connection that notices within seconds what a real one
// notices within minutes.
func (p part) options(broker string, will mqtt.Message) mqtt.Options {
	o := mqtt.Options{
		Broker: broker, ClientID: p.Name, CAFile: p.CA, CertFile: p.Cert, KeyFile: p.Key, Will: &will, Log: zerolog.Nop(),
	}
	if !p.Real {
		o.KeepAlive, o.WriteTimeout = 2*time.Second, 3*time.Second
	}
	return o
}

// commits is how long a site's points wait for others.
func (p part) commits() time.Duration {
	if p.Real && !p.Hasty {
		return 10 * time.Second
	}
	return 200 * time.Millisecond
}

// siteChild is a store whose points a courier hands on.
type siteChild struct {
	part
	store   *buffer.Store
	courier *courier.Courier
	quiet   atomic.Bool
	made    atomic.Int64
	network *network // of its work
}

func newSiteChild(t *testing.T, p part, log *errorLog) *siteChild {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Path: filepath.Join(p.Folder, "site.db"), CommitInterval: p.commits(), Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	s := &siteChild{part: p, store: store}
	if p.Work != nil {
		s.network = newNetwork(*p.Work)
	}
	s.courier = courier.New(courier.Options{
		Site: p.Name, Store: store, Log: log.logger(),
		Target: courier.Target{Brokers: p.Brokers, Dial: func(ctx context.Context, c courier.Call) (courier.Conn, error) {
			o := p.options(c.Broker, c.Will)
			o.Traffic = c.Traffic
			return asCourier(mqtt.Dial(ctx, o))
		}},
	})
	return s
}

func childToken() (probes.Secret, error) { return probes.NewSecret("dt0c01.CHAOS.not-a-token"), nil }

// asCourier keeps a failed connection from being a connection that is nil.
func asCourier(c *mqtt.Conn, err error) (courier.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func asRelay(c *mqtt.Conn, err error) (relay.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (s *siteChild) run(ctx context.Context) (done func() error) {
	var work sync.WaitGroup
	work.Go(func() { _ = s.courier.Run(ctx) })
	if s.Series > 0 {
		work.Go(func() { s.make(ctx) })
	}
	return func() error {
		work.Wait()
		return s.store.Close()
	}
}

// make appends points: each tick one of each series, of a time of its own.
func (s *siteChild) make(ctx context.Context) {
	series := make([]*probes.Series, s.Series)
	for i := range series {
		series[i] = probes.NewSeries("chaos.value", probes.Gauge, probes.Dimension{Key: "site", Value: s.Name}, probes.Dimension{Key: "n", Value: fmt.Sprint(i)})
	}
	begun := time.Now()
	boot := probes.BootID{1}
	tick := time.NewTicker(s.Tick)
	defer tick.Stop()
	for n := 0; s.Ticks == 0 || n < s.Ticks; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if s.quiet.Load() {
				return
			}
			points := make([]probes.Point, len(series))
			for i := range points {
				points[i] = probes.Point{Series: series[i], Value: probes.Int(int64(n * i)), Stamp: probes.Stamp{Boot: boot, Uptime: now.Sub(begun), Wall: now.UnixMilli()}}
			}
			s.made.Add(int64(len(points)))
			s.store.Enqueue(points)
		}
	}
}

func (s *siteChild) look() picture {
	x := picture{Account: s.store.Account(), Pending: s.store.Stat().Pending, Made: s.made.Load(), Courier: s.courier.Relay(), Drain: s.courier.State()}
	x.Wire = x.Drain.BytesWire
	return x
}

// relayChild is a relay with a drain to the environment.
type relayChild struct {
	part
	store *custody.Store
	relay *relay.Relay
	drain *drain.Drain
	held  chan struct{} // closed: points may leave
}

func newRelayChild(t *testing.T, p part, log *errorLog) *relayChild {
	t.Helper()
	store, err := custody.Open(custody.Options{Path: filepath.Join(p.Folder, "relay.db"), MaxSize: p.MaxSize, Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	r := &relayChild{part: p, store: store, held: make(chan struct{})}
	client, ticks := &http.Client{Timeout: 30 * time.Second}, relay.Ticks{Slow: 200 * time.Millisecond}
	if p.Real {
		ticks = relay.Ticks{}
	}
	if !p.Held {
		close(r.held)
	}
	if p.URLCA != "" {
		if client, err = drain.NewClient(drain.ClientOptions{CAFile: p.URLCA}); err != nil {
			t.Fatal(err)
		}
	}
	r.relay = relay.New(relay.Options{
		ID: p.Name, Store: store, Clock: childClock{}, Log: log.logger(),
		Ticks: ticks,
		Network: relay.Network{Brokers: p.Brokers, Dial: func(ctx context.Context, c relay.Call) (relay.Conn, error) {
			o := p.options(c.Broker, c.Will)
			o.ManualAck, o.MaxInFlight = true, inFlight
			return asRelay(mqtt.Dial(ctx, o))
		}},
	})
	r.drain = drain.New(drain.Options{
		Store: r.relay.Shelf(), Log: log.logger(), Resolution: drain.Full,
		Target: drain.Target{URL: p.URL, Client: client, Token: childToken},
	})
	return r
}

func (r *relayChild) run(ctx context.Context) (done func() error) {
	var work sync.WaitGroup
	work.Go(func() { _ = r.relay.Run(ctx) })
	work.Go(func() {
		select {
		case <-r.held:
			_ = r.drain.Run(ctx)
		case <-ctx.Done():
		}
	})
	return func() error {
		work.Wait()
		return r.store.Close()
	}
}

func (r *relayChild) look() picture {
	return picture{Account: r.store.Account(), Drain: r.drain.State(), Stat: r.store.Stat()}
}

// childClock stamps with this machine's time.
type childClock struct{}

func (childClock) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{2}, Uptime: time.Duration(time.Now().UnixNano()), Wall: time.Now().UnixMilli()}
}

// processorTime is the user and system time of this process, in seconds.
func processorTime(t *testing.T) float64 {
	t.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}
