package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

const childVariable = "EDGEHOLD_RELAY_TEST_CHILD"

// TestMain turns a copy of the test binary into the process that is killed.
func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// orders are what a child is to be.
type orders struct{ Folder, Broker, URL string }

// report is what a child says again and again: points whose delivery is on its
// disk, and posts without an answer.
type report struct{ Delivered, Ambiguous int64 }

type wallClock struct{}

func (wallClock) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{9}, Uptime: time.Hour, Wall: time.Now().UnixMilli()}
}

func dialBroker(id string) func(context.Context, Call) (Conn, error) {
	return func(ctx context.Context, c Call) (Conn, error) {
		o := mqtt.Options{Broker: c.Broker, ClientID: id, ManualAck: true}
		if c.Will.Topic != "" {
			o.Will = &c.Will
		}
		conn, err := mqtt.Dial(ctx, o)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
}

// child is a relay with its drain. It ends when its standard input does.
func child(text string) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	store, err := custody.Open(custody.Options{Path: filepath.Join(o.Folder, "relay.db"), Log: zerolog.Nop(), SettleInterval: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	r := New(Options{
		Network: Network{Brokers: []string{o.Broker}, Dial: dialBroker("hub-1")}, ID: "hub-1", Store: store, Clock: wallClock{}, Log: zerolog.Nop(),
	})
	client, err := drain.NewClient(drain.ClientOptions{})
	if err != nil {
		return err
	}
	d := drain.New(drain.Options{
		Target: drain.Target{URL: o.URL, Client: client, Token: token}, Store: r.Shelf(), Log: zerolog.Nop(), Site: "hub", Resolution: drain.Full,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- d.Run(ctx) }()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	out := json.NewEncoder(os.Stdout)
	for ctx.Err() == nil {
		if err := out.Encode(report{store.Account().Delivered, d.State().AmbiguousPosts}); err != nil {
			return err
		}
		pause(ctx, 10*time.Millisecond)
	}
	return errors.Join(<-ended, <-ended, store.Close())
}

func token() (s probes.Secret, err error) { return s, s.UnmarshalText([]byte("token")) }

// hub is a child and what it has said last.
type hub struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	last  atomic.Pointer[report]
	read  chan struct{}
	ended bool
}

func startHub(t *testing.T, o orders) *hub {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{cmd: exec.Command(os.Args[0], "-test.run=^$"), read: make(chan struct{})}
	h.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	h.cmd.Stderr = os.Stderr
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.kill)
	go func() {
		defer close(h.read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				h.last.Store(&r)
			}
		}
	}()
	await(t, "the relay is up", func() bool { return h.last.Load() != nil })
	return h
}

func (h *hub) kill() {
	if h.ended {
		return
	}
	h.ended = true
	_ = h.cmd.Process.Kill()
	<-h.read
	_ = h.cmd.Wait()
}

func (h *hub) end(t *testing.T) {
	t.Helper()
	h.ended = true
	h.stdin.Close()
	<-h.read
	if err := h.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// stubborn is a site that sends each block until it is stored, and asks for
// those that are stored and not delivered.
type stubborn struct {
	*standIn
	blocks map[uint64][]byte
	points int
	start  time.Time
}

func newStubborn(t *testing.T, broker, name string, epoch uint64) *stubborn {
	conn, err := dialBroker(name)(context.Background(), Call{Broker: broker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s := newStandIn(t, name, ackingConn{conn}, epoch)
	return &stubborn{standIn: s, blocks: make(map[uint64][]byte), start: time.Now().Add(-time.Minute)}
}

// ackingConn acknowledges what it handles.
type ackingConn struct{ Conn }

func (c ackingConn) Subscribe(ctx context.Context, filter string, qos byte, handle func(mqtt.Incoming)) error {
	return c.Conn.Subscribe(ctx, filter, qos, func(in mqtt.Incoming) { handle(in); in.Ack() })
}

// more sends one more block, all its points at a time of their own.
func (s *stubborn) more(n int) {
	s.points += n
	data := s.block(points(s.name, n, s.start.Add(time.Duration(len(s.blocks))*time.Millisecond)))
	s.blocks[s.seq] = data
	s.send(data)
}

// left are the blocks of which none of these was said.
func (s *stubborn) left(status ...string) (seqs []uint64) {
	s.mu.Lock()
	said := make(map[uint64]string)
	for _, d := range s.downs {
		for _, a := range d.Acks {
			for _, r := range a.Seq {
				for n := r[0]; n <= r[1]; n++ {
					said[n] = a.Status
				}
			}
		}
	}
	s.mu.Unlock()
	for seq := range s.blocks {
		done := false
		for _, x := range status {
			done = done || said[seq] == x
		}
		if !done {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// insist sends what is not stored, and asks for what is not delivered, until no
// more than so many blocks are left.
func (s *stubborn) insist(what string, most int, status ...string) {
	s.t.Helper()
	next := time.Now()
	await(s.t, what, func() bool {
		left := s.left(status...)
		if len(left) <= most {
			return true
		}
		if time.Now().After(next) {
			next = time.Now().Add(300 * time.Millisecond)
			for _, seq := range left {
				if a, _ := s.last(seq); a.Status == "" || a.Status == wire.StatusFull || a.Status == wire.StatusUnknown {
					s.send(s.blocks[seq])
				}
			}
			question, _ := json.Marshal(wire.Ask{Epoch: wire.FormatEpoch(s.epoch), Floor: 1, Seq: []wire.Range{{1, s.seq}}})
			s.say(wire.Topics{}.Ask(s.name), question)
		}
		return false
	})
}

// inFlight is the most points of a post that the environment may take after the
// relay is dead.
const inFlight = 1000

func startEnvironment(t *testing.T) (*draintest.Server, string) {
	t.Helper()
	env := draintest.New(draintest.Options{})
	url, err := env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close() })
	return env, url
}

// A relay is killed again and again while sites publish and it drains. Nothing
// that it called stored is lost, and what arrives twice was taken and not yet
// settled on its disk when it was killed.
func TestKillRelay(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	env, url := startEnvironment(t)
	kills := 6
	if testing.Short() {
		kills = 2
	}
	o := orders{Folder: t.TempDir(), Broker: broker.URL(), URL: url}
	sites := []*stubborn{newStubborn(t, broker.URL(), "site-1", 1), newStubborn(t, broker.URL(), "site-2", 2)}
	allowed := 0
	for range kills {
		h := startHub(t, o)
		for first := h.last.Load().Delivered; h.last.Load().Delivered < first+3000; {
			for _, s := range sites {
				s.more(200)
			}
			sites[0].insist("it stores", 8, wire.StatusStored, wire.StatusDelivered)
		}
		for range 5 {
			sites[1].more(200)
		}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // the random moment is the point
		h.kill()
		committed := int(deliveredIn(t, o.Folder))
		allowed += max(0, env.Counts().Distinct-committed) + inFlight
	}
	h := startHub(t, o)
	total := 0
	for _, s := range sites {
		s.insist("all is delivered", 0, wire.StatusDelivered)
		total += s.points
	}
	ambiguous := h.last.Load().Ambiguous
	h.end(t)
	c := env.Counts()
	t.Logf("%d kills, %d points, %d arrived, %d twice (at most %d were taken and not settled on the disk, or in flight), %d ambiguous posts",
		kills, total, c.Distinct, c.Lines-c.Distinct, allowed, ambiguous)
	if c.Distinct != total || c.Refused != 0 || c.Conflicts != 0 {
		t.Errorf("%d of %d points arrived, %d refused, %d in conflict", c.Distinct, total, c.Refused, c.Conflicts)
	}
	if allowed > kills*(4000+inFlight) {
		t.Errorf("%d points were taken and not settled on the disk: settlements lag behind", allowed)
	}
	if twice := c.Lines - c.Distinct; twice > allowed {
		t.Errorf("%d points arrived twice, at most %d may", twice, allowed)
	}
}

// deliveredIn is what a store that nobody has open says was delivered.
func deliveredIn(t *testing.T, folder string) int64 {
	t.Helper()
	s, err := custody.Open(custody.Options{Path: filepath.Join(folder, "relay.db"), Log: zerolog.Nop(), Now: func() time.Time { return time.Time{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Verify(context.Background()); err != nil {
		t.Error(err)
	}
	return s.Account().Delivered
}

// The store of a relay is lost: it comes back with another epoch, knows nothing,
// and takes what its site sends again.
func TestRelayStoreIsLost(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{})
	env, url := startEnvironment(t)
	env.Refuse()
	o := orders{Folder: t.TempDir(), Broker: broker.URL(), URL: url}
	s := newStubborn(t, broker.URL(), "site-1", 1)
	h := startHub(t, o)
	for range 10 {
		s.more(100)
	}
	s.insist("all is stored", 0, wire.StatusStored)
	_, before := s.last(1)
	h.kill()
	if err := os.Remove(filepath.Join(o.Folder, "relay.db")); err != nil {
		t.Fatal(err)
	}
	s.forgetAnswers()
	if err := env.Restore(); err != nil {
		t.Fatal(err)
	}
	h = startHub(t, o)
	s.insist("all is delivered", 0, wire.StatusDelivered)
	if _, after := s.last(1); after.Store == before.Store {
		t.Error("another store has the same epoch")
	}
	h.end(t)
	if c := env.Counts(); c.Distinct != 1000 || c.Lines != 1000 {
		t.Errorf("%d of 1000 points, %d lines", c.Distinct, c.Lines)
	}
}

// Many sites at once: each gets its answers.
func TestManySites(t *testing.T) {
	n, series := 500, 20
	if testing.Short() {
		n = 50
	}
	b := newBench(t)
	var sites []*standIn
	for i := range n {
		s := b.site(fmt.Sprintf("site-%03d", i), uint64(i+1))
		s.send(s.block(points(s.name, series, b.time())))
		s.write = nil // it holds memory
		sites = append(sites, s)
	}
	for _, s := range sites {
		s.expect(1, wire.StatusStored)
	}
	got := map[string]int{}
	for l := b.all(); l != nil; l = b.all() {
		for _, p := range l.Points {
			got[p.Series.Dim("site")]++
		}
		if err := b.relay.Shelf().Settle(l, delivered); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range sites {
		s.expect(1, wire.StatusDelivered)
		if got[s.name] != series {
			t.Errorf("%d points of %s, want %d", got[s.name], s.name, series)
		}
	}
	if a := b.store.Account(); a.Delivered != int64(n*series) || a.Buffered != 0 {
		t.Errorf("account %+v", a)
	}
}
