package snmp

import (
	"fmt"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// BenchmarkExchange is one GETBULK of six rows of ten columns over the loopback,
// the responder's share included.
func BenchmarkExchange(b *testing.B) {
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": snmptest.NewSwitch("x", 24, 1, nil)}})
	if err != nil {
		b.Fatal(err)
	}
	defer agent.Close()
	d, err := ParseDevice(agent.Addr())
	if err != nil {
		b.Fatal(err)
	}
	s, err := dial(b.Context(), plan.Device{Host: d.Host, Port: d.Port, Retries: -1}, newPeer(newKit(probes.Deps{})), &probes.PollStats{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	if err := s.use(credentialOf("public", false)); err != nil {
		b.Fatal(err)
	}
	r := request{kind: getBulk, reps: 6}
	for column := range 10 {
		r.oids = append(r.oids, fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d", column+6))
	}
	b.ReportAllocs()
	for b.Loop() {
		if resp, err := s.exchange(b.Context(), r); err != nil || len(resp.vars) != 60 {
			b.Fatal(len(resp.vars), err)
		}
	}
}

// BenchmarkSealed makes and reads back a v3 message of 60 varbinds.
func BenchmarkSealed(b *testing.B) {
	for _, c := range []probes.Credential{
		v3("u", probes.AuthNone, probes.PrivNone), v3("u", probes.AuthSHA, probes.PrivNone), v3("u", probes.AuthSHA256, probes.PrivAES),
	} {
		b.Run(levelName(levelOf(c)), func(b *testing.B) {
			u := newUser(c)
			if err := u.bind(new(keyTable).localise(c, engineA), engineA); err != nil {
				b.Fatal(err)
			}
			r := request{kind: getBulk, reps: 6}
			for column := range 60 {
				r.oids = append(r.oids, fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d", column+6))
			}
			var w writer
			b.ReportAllocs()
			for b.Loop() {
				w.seal(r, 7, envelope{flags: reportable | u.level, engineID: engineA, user: "u"}, u)
				m, ok := openSealed(w.bytes())
				if !ok || u.level != noAuthNoPriv && !u.signed(m.message, m.signature) {
					b.Fatal("not signed")
				}
				if _, _, ok := m.scopedPDU(u); !ok {
					b.Fatal("not readable")
				}
			}
		})
	}
}
