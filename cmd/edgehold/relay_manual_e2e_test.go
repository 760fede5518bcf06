package main_test

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// daemons are commands of the page that run until its end.
var daemons = []string{"mosquitto -c ", "edgehold relay --config ", "edgehold run --config "}

// relayWalk follows the page about the relay.
type relayWalk struct {
	*walker
	mosquitto string // path of the program, which not everybody has in the path
	running   []*process
}

// walk gives the commands of a step, or starts what goes on.
func (w *relayWalk) walk(s manualStep) {
	w.t.Helper()
	for _, d := range daemons {
		if strings.HasPrefix(s.commands, d) {
			name := strings.ReplaceAll(strings.Join(strings.Fields(d)[:2], "-"), "/", "-") + ".log"
			w.running = append(w.running, launch(w.t, w.shell("exec "+strings.Replace(s.commands, "mosquitto ", w.mosquitto+" ", 1)), filepath.Join(w.home, name)))
			return
		}
	}
	if strings.HasPrefix(s.commands, "edgehold relay sites ") || strings.HasPrefix(s.commands, "edgehold relay probe ") {
		w.lookFor(s) // what was started before it may need a moment
		return
	}
	w.walker.walk(s)
}

// serveTime answers SNTP requests with this machine's time, as RFC 5905 has it.
func serveTime(t *testing.T) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(request)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			now := time.Now()
			p := make([]byte, 16, 48)
			p[0], p[1], p[2], p[3] = 4<<3|4, 2, 6, 0xec // version 4, server; stratum 2
			p = ntpStamp(p, now.Add(-time.Minute))
			p = append(p, request[40:48]...)
			_, _ = conn.WriteTo(ntpStamp(ntpStamp(p, now), now), from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

func ntpStamp(p []byte, t time.Time) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(t.Unix()+2208988800))
	return binary.BigEndian.AppendUint32(p, uint32(uint64(t.Nanosecond())<<32/1e9))
}

// TestE2ERelayManual goes from nothing to points at the environment, with the
// commands of the page and a real broker.
func TestE2ERelayManual(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 20 seconds")
	}
	t.Parallel()
	home, err := os.MkdirTemp("", "eh") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	device := newSwitch(t, "127.0.0.1", goodCommunity).Addr()
	env := newEnvironment(t)
	w := &relayWalk{mosquitto: mqtttest.Need(t, "mosquitto"), walker: &walker{
		t: t, dir: home, home: home, plain: func(text string) string { return text },
		variables: []string{"DT_URL=" + env.URL(), "DT_TOKEN=" + goodToken, "COMMUNITY=" + goodCommunity},
	}}
	examples, err := filepath.Abs("../../packaging/examples")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	here := strings.NewReplacer("ntp: [127.0.0.1]", "ntp: ['"+serveTime(t)+"']", "/usr/share/doc/edgehold/examples", examples, "192.0.2.10", device,
		"localhost:8883", "localhost:"+port, "|listener 8883 127.0.0.1|", "|listener "+port+" 127.0.0.1|")
	steps := manualSteps(t, "relay.md")
	if len(steps) < 13 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps {
		s.commands, s.says = here.Replace(s.commands), here.Replace(s.says)
		if os.Geteuid() == 0 && strings.Contains(s.commands, "> broker/mosquitto.conf") {
			s.commands += "echo user root >> broker/mosquitto.conf\n" // else it changes to one that may not read the folder
		}
		w.walk(s)
	}
	t.Cleanup(func() {
		if t.Failed() {
			r := finish(t, w.shell("edgehold status --config site.yaml; edgehold relay sites --config relay.yaml; edgehold status --config relay.yaml"))
			t.Logf("in the end:\n%s", r.all())
		}
	})
	eventually(t, "points of the site to arrive by the relay", func() bool {
		return len(linesOf(t, env, func(l draintest.Line) bool { return uptimesOf(device)(l) && dim(l, "site") == "plant-7" })) > 0
	})
	for i := len(w.running) - 1; i >= 0; i-- {
		w.running[i].end(syscall.SIGTERM).mustSay(t, 0)
	}
}
