package snmp

import (
	"fmt"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// TestGateCarriesScalars: scalars that came in one plain answer ride in the
// gate's request from then on. Where that goes wrong the gate asks alone, and
// the poll reads what it would have read.
func TestGateCarriesScalars(t *testing.T) {
	sysName := snmptest.MustOID("1.3.6.1.2.1.1.5.0")
	for _, tt := range []struct {
		name    string
		change  func(d *plan.Device)
		spoil   func(b *bench)
		partial bool // the name cannot be read at all
		carries bool // also then
	}{
		{name: "nothing is wrong", spoil: func(*bench) {}, carries: true},
		{name: "denied", spoil: func(b *bench) { b.agent.SetFaults(snmptest.Faults{Denied: sysName}) }, partial: true},
		{name: "genErr", spoil: func(b *bench) { b.agent.SetFaults(snmptest.Faults{GenErr: sysName}) }, partial: true},
		{name: "gone, v2c", spoil: func(b *bench) { b.mib.Delete(sysName) }, carries: true},
		{
			name: "gone, v1", change: func(d *plan.Device) { d.Credentials[0].Version = probes.SNMPv1 },
			spoil: func(b *bench) { b.mib.Delete(sysName) }, carries: true, // it is not asked for any more
		},
		{
			name: "the larger reply is lost", change: impatient,
			spoil: func(b *bench) { b.agent.SetFaults(snmptest.Faults{DropLarge: 64}) },
		},
		{name: "no room", change: func(d *plan.Device) { d.MaxOIDs = 1 }, spoil: func(*bench) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.change)
			p := ifPlan()
			p.Blocks = p.Blocks[:1]
			b.probe = b.newProbe(p)
			requests := func() int { return b.probe.PollStats().Requests }
			if _, err := b.poll(t); err != nil || requests() != 2 {
				t.Fatalf("first poll: %v, %d requests, want the gate and the scalars", err, requests())
			}
			want := 1
			if b.dev.MaxOIDs == 1 {
				want = 2
			}
			if got, err := b.poll(t); err != nil || requests() != want || len(got["uptime"]) != 1 {
				t.Fatalf("second poll: %v, %d requests, want %d; %v", err, requests(), want, got)
			}
			tt.spoil(b)
			for range 2 {
				got, err := b.poll(t)
				carried := b.probe
				b.probe = b.newProbe(p) // its first poll carries nothing
				want, wantErr := b.poll(t)
				b.probe = carried
				if len(got) != len(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) || (err != nil) != tt.partial {
					t.Errorf("spoiled: %v, %v; a probe that carries nothing: %v, %v", got, err, want, wantErr)
				}
			}
			if carries := requests() == 1; carries != tt.carries {
				t.Errorf("at last %d requests", requests())
			}
		})
	}
}

// TestGateOfTheDead: a device that goes silent costs two requests, whatever the
// gate asked for.
func TestGateOfTheDead(t *testing.T) {
	b := newBench(t, impatient)
	for range 2 {
		if _, err := b.poll(t); err != nil {
			t.Fatal(err)
		}
	}
	b.agent.SetFaults(snmptest.Faults{Silent: true})
	for range 3 {
		_, err := b.poll(t)
		wantStatus(t, err, probes.StatusDeviceConnectionError, "no answer")
		if s := b.probe.PollStats(); s.Requests != 2 || s.Retries != 1 {
			t.Errorf("%d requests, %d of them again", s.Requests, s.Retries)
		}
	}
}
