package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/ntp"
	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

func TestAgreed(t *testing.T) {
	at := func(off, e time.Duration) Reading {
		return Reading{Source: NTP, Time: today.Add(off), Uptime: time.Minute, Error: e}
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		readings []Reading
		want     time.Duration // the offset of the one chosen
		err      bool
	}{
		{"one", []Reading{at(0, ms)}, 0, false},
		{"two agree, the more exact counts", []Reading{at(5*ms, 20*ms), at(0, 10*ms)}, 0, false},
		{"two differ", []Reading{at(0, ms), at(time.Hour, ms)}, 0, true},
		{"one of three is false", []Reading{at(time.Hour, ms), at(0, 10*ms), at(ms, 20*ms)}, 0, false},
		{"all of three differ", []Reading{at(0, ms), at(time.Hour, ms), at(2*time.Hour, ms)}, 0, true},
		{"two against two", []Reading{at(0, ms), at(0, ms), at(time.Hour, ms), at(time.Hour, ms)}, 0, true},
		{"none", nil, 0, true},
	} {
		got, err := agreed(c.readings)
		if (err != nil) != c.err || err == nil && got.Time.Sub(today) != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestServersAreAskedAtTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, false), Options{NTPServers: []string{"a", "b"}})
		var mu sync.Mutex
		var moments []time.Duration
		asked := func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(moments)
		}
		start := time.Now()
		var answers atomic.Bool
		r.query = func(_ context.Context, server string) (Reading, error) {
			if server == "b" {
				return Reading{}, fmt.Errorf("ask b: %w", ntp.ErrKissOfDeath)
			}
			mu.Lock()
			moments = append(moments, time.Since(start))
			mu.Unlock()
			if !answers.Load() {
				return Reading{}, errors.New("a is silent")
			}
			return r.ntp(0), nil
		}
		r.run()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		var want []time.Duration
		for _, seconds := range []time.Duration{0, 2, 6, 14, 30, 62, 126, 190, 254} {
			want = append(want, seconds*time.Second)
		}
		if got := asked(); !slices.Equal(got, want) {
			t.Fatalf("asked after %v, want %v", got, want)
		}
		r.warned("a is silent", "b asked for silence")
		answers.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := r.State(); s.Source != NTP || !s.Trusted {
			t.Fatalf("state %+v", s)
		}
		r.warned()
		n := len(asked())
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if more := len(asked()) - n; more < 9 || more > 11 {
			t.Errorf("asked %d times in ten hours", more)
		}
	})
}

func TestServersContradict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, false), Options{NTPServers: []string{"a", "b"}})
		r.query = func(_ context.Context, server string) (Reading, error) {
			return r.ntp(map[string]time.Duration{"b": time.Hour}[server]), nil
		}
		r.run()
		if r.Trusted() {
			t.Error("one of two servers that differ was believed")
		}
		r.warned("contradict")
	})
}

// responder answers SNTP requests on loopback with a packet that spoil may
// change.
func responder(t *testing.T, off time.Duration, spoil func(packet []byte)) string {
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
			packet := sntp(request[:48], time.Now().Add(off))
			if spoil != nil {
				spoil(packet)
			}
			_, _ = conn.WriteTo(packet, from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// sntp is a server's answer: RFC 5905, figure 8.
func sntp(request []byte, now time.Time) []byte {
	p := make([]byte, 48)
	p[0], p[1], p[2], p[3] = 4<<3|4, 2, 6, 0xec // version 4, server; stratum 2
	stamp := func(at int, t time.Time) {
		binary.BigEndian.PutUint32(p[at:], uint32(t.Unix()+2208988800))
		binary.BigEndian.PutUint32(p[at+4:], uint32(uint64(t.Nanosecond())<<32/1e9))
	}
	stamp(16, now.Add(-time.Minute))
	copy(p[24:32], request[40:48])
	stamp(32, now)
	stamp(40, now)
	return p
}

// deaf is this machine with a kernel that knows of no time daemon.
type deaf struct{ boardMachine }

func (deaf) NTP() (board.NTPState, error) { return board.NTPState{}, nil }

// realRig is a clock on this machine's real clocks, with a kernel that is
// silent, so that NTP alone can be believed.
func realRig(t *testing.T, servers ...string) *Clock {
	t.Helper()
	m := deaf{boardMachine{boot: probes.BootID{1}}}
	c, err := New(Options{Machine: m, Floor: built, NTPServers: servers, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSNTP(t *testing.T) {
	if time.Now().Before(built) {
		t.Skip("SKIPPED: the clock of this machine is before the floor of the tests")
	}
	for _, off := range []time.Duration{0, 3 * time.Hour, -20 * time.Minute} {
		c := realRig(t, responder(t, off, nil))
		c.askServers(t.Context(), map[string]time.Duration{})
		s := c.State()
		if !s.Trusted || s.Source != NTP || len(s.Warnings) > 0 {
			t.Fatalf("state %+v", s)
		}
		if (s.SystemOff + off).Abs() > s.Error+50*time.Millisecond {
			t.Errorf("server off by %v: the system seems off by %v", off, s.SystemOff)
		}
	}
}

func TestSNTPFaults(t *testing.T) {
	for name, spoil := range map[string]func(p []byte){
		"kiss of death": func(p []byte) { p[1] = 0; copy(p[12:], "RATE") },
		"not synced":    func(p []byte) { p[0] |= 3 << 6 },
		"stratum 16":    func(p []byte) { p[1] = 16 },
		"another's":     func(p []byte) { p[24]++ },
		"a client":      func(p []byte) { p[0] = 4<<3 | 3 },
		"no time":       func(p []byte) { clear(p[32:48]) },
		"far root":      func(p []byte) { p[8] = 0xff },
		"before floor": func(p []byte) {
			copy(p[16:24], "\xbc\x17\xc2\x00\x00\x00\x00\x00")
			copy(p[32:40], p[16:24])
			copy(p[40:48], p[16:24])
		}, // 2000
		"stale reference": func(p []byte) { copy(p[16:24], "\xbc\x17\xc2\x00\x00\x00\x00\x00") },
	} {
		t.Run(name, func(t *testing.T) {
			server := responder(t, 0, spoil)
			c := realRig(t, server)
			if r, err := c.query(t.Context(), server); err == nil && c.Offer(r) == nil {
				t.Errorf("believed: %+v", r)
			}
			if c.Trusted() {
				t.Error("trusted")
			}
		})
	}
}

// TestE2EChrony asks a real NTP server.
func TestE2EChrony(t *testing.T) {
	chronyd := findChrony(t)
	port := freePort(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "chrony.conf")
	text := fmt.Sprintf("local stratum 3\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport %d\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\ndriftfile %s/drift\n", port, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	said := func() string {
		text, _ := os.ReadFile(out.Name())
		return string(text)
	}
	cmd := exec.Command(chronyd, "-d", "-x", "-u", "root", "-f", conf) // -x: leaves this machine's clock alone
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: chronyd does not start: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	c := realRig(t, fmt.Sprintf("127.0.0.1:%d", port))
	deadline := time.Now().Add(30 * time.Second)
	for !c.Trusted() {
		c.askServers(t.Context(), map[string]time.Duration{})
		select {
		case <-ended:
			t.Fatalf("chronyd ended: %s", said())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("never trusted: %+v; %s", c.State(), said())
		}
	}
	if s := c.State(); s.Source != NTP || s.SystemOff.Abs() > s.Error+50*time.Millisecond {
		t.Errorf("state %+v", s)
	}
}

func findChrony(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chronyd", "/usr/sbin/chronyd"} {
		if path, err := exec.LookPath(name); err == nil && os.Geteuid() == 0 {
			return path
		}
	}
	t.Skip("SKIPPED: chronyd is not installed, or this is not root")
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}
