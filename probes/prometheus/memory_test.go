package prometheus

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// hostile serves bodies of samples that are wanted: a large label, many labels, or
// many samples, all of them new with each scrape.
func hostile(form int, bodyBytes int) http.HandlerFunc {
	var scrapes atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		generation := scrapes.Add(1)
		for n, sent := 0, 0; sent < bodyBytes; n++ {
			line := fmt.Sprintf("up{g=\"%d\",n=\"%d\"} 1\n", generation, n)
			switch form {
			case 1:
				line = fmt.Sprintf("up{g=\"%d\",n=\"%d\",x=\"%s\"} 1\n", generation, n, strings.Repeat("x", 60_000))
			case 2:
				line = fmt.Sprintf("up{g=\"%d\",n=\"%d\",%s} 1\n", generation, n, manyLabels)
			}
			m, err := io.WriteString(w, line)
			if err != nil {
				return
			}
			sent += m
		}
	}
}

var manyLabels = func() string {
	var all []string
	for i := range 45 {
		all = append(all, fmt.Sprintf("l%d=\"%s\"", i, strings.Repeat("v", 250)))
	}
	return strings.Join(all, ",")
}()

// load is what many endpoints that are scraped at a time take of the heap, at most
// and once all is done.
func load(t *testing.T, memory probes.Memory, polls int) (peak, kept int64, probesOf []probes.Probe) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	deps := probes.Deps{Clock: &handClock{time.Hour}, Log: zerolog.Nop(), Memory: memory}
	b := newBench(t, "")
	for i := range 12 {
		server := serve(t, hostile(i%3, 1<<20))
		tasks, err := Tasks(b.plan(), []plan.ScrapeEndpoint{{URL: server.URL, Timeout: time.Minute}}, TaskOptions{Config: "conf"}, deps)
		if err != nil {
			t.Fatal(err)
		}
		probesOf = append(probesOf, tasks[0].Probe)
	}
	var before, m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	done := make(chan struct{})
	for _, p := range probesOf {
		all.Go(func() {
			for range polls {
				_, _ = p.Poll(t.Context())
			}
		})
	}
	go func() { all.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(time.Millisecond):
		}
		runtime.ReadMemStats(&m)
		peak = max(peak, int64(m.HeapAlloc)-int64(before.HeapAlloc))
	}
	runtime.GC()
	runtime.ReadMemStats(&m)
	return peak, int64(m.HeapAlloc) - int64(before.HeapAlloc), probesOf
}

// TestManyHostileEndpoints: what twelve endpoints of large bodies take together is
// bounded by the budgets, not by their number, and one that is small comes through.
func TestManyHostileEndpoints(t *testing.T) {
	const answers, series = 1 << 20, 1 << 20
	memory := probes.Memory{Answers: probes.NewBudget(answers), Series: probes.NewBudget(series)}
	peak, kept, bounded := load(t, memory, 2)
	honest := newBench(t, serve(t, text("up{a=\"1\"} 1\nup{a=\"2\"} 2\n")).URL)
	honest.deps.Memory = memory
	honest.expect(probes.StatusOK, "", "k.up a=1 gauge,1", "k.up a=2 gauge,2")
	if _, err := bounded[0].Poll(t.Context()); probes.StatusOf(err) != probes.StatusWarning {
		t.Errorf("status %s: %v", probes.StatusOf(err), err)
	}
	runtime.KeepAlive(bounded)
	free, freeKept, unbounded := load(t, probes.Memory{}, 1)
	runtime.KeepAlive(unbounded)
	t.Logf("with budgets %d KiB at most, %d KiB kept; without %d and %d", peak>>10, kept>>10, free>>10, freeKept>>10)
	if own := int64(12 * 512 << 10); peak > 3*(answers+series)+own || kept > 2*series+own/2 {
		t.Errorf("%d KiB at most and %d KiB kept, with budgets of %d and %d KiB", peak>>10, kept>>10, answers>>10, series>>10)
	}
	if free < 2*peak {
		t.Errorf("without budgets %d KiB, with them %d: the load proves nothing", free>>10, peak>>10)
	}
	for deadline := time.Now().Add(10 * time.Second); !memory.Series.Hold().Try(series / 2); { // given back with what held it
		if time.Now().After(deadline) {
			t.Fatal("the series of endpoints that are gone are held still")
		}
		runtime.GC()
	}
}

// A small body that grows when it is unpacked is bounded as any.
func TestGzipBomb(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		line := strings.Repeat("up{a=\""+strings.Repeat("0", 500)+"\"} 1\n", 1000)
		for range 2 * maxBody / len(line) {
			if _, err := io.WriteString(z, line); err != nil {
				return
			}
		}
		_ = z.Close()
	})
	b := newBench(t, server.URL)
	b.deps.Memory = probes.Memory{Answers: probes.NewBudget(4 << 20), Series: probes.NewBudget(4 << 20)}
	got, err := b.poll()
	if len(got) != 1 || probes.StatusOf(err) != probes.StatusWarning || !strings.Contains(err.Error(), "the rest is missing: ") {
		t.Errorf("%d points, %v", len(got), err)
	}
}

// A server that sends its answer drop by drop ends the poll with its time, and
// gives what it holds back.
func TestSlowServer(t *testing.T) {
	gone := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "up{n=\"%d\"} 1\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
		close(gone)
	})
	b := newBench(t, server.URL)
	b.endpoint.Timeout = 100 * time.Millisecond
	memory := probes.Memory{Answers: probes.NewBudget(4 << 20)}
	b.deps.Memory = memory
	got, err := b.poll()
	if len(got) == 0 || probes.StatusOf(err) != probes.StatusWarning || !strings.Contains(err.Error(), "no whole answer within 100ms") {
		t.Errorf("%d points, %v", len(got), err)
	}
	<-gone
	if !memory.Answers.Hold().Try(2 << 20) {
		t.Error("the answer is held still")
	}
}

// Lists of a server that are short as text and long in memory are read one by one,
// and what they tell is bounded.
func TestHostileAPI(t *testing.T) {
	empty := strings.Repeat("{},", 1<<18)
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"success","warnings":[%s"%s"],"data":{"resultType":"vector","result":[%s{"metric":{"__name__":"up"},"value":[1,"1"]}]}}`,
			strings.Repeat(`"w",`, 1<<18), strings.Repeat("x", 1000), empty)
	})
	b := newBench(t, server.URL+"/api/v1/")
	b.deps.Memory = probes.Memory{Answers: probes.NewBudget(64 << 20)}
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.expect(probes.StatusWarning, "and 2 more", "k.up gauge,1")
	stats := b.task.Probe.(*Probe).PollStats()
	if len(stats.Partial) > 2*maxReasons || stats.Malformed != 1<<18 {
		t.Errorf("%d notes, %d results are told as malformed", len(stats.Partial), stats.Malformed)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d KiB are kept of it", grown>>10)
	}
}
