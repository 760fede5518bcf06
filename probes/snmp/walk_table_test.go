package snmp

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// 24 ports x 10 columns: a table whose size is known is not asked for more than
// it holds.
func TestWalkKnownTable(t *testing.T) {
	a := newScripted(table(11, 24))
	w := newWalk(columnsOf(10), walkOptions{})
	if err := a.run(w, 20); err != nil {
		t.Fatal(err)
	}
	first := len(a.log)
	shape := w.shape()
	if shape.rows != 24 || shape.perVar != 28 || first > 6 {
		t.Errorf("%d requests, shape %+v", first, shape)
	}
	a.log = nil
	shape.perVar = 20
	w = newWalk(columnsOf(10), walkOptions{shape: shape})
	if err := a.run(w, 20); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, a.cells)
	asked := 0
	for _, r := range a.log {
		asked += len(r.oids) * r.reps
	}
	if asked != 10*25 || len(a.log) > 5 {
		t.Errorf("%d varbinds by %d requests, want 250 by 5 at most", asked, len(a.log))
	}
	// Two columns go in one request, once a longer one has gone well.
	a.log = nil
	w = newWalk(columnsOf(2), walkOptions{shape: shape, level: func(string) int { return 0 }})
	if err := a.run(w, 20); err != nil {
		t.Fatal(err)
	}
	if wantWhole(t, w, a.cells); len(a.log) != 1 {
		t.Errorf("%d requests for 2 x 24 cells", len(a.log))
	}
}

// A table that has grown or shrunk since the last poll is read all the same.
func TestWalkTableChanged(t *testing.T) {
	for _, rows := range []int{0, 1, 23, 24, 25, 60} {
		a := newScripted(table(10, rows))
		w := newWalk(columnsOf(10), walkOptions{shape: shape{rows: 24, perVar: 20}})
		if err := a.run(w, 50); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, w, a.cells)
	}
}

// shuffled lets an agent give the rows of a column in another order, as one
// that keeps them unsorted does.
func shuffled(a *scripted, column string, order []int) {
	next := map[string]int{column: order[0]}
	for i, row := range order[1:] {
		next[fmt.Sprintf("%s.%d", column, order[i])] = row
	}
	a.wrong = func(r request) (response, error, bool) {
		var resp response
		at := slices.Clone(r.oids)
		for range max(r.reps, 1) {
			for i := range at {
				v, _ := a.one(getNext, at[i])
				if row, ok := next[at[i]]; ok {
					v = varbind{oid: fmt.Sprintf("%s.%d", column, row)}
					v.cell = a.cells[v.oid]
				} else if strings.HasPrefix(at[i], column+".") {
					v = varbind{oid: column + "9.1", cell: number(1)}
				}
				at[i] = v.oid
				resp.vars = append(resp.vars, v)
			}
		}
		return resp, nil, true
	}
}

func TestWalkUnordered(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		a := newScripted(table(3, 8))
		shuffled(a, entry+".2", []int{1, 2, 5, 3, 8, 4, 7, 6})
		w := newWalk(columnsOf(3), walkOptions{unordered: unordered, reps: 3})
		if err := a.run(w, 50); err != nil {
			t.Fatal(err)
		}
		if unordered {
			wantWhole(t, w, a.cells)
			continue
		}
		if c := w.columns[1]; c.cut == nil || len(c.cells) != 3 || w.columns[0].cut != nil || w.columns[2].cut != nil {
			t.Errorf("%d rows, cut %v; want 3 and a reason, and the others whole", len(c.cells), c.cut)
		}
	}
}

// An agent that goes round in circles ends the walk, order or not.
func TestWalkUnorderedCircle(t *testing.T) {
	for _, cell := range []plan.Cell{number(7), {}} { // a value, and a hole
		a := newScripted(nil)
		turn := 0
		a.wrong = func(r request) (response, error, bool) {
			var resp response
			for range max(r.reps, 1) {
				turn++
				v := varbind{oid: fmt.Sprintf("%s.1.%d", entry, turn%5+1), cell: cell, exc: noException}
				if cell.Kind == plan.Absent {
					v.exc = noSuch
				}
				resp.vars = append(resp.vars, v)
			}
			return resp, nil, true
		}
		w := newWalk(columnsOf(1), walkOptions{unordered: true})
		if err := a.run(w, 20); err != nil {
			t.Fatal(err)
		}
		if c := w.columns[0]; c.seen != 5 || c.cut == nil || !strings.Contains(c.cut.Error(), "repeat after 5") {
			t.Errorf("%d rows, cut %v", c.seen, c.cut)
		}
	}
}

func TestWalkAsksAgain(t *testing.T) {
	bad := map[string]int{entry + ".1.4": 1, entry + ".2.9": 1, entry + ".2.10": 99} // so many answers are bad
	tests := []struct {
		name     string
		skip     func(string) bool
		missing  int // of the second column
		hopeless []string
		gets     int
	}{
		{"once more", nil, 1, []string{entry + ".2.10"}, 1},
		{"not what is known to be bad", func(oid string) bool { return oid == entry+".2.10" }, 1, nil, 1},
		{"nothing", func(string) bool { return true }, 2, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			left := maps.Clone(bad)
			a := newScripted(table(3, 30))
			a.after = func(_ request, resp *response) error {
				for i, v := range resp.vars {
					if left[v.oid] > 0 {
						left[v.oid]--
						resp.vars[i] = varbind{oid: v.oid, tag: 2}
					}
				}
				return nil
			}
			w := newWalk(columnsOf(3), walkOptions{skip: test.skip})
			if err := a.run(w, 50); err != nil {
				t.Fatal(err)
			}
			c := w.columns[1]
			if c.missing != test.missing || len(c.cells) != 30-test.missing || c.cut != nil || !slices.Equal(w.hopeless, test.hopeless) {
				t.Errorf("%d missing, %d rows, hopeless %v, cut %v", c.missing, len(c.cells), w.hopeless, c.cut)
			}
			gets := 0
			for _, r := range a.log {
				if r.kind == get {
					gets++
				}
			}
			if gets != test.gets {
				t.Errorf("%d GETs, want %d", gets, test.gets)
			}
		})
	}
}

// A device that answers GET alone is not asked for long.
func TestWalkSilence(t *testing.T) {
	a := newScripted(table(25, 24))
	a.wrong = func(r request) (response, error, bool) { return response{}, errTimeout, len(a.log) > 5 }
	w := newWalk(columnsOf(25), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	if first, last := w.columns[0], w.columns[24]; len(a.log) != 5+maxQuiet || first.cut != nil || !errors.Is(last.cut, errTimeout) {
		t.Errorf("%d requests, cut %v and %v", len(a.log), first.cut, last.cut)
	}

	// A table that is all silence costs little from the next time on.
	a = newScripted(nil)
	a.wrong = func(request) (response, error, bool) { return response{}, errTimeout, true }
	d := newDevice(plan.Device{}, newKit(probes.Deps{}))
	for _, want := range []int{maxQuiet, knownQuiet, knownQuiet} {
		a.log = nil
		w := newWalk(columnsOf(10), walkOptions{level: d.startRung})
		if err := a.run(w, 100); err != nil {
			t.Fatal(err)
		}
		if len(a.log) != want {
			t.Errorf("%d requests, want %d", len(a.log), want)
		}
		d.learnWalk(w, 0)
		d.settle(true)
	}
}

// A device that does not answer GETBULK is read with GETNEXT after a few
// timeouts, however many steps the ladder has.
func TestWalkMuteBulk(t *testing.T) {
	a := newScripted(table(10, 24))
	a.wrong = func(r request) (response, error, bool) { return response{}, errTimeout, r.kind == getBulk }
	w := newWalk(columnsOf(10), walkOptions{})
	if err := a.run(w, 100); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, a.cells)
	var tries []int
	for _, r := range a.log {
		if r.kind == getBulk {
			tries = append(tries, r.tries)
		}
	}
	if !slices.Equal(tries, []int{2, 1, 1}) {
		t.Errorf("GETBULKs with %v tries, want 2, 1 and 1", tries)
	}
}
