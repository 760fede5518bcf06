package ping

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// steady is a source of numbers that is the same in every run.
type steady struct {
	mu sync.Mutex
	n  uint64
}

func (s *steady) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = s.n*6364136223846793005 + 1442695040888963407
	return s.n
}

type fixedClock struct{}

func (fixedClock) Now() probes.Stamp { return probes.Stamp{Uptime: time.Minute, Wall: 1} }

func ms(n int) probes.Duration { return probes.Duration(n) * probes.Duration(time.Millisecond) }

func options(targets ...string) *Options {
	o := Kind().Options().(*Options)
	o.Targets, o.Spacing = targets, ms(5)
	return o
}

func tasksOf(t *testing.T, o *Options, shared *pinger) []probes.Task {
	t.Helper()
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	tasks, err := kindOf(shared).New(o, probes.Deps{Clock: fixedClock{}})
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

// poll polls the one target of the options once.
func poll(t *testing.T, o *Options, shared *pinger) (values, error) {
	t.Helper()
	b, err := tasksOf(t, o, shared)[0].Probe.Poll(t.Context())
	if len(shared.lines) > 0 {
		t.Error("a socket is open after the poll")
	}
	return valuesOf(b), err
}

// values are the last values of a batch by metric, for one series each.
type values map[string]probes.Value

func valuesOf(b probes.Batch) values {
	v := values{}
	for _, p := range b.Points {
		v[p.Series.Key()] = p.Value
	}
	return v
}

func (v values) float(name string) float64 { return v["edgehold.ping."+name].Float64() }

func (v values) has(name string) bool {
	_, ok := v["edgehold.ping."+name]
	return ok
}

func (v values) String() string {
	var all []string
	for key, value := range v {
		all = append(all, fmt.Sprint(key, " ", value.Float64()))
	}
	return strings.Join(all, ", ")
}

func wantError(t *testing.T, err error, status probes.Status, words ...string) {
	t.Helper()
	if err == nil || probes.StatusOf(err) != status {
		t.Errorf("error %v of status %s, want %s", err, probes.StatusOf(err), status)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// here skips where this process may not ping.
func here(t *testing.T) *pinger {
	t.Helper()
	s, err := open(4, 1)
	if errors.Is(err, errForbidden) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	return newPinger(open, new(steady).next)
}

func TestLoopback(t *testing.T) {
	shared := here(t)
	for _, target := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		if target == "::1" && !hasIPv6() {
			t.Log("SKIPPED: ::1, this machine has no IPv6")
			continue
		}
		o := options(target)
		o.Dimensions = map[string]string{"room": "east"}
		tasks := tasksOf(t, o, shared)
		b, err := tasks[0].Probe.Poll(t.Context())
		if err != nil || len(b.Points) != 5 {
			t.Fatalf("%s: %d points, %v", target, len(b.Points), err)
		}
		got := valuesOf(b)
		if got.float("loss") != 0 || got.float("received") != 5 || got["edgehold.ping.rtt"].Summary().Count != 5 {
			t.Errorf("%s: %v", target, got)
		}
		for _, p := range b.Points {
			s := p.Series
			if s.Dim("device.address") != target || s.Dim("room") != "east" || s.Dim("ping.address") != "" || p.Stamp.Uptime != time.Minute {
				t.Errorf("%s: %s %v at %v", target, s.Key(), s.Dims(), p.Stamp)
			}
			if err := p.Value.Check(); err != nil {
				t.Errorf("%s: %v", s.Key(), err)
			}
		}
		again, err := tasks[0].Probe.Poll(t.Context())
		if err != nil || again.Points[0].Series != b.Points[0].Series {
			t.Errorf("%s: the series is another one in the next poll, %v", target, err)
		}
	}
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		c.Close()
	}
	return err == nil
}

// A packet that is larger than what is read of its answer, and than the MTU.
func TestSize(t *testing.T) {
	shared := here(t)
	for _, size := range []int{tokenSize, 57, 4000, 20_000} {
		o := options("127.0.0.1")
		o.Size = size
		if got, err := poll(t, o, shared); err != nil || got.float("loss") != 0 {
			t.Errorf("size %d: %v, %v", size, got, err)
		}
	}
	if o := options("127.0.0.1"); true {
		o.Size = maxSize + 1
		if len(o.Check()) == 0 {
			t.Error("a size that no packet can have is taken")
		}
	}
}

// A name with two addresses is asked at the first, or at all of them. Where a name
// has none, nothing is sent and nothing is measured.
func TestNames(t *testing.T) {
	shared := here(t)
	o := options("localhost")
	o.Family = "ipv4"
	if got, err := poll(t, o, shared); err != nil || got.float("sent") != 5 {
		t.Errorf("%v, %v", got, err)
	}
	o.Family, o.All = "any", true
	both := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerTwo(server)
		return client, nil
	}}
	for all, want := range map[bool]string{false: "[]", true: "[127.0.0.1 127.0.0.2]"} {
		o = options("two.example")
		o.All = all
		tasks, err := kindOf(shared).New(o, probes.Deps{Clock: fixedClock{}, DNS: both})
		if err != nil {
			t.Fatal(err)
		}
		b, err := tasks[0].Probe.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, p := range b.Points {
			if p.Series.Dim("device.address") != "two.example" {
				t.Errorf("dimensions %v", p.Series.Dims())
			}
			if to := p.Series.Dim("ping.address"); to != "" && !slices.Contains(asked, to) {
				asked = append(asked, to)
			}
		}
		slices.Sort(asked)
		if fmt.Sprint(asked) != want || (len(b.Points) == 10) != all {
			t.Errorf("all addresses %v: asked %v with %d points", all, asked, len(b.Points))
		}
	}

	o = options("nobody.invalid")
	deaf := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("the wire is cut") }}
	tasks, err := kindOf(shared).New(o, probes.Deps{Clock: fixedClock{}, DNS: deaf})
	if err != nil {
		t.Fatal(err)
	}
	b, err := tasks[0].Probe.Poll(t.Context())
	wantError(t, err, probes.StatusGenericError, "look up the name", "nothing was sent")
	if len(b.Points) > 0 {
		t.Errorf("%d points of nothing", len(b.Points))
	}
}

// answerTwo answers one query over a stream with two addresses, one of another
// family with none.
func answerTwo(c net.Conn) {
	defer c.Close()
	size := make([]byte, 2)
	if _, err := io.ReadFull(c, size); err != nil {
		return
	}
	q := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(c, q); err != nil {
		return
	}
	end := 12 + bytes.IndexByte(q[12:], 0) + 5 // behind name, type and class
	b := append([]byte{q[0], q[1], 0x84 | q[2]&1, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	if q[end-3] == 1 { // A
		b[7] = 2
		for last := range byte(2) {
			b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1+last)
		}
	}
	_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
}

func TestCancelled(t *testing.T) {
	shared := here(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options("127.0.0.1")
	if _, err := tasksOf(t, o, shared)[0].Probe.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if len(shared.lines) > 0 {
		t.Error("a socket is open")
	}
	// A poll that has run out of time gives what it has.
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	b, err := tasksOf(t, o, shared)[0].Probe.Poll(late)
	if got := valuesOf(b); err != nil && !strings.Contains(err.Error(), "no answer") || got.float("sent") < 1 {
		t.Errorf("%v, %v", got, err)
	}
}

type traffic struct{ sent, received int }

func (c *traffic) Sent(to netip.AddrPort, host string, bytes int) {
	if host == "127.0.0.1" && to.Port() == 0 && to.Addr().IsLoopback() {
		c.sent += bytes
	}
}

func (c *traffic) Received(from netip.AddrPort, host string, bytes int) {
	if host == "127.0.0.1" && from.Port() == 0 && from.Addr().IsLoopback() {
		c.received += bytes
	}
}

func (*traffic) Connect(context.Context, net.Dialer, string, string) (net.Conn, error) {
	return nil, errors.New("a ping connects to nothing")
}

func TestTrafficIsCounted(t *testing.T) {
	c := &traffic{}
	tasks, err := kindOf(here(t)).New(options("127.0.0.1"), probes.Deps{Clock: fixedClock{}, Traffic: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tasks[0].Probe.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := 5 * (headerSize + defaultSize); c.sent != want || c.received != want {
		t.Errorf("%+v, want %d", c, want)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *Options)
		want   string // "" : it is right
	}{
		{"as it is", func(*Options) {}, ""},
		{"no target", func(o *Options) { o.Targets = nil }, "targets: empty"},
		{"URL", func(o *Options) { o.Targets = []string{"https://a.example"} }, "targets[0]: "},
		{"port", func(o *Options) { o.Targets = []string{"a.example:80"} }, "no ports"},
		{"typing error", func(o *Options) { o.Targets = []string{"192.0.2.256"} }, "targets[0]: "},
		{"empty", func(o *Options) { o.Targets = []string{""} }, "targets[0]: "},
		{"twice", func(o *Options) { o.Targets = []string{"a.example", "A.example"} }, `"A.example" is the same as targets[0]`},
		{"IPv6 twice", func(o *Options) { o.Targets = []string{"2001:db8::1", "2001:DB8:0::1"} }, "is the same as"},
		{"link-local", func(o *Options) { o.Targets = []string{"fe80::1"} }, "fe80::1%eth0"},
		{"link-local with its interface", func(o *Options) { o.Targets = []string{"fe80::1%eth0", "a_b.c-d.example."} }, ""},
		{"short", func(o *Options) { o.Interval = ms(999) }, "interval: "},
		{"long", func(o *Options) { o.Interval = ms(24*3600*1000 + 1) }, "interval: found 24h0m0.001s"},
		{"beyond all times", func(o *Options) {
			o.Interval, o.Timeout, o.Spacing, o.Count = 1<<63-1, 1<<63-1, 1<<62, 100
		}, "spacing: "},
		{"no packets", func(o *Options) { o.Count = 0 }, "count: found 0"},
		{"many packets", func(o *Options) { o.Count = 101 }, "count: found 101"},
		{"small", func(o *Options) { o.Size = 7 }, "size: found 7"},
		{"family", func(o *Options) { o.Family = "ip5" }, `family: found "ip5"`},
		{"spacing", func(o *Options) { o.Spacing = -1 }, "spacing: "},
		{"timeout", func(o *Options) { o.Timeout = ms(1) }, "timeout: "},
		{"too long", func(o *Options) { o.Interval, o.Timeout, o.Spacing = ms(10_000), ms(6_001), ms(1000) }, "interval: a poll of 5 packets"},
		{"just not too long", func(o *Options) { o.Interval, o.Timeout, o.Spacing = ms(10_000), ms(6_000), ms(1000) }, ""},
		{"the shortest", func(o *Options) { o.Interval, o.Spacing = ms(1000), 0 }, ""},
		{"many in the shortest", func(o *Options) { o.Interval, o.Spacing, o.Count = ms(1000), 0, 100 }, ""},
		{"dimension", func(o *Options) { o.Dimensions = map[string]string{"Room": "1"} }, `dimensions: "Room"`},
		{"own dimension", func(o *Options) { o.Dimensions = map[string]string{"device.address": "1"} }, "dimensions: "},
	} {
		o := options("192.0.2.1")
		c.change(o)
		var all []string
		for _, err := range o.Check() {
			all = append(all, err.Error())
		}
		if got := strings.Join(all, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTasks(t *testing.T) {
	o := options("192.0.2.1", "b.example")
	first := tasksOf(t, o, newPinger(open, new(steady).next))
	if len(first) != 2 || first[0].ID != "ping/192.0.2.1" || first[0].Device != "192.0.2.1" || first[1].Label != "b.example ping" || first[0].Interval != time.Minute {
		t.Errorf("%+v", first)
	}
	o.Targets = o.Targets[1:]
	if again := tasksOf(t, o, newPinger(open, new(steady).next)); again[0].Same != first[1].Same {
		t.Error("another target makes another task of one that stays")
	}
	for name, change := range map[string]func(*Options){
		"count":      func(o *Options) { o.Count = 6 },
		"timeout":    func(o *Options) { o.Timeout = ms(100) },
		"dimensions": func(o *Options) { o.Dimensions = map[string]string{"a": "b"} },
		"size":       func(o *Options) { o.Size = 100 },
	} {
		changed := *o
		change(&changed)
		if tasksOf(t, &changed, newPinger(open, new(steady).next))[0].Same == first[1].Same {
			t.Errorf("with another %s it is the same task", name)
		}
	}
}

func TestEveryMetricIsDescribed(t *testing.T) {
	for i, m := range Kind().Metrics(nil) {
		if m.Key != metrics[i].Key || !strings.HasPrefix(m.Key, "edgehold.ping.") || m.Unit == "" || m.DisplayName == "" || m.Type == 0 {
			t.Errorf("%+v", m)
		}
	}
}

// Many targets at once on one socket lose nothing, though the kernel has room for
// a few hundred answers only and the processors are busy.
func TestManyAtOnce(t *testing.T) {
	shared := here(t)
	const targets = 1000
	o := options()
	o.Count = 3
	for i := range targets {
		o.Targets = append(o.Targets, fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250))
	}
	tasks := tasksOf(t, o, shared)
	var done atomic.Bool
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() {
			for n := 0; !done.Load(); n++ { // a busy machine
			}
		}()
	}
	defer done.Store(true)
	var all sync.WaitGroup
	var lost atomic.Int64
	for _, task := range tasks {
		all.Go(func() {
			b, err := task.Probe.Poll(t.Context())
			v := valuesOf(b)
			if err != nil || v["edgehold.ping.loss"].Float64() > 0 {
				lost.Add(1)
			}
		})
	}
	all.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of %d targets lost packets on the way to this machine itself", n, targets)
	}
}
