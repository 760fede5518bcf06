package drain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// chaos is a server that answers at random and knows what it took.
type chaos struct {
	t      *testing.T
	random *rand.Rand
	left   int            // odd answers still to give
	taken  map[string]int // times each line was taken
	final  map[string]bool
	lost   map[string]int // times an answer was lost after a line was taken
}

func (c *chaos) answer(lines []string) (int, string, error) {
	for _, l := range lines {
		if c.final[l] {
			c.t.Errorf("%s is sent again after its fate was told", l)
		}
	}
	if c.left == 0 {
		c.take(lines, nil)
		return 202, "", nil
	}
	c.left--
	switch c.random.IntN(10) {
	case 0, 1:
		c.take(lines, nil)
		return 202, `{"linesOk":1}`, nil
	case 2, 3:
		return 400, c.some(lines), nil
	case 4:
		return 413, "", nil
	case 5:
		return 400, `{"error":{"message":"something is wrong"}}`, nil
	case 6:
		for _, l := range lines {
			c.taken[l]++
			c.lost[l]++
		}
		return 0, "", io.ErrUnexpectedEOF
	case 7:
		return 200, "<html>", nil
	}
	return []int{0, 429, 500, 503, 401, 403, 302, 404}[c.random.IntN(8)], "", nil
}

func (c *chaos) take(lines []string, but map[int]bool) {
	for i, l := range lines {
		c.final[l] = true
		if !but[i] {
			c.taken[l]++
		}
	}
}

// some takes a random part of the lines and lists the others.
func (c *chaos) some(lines []string) string {
	var a answer
	refused := map[int]bool{}
	for i := range lines {
		if refused[i] = c.random.IntN(3) == 0; refused[i] {
			a.Error.InvalidLines = append(a.Error.InvalidLines, struct {
				Line  int    `json:"line"`
				Error string `json:"error"`
			}{i + 1, "bad luck"})
		}
	}
	c.take(lines, refused)
	a.LinesInvalid = len(a.Error.InvalidLines)
	ok := len(lines) - a.LinesInvalid
	a.LinesOk = &ok
	body, err := json.Marshal(a)
	if err != nil {
		c.t.Error(err)
	}
	return string(body)
}

// TestRandomAnswers holds, for many random courses of events, that every point
// ends in exactly one settlement, which is the one that the server knows of,
// and that no line is sent again once its fate was told.
func TestRandomAnswers(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			c := &chaos{t: t, random: random, left: 60, taken: map[string]int{}, final: map[string]bool{}, lost: map[string]int{}}
			store := newStore(t, samples(1+random.IntN(90), time.Now())...)
			r := run(t, store, func(lines []string) (int, string, error) {
				if status, body, err := c.answer(lines); status != 0 || err != nil {
					return status, body, err
				}
				return 0, "", errors.New("connection refused")
			}, func(o *Options) { o.Window = 10_000 * time.Hour; o.Random = random.Float64 })
			pause := rand.New(rand.NewPCG(seed, 8)) // the other one is the drain's now
			for range 5 {
				time.Sleep(time.Duration(1+pause.IntN(600)) * time.Second)
				store.add(samples(pause.IntN(30), time.Now())...)
			}
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			r.stop()
			for _, k := range store.points {
				c.check(k)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (c *chaos) check(k *kept) {
	line, err := mint.AppendLine(nil, k.point)
	if err != nil {
		c.t.Fatal(err)
	}
	text := string(line)
	times := c.taken[text] - c.lost[text]
	if k.outcome == buffer.Delivered && times != 1 || k.outcome == buffer.Refused && times != 0 || k.outcome == 0 || k.leased {
		c.t.Errorf("%s: settled as %d, taken %d times with an answer and %d without", text, k.outcome, times, c.lost[text])
	}
}

func BenchmarkRenderAndCompress(b *testing.B) {
	points := make([]probes.Point, maxLines)
	for i := range points {
		s := probes.NewSeries("com.dynatrace.extension.network_device.if.bytes_in.count", probes.Count,
			probes.Dimension{Key: "device.address", Value: "192.0.2.10"}, probes.Dimension{Key: "if.name", Value: fmt.Sprintf("GigabitEthernet1/0/%d", i%48)},
			probes.Dimension{Key: "mac.address", Value: "00:53:00:12:34:56"}, probes.Dimension{Key: "site", Value: "plant-7"})
		points[i] = probes.Point{Series: s, Value: probes.Uint(uint64(i) * 7919), Stamp: probes.Stamp{Wall: 1_767_225_600_000 + int64(i/48)*10_000}}
	}
	d := New(Options{Store: newStore(b), Target: Target{Client: http.DefaultClient}})
	d.heed()
	lease := &buffer.Lease{Points: points}
	x := &d.loads[laneWindow]
	packed, lines := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		x.begin(metrics)
		x.take(lease)
		d.writeLines(x, d.fold(x, 0), batch{text: maxBytes - 1, lines: maxLines}, 1)
		packed = len(d.sender.pack.pack(metrics, x.texts.bytes))
		lines += len(x.lines)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(len(x.texts.bytes))/float64(packed), "ratio")
}
