package courier_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/courier"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const plant = "plant-7"

// clerk is the least that a relay has to do: it keeps blocks in memory, and
// answers stored and delivered at once.
type clerk struct {
	t    testing.TB
	conn *mqtt.Conn

	mu     sync.Mutex
	blocks map[[2]uint64]bool
	names  map[uint64]map[uint32]*probes.Series
	values map[string]int
	again  int // blocks that came again
}

func newClerk(t testing.TB, url string) *clerk {
	t.Helper()
	c := &clerk{t: t, blocks: map[[2]uint64]bool{}, names: map[uint64]map[uint32]*probes.Series{}, values: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	if c.conn, err = mqtt.Dial(ctx, mqtt.Options{Broker: url, ClientID: "clerk", Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = c.conn.Close(ctx)
	})
	for _, filter := range []string{"$share/edgehold/" + wire.Topics{}.AllUp(), wire.Topics{}.AllAsk()} {
		if err := c.conn.Subscribe(ctx, filter, 1, c.hear); err != nil {
			t.Fatal(err)
		}
	}
	c.say(wire.Topics{}.RelayState("hub-1"), wire.RelayState{State: wire.StateOnline, Store: "00000000000000aa"}, true)
	return c
}

func (c *clerk) say(topic string, what any, retain bool) {
	payload, err := json.Marshal(what)
	if err != nil {
		c.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.conn.Publish(ctx, mqtt.Message{Topic: topic, Payload: payload, QoS: 1, Retain: retain}); err != nil && c.t.Context().Err() == nil {
		c.t.Log(err)
	}
}

func (c *clerk) hear(in mqtt.Incoming) {
	what, site, _ := wire.Topics{}.Parse(in.Topic)
	var acks []wire.Ack
	c.mu.Lock()
	if what == wire.AskTopic {
		acks = c.ask(in.Payload)
	} else {
		acks = c.block(in.Payload)
	}
	c.mu.Unlock()
	if len(acks) > 0 {
		c.say(wire.Topics{}.Down(site), wire.Down{Relay: "hub-1", Store: "00000000000000aa", Acks: acks}, false)
	}
}

func (c *clerk) ask(payload []byte) (acks []wire.Ack) {
	a, err := wire.ParseAsk(payload)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	epoch, _ := wire.ParseEpoch(a.Epoch)
	for _, r := range a.Seq {
		for seq := r[0]; seq <= r[1]; seq++ {
			status := wire.StatusUnknown
			if c.blocks[[2]uint64{epoch, seq}] {
				status = wire.StatusDelivered
			}
			acks = append(acks, wire.Ack{Epoch: a.Epoch, Seq: []wire.Range{{seq, seq}}, Status: status})
		}
	}
	return acks
}

func (c *clerk) block(payload []byte) []wire.Ack {
	h, err := wire.ParseHeader(payload)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	key := [2]uint64{h.Epoch, h.Seq}
	names := c.names[h.Epoch]
	if names == nil {
		names = map[uint32]*probes.Series{}
		c.names[h.Epoch] = names
	}
	if c.blocks[key] {
		c.again++
	} else {
		if _, brought, _ := wire.NamesIn(payload); brought != nil {
			more, err := wire.ReadNames(brought)
			if err != nil {
				c.t.Error(err)
			}
			for id, s := range more {
				names[id] = s
			}
		}
		points, err := wire.NewReader().Points(payload, func(id uint32) *probes.Series { return names[id] })
		if err != nil {
			c.t.Error(err)
			return nil
		}
		for _, p := range points {
			c.values[fmt.Sprint(p.Value.Int64())]++
		}
		c.blocks[key] = true
	}
	var acks []wire.Ack
	for _, status := range []string{wire.StatusStored, wire.StatusDelivered} {
		acks = append(acks, wire.Ack{Epoch: wire.FormatEpoch(h.Epoch), Seq: []wire.Range{{h.Seq, h.Seq}}, Status: status})
	}
	return acks
}

func (c *clerk) arrived() (different, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.values {
		different++
		if n > 1 {
			twice++
		}
	}
	return different, twice
}

// options are those of a site over a broker.
func options(store *buffer.Store, url string) courier.Options {
	dial := func(ctx context.Context, c courier.Call) (courier.Conn, error) {
		conn, err := mqtt.Dial(ctx, mqtt.Options{Broker: c.Broker, ClientID: plant, Will: &c.Will, Traffic: c.Traffic, Log: zerolog.Nop()})
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	return courier.Options{
		Target: courier.Target{Brokers: []string{url}, BlockSize: 4 << 10, Dial: dial},
		Site:   plant, Store: store, Log: zerolog.Nop(),
	}
}

func openStore(t testing.TB, path string) *buffer.Store {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Path: path, CommitInterval: 50 * time.Millisecond, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func feed(t testing.TB, store *buffer.Store, from, n int) {
	t.Helper()
	points := make([]probes.Point, n)
	for i := range points {
		s := probes.NewSeries("test.points", probes.Gauge, probes.Dimension{Key: "n", Value: fmt.Sprint(i % 50)})
		points[i] = probes.Point{Series: s, Value: probes.Int(int64(from + i)), Stamp: probes.Stamp{Wall: time.Now().UnixMilli()}}
	}
	if err := store.Append(context.Background(), points); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, most time.Duration, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); !yes(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, most)
		}
	}
}

// TestE2EMosquitto goes over a real broker, which is stopped in between.
func TestE2EMosquitto(t *testing.T) {
	broker := mqtttest.Start(t, mqtttest.Options{Persistence: true})
	keeper := newClerk(t, broker.URL())
	store := openStore(t, filepath.Join(t.TempDir(), "site.db"))
	defer store.Close()
	c := courier.New(options(store, broker.URL()))
	c.SetGrace(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	const n = 20_000
	for i := range 10 {
		feed(t, store, i*n/10, n/10)
	}
	eventually(t, time.Minute, "all is delivered", func() bool { a := store.Account(); return a.Delivered == n && a.Buffered == 0 })
	if s := c.State(); s.State == "backoff" || s.BytesWire == 0 || s.UpSince.IsZero() {
		t.Errorf("state %+v", s)
	}
	if r := c.Relay(); !r.Connected || len(r.Relays) != 1 || r.Relays[0].State != wire.StateOnline || r.Points != 0 {
		t.Errorf("custody %+v", r)
	}
	cancel()
	<-done
	if different, twice := keeper.arrived(); different != n || twice != 0 {
		t.Errorf("%d points arrived, %d twice", different, twice)
	}
}

// TestE2EKilled kills a site again and again. Its journal, written when Append
// has returned, says what has to arrive.
func TestE2EKilled(t *testing.T) {
	kills := 6
	switch {
	case testing.Short():
		kills = 2
	case longForm():
		kills = 60
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	broker := mqtttest.Start(t, mqtttest.Options{})
	keeper := newClerk(t, broker.URL())
	dir := t.TempDir()
	for k := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
		cmd.Env = append(os.Environ(), "EDGEHOLD_VICTIM="+dir, "EDGEHOLD_VICTIM_URL="+broker.URL(), fmt.Sprint("EDGEHOLD_VICTIM_NUMBER=", k))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the site accepts points", func() bool { return len(journal(t, dir, k)) > 1+random.IntN(30) })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	store := openStore(t, filepath.Join(dir, "site.db"))
	defer store.Close()
	c := courier.New(options(store, broker.URL()))
	c.SetGrace(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	eventually(t, 2*time.Minute, "the rest is delivered", func() bool {
		a := store.Account()
		return a.Buffered == 0 && a.Delivered == a.Accepted
	})
	cancel()
	<-done
	different, twice := keeper.arrived()
	if a := store.Account(); int64(different) != a.Accepted || twice != 0 {
		t.Errorf("%d of %d points arrived, %d twice", different, a.Accepted, twice)
	}
	keeper.mu.Lock()
	defer keeper.mu.Unlock()
	for k := range kills {
		for _, value := range journal(t, dir, k) {
			if keeper.values[value] == 0 {
				t.Fatalf("point %s of start %d was accepted and never arrived", value, k)
			}
		}
	}
	t.Logf("%d kills, %d points, %d blocks came again", kills, different, keeper.again)
}

func journal(t testing.TB, dir string, number int) (values []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("journal-", number)))
	if err != nil {
		return nil
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		values = append(values, lines.Text())
	}
	return values
}

// TestVictim is the site that is killed.
func TestVictim(t *testing.T) {
	dir := os.Getenv("EDGEHOLD_VICTIM")
	if dir == "" {
		t.Skip("runs as a child only")
	}
	var number int
	if _, err := fmt.Sscan(os.Getenv("EDGEHOLD_VICTIM_NUMBER"), &number); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, filepath.Join(dir, "site.db"))
	c := courier.New(options(store, os.Getenv("EDGEHOLD_VICTIM_URL")))
	c.SetGrace(time.Second)
	go func() { _ = c.Run(context.Background()) }()
	out, err := os.Create(filepath.Join(dir, fmt.Sprint("journal-", number)))
	if err != nil {
		t.Fatal(err)
	}
	const most = 200
	for i := range most {
		from := (number*most + i) * 400
		feed(t, store, from, 400)
		if _, err := fmt.Fprintln(out, from); err != nil {
			t.Fatal(err)
		}
	}
	select {} // until it is killed
}

// longForm tells that the tests with a long form run it: `make soak`, but not
// its bounded form.
func longForm() bool {
	word := os.Getenv("EDGEHOLD_SOAK")
	return word != "" && word != "short"
}
