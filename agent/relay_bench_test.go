package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/proxytest"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// figures skips a measurement that was not asked for.
func figures(t *testing.T) {
	t.Helper()
	if word := os.Getenv("EDGEHOLD_SOAK"); word == "" || word == "short" {
		t.Skip("SKIPPED: a measurement of some minutes; set EDGEHOLD_SOAK=1, or run packaging/bench/relay.sh")
	}
}

// awaited looks at a process until it is as wanted.
func awaited(c *child, most time.Duration, want func(x picture) bool) picture {
	c.t.Helper()
	deadline := time.Now().Add(most)
	for {
		x := c.look()
		if want(x) {
			return x
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not within %v: %+v\n%+v\n%s", c.part.Name, most, x.Account, x.Courier, x.Drain.LastError)
		}
		time.Sleep(100 * time.Millisecond) // between two looks, which cost something too
	}
}

// linked is a site's part in a world: over the link, with the product's timings.
func (w *chaosWorld) linked(p part) part {
	for i, b := range w.brokers {
		p.Brokers = append(p.Brokers, b.Via(w.links[i].Addr()))
	}
	p.Real = true
	return p
}

// cutOff starts a site that has a backlog.
func (w *chaosWorld) cutOff(x work, polls int) (site *child, points int64) {
	w.t.Helper()
	site = w.member(w.linked(part{Role: "filler", Name: "plant-1", Work: &x, Polls: polls}))
	points = site.look().Account.Buffered
	site.stop()
	site.part.Role, site.part.Work = "site", nil
	return site, points
}

// shipped are the limits of the broker's configuration in packaging/examples.
var shipped = []string{"max_packet_size 262144", "max_queued_messages 20000", "max_queued_bytes 268435456", "max_inflight_messages 100", "set_tcp_nodelay true"}

const mega = 1e6

// hop is what the way over the relay cost.
type hop struct{ took, site, relay, drainTook, drainCPU float64 }

func spread(list []hop, of func(h hop) float64) string {
	var all []float64
	for _, h := range list {
		all = append(all, of(h))
	}
	slices.Sort(all)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", all[len(all)/2], all[0], all[len(all)-1])
}

// TestSoakRelayHop measures the way of a backlog from a site to a relay's disk,
// and from there on.
func TestSoakRelayHop(t *testing.T) {
	figures(t)
	const polls = 46
	for _, busy := range []bool{false, true} {
		var hops []hop
		for range 3 {
			hops = append(hops, oneHop(t, work{Switches: 200, Busy: busy, Interval: time.Minute}, polls))
		}
		t.Logf("busy %v: points/s %s; CPU-s per million: site %s, relay %s, its drain %s; drain points/s %s", busy,
			spread(hops, func(h hop) float64 { return 1 / h.took }), spread(hops, func(h hop) float64 { return h.site }),
			spread(hops, func(h hop) float64 { return h.relay }), spread(hops, func(h hop) float64 { return h.drainCPU }),
			spread(hops, func(h hop) float64 { return 1 / h.drainTook }))
	}
}

// oneHop gives seconds for each million points.
func oneHop(t *testing.T, x work, polls int) hop {
	env := newSink(t)
	env.held = true
	w := newChaosWorld(t, scene{brokers: 1, relays: 1, real: true, lines: shipped, sink: env})
	site, points := w.cutOff(x, polls)
	hub := w.relays[0]
	before := hub.look()
	begin := time.Now()
	site.start()
	stored := awaited(site, 5*time.Minute, func(x picture) bool { return x.Courier.Points == points && x.Courier.Waiting+x.Courier.InFlight == 0 })
	took := time.Since(begin).Seconds()
	held := hub.look()
	perMillion := mega / float64(points)
	h := hop{took: took * perMillion, site: stored.CPU * perMillion, relay: (held.CPU - before.CPU) * perMillion}
	begin = time.Now()
	hub.order("drain")
	awaited(hub, 5*time.Minute, func(x picture) bool { return x.Account.Buffered == 0 })
	h.drainTook = time.Since(begin).Seconds() * perMillion
	last := hub.look()
	h.drainCPU = (last.CPU - held.CPU) * perMillion
	settled := awaited(site, time.Minute, func(x picture) bool { return x.Account.Buffered == 0 })
	if settled.Account.Delivered != points || env.lines.Load() < points {
		t.Errorf("%d points, %d lines, %+v", points, env.lines.Load(), settled.Account)
	}
	t.Logf("%d points in %d blocks of %d commits: %.1f s to the relay (%.0f points/s, %.1f blocks/s), %.2f bytes a point; CPU-s site %.2f, relay %.2f, its drain %.2f in %.1f s; "+
		"site all in all %.2f; the relay wrote %.1f MB, file %.1f MB; site %s; relay holding %s, at the end %s; resends %d",
		points, last.Stat.Stored, last.Stat.Commits, took, float64(points)/took, float64(last.Stat.Stored)/took, float64(stored.Wire)/float64(points),
		stored.CPU, held.CPU-before.CPU, last.CPU-held.CPU, h.drainTook/perMillion, settled.CPU, float64(held.Written)/mega, float64(held.Stat.FileBytes)/mega,
		settled.Memory, held.Memory, last.Memory, settled.Courier.Resends)
	site.stop()
	hub.stop()
	return h
}

func (m memory) String() string {
	return fmt.Sprintf("RssAnon %.1f, most %.1f, VmRSS %.1f, most %.1f MB",
		float64(m.Anon)/mega, float64(m.MostAnon)/mega, float64(m.Resident)/mega, float64(m.MostResident)/mega)
}

// TestSoakRelayWire measures bytes on the wire of polls as they come.
func TestSoakRelayWire(t *testing.T) {
	figures(t)
	for _, x := range []struct {
		name string
		work
		polls int
	}{
		// A site commits each ten seconds: of 200 switches polled each minute, a sixth.
		{"200 switches each 10 s", work{Switches: 200, Interval: 10 * time.Second}, 24},
		{"200 switches each 60 s", work{Switches: 33, Interval: time.Minute}, 24},
		{"1 switch each 60 s", work{Switches: 1, Interval: time.Minute}, 24},
		{"1 switch each 10 s", work{Switches: 1, Interval: 10 * time.Second}, 24},
	} {
		for _, busy := range []bool{false, true} {
			x.Busy = busy
			t.Run(fmt.Sprintf("%s busy %v", x.name, busy), func(t *testing.T) { asTheyCome(t, x.work, x.polls) })
		}
	}
}

// asTheyCome measures some polls after the first.
func asTheyCome(t *testing.T, x work, polls int) {
	w := newChaosWorld(t, scene{brokers: 1, relays: 1, real: true, lines: shipped, sink: newSink(t)})
	site := w.member(w.linked(part{Role: "site", Name: "plant-1", Work: &x, Hasty: true}))
	hello := awaited(site, time.Minute, func(x picture) bool { return len(x.Courier.Relays) > 0 }).Wire
	var first, last picture
	for n := range polls + 1 {
		site.order("poll")
		last = awaited(site, time.Minute, func(x picture) bool {
			return x.Account.Delivered > 0 && x.Account.Buffered == 0 && x.Account.Accepted == x.Made
		})
		if n == 0 {
			first = last
		}
	}
	t.Logf("%.2f bytes a point; the first poll with all names %.1f; handshake and greetings %d bytes",
		float64(last.Wire-first.Wire)/float64(last.Account.Delivered-first.Account.Delivered),
		float64(first.Wire-hello)/float64(first.Account.Delivered), hello)
	site.stop()
	w.relays[0].stop()
}

// benchFaults are what recovery is measured of. Each ends with the world whole.
var benchFaults = []struct {
	name string
	do   func(w *chaosWorld)
}{
	{"relay killed, back after 5 s", func(w *chaosWorld) { w.relays[0].kill(); time.Sleep(5 * time.Second); w.relays[0].start() }},
	{"relay killed, back after 90 s", func(w *chaosWorld) { w.relays[0].kill(); time.Sleep(90 * time.Second); w.relays[0].start() }},
	{"broker killed, back after 5 s", func(w *chaosWorld) { w.brokers[0].Kill(); time.Sleep(5 * time.Second); w.brokers[0].Start() }},
	{"broker killed, back after 60 s", func(w *chaosWorld) { w.brokers[0].Kill(); time.Sleep(time.Minute); w.brokers[0].Start() }},
	{"site's link cut", func(w *chaosWorld) { w.links[0].Cut(proxytest.RST) }},
	{"site's link stalled for 30 s", func(w *chaosWorld) {
		w.links[0].SetBoth(proxytest.Way{Stall: true})
		time.Sleep(30 * time.Second)
		w.restore(w.links[0])
	}},
	{"site's link stalled for 120 s", func(w *chaosWorld) {
		w.links[0].SetBoth(proxytest.Way{Stall: true})
		time.Sleep(2 * time.Minute)
		w.restore(w.links[0])
	}},
	{"site's link half open for 60 s", func(w *chaosWorld) {
		w.links[0].Set(proxytest.Up, proxytest.Way{Stall: true})
		time.Sleep(time.Minute)
		w.restore(w.links[0])
	}},
	{"environment down for 30 s", func(w *chaosWorld) {
		if err := w.env.SetFault(draintest.Fault{Mode: draintest.Down}); err != nil {
			w.t.Error(err)
		}
		time.Sleep(30 * time.Second)
		if err := w.env.Restore(); err != nil {
			w.t.Error(err)
		}
	}},
	{"relay's store lost", func(w *chaosWorld) {
		w.relays[0].kill()
		if err := os.Remove(filepath.Join(w.relays[0].part.Folder, "relay.db")); err != nil {
			w.t.Error(err)
		}
		w.relays[0].start()
	}},
}

// TestSoakRelayRecovery measures how long faults go on after their end, with the
// timings of the product: the link is given up after 30 + 60 s, a site commits
// each 10 s.
func TestSoakRelayRecovery(t *testing.T) {
	figures(t)
	for _, f := range benchFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newChaosWorld(t, scene{brokers: 1, relays: 1, sites: 1, series: 500, tick: time.Second, real: true, lines: shipped})
			site := w.sites[0]
			awaited(site, time.Minute, func(x picture) bool { return x.Account.Delivered > 0 })
			f.do(w)
			ended := time.Now()
			over := site.look()
			awaited(site, 10*time.Minute, func(x picture) bool { return x.Courier.LastAck.After(ended) })
			heard := time.Since(ended).Seconds()
			// All is gone that was made before the end.
			awaited(site, 10*time.Minute, func(x picture) bool { return x.Account.Delivered >= over.Made })
			gone := time.Since(ended).Seconds()
			site.order("quiet")
			last := awaited(site, 5*time.Minute, func(x picture) bool { return x.Account.Buffered == 0 && x.Account.Accepted == x.Made })
			t.Logf("RECOVERY %s: next answer of the relay after %.1f s, all gone that was there at the end after %.1f s (%d points); resent blocks %d",
				f.name, heard, gone, over.Made-over.Account.Delivered, last.Courier.Resends)
		})
	}
}

// TestSoakRelayCrowd lets 500 sites hand to one relay in a tenth of the time,
// then one of them has a backlog without end.
func TestSoakRelayCrowd(t *testing.T) {
	figures(t)
	const sites = 500
	t.Run("a tenth of the time", func(t *testing.T) {
		x := crowd{Every: 6 * time.Second}
		for i := range sites {
			x.Sites = append(x.Sites, simulated{Series: 20 + i*180/(sites-1)})
		}
		x.Sites[0] = simulated{Series: 5500, Loud: true} // fifty times the mean of the others
		crowded(t, x, "", "loud")
	})
	// As many blocks and points as 5,000 sites of 2,000 series a minute have,
	// which commit each 10 s.
	t.Run("the load of 5000 sites", func(t *testing.T) {
		x := crowd{Every: time.Second}
		for range sites {
			x.Sites = append(x.Sites, simulated{Series: 333})
		}
		crowded(t, x, "")
	})
}

// crowded measures a relay for a minute after each order.
func crowded(t *testing.T, x crowd, orders ...string) {
	const phase = time.Minute
	sites := len(x.Sites)
	w := newChaosWorld(t, scene{brokers: 1, relays: 1, real: true, lines: shipped, sink: newSink(t)})
	hub := w.relays[0]
	for i := range x.Sites {
		s := &x.Sites[i]
		s.Name = fmt.Sprintf("plant-%d", i+2)
		cert := w.ca.Issue(mqtttest.Leaf{Name: s.Name})
		s.Cert, s.Key = cert.Cert, cert.Key
	}
	p := w.linked(part{Role: "crowd", Name: "plant-1", Crowd: &x})
	p.Brokers = []string{w.brokers[0].URL()}
	many := w.member(p)
	awaited(many, 2*time.Minute, func(x picture) bool { return x.Crowd.Up == sites })
	for _, order := range orders {
		many.order(order)
		time.Sleep(max(10*time.Second, 2*x.Every)) // until names are known and it is steady
		many.order("count")
		a, ac, broker, begin := hub.look(), many.look(), brokerTime(t), time.Now()
		time.Sleep(phase)
		b, bc, took := hub.look(), many.look(), time.Since(begin).Seconds()
		points := float64(b.Account.Accepted - a.Account.Accepted)
		y := bc.Crowd
		t.Logf("CROWD %q: %.0f blocks/s in %.1f commits/s, %.0f points/s accepted, %.0f delivered; relay %.2f cores, %.2f CPU-s per million points, %.2f ms a block, "+
			"%.0f kB/s written (%.1f kB a block, %.0f bytes a point); %s; stored p50 %.3f p99 %.3f most %.3f s; delivered p50 %.3f p99 %.3f most %.3f s, slowest site's median %.3f; "+
			"least share %.3f; resent %d, skipped %d, full %d, slow %d; loud delivered %d points; the crowd's own %.2f cores, the broker's %.2f; posts %d",
			order, float64(b.Stat.Stored-a.Stat.Stored)/took, float64(b.Stat.Commits-a.Stat.Commits)/took, points/took, float64(b.Account.Delivered-a.Account.Delivered)/took,
			(b.CPU-a.CPU)/took, (b.CPU-a.CPU)/points*mega, 1000*(b.CPU-a.CPU)/float64(b.Stat.Stored-a.Stat.Stored),
			float64(b.Written-a.Written)/took/1000, float64(b.Written-a.Written)/float64(b.Stat.Stored-a.Stat.Stored)/1000, float64(b.Written-a.Written)/points,
			b.Memory, y.StoredP50, y.StoredP99, y.StoredMax, y.DoneP50, y.DoneP99, y.DoneMax, y.Worst, y.LeastShare,
			y.Resent, y.Skipped, y.Full, y.Slow, y.LoudPoints, (bc.CPU-ac.CPU)/took, (brokerTime(t)-broker)/took, b.Drain.Posts-a.Drain.Posts)
	}
	if log := w.brokers[0].Log(); strings.Contains(log, "dropped") {
		t.Log("the broker dropped messages")
	}
	many.kill()
	hub.kill()
}

// brokerTime is the processor time of the brokers that this process has started,
// in seconds.
func brokerTime(t *testing.T) (seconds float64) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(text), "(mosquitto) ")
		fields := strings.Fields(rest) // from the state on
		if !ok || len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, ticks := range fields[11:13] {
			n, _ := strconv.ParseFloat(ticks, 64) // a number, or it counts for nothing
			seconds += n / 100
		}
	}
	return seconds
}
