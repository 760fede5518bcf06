package httpjson

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

func docText(t testing.TB, text string) plan.DocText {
	t.Helper()
	made, err := plan.ParseDocText(text)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// alarm is a block with an event for values below 20.
func alarm(t testing.TB) plan.DocBlock {
	c, err := plan.ParseCondition("$lt(path:v,20)")
	if err != nil {
		t.Fatal(err)
	}
	b := block(t, metric(t, "v", plan.DocGauge, "path:v"))
	b.Events = []plan.DocEvent{{
		Name: "low", Type: "PERFORMANCE_EVENT", Condition: c, Timeout: 15 * time.Minute,
		Title: docText(t, "${path:name} is low"), Text: docText(t, "at ${path:v} %"),
		Entity:     docText(t, `type("CUSTOM_DEVICE"),entityName.equals("${path:name}")`),
		Properties: []plan.DocField{{Key: "level", Value: *docValue(t, "path:v")}, {Key: "none", Value: *docValue(t, "path:x")}},
	}}
	return b
}

// said writes the events of a poll.
func said(batch probes.Batch) string {
	var all []string
	for _, e := range batch.Events {
		what := "open"
		if e.End != (probes.Stamp{}) {
			what = fmt.Sprintf("close after %s", e.End.Uptime-e.Start.Uptime)
		}
		props := ""
		for _, d := range e.Properties {
			if d.Key == "level" || d.Key == "dt.event.description" || d.Key == "name" {
				props += " " + d.Value
			}
		}
		all = append(all, what+" "+e.Title+props)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func (g *rig) events(text, want string) {
	g.t.Helper()
	batch, err := g.poll(text)
	if err != nil {
		g.t.Fatal(err)
	}
	if got := said(batch); got != want {
		g.t.Errorf("%.60s: events %q, want %q", text, got, want)
	}
}

// TestEventLife follows an event: it opens once, is refreshed as it was, and is
// closed.
func TestEventLife(t *testing.T) {
	g := newRig(t, alarm(t))
	g.events(`[{"name":"a","v":50}]`, "")
	g.events(`[{"name":"a","v":19}]`, "open a is low at 19 % 19 a")
	for i := range 6 {
		g.events(fmt.Sprintf(`[{"name":"a","v":%d}]`, 18-i), "")
	}
	g.events(`[{"name":"a","v":10}]`, "") // seven minutes
	// Half of the timeout has gone: the same event again, whatever the value is.
	g.events(`[{"name":"a","v":9}]`, "open a is low at 19 % 19 a")
	g.events(`[{"name":"a","v":9},{"name":"b","v":1}]`, "open b is low at 1 % 1 b")
	g.events(`[{"name":"a","v":20},{"name":"b","v":1}]`, "close after 2m0s a is low at 19 % 19 a")
	g.events(`[{"name":"a","v":19.5},{"name":"b","v":1}]`, "open a is low at 19.5 % 19.5 a")
	// One goes away.
	g.events(`[{"name":"a","v":19.5}]`, "close after 3m0s b is low at 1 % 1 b")
}

// TestEventUnknown leaves an event alone while nothing is known.
func TestEventUnknown(t *testing.T) {
	g := newRig(t, alarm(t))
	g.events(`[{"name":"a","v":1}]`, "open a is low at 1 % 1 a")
	for range 20 {
		g.page.set(500, "")
		batch, err := g.task.Probe.Poll(context.Background())
		g.clock.turn(time.Minute)
		if err == nil || len(batch.Events) > 0 {
			t.Fatalf("%v, events %q", err, said(batch))
		}
	}
	// It has timed out there: what holds now is told anew.
	g.events(`[{"name":"a","v":2}]`, "open a is low at 2 % 2 a")
}

func TestEventFields(t *testing.T) {
	g := newRig(t, alarm(t))
	batch, err := g.poll(`[{"name":"a \"b\" ~","v":1}]`)
	if err != nil || len(batch.Events) != 1 {
		t.Fatal(batch, err)
	}
	e := batch.Events[0]
	if e.Type != "PERFORMANCE_EVENT" || e.Timeout != 15*time.Minute || e.Start.Wall != 1_700_000_000_000 {
		t.Errorf("event %+v", e)
	}
	if want := `type("CUSTOM_DEVICE"),entityName.equals("a ~"b~" ~~")`; e.EntitySelector != want {
		t.Errorf("selector %s, want %s", e.EntitySelector, want)
	}
	keys := ""
	for _, d := range e.Properties {
		keys += d.Key + " "
	}
	if want := "activation_endpoint device.address dt.event.description level name "; keys != want {
		t.Errorf("properties %s, want %s", keys, want)
	}
}

// TestEventLimit opens no more than so many in one poll; the others follow. What
// is open is closed at once.
func TestEventLimit(t *testing.T) {
	g := newRig(t, alarm(t))
	text := func(n, v int) string {
		var items []string
		for i := range n {
			items = append(items, fmt.Sprintf(`{"name":"d%d","v":%d}`, i, v))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	count := func(text string, events int, partial bool) {
		t.Helper()
		batch, err := g.poll(text)
		if len(batch.Events) != events || (err != nil) != partial {
			t.Errorf("%d events, %v; want %d, partial %v", len(batch.Events), err, events, partial)
		}
	}
	count(text(250, 1), 100, true)
	count(text(250, 1), 100, true)
	count(text(250, 1), 50, false)
	count(text(250, 1), 0, false)
	count(text(50, 1), 200, false) // 200 have gone
	count(text(50, 1), 0, false)
	count(text(50, 99), 50, false)
	if len(g.rows()) != 50 || g.state().open != 0 {
		t.Errorf("%d items are remembered, %d events are open", len(g.rows()), g.state().open)
	}
}

// TestEventRestart carries an open event over a restart: it is refreshed and
// closed, not opened again.
func TestEventRestart(t *testing.T) {
	g := newRig(t, alarm(t))
	g.events(`[{"name":"a","v":1},{"name":"b","v":1}]`, "open a is low at 1 % 1 a; open b is low at 1 % 1 b")
	g.carryOver()
	g.events(`[{"name":"a","v":2},{"name":"b","v":2}]`, "")
	g.carryOver()
	g.carryOver() // also when no poll came between
	g.clock.turn(6 * time.Minute)
	g.events(`[{"name":"a","v":30}]`, "close after 8m0s a is low at 1 % 1 a; close after 8m0s b is low at 1 % 1 b")
}

// carryOver makes the task anew with what it had remembered.
func (g *rig) carryOver() {
	g.t.Helper()
	data, err := g.task.Probe.(probes.Stateful).Checkpoint()
	if err != nil {
		g.t.Fatal(err)
	}
	g.restart()
	if err := g.task.Probe.(probes.Stateful).Restore(data); err != nil {
		g.t.Fatal(err)
	}
}

func TestCounterRestart(t *testing.T) {
	g := newRig(t, block(t, metric(t, "c", plan.DocCount, "path:c"), metric(t, "f", plan.DocRate, "path:f")))
	if data, err := g.task.Probe.(probes.Stateful).Checkpoint(); err != nil || data != nil {
		t.Errorf("before the first poll: %q, %v", data, err)
	}
	g.want(`[{"name":"a","c":18446744073709551000,"f":1.5}]`)
	g.carryOver()
	g.want(`[{"name":"a","c":18446744073709551600,"f":7.5}]`, "c,name=a +600", "f,name=a 0.1")
	// This machine restarts: the clock since boot begins anew, the wall clock goes on.
	g.carryOver()
	g.clock.stamp.Boot = probes.BootID{2}
	g.clock.stamp.Uptime = 10 * time.Second
	g.want(`[{"name":"a","c":18446744073709551602,"f":13.5}]`, "c,name=a +2", "f,name=a 0.1")
	// Nobody knows how long it was.
	g.carryOver()
	g.clock.stamp.Boot = probes.BootID{3}
	g.clock.stamp.Guess = true
	g.want(`[{"name":"a","c":18446744073709551603,"f":19.5}]`)
}

func TestRestoreRefuses(t *testing.T) {
	g := newRig(t, block(t, metric(t, "c", plan.DocCount, "path:c")))
	g.want(`[{"name":"a","c":5}]`)
	good, err := g.task.Probe.(probes.Stateful).Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "{}", "nonsense", strings.Replace(string(good), `"Format":1`, `"Format":2`, 1), strings.Replace(string(good), `"Boot":"01`, `"Boot":"0`, 1),
		strings.Replace(string(good), `"Age":0`, `"Age":-1`, 1), strings.Replace(string(good), `"Kind":1`, `"Kind":6`, 1), string(good[:len(good)-1]),
	} {
		if text == string(good) {
			t.Fatalf("nothing was changed in %s", good)
		}
		if err := g.task.Probe.(probes.Stateful).Restore([]byte(text)); err == nil {
			t.Errorf("%.60s was taken", text)
		}
	}
	g.want(`[{"name":"a","c":7}]`, "c,name=a +2") // it is as it was
}

// TestForgetSaved does not keep for ever what no item comes for.
func TestForgetSaved(t *testing.T) {
	g := newRig(t, block(t, metric(t, "c", plan.DocCount, "path:c")))
	g.want(`[{"name":"a","c":5},{"name":"gone","c":5}]`)
	g.carryOver()
	for range forgetSavedAfter + 1 {
		g.lines(`[{"name":"a","c":5}]`)
	}
	if s := &g.task.Probe.(*Probe).state.saved; s.counters != nil || s.events != nil {
		t.Errorf("%d counters are kept", len(s.counters))
	}
}

func TestCarriers(t *testing.T) {
	b := block(t, metric(t, "v", plan.DocGauge, "path:v"))
	b.Carrier = plan.DocCarrier{
		Metric:     "info",
		Properties: []plan.DocField{{Key: "version", Value: *docValue(t, "path:version")}, {Key: "long", Value: *docValue(t, "path:long")}},
		Endpoints: []plan.DocField{
			{Key: "dt.ip_addresses", Value: *docValue(t, "path:ips")}, {Key: "dt.listen_ports", Value: *docValue(t, "path:ports")}, {Key: "dt.dns_names", Value: *docValue(t, "path:dns[].name")},
		},
	}
	g := newRig(t, b)
	text := `[{"name":"a","v":1,"version":"1.0","ips":["10.0.0.1","10.0.0.2"],"ports":[80,443],"dns":[{"name":"x"},{"name":"y"}]}]`
	line := "info,dt.dns_names=x,y,dt.ip_addresses=10.0.0.1,10.0.0.2,dt.listen_ports=80,443,name=a,version=1.0 1"
	g.want(text, line, "v,name=a 1")
	first, _ := g.poll(text)
	second, _ := g.poll(text)
	if first.Points[1].Series != second.Points[1].Series {
		t.Error("the series was made anew")
	}
	g.want(strings.Replace(text, `"1.0"`, `"1.1"`, 1), strings.Replace(line, "1.0 1", "1.1 1", 1), "v,name=a 1")
	var ports []string
	for i := range 150 {
		ports = append(ports, fmt.Sprint(i))
	}
	got := g.lines(fmt.Sprintf(`[{"name":"a","v":1,"long":%q,"ports":[%s]}]`, strings.Repeat("x", 300), strings.Join(ports, ",")))
	want := fmt.Sprintf("info,dt.listen_ports=%s,long=%s,name=a 1", strings.Join(ports[:100], ","), strings.Repeat("x", 200))
	if got[0] != want {
		t.Errorf("bounds: %s\nwant %s", got[0], want)
	}
}

// TestLogCarrier tells of changes and once an hour.
func TestLogCarrier(t *testing.T) {
	b := block(t, metric(t, "v", plan.DocGauge, "path:v"))
	b.Carrier = plan.DocCarrier{Log: true, Properties: []plan.DocField{{Key: "version", Value: *docValue(t, "path:version")}}}
	g := newRig(t, b)
	told := func(version string) (all []string) {
		t.Helper()
		batch, err := g.poll(fmt.Sprintf(`[{"name":"a","v":1,"version":%q}]`, version))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			line := r.Severity + " " + r.Content
			for _, d := range r.Attributes {
				if d.Key == "log.source" || d.Key == "version" {
					line += " " + d.Key + "=" + d.Value
				}
			}
			all = append(all, line)
		}
		return all
	}
	want := []string{"INFO g: name=a, version=1 log.source=http version=1"}
	if got := told("1"); !slices.Equal(got, want) {
		t.Errorf("first %q, want %q", got, want)
	}
	for i := range 59 {
		if got := told("1"); len(got) > 0 {
			t.Fatalf("after %d minutes: %q", i+1, got)
		}
	}
	if got := told("1"); len(got) != 1 {
		t.Errorf("after an hour: %q", got)
	}
	if got := told("2"); len(got) != 1 {
		t.Errorf("a change: %q", got)
	}
}

// TestEventsAlone is a package without metrics: it is in order while items come.
func TestEventsAlone(t *testing.T) {
	b := alarm(t)
	b.Metrics = nil
	g := newRig(t, b)
	g.events(`[{"name":"a","v":50}]`, "")
	g.fails(`[]`, probes.StatusGenericError, "the lists are empty")
}

// TestEventDuplicateItem is about the first of two items alone.
func TestEventDuplicateItem(t *testing.T) {
	g := newRig(t, alarm(t))
	batch, _ := g.poll(`[{"name":"a","v":1},{"name":"a","v":50}]`)
	if got := said(batch); got != "open a is low at 1 % 1 a" {
		t.Errorf("events %q", got)
	}
}
