package snmptest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestReadRecording(t *testing.T) {
	text := `#a comment
1.3.6.1.2.1.1.1.0|4|Plain | with a bar and spaces  
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9

1.3.6.1.2.1.2.2.1.6.1|4x|02aBff00
1.3.6.1.2.1.1.3.0|67|4294967295
1.3.6.1.2.1.2.2.1.2.1|2|-5
1.3.6.1.2.1.31.1.1.1.6.1|70|18446744073709551615
1.3.6.1.2.1.2.2.1.5.1|66|10
1.3.6.1.2.1.2.2.1.10.1|65|11
1.3.6.1.2.1.4.20.1.1.1|64|192.0.2.7
1.3.6.1.2.1.4.20.1.1.2|64x|c0000208
1.3.6.1.2.1.4.20.1.1.3|64|J}M}
1.3.6.1.2.1.4.20.1.1.4|64e|\xc0\x00\x02\t
1.3.6.1.4.1.1.1|4e|a\\b\x41\n\'"
1.3.6.1.4.1.1.2|68x|9f780400000000
1.3.6.1.4.1.1.3|5|
1.3.6.1.4.1.1.4|4|
1.3.6.1.4.1.1.5|2:numeric|scale=5,min=100,initial=154
1.3.6.1.4.1.1.6|4:writecache|value=Port 1
1.3.6.1.4.1.1.7|2|1
1.3.6.1.4.1.1.7|2|2` + "\r\n"
	mib, problems, err := ReadRecording(strings.NewReader(text))
	if err != nil || len(problems) > 0 {
		t.Fatalf("err %v, problems %v", err, problems)
	}
	for oid, want := range map[string]Value{
		"1.3.6.1.2.1.1.1.0":        OctetString("Plain | with a bar and spaces  "),
		"1.3.6.1.2.1.1.2.0":        ObjectID(MustOID("1.3.6.1.4.1.9")),
		"1.3.6.1.2.1.2.2.1.6.1":    OctetString("\x02\xab\xff\x00"),
		"1.3.6.1.2.1.1.3.0":        TimeTicks(4294967295),
		"1.3.6.1.2.1.2.2.1.2.1":    Integer(-5),
		"1.3.6.1.2.1.31.1.1.1.6.1": Counter64(18446744073709551615),
		"1.3.6.1.2.1.2.2.1.5.1":    Gauge32(10),
		"1.3.6.1.2.1.2.2.1.10.1":   Counter32(11),
		"1.3.6.1.2.1.4.20.1.1.1":   IPAddress([4]byte{192, 0, 2, 7}),
		"1.3.6.1.2.1.4.20.1.1.2":   IPAddress([4]byte{192, 0, 2, 8}),
		"1.3.6.1.2.1.4.20.1.1.3":   IPAddress([4]byte{'J', '}', 'M', '}'}),
		"1.3.6.1.2.1.4.20.1.1.4":   IPAddress([4]byte{192, 0, 2, 9}),
		"1.3.6.1.4.1.1.1":          OctetString("a\\bA\n'\""),
		"1.3.6.1.4.1.1.2":          OpaqueFloat(0),
		"1.3.6.1.4.1.1.3":          Null(),
		"1.3.6.1.4.1.1.4":          OctetString(""),
		"1.3.6.1.4.1.1.5":          Integer(154),
		"1.3.6.1.4.1.1.6":          OctetString("Port 1"),
		"1.3.6.1.4.1.1.7":          Integer(2),
	} {
		if got := mib.Get(MustOID(oid)); got != want {
			t.Errorf("%s is %+v, want %+v", oid, got, want)
		}
	}
	if mib.Len() != 19 {
		t.Errorf("%d rows, want 19", mib.Len())
	}
	sorted := slices.Clone(mib.rows)
	slices.SortFunc(sorted, func(a, b row) int { return a.oid.Compare(b.oid) })
	if !slices.EqualFunc(sorted, mib.rows, func(a, b row) bool { return a.name == b.name }) {
		t.Error("rows are not in order")
	}
}

func TestReadRecordingProblems(t *testing.T) {
	bad := []string{
		"no bars", "1.3.6.1|4", "1.3.xx.1|4|a", "|4|a", "1.3.6.1||a", "1.3.6.1|99|a", "1.3.6.1|4y|a", "1.3.6.1|300|1",
		"1.3.6.1|2|68x", "1.3.6.1|2|2147483648", "1.3.6.1|65|-1", "1.3.6.1|65|4294967296", "1.3.6.1|70|18446744073709551616",
		"1.3.6.1|4x|abc", "1.3.6.1|4e|\\q", "1.3.6.1|4e|\\", "1.3.6.1|4e|\\x4", "1.3.6.1|4e|\\xzz", "1.3.6.1|6|",
		"1.3.6.1|64|1.2.3", "1.3.6.1|64|::1", "1.3.6.1|64x|c000", "1.3.6.1|2:delay|wait=5",
	}
	lines := append([]string{"1.3.6.1.1|2|1"}, bad...)
	lines = append(lines, "1.3.6.1.2|2|2")
	mib, problems, err := ReadRecording(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(mib); !slices.Equal(got, []string{"1.3.6.1.1", "1.3.6.1.2"}) {
		t.Errorf("kept %v", got)
	}
	var at []int
	for _, p := range problems {
		at = append(at, p.Line)
	}
	for i := range bad {
		if !slices.Contains(at, i+2) {
			t.Errorf("line %d, %q, is not reported", i+2, bad[i])
		}
	}
	if len(problems) != len(bad) {
		t.Errorf("%d problems, want %d: %v", len(problems), len(bad), problems)
	}
	if _, _, err := LoadRecording(t.TempDir() + "/none.snmprec"); err == nil {
		t.Error("a missing file is no error")
	}
}

// What is read and written as OID|TAGx|HEX, or in decimal, is read back equal.
func FuzzReadRecording(f *testing.F) {
	f.Add("1.3.6.1.2.1.1.1.0|4|Plain\n1.3.6.1.2.1.2.2.1.6.1|4x|02ab\n1.3.6.1.2|70|18446744073709551615")
	f.Add("1.3.6|64|J}M}\n1.3.5|64|1.2.3.4\n1.3.4|6|2.999\n1.3.3|2|-1\n1.3.3|5|\n1.3.7|4e|\\x00\\n")
	f.Add("1.3.6|2:numeric|initial=3\n1.3.7|68x|9f780400000000\n1.3.8|128|\n1.3.9|67|1\n")
	f.Fuzz(func(t *testing.T, text string) {
		first, problems, err := ReadRecording(strings.NewReader(text))
		if err != nil {
			return
		}
		if used := first.Len() + len(problems); used > strings.Count(text, "\n")+1 {
			t.Fatalf("%d rows and problems of fewer lines", used)
		}
		written := recordingOf(first)
		second, problems, err := ReadRecording(strings.NewReader(written))
		if err != nil || len(problems) > 0 {
			t.Fatalf("%q is not read back: %v %v", written, err, problems)
		}
		if again := recordingOf(second); again != written {
			t.Fatalf("%q becomes %q", written, again)
		}
		for oid, want := range first.All() {
			if got := second.Get(oid); got != want {
				t.Fatalf("%s is %+v, want %+v", oid, got, want)
			}
		}
	})
}

func recordingOf(m *MIB) string {
	var text strings.Builder
	for oid, v := range m.All() {
		switch n, unsigned := v.Uint64(); {
		case unsigned:
			fmt.Fprintf(&text, "%s|%d|%d\n", oid, v.Tag, n)
		case v.Tag == TagInteger:
			fmt.Fprintf(&text, "%s|2|%d\n", oid, integerOf(v))
		case v.Tag == TagObjectID:
			object, _ := parseOIDBody([]byte(v.Body))
			fmt.Fprintf(&text, "%s|6|%s\n", oid, object)
		default:
			fmt.Fprintf(&text, "%s|%dx|%x\n", oid, v.Tag, v.Body)
		}
	}
	return text.String()
}

// integerOf reads the body of an Integer.
func integerOf(v Value) int64 {
	n := int64(int8(v.Body[0]))
	for _, b := range []byte(v.Body[1:]) {
		n = n<<8 | int64(b)
	}
	return n
}
