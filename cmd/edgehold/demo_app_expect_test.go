package main_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// demoReader works out, with code of its own, what the example package has to
// make of the answers of the demo application.
type demoReader struct {
	sets   []string // feature sets
	group  string   // the one group that passes the filter; "": all of My
	counts map[string]float64
	open   map[string]demoOpen
}

type demoOpen struct {
	device, title string
	sent          time.Duration
}

// demoAnswer is one answer to GET /topology and when it was asked for.
type demoAnswer struct {
	body    []byte
	elapsed time.Duration // since the answer before
	at      time.Duration
}

func (r *demoReader) has(set string) bool { return slices.Contains(r.sets, set) }

// wanted is one line without the dimensions that every line has.
type wanted struct {
	key     string
	dims    map[string]string
	payload string // as draintest writes it
	rate    float64
}

// series is the key and the sorted dimensions.
func (w wanted) series() string { return seriesText(w.key, w.dims) }

func seriesText(key string, dims map[string]string) string {
	parts := []string{}
	for k, v := range dims {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return key + "," + strings.Join(parts, ",")
}

// plain prints a number as short as it can be.
func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

type demoItem = map[string]any

// lines are what one answer gives.
func (r *demoReader) lines(t *testing.T, a demoAnswer) (all []wanted) {
	t.Helper()
	for _, g := range demoGroups(t, a.body) {
		name := g["name"].(string)
		if !strings.HasPrefix(name, "My") || r.group != "" && name != r.group {
			continue
		}
		devices := demoDevices(g)
		all = append(all, wanted{key: "demo_app.group.devices", dims: demoDims{"group": name}, payload: fmt.Sprintf("gauge,%d", len(devices))})
		for _, d := range devices {
			all = append(all, r.device(a, name, d)...)
		}
	}
	return all
}

type demoDims = map[string]string

func demoGroups(t *testing.T, body []byte) (groups []demoItem) {
	t.Helper()
	if err := json.Unmarshal(body, &groups); err != nil {
		t.Fatal(err)
	}
	return groups
}

func demoDevices(g demoItem) (devices []demoItem) {
	list, ok := g["devices"].([]any)
	if !ok {
		list = g["nodes"].([]any)
	}
	for _, d := range list {
		devices = append(devices, d.(demoItem))
	}
	return devices
}

func (r *demoReader) device(a demoAnswer, group string, d demoItem) (all []wanted) {
	name, stats := d["name"].(string), d["stats"].(demoItem)
	add := func(metric, payload string, more ...string) *wanted {
		w := wanted{key: "demo_app.device." + metric, dims: demoDims{"group": group, "device": name}, payload: payload}
		for i := 0; i < len(more); i += 2 {
			w.dims[more[i]] = more[i+1]
		}
		all = append(all, w)
		return &all[len(all)-1]
	}
	add("random", "gauge,"+plain(stats["random"].(float64)))
	add("state", "gauge,1", "state", stats["state"].(string))
	add("present", "gauge,1")
	add("info", "gauge,1", "version", stats["version"].(string), "dt.ip_addresses", d["ip"].(string))

	now, place := stats["counter"].(float64), group+"/"+name
	if before, known := r.counts[place]; known && now >= before {
		add("requests", "count,delta="+plain(now-before))
		if r.has("statistics") {
			add("request_rate", "").rate = (now - before) / a.elapsed.Seconds()
		}
	}
	r.counts[place] = now
	if level, has := stats["battery_level"].(float64); has && r.has("battery") {
		add("battery", "gauge,"+plain(level))
		add("battery_used", "gauge,"+plain(math.Round((100-level)*10)/10))
	}
	if r.has("statistics") {
		list, ok := stats["stat_counter"].([]any)
		if !ok {
			list = stats["stats_counter"].([]any)
		}
		low, high, sum := math.Inf(1), math.Inf(-1), 0.0
		for _, v := range list {
			f := v.(float64)
			low, high, sum = min(low, f), max(high, f), sum+f
		}
		add("values", fmt.Sprintf("gauge,min=%s,max=%s,sum=%s,count=%d", plain(low), plain(high), plain(sum), len(list)))
	}
	return all
}

// events are those that one answer opens, repeats or closes, as "what: title".
func (r *demoReader) events(t *testing.T, a demoAnswer) (all []string) {
	t.Helper()
	there := map[string]bool{}
	for _, g := range demoGroups(t, a.body) {
		name := g["name"].(string)
		if !strings.HasPrefix(name, "My") || r.group != "" && name != r.group {
			continue
		}
		for _, d := range demoDevices(g) {
			there[name+"/"+d["name"].(string)] = true
			all = append(all, r.eventsOf(a, name, d)...)
		}
	}
	for place, open := range r.open {
		if !there[open.device] { // a device that has gone has no events
			delete(r.open, place)
			all = append(all, "close "+open.title)
		}
	}
	slices.Sort(all)
	return all
}

func (r *demoReader) eventsOf(a demoAnswer, group string, d demoItem) (all []string) {
	name, stats := d["name"].(string), d["stats"].(demoItem)
	level, has := stats["battery_level"].(float64)
	random, counter := stats["random"].(float64), stats["counter"].(float64)
	for _, e := range []struct {
		set, kind, title, text string
		holds                  bool
		timeout                time.Duration
	}{
		{"events", "ERROR_EVENT", name + " has failed", fmt.Sprintf("%s of %s is in the state ERROR at request %v", name, group, counter), stats["state"] == "ERROR", 15 * time.Minute},
		{"events", "PERFORMANCE_EVENT", name + " draws too high a number", fmt.Sprintf("%v, expected at most 900", random), random > 900, 15 * time.Minute},
		{"battery", "RESOURCE_CONTENTION_EVENT", "The battery of " + name + " is low", fmt.Sprintf("%v %% left", level), has && level < 20 && level > 0, 30 * time.Minute},
		{"battery", "AVAILABILITY_EVENT", "The battery of " + name + " is empty", "", has && level <= 0, 15 * time.Minute},
		{"events", "CUSTOM_INFO", name + " has started", "", counter < 3, 15 * time.Minute},
	} {
		if !r.has(e.set) {
			continue
		}
		place := e.title + "/" + group
		open, lasts := r.open[place]
		full := fmt.Sprintf("%s %s of %s: %s", e.kind, e.title, group, e.text)
		switch {
		case e.holds && !lasts:
			r.open[place] = demoOpen{group + "/" + name, full, a.at}
			all = append(all, "open "+full)
		case e.holds && a.at-open.sent >= e.timeout/2:
			r.open[place] = demoOpen{open.device, open.title, a.at}
			all = append(all, "open "+open.title)
		case !e.holds && lasts:
			delete(r.open, place)
			all = append(all, "close "+open.title)
		}
	}
	return all
}

func newDemoReader(sets ...string) *demoReader {
	return &demoReader{sets: sets, counts: map[string]float64{}, open: map[string]demoOpen{}}
}

// demoLine is a line as the reader writes it: without the dimensions that
// every line has, which must be those given.
func demoLine(t *testing.T, l draintest.Line, every map[string]string) wanted {
	t.Helper()
	w := wanted{key: l.Key, dims: map[string]string{}, payload: l.Payload}
	for _, d := range l.Dims {
		w.dims[d.Key] = d.Value
	}
	for k, v := range every {
		if w.dims[k] != v {
			t.Errorf("%s: %s is %q, want %q", l, k, w.dims[k], v)
		}
		delete(w.dims, k)
	}
	delete(w.dims, "device.name") // as the machine resolves names
	if l.Key == "demo_app.device.request_rate" {
		w.payload, w.rate = "", l.Stats.Sum
	}
	return w
}

// sameLines compares lines in any order. A rate may differ by a thousandth and
// what the milliseconds of two stamps may hide.
func sameLines(t *testing.T, what string, got, want []wanted) {
	t.Helper()
	text := func(all []wanted) (texts []string, rates map[string]float64) {
		rates = map[string]float64{}
		for _, w := range all {
			texts = append(texts, w.series()+" "+w.payload)
			if w.rate != 0 {
				rates[w.series()] = w.rate
			}
		}
		slices.Sort(texts)
		return texts, rates
	}
	gotTexts, gotRates := text(got)
	wantTexts, wantRates := text(want)
	if !slices.Equal(gotTexts, wantTexts) {
		t.Errorf("%s gave\n%s\nwant\n%s", what, strings.Join(gotTexts, "\n"), strings.Join(wantTexts, "\n"))
	}
	for series, rate := range wantRates {
		if got := gotRates[series]; math.Abs(got-rate) > rate*0.01 {
			t.Errorf("%s: %s is %v, want %v", what, series, got, rate)
		}
	}
}
