package snmp

import (
	"fmt"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/gosnmp/gosnmp"
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

// BenchmarkSealed is what a poll of v3 costs beside the network once the keys
// are there: a request of 10 columns is sealed, and an answer of 60 varbinds
// opened and read.
func BenchmarkSealed(b *testing.B) {
	r := request{kind: getBulk, reps: 6}
	var vars []gosnmp.SnmpPDU
	for column := range 10 {
		r.oids = append(r.oids, fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d", column+6))
		for row := range 6 {
			vars = append(vars, gosnmp.SnmpPDU{Name: fmt.Sprintf("%s.%d", r.oids[column], row), Type: gosnmp.Counter64, Value: uint64(1) << 40})
		}
	}
	for _, c := range []probes.Credential{
		v3("u", probes.AuthNone, probes.PrivNone), v3("u", probes.AuthSHA, probes.PrivNone),
		v3("u", probes.AuthMD5, probes.PrivDES), v3("u", probes.AuthSHA256, probes.PrivAES),
	} {
		b.Run(levelName(levelOf(c))+" "+string(c.Priv), func(b *testing.B) {
			p := newPeer(newKit(probes.Deps{}))
			p.engine.adopt(engineA, clockOf{7, 7}, 0)
			s := &session{peer: p, scratch: new(scratch), stats: &probes.PollStats{}, version: version3, user: newUser(c)}
			keys, err := p.engine.keys(&testKeys, c)
			if err != nil {
				b.Fatal(err)
			}
			s.user.bind(keys)
			s.lastID, s.msgID = 7, 7
			s.user.codec.SetMsgID(6)
			s.user.codec.SetRequestID(6)
			answer, err := s.user.codec.SnmpEncodePacket(gosnmp.GetResponse, vars, 0, 0)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.msgID = 6
				if _, err := s.seal(r); err != nil {
					b.Fatal(err)
				}
				n := copy(s.scratch.in[:], answer)
				if resp, ours, err := s.decode(s.scratch.in[:n]); !ours || err != nil || len(resp.vars) != 60 {
					b.Fatal(ours, err)
				}
			}
		})
	}
}

// BenchmarkKeys is what the first poll of an engine costs more, with a pass
// phrase that is known.
func BenchmarkKeys(b *testing.B) {
	for _, priv := range []probes.PrivProtocol{probes.PrivDES, probes.PrivAES, probes.PrivAES256, probes.PrivAES256C} {
		b.Run(string(priv), func(b *testing.B) {
			c := v3("u", probes.AuthSHA, priv)
			if _, err := localise(c, engineA); err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				n++
				if _, err := localise(c, fmt.Sprintf("engine-%d", n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
