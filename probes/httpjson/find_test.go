package httpjson

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
)

const plant = `{
 "site":"p","zero":0,"none":null,"words":["a","b"],
 "groups":[
  {"name":"g1","devices":[{"name":"d1","v":1,"tags":["x","y"]},{"name":"d2","v":null}]},
  {"name":"g2","devices":[{"name":"d3","v":3,"s":{"kind":"t 1"}}]},
  {"name":"g3","devices":[]}],
 "ports":{"eth0":{"up":true},"eth 1":{"up":false}},
 "matrix":[[1,2],[3,[4]]]}`

func path(t testing.TB, text string) plan.DocPath {
	t.Helper()
	made, err := plan.ParseDocPath(text)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newScope(t testing.TB, body string) *scope {
	t.Helper()
	doc, err := parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	e := &plan.DocEndpoint{URL: "http://h:81/x", Host: "h", Port: 81}
	return &scope{doc: doc, budget: &budget{ctx: context.Background()}, endpoint: e, item: place{0, -1}}
}

// all writes the values that a path finds.
func (s *scope) all(p plan.DocPath) []string {
	found := []string{}
	s.each(p, func(at place) bool {
		b, _ := json.Marshal(s.doc.tree(at.at))
		found = append(found, string(b))
		return true
	})
	return found
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		path    string
		want    string // joined with a space
		reached bool
	}{
		{"site", `"p"`, true},
		{"none", "", false},
		{"missing.deep", "", false},
		{"site.x", "", false},
		{"words[0]", `"a"`, true},
		{"words[-1]", `"b"`, true},
		{"words[2]", "", false},
		{"words[-3]", "", false},
		{"words[]", `"a" "b"`, true},
		{"site[]", "", false},
		{"groups[].name", `"g1" "g2" "g3"`, true},
		{"groups[].devices[].name", `"d1" "d2" "d3"`, true},
		{"groups[].devices[].v", "1 3", true},
		{"groups[name=g2].devices[].name", `"d3"`, true},
		{"groups[name=g9].devices[]", "", true},
		{"groups[2].devices[]", "", true},
		{`groups[].devices[s.kind="t 1"].name`, `"d3"`, true},
		{"ports[]", `{"up":true} {"up":false}`, true},
		{"ports[].up", "true false", true},
		{`ports."eth 1".up`, "false", true},
		{"ports[up=true].up", "true", true},
		{"matrix[][]", "1 2 3 [4]", true},
		{"matrix[1][1][0]", "4", true},
		{"groups[0].devices[0].^.name", `"g1"`, true},
		{"groups[].devices[].^.name", `"g1" "g1" "g2"`, true},
		{"groups[0].devices[0].tags[0].^.^.name", `"g1"`, true},
		{"groups[0].^.site", `"p"`, true},
		{"site.^.^.site", "", false},
		{"$.site", `"p"`, true},
		{"groups[0].devices[0].name|site", `"d1"`, true},
		{"nodes[]|words[]", `"a" "b"`, true},
		{"none|zero", "0", true},
		{"missing|none", "", false},
	} {
		s := newScope(t, plant)
		got := strings.Join(s.all(path(t, c.path)), " ")
		reached := s.each(path(t, c.path), func(place) bool { return true })
		if got != c.want || reached != c.reached {
			t.Errorf("%s: found %s (%v), want %s (%v)", c.path, got, reached, c.want, c.reached)
		}
	}
	list := newScope(t, `[[{"a":1}]]`)
	if got := list.all(path(t, "[0][0].^")); len(got) != 0 {
		t.Errorf("above lists alone there is nothing, found %v", got)
	}
}

func docValue(t testing.TB, text string) *plan.DocValue {
	t.Helper()
	v, err := plan.ParseDocValue(text)
	if err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestTexts(t *testing.T) {
	s := newScope(t, plant)
	for text, want := range map[string]string{
		"path:site": "p", "path:zero": "0", "path:words": "a,b", "path:words[]": "a,b", "path:ports.eth0.up": "true",
		"path:ports": "", "path:none": "", "path:matrix": "", "path:matrix[]": "1,2,3", "const:": "", "const:c": "c",
		"size:groups": "3", "size:ports": "2", "size:groups[].devices": "3", "size:groups[].devices[]": "8", "size:site": "", "size:groups[2].devices": "0",
		"this:device.address": "h", "this:device.port": "81", "this:endpoint": "http://h:81/x", "this:key": "",
	} {
		got, ok := s.text(docValue(t, text))
		if want == "" && ok || want != "" && got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, ok, want)
		}
	}
	names := func(p string) (all []string) {
		s.items(path(t, p), func(item *scope) bool {
			text, _ := item.text(docValue(t, "this:key"))
			all = append(all, text)
			return true
		})
		return all
	}
	for p, want := range map[string][]string{
		"ports[]": {"eth0", "eth 1"}, "groups[]": {"0", "1", "2"}, "groups[name=g2]": {"1"}, "groups[-1]": {"2"}, "ports.eth0": {"eth0"},
		"groups[].devices[].tags[]": {"0", "1"}, "groups[1].devices[0].^": {"1"},
	} {
		if got := names(p); !slices.Equal(got, want) {
			t.Errorf("%s: keys %q, want %q", p, got, want)
		}
	}
	long := newScope(t, `"`+strings.Repeat("é", 2000)+`"`)
	if got, _ := long.text(docValue(t, "path:.")); len(got) != plan.MaxText || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a long text has %d bytes", len(got))
	}
}

// TestBudget ends a search that grows with the square of the document.
func TestBudget(t *testing.T) {
	s := newScope(t, "["+strings.Repeat(`{"a":1},`, 20_000)+`{"a":2}]`)
	visited := 0
	s.each(path(t, "[]"), func(p place) bool {
		item := *s
		item.item = p
		_, _ = item.one(path(t, "$[a=3]"))
		visited++
		return s.budget.err == nil
	})
	if !errors.Is(s.budget.err, errSteps) || visited > 10_000 {
		t.Errorf("after %d items: %v", visited, s.budget.err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s = newScope(t, "["+strings.Repeat("0,", 200_000)+"0]")
	s.budget = &budget{ctx: ended}
	if s.each(path(t, "[]"), func(place) bool { return true }); !errors.Is(s.budget.err, context.Canceled) {
		t.Errorf("a poll that ended: %v", s.budget.err)
	}
}

func TestConditions(t *testing.T) {
	for text, want := range map[string]bool{
		"$eq(path:site,p)": true, "$eq(path:site,q)": false, "$eq(path:zero,0.0)": true, "$eq(path:none,)": true, "$eq(path:site,)": false,
		"$eq(path:words,b)": true, "$eq(path:words[],c)": false, "$eq(path:ports.eth0.up,true)": true,
		"$prefix(path:groups[].name,g3)": true, "$suffix(path:site,p)": true, "$contains(path:site,x)": false,
		"$lt(path:zero,1)": true, "$lt(path:none,1)": false, "$lt(path:site,1)": false, "$le(path:zero,0)": true, "$gt(path:zero,0)": false, "$ge(path:zero,0)": true,
		"$gt(size:groups,2)": true, "$gt(path:groups[].devices[].v,2)": true, "$gt(path:groups[].devices[].v,3)": false,
		"$exists(path:zero)": true, "$exists(path:none)": false, "$exists(path:groups[2].devices)": true, "$exists(path:groups[2].devices[])": false, "$exists(const:)": false,
		"$and($exists(path:zero),$exists(path:none))": false, "$or($exists(path:none),$exists(path:zero))": true, "$not($exists(path:none))": true,
		"$eq(const:a,a)": true, "$eq(path:ports,)": true,
	} {
		c, err := plan.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := newScope(t, plant).holds(c); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
}

func TestCells(t *testing.T) {
	for text, want := range map[string]plan.Cell{
		`5`:                              {Kind: plan.Integer, Int: 5},
		`-5`:                             {Kind: plan.Integer, Int: -5},
		`18446744073709551615`:           {Kind: plan.Counter64, Uint: 18446744073709551615},
		`123456789012345678901234567890`: {Kind: plan.Real, Float: 123456789012345678901234567890},
		`1e3`:                            {Kind: plan.Real, Float: 1000},
		`1e400`:                          {Kind: plan.Text},
		`"12.5"`:                         {Kind: plan.Real, Float: 12.5},
		`" 12 "`:                         {Kind: plan.Integer, Int: 12},
		`"NaN"`:                          {Kind: plan.Text, Text: "NaN"},
		`"5 V"`:                          {Kind: plan.Text, Text: "5 V"},
		`true`:                           {Kind: plan.Integer, Int: 1},
		`false`:                          {Kind: plan.Integer},
		`null`:                           {},
		`[1]`:                            {Kind: plan.Text},
	} {
		if got := newScope(t, text).cell(docValue(t, "path:.")); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// naive is a value with what holds it, for a second evaluation that shares
// nothing with the first.
type naive struct {
	v  any
	up *naive
}

func (n *naive) step(s plan.DocStep, root *naive) []*naive {
	var out []*naive
	child := func(v any) { out = append(out, &naive{v, n}) }
	m, isMap := n.v.(map[string]any)
	l, isList := n.v.([]any)
	switch s.Kind {
	case plan.StepRoot:
		out = append(out, root)
	case plan.StepField:
		if v, ok := m[s.Name]; isMap && ok {
			child(v)
		}
	case plan.StepAt:
		if i := s.At; isList && i >= -len(l) && i < len(l) {
			child(l[(i+len(l))%len(l)])
		}
	case plan.StepEach, plan.StepWhere:
		for _, v := range l {
			child(v)
		}
		for _, v := range m {
			child(v)
		}
		if s.Kind == plan.StepWhere {
			out = slices.DeleteFunc(out, func(x *naive) bool { return !x.has(s.Field, s.Name) })
		}
	case plan.StepParent:
		for up := n.up; up != nil; up = up.up {
			if _, ok := up.v.(map[string]any); ok {
				return []*naive{up}
			}
		}
	}
	return out
}

func (n *naive) has(field []string, text string) bool {
	v := n.v
	for _, name := range field {
		m, _ := v.(map[string]any)
		var ok bool
		if v, ok = m[name]; !ok {
			return false
		}
	}
	switch x := v.(type) {
	case string:
		return x == text
	case json.Number:
		return string(x) == text
	case bool:
		return x && text == "true" || !x && text == "false"
	}
	return false
}

func (n *naive) find(p plan.DocPath) []string {
	for _, way := range p {
		at := []*naive{n}
		for _, s := range way {
			var next []*naive
			for _, x := range at {
				next = append(next, x.step(s, n)...)
			}
			at = next
		}
		found := []string{}
		for _, x := range at {
			if x.v != nil {
				b, _ := json.Marshal(x.v)
				found = append(found, string(b))
			}
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found
		}
	}
	return []string{}
}

// FuzzFind holds what paths find against a second evaluation.
func FuzzFind(f *testing.F) {
	for _, p := range []string{"groups[].devices[].^.name", "$.ports[up=true]|x", "matrix[][-1]", "words[1]", ".", "ports[].^.^", "[].[].^.^.[]"} {
		f.Add(plant, p)
	}
	f.Fuzz(func(t *testing.T, body, text string) {
		p, err := plan.ParseDocPath(text)
		doc, bad := parse([]byte(body))
		if err != nil || bad != nil || len(body) > 5000 || len(p) > 3 || slices.ContainsFunc(p, func(w plan.DocWay) bool { return len(w) > 8 }) {
			return
		}
		for n := range doc.values { // of keys that come twice only one is in a map
			if doc.values[n].kind == kindObject && len(doc.tree(uint32(n)).(map[string]any)) != doc.size(uint32(n)) {
				return
			}
		}
		s := newScope(t, body)
		s.budget.steps = maxSteps - 100_000
		got := s.all(p)
		if s.budget.err != nil {
			return
		}
		slices.Sort(got)
		if want := (&naive{v: decode(t, []byte(body))}).find(p); !slices.Equal(got, want) {
			t.Fatalf("%s in %s: found %v, want %v", p, body, got, want)
		}
	})
}
