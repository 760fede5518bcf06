package snmp

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
)

// rowsOf picks the cells of a column by string prefix.
func rowsOf(cells map[string]plan.Cell, column string) map[string]plan.Cell {
	out := map[string]plan.Cell{}
	for oid, c := range cells {
		if index, ok := strings.CutPrefix(oid, column+"."); ok && c.Kind != plan.Absent {
			out[index] = c
		}
	}
	return out
}

func wantWhole(t *testing.T, w *walk, cells map[string]plan.Cell) {
	t.Helper()
	for _, c := range w.columns {
		if c.cut != nil {
			t.Errorf("column %s is cut after %d rows: %v", c.root, c.seen, c.cut)
		}
		if want := rowsOf(cells, c.root); !maps.Equal(c.cells, want) {
			t.Errorf("column %s has %d rows, want %d", c.root, len(c.cells), len(want))
		}
	}
}

func TestWalkReadsEverything(t *testing.T) {
	for _, columns := range []int{1, 3, 10, 12, 25} {
		for _, rows := range []int{0, 1, 9, 10, 11, 52} {
			for _, v1 := range []bool{false, true} {
				a := newScripted(table(columns, rows))
				a.v1 = v1
				w := newWalk(columnsOf(columns), walkOptions{noBulk: v1})
				if err := a.run(w, 10_000); err != nil {
					t.Fatal(err)
				}
				wantWhole(t, w, a.cells)
			}
		}
	}
}

func TestWalkRequestShape(t *testing.T) {
	a := newScripted(table(12, 52))
	w := newWalk(columnsOf(12), walkOptions{})
	if err := a.run(w, 1000); err != nil {
		t.Fatal(err)
	}
	if first := a.log[0]; first.kind != getBulk || len(first.oids) != 6 || first.reps != 8 {
		t.Errorf("first request has %d columns and %d repetitions, want 6 and 8", len(first.oids), first.reps)
	}
	for _, r := range a.log {
		if n := r.reps * len(r.oids); n > maxVarbinds || r.reps < 1 {
			t.Errorf("a request asks for %d x %d varbinds", len(r.oids), r.reps)
		}
	}
	// 12 x 52 cells at 48 a reply, and the second half knows where the end is.
	if len(a.log) > 15 {
		t.Errorf("%d requests for 624 cells", len(a.log))
	}
}

func TestWalkFitsLongValues(t *testing.T) {
	a := newScripted(table(2, 100))
	w := newWalk(columnsOf(2), walkOptions{})
	for {
		r, ok := w.next()
		if !ok {
			break
		}
		if len(a.log) > 0 && r.reps*len(r.oids)*200 > replyBytes {
			t.Fatalf("asks for %d varbinds of 200 bytes", r.reps*len(r.oids))
		}
		resp, err := a.answer(r)
		resp.size = 200 * len(resp.vars)
		w.feed(resp, err)
	}
	wantWhole(t, w, a.cells)
}

// Faults after which nothing is missing.
func TestWalkRecovers(t *testing.T) {
	tests := []struct {
		name  string
		v1    bool
		wrong func(r request) (response, error, bool)
	}{
		{"tooBig above 3 repetitions", false, func(r request) (response, error, bool) {
			return response{status: tooBig}, nil, r.reps > 3
		}},
		{"tooBig above 4 varbinds", false, func(r request) (response, error, bool) {
			return response{status: tooBig}, nil, max(r.reps, 1)*len(r.oids) > 4
		}},
		{"no bulk at all, silently", false, func(r request) (response, error, bool) {
			return response{}, errTimeout, r.kind == getBulk
		}},
		{"no bulk at all, genErr without an index", false, func(r request) (response, error, bool) {
			return response{status: genErr}, nil, r.kind == getBulk
		}},
		{"bulk replies that cannot be decoded", false, func(r request) (response, error, bool) {
			return response{}, errMalformed, r.kind == getBulk
		}},
		{"empty bulk replies", false, func(r request) (response, error, bool) {
			return response{}, nil, r.kind == getBulk
		}},
		{"large replies are dropped", false, func(r request) (response, error, bool) {
			return response{}, errTimeout, max(r.reps, 1)*len(r.oids) > 20
		}},
		{"one OID a request", false, func(r request) (response, error, bool) {
			return response{}, errTimeout, max(r.reps, 1)*len(r.oids) > 1
		}},
		{"v1, tooBig above 2 OIDs", true, func(r request) (response, error, bool) {
			return response{status: tooBig}, nil, len(r.oids) > 2
		}},
		{"bulk fails for one column, with its index", false, func(r request) (response, error, bool) {
			i := slices.IndexFunc(r.oids, func(oid string) bool { return strings.HasPrefix(oid, entry+".4") })
			return response{status: genErr, index: i + 1}, nil, r.kind == getBulk && i >= 0
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newScripted(table(10, 30))
			a.v1, a.wrong = test.v1, test.wrong
			w := newWalk(columnsOf(10), walkOptions{noBulk: test.v1})
			if err := a.run(w, 1000); err != nil {
				t.Fatal(err)
			}
			wantWhole(t, w, a.cells)
		})
	}
}

// Faults that cost rows: exactly the columns at fault are cut, with the reason
// and with the rows before it.
func TestWalkHalfRead(t *testing.T) {
	third := entry + ".3"
	inThird := func(r request) bool {
		return slices.ContainsFunc(r.oids, func(oid string) bool { return oid == third || strings.HasPrefix(oid, third+".") })
	}
	replace := func(from string, v varbind) func(request, *response) error {
		return func(r request, resp *response) error {
			for i := range resp.vars {
				if resp.vars[i].oid == from {
					resp.vars[i] = v
				}
			}
			return nil
		}
	}
	holds := func(resp *response) int {
		return slices.IndexFunc(resp.vars, func(v varbind) bool { return v.oid == third+".13" })
	}
	tests := []struct {
		name  string
		wrong func(r request) (response, error, bool)
		after func(r request, resp *response) error
		rows  int // of the third column
		why   string
	}{
		{"repeated OID", nil, replace(third+".13", varbind{oid: third + ".12"}), 12, "do not increase"},
		{"swapped rows", nil, replace(third+".13", varbind{oid: third + ".14", cell: number(3014)}), 13, "do not increase"},
		{"back to an earlier column", nil, replace(third+".13", varbind{oid: entry + ".1.1", cell: number(1)}), 12, "do not increase"},
		{"genErr on one column", func(r request) (response, error, bool) {
			return response{status: genErr}, nil, inThird(r)
		}, nil, 0, "genErr"},
		{"genErr on one row", nil, func(r request, resp *response) error {
			if holds(resp) >= 0 {
				*resp = response{status: genErr}
			}
			return nil
		}, 12, "genErr"},
		{"silence on one column", func(r request) (response, error, bool) {
			return response{}, errTimeout, inThird(r)
		}, nil, 0, "no answer in time"},
		{"noAccess with an index", func(r request) (response, error, bool) {
			i := slices.IndexFunc(r.oids, func(oid string) bool { return strings.HasPrefix(oid, third) })
			return response{status: noAccess, index: i + 1}, nil, i >= 0
		}, nil, 0, "access denied"},
		{"a row that cannot be decoded", nil, func(r request, resp *response) error {
			switch i := holds(resp); {
			case i == 0:
				return errMalformed
			case i > 0:
				resp.vars = resp.vars[:i]
			}
			return nil
		}, 12, "could not be decoded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newScripted(table(5, 30))
			a.wrong, a.after = test.wrong, test.after
			w := newWalk(columnsOf(5), walkOptions{})
			if err := a.run(w, 2000); err != nil {
				t.Fatal(err)
			}
			for i, c := range w.columns {
				if i == 2 {
					continue
				}
				if c.cut != nil || len(c.cells) != 30 {
					t.Errorf("column %s: %d rows, cut: %v", c.root, len(c.cells), c.cut)
				}
			}
			c := w.columns[2]
			if c.cut == nil || !strings.Contains(c.cut.Error(), test.why) {
				t.Errorf("reason %v, want one with %q", c.cut, test.why)
			}
			if len(c.cells) != test.rows {
				t.Errorf("%d rows kept, want %d", len(c.cells), test.rows)
			}
		})
	}
}

func TestWalkSkipsHoles(t *testing.T) {
	a := newScripted(table(3, 30))
	hole := entry + ".2.7"
	a.after = func(r request, resp *response) error {
		for i := range resp.vars {
			if resp.vars[i].oid == hole {
				resp.vars[i] = varbind{oid: hole, exc: noSuch}
			}
		}
		return nil
	}
	w := newWalk(columnsOf(3), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	delete(a.cells, hole)
	wantWhole(t, w, a.cells)
}

func TestWalkMissingColumn(t *testing.T) {
	// Some agents repeat the OID that was asked for, as in the answer to a GET.
	a := newScripted(table(2, 5))
	missing := entry + ".3"
	a.after = func(r request, resp *response) error {
		for i := range resp.vars {
			if r.oids[i%len(r.oids)] == missing {
				resp.vars[i] = varbind{oid: missing, exc: noSuch}
			}
		}
		return nil
	}
	w := newWalk(columnsOf(3), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, a.cells)
}

func TestWalkStartsOverAtTheEnd(t *testing.T) {
	a := newScripted(table(1, 5))
	last := entry + ".1.5"
	a.after = func(r request, resp *response) error {
		for i := range resp.vars {
			if compareOIDs(resp.vars[i].oid, last) > 0 {
				resp.vars[i] = varbind{oid: "1.3.6.1.2.1.1.1.0"}
			}
		}
		return nil
	}
	w := newWalk(columnsOf(1), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, a.cells)
}

func TestWalkCutReply(t *testing.T) {
	a := newScripted(table(4, 30))
	a.after = func(r request, resp *response) error {
		resp.vars = resp.vars[:min(len(resp.vars), 6)]
		return nil
	}
	w := newWalk(columnsOf(4), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, a.cells)
}

func TestWalkBounds(t *testing.T) {
	endless := func(r request) (response, error, bool) {
		var resp response
		at := slices.Clone(r.oids)
		for range max(r.reps, 1) {
			for i := range at {
				at[i] += ".1"
				if n := strings.LastIndexByte(r.oids[i], '.'); len(r.oids[i]) > len(entry)+2 {
					k := arcs(r.oids[i])
					at[i] = fmt.Sprintf("%s.%d", r.oids[i][:n], k[len(k)-1]+uint64(len(resp.vars))+1)
				}
				resp.vars = append(resp.vars, varbind{oid: at[i], cell: number(1)})
			}
		}
		return resp, nil, true
	}
	a := newScripted(nil)
	a.wrong = endless
	w := newWalk(columnsOf(2), walkOptions{rows: 100})
	if err := a.run(w, 200); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.columns {
		if c.cut == nil || c.seen != 100 {
			t.Errorf("column %s: %d rows, cut %v; want 100 rows and a reason", c.root, c.seen, c.cut)
		}
	}
	w = newWalk(columnsOf(2), walkOptions{bytes: 10_000})
	if err := a.run(w, 200); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.columns {
		if !errors.Is(c.cut, errTooMuch) || c.seen*cellBytes > 10_000 {
			t.Errorf("column %s: %d rows, cut %v", c.root, c.seen, c.cut)
		}
	}
	w = newWalk(columnsOf(2), walkOptions{requests: 5})
	a.log = nil
	if err := a.run(w, 200); err != nil {
		t.Fatal(err)
	}
	if len(a.log) != 5 || w.columns[0].cut == nil {
		t.Errorf("%d requests, cut %v; want 5 and a reason", len(a.log), w.columns[0].cut)
	}
}

func TestWalkLesson(t *testing.T) {
	silent := func(column string) func(r request) (response, error, bool) {
		return func(r request) (response, error, bool) {
			return response{}, errTimeout, slices.ContainsFunc(r.oids, func(oid string) bool { return strings.HasPrefix(oid, column) })
		}
	}
	levels := map[string]int{}
	start := func(c string) int { return levels[c] }

	a := newScripted(table(5, 20))
	a.wrong = silent(entry + ".3")
	w := newWalk(columnsOf(5), walkOptions{level: start})
	if err := a.run(w, 500); err != nil {
		t.Fatal(err)
	}
	rungs, common := w.lesson()
	if len(rungs) != 1 || rungs[entry+".3"] != len(w.ladder)-1 || common != 0 {
		t.Fatalf("lesson %v, %d; want the third column only, at the last rung", rungs, common)
	}

	// The next walk is quick: one attempt at the bad column, at the end.
	maps.Copy(levels, rungs)
	first := len(a.log)
	a.log = nil
	w = newWalk(columnsOf(5), walkOptions{level: start})
	if err := a.run(w, 500); err != nil {
		t.Fatal(err)
	}
	if len(a.log) >= first/2 || len(a.log) > 5 {
		t.Errorf("%d requests after %d, want few", len(a.log), first)
	}
	for i, c := range w.columns {
		if (c.cut != nil) != (i == 2) {
			t.Errorf("column %s cut: %v", c.root, c.cut)
		}
	}

	// A device without bulk teaches for all its tables.
	a.wrong = func(r request) (response, error, bool) { return response{}, errTimeout, r.kind == getBulk }
	w = newWalk(columnsOf(5), walkOptions{})
	if err := a.run(w, 500); err != nil {
		t.Fatal(err)
	}
	if _, common = w.lesson(); w.ladder[common].kind != getNext || w.ladder[common].width < 5 {
		t.Errorf("lesson is rung %d %+v, want GETNEXT of several columns", common, w.ladder[common])
	}
}

func TestV1EndOfMIB(t *testing.T) {
	// Column 2 is the last object of the MIB; its noSuchName must not end
	// column 1, which is longer.
	cells := map[string]plan.Cell{}
	for i := 1; i <= 9; i++ {
		cells[fmt.Sprintf("1.3.6.1.2.1.1.9.%d", i)] = number(i)
	}
	for i := 1; i <= 4; i++ {
		cells[fmt.Sprintf("1.3.6.1.4.1.9.%d", i)] = number(i)
	}
	a := newScripted(cells)
	a.v1 = true
	w := newWalk([]string{"1.3.6.1.2.1.1.9", "1.3.6.1.4.1.9"}, walkOptions{noBulk: true})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, cells)
}
