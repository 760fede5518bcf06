package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// TestHeaderRefuses spoils a good block in one field at a time.
func TestHeaderRefuses(t *testing.T) {
	good := samples(t)[0].block
	if _, err := ParseHeader(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		spoil      func(b []byte) []byte
		seal       bool
	}{
		{"empty", "do not begin", func([]byte) []byte { return nil }, false},
		{"magic", "do not begin", func(b []byte) []byte { b[0] = 'X'; return b }, true},
		{"version", "version 2 is unknown", func(b []byte) []byte { b[3] = 2; return b }, true},
		{"cut", "bytes came of", func(b []byte) []byte { return b[:len(b)-1] }, false},
		{"too long", "more than", func(b []byte) []byte { return append(b, make([]byte, MaxBlock)...) }, true},
		{"one bit", "checksum", func(b []byte) []byte { b[len(b)-9] ^= 4; return b }, false},
		{"kind", "kind 5", func(b []byte) []byte { b[atKind] = 5; return b }, true},
		{"lane", "lane 0", func(b []byte) []byte { b[atLane] = 0; return b }, true},
		{"codec", "codec 9", func(b []byte) []byte { b[atCodec] = 9; return b }, true},
		{"text of logs", "only points go as text", func(b []byte) []byte { b[atKind], b[atCodec] = 3, 2; return b }, true},
		{"flags", "flags 0x80", func(b []byte) []byte { b[atFlags] = 0x80; return b }, true},
		{"no points", "a count of 0", func(b []byte) []byte { b[atCount] = 0; return b }, true},
		{"count", "counts more than", func(b []byte) []byte { b[atCount+3] = 0xff; return b }, true},
		{"times", "is behind its last", func(b []byte) []byte { b[atFirst+7] = 0x7f; return b }, true},
		{"no site", "site: is empty", func(b []byte) []byte { b[atSite] = 0; return b }, true},
		{"site beyond the end", "goes beyond", func(b []byte) []byte { b[atSite] = 255; return b[:100] }, true},
		{"site with a wildcard", "holds", func(b []byte) []byte { b[atSite+1] = '+'; return b }, true},
	} {
		b := c.spoil(bytes.Clone(good))
		if c.seal {
			seal(b)
		}
		_, err := ParseHeader(b)
		if err == nil || !strings.Contains(err.Error(), c.want) || !IsMalformed(err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestEveryBit flips each bit of each sample: the checksum sees all.
func TestEveryBit(t *testing.T) {
	for _, s := range samples(t) {
		for i := range len(s.block) * 8 {
			b := bytes.Clone(s.block)
			b[i/8] ^= 1 << (i % 8)
			if _, err := ParseHeader(b); err == nil {
				t.Fatalf("%s: bit %d was flipped and nobody saw it", s.name, i)
			}
		}
	}
}

// TestReaderRefuses reads blocks that are sealed well and lie within.
func TestReaderRefuses(t *testing.T) {
	one := samplePoints()[:1]
	body := func(h Header, parts ...[]byte) []byte {
		h.Kind, h.First, h.Last = Points, one[0].Stamp.Wall, one[0].Stamp.Wall
		b := appendHeader(nil, h)
		b = append(b, bytes.Join(parts, nil)...)
		seal(b)
		return b
	}
	packed, text := header(), header()
	packed.Codec, packed.Count, text.Codec, text.Count = Packed, 1, Text, 1
	payload, err := arc.NewEncoder().Encode(nil, []arc.Group{{Stamp: toStamp(one[0].Stamp), IDs: []uint32{0}, Values: []arc.Value{toValue(one[0].Value)}}})
	if err != nil {
		t.Fatal(err)
	}
	line, _ := mint.AppendLine(nil, one[0])
	line = append(line, '\n')
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
		return out.Bytes()
	}
	late, local := text, packed
	late.Count, local.Local = 2, true
	id := func(uint32) *probes.Series { return one[0].Series }
	for _, c := range []struct {
		name, want string
		block      []byte
	}{
		{"good", "", body(packed, []byte{1, 0, 0, 0}, payload)},
		{"good text", "", body(text, zip(line))},
		{"more series than points", "series cannot be read", body(packed, []byte{2, 0, 1, 0}, payload)},
		{"no series", "series cannot be read", body(packed, []byte{0, 0}, payload)},
		{"id below zero", "series cannot be read", body(packed, []byte{1, 1, 0, 0}, payload)},
		{"id too large", "series cannot be read", body(packed, []byte{1, 0x80, 0x80, 0x80, 0x80, 0x40, 0, 0}, payload)},
		{"names too long", "series cannot be read", body(packed, []byte{1, 0, 0, 0xff, 0x7f}, payload)},
		{"names of unknown packing", "unknown byte", body(packed, []byte{1, 0, 0, 4, 1, 0, 0, 7}, payload)},
		{"local without names", "lacks 1 of its names", body(local, []byte{1, 0}, payload)},
		{"no payload", "points cannot be read", body(packed, []byte{1, 0, 0, 0})},
		{"bytes behind the payload", "points cannot be read", body(packed, []byte{1, 0, 0, 0}, payload, []byte{1, 2, 3})},
		{"text that is none", "does not decompress", body(text, line)},
		{"too few lines", "1 of its 2 points", body(late, zip(line))},
		{"too many lines", "more than its 1 lines", body(text, zip(append(bytes.Clone(line), line...)))},
		{"no line feed", "cannot be read", body(text, zip(line[:len(line)-1]))},
		{"a long line", "buffer full", body(text, zip(bytes.Repeat([]byte("x"), 1<<20)))},
		{"two members", "follow its text", body(text, zip(line), zip(line))},
		{"other times", "its times are", body(text, zip(bytes.Replace(line, []byte(" 1"), []byte(" 2"), 1)))},
	} {
		_, err := NewReader().Points(c.block, id)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !IsMalformed(err)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, wrong := interpret(c.block, map[uint32]string{0: "one"}); (wrong == nil) != (c.want == "") {
			t.Errorf("%s: the second reader says %v", c.name, wrong)
		}
	}
}

// TestBombs reads small blocks that unpack to far more than they may.
func TestBombs(t *testing.T) {
	deflate := func(head string, times int, piece []byte) []byte {
		var out bytes.Buffer
		z, _ := flate.NewWriter(&out, 9)
		_, _ = io.WriteString(z, head)
		for range times {
			_, _ = z.Write(piece)
		}
		_ = z.Close()
		return out.Bytes()
	}
	meg := make([]byte, 1<<20)
	number := func(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
	names := func(tables []byte) []byte {
		b := append(appendRuns(appendUvarint(nil, MaxPoints), nil), 0)
		b = append(appendUvarint(b, MaxPoints-1), packedNames)
		return append(b, tables...)
	}
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	lines := bytes.Repeat([]byte("cpu gauge,1 1767232000000\n"), 1<<15)
	for range 3 {
		_, _ = z.Write(lines)
	}
	_ = z.Close()
	h := header()
	h.Kind, h.Codec, h.Count, h.First, h.Last = Points, Text, MaxPoints, 1767232000000, 1767232000000
	bomb := append(appendHeader(nil, h), text.Bytes()...)
	seal(bomb)
	h.Kind, h.Codec, h.Count = Logs, Packed, 1
	logs := append(append(appendHeader(nil, h), packedNames), deflate(number(1)+string(meg[:19])+number(6<<20), 6, meg)...)
	seal(logs)
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"names of zeros", func() error { _, err := ReadNames(names(deflate("", 4, meg))); return err }},
		{"two million texts", func() error { _, err := ReadNames(names(deflate(number(2<<20-9), 2, meg[:1<<20-8]))); return err }},
		{"one large set, 65,536 times", func() error {
			big := strings.Repeat("x", 1<<20)
			head := number(2) + "\x01" + number(1<<20) + "k" + big + "\x01\x01\x00\x00" + string(bytes.Repeat([]byte{1}, MaxPoints))
			_, err := ReadNames(names(deflate(head+string(bytes.Repeat([]byte{1}, MaxPoints)), 1, meg[:MaxPoints])))
			return err
		}},
		{"text", func() error { _, err := NewReader().Points(bomb, nil); return err }},
		{"log records", func() error { _, err := NewReader().Entries(logs); return err }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.read()
		runtime.ReadMemStats(&after)
		if err == nil || !IsMalformed(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 128 {
			t.Errorf("%s: %d MB were allocated in all", c.name, took)
		}
	}
}

// TestNames follows names from a block to the custodian and back.
func TestNames(t *testing.T) {
	w, r, n := NewWriter(), NewReader(), NewNumbering()
	points := newMix(3, 0.5, 0.2).poll()
	block, taken, err := w.AppendPoints(nil, header(), points[:500], Naming{Numbering: n})
	if err != nil || taken != 500 {
		t.Fatal(taken, err)
	}
	ids, payload, err := NamesIn(block)
	if err != nil || len(ids) != 500 {
		t.Fatal(len(ids), err)
	}
	custodian, err := ReadNames(payload)
	if err != nil || len(custodian) != 500 {
		t.Fatal(len(custodian), err)
	}
	confirmed := func(id uint32) bool { return custodian[id] != nil }
	block, taken, err = w.AppendPoints(nil, header(), points, Naming{Numbering: n, Known: confirmed})
	if err != nil || taken != len(points) || n.Len() != len(points) {
		t.Fatal(taken, err)
	}
	if ids, _, err = NamesIn(block); err != nil || len(ids) != len(points)-500 || ids[0] != 500 {
		t.Fatal(ids, err)
	}
	if uses, err := IDsIn(block); err != nil || len(uses) != len(points) {
		t.Fatal(len(uses), err)
	}
	got, err := r.Points(block, func(id uint32) *probes.Series { return custodian[id] })
	if err != nil || differ(got, points, false) != "" {
		t.Fatal(err, differ(got, points, false))
	}
	_, err = r.Points(block, nil)
	var missing *MissingError
	if !errors.As(err, &missing) || len(missing.IDs) != 500 || IsMalformed(err) {
		t.Fatalf("without names: %v", err)
	}
	if got[0].Series.Shared() != got[1].Series.Shared() && got[9].Series.Shared() != got[10].Series.Shared() {
		t.Error("series of one row do not share their dimensions")
	}
}

// TestOrder gives points in no order at all: they come back so.
func TestOrder(t *testing.T) {
	m, dice := newMix(2, 0.5, 0.2), rand.New(rand.NewPCG(1, 2))
	points := append(m.poll(), m.poll()...)
	points = append(points, points[:300]...) // some come twice
	dice.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	for _, codec := range []Codec{Packed, Text} {
		h := header()
		h.Codec = codec
		if got := ship(t, points, h, Naming{}); got.points != len(points) {
			t.Errorf("%d points of %d", got.points, len(points))
		}
	}
}

// TestAgain makes each block of a backlog again, without numbering as after a
// restart and with all names: none of its points falls out.
func TestAgain(t *testing.T) {
	w := NewWriter()
	dice := rand.New(rand.NewPCG(3, 4))
	var points []probes.Point
	for range 20000 { // names that do not compress
		s := probes.NewSeries("key", probes.Gauge, probes.Dimension{Key: "id", Value: fmt.Sprintf("%016x%016x", dice.Uint64(), dice.Uint64())})
		points = append(points, probes.Point{Series: s, Value: probes.Int(1), Stamp: probes.Stamp{Wall: 1767232000000}})
	}
	o := Naming{Numbering: NewNumbering(), Known: func(uint32) bool { return true }, Most: MaxBlock}
	for len(points) > 0 {
		block, n, err := w.AppendPoints(nil, header(), points, o)
		if err != nil {
			t.Fatal(err)
		}
		if ids, _, _ := NamesIn(block); len(ids) > 0 {
			t.Fatal("a block brings names that all know")
		}
		for _, again := range []Naming{{Again: true}, {Numbering: o.Numbering, Again: true}} {
			b, k, err := w.AppendPoints(nil, header(), points[:n], again)
			if err != nil || k != n || len(b) > MaxBlock {
				t.Fatalf("%d of %d points in %d bytes: %v", k, n, len(b), err)
			}
		}
		if n < 2000 && n < len(points) {
			t.Fatalf("only %d points in a block", n)
		}
		points = points[n:]
	}
}

// TestPointErrors gives a first point that no block takes; as a later one it
// ends the block before it.
func TestPointErrors(t *testing.T) {
	good := samplePoints()[0]
	at := func(s *probes.Series, v probes.Value, wall int64) probes.Point {
		return probes.Point{Series: s, Value: v, Stamp: probes.Stamp{Wall: wall}}
	}
	dice := rand.New(rand.NewPCG(5, 6))
	long := make([]byte, 100<<10)
	for i := range long {
		long[i] = byte(' ' + dice.IntN(90))
	}
	huge := probes.NewSeries("huge", probes.Gauge, probes.Dimension{Key: "text", Value: string(long)})
	for _, c := range []struct {
		name, want string
		codec      Codec
		bad        probes.Point
	}{
		{"no series", "no series", Packed, at(nil, probes.Int(1), 1)},
		{"no value", "no series or no value", Packed, at(good.Series, probes.Value{}, 1)},
		{"long name", "more than the 65536 of a block", Packed, at(huge, probes.Int(1), 1)},
		{"no time", "timestamp", Text, at(good.Series, probes.Int(1), 1)},
	} {
		h := header()
		h.Codec = c.codec
		_, n, err := NewWriter().AppendPoints(nil, h, []probes.Point{c.bad, good}, Naming{})
		var p *PointError
		if !errors.As(err, &p) || n != 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		block, n, err := NewWriter().AppendPoints([]byte("before"), h, []probes.Point{good, good, c.bad, good}, Naming{})
		if err != nil || n != 2 || string(block[:6]) != "before" {
			t.Errorf("%s as the third: %d, %v", c.name, n, err)
			continue
		}
		if _, err := ParseHeader(block[6:]); err != nil {
			t.Errorf("%s as the third: %v", c.name, err)
		}
	}
	guessed := good
	guessed.Stamp.Guess = true
	if _, n, err := NewWriter().AppendPoints(nil, header(), []probes.Point{good, guessed}, Naming{}); err != nil || n != 1 {
		t.Errorf("a guess came behind a true time: %d, %v", n, err)
	}
	if _, _, err := NewWriter().AppendPoints(nil, Header{Lane: Live, Site: "relay"}, []probes.Point{good}, Naming{}); err == nil {
		t.Error("a site named relay was taken")
	}
}

// TestEntries sends events and log records, some of them large.
func TestEntries(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 8))
	for _, kind := range []Kind{Events, Logs} {
		var entries []Entry
		for i := range 900 {
			data := make([]byte, dice.IntN(400)+dice.IntN(2)*dice.IntN(4000))
			for j := range data {
				data[j] = byte('a' + dice.IntN(1+i%26))
			}
			up := time.Duration(i) * time.Second
			entries = append(entries, Entry{Kind: kind.entryKind(), Stamp: probes.Stamp{Boot: probes.BootID{1}, Uptime: up, Wall: int64(i), Guess: i > 600}, Data: data})
		}
		w, r := NewWriter(), NewReader()
		h, blocks := header(), 0
		h.Kind = kind
		for rest := entries; len(rest) > 0; blocks++ {
			block, n, err := w.AppendEntries(nil, h, rest, 0)
			if err != nil || len(block) > DefaultBlock {
				t.Fatal(n, len(block), err)
			}
			got, err := r.Entries(block)
			if err != nil || len(got) != n {
				t.Fatal(len(got), err)
			}
			for i := range got {
				if !reflect.DeepEqual(got[i].Stamp, rest[i].Stamp) || !bytes.Equal(got[i].Data, rest[i].Data) {
					t.Fatalf("entry %d is %+v, want %+v", i, got[i], rest[i])
				}
			}
			rest = rest[n:]
		}
		if blocks > 25 {
			t.Errorf("900 entries took %d blocks", blocks)
		}
		noise := make([]byte, MaxBlock)
		for i := range noise {
			noise[i] = byte(dice.IntN(256))
		}
		var p *PointError
		if _, _, err := w.AppendEntries(nil, h, []Entry{{Kind: kind.entryKind(), Data: noise}}, 0); !errors.As(err, &p) {
			t.Errorf("an entry larger than a block: %v", err)
		}
		if _, _, err := w.AppendEntries(nil, h, []Entry{{Kind: 3 - kind.entryKind()}}, 0); !errors.As(err, &p) {
			t.Errorf("an entry of another kind: %v", err)
		}
	}
}

// TestProbe makes padding of all sizes, which does not compress.
func TestProbe(t *testing.T) {
	for _, size := range []int{100, 1000, DefaultBlock, MaxBlock} {
		b, err := AppendProbe(nil, header(), size)
		if err != nil || len(b) != size {
			t.Fatal(len(b), err)
		}
		h, err := ParseHeader(b)
		if err != nil || h.Kind != Probe || h.Seq != header().Seq {
			t.Fatal(h, err)
		}
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
		if out.Len() < size*9/10 {
			t.Errorf("%d bytes of padding take %d", size, out.Len())
		}
	}
	if _, err := AppendProbe(nil, header(), MaxBlock+1); err == nil {
		t.Error("a probe above the most was made")
	}
}

// TestStockTools reads a block of text as BLOCK.md says.
func TestStockTools(t *testing.T) {
	for _, tool := range []string{"sh", "tail", "zcat"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	var block []byte
	for _, s := range samples(t) {
		if s.name == "text" {
			block = s.block
		}
	}
	path := filepath.Join(t.TempDir(), "block")
	write(t, path, block)
	out, err := exec.Command("sh", "-c", fmt.Sprintf("tail -c +%d %s | zcat", 62+len(header().Site), path)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, p := range samplePoints() {
		line, _ := mint.AppendLine(nil, p)
		want.Write(append(line, '\n'))
	}
	if string(out) != want.String() {
		t.Errorf("got\n%swant\n%s", out, want.String())
	}
}

func messages() []any {
	epoch := FormatEpoch(0xabc)
	return []any{
		Down{Relay: "hub-1", Store: epoch, SlowMS: 500, Acks: []Ack{
			{Epoch: epoch, Seq: []Range{{1, 7}, {9, 9}}, Status: StatusStored},
			{Epoch: epoch, Seq: []Range{{3, 3}}, Status: StatusDelivered, Counts: &Counts{Delivered: 5, DeadLetter: 1}},
			{Epoch: epoch, Seq: []Range{{4, 4}}, Status: StatusRejected, Reason: "why"},
		}},
		Ask{Relay: "hub-1", Epoch: epoch, Floor: 3, Seq: []Range{{3, 5}}},
		SiteState{State: StateOnline, Boot: 7, Version: "1.0", Config: "ab", Backlog: 5, OldestS: 1.5, Late: 1, At: time.Unix(1767232000, 0).UTC(), Epochs: []string{epoch}},
		RelayState{State: StateLost, Store: epoch, DeclaredLost: true},
	}
}

func TestMessages(t *testing.T) {
	parse := []func([]byte) (any, error){
		func(b []byte) (any, error) { return ParseDown(b) },
		func(b []byte) (any, error) { return ParseAsk(b) },
		func(b []byte) (any, error) { return ParseSiteState(b) },
		func(b []byte) (any, error) { return ParseRelayState(b) },
	}
	for i, m := range messages() {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse[i](b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", b, got, err)
		}
	}
	const down = `{"relay":"hub-1","store":"0000000000000001","acks":[%s]}`
	for i, c := range []struct {
		kind       int
		text, want string
	}{
		{0, `{`, "read answer"},
		{0, strings.Repeat(" ", MaxMessage+1), "more than"},
		{0, `{"relay":"a/b"}`, "relay: "},
		{0, `{"relay":"a","store":"1"}`, "store: epoch"},
		{0, `{"relay":"a","store":"0000000000000001","slow_ms":-1}`, "slow_ms"},
		{0, fmt.Sprintf(down, `{"status":"eaten"}`), `status "eaten"`},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"000000000000000G"}`), "epoch"},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"0000000000000001","seq":[[0,1]]}`), "no range"},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"0000000000000001","seq":[[5,4]]}`), "no range"},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"0000000000000001","seq":[[1,65536],[70000,70000]]}`), "more than 65536 blocks"},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"0000000000000001","seq":[[1,18446744073709551615]]}`), "more than 65536 blocks"},
		{0, fmt.Sprintf(down, `{"status":"stored","epoch":"0000000000000001","counts":{}}`), "counts come with"},
		{0, fmt.Sprintf(down, `{"status":"delivered","epoch":"0000000000000001","counts":{"late_dropped":-1}}`), "not possible"},
		{1, `{"epoch":"0000000000000001","relay":"+"}`, "relay: "},
		{2, `{"state":"asleep"}`, `state "asleep"`},
		{2, `{"state":"online","backlog":-1}`, "negative"},
		{2, `{"state":"online","epochs":["x"]}`, "epochs[0]"},
		{3, `{"state":"online","store":""}`, "epoch"},
	} {
		if _, err := parse[c.kind]([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q", i, err, c.want)
		}
	}
	if got, want := Ranges([]uint64{1, 2, 3, 7, 9, 10}), []Range{{1, 3}, {7, 7}, {9, 10}}; !reflect.DeepEqual(got, want) {
		t.Errorf("ranges are %v, want %v", got, want)
	}
}

func TestTopics(t *testing.T) {
	for _, prefix := range []string{"", "edgehold", "plant/line-4"} {
		top := Topics{prefix}
		head := prefix
		if head == "" {
			head = DefaultPrefix
		}
		for _, c := range []struct {
			topic, want string
			what        What
			id          string
		}{
			{top.Up("site-1"), "/v1/site-1/up/8", UpTopic, "site-1"},
			{top.Down("site-1"), "/v1/site-1/down", DownTopic, "site-1"},
			{top.State("site-1"), "/v1/site-1/state", StateTopic, "site-1"},
			{top.Ask("site-1"), "/v1/site-1/ask", AskTopic, "site-1"},
			{top.RelayState("hub.1"), "/v1/relay/hub.1/state", RelayStateTopic, "hub.1"},
			{top.Deny(), "/v1/relay/deny", DenyTopic, ""},
		} {
			what, id, ok := top.Parse(c.topic)
			if c.topic != head+c.want || what != c.what || id != c.id || !ok {
				t.Errorf("%s, want %s%s: parsed as %d of %q, %v", c.topic, head, c.want, what, id, ok)
			}
		}
		for _, bad := range []string{"", head, head + "/v1/", head + "/v1/a/up/16", head + "/v1/site-1/up/9", head + "/v1/a/b", head + "/v1/relay/down", head + "/v1//down", "x" + top.Down("a"), top.AllUp(), head + "/v1/a/down/b"} {
			if what, id, ok := top.Parse(bad); ok {
				t.Errorf("%q is parsed as %d of %q", bad, what, id)
			}
		}
	}
	for id, want := range map[string]string{"": "is empty", "relay": "taken", "a b": "holds", "a/b": "holds", "ä": "holds", strings.Repeat("a", 65): "at most 64"} {
		if err := CheckID("site", id); err == nil || !strings.HasPrefix(err.Error(), "site: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
	for prefix, good := range map[string]bool{"edgehold": true, "a/b/c/d": true, "": false, "a//b": false, "a/+": false, "#": false, "$share": false, "a/b/c/d/e": false} {
		if err := CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}
