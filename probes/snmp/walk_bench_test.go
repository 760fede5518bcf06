package snmp

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// tape plays back the responses of an earlier run.
type tape struct {
	agent *scripted
	saved []response
	at    int
}

func (p *tape) exchange(_ context.Context, r request) (response, error) {
	if p.at == len(p.saved) {
		resp, err := p.agent.answer(r)
		if err != nil {
			return resp, err
		}
		p.saved = append(p.saved, resp)
	}
	p.at++
	return p.saved[p.at-1], nil
}

func (p *tape) alive(context.Context) error { return nil }

// BenchmarkWalk is the work on 24 ports x 10 columns without encoding, sockets
// and decoding.
func BenchmarkWalk(b *testing.B) {
	d := newDevice(plan.Device{}, newKit(probes.Deps{}))
	columns := columnsOf(10)
	p := &tape{agent: newScripted(table(11, 24))}
	b.ReportAllocs()
	for b.Loop() {
		p.at = 0
		r := d.newReading(probes.Stamp{}, plan.Cell{})
		w := newWalk(columns, walkOptions{level: d.startRung, shape: shape{24, 24}, slate: r.slate})
		if err := drive(b.Context(), p, w); err != nil {
			b.Fatal(err)
		}
		r.addTable(w)
		if w.rows() != 24 || w.used != 5 {
			b.Fatalf("%d rows by %d requests", w.rows(), w.used)
		}
		d.learnWalk(w, 0)
		d.settle(true)
		d.drop(r)
	}
}
