package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/proxytest"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
)

// chaosRules let sites and relays do what they must and no more.
const chaosRules = `pattern write edgehold/v1/%u/up/#
pattern write edgehold/v1/%u/state
pattern write edgehold/v1/%u/ask
pattern read edgehold/v1/%u/down
pattern read edgehold/v1/relay/+/state
pattern read edgehold/v1/relay/deny
`

// relayRules are those of one relay.
func relayRules(id string) string {
	return fmt.Sprintf("user %s\ntopic read edgehold/v1/+/up/#\ntopic read edgehold/v1/+/state\ntopic read edgehold/v1/+/ask\n"+
		"topic write edgehold/v1/+/down\ntopic readwrite edgehold/v1/relay/#\n", id)
}

// child is one process that a test plays with.
type child struct {
	t    *testing.T
	part part

	mu    sync.Mutex
	cmd   *exec.Cmd
	in    io.WriteCloser
	looks chan picture
	kills int
}

func (c *child) start() {
	c.t.Helper()
	text, err := json.Marshal(c.part)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRelayChild$", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), relayVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	looks := make(chan picture, 16)
	go func() { // ends with the process
		defer close(looks)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "look ")
			var x picture
			if ok && json.Unmarshal([]byte(text), &x) == nil {
				looks <- x
			}
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd, c.in, c.looks = cmd, in, looks
}

// kill is SIGKILL; later the same process begins again on its files.
func (c *child) kill() {
	c.mu.Lock()
	cmd := c.cmd
	c.cmd = nil
	c.kills++
	c.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// stop ends the process in order.
func (c *child) stop() {
	c.mu.Lock()
	cmd, in := c.cmd, c.in
	c.cmd = nil
	c.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		c.t.Errorf("%s: %v", c.part.Name, err)
	}
}

func (c *child) order(word string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		_, _ = fmt.Fprintln(c.in, word)
	}
}

// look asks the process how it stands.
func (c *child) look() picture {
	c.t.Helper()
	c.order("look")
	c.mu.Lock()
	looks := c.looks
	c.mu.Unlock()
	select {
	case x, ok := <-looks:
		if !ok {
			c.t.Fatalf("%s has ended", c.part.Name)
		}
		return x
	case <-time.After(30 * time.Second):
		c.t.Fatalf("%s does not answer", c.part.Name)
	}
	return picture{}
}

// chaosWorld is brokers, relays and sites with all that can be spoilt.
type chaosWorld struct {
	t       *testing.T
	env     *draintest.Server
	ledger  *draintest.Ledger
	ca      *mqtttest.Authority
	brokers []*mqtttest.Broker
	links   []*proxytest.Proxy // of the sites, one a broker
	relays  []*child
	sites   []*child
	random  *rand.Rand
	restart int // relays that were killed
	folder  string
}

// scene says what a world is like.
type scene struct {
	brokers, relays, sites int
	series                 int
	tick                   time.Duration
	persistence            bool
	lines                  []string // of mosquitto's configuration
	relaySize              int64

	real bool  // the timings are those of the product
	sink *sink // where relays deliver to; nil: a stand-in that keeps account
}

func newChaosWorld(t *testing.T, s scene) *chaosWorld {
	t.Helper()
	w := &chaosWorld{t: t, random: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))}
	w.env = draintest.New(draintest.Options{})
	w.ledger = w.env.Ledger()
	url, err := w.env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.env.Close() })
	w.ca = mqtttest.NewAuthority(t)
	server := w.ca.Issue(mqtttest.Leaf{Name: "broker"})
	rules := chaosRules
	for i := range s.relays {
		rules += relayRules(fmt.Sprintf("hub-%d", i+1))
	}
	var direct, linked []string
	for i := range s.brokers {
		b := mqtttest.Start(t, mqtttest.Options{Server: &server, ClientCA: w.ca.File, ACL: rules, Persistence: s.persistence, Lines: s.lines})
		link := proxytest.New(t, b.Addr(), uint64(i))
		w.brokers, w.links = append(w.brokers, b), append(w.links, link)
		direct, linked = append(direct, b.URL()), append(linked, b.Via(link.Addr()))
	}
	w.folder = t.TempDir()
	hub := part{Role: "relay", Brokers: direct, URL: url, MaxSize: s.relaySize, Real: s.real}
	if s.sink != nil {
		hub.URL, hub.URLCA, hub.Held = s.sink.url, s.sink.ca, s.sink.held
	}
	for i := range s.relays {
		hub.Name = fmt.Sprintf("hub-%d", i+1)
		w.relays = append(w.relays, w.member(hub))
	}
	for i := range s.sites {
		w.sites = append(w.sites, w.member(part{Role: "site", Name: fmt.Sprintf("plant-%d", i+1), Brokers: linked, Series: s.series, Tick: s.tick, Real: s.real}))
	}
	return w
}

// member starts a process with a certificate and a folder of its own.
func (w *chaosWorld) member(p part) *child {
	w.t.Helper()
	cert := w.ca.Issue(mqtttest.Leaf{Name: p.Name})
	p.CA, p.Cert, p.Key, p.Folder = w.ca.File, cert.Cert, cert.Key, filepath.Join(w.folder, p.Name)
	if err := os.Mkdir(p.Folder, 0o700); err != nil {
		w.t.Fatal(err)
	}
	c := &child{t: w.t, part: p}
	c.start()
	w.t.Cleanup(c.kill)
	return c
}

// What a post may carry, and what a relay that dies may have sent since its last
// commit.
const (
	postLines = 1000
	unsettled = 10 * postLines
)

func (w *chaosWorld) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int64N(int64(most-least)))) // faults come at random moments
}

// faults are what may be done to a world; each leaves it whole again.
var faults = map[string]func(w *chaosWorld){
	"relay killed": func(w *chaosWorld) {
		r := w.relays[w.random.IntN(len(w.relays))]
		r.kill()
		w.restart++
		w.pause(10*time.Millisecond, 800*time.Millisecond)
		r.start()
	},
	"site killed": func(w *chaosWorld) {
		s := w.sites[w.random.IntN(len(w.sites))]
		s.kill()
		w.pause(10*time.Millisecond, 300*time.Millisecond)
		s.start()
	},
	"broker killed": func(w *chaosWorld) {
		b := w.brokers[w.random.IntN(len(w.brokers))]
		b.Kill()
		w.pause(10*time.Millisecond, 500*time.Millisecond)
		b.Start()
	},
	"link cut": func(w *chaosWorld) { w.links[w.random.IntN(len(w.links))].Cut(proxytest.RST) },
	"link stalled": func(w *chaosWorld) {
		l := w.links[w.random.IntN(len(w.links))]
		l.SetBoth(proxytest.Way{Stall: true})
		w.pause(100*time.Millisecond, 4*time.Second)
		w.restore(l)
	},
	"link half open": func(w *chaosWorld) {
		l := w.links[w.random.IntN(len(w.links))]
		l.Set(proxytest.Up, proxytest.Way{Stall: true})
		w.pause(time.Second, 6*time.Second)
		w.restore(l)
	},
	"environment down": func(w *chaosWorld) {
		if err := w.env.SetFault(draintest.Fault{Mode: draintest.Down}); err != nil {
			w.t.Error(err)
		}
		w.pause(200*time.Millisecond, 3*time.Second)
		if err := w.env.Restore(); err != nil {
			w.t.Error(err)
		}
	},
	"relay's store lost": func(w *chaosWorld) {
		r := w.relays[w.random.IntN(len(w.relays))]
		r.kill()
		w.restart++
		if err := os.Remove(filepath.Join(r.part.Folder, "relay.db")); err != nil && !os.IsNotExist(err) {
			w.t.Error(err)
		}
		r.start()
	},
	"certificates renewed": func(w *chaosWorld) {
		for _, c := range append(append([]*child(nil), w.sites...), w.relays...) {
			w.ca.Issue(mqtttest.Leaf{Name: c.part.Name})
		}
		w.links[w.random.IntN(len(w.links))].Cut(proxytest.FIN)
	},
}

func (w *chaosWorld) restore(l *proxytest.Proxy) {
	if err := l.Restore(); err != nil {
		w.t.Error(err)
	}
}

// settle waits until every site has got rid of all its points.
func (w *chaosWorld) settle(most time.Duration) []picture {
	w.t.Helper()
	for _, s := range w.sites {
		s.order("quiet")
	}
	deadline := time.Now().Add(most)
	for {
		var all []picture
		left := int64(0)
		for _, s := range w.sites {
			x := s.look()
			all, left = append(all, x), left+x.Account.Buffered+int64(x.Pending)
		}
		if left == 0 {
			return all
		}
		if time.Now().After(deadline) {
			for i, x := range all {
				w.t.Errorf("%s: %+v\n%+v\nlast error %s", w.sites[i].part.Name, x.Account, x.Courier, x.Drain.LastError)
			}
			for _, r := range w.relays {
				x := r.look()
				w.t.Errorf("%s: %+v\n%+v\nlast error %s", r.part.Name, x.Account, x.Stat, x.Drain.LastError)
			}
			w.t.Fatalf("%d points are still on their way", left)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// verdict compares what sites accepted with what the environment has.
func (w *chaosWorld) verdict(sites []picture) {
	w.t.Helper()
	var accepted, delivered, resends, twice int64
	for i, x := range sites {
		accepted += x.Account.Accepted
		delivered += x.Account.Delivered
		resends += x.Courier.Resends
		twice += x.Courier.TwoRelays
		if x.Account.Check() != nil || x.Account.Accepted != x.Account.Delivered {
			w.t.Errorf("%s: account %+v", w.sites[i].part.Name, x.Account)
		}
		if len(x.Problems) > 0 {
			w.t.Logf("%s: %d errors logged, the first: %.300s", w.sites[i].part.Name, len(x.Problems), x.Problems[0])
		}
	}
	ambiguous, again := int64(0), int64(0)
	for _, r := range w.relays {
		x := r.look()
		ambiguous += x.Drain.AmbiguousPosts
		if x.Account.Check() != nil || x.Account.Buffered != 0 {
			w.t.Errorf("%s: account %+v", r.part.Name, x.Account)
		}
		w.t.Logf("%s: %d points in %d blocks, %d posts, %d lines taken", r.part.Name, x.Account.Accepted, x.Stat.Stored, x.Drain.Posts, x.Drain.LinesAccepted)
		again += x.Stat.Duplicates
	}
	c := w.ledger.Counts()
	w.t.Logf("%d points accepted by sites, %d in the environment, %d there twice; %d relays killed, %d posts ambiguous; %d blocks resent, %d caught as duplicates, %d at two relays",
		accepted, c.Distinct, c.Duplicates, w.restart, ambiguous, resends, again, twice)
	if int64(c.Distinct) < accepted {
		w.t.Errorf("%d points are lost", accepted-int64(c.Distinct))
	}
	if int64(c.Distinct) > accepted {
		w.t.Errorf("the environment has %d points more than the sites have accepted", int64(c.Distinct)-accepted)
	}
	if most := w.restart*unsettled + int(ambiguous)*postLines + int(twice)*wire.MaxPoints; c.Duplicates > most {
		w.t.Errorf("%d points arrived twice; relays that were killed, posts whose answer was lost and blocks at two relays explain %d", c.Duplicates, most)
	}
}

// chaosScenes are worlds and what is done to them.
var chaosScenes = []struct {
	name   string
	short  bool // also without EDGEHOLD_SOAK
	scene  scene
	faults []string
}{
	{"links", true, scene{brokers: 1, relays: 1, sites: 2}, []string{"link cut", "link cut", "link stalled", "link half open", "environment down"}},
	{"kills", true, scene{brokers: 1, relays: 1, sites: 2}, []string{"relay killed", "site killed", "broker killed", "link cut"}},
	{"persistent broker killed", false, scene{brokers: 1, relays: 1, sites: 2, persistence: true}, []string{"broker killed"}},
	{"sites killed", false, scene{brokers: 1, relays: 1, sites: 3}, []string{"site killed", "link cut"}},
	{"broker with a short queue", false, scene{brokers: 1, relays: 1, sites: 3, lines: []string{"max_queued_messages 10", "max_inflight_messages 5"}}, []string{"relay killed", "environment down"}},
	{"broker that drops large messages", false, scene{brokers: 1, relays: 1, sites: 2, series: 2000, lines: []string{"max_packet_size 131072"}}, []string{"link cut", "environment down"}},
	{"relay's store lost", false, scene{brokers: 1, relays: 1, sites: 2}, []string{"relay's store lost", "environment down"}},
	{"relay full", false, scene{brokers: 1, relays: 1, sites: 2, series: 3000, relaySize: 16 << 20}, []string{"environment down", "environment down", "link cut"}},
	{"three relays", true, scene{brokers: 1, relays: 3, sites: 2}, []string{"relay killed", "link cut"}},
	{"two brokers", false, scene{brokers: 2, relays: 3, sites: 2}, []string{"broker killed", "relay killed", "link stalled"}},
	{"certificates renewed", false, scene{brokers: 1, relays: 1, sites: 2}, []string{"certificates renewed"}},
	{"everything", false, scene{brokers: 2, relays: 3, sites: 4}, []string{
		"relay killed", "site killed", "broker killed", "link cut", "link stalled", "link half open", "environment down", "certificates renewed",
	}},
}

// TestE2ERelayChaos lets sites make points while brokers, relays, links and the
// sites themselves fail: no point that a site has accepted is lost.
func TestE2ERelayChaos(t *testing.T) {
	soak := os.Getenv("EDGEHOLD_SOAK")
	last, calm := 5*time.Second, 3*time.Minute
	if soak != "" && soak != "short" {
		last, calm = time.Minute, 5*time.Minute
	}
	for _, x := range chaosScenes {
		t.Run(x.name, func(t *testing.T) {
			switch {
			case soak == "" && (!x.short || testing.Short()):
				t.Skip("set EDGEHOLD_SOAK=1 for this scene")
			case soak == "short" && x.short:
				t.Skip("this scene is run without EDGEHOLD_SOAK too")
			}
			s := x.scene
			s.series, s.tick = max(s.series, 40), 100*time.Millisecond
			w := newChaosWorld(t, s)
			for end := time.Now().Add(last); time.Now().Before(end); {
				w.pause(200*time.Millisecond, 1200*time.Millisecond)
				faults[x.faults[w.random.IntN(len(x.faults))]](w)
			}
			w.verdict(w.settle(calm))
			for _, c := range append(append([]*child(nil), w.sites...), w.relays...) {
				c.stop()
			}
		})
	}
}
