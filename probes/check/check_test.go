package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// turnClock is a clock that tests turn. Its wall time is the machine's unless set.
type turnClock struct {
	uptime time.Duration
	wall   time.Time
	guess  bool
}

func (c *turnClock) Now() probes.Stamp {
	wall := c.wall
	if wall.IsZero() {
		wall = time.Now()
	}
	return probes.Stamp{Uptime: c.uptime, Wall: wall.UnixMilli(), Guess: c.guess}
}

func ms(n int) probes.Duration { return probes.Duration(n) * probes.Duration(time.Millisecond) }

func kindNamed(t *testing.T, name string) probes.Kind {
	t.Helper()
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("there is no kind %s", name)
	return probes.Kind{}
}

// made makes options of a kind with its defaults, changes and checks them, and
// gives their one task.
func made[O any](t *testing.T, kind string, deps probes.Deps, change func(*O)) probes.Task {
	t.Helper()
	k := kindNamed(t, kind)
	o := k.Options().(*O)
	change(o)
	if errs := any(o).(probes.Checker).Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if deps.Clock == nil {
		deps.Clock = &turnClock{}
	}
	tasks, err := k.New(o, deps)
	if err != nil || len(tasks) != 1 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	described := k.Metrics(o)
	tasks[0].Probe = &witness{t, tasks[0].Probe, described}
	return tasks[0]
}

// witness looks at each batch: its metrics are described, its values can be sent,
// its dimensions are there.
type witness struct {
	t         *testing.T
	probe     probes.Probe
	described []probes.Metadata
}

func (w *witness) Poll(ctx context.Context) (probes.Batch, error) {
	b, err := w.probe.Poll(ctx)
	for _, p := range b.Points {
		if !slices.ContainsFunc(w.described, func(m probes.Metadata) bool { return m.Key == p.Series.Key() && m.Type == p.Series.Type() }) {
			w.t.Errorf("%s is not described", p.Series.Key())
		}
		if err := p.Value.Check(); err != nil {
			w.t.Errorf("%s: %v", p.Series.Key(), err)
		}
		if p.Series.Dim(keyKind) == "" || p.Series.Dim(keyName) == "" || p.Series.Dim(keyDevice) == "" {
			w.t.Errorf("dimensions %v", p.Series.Dims())
		}
	}
	return b, err
}

// values are those of a batch by metric.
type values map[string]float64

func poll(t *testing.T, task probes.Task) (values, error) {
	t.Helper()
	b, err := task.Probe.Poll(t.Context())
	v := values{}
	for _, p := range b.Points {
		v[strings.TrimPrefix(p.Series.Key(), "edgehold.check.")] = p.Value.Float64()
	}
	return v, err
}

// want looks at up, the status and the words of a poll.
func want(t *testing.T, v values, err error, up float64, status probes.Status, words ...string) {
	t.Helper()
	got, measured := v["up"]
	if !measured || got != up || probes.StatusOf(err) != status {
		t.Errorf("up %v (%v), %s %v; want %v and %s", got, measured, probes.StatusOf(err), err, up, status)
		return
	}
	for _, w := range words {
		if w != "" && (err == nil || !strings.Contains(err.Error(), w)) {
			t.Errorf("error %v does not say %q", err, w)
		}
	}
}

// listenTCP serves each connection with talk.
func listenTCP(t *testing.T, talk func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			all.Go(func() {
				defer c.Close()
				talk(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil || true })
		all.Wait()
	})
	return l.Addr().String()
}

// silent reads until the other side goes.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// closedPort is one that nobody listens at.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

func TestTCP(t *testing.T) {
	greet := func(text string) func(c net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			silent(c)
		}
	}
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	for _, c := range []struct {
		name   string
		target string
		change func(o *TCPOptions)
		up     float64
		words  string
	}{
		{"open", listenTCP(t, silent), nil, 1, ""},
		{"closed", closedPort(t), nil, 0, "the connection is refused"},
		{"greeting", listenTCP(t, greet("SSH-2.0-x\r\n")), func(o *TCPOptions) { o.Expect = "SSH-2.0" }, 1, ""},
		{"other greeting", listenTCP(t, greet("220 mail\r\n")), func(o *TCPOptions) { o.Expect = "SSH-2.0" }, 0, "did not come within 300ms, but 10 other bytes"},
		{"answer", listenTCP(t, echo), func(o *TCPOptions) { o.Send, o.Expect = "PING\r\n", "PING" }, 1, ""},
		{"silent", listenTCP(t, silent), func(o *TCPOptions) { o.Expect = "x" }, 0, "it takes the connection, but: no answer within 300ms"},
		{"ends", listenTCP(t, func(c net.Conn) { _, _ = io.WriteString(c, "bye") }), func(o *TCPOptions) { o.Expect = "x" }, 0, "ended the connection after 3 bytes"},
		{"much", listenTCP(t, func(c net.Conn) { _, _ = io.CopyN(c, zeros{}, maxBanner+10) }), func(o *TCPOptions) { o.Expect = "x" }, 0, "not within the first 65536 bytes"},
	} {
		task := made(t, "tcp_check", probes.Deps{}, func(o *TCPOptions) {
			o.Target, o.Timeout = c.target, ms(300)
			if c.words == "" {
				o.Timeout = ms(20_000)
			}
			if c.change != nil {
				c.change(o)
			}
		})
		got, err := poll(t, task)
		if c.words == "" {
			want(t, got, err, 1, probes.StatusOK)
			if got["duration"] <= 0 || len(got) != 2 {
				t.Errorf("%s: %v", c.name, got)
			}
			continue
		}
		want(t, got, err, 0, probes.StatusGenericError, c.words)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	task := made(t, "tcp_check", probes.Deps{}, func(o *TCPOptions) { o.Target = listenTCP(t, silent) })
	if b, err := task.Probe.Poll(ctx); !errors.Is(err, context.Canceled) || len(b.Points) > 0 {
		t.Errorf("%v, %v", b, err)
	}
}

// A text is found wherever it lies, also over the borders of what is read.
func FuzzFinder(f *testing.F) {
	f.Add("haystack with a needle in it", "needle", uint8(3))
	f.Add("aaab", "aab", uint8(1))
	f.Fuzz(func(t *testing.T, all, text string, step uint8) {
		x := finder{text: text}
		for b := []byte(all); len(b) > 0; {
			n := min(len(b), int(step)+1)
			_, _ = x.Write(b[:n])
			clear(b[:n]) // it is the caller's again
			b = b[n:]
		}
		if want := text != "" && strings.Contains(all, text); x.found != want {
			t.Errorf("found: %v, want %v", x.found, want)
		}
		if len(x.tail) >= max(len(text), 1) {
			t.Errorf("it holds %d bytes for a text of %d", len(x.tail), len(text))
		}
	})
}

func TestEvents(t *testing.T) {
	clock := &turnClock{uptime: time.Hour}
	var up bool
	p := &Probe{
		common: common{kind: "tcp_check", name: "door", device: "192.0.2.1", interval: time.Minute, event: true, dimensions: map[string]string{"hall": "2"}},
		deps:   probes.Deps{Clock: clock},
		ask: func(context.Context, probes.Stamp) (a answer, _ error) {
			if !up {
				a.wrong = failf("attempt at %v", clock.uptime)
			}
			return a, nil
		},
	}
	events := func(ok bool, later time.Duration) []probes.Event {
		up = ok
		clock.uptime += later
		b, _ := p.Poll(t.Context())
		return b.Events
	}
	if got := events(true, 0); len(got) != 0 {
		t.Errorf("a check that is well: %+v", got)
	}
	first := events(false, time.Minute)
	if len(first) != 1 || first[0].Title != "tcp_check door fails" || first[0].Timeout != 15*time.Minute || first[0].Start.Uptime != clock.uptime || first[0].End != (probes.Stamp{}) {
		t.Fatalf("%+v", first)
	}
	told := fmt.Sprint(first[0].Properties)
	for _, w := range []string{"{hall 2}", "{check.name door}", "{device.address 192.0.2.1}", "{dt.event.description attempt at 1h1m0s}"} {
		if !strings.Contains(told, w) {
			t.Errorf("%s has no %s", told, w)
		}
	}
	sent := 0
	for range 29 { // half an hour of outage
		for _, e := range events(false, time.Minute) {
			sent++
			if e.Title != first[0].Title || fmt.Sprint(e.Properties) != told || e.Start.Uptime != clock.uptime {
				t.Errorf("refreshed as %+v", e)
			}
		}
	}
	if sent != 3 { // each 8 minutes, before the 15 of the environment
		t.Errorf("refreshed %d times, want 3", sent)
	}
	ended := events(true, time.Minute)
	if len(ended) != 1 || ended[0].End.Uptime != clock.uptime || ended[0].Timeout != 0 || ended[0].Title != first[0].Title || ended[0].Start.Uptime >= clock.uptime {
		t.Errorf("ended as %+v", ended)
	}
	if got := events(true, time.Minute); len(got) != 0 {
		t.Errorf("it ends twice: %+v", got)
	}
	// What the environment has ended by itself is not ended again.
	events(false, time.Minute)
	if got := events(true, time.Hour); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestCommonOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *TCPOptions)
		want   string
	}{
		{"right", func(*TCPOptions) {}, ""},
		{"no port", func(o *TCPOptions) { o.Target = "a.example" }, "target: \"a.example\" is wrong"},
		{"port 0", func(o *TCPOptions) { o.Target = "a.example:0" }, "target: "},
		{"port 70000", func(o *TCPOptions) { o.Target = "a.example:70000" }, "target: "},
		{"no host", func(o *TCPOptions) { o.Target = ":80" }, "no host name"},
		{"typing error", func(o *TCPOptions) { o.Target = "192.0.2.256:80" }, "target: "},
		{"IPv6", func(o *TCPOptions) { o.Target = "[2001:db8::1]:80" }, ""},
		{"link-local", func(o *TCPOptions) { o.Target = "[fe80::1]:80" }, "target: "},
		{"interval", func(o *TCPOptions) { o.Interval = ms(10) }, "interval: "},
		{"long interval", func(o *TCPOptions) { o.Interval = probes.Duration(maxInterval + 1) }, "interval: "},
		{"timeout", func(o *TCPOptions) { o.Timeout = ms(61_000) }, "timeout: "},
		{"short timeout", func(o *TCPOptions) { o.Timeout = ms(1) }, "timeout: "},
		{"dimension", func(o *TCPOptions) { o.Dimensions = map[string]string{"A B": "1"} }, "dimensions: "},
		{"own dimension", func(o *TCPOptions) { o.Dimensions = map[string]string{"check.name": "1"} }, "dimensions: "},
		{"name", func(o *TCPOptions) { o.Name = strings.Repeat("x", 201) }, "name: "},
		{"expect", func(o *TCPOptions) { o.Expect = strings.Repeat("x", 40_000) }, "expect: "},
	} {
		o := tcpKind().Options().(*TCPOptions)
		o.Target = "192.0.2.1:22"
		c.change(o)
		checkErrors(t, c.name, o.Check(), c.want)
	}
}

// checkErrors wants one error that begins so, or none.
func checkErrors(t *testing.T, name string, errs []error, want string) {
	t.Helper()
	got := errors.Join(errs...)
	if want == "" && got != nil || want != "" && (len(errs) != 1 || !strings.Contains(got.Error(), want)) {
		t.Errorf("%s: %v, want %q", name, got, want)
	}
}

func TestTasks(t *testing.T) {
	task := made(t, "tcp_check", probes.Deps{Constants: []probes.Dimension{{Key: "site", Value: "x"}}}, func(o *TCPOptions) { o.Target, o.Name = "192.0.2.1:22", "door" })
	if task.ID != "tcp_check/door" || task.Device != "192.0.2.1" || task.Label != "door tcp_check" || task.Interval != time.Minute {
		t.Errorf("%+v", task)
	}
	other := made(t, "tcp_check", probes.Deps{}, func(o *TCPOptions) { o.Target, o.Name, o.Expect = "192.0.2.1:22", "door", "x" })
	if other.ID != task.ID || other.Same == task.Same {
		t.Error("with another text it is the same task")
	}
	if again := made(t, "tcp_check", probes.Deps{}, func(o *TCPOptions) { o.Target, o.Name = "192.0.2.1:22", "door" }); again.Same != task.Same {
		t.Error("it is another task although nothing has changed")
	}
}

// traffic sums what connections carry, by their protocol.
type traffic struct {
	mu             sync.Mutex
	sent, received map[string]int
	open           atomic.Int64 // connections
}

func (*traffic) Sent(netip.AddrPort, string, int)     {}
func (*traffic) Received(netip.AddrPort, string, int) {}

func (c *traffic) Connect(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err == nil {
		c.open.Add(1)
	}
	return &countedConn{Conn: conn, traffic: c, network: network}, err
}

type countedConn struct {
	net.Conn
	traffic *traffic
	network string
	closed  atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.traffic.open.Add(-1)
	}
	return c.Conn.Close()
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.traffic.mu.Lock()
	defer c.traffic.mu.Unlock()
	c.traffic.received[c.network] += n
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.traffic.mu.Lock()
	defer c.traffic.mu.Unlock()
	c.traffic.sent[c.network] += n
	return n, err
}

func TestTrafficIsCounted(t *testing.T) {
	c := &traffic{sent: map[string]int{}, received: map[string]int{}}
	task := made(t, "tcp_check", probes.Deps{Traffic: c}, func(o *TCPOptions) {
		o.Target, o.Send, o.Expect = listenTCP(t, func(c net.Conn) { _, _ = io.Copy(c, c) }), "four", "four"
	})
	if _, err := poll(t, task); err != nil || c.sent["tcp"] != 4 || c.received["tcp"] != 4 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestEveryMetricIsDescribed(t *testing.T) {
	described := map[string]bool{}
	for _, k := range Kinds() {
		for _, m := range k.Metrics(nil) {
			described[m.Key] = true
			if m.Unit == "" || m.DisplayName == "" || m.Type == 0 || !strings.HasPrefix(m.Key, "edgehold.check.") {
				t.Errorf("%s: %+v", k.Name, m)
			}
		}
	}
	for _, m := range metrics {
		if !described[m.Key] {
			t.Errorf("no kind describes %s", m.Key)
		}
	}
}
