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
	f.Add(uint64(1), []byte(nil), false)
	f.Add(uint64(2), []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false)
	f.Add(uint64(3), []byte{2, 0, 3, 0, 4, 0, 5, 0, 6, 0}, true)
	f.Add(uint64(4), []byte{0, 7, 0, 7, 8, 8, 9, 9, 10, 10}, false)
	f.Fuzz(func(t *testing.T, seed uint64, faults []byte, v1 bool) {
		dice := rand.New(rand.NewPCG(seed, 1))
		cells, columns := randomTable(dice)
		a := newScripted(cells)
		a.v1 = v1
		lied := schedule(a, dice, faults)
		w := newWalk(columns, walkOptions{noBulk: v1, reps: dice.IntN(20), width: dice.IntN(12), requests: 3000})
		if err := a.run(w, 3001); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.columns {
			want := rowsOf(cells, c.root)
			switch {
			case len(faults) == 0 && c.cut != nil:
				t.Errorf("column %s cut without a fault: %v", c.root, c.cut)
			case *lied:
			case c.cut == nil && !maps.Equal(c.cells, want):
				t.Errorf("column %s: %d rows of %d, not marked as cut", c.root, len(c.cells), len(want))
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
		}
		return nil
	}
	return lied
}
