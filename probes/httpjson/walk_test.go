package httpjson

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

var decimalForm = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// naiveNumber is the number of a decoded value, by the words of the manual.
func naiveNumber(v any) (float64, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	case string:
		text := strings.TrimSpace(x)
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil && decimalForm.MatchString(text)
	}
	return 0, false
}

// naiveItems are the values v of the items of a list or object, by their key.
func naiveItems(root any) map[string]float64 {
	items := map[string]any{}
	switch x := root.(type) {
	case []any:
		for i, v := range x {
			items[strconv.Itoa(i)] = v
		}
	case map[string]any:
		maps.Copy(items, x)
	}
	found := map[string]float64{}
	for key, item := range items {
		m, _ := item.(map[string]any)
		if f, ok := naiveNumber(m["v"]); ok {
			found[key] = f
		}
	}
	return found
}

// walkOnce goes through a document as a poll does.
func walkOnce(p *Probe, b *plan.DocBlock, doc *document, up time.Duration) *poll {
	stamp := probes.Stamp{Boot: probes.BootID{1}, Uptime: up}
	p.state.begin(stamp, "")
	run := &poll{probe: p, state: &p.state, stamp: stamp, budget: &budget{ctx: context.Background()}, noted: map[string]bool{}}
	t := newTally(b)
	run.walk(t, doc)
	run.finish(t, true)
	return run
}

// FuzzWalk holds the points of two polls against a second reading of the
// document: gauges are the numbers, counters that stand still grow by nothing.
func FuzzWalk(f *testing.F) {
	for _, text := range []string{
		`[{"v":1},{"v":"2.5"},{"v":null},{"v":"NaN"},{"v":1e999},7,{"v":true}]`, `{"a":{"v":-3},"b":{"v":[1]},"c":null}`,
		`[{"v":18446744073709551615},{"v":" +.5e1 "}]`, `[[{"v":1}]]`, `[{"v":"0x1p4"},{"v":"1_0"},{"v":"."}]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := parse(body)
		if err != nil || len(body) > 10_000 {
			return
		}
		var root any
		decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
		decoder.UseNumber()
		if err := decoder.Decode(&root); err != nil {
			t.Fatal(err)
		}
		if m, ok := root.(map[string]any); ok && len(m) != doc.size(0) {
			return // two items would have one key
		}
		for key := range naiveItems(root) {
			if key == "" || len(key) > 200 {
				return // it is no dimension
			}
		}
		b := block(t, metric(t, "g", plan.DocGauge, "path:v"), metric(t, "c", plan.DocCount, "path:v"))
		b.Dims = []plan.DocDim{dim(t, "key", "this:key")}
		p := &Probe{endpoint: &plan.DocEndpoint{Host: "h", URL: "http://h"}}
		want := naiveItems(root)
		walkOnce(p, &b, doc, time.Minute)
		run := walkOnce(p, &b, doc, 2*time.Minute)
		got := map[string]float64{}
		for _, point := range run.batch.Points {
			if point.Value.Check() != nil {
				t.Fatalf("%v is no value", point.Value)
			}
			if point.Series.Key() == "c" {
				if point.Value.Float64() != 0 {
					t.Fatalf("%s grew by %v", point.Series.Dim("key"), point.Value.Float64())
				}
				continue
			}
			got[point.Series.Dim("key")] = point.Value.Float64()
		}
		if !maps.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-12*math.Abs(b) }) {
			t.Fatalf("%s: found %v, want %v", body, got, want)
		}
	})
}

// FuzzRestore holds that what is taken over is written again as it was.
func FuzzRestore(f *testing.F) {
	s := state{}
	s.begin(probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Hour, Wall: 1}, "")
	b := alarm(f)
	b.Metrics[0].Type = plan.DocCount
	r, _ := s.row(&b, []probes.Dimension{{Key: "name", Value: "a"}})
	r.counters[0] = counter{plan.Cell{Kind: plan.Integer, Int: 5}, s.now}
	r.open[0] = &openEvent{event: probes.Event{Type: "WARNING", Title: "t", Properties: []probes.Dimension{{Key: "a", Value: "b"}}}, sent: s.now}
	data, err := s.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"Format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second state
		if first.unmarshal(data) != nil {
			return
		}
		written, err := first.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := second.unmarshal(written); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%s\nis written as\n%s (%v)", data, written, err)
		}
	})
}

// TestDormantBound forgets items that are many and come and go.
func TestDormantBound(t *testing.T) {
	b := block(t, metric(t, "c", plan.DocCount, "path:v"))
	b.Dims = []plan.DocDim{dim(t, "name", "path:name")}
	p := &Probe{endpoint: &plan.DocEndpoint{Host: "h", URL: "http://h"}}
	for round := range 3 {
		var items []string
		for i := range 15_000 {
			items = append(items, fmt.Sprintf(`{"name":"%d-%d","v":1}`, round, i))
		}
		doc, err := parse([]byte("[" + strings.Join(items, ",") + "]"))
		if err != nil {
			t.Fatal(err)
		}
		walkOnce(p, &b, doc, time.Duration(round+1)*time.Minute)
	}
	if n := len(p.state.blocks[&b].rows); n != 15_000+maxDormant {
		t.Errorf("%d items are remembered, want %d", n, 15_000+maxDormant)
	}
}

func BenchmarkPoll(b *testing.B) {
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"name":"device-%d","ip":"192.0.2.1","v":%d,"state":"OK","text":"some text"}`, i, i))
	}
	text := []byte("[" + strings.Join(items, ",") + "]")
	blk := block(b, metric(b, "g", plan.DocGauge, "path:v"), metric(b, "c", plan.DocCount, "path:v"))
	p := &Probe{endpoint: &plan.DocEndpoint{Host: "h", URL: "http://h"}}
	b.ReportAllocs()
	at := time.Minute
	for b.Loop() {
		doc, err := parse(text)
		if err != nil {
			b.Fatal(err)
		}
		at += time.Minute
		walkOnce(p, &blk, doc, at)
	}
}
