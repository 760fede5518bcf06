package snmp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// scripted is a pure agent over a map of OIDs. It has code of its own for the
// order of OIDs and for bulk, so that it can judge the walker.
type scripted struct {
	oids  []string
	cells map[string]plan.Cell
	v1    bool
	wrong func(r request) (response, error, bool) // a fault that takes the request over
	after func(r request, resp *response) error   // a fault that spoils the reply
	log   []request
}

func newScripted(cells map[string]plan.Cell) *scripted {
	a := &scripted{cells: cells}
	for oid := range cells {
		a.oids = append(a.oids, oid)
	}
	slices.SortFunc(a.oids, func(x, y string) int { return slices.Compare(arcs(x), arcs(y)) })
	return a
}

func arcs(oid string) []uint64 {
	var out []uint64
	for part := range strings.SplitSeq(oid, ".") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			panic(err)
		}
		out = append(out, n)
	}
	return out
}

func (a *scripted) answer(r request) (response, error) {
	r.oids = slices.Clone(r.oids) // the walker uses them again
	a.log = append(a.log, r)
	if a.wrong != nil {
		if resp, err, taken := a.wrong(r); taken {
			return resp, err
		}
	}
	resp := a.honest(r)
	if a.after != nil {
		if err := a.after(r, &resp); err != nil {
			return response{}, err
		}
	}
	resp.size = 28 * len(resp.vars)
	return resp, nil
}

func (a *scripted) honest(r request) response {
	at := slices.Clone(r.oids)
	var resp response
	for range max(r.reps, 1) {
		for i, oid := range at {
			v, ok := a.one(r.kind, oid)
			if !ok {
				return response{status: noSuchName, index: i + 1}
			}
			resp.vars = append(resp.vars, v)
			at[i] = v.oid
		}
	}
	return resp
}

func (a *scripted) one(k kind, oid string) (varbind, bool) {
	i, found := slices.BinarySearchFunc(a.oids, oid, func(x, y string) int { return slices.Compare(arcs(x), arcs(y)) })
	if k == get {
		if found {
			return varbind{oid: oid, cell: a.cells[oid]}, true
		}
		return varbind{oid: oid, exc: noSuch}, !a.v1
	}
	if found {
		i++
	}
	if i == len(a.oids) {
		return varbind{oid: oid, exc: endOfMibView}, !a.v1
	}
	return varbind{oid: a.oids[i], cell: a.cells[a.oids[i]]}, true
}

// run lets a machine talk to the agent; limit is a guard of the test itself.
func (a *scripted) run(m machine, limit int) error {
	for range limit {
		r, ok := m.next()
		if !ok {
			return nil
		}
		m.feed(a.answer(r))
	}
	return fmt.Errorf("no end after %d requests", limit)
}

func number(n int) plan.Cell { return plan.Cell{Kind: plan.Integer, Int: int64(n)} }

const entry = "1.3.6.1.2.1.2.2.1"

// table makes rows of columns 1..columns under entry, after a system group.
func table(columns, rows int) map[string]plan.Cell {
	cells := map[string]plan.Cell{
		sysUpTime:           {Kind: plan.Unsigned, Uint: 100},
		"1.3.6.1.2.1.1.5.0": {Kind: plan.Text, Text: "switch"},
		"1.3.6.1.2.1.2.1.0": number(rows),
		"1.3.6.1.2.1.3.1.0": number(1),
	}
	for c := 1; c <= columns; c++ {
		for r := 1; r <= rows; r++ {
			cells[fmt.Sprintf("%s.%d.%d", entry, c, r)] = number(1000*c + r)
		}
	}
	return cells
}

func columnsOf(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s.%d", entry, i+1)
	}
	return out
}
