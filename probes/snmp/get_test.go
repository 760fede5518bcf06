package snmp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
)

func scalars(n int) (oids []string, cells map[string]plan.Cell) {
	cells = map[string]plan.Cell{}
	for i := 1; i <= n; i++ {
		oid := fmt.Sprintf("1.3.6.1.4.1.318.1.%d.0", i)
		oids = append(oids, oid)
		cells[oid] = number(i)
	}
	return oids, cells
}

func TestGets(t *testing.T) {
	oids, all := scalars(45)
	has := func(r request, oid string) bool { return slices.Contains(r.oids, oid) }
	tests := []struct {
		name     string
		v1       bool
		batch    int
		missing  []string // from the agent
		wrong    func(r request) (response, error, bool)
		after    func(r request, resp *response) error
		failed   []string
		requests int // at most; 0: not looked at
	}{
		{name: "all there", requests: 3},
		{name: "small batches", batch: 5, requests: 9},
		{name: "v2c, absent ones", missing: []string{oids[3], oids[44]}, requests: 3},
		{name: "v1, absent ones drop alone", v1: true, missing: []string{oids[3], oids[7], oids[44]}, requests: 6},
		{name: "v1, noSuchName without an index", v1: true, missing: []string{oids[3]}, wrong: func(r request) (response, error, bool) {
			return response{status: noSuchName}, nil, has(r, oids[3])
		}},
		{name: "tooBig above 3", wrong: func(r request) (response, error, bool) {
			return response{status: tooBig}, nil, len(r.oids) > 3
		}},
		{name: "large ones are dropped", wrong: func(r request) (response, error, bool) {
			return response{}, errTimeout, len(r.oids) > 6
		}},
		{name: "genErr for one", wrong: func(r request) (response, error, bool) {
			return response{status: genErr, index: slices.Index(r.oids, oids[9]) + 1}, nil, has(r, oids[9])
		}, failed: []string{oids[9]}, requests: 4},
		{name: "one cannot be decoded", wrong: func(r request) (response, error, bool) {
			return response{}, errMalformed, has(r, oids[9])
		}, failed: []string{oids[9]}},
		{name: "other order", after: func(_ request, resp *response) error { slices.Reverse(resp.vars); return nil }, requests: 3},
		{name: "only some at a time", after: func(_ request, resp *response) error {
			resp.vars = resp.vars[:min(7, len(resp.vars))]
			return nil
		}},
		{name: "one is left out", after: func(_ request, resp *response) error {
			resp.vars = slices.DeleteFunc(resp.vars, func(v varbind) bool { return v.oid == oids[9] })
			return nil
		}, failed: []string{oids[9]}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cells := map[string]plan.Cell{}
			for oid, c := range all {
				if !slices.Contains(test.missing, oid) {
					cells[oid] = c
				}
			}
			a := newScripted(cells)
			a.v1, a.wrong, a.after = test.v1, test.wrong, test.after
			g := newGets(slices.Clone(oids), test.batch)
			if err := a.run(g, 500); err != nil {
				t.Fatal(err)
			}
			for _, oid := range oids {
				_, failed := g.failed[oid]
				if failed != slices.Contains(test.failed, oid) {
					t.Errorf("%s failed: %v", oid, g.failed[oid])
				}
				if want := cells[oid]; !failed && g.cells[oid] != want {
					t.Errorf("%s is %v, want %v", oid, g.cells[oid], want)
				}
			}
			if test.v1 && !slices.Equal(g.absent, test.missing) {
				t.Errorf("absent %v, want %v", g.absent, test.missing)
			}
			if test.requests > 0 && len(a.log) > test.requests {
				t.Errorf("%d requests, want at most %d", len(a.log), test.requests)
			}
		})
	}
}

func TestGetsAbort(t *testing.T) {
	oids, cells := scalars(45)
	a := newScripted(cells)
	g := newGets(oids, 0)
	r, _ := g.next()
	g.feed(a.answer(r))
	g.abort(errGone)
	if _, more := g.next(); more {
		t.Error("goes on after an abort")
	}
	if len(g.cells) != 20 || len(g.failed) != 25 {
		t.Errorf("%d read, %d failed; want 20 and 25", len(g.cells), len(g.failed))
	}
}

// FuzzGets: it ends, no value is wrong, and every OID that exists was either
// read or reported, whatever is lost on the way.
func FuzzGets(f *testing.F) {
	f.Add(uint64(1), []byte(nil), false)
	f.Add(uint64(2), []byte{1, 2, 3, 4, 5, 6, 7}, true)
	f.Fuzz(func(t *testing.T, seed uint64, faults []byte, v1 bool) {
		oids, cells := scalars(int(seed%60) + 1)
		a := newScripted(cells)
		a.v1 = v1
		i := 0
		a.after = func(r request, resp *response) error {
			if i == len(faults) {
				return nil
			}
			fault := faults[i]
			i++
			switch fault % 7 {
			case 1:
				return errTimeout
			case 2:
				return errMalformed
			case 3:
				*resp = response{status: tooBig}
			case 4:
				*resp = response{status: genErr, index: int(fault) % (len(r.oids) + 2)}
			case 5:
				resp.vars = resp.vars[:int(fault)%(len(resp.vars)+1)]
			case 6:
				slices.Reverse(resp.vars)
			}
			return nil
		}
		g := newGets(oids, int(seed>>8%30))
		if err := a.run(g, 1000); err != nil {
			t.Fatal(err)
		}
		for oid, want := range cells {
			if got, read := g.cells[oid]; read && got != want || !read && g.failed[oid] == nil {
				t.Errorf("%s is %v, failed %v", oid, got, g.failed[oid])
			}
		}
	})
}

func dotted(b []byte) string {
	var parts []string
	for _, c := range b {
		parts = append(parts, fmt.Sprint(int(c)*int(c)))
	}
	return strings.Join(parts, ".")
}
