package snmprec

import (
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// Whatever a device answers, masking keeps the number of rows, the result can
// be read again, equal texts stay equal, and a second time changes no count.
func FuzzMask(f *testing.F) {
	f.Add("core-sw1", "on core-sw1 at 10.1.2.3", []byte("\x00\x1b\x2c\xaa\xbb\xcc"))
	f.Add("1.2.3.4", "::1 fe80::1 aa:bb:cc:dd:ee:f0", []byte{192, 168, 1, 1})
	f.Add("", "a|b\n\x00 S/N: 12345", []byte{})
	f.Fuzz(func(t *testing.T, name, descr string, octets []byte) {
		rows := []Row{
			text("1.3.6.1.2.1.1.1.0", descr),
			text("1.3.6.1.2.1.1.5.0", name),
			text("1.3.6.1.2.1.1.6.0", descr),
			text("1.3.6.1.2.1.2.2.1.6.1", string(octets)),
			text("1.3.6.1.4.1.99.1.0", name),
			text("1.3.6.1.4.1.99.2.0", string(octets)),
			text("1.3.6.1.4.1.99.3.0", name),
		}
		spelt := []uint32{1, 3, 6, 1, 4, 1, 99, 4, 1, uint32(len(name))}
		for i := range min(len(name), 60) {
			spelt = append(spelt, uint32(name[i]))
		}
		rows = append(rows, number(oidOf(spelt), 1))
		masked, _ := Mask(rows, []string{name})
		if len(masked) != len(rows) {
			t.Fatalf("%d rows of %d", len(masked), len(rows))
		}
		mib, problems, err := snmptest.ReadRecording(strings.NewReader(written(t, masked)))
		if err != nil || len(problems) > 0 || mib.Len() != len(rows) {
			t.Fatalf("read again: %v %v, %d rows", err, problems, mib.Len())
		}
		got := byOID(masked)
		if got["1.3.6.1.4.1.99.1.0"].Cell != got["1.3.6.1.4.1.99.3.0"].Cell {
			t.Fatal("one text became two")
		}
		for _, r := range masked {
			back := mib.Get(snmptest.MustOID(r.OID))
			if r.Tag == tagOctets && back.Body != r.Cell.Text {
				t.Fatalf("%s is %q, was written as %q", r.OID, back.Body, r.Cell.Text)
			}
		}
	})
}
