package mqtt

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/+", "a/b", true},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"+", "", true},
		{"#", "a/b/c", true},
		{"a/#", "a", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"+/b", "a/b", true},
		{"+/b", "a/c", false},
		{"+/+/c", "a/b/c", true},
		{"+", "/a", false},
		{"/+", "/a", true},
		{"$share/g/a/+", "a/b", true},
		{"$share/g/a", "b", false},
		{"#", "$SYS/a", false},
		{"+/a", "$SYS/a", false},
		{"$SYS/#", "$SYS/a", true},
		{"p/v1/+/state", "p/v1/relay/hub/state", false},
	} {
		if got := fits(c.filter, c.topic); got != c.want {
			t.Errorf("%s fits %s: %v", c.filter, c.topic, got)
		}
	}
}

// FuzzFits holds it against a regular expression of the filter.
func FuzzFits(f *testing.F) {
	f.Add("a/+/#", "a/b")
	f.Add("+/b", "a/b")
	f.Add("#", "/")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if checkFilter(filter) != nil || strings.HasPrefix(filter, "$share/") || checkMessage(Message{Topic: topic}, longestString) != nil {
			t.Skip()
		}
		levels := strings.Split(filter, "/")
		for i, level := range levels {
			switch level {
			case "+":
				levels[i] = "[^/]*"
			case "#":
				levels[i] = "(?s:.*)"
			default:
				levels[i] = regexp.QuoteMeta(level)
			}
		}
		text := strings.Join(levels, "/")
		if before, ok := strings.CutSuffix(text, "/(?s:.*)"); ok {
			text = before + "(/(?s:.*))?"
		}
		want := regexp.MustCompile("^(?:"+text+")$").MatchString(topic) && (topic[0] != '$' || filter[0] == '$')
		if got := fits(filter, topic); got != want {
			t.Errorf("%q fits %q: %v", filter, topic, got)
		}
	})
}

// pieces are bytes that come in pieces of a size.
type pieces struct {
	data  []byte
	piece int
}

func (s *pieces) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.data)
	s.data = s.data[n:]
	return n, nil
}

// FuzzGuard gives the library what the guard lets through: it must not panic,
// nor read more packets than an own count of them; and how the bytes are cut
// into pieces must make no difference.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0, 0x90, 3, 0, 1, 1, 0x32, 6, 0, 1, 'a', 0, 1, 'b'}, 3)
	f.Add([]byte{0x20, 2, 0, 5}, 1)
	f.Add([]byte{0x20, 2, 0, 0, 0x30, 0xff, 0xff, 0xff, 0x7f}, 2)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		const most = 300
		whole := guard{most: most}
		want := whole.check(data)
		cut := guard{most: most}
		var got error
		for s := (&pieces{data, 1 + min(max(piece, 0), 1000)}); got == nil; {
			b := make([]byte, 64)
			n, err := s.Read(b)
			if err != nil {
				break
			}
			got = cut.check(b[:n])
		}
		if (want == nil) != (got == nil) || want != nil && want.Error() != got.Error() {
			t.Fatalf("in one piece: %v, in pieces of %d: %v", want, piece, got)
		}
		if want != nil {
			return
		}
		from := bytes.NewReader(data)
		for n := 0; ; n++ {
			before := from.Len()
			p, err := packets.ReadPacket(from)
			if err != nil {
				return // an unfinished packet, or one whose parts do not fit
			}
			if used := before - from.Len(); used > most+5 {
				t.Fatalf("packet of %d bytes", used)
			}
			if _, first := p.(*packets.ConnackPacket); first != (n == 0) {
				t.Fatalf("packet %d is %T", n, p)
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("%d codes", len(s.ReturnCodes))
			}
		}
	})
}
