package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// reframe makes bytes a block of this version with the right length and
// checksum, so that what is within gets read.
func reframe(b []byte) []byte {
	b = append([]byte(nil), b[:min(len(b), MaxBlock)]...)
	b = append(b, make([]byte, max(0, atSite+1-len(b)))...)
	copy(b, magic)
	seal(b)
	return b
}

// said is what a series is called, as the second reader says it.
func said(s *probes.Series) string {
	text := fmt.Sprintf("%d %q", s.Type(), s.Key())
	for _, d := range s.Dims() {
		text += fmt.Sprintf(" %q=%q", d.Key, d.Value)
	}
	return text
}

// items tells points as the second reader does.
func items(points []probes.Point) (out []string) {
	for _, p := range points {
		v := toValue(p.Value)
		value := fmt.Sprint(v.Form, " ", v.Bits)
		if v.Stats != nil {
			value = fmt.Sprintf("%x %x %x %d", math.Float64bits(v.Stats.Min), math.Float64bits(v.Stats.Max), math.Float64bits(v.Stats.Sum), v.Stats.Count)
		}
		out = append(out, fmt.Sprintf("%s = %s @ %x %d %d", said(p.Series), value, p.Stamp.Boot, p.Stamp.Uptime.Milliseconds(), p.Stamp.Wall))
	}
	return out
}

var fewNames = map[uint32]*probes.Series{
	0: probes.NewSeries("known.zero", probes.Gauge),
	1: probes.NewSeries("known.one", probes.Count, probes.Dimension{Key: "a", Value: "b"}),
}

// FuzzReader reads any bytes as a block. Both readers take the same blocks and
// find the same in them; what is taken can be made again and is the same.
func FuzzReader(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.block)
	}
	w := NewWriter()
	f.Fuzz(func(t *testing.T, data []byte) {
		block := reframe(data)
		names := make(map[uint32]string)
		for id, s := range fewNames {
			names[id] = said(s)
		}
		want, wrong := interpret(block, names)
		h, err := ParseHeader(block)
		if err != nil {
			if wrong == nil || !IsMalformed(err) {
				t.Fatalf("header is refused, but it is in order: %v", err)
			}
			return
		}
		switch {
		case h.Kind == Points:
			checkPoints(t, w, block, want, wrong)
		case h.Kind != Probe:
			checkEntries(t, block, want, wrong)
		}
	})
}

func checkPoints(t *testing.T, w *Writer, block []byte, want interpreted, wrong error) {
	r := NewReader()
	points, err := r.Points(block, func(id uint32) *probes.Series { return fewNames[id] })
	var missing *MissingError
	switch {
	case errors.As(err, &missing):
		if wrong != nil || !want.missing {
			t.Fatalf("names are missing: %v; the other reader says %v", err, wrong)
		}
		return
	case err != nil:
		if wrong == nil && want.codec == 1 || !IsMalformed(err) {
			t.Fatalf("a good block is refused: %v", err)
		}
		return
	case wrong != nil:
		t.Fatalf("a malformed block is taken: %v", wrong)
	}
	if got := items(points); want.codec == 1 && !reflect.DeepEqual(got, want.items) {
		t.Fatalf("got  %v\nwant %v", got, want.items)
	}
	h, _ := ParseHeader(block)
	again, n, err := w.AppendPoints(nil, h, points, Naming{Again: true})
	if err != nil || n != len(points) {
		if len(block) < MaxBlock/16 { // a larger one may have been packed better than the writer does
			t.Fatalf("made again with %d of %d points: %v", n, len(points), err)
		}
		return
	}
	got, err := r.Points(again, nil)
	if err != nil {
		t.Fatalf("read again: %v", err)
	}
	if diff := differ(got, points, want.codec == 2); diff != "" {
		t.Fatalf("made again: %s", diff)
	}
}

func checkEntries(t *testing.T, block []byte, want interpreted, wrong error) {
	entries, err := NewReader().Entries(block)
	if (err == nil) != (wrong == nil) {
		t.Fatalf("one reader says %v, the other %v", err, wrong)
	}
	for i, e := range entries {
		if got := fmt.Sprintf("%d %x %d %d %x", e.Kind, e.Stamp.Boot, toStamp(e.Stamp).Uptime, e.Stamp.Wall, e.Data); len(want.items[i]) < 1000 && got != want.items[i] {
			t.Fatalf("entry %d is %s, want %s", i, got, want.items[i])
		}
	}
}

// FuzzNames reads any bytes as names, kept apart from their block.
func FuzzNames(f *testing.F) {
	for _, s := range samples(f) {
		if _, payload, err := NamesIn(s.block); err == nil && payload != nil {
			f.Add(payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		want, wrong := map[uint32]string(nil), error(nil)
		func() {
			defer func() {
				if r := recover(); r != nil {
					wrong = fmt.Errorf("%v", r)
				}
			}()
			want = readNamesAgain(payload)
		}()
		names, err := ReadNames(payload)
		if (err == nil) != (wrong == nil) {
			t.Fatalf("one reader says %v, the other %v", err, wrong)
		}
		got := make(map[uint32]string)
		for id, s := range names {
			got[id] = said(s)
		}
		if err == nil && !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// maker turns bytes into points.
type maker struct{ data []byte }

func (m *maker) byte() byte {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b
}

func (m *maker) number() uint64 {
	var b [8]byte
	m.data = m.data[copy(b[:min(8, int(m.byte()&15))], m.data):]
	return binary.LittleEndian.Uint64(b[:])
}

func (m *maker) series(all []*probes.Series) []*probes.Series {
	n := m.byte()
	key := string(make([]byte, n&3)) + fmt.Sprint("key", n)
	var dims []probes.Dimension
	for range n & 7 {
		size := int(m.byte())
		text := m.data[:min(len(m.data), size&63)]
		dims = append(dims, probes.Dimension{Key: fmt.Sprint("k", size&15), Value: string(text)})
	}
	if n&8 != 0 && len(all) > 0 {
		return append(all, probes.NewSeriesOf(key, probes.Type(1+n&1), all[0].Shared()))
	}
	return append(all, probes.NewSeries(key, probes.Type(1+n&1), dims...))
}

func (m *maker) value() probes.Value {
	switch b := m.byte(); b & 3 {
	case 0:
		return probes.Int(int64(m.number()))
	case 1:
		return probes.Float(math.Float64frombits(m.number() << (b >> 2 & 56)))
	case 2:
		return probes.Summarize(probes.Summary{Min: float64(m.byte()), Max: math.Float64frombits(m.number()), Sum: 1, Count: m.number()})
	}
	return probes.Uint(m.number())
}

func (m *maker) points() (points []probes.Point) {
	series := m.series(nil)
	stamp := probes.Stamp{Wall: 1760000000000}
	for len(m.data) > 0 && len(points) < 3000 {
		switch b := m.byte(); {
		case b < 32:
			series = m.series(series)
		case b < 64:
			stamp.Uptime = time.Duration(m.number()%(1<<40)) * time.Millisecond
			stamp.Wall += int64(m.number() % (1 << 60))
			stamp.Boot[0], stamp.Guess = b&1, b&6 == 6
		case b < 72: // many points
			for _, s := range series {
				for i := range uint64(m.byte()) {
					points = append(points, probes.Point{Series: s, Value: probes.Uint(i * i), Stamp: stamp})
				}
			}
		default:
			points = append(points, probes.Point{Series: series[int(b)%len(series)], Value: m.value(), Stamp: stamp})
		}
	}
	return points
}

// FuzzWriter makes blocks of any points. All come back as they were, in blocks
// within their size, and every block can be made again with all its names.
func FuzzWriter(f *testing.F) {
	f.Add([]byte{3, 1, 2, 3, 70, 99, 90, 8, 1, 2, 3, 4, 5, 6, 7, 8, 33, 2, 1, 1, 2, 9, 9, 70, 200})
	f.Add([]byte("points of any series, in any order, again and again, live and late, guessed and not"))
	w, r := NewWriter(), NewReader() // what one run leaves in them must not harm the next
	f.Fuzz(func(t *testing.T, data []byte) {
		m := maker{data}
		most, mask, o := 1<<12+int(m.byte())<<9, uint32(m.byte()), Naming{Numbering: NewNumbering()}
		o.Most, o.Known = min(most, MaxBlock), func(id uint32) bool { return id&mask == 0 }
		if mask == 0 {
			o.Numbering = nil
		}
		points := m.points()
		known := make(map[uint32]*probes.Series)
		for len(points) > 0 {
			block, n, err := w.AppendPoints(nil, header(), points, o)
			if err != nil {
				t.Fatal(err)
			}
			if n < 1 || len(block) > o.Most {
				t.Fatalf("%d points in %d bytes", n, len(block))
			}
			for i := range points[:n] {
				if o.Numbering != nil {
					if id := o.Numbering.ID(points[i].Series); o.Known(id) {
						known[id] = points[i].Series
					}
				}
			}
			checkBlock(t, r, block, points[:n], known)
			again, k, err := w.AppendPoints(nil, header(), points[:n], Naming{Again: true})
			if err != nil || k != n {
				t.Fatalf("made again with %d of %d points: %v", k, n, err)
			}
			checkBlock(t, r, again, points[:n], nil)
			points = points[n:]
		}
	})
}

func checkBlock(t *testing.T, r *Reader, block []byte, want []probes.Point, known map[uint32]*probes.Series) {
	t.Helper()
	got, err := r.Points(block, func(id uint32) *probes.Series { return known[id] })
	if err != nil {
		t.Fatal(err)
	}
	if diff := differ(got, want, false); diff != "" {
		t.Fatal(diff)
	}
	names := make(map[uint32]string)
	for id, s := range known {
		names[id] = said(s)
	}
	x, err := interpret(block, names)
	if err != nil || !reflect.DeepEqual(x.items, items(want)) {
		t.Fatalf("the second reader: %v, or other points", err)
	}
}

// FuzzMessages reads any bytes as each of the messages: what is taken comes
// back the same from its JSON, and names few blocks.
func FuzzMessages(f *testing.F) {
	for _, m := range messages() {
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, data, ParseDown)
		again(t, data, ParseAsk)
		again(t, data, ParseSiteState)
		again(t, data, ParseRelayState)
		if d, err := ParseDown(data); err == nil {
			sum := uint64(0)
			for _, a := range d.Acks {
				for _, r := range a.Seq {
					sum += r[1] - r[0] + 1
				}
			}
			if sum > MaxSeqs {
				t.Fatalf("a message of %d blocks is taken", sum)
			}
		}
	})
}

func again[M any](t *testing.T, data []byte, parse func([]byte) (M, error)) {
	first, err := parse(data)
	if err != nil {
		return
	}
	b, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > MaxMessage {
		return // blanks and escapes differ
	}
	second, err := parse(b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if c, _ := json.Marshal(second); string(c) != string(b) {
		t.Fatalf("%s became %s", b, c)
	}
}

// FuzzTopic parses any topic: what is taken is what is made for that id.
func FuzzTopic(f *testing.F) {
	t := Topics{DefaultPrefix}
	for _, topic := range []string{t.Up("a"), t.Down("a"), t.State("a"), t.Ask("a"), t.RelayState("a"), t.Deny(), "edgehold/v1/relay/state"} {
		f.Add(topic)
	}
	f.Fuzz(func(tt *testing.T, topic string) {
		what, id, ok := t.Parse(topic)
		if !ok {
			return
		}
		made := map[What]string{
			UpTopic: t.Up(id), DownTopic: t.Down(id), StateTopic: t.State(id), AskTopic: t.Ask(id), RelayStateTopic: t.RelayState(id), DenyTopic: t.Deny(),
		}
		if made[what] != topic || what != DenyTopic && CheckID("id", id) != nil {
			tt.Fatalf("%q is taken as %d of %q, which is %q", topic, what, id, made[what])
		}
	})
}
