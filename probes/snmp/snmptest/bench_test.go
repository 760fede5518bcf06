package snmptest

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkAnswer is the work on one GETBULK of 4 columns of a fixed table,
// without sockets.
func BenchmarkAnswer(b *testing.B) {
	mib := NewMIB()
	for column := range uint32(20) {
		for index := range uint32(500) {
			mib.Set(MustOID("1.3.6.1.2.1.2.2.1").Append(column+1, index+1), Counter32(index*1e6))
		}
	}
	benchmarkAnswer(b, mib)
}

// BenchmarkAnswerSwitch is the same on a simulated switch, whose counters are
// worked out anew for each answer.
func BenchmarkAnswerSwitch(b *testing.B) {
	benchmarkAnswer(b, NewSwitch("sw", 48, 1, nil))
}

func benchmarkAnswer(b *testing.B, mib *MIB) {
	r := New(Options{Communities: map[string]*MIB{"public": mib}})
	m := Message{Header: Header{V2c, "public", GetBulkRequest, 1, 0, 20}}
	for _, column := range []uint32{10, 11, 16, 17} {
		m.Varbinds = append(m.Varbinds, Varbind{MustOID("1.3.6.1.2.1.2.2.1").Append(column), Null()})
	}
	request, out, varbinds := m.Append(nil), []byte(nil), 0
	b.ReportAllocs()
	for b.Loop() {
		answer, ok := r.answer(request, r.conduct.Load())
		if !ok {
			b.Fatal("no answer")
		}
		out = appendMessage(out[:0], answer.Header, answer.list)
		varbinds += answer.count
	}
	b.ReportMetric(float64(varbinds)/b.Elapsed().Seconds(), "varbinds/s")
}

// BenchmarkServe has one client walk a recording of a switch over loopback,
// 50 rows a request.
func BenchmarkServe(b *testing.B) {
	file := filepath.Join(corpus(b), "bsd-switch-cisco-c3560.snmprec")
	if _, err := os.Stat(file); err != nil {
		b.Skipf("SKIPPED: %v", err)
	}
	mib, _, err := LoadRecording(file)
	if err != nil {
		b.Fatal(err)
	}
	_, c := start(b, mib)
	varbinds, at := 0, OID{1, 3}
	for b.Loop() {
		m := c.ask(GetBulkRequest, 50, at)
		varbinds += len(m.Varbinds)
		last := m.Varbinds[len(m.Varbinds)-1]
		if at = last.Name; last.Value.Tag == TagEndOfMibView {
			at = OID{1, 3}
		}
	}
	b.ReportMetric(float64(varbinds)/b.Elapsed().Seconds(), "varbinds/s")
}
