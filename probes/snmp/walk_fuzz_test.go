package snmp

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
)

// FuzzWalk walks a random MIB under a schedule of faults, one byte a request.
// The walk must end; without faults it must return every row; under faults
// that lose but do not lie, a column that is not marked as cut must be whole
// and no cell may be wrong.
func FuzzWalk(f *testing.F) {
	f.Add(uint64(1), []byte(nil), false, false)
	f.Add(uint64(2), []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false, false)
	f.Add(uint64(3), []byte{2, 0, 3, 0, 4, 0, 5, 0, 6, 0}, true, false)
	f.Add(uint64(4), []byte{0, 7, 0, 7, 8, 8, 9, 9, 10, 10}, false, false)
	f.Add(uint64(5), []byte{11, 0, 11, 1, 0, 11, 11, 11}, false, false)
	f.Add(uint64(6), []byte{11, 6, 8, 11, 2}, true, true)
	f.Fuzz(func(t *testing.T, seed uint64, faults []byte, v1, unordered bool) {
		dice := rand.New(rand.NewPCG(seed, 1))
		cells, columns := randomTable(dice)
		a := newScripted(cells)
		a.v1 = v1
		lied := schedule(a, dice, faults)
		o := walkOptions{
			noBulk: v1, unordered: unordered, reps: dice.IntN(20), width: dice.IntN(12), requests: 3000,
			shape: shape{dice.IntN(50), dice.IntN(60)},
		}
		w := newWalk(columns, o)
		if err := a.run(w, 3001); err != nil {
			t.Fatal(err)
		}
		for _, r := range a.log {
			if r.kind == getBulk && r.reps < 1 || r.reps > 1 && r.reps*len(r.oids) > maxVarbinds ||
				r.reps > orDefault(o.reps, defaultMaxReps) || len(r.oids) > orDefault(o.width, defaultWidth) {
				t.Errorf("a GETBULK asks for %d x %d varbinds", len(r.oids), r.reps)
			}
		}
		for _, c := range w.columns {
			want := rowsOf(cells, c.root)
			switch {
			case len(faults) == 0 && c.cut != nil:
				t.Errorf("column %s cut without a fault: %v", c.root, c.cut)
			case *lied:
			case c.cut == nil && (len(c.cells)+c.missing != len(want) || c.missing == 0 && !maps.Equal(c.cells, want)):
				t.Errorf("column %s: %d rows of %d, %d missing, not marked as cut", c.root, len(c.cells), len(want), c.missing)
			}
			for index, cell := range c.cells {
				if !*lied && cell != want[index] {
					t.Errorf("column %s row %s is %v, want %v", c.root, index, cell, want[index])
				}
			}
		}
	})
}

func randomTable(dice *rand.Rand) (cells map[string]plan.Cell, columns []string) {
	cells = map[string]plan.Cell{sysUpTime: number(1)}
	for c := range 1 + dice.IntN(14) {
		column := fmt.Sprintf("1.3.6.1.4.1.%d.%d", 9+dice.IntN(3), 1+c*dice.IntN(30))
		columns = append(columns, column)
		for range dice.IntN(40) {
			index := fmt.Sprintf("%d", dice.Uint32())
			for range dice.IntN(3) {
				index += fmt.Sprintf(".%d", dice.IntN(300))
			}
			cells[column+"."+index] = number(dice.IntN(1000))
		}
	}
	return cells, columns
}

// schedule makes the agent misbehave, once for each byte.
func schedule(a *scripted, dice *rand.Rand, faults []byte) (lied *bool) {
	lied = new(bool)
	a.after = func(r request, resp *response) error {
		if len(faults) == 0 {
			return nil
		}
		fault := faults[0]
		faults = faults[1:]
		switch n := len(resp.vars); fault % 12 {
		case 1:
			return errTimeout
		case 2:
			return errMalformed
		case 3:
			*resp = response{status: tooBig}
		case 4:
			*resp = response{status: genErr, index: dice.IntN(len(r.oids) + 3)}
		case 5:
			*resp = response{status: authorizationError, index: dice.IntN(len(r.oids) + 3)}
		case 6:
			resp.vars = resp.vars[:dice.IntN(n+1)]
		case 7:
			resp.vars = append(resp.vars, resp.vars...)
		case 8:
			*lied = true
			dice.Shuffle(n, func(i, j int) { resp.vars[i], resp.vars[j] = resp.vars[j], resp.vars[i] })
		case 9:
			*lied = true
			for i := range resp.vars {
				resp.vars[i] = varbind{oid: r.oids[0], exc: exception(dice.IntN(3))}
			}
		case 10:
			*lied = true
			*resp = response{status: noSuchName, index: dice.IntN(len(r.oids) + 3)}
		case 11:
			for i := range resp.vars {
				if v := &resp.vars[i]; v.exc == noException && dice.IntN(3) == 0 {
					v.cell, v.tag = plan.Cell{}, 2 // cannot be decoded
				}
			}
		}
		return nil
	}
	return lied
}

// FuzzWalkUnordered walks a column whose rows come in any order, under faults
// that lose. A column that is not marked as cut is whole.
func FuzzWalkUnordered(f *testing.F) {
	f.Add(uint64(1), []byte(nil))
	f.Add(uint64(2), []byte{1, 6, 3, 0, 2, 6})
	f.Fuzz(func(t *testing.T, seed uint64, faults []byte) {
		dice := rand.New(rand.NewPCG(seed, 2))
		rows := 1 + dice.IntN(60)
		a := newScripted(table(3, rows))
		order := dice.Perm(rows)
		for i := range order {
			order[i]++
		}
		shuffled(a, entry+".2", order)
		honest := a.wrong
		a.wrong = func(r request) (response, error, bool) {
			resp, _, _ := honest(r)
			if len(faults) == 0 {
				return resp, nil, true
			}
			fault := faults[0]
			faults = faults[1:]
			switch fault % 4 {
			case 1:
				return response{}, errTimeout, true
			case 2:
				return response{status: tooBig}, nil, true
			case 3:
				resp.vars = resp.vars[:dice.IntN(len(resp.vars)+1)]
			}
			return resp, nil, true
		}
		lossless := len(faults) == 0
		w := newWalk(columnsOf(3), walkOptions{unordered: true, reps: 1 + dice.IntN(20)})
		if err := a.run(w, 3000); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.columns {
			want := rowsOf(a.cells, c.root)
			if lossless && c.cut != nil || c.cut == nil && !maps.Equal(c.cells, want) {
				t.Errorf("column %s: %d rows of %d, cut %v", c.root, len(c.cells), len(want), c.cut)
			}
		}
	})
}
