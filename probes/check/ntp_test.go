package check

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// serveNTP answers with a clock that is off, and a packet that spoil may change.
func serveNTP(t *testing.T, off time.Duration, spoil func(p []byte)) string {
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
			p := sntp(request, time.Now().Add(off))
			if spoil != nil {
				spoil(p)
			}
			_, _ = conn.WriteTo(p, from)
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

func askNTP(t *testing.T, server string, deps probes.Deps, most time.Duration) (values, error) {
	t.Helper()
	return poll(t, made(t, "ntp_check", deps, func(o *NTPOptions) { o.Server, o.MaxOffset, o.Timeout = server, probes.Duration(most), ms(3000) }))
}

func TestNTPOffset(t *testing.T) {
	for _, off := range []time.Duration{0, 90 * time.Second, -2 * time.Hour} {
		server := serveNTP(t, off, nil)
		got, err := askNTP(t, server, probes.Deps{}, 0)
		want(t, got, err, 1, probes.StatusOK)
		// The true offset is within half of the delay.
		if math.Abs(got["ntp.offset"]-milliseconds(off)) > got["ntp.delay"]/2+1 || got["ntp.stratum"] != 2 || got["duration"] < got["ntp.delay"] {
			t.Errorf("off by %v: %v", off, got)
		}
		if off == 0 {
			continue
		}
		got, err = askNTP(t, server, probes.Deps{}, time.Minute)
		want(t, got, err, 0, probes.StatusGenericError, "off this machine's, more than 1m0s")
		got, err = askNTP(t, server, probes.Deps{Clock: &turnClock{guess: true}}, time.Minute)
		want(t, got, err, 1, probes.StatusWarning, "whose clock is not trusted yet")
		got, err = askNTP(t, server, probes.Deps{}, 3*time.Hour)
		want(t, got, err, 1, probes.StatusOK)
	}
}

func TestNTPFaults(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(p []byte)
		words string
	}{
		"silence":    {func(p []byte) { p[1] = 0; copy(p[12:], "RATE") }, "asks to be left alone (RATE)"},
		"not synced": {func(p []byte) { p[0] |= 3 << 6 }, "not kept by anybody"},
		"stratum":    {func(p []byte) { p[1] = 16 }, "not kept by anybody"},
		"another's":  {func(p []byte) { p[24]++ }, "none of NTP that counts"},
		"a client":   {func(p []byte) { p[0] = 4<<3 | 3 }, "none of NTP that counts"},
		"far root":   {func(p []byte) { p[8] = 0xff }, "does not count"},
	} {
		got, err := askNTP(t, serveNTP(t, 0, c.spoil), probes.Deps{}, 0)
		want(t, got, err, 0, probes.StatusGenericError, c.words)
		if _, told := got["ntp.offset"]; told || t.Failed() {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	task := made(t, "ntp_check", probes.Deps{}, func(o *NTPOptions) { o.Server, o.Timeout = conn.LocalAddr().String(), ms(100) })
	got, err := poll(t, task)
	want(t, got, err, 0, probes.StatusGenericError, "no answer within 100ms")
	conn.Close()
	got, err = askNTP(t, conn.LocalAddr().String(), probes.Deps{}, 0)
	want(t, got, err, 0, probes.StatusGenericError, "the connection is refused")
	if len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestE2EChrony asks a real server.
func TestE2EChrony(t *testing.T) {
	chronyd, err := exec.LookPath("chronyd")
	if err != nil {
		chronyd, err = exec.LookPath("/usr/sbin/chronyd")
	}
	if err != nil || os.Geteuid() != 0 {
		t.Skip("SKIPPED: chronyd is not installed, or this is not root")
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	server := free.LocalAddr().String()
	_, port, _ := net.SplitHostPort(server)
	dir := t.TempDir()
	conf := filepath.Join(dir, "chrony.conf")
	text := fmt.Sprintf("local stratum 3\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport %s\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\ndriftfile %s/drift\n", port, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command(chronyd, "-d", "-x", "-u", "root", "-f", conf) // -x: leaves this machine's clock alone
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: chronyd does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	task := made(t, "ntp_check", probes.Deps{}, func(o *NTPOptions) { o.Server, o.MaxOffset, o.Timeout = server, ms(1000), ms(1000) })
	var got values
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if got, err = poll(t, task); err == nil {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	want(t, got, err, 1, probes.StatusOK)
	if math.Abs(got["ntp.offset"]) > got["ntp.delay"]/2+1 || got["ntp.stratum"] != 3 {
		t.Errorf("%v", got)
	}
}

func TestNTPOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *NTPOptions)
		want   string
	}{
		{"right", func(*NTPOptions) {}, ""},
		{"nothing", func(o *NTPOptions) { o.Server = "" }, "server: "},
		{"offset", func(o *NTPOptions) { o.MaxOffset = -1 }, "max_offset: "},
	} {
		o := ntpKind().Options().(*NTPOptions)
		o.Server = "ntp.example.com"
		c.change(o)
		checkErrors(t, c.name, o.Check(), c.want)
	}
}
