package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// outageFile holds the pictures of the worked example. The command shows them
// as `edgehold status` does, and holds that against packaging/manual/outage.md.
const outageFile = "testdata/outage.json"

// outagePictures is what outageFile holds.
type outagePictures struct {
	Moments     []outageMoment    `json:"moments"`
	Environment outageEnvironment `json:"environment"`
}

type outageMoment struct {
	Name   string         `json:"name"`
	At     time.Time      `json:"at"`
	Status control.Status `json:"status"`
}

// outageEnvironment is what the other side has in the end.
type outageEnvironment struct {
	Periods []outagePeriod `json:"periods"`
	Event   map[string]any `json:"event"`
	Record  map[string]any `json:"record"` // one of many
}

// outagePeriod counts the points of the switches that were measured in ten
// minutes.
type outagePeriod struct {
	From    time.Time `json:"from"`
	Metrics int       `json:"metrics"`
	Records int       `json:"records"` // points in log records
}

// The day of the example: the agent starts, the link goes for three hours.
var (
	outageStart = time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	outageCut   = outageStart.Add(30 * time.Minute)
	outageBack  = outageCut.Add(3 * time.Hour)
)

var outageMoments = []struct {
	name string
	at   time.Time
}{
	{"before", outageCut.Add(-5 * time.Second)},
	{"+1 min", outageCut.Add(time.Minute)},
	{"+55 min", outageCut.Add(55 * time.Minute)},
	{"+2 h", outageCut.Add(2 * time.Hour)},
	{"back +5 s", outageBack.Add(5050 * time.Millisecond)},
	{"back +1 min", outageBack.Add(time.Minute)},
	{"back +10 min", outageBack.Add(10 * time.Minute)},
	{"after", outageBack.Add(30 * time.Minute)},
}

// TestOutageExample lives through a day of the real agent, its clock aside: the
// schedule, SNMP over UDP, the store in a file, the drain and the watch for
// gaps run in a bubble of simulated time. Posts are handed to the stand-in
// environment in memory, over a link of 1 Mbit/s that can be cut.
func TestOutageExample(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: four hours of simulated time take some seconds")
	}
	day := newOutageDay(t)
	var got outagePictures
	synctest.Test(t, func(t *testing.T) { got = day.live(t) })
	if t.Failed() {
		return
	}
	text, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	text = day.public(append(text, '\n'))
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(outageFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(outageFile)
	if err != nil {
		t.Fatal(err)
	}
	if line, same := sameButVolatile(string(text), string(want)); !same {
		t.Errorf("the pictures differ from %s:\n%s\nEDGEHOLD_UPDATE_GOLDEN=1 writes them anew; then do the same in cmd/edgehold", outageFile, line)
	}
}

// volatile figures differ from run to run: the jitter of the tries, the
// compression of the agent's own memory figures, parts of a second.
var volatile = regexp.MustCompile(`("(?:\w*bytes\w*|used_\w+|posts|points_per_day|next_try|last_error_at)": )[^,\n]+|(:\d\d)\.\d+Z`)

// sameButVolatile compares line by line, and gives the first that differs.
func sameButVolatile(got, want string) (string, bool) {
	mask := func(text string) []string {
		return strings.Split(volatile.ReplaceAllString(text, "$1$2"), "\n")
	}
	g, w := mask(got), mask(want)
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: %s, want %s", i+1, g[i], w[i]), false
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w)), len(g) == len(w)
}

// outageDay is the stage: three switches, an environment and a link to it.
type outageDay struct {
	dir  string
	now  atomic.Int64 // simulated, for the switches, which stand outside of the bubble
	env  *draintest.Server
	down atomic.Bool
}

func newOutageDay(t *testing.T) *outageDay {
	t.Helper()
	d := &outageDay{dir: t.TempDir()}
	var devices []string
	for i := range 3 {
		mib := snmptest.NewSwitch(fmt.Sprintf("switch-%d", i+1), 24, uint64(i), func() time.Time { return time.Unix(0, d.now.Load()) })
		r, err := snmptest.Start(snmptest.Options{Addr: fmt.Sprintf("127.0.7.%d:0", 11+i), Communities: map[string]*snmptest.MIB{"public": mib}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		devices = append(devices, strconv.Quote(r.Addr()))
	}
	write(t, filepath.Join(d.dir, "token"), "dt0c01.example")
	write(t, filepath.Join(d.dir, "community"), "public")
	write(t, filepath.Join(d.dir, "edgehold.yaml"), fmt.Sprintf(`site: plant-7
state_dir: %[1]s/state
uplink: {dynatrace: {url: "https://abc12345.live.dynatrace.com", token_file: %[1]s/token}}
buffer: {late: logs}
credentials: {plant: {community_file: %[1]s/community}}
probes:
  - {kind: snmp, interval: 1m, credentials: [plant], devices: [%[2]s]}
`, d.dir, strings.Join(devices, ", ")))
	return d
}

// public puts what a reader knows in the place of this machine's addresses and
// folders.
func (d *outageDay) public(text []byte) []byte {
	text = regexp.MustCompile(`127\.0\.7\.(\d+):\d+`).ReplaceAll(text, []byte("192.0.2.$1"))
	text = bytes.ReplaceAll(text, []byte("127.0.7."), []byte("192.0.2."))
	text = regexp.MustCompile(`"device.port": "\d+"`).ReplaceAll(text, []byte(`"device.port": "161"`))
	text = bytes.ReplaceAll(text, []byte(d.dir+"/state"), []byte("/var/lib/edgehold"))
	return bytes.ReplaceAll(text, []byte(d.dir), []byte("/etc/edgehold"))
}

// live is the day.
func (d *outageDay) live(t *testing.T) (out outagePictures) {
	time.Sleep(time.Until(outageStart))
	d.env = draintest.New(draintest.Options{Token: "dt0c01.example", KeepLines: true})
	a := d.agent(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runAll(ctx, []service{
			{"schedule", a.schedule.Run}, {"clock", a.time.Run}, {"uplink", a.uplink.Run}, {"gaps", a.gaps.Run},
		})
	}()
	go func() {
		time.Sleep(time.Until(outageCut))
		d.down.Store(true)
		time.Sleep(time.Until(outageBack))
		d.down.Store(false)
		a.uplink.drain.LinkChanged() // the address is back
	}()
	for _, m := range outageMoments {
		time.Sleep(time.Until(m.at))
		synctest.Wait()
		s := a.Status()
		s.Memory, s.Config.Hash = control.Memory{}, ""
		out.Moments = append(out.Moments, outageMoment{m.name, m.at, s})
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := a.store.Close(); err != nil {
		t.Error(err)
	}
	out.Environment = d.environment(t)
	d.check(t, out.Moments[len(out.Moments)-1].Status)
	return out
}

// agent is one as New makes it, but for the machine's clock and the way to the
// environment.
func (d *outageDay) agent(t *testing.T) *Agent {
	t.Helper()
	opts := Options{Path: filepath.Join(d.dir, "edgehold.yaml"), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "1.0.0"}
	cfg, _, err := config.Load(opts.Path, opts.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		opts: opts, log: zerolog.Nop(), started: time.Now(), atStart: cfg, cfg: cfg, loadedAt: time.Now(),
		alive: newAlive(loopSchedule, loopStore, loopUplink, loopControl),
	}
	if a.store, err = openStore(cfg, a.trueTime, a.log, nil); err != nil {
		t.Fatal(err)
	}
	a.time, err = clock.New(clock.Options{Machine: outageMachine{d, time.Now()}, OnAnchor: a.store.SetAnchor, Log: a.log})
	if err != nil {
		t.Fatal(err)
	}
	a.ready.Store(a.time)
	if err := a.prepare(); err != nil {
		t.Fatal(err)
	}
	target, err := a.uplink.target(cfg)
	if err != nil {
		t.Fatal(err)
	}
	target.Client = &http.Client{Transport: outageLink{d}}
	a.uplink.drain.Change(target)
	return a
}

// outageMachine has been up for nine days, and NTP keeps its time.
type outageMachine struct {
	day   *outageDay
	start time.Time
}

func (m outageMachine) Boot() probes.BootID { return probes.BootID{7} }
func (m outageMachine) Wall() time.Time     { return time.Now() }
func (m outageMachine) Uptime() time.Duration {
	now := time.Now()
	m.day.now.Store(now.UnixNano())
	return 9*24*time.Hour + now.Sub(m.start)
}

func (m outageMachine) NTP() (board.NTPState, error) {
	return board.NTPState{Synced: true, MaxError: 40 * time.Millisecond}, nil
}

func (m outageMachine) WatchSteps(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// outageLink carries posts to the environment at 1 Mbit/s with a round trip of
// 80 ms. While it is down the machine has no route.
type outageLink struct{ day *outageDay }

func (l outageLink) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.day.down.Load() {
		return nil, &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 20), Port: 443},
			Err: os.NewSyscallError("connect", syscall.ENETUNREACH),
		}
	}
	time.Sleep(80*time.Millisecond + time.Duration(r.ContentLength)*8*time.Microsecond)
	w := httptest.NewRecorder()
	l.day.env.ServeHTTP(w, r)
	answer := w.Result()
	answer.Header.Del("Date") // the time of this machine comes from NTP
	return answer, nil
}

// environment reads the stand-in's ledger.
func (d *outageDay) environment(t *testing.T) (out outageEnvironment) {
	t.Helper()
	ledger := d.env.Ledger()
	metrics, records := map[time.Time]int{}, map[time.Time]int{}
	for _, text := range ledger.Lines() {
		line, err := draintest.ParseLine(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(line.Key, "edgehold.") {
			metrics[time.UnixMilli(line.Timestamp).UTC().Truncate(10*time.Minute)]++
		}
	}
	for _, p := range ledger.LatePoints() {
		at, err := time.Parse(time.RFC3339, p.Time)
		if err != nil {
			t.Fatal(err)
		}
		records[at.Truncate(10*time.Minute)] += int(p.Count)
	}
	for at := outageStart; at.Before(outageMoments[len(outageMoments)-1].at); at = at.Add(10 * time.Minute) {
		out.Periods = append(out.Periods, outagePeriod{at, metrics[at], records[at]})
	}
	events := ledger.Events()
	if len(events) != 1 {
		t.Fatalf("%d events, want one of the gap", len(events))
	}
	e := events[0]
	out.Event = map[string]any{"eventType": e.Type, "title": e.Title, "startTime": e.Start, "endTime": e.End, "properties": e.Properties}
	out.Record = oneRecord(t, ledger.Records())
	return out
}

// oneRecord is the first record of a port of the first switch.
func oneRecord(t *testing.T, records []draintest.Record) map[string]any {
	t.Helper()
	for _, r := range records {
		if r.Attributes["device.address"] != "127.0.7.11" || r.Numbers["network_device.if.bytes_in.count"] == "" {
			continue
		}
		out := map[string]any{"timestamp": r.Timestamp, "content": r.Content}
		for key, text := range r.Attributes {
			out[key] = text
		}
		for key, number := range r.Numbers {
			out[key] = number
		}
		return out
	}
	t.Fatal("no record of a port")
	return nil
}

// check holds the last account against what the environment counted, and
// against what the window of one hour must have saved.
func (d *outageDay) check(t *testing.T, last control.Status) {
	t.Helper()
	a, c := last.Account, d.env.Counts()
	if a.Accepted != a.Buffered+a.Delivered+a.LateLogged || a.LateLogged == 0 {
		t.Errorf("account %+v: want everything buffered, delivered or logged", a)
	}
	// What the last picture shows as buffered may have been sent since.
	if got := int64(c.Distinct + c.Events); got < a.Delivered || got > a.Delivered+a.Buffered {
		t.Errorf("%d delivered, the environment has %d", a.Delivered, got)
	}
	if c.Duplicates+c.LateDuplicates+c.Refused+c.Conflicts != 0 {
		t.Errorf("the environment counts %+v", c)
	}
	for _, text := range d.env.Ledger().Lines() {
		line, err := draintest.ParseLine(text)
		at := time.UnixMilli(line.Timestamp)
		if err != nil || at.After(outageCut) && at.Before(outageBack.Add(-time.Hour)) {
			t.Fatalf("%s was taken as a metric, %v", text, err)
		}
	}
}
