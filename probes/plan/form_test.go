package plan

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestForms(t *testing.T) {
	names := map[int64]string{0: "bridge", 2: "router"}
	for _, test := range []struct {
		form     TextForm
		in, want string
	}{
		{FormAuto, "\x00\x1b\x21\xaa\xbb\xcc", "00:1b:21:aa:bb:cc"},
		{FormText, "Süd\x00\x07 1\r\n2", "Süd 1 2"},
		{FormText, "\xfcber\x01", "über"},
		{FormHex, "AB", "41:42"},
		{FormMAC, "ABCDEF", "41:42:43:44:45:46"},
		{FormMAC, "\x00\x00\x00\x00\x00\x00", ""},
		{FormMAC, "", ""},
		{FormMAC, "0:1b:21:aa:bb:c", "0:1b:21:aa:bb:c"},
		{FormIP, "\xc0\x00\x02\x0a", "192.0.2.10"},
		{FormIP, "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07", "fe80::1%7"},
		{FormIP, "\xa9\xfe\x00\x01\x00\x00\x01\x00", "169.254.0.1%256"},
		{FormIP, "10.0.0.1", "10.0.0.1"},
		{FormIP, "\x01\x02", "01:02"},
		{FormDate, "\x07\xe8\x02\x1d\x17\x3b\x3c\x05", "2024-02-29T23:59:59.5Z"},
		{FormDate, "\x07\xe8\x02\x1d\x08\x05\x00\x00-\x05\x1e", "2024-02-29T08:05:00-05:30"},
		{FormDate, "\x07\xe8\x02\x1d\x08\x05\x00\x00+\x00\x00", "2024-02-29T08:05:00Z"},
		{FormDate, "\x00\x00\x01\x01\x00\x00\x00\x00", ""},
		{FormDate, "\x07\xe7\x02\x1d\x08\x05\x00\x00", "07:e7:02:1d:08:05:00:00"}, // no 29 February
		{FormBits, "\xa0\x01", "bridge,router,15"},
		{FormBits, "\x00", ""},
		{FormBits, "", ""},
	} {
		if got := render(test.in, test.form, names); got != test.want {
			t.Errorf("form %d of %q: %q, want %q", test.form, test.in, got, test.want)
		}
	}
}

// FuzzRender: what comes out can be shown, and reads back as what went in.
func FuzzRender(f *testing.F) {
	f.Add([]byte("\xc0\x00\x02\x0a"), byte(FormIP))
	f.Add([]byte("\x07\xe8\x02\x1d\x08\x05\x00\x00-\x05\x1e"), byte(FormDate))
	f.Add([]byte{0xa0, 1}, byte(FormBits))
	f.Add([]byte{0, 1, 2, 3, 4, 5}, byte(FormMAC))
	f.Fuzz(func(t *testing.T, b []byte, form byte) {
		text := render(string(b), TextForm(form%7), nil)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q became %q", b, text)
		}
		switch TextForm(form % 7) {
		case FormHex:
			if raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); err != nil || string(raw) != string(cut(b)) {
				t.Fatalf("%q became %q", b, text)
			}
		case FormIP:
			if addr, err := netip.ParseAddr(text); len(b) == 4 && (err != nil || string(addr.AsSlice()) != string(b)) {
				t.Fatalf("%q became %q", b, text)
			}
		case FormDate:
			checkDate(t, b, text)
		case FormBits:
			if len(b) <= 32 {
				checkBits(t, b, text)
			}
		}
	})
}

func checkDate(t *testing.T, b []byte, text string) {
	t.Helper()
	want, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || len(b) != 8 && len(b) != 11 {
		return // it is no date, and shown as any octets are
	}
	if want.Year() != int(b[0])<<8|int(b[1]) || want.Minute() != int(b[5]) || want.Hour() != int(b[4]) {
		t.Fatalf("%x became %q", b, text)
	}
}

func checkBits(t *testing.T, b []byte, text string) {
	t.Helper()
	back := make([]byte, len(b))
	for number := range strings.SplitSeq(text, ",") {
		var bit int
		if _, err := fmt.Sscan(number, &bit); err == nil {
			back[bit/8] |= 1 << (7 - bit%8)
		}
	}
	if string(back) != string(b) {
		t.Fatalf("%x became %q", b, text)
	}
}

func TestIndexCells(t *testing.T) {
	for _, test := range []struct {
		arcs        Arcs
		form        TextForm
		index, want string
	}{
		{Arcs{0, 1}, FormAuto, "7.12", "7"},
		{Arcs{1, 0}, FormAuto, "7.12.3", "12.3"},
		{Arcs{-1, 1}, FormAuto, "7.12.3", "3"},
		{Arcs{-2, 1}, FormAuto, "7.12.3", "12"},
		{Arcs{}, FormAuto, "7", "7"},
		{Arcs{3, 1}, FormAuto, "7.12.3", ""},
		{Arcs{2, 2}, FormAuto, "7.12.3", ""},
		{Arcs{-4, 0}, FormAuto, "7.12.3", ""},
		{Arcs{}, FormAuto, "", ""},
		{Arcs{}, FormIP, "192.0.2.1", "192.0.2.1"},
		{Arcs{}, FormIP, "4.192.0.2.1", "192.0.2.1"},
		{Arcs{}, FormIP, "1.4.192.0.2.1", "192.0.2.1"},
		{Arcs{}, FormIP, "2.16.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1", "fe80::1"},
		{Arcs{}, FormIP, "1.300.0.2", "1.300.0.2"},
		{Arcs{1, 6}, FormMAC, "1.0.27.33.170.187.204", "00:1b:21:aa:bb:cc"},
		{Arcs{}, FormMAC, "6.0.27.33.170.187.204", "00:1b:21:aa:bb:cc"},
		{Arcs{}, FormMAC, "0.27.33", "0.27.33"},
		{Arcs{}, FormText, "3.65.66.67", "ABC"},
		{Arcs{}, FormText, "65.66.67", "ABC"},
		{Arcs{}, FormText, "9.65.66", "9.65.66"},
		{Arcs{}, FormText, "1.2.3", "1.2.3"},
		{Arcs{}, FormHex, "2.1.2", "02:01:02"},
		{Arcs{}, FormText, "99999999999999999999.1", "99999999999999999999.1"},
	} {
		d := Dim{Source: Source{Kind: FromIndex, Arcs: test.arcs, Form: test.form}}
		if got := d.text(indexCell(&d.Source, test.index)); got != test.want {
			t.Errorf("%+v form %d of %q: %q, want %q", test.arcs, test.form, test.index, got, test.want)
		}
	}
}

// FuzzIndex: no row is lost for its index: what cannot be decoded stays as it
// is, and what was decoded says the same.
func FuzzIndex(f *testing.F) {
	f.Add("1.4.192.0.2.1", 0, 0, byte(FormIP))
	f.Add("3.65.66.67", 0, 0, byte(FormText))
	f.Add("6.0.27.33.170.187.204", -7, 7, byte(FormMAC))
	f.Fuzz(func(t *testing.T, index string, from, count int, form byte) {
		s := Source{Kind: FromIndex, Arcs: Arcs{from, count}, Form: TextForm(form % 7)}
		arcs := s.Arcs.pick(index)
		if !strings.Contains("."+index+".", "."+arcs+".") && arcs != "" {
			t.Fatalf("%q is not in %q", arcs, index)
		}
		if n := strings.Count(index, ".") + 1; index != "" && count > 0 && from >= 0 && from <= n-count && strings.Count(arcs, ".")+1 != count {
			t.Fatalf("%q are not %d arcs of %q", arcs, count, index)
		}
		c := indexCell(&s, index)
		if (c.Kind == Absent) != (arcs == "") {
			t.Fatalf("%q gave %+v", index, c)
		}
		if s.Form == FormHex && c.Text != arcs && c.Kind == Text {
			var back []string
			for octet := range strings.SplitSeq(c.Text, ":") {
				var n int
				if _, err := fmt.Sscanf(octet, "%x", &n); err != nil {
					t.Fatalf("%q is no octet: %v", octet, err)
				}
				back = append(back, fmt.Sprint(n))
			}
			if whole, _ := arcOctets(FormHex, arcs); strings.Count(arcs, ".")+1 == len(back) && len(whole) == len(back) && !sameArcs(back, arcs) {
				t.Fatalf("%q became %q", arcs, c.Text)
			}
		}
	})
}

// sameArcs compares numbers, as "007" is 7.
func sameArcs(numbers []string, arcs string) bool {
	for i, arc := range strings.Split(arcs, ".") {
		if strings.TrimLeft(arc, "+0") != strings.TrimLeft(numbers[i], "0") {
			return false
		}
	}
	return true
}
