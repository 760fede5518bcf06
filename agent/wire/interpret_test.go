package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"regexp"
	"strings"

	"github.com/edgehold/edgehold/buffer/arc"
)

// What is below reads blocks by BLOCK.md alone, with none of the code that it
// is there to check. Points payloads are the store's, so arc reads them.

// interpreted is a block as BLOCK.md tells it: what each point or entry says,
// in one line. Ids without a name stand as "id n".
type interpreted struct {
	kind, lane, codec, flags byte
	site                     string
	epoch, seq               uint64
	first, last, deadline    int64
	items                    []string
	named                    map[uint32]string
	missing                  bool
}

type wrong string

// interpret reads a block; names are what blocks before it have brought.
func interpret(b []byte, names map[uint32]string) (x interpreted, err error) {
	defer func() {
		if r := recover(); r != nil {
			if w, ok := r.(wrong); ok {
				err = fmt.Errorf("malformed: %s", string(w))
				return
			}
			panic(r)
		}
	}()
	need(len(b) >= 61 && len(b) <= 122880, "size")
	need(string(b[:3]) == "Ehw" && b[3] == 1, "magic or version")
	need(le(b[4:8]) == uint64(crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli))), "checksum")
	need(le(b[8:12]) == uint64(len(b)), "length")
	x = interpreted{
		kind: b[12], lane: b[13], codec: b[14], flags: b[15], epoch: le(b[16:24]), seq: le(b[24:32]),
		first: int64(le(b[32:40])), last: int64(le(b[40:48])), deadline: int64(le(b[48:56])),
	}
	count, n := int(le(b[56:60])), int(b[60])
	need(len(b) >= 61+n, "name of the site")
	x.site = string(b[61 : 61+n])
	need(regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString(x.site) && x.site != "relay", "name of the site")
	need(x.kind >= 1 && x.kind <= 4 && (x.lane == 1 || x.lane == 2) && (x.codec == 1 || x.codec == 2) && x.flags <= 3, "field")
	local := x.flags&2 != 0
	need(x.codec == 1 || x.kind == 1 && !local, "text")
	need(!local || x.kind == 1, "local")
	need((count == 0) == (x.kind == 4) && count <= 65536 && x.first <= x.last, "count or times")
	var walls []int64
	switch body := b[61+n:]; {
	case x.kind == 4:
		return x, nil
	case x.kind > 1:
		walls = x.entries(body)
	case x.codec == 2:
		walls = x.lines(body)
	default:
		walls = x.points(body, count, local, names)
	}
	need(len(walls) == count, "number of points")
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, w := range walls {
		first, last = min(first, w), max(last, w)
	}
	need(x.missing || first == x.first && last == x.last, "times")
	return x, nil
}

func need(ok bool, what string) {
	if !ok {
		panic(wrong(what))
	}
}

func le(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}

// bytesLeft is what was not read yet.
type bytesLeft struct{ b []byte }

func (x *bytesLeft) n(n uint64) []byte {
	need(n <= uint64(len(x.b)), "ends too early")
	head := x.b[:n]
	x.b = x.b[n:]
	return head
}

func (x *bytesLeft) u() (v uint64) {
	v, n := binary.Uvarint(x.b)
	need(n > 0, "number")
	x.b = x.b[n:]
	return v
}

func (x *bytesLeft) s() int64 {
	u := x.u()
	if u%2 == 1 {
		return -int64(u/2) - 1
	}
	return int64(u / 2)
}

func (x *bytesLeft) runs(k uint64) (ids []uint32) {
	next := int64(0)
	for uint64(len(ids)) < k {
		skip := x.s()
		need(skip >= -next && skip < 1<<32, "id")
		first, more := next+skip, x.u()
		need(more < k-uint64(len(ids)), "run beyond its number")
		need(first+int64(more) < 1<<32, "id")
		for i := range int64(more) + 1 {
			ids = append(ids, uint32(first+i))
		}
		next = first + int64(more) + 1
	}
	return ids
}

// inflate unpacks all of a stream, to at most so many bytes.
func inflate(stream []byte, most int) []byte {
	in := bytes.NewReader(stream)
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(most)+1))
	need(err == nil && in.Len() == 0 && len(out) <= most, "stream")
	return out
}

func (x *interpreted) lines(body []byte) (walls []int64) {
	in := bytes.NewReader(body)
	z, err := gzip.NewReader(in)
	need(err == nil, "gzip")
	z.Multistream(false)
	text, err := io.ReadAll(io.LimitReader(z, 16<<20+1))
	need(err == nil && in.Len() == 0 && len(text) <= 16<<20 && bytes.HasSuffix(text, []byte("\n")), "gzip")
	x.items = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range x.items {
		need(len(line) <= 50000, "line")
		var wall int64
		_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &wall)
		need(err == nil, "time of a line")
		walls = append(walls, wall)
	}
	return walls
}

func (x *interpreted) entries(payload []byte) (walls []int64) {
	need(len(payload) > 0 && (payload[0] == 0x11 || payload[0] == 0x13), "packing")
	body := payload[1:]
	if payload[0] == 0x13 {
		body = inflate(body, 4<<20)
	}
	need(len(body) <= 4<<20, "size of entries")
	r := bytesLeft{body}
	n := r.u()
	need(n <= 4096, "number of entries")
	for range n {
		kind := r.n(1)[0]
		need(kind == x.kind-1, "kind of an entry")
		boot := r.n(16)
		uptime, wall := r.s(), r.s()
		data := r.n(r.u())
		x.items = append(x.items, fmt.Sprintf("%d %x %d %d %x", kind, boot, uptime, wall, data))
		walls = append(walls, wall)
	}
	need(len(r.b) == 0, "bytes behind the entries")
	return walls
}

func (x *interpreted) points(body []byte, count int, local bool, names map[uint32]string) (walls []int64) {
	r := bytesLeft{body}
	series := r.u()
	need(series >= 1 && series <= uint64(count), "number of series")
	ids := []uint32(nil)
	for i := range series {
		ids = append(ids, uint32(i))
	}
	if !local {
		ids = r.runs(series)
	}
	if part := r.n(r.u()); len(part) > 0 {
		x.named = readNamesAgain(part)
	}
	called := make([]string, series)
	for i, id := range ids {
		name, ok := x.named[id]
		if !ok && !local {
			name, ok = names[id]
		}
		need(ok || !local, "local name")
		x.missing = x.missing || !ok
		called[i] = name
	}
	if x.missing {
		return make([]int64, count)
	}
	d := arc.NewDecoder()
	d.Reset(int(series))
	groups, err := d.Decode(r.b)
	need(err == nil, "points payload")
	for _, g := range groups {
		for i, id := range g.IDs {
			v := g.Values[i]
			value := fmt.Sprint(v.Form, " ", v.Bits)
			if v.Stats != nil {
				value = fmt.Sprintf("%x %x %x %d", math.Float64bits(v.Stats.Min), math.Float64bits(v.Stats.Max), math.Float64bits(v.Stats.Sum), v.Stats.Count)
			}
			x.items = append(x.items, fmt.Sprintf("%s = %s @ %s %d %d", called[id], value, hex.EncodeToString(g.Stamp.Boot[:]), g.Stamp.Uptime, g.Stamp.Wall))
			walls = append(walls, g.Stamp.Wall)
		}
	}
	return walls
}

// readNamesAgain reads the part "Names".
func readNamesAgain(part []byte) map[uint32]string {
	r := bytesLeft{part}
	n := r.u()
	need(n >= 1 && n <= 65536, "number of names")
	ids := r.runs(n)
	packing := r.n(1)[0]
	need(packing == 0x11 || packing == 0x13, "packing")
	t := bytesLeft{r.b}
	if packing == 0x13 {
		t.b = inflate(r.b, 2<<20)
	}
	need(len(t.b) <= 2<<20, "size of names")
	texts := make([]string, 0)
	var lengths []uint64
	for range t.u() {
		lengths = append(lengths, t.u())
	}
	for _, n := range lengths {
		texts = append(texts, string(t.n(n)))
	}
	used := 0
	reference := func() string {
		r := t.u()
		if r == 0 {
			need(used < len(texts), "reference")
			used++
			return texts[used-1]
		}
		need(r-1 < uint64(used), "reference")
		return texts[r-1]
	}
	sets, sizes := readSetsAgain(&t, n, reference)
	types := t.n(n)
	keys := make([]string, 0)
	for range n {
		keys = append(keys, reference())
	}
	names, set, size := make(map[uint32]string), int64(0), 0
	for i, id := range ids {
		set += t.s()
		need(set >= 0 && set < int64(len(sets)), "set of a name")
		size += len(keys[i]) + sizes[set]
		need(size <= 16<<20, "names written out")
		names[id] = fmt.Sprintf("%d %q%s", types[i], keys[i], sets[set])
	}
	need(used == len(texts) && len(t.b) == 0, "end of the tables")
	return names
}

func readSetsAgain(t *bytesLeft, names uint64, reference func() string) (sets []string, sizes []int) {
	d := t.u()
	need(d <= names, "number of sets")
	var counts []uint64
	sum := uint64(0)
	for range d {
		counts = append(counts, t.u())
		need(counts[len(counts)-1] <= 524288, "dimensions")
		sum += counts[len(counts)-1]
	}
	need(sum <= 524288, "dimensions")
	for _, n := range counts {
		text, before, size := "", "", 0
		for range n {
			key, value := reference(), reference()
			need(key > before && value != "", "dimension")
			text, before, size = text+fmt.Sprintf(" %q=%q", key, value), key, size+len(key)+len(value)
		}
		sets, sizes = append(sets, text), append(sizes, size)
	}
	return sets, sizes
}
