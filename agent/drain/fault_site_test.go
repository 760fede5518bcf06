package drain_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/proxytest"
)

// TestE2ENames has the name server fail, first under a drain that knows the
// address, which then does without, and then under one that does not. It goes
// alone, since the resolver is everybody's.
func TestE2ENames(t *testing.T) {
	const host = "env.example"
	for name, code := range map[string]int32{"NXDOMAIN": drain.NameNone, "SERVFAIL": drain.NameFails, "silence": drain.NameSilent} {
		t.Run(name, func(t *testing.T) {
			if code == drain.NameSilent && os.Getenv("EDGEHOLD_SOAK") == "" {
				t.Skip("takes half a minute; EDGEHOLD_SOAK runs it")
			}
			var rcode atomic.Int32
			before := net.DefaultResolver
			net.DefaultResolver = drain.NameServer(t, &rcode)
			t.Cleanup(func() { net.DefaultResolver = before })
			var target drain.Target
			s := newScene(t, sceneOptions{secure: &draintest.TLS{Names: []string{host}}, change: func(o *drain.Options) {
				o.URL = strings.Replace(o.URL, "127.0.0.1", host, 1)
				target = o.Target
			}})
			s.begin()
			rcode.Store(code)
			breaks(s)
			s.add(4)
			s.until("what comes is delivered to the address of last time", func() bool { return s.drain.State().LinesAccepted == s.points() })

			target.Client = s.client("ca.pem")
			s.drain.Change(target) // knows no address
			s.add(4)
			s.until("the uplink shows that it is down", func() bool {
				state := s.drain.State()
				return isDown(state) && strings.Contains(state.LastError, "DNS") || strings.Contains(state.LastError, "such name")
			})
			s.add(2)
			rcode.Store(drain.NameKnown)
			s.until("all is delivered", func() bool { return s.drain.State().LinesAccepted == s.points() })
			o := s.settle()
			faultRow{}.check(t, o)
		})
	}
}

// client is one of its own, that trusts an authority of the scene's folder.
func (s *scene) client(ca string) *http.Client {
	s.t.Helper()
	client, err := drain.NewClient(drain.ClientOptions{CAFile: filepath.Join(filepath.Dir(s.path), ca), Time: s.now})
	s.must(err)
	s.t.Cleanup(client.CloseIdleConnections)
	return client
}

// TestE2ESpread lets the environment be gone for nearly an hour, which no change
// of the link explains, so that this site has to wait with its backlog. Live
// points do not, nor what would be too old by then.
func TestE2ESpread(t *testing.T) {
	t.Parallel()
	site, number := "", 0
	for ; drain.Spread(site) < 50*time.Second; number++ {
		site = fmt.Sprintf("site %d", number)
	}
	s := newScene(t, sceneOptions{secure: &draintest.TLS{}, change: func(o *drain.Options) { o.Site = site }})
	s.begin()
	s.env.Refuse()
	s.add(1)
	s.until("the uplink shows that it is down", func() bool { return isDown(s.drain.State()) })
	s.pass(57*time.Minute+30*time.Second, 30*time.Second)
	urgent, live := s.between(57*time.Minute+15*time.Second, time.Hour)-s.early, s.between(0, 110*time.Second)
	if urgent < sceneSeries || live < sceneSeries {
		t.Fatalf("%d points are urgent, %d live", urgent, live)
	}
	s.must(s.env.Restore())
	s.until("live and urgent points are there", func() bool { return s.drain.State().LinesAccepted >= s.early+urgent+live })
	s.until("the drain rests", func() bool { return s.drain.State().State == drain.Idle })
	state := s.drain.State()
	if rest := s.points() - state.LinesAccepted; state.SpreadUntil.IsZero() || rest < s.between(3*time.Minute, 56*time.Minute) {
		t.Errorf("%d points wait until %v", rest, state.SpreadUntil)
	}
	s.shift.Add(int64(drain.Spread(site) + time.Second))
	s.drain.Wake()
	s.until("all is delivered", func() bool { return s.drain.State().LinesAccepted == s.points() })
	faultRow{}.check(t, s.settle())
}

const fullDiskVariable = "EDGEHOLD_DRAIN_TEST_DISK"

// onSmallDisk runs the test again in namespaces where temporary folders lie on a
// small disk, which it gives there. It needs no root.
func onSmallDisk(t *testing.T) (dir string) {
	t.Helper()
	if dir = os.Getenv(fullDiskVariable); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir = t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fullDiskVariable+"="+dir, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: no user namespace can be made here (%v), full disks are not tested", err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v", err)
	}
	t.Log(out.String())
	return ""
}

// TestE2EDiskFull fills the disk while a backlog is drained. What was sent and
// cannot be noted as sent must not be sent again.
func TestE2EDiskFull(t *testing.T) {
	t.Parallel()
	dir := onSmallDisk(t)
	if dir == "" {
		return
	}
	s := newScene(t, sceneOptions{secure: &draintest.TLS{}})
	s.begin()
	s.proxy.Refuse()
	breaks(s)
	s.add(60)
	s.must(s.proxy.Restore())
	s.proxy.SetBoth(proxytest.Way{Rate: 60_000}) // the drain shall last
	foreign := filepath.Join(dir, "foreign")
	s.until("the drain goes", func() bool { return s.drain.State().LinesAccepted > s.early })
	if err := os.WriteFile(foreign, make([]byte, 32<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the foreign file: %v", err)
	}
	for n := 0; s.store.Stat().Alarm == ""; n++ { // until what is reserved is full too
		s.last = max(s.last+1, s.now().UnixMilli())
		s.store.Enqueue(sceneBatch(s.random, s.last))
		s.stamps = append(s.stamps, s.last)
		if n > 2000 {
			t.Fatal("the disk is never full")
		}
		time.Sleep(5 * time.Millisecond) // the pace of the load
	}
	before := s.drain.State().LinesAccepted
	s.until("the drain goes on with a full disk, or shows that it cannot", func() bool {
		return s.drain.State().LinesAccepted > before || isDown(s.drain.State())
	})
	t.Logf("state with a full disk: %+v, alarm %q", s.drain.State(), s.store.Stat().Alarm)
	s.must(os.Remove(foreign))
	s.until("all is delivered", func() bool { return s.drain.State().LinesAccepted == s.points() })
	s.until("the alarm ends", func() bool { return s.store.Stat().Alarm == "" })
	faultRow{}.check(t, s.settle())
}
