package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// stampsOf are the timestamps of the polls of one device that arrived, sorted.
func stampsOf(t *testing.T, env *draintest.Server, addr string) []int64 {
	t.Helper()
	var stamps []int64
	for _, l := range linesOf(t, env, uptimesOf(addr)) {
		stamps = append(stamps, l.Timestamp)
	}
	slices.Sort(stamps)
	return stamps
}

// wantGrid fails where a poll is missing or off the grid of its interval.
func wantGrid(t *testing.T, stamps []int64, interval time.Duration) {
	t.Helper()
	if len(stamps) < 3 {
		t.Fatalf("only %d polls arrived", len(stamps))
	}
	step := interval.Milliseconds()
	for i := 1; i < len(stamps); i++ {
		if gap := stamps[i] - stamps[i-1]; gap > step*3/2 {
			t.Errorf("%d ms without a poll after %d, the interval is %d ms", gap, stamps[i-1], step)
		}
		// A poll that starts late on a busy machine may be off by less than half.
		if off := math.Abs(float64(stamps[i]-stamps[0]) - float64(i)*float64(step)); off > float64(step)/2 {
			t.Errorf("poll %d is %v ms off the grid", i, off)
		}
	}
}

func TestE2EReload(t *testing.T) {
	t.Parallel()
	const interval = 2 * time.Second
	env := newEnvironment(t)
	steady, changed := newSwitch(t, "127.0.1.1", goodCommunity).Addr(), newSwitch(t, "127.0.1.2", goodCommunity).Addr()
	s := newSite(t)
	s.yaml(env.URL(), "probes:\n", polled("1s", changed), polled("2s", steady))
	s.start()
	more := func(addr string, n int) {
		t.Helper()
		from := len(stampsOf(t, env, addr))
		eventually(t, fmt.Sprintf("%d more polls of %s to arrive", n, addr), func() bool { return len(stampsOf(t, env, addr)) >= from+n })
	}
	more(steady, 2)

	s.yaml(env.URL(), "probes:\n", polled("3s", changed), polled("2s", steady))
	edgehold(t, "reload", "--config", s.config).mustSay(t, 0, "reloaded")
	st := s.status()
	if got := deviceOf(t, st, changed).IntervalS; got != 3 {
		t.Errorf("the interval is %v s after the reload, want 3", got)
	}
	if d := deviceOf(t, st, steady); d.Polls < 2 {
		t.Errorf("the task of the unchanged device began anew: %+v", d)
	}
	loaded := st.Config
	more(steady, 2)

	s.yaml(env.URL(), "poling: {}\nprobes:\n", strings.ReplaceAll(polled("3s", changed), "3s", "soon"), polled("2s", steady))
	edgehold(t, "reload", "--config", s.config).mustSay(t, 78, "edgehold.yaml:", "probes[0].interval: ", "unknown key", `did you mean "polling"?`)
	st = s.status()
	wantRefused(t, st, loaded, `did you mean "polling"?`)
	edgehold(t, "status", "--config", s.config).mustSay(t, 0, "ALARM", "the last reload was refused", `did you mean "polling"?`)

	s.yaml(env.URL(), "sitee: x\nprobes:\n", polled("3s", changed), polled("2s", steady))
	s.agent.signal(syscall.SIGHUP)
	st = s.await("the reload on SIGHUP to be refused", func(st control.Status) bool {
		return strings.Contains(st.Config.LastError, `did you mean "site"?`)
	})
	wantRefused(t, st, loaded, `did you mean "site"?`)
	more(steady, 2)

	s.yaml(env.URL(), "probes:\n", polled("2s", steady))
	s.agent.signal(syscall.SIGHUP)
	st = s.await("the reload on SIGHUP to be taken", func(st control.Status) bool { return st.Config.Hash != loaded.Hash })
	if st.Config.LastError != "" || len(st.Devices) != 1 {
		t.Errorf("after a good file: error %q, devices %+v", st.Config.LastError, st.Devices)
	}
	more(steady, 2)
	if d := deviceOf(t, s.status(), steady); d.Skipped != 0 {
		t.Errorf("%d polls of the unchanged device were skipped", d.Skipped)
	}
	wantGrid(t, stampsOf(t, env, steady), interval)
}

// wantRefused fails unless the configuration from before a reload runs on.
func wantRefused(t *testing.T, st control.Status, before control.ConfigState, words string) {
	t.Helper()
	if st.Config.Hash != before.Hash || !st.Config.LoadedAt.Equal(before.LoadedAt) {
		t.Errorf("a bad file was taken: %+v, before %+v", st.Config, before)
	}
	if !strings.Contains(st.Config.LastError, words) {
		t.Errorf("last_error is %q, want %q in it", st.Config.LastError, words)
	}
	if len(st.Devices) != 2 {
		t.Errorf("%d devices run on, want 2", len(st.Devices))
	}
}

// snmpd runs net-snmp's agent for both versions and returns its address.
func snmpd(t *testing.T) string {
	t.Helper()
	path := "/usr/sbin/snmpd" // not on everybody's PATH
	if found, err := exec.LookPath("snmpd"); err == nil {
		path = found
	} else if _, err := os.Stat(path); err != nil {
		t.Skip("SKIPPED: snmpd is not installed (package snmpd)")
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	_ = conn.Close()
	dir := t.TempDir()
	conf := "agentAddress udp:" + addr + "\nrocommunity " + goodCommunity + " 127.0.0.1\nsysName real\nsysLocation Hall 3\n"
	if err := os.WriteFile(filepath.Join(dir, "snmpd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-f", "-C", "-c", filepath.Join(dir, "snmpd.conf"), "-Lo")
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	launch(t, cmd, filepath.Join(dir, "snmpd.log"))
	eventually(t, "snmpd to answer", func() bool {
		_, err := snmpGet(t, addr, "-v2c", "1.3.6.1.2.1.1.3.0")
		return err == nil
	})
	return addr
}

// snmpGet asks with net-snmp's tool and returns the bare values.
func snmpGet(t *testing.T, addr, version string, oids ...string) ([]string, error) {
	t.Helper()
	path, err := exec.LookPath("snmpget")
	if err != nil {
		t.Skip("SKIPPED: snmpget is not installed (package snmp)")
	}
	cmd := exec.Command(path, append([]string{"-c", goodCommunity, version, "-t", "5", "-m", "", "-Onetqv", addr}, oids...)...)
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, v := range values {
		values[i] = strings.Trim(strings.TrimSpace(v), `"`)
	}
	return values, nil
}

// jsonPoint is what `poll --json` prints of one point.
type jsonPoint struct {
	Key        string            `json:"key"`
	Type       string            `json:"type"`
	Dimensions map[string]string `json:"dimensions"`
	Value      float64           `json:"value"`
}

func pollJSON(t *testing.T, args ...string) (points []jsonPoint) {
	t.Helper()
	r := edgehold(t, append([]string{"poll", "--json"}, args...)...)
	r.mustSay(t, 0)
	for line := range strings.Lines(r.out) {
		var p jsonPoint
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		points = append(points, p)
	}
	return points
}

func TestE2ERealDevice(t *testing.T) {
	t.Parallel()
	addr := snmpd(t)
	s := newSite(t)
	for version, flags := range map[string][]string{"-v2c": nil, "-v1": {"--version", "v1"}} {
		args := append([]string{addr, "--community-file", filepath.Join(s.dir, "community"), "--feature-sets", "interfaces-all"}, flags...)
		wantGauges(t, addr, version, args)
		r := edgehold(t, append([]string{"poll", "--wait", "2s"}, args...)...)
		r.mustSay(t, 0)
		wantLines(t, r.out)
	}
	env := newEnvironment(t)
	s.yaml(env.URL(), "probes:\n", polled("1s", addr))
	first := s.start()
	deltas := func(stamp int64) int {
		return len(linesOf(t, env, func(l draintest.Line) bool {
			return l.Type == draintest.Count && l.Timestamp == stamp && dim(l, "device.address") == "127.0.0.1"
		}))
	}
	arrive := func(after int64) (stamps []int64) {
		t.Helper()
		eventually(t, "two polls of snmpd to arrive", func() bool {
			stamps = stampsOf(t, env, addr)
			return len(stamps) > 2 && stamps[len(stamps)-2] > after
		})
		i := slices.IndexFunc(stamps, func(stamp int64) bool { return stamp > after })
		return stamps[i:]
	}
	stamps := arrive(0)
	if n := deltas(stamps[0]); n != 0 {
		t.Errorf("the very first poll gave %d deltas, want none", n)
	}
	if deltas(stamps[1]) == 0 {
		t.Error("the second poll gave no deltas")
	}
	told := time.Now()
	if r := first.end(syscall.SIGTERM); r.code != 0 || time.Since(told) > patience/4 || !strings.Contains(r.err, "edgehold has stopped") {
		t.Errorf("SIGTERM: exit code %d after %v\n%s", r.code, time.Since(told), first.tail())
	}
	stopped := apart(t)
	s.start()
	if stamps = arrive(stopped); deltas(stamps[0]) == 0 {
		t.Error("the first poll after a planned restart gave no deltas: the baselines were lost")
	}
	s.agent.end(syscall.SIGKILL)
	killed := apart(t)
	s.start()
	if stamps = arrive(killed); deltas(stamps[0]) != 0 {
		t.Error("the first poll after a kill gave deltas: old baselines were used a second time")
	}
	if deltas(stamps[1]) == 0 {
		t.Error("the second poll after a kill gave no deltas")
	}
}

// apart gives a moment that lies between the polls of the process that has just
// ended and those of the next: the agent's clock, which follows the
// environment's whole seconds, and this one may differ by some.
func apart(t *testing.T) int64 {
	t.Helper()
	ended := time.Now()
	eventually(t, "two seconds to pass", func() bool { return time.Since(ended) > 2*time.Second })
	return ended.Add(time.Second).UnixMilli()
}

// wantGauges compares what `poll` prints with net-snmp's own reading.
func wantGauges(t *testing.T, addr, version string, args []string) {
	t.Helper()
	columns := map[string]string{ // dimension -> column of ifTable, ifXTable
		"if.name": "1.3.6.1.2.1.31.1.1.1.1", "if.idx": "1.3.6.1.2.1.2.2.1.1", "if.descr": "1.3.6.1.2.1.2.2.1.2",
		"if.mtu": "1.3.6.1.2.1.2.2.1.4", "if.speed": "1.3.6.1.2.1.31.1.1.1.15",
	}
	keys := slices.Sorted(maps.Keys(columns))
	get := func(oids ...string) []string {
		t.Helper()
		values, err := snmpGet(t, addr, version, oids...)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	before := get("1.3.6.1.2.1.1.3.0")
	points := pollJSON(t, args...)
	after := get("1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.6.0", "1.3.6.1.2.1.2.1.0")
	interfaces, stores := 0, 0
	for _, p := range points {
		switch {
		case p.Type != "gauge":
			t.Errorf("%s without --wait", p.Key)
		case p.Key == uptimeKey:
			if p.Value < number(t, before[0]) || p.Value > number(t, after[0]) {
				t.Errorf("uptime %v, snmpget saw %s, then %s", p.Value, before[0], after[0])
			}
			if p.Dimensions["sys.name"] != after[1] || p.Dimensions["sys.location"] != after[2] {
				t.Errorf("dimensions %v, snmpget saw %q", p.Dimensions, after[1:3])
			}
		case strings.HasSuffix(p.Key, ".if.status"):
			interfaces++
			oids := []string{"1.3.6.1.2.1.2.2.1.7." + p.Dimensions["if.idx"], "1.3.6.1.2.1.2.2.1.8." + p.Dimensions["if.idx"]}
			for _, k := range keys {
				oids = append(oids, columns[k]+"."+p.Dimensions["if.idx"])
			}
			want := get(oids...)
			for i, k := range keys {
				if p.Dimensions[k] != want[i+2] {
					t.Errorf("%s is %q, snmpget saw %q", k, p.Dimensions[k], want[i+2])
				}
			}
			if p.Value != 1 || !strings.HasSuffix(p.Dimensions["admin.status"], "("+want[0]+")") || !strings.HasSuffix(p.Dimensions["oper.status"], "("+want[1]+")") {
				t.Errorf("interface %v of value %v, snmpget saw admin %s, oper %s", p.Dimensions, p.Value, want[0], want[1])
			}
		case p.Dimensions["memory.id"] != "" || p.Dimensions["storage.id"] != "":
			stores++
			wantStore(t, p, get)
		default:
			t.Errorf("a gauge %s that nobody compares", p.Key)
		}
	}
	if want := number(t, after[3]); interfaces == 0 || float64(interfaces) != want || len(points) != interfaces+stores+1 || stores == 0 {
		t.Errorf("%d points, %d interfaces; snmpget saw %v interfaces", len(points), interfaces, want)
	}
}

// wantStore compares a memory or a file system with its row of hrStorageTable.
func wantStore(t *testing.T, p jsonPoint, get func(...string) []string) {
	t.Helper()
	const column = "1.3.6.1.2.1.25.2.3.1."
	index := p.Dimensions["memory.id"] + p.Dimensions["storage.id"]
	row := get(column+"3."+index, column+"4."+index, column+"5."+index, column+"6."+index)
	unit, size, used := number(t, row[1]), number(t, row[2]), number(t, row[3])
	if p.Dimensions["memory.id"] != "" {
		unit /= 1024
	}
	name := p.Dimensions["memory.name"] + p.Dimensions["storage.name"]
	whole := strings.HasSuffix(p.Key, "total") || strings.HasSuffix(p.Key, "size")
	// What is used moves between the poll and the tool.
	if name != row[0] || whole && p.Value != size*unit || !whole && math.Abs(p.Value-used*unit) > size*unit/5 {
		t.Errorf("%s of %q is %v; snmpget saw %q", p.Key, name, p.Value, row)
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantLines fails unless out is metric lines, counters among them.
func wantLines(t *testing.T, out string) {
	t.Helper()
	types := map[draintest.Type]int{}
	for text := range strings.Lines(out) {
		l, err := draintest.ParseLine(strings.TrimSuffix(text, "\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		types[l.Type]++
		if l.Type == draintest.Count && !strings.Contains(text, " count,delta=") {
			t.Errorf("a counter in another form: %s", text)
		}
		if l.Delta < 0 {
			t.Errorf("a counter went back: %s", text)
		}
	}
	if types[draintest.Gauge] == 0 || types[draintest.Count] == 0 {
		t.Errorf("lines by type: %v", types)
	}
}

func TestE2EDemo(t *testing.T) {
	t.Parallel()
	r := edgehold(t, "demo", "--length", "15s")
	r.mustSay(t, 0)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	last := lines[max(0, len(lines)-2):]
	for i, want := range []string{"lost 0", "duplicated 0"} {
		if i >= len(last) || strings.TrimSpace(last[i]) != want {
			t.Errorf("the last lines are %q, want %q", last, want)
		}
	}
}

func TestE2ETwoSites(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	addr := newSwitch(t, "127.0.1.3", goodCommunity).Addr()
	for _, name := range []string{"north", "south"} {
		s := newSite(t)
		s.yaml(env.URL(), "probes:\n", polled("1s", addr))
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		s.file("edgehold.yaml", strings.Replace(string(text), "site: e2e", "site: "+name, 1))
		s.start()
	}
	series := map[string]map[string]bool{} // by site
	eventually(t, "counters of both sites to arrive", func() bool {
		series = map[string]map[string]bool{"north": {}, "south": {}}
		counts := map[string]int{}
		for _, l := range linesOf(t, env, func(l draintest.Line) bool { return dim(l, "device.address") == "127.0.1.3" }) {
			name := dim(l, "site")
			if series[name] == nil {
				t.Fatalf("a line of no site: %v", l)
			}
			series[name][l.Series()] = true
			if l.Type == draintest.Count {
				counts[name]++
			}
		}
		return counts["north"] > 0 && counts["south"] > 0
	})
	shared := 0
	for id := range series["north"] {
		if series["south"][id] {
			t.Errorf("both sites have the series %s", id)
		}
		if series["south"][strings.Replace(id, `site="north"`, `site="south"`, 1)] {
			shared++
		}
	}
	if shared == 0 {
		t.Error("the sites have nothing alike, so the test proves nothing")
	}
	if c := env.Counts(); c.Duplicates != 0 || c.Refused != 0 {
		t.Errorf("%d duplicates, %d refused", c.Duplicates, c.Refused)
	}
}
