package prometheus

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// nameServer answers every question for an address with those it has, and fails
// while it has none.
type nameServer struct {
	mu        sync.Mutex
	addresses []netip.Addr
	asked     int
}

func (n *nameServer) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = nil
	for _, a := range addresses {
		n.addresses = append(n.addresses, netip.MustParseAddr(a))
	}
}

func (n *nameServer) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// resolver asks the name server over a pipe, as over TCP.
func (n *nameServer) resolver(t *testing.T) *net.Resolver {
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		all.Go(func() { n.serve(there) })
		return here, nil
	}}
}

func (n *nameServer) serve(conn net.Conn) {
	defer conn.Close()
	var length [2]byte
	for {
		if _, err := readFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := readFull(conn, query); err != nil {
			return
		}
		answer := n.answer(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func readFull(conn net.Conn, b []byte) (int, error) {
	for n := 0; n < len(b); {
		m, err := conn.Read(b[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return len(b), nil
}

// answer writes a DNS message (RFC 1035) for a query of one question.
func (n *nameServer) answer(query []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	end := 12 + slices.Index(query[12:], 0) + 5
	isA := binary.BigEndian.Uint16(query[end-4:]) == 1
	head := append([]byte(nil), query[:2]...)
	if len(n.addresses) == 0 {
		head = append(head, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0) // it has failed
		return append(head, query[12:end]...)
	}
	answers := n.addresses
	if !isA {
		answers = nil
	}
	head = append(head, 0x81, 0x80, 0, 1, 0, byte(len(answers)), 0, 0, 0, 0)
	head = append(head, query[12:end]...)
	for _, a := range answers {
		four := a.As4()
		head = append(head, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		head = append(head, four[:]...)
	}
	return head
}

// twins serve on one port of two addresses; a twin that is nil does not answer.
func twins(t *testing.T, first, second http.HandlerFunc) (port string) {
	t.Helper()
	for range 20 {
		one, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(one.Addr().String())
		other, err := net.Listen("tcp", "127.0.0.2:"+port)
		if err != nil {
			one.Close()
			continue
		}
		for l, do := range map[net.Listener]http.HandlerFunc{one: first, other: second} {
			if do == nil {
				l.Close()
				continue
			}
			server := httptest.NewUnstartedServer(do)
			server.Listener.Close()
			server.Listener = l
			server.Start()
			t.Cleanup(server.Close)
		}
		return port
	}
	t.Skip("SKIPPED: 127.0.0.2 cannot be used here")
	return ""
}

func endpointsOf(points []probes.Point) (all []string) {
	for _, p := range points {
		all = append(all, p.Series.Dim(plan.ActivationEndpoint))
	}
	slices.Sort(all)
	return all
}

func TestDiscovery(t *testing.T) {
	port := twins(t, text("up 1\nc_total 5\n"), text("up 2\nc_total 5\n"))
	var names nameServer
	names.set("127.0.0.1", "127.0.0.2")
	b := newBench(t, "http://exporters.example./metrics")
	b.deps.DNS = names.resolver(t)
	number, _ := strconv.Atoi(port)
	b.endpoint.Discovery = &plan.ScrapeDNS{Port: uint16(number), Refresh: 90 * time.Second}
	one, two := "http://127.0.0.1:"+port+"/metrics", "http://127.0.0.2:"+port+"/metrics"
	b.expect(probes.StatusOK, "", "k.up gauge,1", "k.up gauge,2")
	asked := names.questions()
	b.expect(probes.StatusOK, "", "k.c count,0", "k.c count,0", "k.up gauge,1", "k.up gauge,2")
	if names.questions() != asked {
		t.Error("the name was looked up before its answer was old")
	}
	names.set("127.0.0.2")
	batch := pollPoints(b)
	if got := endpointsOf(batch); !slices.Equal(got, []string{two, two}) {
		t.Errorf("endpoints %q", got)
	}
	names.set()
	b.clock.now += time.Minute
	b.expect(probes.StatusWarning, "the addresses of the last answer are used", "k.c count,0", "k.up gauge,2")
	names.set("127.0.0.1", "127.0.0.2")
	b.clock.now += 2 * time.Minute
	if got := endpointsOf(pollPoints(b)); !slices.Equal(got, []string{one, two, two}) {
		t.Errorf("endpoints %q", got)
	}
}

func TestDiscoveryWithoutAnAnswer(t *testing.T) {
	var names nameServer
	port := twins(t, text("up 1\n"), nil)
	b := newBench(t, "http://exporters.example.:"+port+"/metrics")
	b.deps.DNS = names.resolver(t)
	b.endpoint.Discovery = &plan.ScrapeDNS{}
	b.expect(probes.StatusDeviceConnectionError, "look up exporters.example.")
	names.set("127.0.0.1", "127.0.0.2")
	b.expect(probes.StatusWarning, "http://127.0.0.2:"+port+"/metrics: ", "k.up gauge,1")
	names.set("127.0.0.2")
	b.expect(probes.StatusDeviceConnectionError, "refused")
	many := make([]string, maxTargets+1)
	for i := range many {
		many[i] = "127.0.1." + strconv.Itoa(i)
	}
	names.set(many...)
	if _, err := b.poll(); err == nil || !strings.Contains(err.Error(), "expected at most 100") {
		t.Error(err)
	}
}

// A target that comes back after it went takes no baselines of an earlier run a
// second time: their growth has been told.
func TestDiscoveryAfterARestart(t *testing.T) {
	port := twins(t, text("c_total 5\n"), text("c_total 5\n"))
	var names nameServer
	names.set("127.0.0.1", "127.0.0.2")
	begin := func() *bench {
		b := newBench(t, "http://exporters.example.:"+port+"/metrics")
		b.deps.DNS = names.resolver(t)
		b.endpoint.Discovery = &plan.ScrapeDNS{}
		return b
	}
	before := begin()
	before.expect(probes.StatusOK, "")
	data, err := before.task.Probe.(probes.Stateful).Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	after := begin()
	after.clock = before.clock
	after.deps.Clock = &after.clock
	tasks, _ := Tasks(after.plan(), []plan.ScrapeEndpoint{after.endpoint}, TaskOptions{}, after.deps)
	after.task = tasks[0]
	if err := after.task.Probe.(probes.Stateful).Restore(data); err != nil {
		t.Fatal(err)
	}
	after.expect(probes.StatusOK, "", "k.c count,0", "k.c count,0")
	names.set("127.0.0.2")
	after.expect(probes.StatusOK, "", "k.c count,0")
	names.set("127.0.0.1", "127.0.0.2")
	after.expect(probes.StatusOK, "", "k.c count,0")
}
