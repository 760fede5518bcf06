package emulated

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

const (
	configPath = "/etc/edgehold/edgehold.yaml"
	socketPath = "/run/edgehold.sock"
	storePath  = "/data/state/edgehold.db"
	standAddr  = "127.0.0.1:8080"
	token      = "dt0c01.EMULATED.NOT-A-SECRET"
	community  = "emulated"
)

const siteHead = `site: emulated
state_dir: /data/state
socket: ` + socketPath + `
uplink:
  dynatrace:
    url: http://` + standAddr + `
    token_file: /etc/edgehold/token
    resolution: full
buffer:
  commit_interval: 1s
credentials:
  site: {community_file: /etc/edgehold/community}
`

const sitePolls = `probes:
  - {kind: snmp, devices: [127.0.0.2, 127.0.0.3, 127.0.0.4], credentials: [site], interval: 1s}
`

// account is what the agent says of its store.
type account struct {
	Accepted   int64 `json:"accepted"`
	Buffered   int64 `json:"buffered"`
	Delivered  int64 `json:"delivered"`
	Late       int64 `json:"late"`
	DeadLetter int64 `json:"dead_letter"`
	Evicted    int64 `json:"evicted"`
	Damaged    int64 `json:"damaged"`
	Purged     int64 `json:"purged"`
	Pending    int64 `json:"pending"`
}

func (a account) sum() int64 {
	return a.Buffered + a.Delivered + a.Late + a.DeadLetter + a.Evicted + a.Damaged + a.Purged
}

// judge holds what the store has after a cut against what was acknowledged
// before, and what the environment has taken.
func judge(before, after account, taken draintest.Counts) (findings []string) {
	add := func(bad bool, format string, args ...any) {
		if bad {
			findings = append(findings, fmt.Sprintf(format, args...))
		}
	}
	add(after.Accepted < before.Accepted, "%d points were acknowledged, the store knows of %d", before.Accepted, after.Accepted)
	add(after.sum() != after.Accepted, "the account does not add up: %+v", after)
	add(after.Delivered > int64(taken.Distinct), "%d points are said to be delivered, the environment has %d", after.Delivered, taken.Distinct)
	add(after.Damaged+after.Evicted+after.DeadLetter+after.Late+after.Purged > 0, "points went astray: %+v", after)
	return findings
}

// site is an agent with its switches in a machine that loses its power. The
// environment is on the host and stays.
type site struct {
	t         *testing.T
	arch      string
	agentFile []byte // the agent's binary
	disk      Disk
	modules   []string                          // beside those of the disk
	args      []string                          // for QEMU
	config    string                            // beside the usual one
	cut       func(g *Guest, writes int) string // takes the power after so many writes more, and says what became of them
	random    *rand.Rand
	env       *draintest.Server

	acked account // said before the last cut
	agent *Process
	said  *Process
}

// environment is a stand-in that takes metrics, on the host.
func environment(t *testing.T) *draintest.Server {
	t.Helper()
	env := draintest.NewMetrics(draintest.Options{Token: token, KeepLines: true})
	if _, err := env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close() })
	return env
}

func newSite(t *testing.T, arch string) *site {
	t.Helper()
	s := &site{t: t, arch: arch, agentFile: shipped(t, arch), random: dice(t), env: environment(t)}
	t.Cleanup(func() {
		if t.Failed() && s.agent != nil {
			text := s.agent.Output()
			t.Logf("the agent said last:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return s
}

// start boots. It gives what is wrong with the disk and the store.
func (s *site) start() (g *Guest, findings []string) {
	s.t.Helper()
	g = boot(s.t, Machine{Arch: s.arch, Modules: append(diskModules(), s.modules...), Disks: []Disk{s.disk}, Args: s.args, Files: map[string][]byte{
		"/bin/edgehold":           s.agentFile,
		"/etc/edgehold/token":     []byte(token),
		"/etc/edgehold/community": []byte(community),
		configPath:                []byte(siteHead + s.config + sitePolls),
	}})
	if text := tries(s.t, g, "/init", "mount", "/dev/vda", "/data", "ext4"); text != "" {
		return g, []string{"the disk cannot be mounted: " + text}
	}
	if s.acked == (account{}) {
		return g, nil
	}
	return g, s.verify(g)
}

// verify has the agent's own command read the whole store.
func (s *site) verify(g *Guest) []string {
	s.t.Helper()
	r, err := g.Run(limit(s.t, patience), "/bin/edgehold", "buffer", "verify", "--json", "--quiet", "--file", storePath)
	if err != nil {
		s.t.Fatalf("verify: %v\n%s", err, g.Console())
	}
	if r.Exit != 0 {
		return []string{"the store is not whole: " + r.Out}
	}
	a := parse[struct{ Account account }](s.t, r.Out).Account
	s.t.Logf("the store is whole, with %d points accepted", a.Accepted)
	return judge(s.acked, a, s.env.Counts())
}

// run starts the switches and the agent, with or without a link, and listens to
// the account. The clock is right and known to be: a point of a boot that never
// learned the time would rightly become late with the next.
func (s *site) run(g *Guest, linked bool) {
	s.t.Helper()
	must(s.t, g, "/init", "synced")
	switches := begin(s.t, g, Command{Args: []string{"/init", "switches", "3", community}})
	eventually(s.t, "the switches", func() bool { return switches.LastLine() == "ready" })
	if linked {
		forward(s.t, g, s.env.URL())
	}
	s.agent = begin(s.t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}, Memory: memoryLimit})
	s.said = begin(s.t, g, Command{Args: []string{"/init", "accounts", socketPath}})
}

// forward leads the agent's connections to an environment on the host.
func forward(t *testing.T, g *Guest, to string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.Forward(standAddr, u.Host)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link", func() bool { return l.LastLine() == "listening" })
}

// account is what the agent has said last.
func (s *site) account() account {
	s.t.Helper()
	return parse[account](s.t, s.said.LastLine())
}

// work lets the agent commit some, and cuts the power at a random moment.
func (s *site) work(g *Guest) {
	s.t.Helper()
	before := s.acked.Accepted
	eventually(s.t, "a commit", func() bool { return s.account().Accepted > before })
	<-time.After(time.Duration(s.random.Int64N(int64(3 * time.Second))))
	became := s.cut(g, s.random.IntN(mostWrites))
	s.acked = s.account()
	s.t.Logf("cut: %d points had been acknowledged, %d of them delivered; %s", s.acked.Accepted, s.acked.Delivered, became)
}

// drain ends the polling and counts both sides. A point whose delivery was not
// yet written down when the power went comes twice, with the same value.
func (s *site) drain(g *Guest) {
	s.t.Helper()
	eventually(s.t, "the agent", func() bool { return s.account().Accepted > 0 })
	must(s.t, g, "/init", "put", configPath, siteHead+s.config)
	must(s.t, g, "/bin/edgehold", "reload", "--config", configPath)
	eventually(s.t, "the store to be empty", func() bool {
		a := s.account()
		return a.Buffered == 0 && a.Pending == 0
	})
	a, taken := s.account(), s.env.Counts()
	s.t.Logf("drained: accepted %d, taken %d, of them more than once %d", a.Accepted, taken.Distinct, taken.Duplicates)
	if int64(taken.Distinct) != a.Accepted || taken.Conflicts+taken.Refused != 0 || a.Delivered != a.Accepted || a.Accepted < s.acked.Accepted {
		s.t.Errorf("the two sides differ: account %+v, taken %+v", a, taken)
	}
}

// tries runs a program, and gives what it said when it failed.
func tries(t *testing.T, g *Guest, args ...string) string {
	t.Helper()
	r, err := g.Run(limit(t, patience), args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, g.Console())
	}
	if r.Exit != 0 {
		return "exit " + fmt.Sprint(r.Exit) + ": " + r.Out
	}
	return ""
}
