package drain

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

func unzip(t testing.TB, packed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// networkText is a post of the first lines of one poll.
func networkText(t testing.TB, mix mixture) []byte {
	t.Helper()
	return postText(t, newNetwork(mix, 5, netPolls).poll()[:maxLines])
}

// postText is points in the form and order in which they leave.
func postText(t testing.TB, points []probes.Point) (text []byte) {
	t.Helper()
	items := fold(nil, points, 0)
	var o sorting
	for _, at := range o.order(items) {
		line, err := mint.AppendLine(text, items[at].point)
		if err != nil {
			t.Fatal(err)
		}
		text = append(line, '\n')
	}
	return text
}

func TestWeaverTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	far := "a=0123456789 " + string(noise[:40_000]) + "\na=0123456789 "
	var rare []byte // Fibonacci numbers make the longest codes
	for i, a, b := 0, 1, 1; i < 24; i, a, b = i+1, b, a+b {
		rare = append(rare, bytes.Repeat([]byte{byte('A' + i)}, a)...)
	}
	random.Shuffle(len(rare), func(i, j int) { rare[i], rare[j] = rare[j], rare[i] })
	var w weaver
	for name, text := range map[string]string{
		"empty": "", "letter": "x", "newline": "\n", "one line": "a.b,c=d gauge,1 2\n", "same letter": strings.Repeat("z", 100_000),
		"same line": strings.Repeat("a.b,c=d gauge,1 2\n", 5000), "longer than a match": strings.Repeat(strings.Repeat("k", 259)+",a=b 1 2\n", 20),
		"delimiters": strings.Repeat("\n .,=", 900) + strings.Repeat("=,. \n", 900), "noise": string(noise), "far": far, "rare letters": string(rare),
		"steady": string(networkText(t, steady)), "busy": string(networkText(t, bustling)),
		"one dimension more": strings.Repeat("m.x,a=1,c=longer.value gauge,1 17\nm.x,a=1,b=2,c=longer.value gauge,1 17\n", 50),
	} {
		if back := unzip(t, w.gzip([]byte(text))); string(back) != text {
			t.Errorf("%s: %d bytes came back as %d others", name, len(text), len(back))
		}
	}
}

// TestWeaverSize holds the size against the library's search of the same text.
func TestWeaverSize(t *testing.T) {
	for name, c := range map[string]struct {
		text []byte
		most float64 // of the library's size
	}{
		"steady":     {networkText(t, steady), 1.05},
		"busy":       {networkText(t, bustling), 1.05},
		"not sorted": {switchLines(maxLines), 1.2},
	} {
		var w weaver
		var p packer
		ours, library := len(w.gzip(c.text)), len(p.gzip(c.text))
		t.Logf("%s: %d bytes, the library's %d", name, ours, library)
		if ratio := float64(ours) / float64(library); ratio > c.most {
			t.Errorf("%s: %.2f of the library's size", name, ratio)
		}
	}
}

// scalars are points of devices of many kinds, each with metrics of its own.
func scalars(n int) (points []probes.Point) {
	random := rand.New(rand.NewPCG(5, 6))
	words := []string{"battery", "voltage", "output", "input", "load", "temperature", "current", "frequency", "phase", "fan", "humidity", "memory"}
	for i := range n {
		device := i / 40
		s := probes.NewSeries(fmt.Sprintf("com.example.%s.%s.%s", words[random.IntN(len(words))], words[random.IntN(len(words))], words[i%len(words)]), probes.Gauge,
			probes.Dimension{Key: "device.address", Value: fmt.Sprintf("192.0.2.%d", device)}, probes.Dimension{Key: "device.name", Value: fmt.Sprintf("ups-%d", device)},
			probes.Dimension{Key: "site", Value: "plant-7"})
		value := probes.Float(math.Round(1000*random.Float64()) / 10)
		points = append(points, probes.Point{Series: s, Value: value, Stamp: probes.Stamp{Wall: netStart.UnixMilli() + int64(device)*137}})
	}
	return points
}

func FuzzWeaver(f *testing.F) {
	f.Add([]byte("a.b,c=d gauge,1 2\na.b,c=e gauge,13 2\n"), uint8(1))
	f.Add([]byte("\n\n, ,=.=,.\n"), uint8(200))
	f.Fuzz(func(t *testing.T, text []byte, times uint8) {
		text = bytes.Repeat(text, int(times)+1)
		var w weaver
		for range 2 { // the second with what the first left behind
			if back := unzip(t, w.gzip(text)); !bytes.Equal(back, text) {
				t.Fatalf("%q came back as %q", text, back)
			}
		}
	})
}

// TestHuffmanIsShortest compares codes with those that are made by joining the
// two rarest parts again and again, and holds that they are whole and within
// their limit.
func TestHuffmanIsShortest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var h huffman
		uses := []int{}
		for s := range 2 + random.IntN(letterCodes-2) {
			n := int(math.Pow(2, 9*random.Float64()))
			h.uses[s] = uint32(n)
			uses = append(uses, n)
		}
		h.assign(15)
		cost, whole := 0, 0.0
		for s, n := range uses {
			cost += n * int(h.length[s])
			whole += math.Pow(2, -float64(h.length[s]))
		}
		if want := leastBits(uses); cost != want || whole != 1 {
			t.Fatalf("%d symbols take %d bits, want %d; the code is %v whole", len(uses), cost, want, whole)
		}
	}
	for _, limit := range []int{7, 15} {
		var h huffman
		a, b := uint32(1), uint32(1)
		for s := range 19 {
			h.uses[s], a, b = a, b, a+b
		}
		h.assign(limit)
		whole := 0.0
		for s := range 19 {
			if int(h.length[s]) > limit || h.length[s] == 0 {
				t.Errorf("symbol %d has %d bits", s, h.length[s])
			}
			whole += math.Pow(2, -float64(h.length[s]))
		}
		if whole != 1 {
			t.Errorf("a code of at most %d bits is %v whole", limit, whole)
		}
	}
}

func leastBits(uses []int) (bits int) {
	parts := slices.Clone(uses)
	for len(parts) > 1 {
		slices.Sort(parts)
		parts[1] += parts[0]
		bits += parts[1]
		parts = parts[1:]
	}
	return bits
}

// TestWeaverHead reads the frame as RFC 1952 has it.
func TestWeaverHead(t *testing.T) {
	var w weaver
	packed := w.gzip([]byte("a.b gauge,1 2\n"))
	if !bytes.HasPrefix(packed, []byte{0x1f, 0x8b, 8, 0}) || binary.LittleEndian.Uint32(packed[len(packed)-4:]) != 14 {
		t.Errorf("%x", packed)
	}
	if w.gzip(networkText(t, steady)); testing.AllocsPerRun(10, func() { w.gzip([]byte("a.b gauge,1 2\n")) }) > 1 {
		t.Error("it allocates, though it has its memory")
	}
}

// TestPackChooses holds that lines which do not resemble each other are left to
// the library.
func TestPackChooses(t *testing.T) {
	var p, library packer
	odd := postText(t, scalars(maxLines))
	if got, want := len(p.pack(metrics, odd)), len(library.gzip(odd)); got > want {
		t.Errorf("%d bytes, the library's %d", got, want)
	}
	if back := unzip(t, p.pack(metrics, odd)); !bytes.Equal(back, odd) {
		t.Error("it came back as something else")
	}
	even := networkText(t, steady)
	for _, text := range [][]byte{even, odd[:many-1]} {
		var p packer
		if back := unzip(t, p.pack(metrics, text)); p.writer != nil || !bytes.Equal(back, text) {
			t.Errorf("%d bytes became %d and were searched, or came back as others", len(text), len(p.weaver.out))
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	text := networkText(b, steady)
	var w weaver
	var p packer
	for name, pack := range map[string]func([]byte) []byte{"weaver": w.gzip, "library": p.gzip, "standard": standardGzip} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pack(text)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/maxLines*1e9, "ns/line")
			b.ReportMetric(float64(len(pack(text)))/maxLines, "B/line")
		})
	}
}

// standardGzip is the standard library's, at its default level.
func standardGzip(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}
