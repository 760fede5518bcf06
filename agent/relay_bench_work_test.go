package agent

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// work is polls of switches with 24 ports: nine columns a port (eight 64-bit
// counters as deltas, and the speed, or its load where the ports are busy) and
// the uptime, 217 points a poll, with the keys and dimensions of the built-in
// package. It is the work that the drain is measured with.
type work struct {
	Switches int
	Series   int // of a switch; 0: all 217
	Busy     bool
	Interval time.Duration // that the deltas are of
}

var workKeys = []string{
	"if.bytes_in.count", "if.bytes_out.count", "if.unicast_in.count", "if.unicast_out.count",
	"if.multicast_in.count", "if.multicast_out.count", "if.broadcast_in.count", "if.broadcast_out.count", "if.speed",
}

const workPoints = 24*9 + 1

// column is one series, and what comes in a second.
type column struct {
	series *probes.Series
	mean   float64
	noisy  bool // it counts what comes by itself, such as broadcasts
	total  uint64
}

// network makes polls of its switches.
type network struct {
	work
	random   *rand.Rand
	switches [][]column
	begun    time.Time
}

func newNetwork(w work) *network {
	n := &network{work: w, random: rand.New(rand.NewPCG(7, 24)), begun: time.Now()}
	for i := range w.Switches {
		list := n.device(i)
		if w.Series > 0 {
			list = list[:w.Series]
		}
		n.switches = append(n.switches, list)
	}
	return n
}

func (n *network) device(i int) []column {
	name := fmt.Sprintf("switch-%d", i)
	own := []probes.Dimension{
		{Key: "sys.name", Value: name},
		{Key: "device.name", Value: name},
		{Key: "device.address", Value: fmt.Sprintf("10.20.%d.%d", i/200, 1+i%200)},
		{Key: "device.port", Value: "161"},
		{Key: "device.type", Value: "generic"},
		{Key: "monitoring.mode", Value: "Extension"},
	}
	const prefix = "com.dynatrace.extension.network_device."
	uptime := probes.NewSeries(prefix+"sysuptime", probes.Gauge, append([]probes.Dimension{
		{Key: "sys.description", Value: "Simulated managed switch, 24 ports, software 4.2.1"},
		{Key: "sys.objectid", Value: "1.3.6.1.4.1.32473.1.24"},
		{Key: "sys.location", Value: fmt.Sprintf("Hall %d, cabinet B2", 1+i%9)},
	}, own...)...)
	list := []column{{series: uptime, total: n.random.Uint64N(1e9)}}
	for port := range 24 {
		means := n.port()
		for c, key := range workKeys {
			typ := probes.Count
			if c == len(workKeys)-1 {
				typ = probes.Gauge
			}
			s := probes.NewSeries(prefix+key, typ, append([]probes.Dimension{{Key: "if.name", Value: fmt.Sprintf("Gi1/0/%d", port+1)}}, own...)...)
			list = append(list, column{series: s, mean: means[c], noisy: c >= 4})
		}
	}
	return list
}

// port draws what passes a port in a second.
func (n *network) port() (means [9]float64) {
	active, idle := 0.5, 0.25
	if n.Busy {
		active, idle = 0.9, 0.05
	}
	means[8] = 1000
	low, high := 4.5, 7.5 // bytes a second, powers of ten
	switch u := n.random.Float64(); {
	case u < active:
	case u < active+idle:
		low, high = 2, 3.5
	default:
		return means
	}
	for way := range 2 {
		bytes := math.Pow(10, low+(high-low)*n.random.Float64())
		means[way], means[2+way] = bytes, bytes/(150+1050*n.random.Float64())
		means[4+way], means[6+way] = 0.2+3.8*n.random.Float64(), 0.05+0.95*n.random.Float64()
	}
	return means
}

// poll gives a poll that ends at a time: of all switches, in turns over the
// interval, or with at most some of them at that time.
func (n *network) poll(end time.Time) []probes.Point {
	points := make([]probes.Point, 0, len(n.switches)*len(n.switches[0]))
	for i, list := range n.switches {
		at := end.Add(-n.Interval * time.Duration(len(n.switches)-i) / time.Duration(len(n.switches)))
		stamp := probes.Stamp{Boot: probes.BootID{1}, Uptime: at.Sub(n.begun) + time.Hour, Wall: at.UnixMilli()}
		for c := range list {
			points = append(points, probes.Point{Series: list[c].series, Value: n.value(&list[c]), Stamp: stamp})
		}
	}
	return points
}

func (n *network) value(c *column) probes.Value {
	seconds := n.Interval.Seconds()
	switch {
	case c.series.Type() == probes.Gauge && c.mean == 0:
		c.total += uint64(100*seconds) + n.random.Uint64N(5)
		return probes.Uint(c.total)
	case c.series.Type() == probes.Gauge && n.Busy:
		return probes.Float(math.Round(1000*n.random.Float64()) / 10)
	case c.series.Type() == probes.Gauge:
		return probes.Uint(uint64(c.mean))
	}
	delta := c.mean * seconds
	switch {
	case c.noisy:
		delta = max(0, delta+math.Sqrt(delta)*n.random.NormFloat64())
	case n.Busy:
		delta *= math.Exp(0.7*n.random.NormFloat64()) * max(0, 1+0.05*n.random.NormFloat64())
	default:
		delta *= max(0, 1+0.05*n.random.NormFloat64())
	}
	return probes.Uint(uint64(delta))
}

// fill makes the store of a site that was cut off for some polls, the newest of
// which is older than what is live.
func fill(t *testing.T, p part) func() picture {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Path: filepath.Join(p.Folder, "site.db")})
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(*p.Work)
	end := time.Now().Add(-3 * time.Minute)
	for i := range p.Polls {
		if err := store.Append(t.Context(), n.poll(end.Add(-n.Interval*time.Duration(p.Polls-1-i)))); err != nil {
			t.Fatal(err)
		}
	}
	account := store.Account()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return func() picture { return picture{Account: account} }
}

// poll commits one poll of all switches, of now.
func (s *siteChild) poll(t *testing.T) {
	t.Helper()
	points := s.network.poll(time.Now())
	s.made.Add(int64(len(points)))
	if err := s.store.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
}

// memory is of a process, in bytes: now, and the most that was seen.
type memory struct{ Anon, Resident, MostAnon, MostResident int64 }

func readMemory() (m memory) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64) // 0 for words
		switch fields[0] {
		case "RssAnon:":
			m.Anon = n << 10
		case "VmRSS:":
			m.Resident = n << 10
		}
	}
	return m
}

// sampler looks at the memory ten times a second.
type sampler struct {
	mu   sync.Mutex
	most memory
}

func (s *sampler) run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.take()
		}
	}
}

func (s *sampler) take() memory {
	m := readMemory()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most.MostAnon, s.most.MostResident = max(s.most.MostAnon, m.Anon), max(s.most.MostResident, m.Resident)
	m.MostAnon, m.MostResident = s.most.MostAnon, s.most.MostResident
	return m
}

// writtenBytes is what this process has had the disk write.
func writtenBytes() (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ = strconv.ParseInt(strings.TrimSpace(rest), 10, 64) // 0 if it is no number
		}
	}
	return n
}

// sink is an environment over TLS that counts lines and costs next to nothing.
type sink struct {
	url, ca string
	held    bool // relays wait for an order before they deliver
	lines   atomic.Int64
	posts   atomic.Int64
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	server := httptest.NewUnstartedServer(s)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url, s.ca = server.URL, filepath.Join(t.TempDir(), "sink.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(s.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	lines, ended := int64(0), true
	for buf := make([]byte, 64<<10); err == nil; {
		var n int
		n, err = body.Read(buf)
		for _, c := range buf[:n] {
			if c == '\n' {
				lines++
			}
		}
		if n > 0 {
			ended = buf[n-1] == '\n'
		}
	}
	if !errors.Is(err, io.EOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !ended {
		lines++
	}
	s.lines.Add(lines)
	s.posts.Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"linesOk":%d,"linesInvalid":0}`, lines)
}
