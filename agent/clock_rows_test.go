package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// clockRow is one way in which a machine is wrong about the time, and the life
// of the agent on it.
type clockRow struct {
	name   string
	off    time.Duration // the wall clock less true time at the start
	synced bool          // the kernel vouches for it
	live   func(*clockDay)
	// untold says that the time is not known at first: nothing may leave then.
	untold bool
	// within is how far a time may be off that the other side takes. The
	// environment tells whole seconds.
	within time.Duration
	alone  bool // there is no link at first
	late   bool // points that leave as log records
	// lied bounds the polls that were stamped by a time that was trusted and
	// false, before the environment has corrected it.
	lied   int
	starts int // of the agent, beside the first: the grid of the polls begins anew
}

const uptimeMetric = "com.dynatrace.extension.network_device.sysuptime"

var (
	clockStart = time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	since1970  = -time.Duration(clockStart.Unix()) * time.Second
)

func stay(d time.Duration) func(*clockDay) {
	return func(*clockDay) { time.Sleep(d) }
}

// anHourAlone has no link for an hour.
func anHourAlone(told func(*clockDay)) func(*clockDay) {
	return func(d *clockDay) {
		time.Sleep(time.Hour)
		told(d)
		d.down.Store(false)
		d.agent.uplink.drain.LinkChanged()
		time.Sleep(20 * time.Minute)
	}
}

// restartAlone stops and starts the agent while the time is not known.
func restartAlone(d *clockDay) {
	time.Sleep(20 * time.Minute)
	d.halt()
	d.begin()
	time.Sleep(20 * time.Minute)
	d.down.Store(false)
	d.agent.uplink.drain.LinkChanged()
	time.Sleep(20 * time.Minute)
}

// stepWhileItDrains sets the clock three times while a backlog of half an hour
// goes over a slow link.
func stepWhileItDrains(d *clockDay) {
	time.Sleep(5 * time.Minute)
	d.down.Store(true)
	time.Sleep(30 * time.Minute)
	d.slow.Store(int64(4 * time.Second))
	d.down.Store(false)
	d.agent.uplink.drain.LinkChanged()
	time.Sleep(6 * time.Second)
	for _, to := range []struct {
		off    time.Duration
		synced bool
	}{{2 * time.Hour, false}, {-26 * time.Hour, false}, {0, true}} {
		if d.agent.store.Account().Buffered < 500 {
			d.t.Error("the backlog is gone before the step")
		}
		d.machine.set(to.off, to.synced)
		time.Sleep(7 * time.Second)
	}
	time.Sleep(10 * time.Minute)
}

var clockRows = []clockRow{
	{name: "2 h slow", off: -2 * time.Hour, untold: true, live: stay(20 * time.Minute), within: time.Second},
	{name: "2 h fast", off: 2 * time.Hour, untold: true, live: stay(20 * time.Minute), within: time.Second},
	{
		name: "2 h fast for an hour", off: 2 * time.Hour, untold: true, within: time.Second, alone: true, late: true,
		live: anHourAlone(func(*clockDay) {}),
	},
	{
		name: "1970 and the environment tells after an hour", off: since1970, untold: true, within: time.Second, alone: true, late: true,
		live: anHourAlone(func(*clockDay) {}),
	},
	{
		name: "1970 and NTP tells after an hour", off: since1970, untold: true, within: 50 * time.Millisecond, alone: true, late: true,
		live: anHourAlone(func(d *clockDay) { d.machine.set(0, true); time.Sleep(time.Second) }),
	},
	{name: "1970 and a restart", off: since1970, untold: true, within: time.Second, alone: true, live: restartAlone, starts: 1},
	{name: "2 h fast and a restart", off: 2 * time.Hour, untold: true, within: time.Second, alone: true, live: restartAlone, starts: 1},
	{name: "steps while it drains", synced: true, live: stepWhileItDrains, within: 50 * time.Millisecond},
	{name: "synced and 2 h slow", off: -2 * time.Hour, synced: true, live: stay(20 * time.Minute), within: time.Second, lied: 1},
	{name: "synced and 2 h fast", off: 2 * time.Hour, synced: true, live: stay(20 * time.Minute), within: time.Second, lied: 1},
	{name: "synced and 3 days slow", off: -72 * time.Hour, synced: true, live: stay(20 * time.Minute), within: time.Second, lied: 1},
}

// TestClockRows runs the agent on machines that are wrong about the time. A
// device tells the true time of each poll in its uptime; what the environment
// takes is held against that.
func TestClockRows(t *testing.T) {
	for i, row := range clockRows {
		t.Run(row.name, func(t *testing.T) {
			d := newClockDay(t, i)
			synctest.Test(t, func(t *testing.T) { d.run(t, row) })
		})
	}
}

// clockDay is the stage: a device, an environment, a link to it, and a machine.
type clockDay struct {
	t       *testing.T
	dir     string
	now     atomic.Int64 // true, for the device, which stands outside of the bubble
	machine *wrongMachine
	env     *draintest.Server
	lines   pipes
	down    atomic.Bool
	slow    atomic.Int64 // what each post takes, nanoseconds
	agent   *Agent
	told    bool   // the time was trusted when the agent was made last
	halt    func() // ends the agent
}

func newClockDay(t *testing.T, i int) *clockDay {
	t.Helper()
	d := &clockDay{dir: t.TempDir()}
	mib := snmptest.NewSwitch("switch", 24, 1, func() time.Time { return time.Unix(0, d.now.Load()) })
	mib.SetFunc(snmptest.MustOID("1.3.6.1.2.1.1.3.0"), func() snmptest.Value {
		return snmptest.TimeTicks(uint32(time.Unix(0, d.now.Load()).Sub(clockStart).Milliseconds()/10) + 1000)
	})
	r, err := snmptest.Start(snmptest.Options{Addr: fmt.Sprintf("127.0.8.%d:0", 11+i), Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	write(t, filepath.Join(d.dir, "token"), "dt0c01.example")
	write(t, filepath.Join(d.dir, "community"), "public")
	write(t, filepath.Join(d.dir, "edgehold.yaml"), fmt.Sprintf(`site: plant-7
state_dir: %[1]s/state
uplink: {dynatrace: {url: "https://abc12345.live.dynatrace.com", token_file: %[1]s/token}}
buffer: {late: logs}
credentials: {plant: {community_file: %[1]s/community}}
probes:
  - {kind: snmp, interval: 1m, credentials: [plant], devices: [%[2]q]}
`, d.dir, r.Addr()))
	return d
}

// run is the life of a row, and what must hold at its end.
func (d *clockDay) run(t *testing.T, row clockRow) {
	d.t = t
	time.Sleep(time.Until(clockStart))
	d.machine = &wrongMachine{day: d, start: time.Now(), off: row.off, synced: row.synced, stepped: make(chan struct{}, 1)}
	d.lines = pipes{waiting: make(chan net.Conn), closed: make(chan struct{})}
	d.env = draintest.New(draintest.Options{Token: "dt0c01.example", KeepLines: true, Listen: d.lines.listen})
	if _, err := d.env.StartTLS("203.0.113.20:443", draintest.TLS{Names: []string{"abc12345.live.dynatrace.com"}, HTTP1: true}); err != nil {
		t.Fatal(err)
	}
	d.down.Store(row.alone)
	d.begin()
	if d.told == row.untold {
		t.Errorf("before anything ran, trusted is %v", d.told)
	}
	row.live(d)
	synctest.Wait()
	status := d.agent.Status()
	d.halt()
	_ = d.env.Close()
	row.check(t, d, d.verify())
	if lie := strings.Contains(strings.Join(status.Clock.Warnings, " "), "differs"); lie != (row.lied > 0) {
		t.Errorf("warnings of the clock: %q", status.Clock.Warnings)
	}
}

// begin starts an agent.
func (d *clockDay) begin() {
	client := d.start()
	a := d.agent
	ctx, stop := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runAll(ctx, []service{{"schedule", a.schedule.Run}, {"clock", a.time.Run}, {"uplink", a.uplink.Run}})
	}()
	d.halt = func() {
		stop()
		if err := errors.Join(<-done, a.store.Close()); err != nil {
			d.t.Error(err)
		}
		client.CloseIdleConnections()
	}
}

// verify opens the store anew and recounts it.
func (d *clockDay) verify() buffer.Account {
	store, err := openStore(d.agent.cfg, d.agent.trueTime, d.agent.log, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	account, err := store.Verify()
	if err := errors.Join(err, store.Close(), account.Check()); err != nil {
		d.t.Error(err)
	}
	return account
}

// start makes the agent, but for the machine and the way to the environment.
func (d *clockDay) start() *http.Client {
	t := d.t
	opts := Options{Path: filepath.Join(d.dir, "edgehold.yaml"), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "1.0.0"}
	cfg, _, err := config.Load(opts.Path, opts.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		opts: opts, log: zerolog.Nop(), started: time.Now(), atStart: cfg, cfg: cfg, loadedAt: time.Now(),
		alive: newAlive(loopSchedule, loopStore, loopUplink, loopControl),
	}
	d.agent = a
	if a.store, err = openStore(cfg, a.trueTime, a.log, nil); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.env.CAPEM())
	saved, _ := a.store.Anchor()
	a.time, err = clock.New(clock.Options{
		Machine: d.machine, Floor: clockStart.Add(-60 * 24 * time.Hour), Saved: saved, OnAnchor: a.store.SetAnchor, Log: a.log,
		Ask: func(ctx context.Context, floor time.Time) (clock.Reading, error) {
			return clock.ReadDate(ctx, clock.DateOptions{URL: cfg.Uplink.Endpoint.URL, RootCAs: roots, Dial: d.dial, Floor: floor, Uptime: d.machine.Uptime})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.ready.Store(a.time)
	d.told = a.time.Trusted()
	if err := a.prepare(); err != nil {
		t.Fatal(err)
	}
	target, err := a.uplink.target(cfg)
	if err != nil {
		t.Fatal(err)
	}
	way := &http.Transport{DialContext: d.dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Time: a.time.TLSTime}}
	target.Client = &http.Client{Transport: clockLink{d, way}}
	a.uplink.drain.Change(target)
	return &http.Client{Transport: way}
}

// dial connects to the environment in memory, as long as there is a link.
func (d *clockDay) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.down.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return d.lines.dial(ctx)
}

// clockLink is the drain's way: nothing goes it before time is trusted.
type clockLink struct {
	day *clockDay
	way http.RoundTripper
}

func (l clockLink) RoundTrip(r *http.Request) (*http.Response, error) {
	d := l.day
	if !d.agent.time.Trusted() {
		d.t.Error("a post leaves before the time is trusted")
	}
	if c := d.env.Counts(); d.agent.time.Trusted() && c.Lines == 0 {
		for outcome, n := range c.Outcomes { // of the questions for the time, and of lies
			if outcome != "404" && outcome != "400" {
				d.t.Errorf("%d requests ended with %s before the first post was taken", n, outcome)
			}
		}
	}
	time.Sleep(time.Duration(d.slow.Load()))
	if d.down.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return l.way.RoundTrip(r)
}

// pipes are connections in memory.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (p *pipes) listen(string, string) (net.Listener, error) { return p, nil }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.waiting <- there:
		return newPosted(here), nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// posted is an end of a pipe whose writes do not wait for the other end to read:
// in a handshake both may write at once.
type posted struct {
	net.Conn
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

func newPosted(c net.Conn) *posted {
	p := &posted{Conn: c, out: make(chan []byte, 4096), closed: make(chan struct{})}
	go p.deliver()
	return p
}

func (p *posted) deliver() {
	defer p.Conn.Close()
	for {
		select {
		case b := <-p.out:
			if _, err := p.Conn.Write(b); err != nil {
				return
			}
		case <-p.closed:
			return
		}
	}
}

func (p *posted) Write(b []byte) (int, error) {
	select {
	case p.out <- slices.Clone(b):
		return len(b), nil
	case <-p.closed:
		return 0, net.ErrClosed
	}
}

func (p *posted) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close() // ends a write under way
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 20), Port: 443} }

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// wrongMachine has a wall clock of its own.
type wrongMachine struct {
	day     *clockDay
	start   time.Time
	mu      sync.Mutex // guards what follows
	off     time.Duration
	synced  bool
	stepped chan struct{}
}

func (m *wrongMachine) Boot() probes.BootID { return probes.BootID{8} }

func (m *wrongMachine) Uptime() time.Duration {
	now := time.Now()
	m.day.now.Store(now.UnixNano())
	return 40*time.Second + now.Sub(m.start)
}

func (m *wrongMachine) Wall() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.off)
}

func (m *wrongMachine) NTP() (board.NTPState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return board.NTPState{Synced: m.synced, MaxError: 20 * time.Millisecond}, nil
}

func (m *wrongMachine) WatchSteps(ctx context.Context, fn func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.stepped:
			fn()
		}
	}
}

func (m *wrongMachine) set(off time.Duration, synced bool) {
	m.mu.Lock()
	m.off, m.synced = off, synced
	m.mu.Unlock()
	m.stepped <- struct{}{}
}

// check holds the account against the environment's, and each time against the
// true one.
func (row clockRow) check(t *testing.T, d *clockDay, a buffer.Account) {
	t.Helper()
	c := d.env.Counts()
	if a.DeadLetter+a.Evicted+a.Damaged+a.Purged+a.LateDropped != 0 || (a.LateLogged > 0) != (row.late || row.off < 0 && row.lied > 0) {
		t.Errorf("account %+v", a)
	}
	if logged := int64(c.LateDistinct + d.ownLogged()); int64(c.Distinct+c.Events) != a.Delivered || logged != a.LateLogged {
		t.Errorf("the account says %d delivered and %d logged, the environment has %d and %d", a.Delivered, a.LateLogged, c.Distinct, logged)
	}
	if c.Duplicates+c.Conflicts+c.LateDuplicates+c.LateConflicts != 0 {
		t.Errorf("counts %+v", c)
	}
	polls := append(d.metricPolls(t), d.recordPolls(t)...)
	slices.SortFunc(polls, func(a, b clockPoll) int { return a.truth.Compare(b.truth) })
	if len(polls) == 0 {
		t.Fatalf("nothing came; account %+v, counts %+v, uplink %+v", a, c, d.agent.uplink.drain.State())
	}
	wrong, starts, last := 0, 0, len(polls)-1
	for i, p := range polls {
		if p.told.Sub(p.truth).Abs() > row.within+20*time.Millisecond {
			wrong++
			if wrong > row.lied {
				t.Errorf("a poll at %v is told as of %v", p.truth, p.told)
			}
		}
		if gap := p.truth.Sub(polls[max(i-1, 0)].truth); i > 0 && (gap-time.Minute).Abs() > 20*time.Millisecond {
			if starts++; starts > row.starts || gap < time.Second || gap > 2*time.Minute {
				t.Errorf("the polls at %v and %v are %v apart, want a minute", polls[i-1].truth, p.truth, gap)
			}
		}
	}
	if first, end := polls[0].truth.Sub(clockStart), d.end().Sub(polls[last].truth); first > 2*time.Minute || end > 2*time.Minute {
		t.Errorf("polls from %v after the start to %v before the end", first, end)
	}
	t.Logf("%d polls, %d told wrong; account %+v; outcomes %v", len(polls), wrong, a, c.Outcomes)
}

// ownLogged counts the agent's own points in log records, which the ledger does
// not tell from what else the agent says of itself.
func (d *clockDay) ownLogged() (n int) {
	for _, r := range d.env.Ledger().Records() {
		for name := range r.Numbers {
			if strings.HasPrefix(name, "edgehold.") && name != record.UptimeKey {
				n++
			}
		}
	}
	return n
}

func (d *clockDay) end() time.Time { return time.Unix(0, d.now.Load()) }

// clockPoll is one poll: when it was, as the device knows, and as the
// environment was told.
type clockPoll struct{ truth, told time.Time }

func pollOf(uptime float64, told time.Time) clockPoll {
	return clockPoll{clockStart.Add(time.Duration(math.Round(uptime)-1000) * 10 * time.Millisecond), told}
}

func (d *clockDay) metricPolls(t *testing.T) (out []clockPoll) {
	t.Helper()
	for _, text := range d.env.Ledger().Lines() {
		line, err := draintest.ParseLine(text)
		if err != nil {
			t.Fatal(err)
		}
		if line.Key == uptimeMetric {
			out = append(out, pollOf(line.Stats.Sum, time.UnixMilli(line.Timestamp)))
		}
	}
	return out
}

func (d *clockDay) recordPolls(t *testing.T) (out []clockPoll) {
	t.Helper()
	for _, p := range d.env.Ledger().LatePoints() {
		if !strings.Contains(p.Metric, "network_device.sysuptime") {
			continue
		}
		at, err := time.Parse(time.RFC3339, p.Time)
		uptime, err2 := strconv.ParseFloat(p.Value, 64)
		if err != nil || err2 != nil {
			t.Fatalf("late point %+v", p)
		}
		out = append(out, pollOf(uptime, at))
	}
	return out
}
