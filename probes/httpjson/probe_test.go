package httpjson

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// handClock is turned by hand.
type handClock struct{ stamp probes.Stamp }

func newClock() *handClock {
	return &handClock{probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Hour, Wall: 1_700_000_000_000}}
}

func (c *handClock) Now() probes.Stamp { return c.stamp }

func (c *handClock) turn(d time.Duration) {
	c.stamp.Uptime += d
	c.stamp.Wall += d.Milliseconds()
}

// page is an endpoint whose answer a test sets.
type page struct {
	mu       sync.Mutex
	status   int
	text     string
	requests []string
}

func (p *page) set(status int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.text = status, text
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
	w.WriteHeader(p.status)
	fmt.Fprint(w, p.text)
}

// rig is one task against one endpoint.
type rig struct {
	t     *testing.T
	page  *page
	clock *handClock
	plan  *plan.Plan
	end   plan.DocEndpoint
	deps  probes.Deps
	task  probes.Task
}

func endpointOf(t testing.TB, raw string) plan.DocEndpoint {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	return plan.DocEndpoint{URL: raw, Host: u.Hostname(), Port: uint16(port), Auth: plan.DocAuthNone, Timeout: 5 * time.Second}
}

func newRig(t *testing.T, blocks ...plan.DocBlock) *rig {
	t.Helper()
	g := &rig{t: t, page: &page{status: 200, text: "{}"}, clock: newClock()}
	server := httptest.NewServer(g.page)
	t.Cleanup(server.Close)
	g.plan = &plan.Plan{Extension: "custom:test.docs", Version: "1.0.0", Documents: &plan.Documents{Blocks: blocks}}
	g.end = endpointOf(t, server.URL)
	g.deps = probes.Deps{Clock: g.clock}
	g.restart()
	return g
}

// restart makes the task anew, with nothing remembered.
func (g *rig) restart() {
	g.t.Helper()
	tasks := Tasks(g.plan, []plan.DocEndpoint{g.end}, TaskOptions{Config: "c"}, g.deps)
	if len(tasks) != 1 {
		g.t.Fatalf("%d tasks, want 1", len(tasks))
	}
	g.task = tasks[0]
}

// rows are what the first block remembers.
func (g *rig) rows() map[string]*row {
	return g.state().blocks[&g.plan.Documents.Blocks[0]].rows
}

func (g *rig) state() *state { return &g.task.Probe.(*Probe).state }

// poll answers with text, and turns the clock a minute afterwards.
func (g *rig) poll(text string) (probes.Batch, error) {
	g.t.Helper()
	g.page.set(200, text)
	batch, err := g.task.Probe.Poll(context.Background())
	g.clock.turn(time.Minute)
	return batch, err
}

// lines polls and writes the points; what goes wrong ends the test.
func (g *rig) lines(text string) []string {
	g.t.Helper()
	batch, err := g.poll(text)
	if err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	return linesOf(batch)
}

// want compares the lines of a poll.
func (g *rig) want(text string, want ...string) {
	g.t.Helper()
	if got := g.lines(text); !slices.Equal(got, want) {
		g.t.Errorf("%s\ngave %q\nwant %q", text, got, want)
	}
}

// fails polls and wants an error of a status and some text.
func (g *rig) fails(text string, status probes.Status, words string, lines ...string) {
	g.t.Helper()
	batch, err := g.poll(text)
	if probes.StatusOf(err) != status || err == nil || !strings.Contains(err.Error(), words) {
		g.t.Errorf("%.80s: %s %v, want %s %s", text, probes.StatusOf(err), err, status, words)
	}
	if got := linesOf(batch); !slices.Equal(got, lines) {
		g.t.Errorf("%.80s: gave %q, want %q", text, got, lines)
	}
}

// linesOf writes points without the dimensions that every line has.
func linesOf(batch probes.Batch) []string {
	var lines []string
	for _, p := range batch.Points {
		line := p.Series.Key()
		for _, d := range p.Series.Dims() {
			if d.Key != "activation_endpoint" && d.Key != "device.address" {
				line += "," + d.Key + "=" + d.Value
			}
		}
		s := p.Value.Summary()
		switch {
		case p.Value.Form() == probes.FormSummary:
			line += fmt.Sprintf(" min=%v,max=%v,sum=%v,count=%d", s.Min, s.Max, s.Sum, s.Count)
		case p.Series.Type() == probes.Count:
			line += fmt.Sprintf(" +%v", p.Value.Float64())
		default:
			line += fmt.Sprintf(" %v", p.Value.Float64())
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func dim(t testing.TB, key, text string) plan.DocDim {
	return plan.DocDim{Key: key, Value: *docValue(t, text)}
}

func metric(t testing.TB, key string, typ plan.DocType, text string) plan.DocMetric {
	return plan.DocMetric{Key: key, Type: typ, Value: *docValue(t, text)}
}

// block is one of items [] by name, with some metrics.
func block(t testing.TB, metrics ...plan.DocMetric) plan.DocBlock {
	return plan.DocBlock{
		Path: "g", Interval: time.Minute, Request: plan.DocRequest{Method: "GET"}, Outer: path(t, "[]"),
		Dims: []plan.DocDim{dim(t, "name", "path:name")}, Metrics: metrics,
	}
}

// TestNumbers is the table of values that become gauges.
func TestNumbers(t *testing.T) {
	parse := plan.Conversion{Parse: true}
	for _, c := range []struct {
		name   string
		number plan.Conversion
		json   string
		want   string // "": a value that is no number; "none": no value, and that is right
	}{
		{"integer", plan.Conversion{}, `21`, "21"},
		{"decimal", plan.Conversion{}, `21.5`, "21.5"},
		{"text", plan.Conversion{}, `"21.5"`, "21.5"},
		{"word", plan.Conversion{}, `"warm"`, ""},
		{"nan", plan.Conversion{}, `"NaN"`, ""},
		{"infinity", plan.Conversion{}, `"Infinity"`, ""},
		{"huge", plan.Conversion{}, `1e400`, ""},
		{"object", plan.Conversion{}, `{"a":1}`, ""},
		{"true", plan.Conversion{}, `true`, "1"},
		{"unit", plan.Conversion{}, `"21.5 °C"`, ""},
		{"parsed unit", parse, `"21.5 °C"`, "21.5"},
		{"parsed thousands", parse, `"1,234.5 W"`, "1234.5"},
		{"parsed negative", parse, `"-3 dBm"`, "-3"},
		{"parsed nothing", parse, `"none"`, ""},
		{"parsed number", parse, `7`, "7"},
		{"tenths", plan.Conversion{Divisor: 10}, `215`, "21.5"},
		{"factor and offset", plan.Conversion{Multiplier: 9, Divisor: 5, Offset: 32}, `100`, "212"},
		{"na number", plan.Conversion{NA: []float64{-1}}, `-1`, "none"},
		{"na number in a text", plan.Conversion{NA: []float64{-1}}, `"-1"`, "none"},
		{"na text", plan.Conversion{NAText: []string{"n/a"}}, `"n/a"`, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := metric(t, "m", plan.DocGauge, "path:v")
			m.Number = c.number
			g := newRig(t, block(t, m, metric(t, "one", plan.DocGauge, "const:1")))
			text := fmt.Sprintf(`[{"name":"a","v":%s}]`, c.json)
			switch c.want {
			case "":
				g.fails(text, probes.StatusWarning, "g: m: found ", "one,name=a 1")
			case "none":
				g.want(text, "one,name=a 1")
			default:
				g.want(text, "m,name=a "+c.want, "one,name=a 1")
			}
		})
	}
}

func TestCounters(t *testing.T) {
	scaled := metric(t, "bits", plan.DocCount, "path:c")
	scaled.Number = plan.Conversion{Multiplier: 8}
	g := newRig(t, block(t,
		metric(t, "c", plan.DocCount, "path:c"), metric(t, "r", plan.DocRate, "path:c"), scaled, metric(t, "d", plan.DocDelta, "path:d"),
	))
	g.want(`[{"name":"a","c":100,"d":5}]`, "d,name=a +5")
	g.want(`[{"name":"a","c":130,"d":0}]`, "bits,name=a +240", "c,name=a +30", "d,name=a +0", "r,name=a 0.5")
	g.want(`[{"name":"a","c":130,"d":1}]`, "bits,name=a +0", "c,name=a +0", "d,name=a +1", "r,name=a 0")
	// It fell: nothing, and a gap for each metric.
	g.want(`[{"name":"a","c":20,"d":1}]`, "d,name=a +1")
	if gaps := g.task.Probe.(probes.Measured).PollStats().Gaps; gaps != 3 {
		t.Errorf("%d gaps, want 3", gaps)
	}
	g.want(`[{"name":"a","c":21,"d":1}]`, "bits,name=a +8", "c,name=a +1", "d,name=a +1", "r,name=a "+fmt.Sprint(1.0/60))
	// A new item begins by itself; an older one that is away goes on where it was.
	g.want(`[{"name":"b","c":1,"d":1}]`, "d,name=b +1")
	g.want(`[{"name":"a","c":31,"d":1},{"name":"b","c":4,"d":1}]`,
		"bits,name=a +80", "bits,name=b +24", "c,name=a +10", "c,name=b +3", "d,name=a +1", "d,name=b +1",
		"r,name=a "+fmt.Sprint(10.0/120), "r,name=b 0.05")
	// It was away for too long.
	g.clock.turn(11 * time.Minute)
	g.want(`[{"name":"a","c":40,"d":1}]`, "d,name=a +1")
	g.want(`[{"name":"a","c":41,"d":1}]`, "bits,name=a +8", "c,name=a +1", "d,name=a +1", "r,name=a "+fmt.Sprint(1.0/60))
}

func TestCounterForms(t *testing.T) {
	g := newRig(t, block(t, metric(t, "c", plan.DocCount, "path:c")))
	g.want(`[{"name":"a","c":9007199254740993}]`)
	batch, err := g.poll(`[{"name":"a","c":9007199254740996}]`)
	if err != nil || len(batch.Points) != 1 || !batch.Points[0].Value.Equal(probes.Uint(3)) {
		t.Errorf("beyond 53 bits: %+v, %v", batch.Points, err)
	}
	g.want(`[{"name":"a","c":"18446744073709551615"}]`, "c,name=a +1.843773687445481e+19")
	g.want(`[{"name":"a","c":1.5}]`) // fell
	g.want(`[{"name":"a","c":2.25}]`, "c,name=a +0.75")
	g.want(`[{"name":"a","c":-3}]`) // fell
	g.want(`[{"name":"a","c":-1}]`, "c,name=a +2")
	g.fails(`[{"name":"a","c":"x"}]`, probes.StatusGenericError, `found "x", which is no number`)
	g.want(`[{"name":"a","c":2}]`, "c,name=a +3") // the answer between left the baseline alone
	fell := newRig(t, block(t, metric(t, "d", plan.DocDelta, "path:d")))
	fell.fails(`[{"name":"a","d":-1}]`, probes.StatusGenericError, "no number")
}

func TestStates(t *testing.T) {
	listed := metric(t, "s", plan.DocState, "path:s")
	listed.Dimension, listed.States, listed.Enum = "state", []string{"OK", "ERROR"}, map[string]string{"2": "error"}
	free := metric(t, "f", plan.DocState, "path:s")
	free.Dimension = "mode"
	every := listed
	every.Key, every.All = "all", true
	g := newRig(t, block(t, listed, free, every))
	g.want(`[{"name":"a","s":"ok"}]`, "all,name=a,state=ERROR 0", "all,name=a,state=OK 1", "f,mode=ok,name=a 1", "s,name=a,state=OK 1")
	g.want(`[{"name":"a","s":2}]`, "all,name=a,state=ERROR 1", "all,name=a,state=OK 0", "f,mode=2,name=a 1", "s,name=a,state=ERROR 1")
	g.fails(`[{"name":"a","s":"MAD"}]`, probes.StatusWarning, `g: s: found "MAD", which is not one of its states`, "f,mode=MAD,name=a 1")
	for i := range 3 * maxStates {
		g.fails(fmt.Sprintf(`[{"name":"a","s":"x%d"}]`, i), probes.StatusWarning, "not one of its states", fmt.Sprintf("f,mode=x%d,name=a 1", i))
	}
	rows := g.rows()
	if len(rows) != 1 {
		t.Fatalf("%d items", len(rows))
	}
	for _, r := range rows {
		if len(r.states) > maxStates {
			t.Error("the series of states that have gone are kept")
		}
	}
}

func TestStats(t *testing.T) {
	parts := plan.DocMetric{
		Key: "p", Type: plan.DocStat, Parts: true, Optional: true,
		Min: *docValue(t, "path:p.min"), Max: *docValue(t, "path:p.max"), Sum: *docValue(t, "path:p.sum"), Count: *docValue(t, "path:p.n"),
	}
	list := metric(t, "l", plan.DocStat, "path:l")
	list.Optional, list.Number.Divisor = true, 10
	g := newRig(t, block(t, list, parts, metric(t, "one", plan.DocGauge, "const:1")))
	g.want(`[{"name":"a","l":[70,100,130],"p":{"min":1,"max":5,"sum":9,"n":3}}]`,
		"l,name=a min=7,max=13,sum=30,count=3", "one,name=a 1", "p,name=a min=1,max=5,sum=9,count=3")
	g.want(`[{"name":"a","l":50,"p":{"min":1,"max":5,"sum":0,"n":0}}]`, "l,name=a min=5,max=5,sum=5,count=1", "one,name=a 1")
	g.want(`[{"name":"a","l":[]}]`, "one,name=a 1")
	g.fails(`[{"name":"a","l":[10,"x"],"p":{"min":6,"max":5,"sum":9,"n":3}}]`, probes.StatusWarning, "min 6 above max 5", "l,name=a min=1,max=1,sum=1,count=1", "one,name=a 1")
	g.fails(`[{"name":"a","p":{"min":1,"max":5,"sum":9,"n":1.5}}]`, probes.StatusWarning, "no whole number", "one,name=a 1")
	g.want(`[{"name":"a","p":{"min":1,"max":5,"sum":9}}]`, "one,name=a 1")
}

// TestItems is about groups, dimensions, filters and items that share them.
func TestItems(t *testing.T) {
	filter, err := plan.ParseFilter("$not($prefix(x))")
	if err != nil {
		t.Fatal(err)
	}
	b := block(t, metric(t, "v", plan.DocGauge, "path:v"), metric(t, "c", plan.DocCount, "path:v"))
	b.Path, b.Outer, b.Inner = "g/d", path(t, "groups[]"), path(t, "devices[]|nodes[]")
	b.OuterDims = []plan.DocDim{{Key: "group", Value: *docValue(t, "path:name"), Filter: filter}}
	b.Dims = append(b.Dims, plan.DocDim{Key: "up", Value: *docValue(t, "path:up"), Enum: map[string]string{"1": "yes"}})
	g := newRig(t, b)
	g.deps.Constants = []probes.Dimension{{Key: "site", Value: "plant"}, {Key: "group", Value: "mine"}}
	g.want(`{"groups":[{"name":"g1","devices":[{"name":"a","v":1,"up":1}]},{"name":"x2","devices":[{"name":"b","v":2}]},{"name":"g3","nodes":[{"name":"c","v":3,"up":0}]}]}`,
		"v,group=g1,name=a,up=yes 1", "v,group=g3,name=c,up=0 3")
	g.fails(`{"groups":[{"name":"g1","devices":[{"name":"a","v":1},{"name":"a","v":5}]}]}`, probes.StatusWarning,
		"g/d: 1 items share their dimensions with others", "v,group=g1,name=a min=1,max=5,sum=6,count=2")
	g.fails(`{"groups":[{"name":"g1","devices":[{"name":"a","v":2},{"name":"a","v":9}]}]}`, probes.StatusWarning,
		"share their dimensions", "c,group=g1,name=a +1", "v,group=g1,name=a min=2,max=9,sum=11,count=2")
	g.fails(`{"groups":[{"name":"x1","devices":[{"name":"a","v":2}]}]}`, probes.StatusGenericError, "nothing is collected")
	g.fails(`{"groups":[{"name":"g1"}]}`, probes.StatusGenericError, "g/d: nothing at items devices[]|nodes[]")
	g.fails(`{"group":[]}`, probes.StatusGenericError, "g/d: nothing at items groups[]")
	g.fails(`{"groups":[]}`, probes.StatusGenericError, "the lists are empty")
	g.fails(`{"groups":[{"name":"g1","devices":[{"name":"a"}]}]}`, probes.StatusGenericError, "g/d: v is found nowhere; g/d: c is found nowhere")
	g.restart()
	batch, err := g.poll(`{"groups":[{"name":"g1","devices":[{"name":"a","v":1}]}]}`)
	if err != nil || len(batch.Points) != 1 {
		t.Fatal(batch, err)
	}
	if s := batch.Points[0].Series; s.Dim("group") != "mine" || s.Dim("site") != "plant" || s.Dim("device.address") != "127.0.0.1" || s.Dim("activation_endpoint") != g.end.URL {
		t.Errorf("dimensions %v", s.Dims())
	}
}

// TestSite puts the site before every address.
func TestSite(t *testing.T) {
	b := block(t, metric(t, "v", plan.DocGauge, "path:v"))
	b.Dims = append(b.Dims, dim(t, "device.address", "path:ip"))
	g := newRig(t, b)
	g.plan.Documents.Site = "north"
	g.restart()
	batch, err := g.poll(`[{"name":"a","v":1,"ip":"10.0.0.1"},{"name":"b","v":1}]`)
	if err != nil || len(batch.Points) != 2 {
		t.Fatal(batch, err)
	}
	for i, want := range []string{"north/10.0.0.1", "north/127.0.0.1"} {
		if got := batch.Points[i].Series.Dim("device.address"); got != want {
			t.Errorf("address %s, want %s", got, want)
		}
	}
}

// TestSteadyPoll makes no series anew, and forgets what has gone.
func TestSteadyPoll(t *testing.T) {
	g := newRig(t, block(t, metric(t, "v", plan.DocGauge, "path:v")), block(t, metric(t, "c", plan.DocCount, "path:v")))
	g.plan.Documents.Blocks[1].Path = "h"
	first, _ := g.poll(`[{"name":"a","v":1},{"name":"b","v":2}]`)
	second, _ := g.poll(`[{"name":"a","v":1},{"name":"b","v":2}]`)
	for i := range first.Points {
		if first.Points[i].Series != second.Points[i].Series {
			t.Errorf("%s was made anew", first.Points[i].Series.Key())
		}
	}
	if len(g.page.requests) != 2 {
		t.Errorf("one request serves both groups, there were %q", g.page.requests)
	}
	rows := func() [2]int {
		s := g.task.Probe.(*Probe).state.blocks
		return [2]int{len(s[&g.plan.Documents.Blocks[0]].rows), len(s[&g.plan.Documents.Blocks[1]].rows)}
	}
	g.lines(`[{"name":"a","v":1}]`)
	if got := rows(); got != [2]int{1, 2} {
		t.Errorf("rows %v: that with a counter waits, the other has gone", got)
	}
	g.page.set(500, "")
	_, _ = g.task.Probe.Poll(context.Background())
	for range 11 {
		g.lines(`[{"name":"a","v":1}]`)
	}
	if got := rows(); got != [2]int{1, 1} {
		t.Errorf("rows %v after eleven minutes", got)
	}
}

// TestIntervals gives every interval a task of its own.
func TestIntervals(t *testing.T) {
	slow := block(t, metric(t, "slow", plan.DocGauge, "path:v"))
	slow.Interval = time.Hour
	p := &plan.Plan{Extension: "custom:x.docs", Documents: &plan.Documents{Blocks: []plan.DocBlock{slow, block(t, metric(t, "fast", plan.DocGauge, "path:v"))}}}
	e := endpointOf(t, "http://198.51.100.1:8080/api")
	tasks := Tasks(p, []plan.DocEndpoint{e, endpointOf(t, "http://198.51.100.1:8081")}, TaskOptions{Config: "cfg"}, probes.Deps{Clock: newClock()})
	if len(tasks) != 4 || tasks[0].Interval != time.Minute || tasks[1].Interval != time.Hour {
		t.Fatalf("tasks %+v", tasks)
	}
	if tasks[0].ID != "cfg/http://198.51.100.1:8080/api/1m0s" || tasks[0].Device != "198.51.100.1:8080" || tasks[0].Lane != "http://198.51.100.1:8080/api" || tasks[0].Label != "http://198.51.100.1:8080/api docs" {
		t.Errorf("task %+v", tasks[0])
	}
	if Tasks(&plan.Plan{}, []plan.DocEndpoint{e}, TaskOptions{}, probes.Deps{}) != nil {
		t.Error("tasks without documents")
	}
}

// TestFingerprint changes with each setting.
func TestFingerprint(t *testing.T) {
	same := func(change func(*plan.DocBlock, *plan.DocEndpoint)) string {
		b := block(t, metric(t, "v", plan.DocGauge, "path:v"))
		c, err := plan.ParseCondition("$lt(path:v,1)")
		if err != nil {
			t.Fatal(err)
		}
		b.Events = []plan.DocEvent{{Name: "e", Condition: c}}
		e := endpointOf(t, "http://198.51.100.1:8080")
		e.Secret = probes.NewSecret("s1")
		change(&b, &e)
		p := &plan.Plan{Documents: &plan.Documents{Blocks: []plan.DocBlock{b}}}
		return Tasks(p, []plan.DocEndpoint{e}, TaskOptions{}, probes.Deps{})[0].Same
	}
	filter, _ := plan.ParseFilter("$eq(a)")
	seen := map[string]string{}
	for name, change := range map[string]func(*plan.DocBlock, *plan.DocEndpoint){
		"nothing": func(*plan.DocBlock, *plan.DocEndpoint) {},
		"secret":  func(_ *plan.DocBlock, e *plan.DocEndpoint) { e.Secret = probes.NewSecret("s2") },
		"timeout": func(_ *plan.DocBlock, e *plan.DocEndpoint) { e.Timeout++ },
		"verify":  func(_ *plan.DocBlock, e *plan.DocEndpoint) { e.SkipVerify = true },
		"filter":  func(b *plan.DocBlock, _ *plan.DocEndpoint) { b.Dims[0].Filter = filter },
		"path":    func(b *plan.DocBlock, _ *plan.DocEndpoint) { b.Outer = path(t, "x[]") },
		"request": func(b *plan.DocBlock, _ *plan.DocEndpoint) { b.Request.Path = "/x" },
		"condition": func(b *plan.DocBlock, _ *plan.DocEndpoint) {
			b.Events[0].Condition.Bound = 2
			b.Events[0].Condition.Text = "2"
		},
		"metric": func(b *plan.DocBlock, _ *plan.DocEndpoint) { b.Metrics[0].Optional = true },
	} {
		sum := same(change)
		if other := seen[sum]; other != "" {
			t.Errorf("%s is the same as %s", name, other)
		}
		if sum != same(change) {
			t.Errorf("%s differs from itself", name)
		}
		seen[sum] = name
	}
}
