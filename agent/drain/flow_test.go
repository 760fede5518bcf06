package drain

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// TestEventsAndRecords holds that events leave one a post and log records many,
// each to its own endpoint.
func TestEventsAndRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		store := newStore(t)
		now := time.Now()
		for i := range 40 {
			store.enter(anEvent(now, fmt.Sprintf("event %02d", i)), aRecord(now, fmt.Sprintf("record %02d", i)))
		}
		store.enter(anEvent(now.Add(-23*time.Hour), "old"), aRecord(now.Add(-23*time.Hour), "old"))
		r := run(t, store, nil, w.serve)
		synctest.Wait()
		store.expect(82, 0, 0)
		posts := w.seen("/api/v2/events/ingest")
		if len(posts) != 41 || !strings.Contains(posts[0].body, `"title":"old"`) || !strings.Contains(posts[40].body, `"title":"event 39"`) {
			t.Errorf("%d posts of events, the last %s", len(posts), posts[len(posts)-1].body)
		}
		var all []map[string]any
		for _, p := range w.seen("/api/v2/logs/ingest") {
			var some []map[string]any
			if err := json.Unmarshal([]byte(p.body), &some); err != nil {
				t.Errorf("%v in %s", err, p.body)
			}
			all = append(all, some...)
		}
		if len(all) != 41 || all[0]["content"] != "old" || all[40]["content"] != "record 39" {
			t.Errorf("%d records: %v", len(all), all)
		}
		s := r.State()
		if s.Lanes[laneEvents].Lines != 41 || s.Lanes[laneLogs].Lines != 41 || s.LinesAccepted != 82 || s.PointsPerDay != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// TestEventsThatCannotBeEvents leave as log records: too old for their type, of
// a type that the environment does not know.
func TestEventsThatCannotBeEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		store := newStore(t)
		stamp := probes.Stamp{Wall: time.Now().Add(-7 * time.Hour).UnixMilli()}
		for i, typ := range []string{"ERROR_EVENT", "CUSTOM_INFO"} {
			data := record.AppendEvent(nil, probes.Event{Type: typ, Title: fmt.Sprint("event ", i), Start: stamp})
			store.enter(buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: data})
		}
		run(t, store, nil, w.serve)
		synctest.Wait()
		store.expect(2, 0, 0)
		asEvents, asLogs := w.seen("events"), w.seen("logs")
		if len(asEvents) != 1 || !strings.Contains(asEvents[0].body, "event 1") || len(asLogs) != 1 || !strings.Contains(asLogs[0].body, "event 0") {
			t.Errorf("events %+v, log records %+v", asEvents, asLogs)
		}
	})
}

// TestPoisonedEntries refuses one event, and one log record among many, and
// asks that the others arrive and these become dead letters of their kind.
func TestPoisonedEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(p post) (int, string) {
			if strings.Contains(p.body, "poison") {
				return 400, `{"error":{"code":400,"message":"not like this"}}`
			}
			return p.good()
		}}
		store, now := newStore(t), time.Now()
		store.enter(anEvent(now, "poison e"), anEvent(now, "good"), buffer.Entry{Kind: buffer.EventEntry, Stamp: probes.Stamp{Wall: now.UnixMilli()}, Data: []byte("junk")})
		for i := range 30 {
			store.enter(aRecord(now, map[bool]string{true: "poison r", false: "good"}[i == 17]))
		}
		run(t, store, nil, w.serve)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(30, 3, 0)
		kinds := map[string]string{}
		for _, k := range store.points {
			if k.outcome == buffer.Refused {
				kinds[k.kind] += k.line + " " + k.reason + "\n"
			}
		}
		if len(kinds) != 2 || !strings.Contains(kinds["event"], "poison e") || !strings.Contains(kinds["event"], "not like this") ||
			!strings.Contains(kinds["event"], "read event") || !strings.Contains(kinds["log"], `"content":"poison r"`) {
			t.Errorf("dead letters %v", kinds)
		}
	})
}

// TestLiveDoesNotWait holds that fresh points leave between the posts in which
// a poisoned backlog is searched.
func TestLiveDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &world{take: 10 * time.Second, answer: func(p post) (int, string) {
			if strings.Contains(p.body, "n00700,") && p.at.Sub(start) < 10*time.Minute {
				return 413, ""
			}
			return p.good()
		}}
		store := newStore(t, samples(1000, start.Add(-30*time.Minute))...)
		r := run(t, store, nil, w.serve)
		for range 10 {
			time.Sleep(12 * time.Second)
			store.add(samples(5, time.Now())...)
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		store.expect(1049, 1, 0)
		waited := time.Duration(0)
		for i, p := range w.seen("metrics") {
			if strings.Count(p.body, "\n") == 5 && i > 0 {
				var wall int64
				if _, err := fmt.Sscan(p.body[strings.LastIndex(p.body, " ")+1:], &wall); err != nil {
					t.Fatal(err)
				}
				waited = max(waited, p.at.Sub(time.UnixMilli(wall)))
			}
		}
		if waited > 10*time.Second || r.State().Lanes[laneLive].Posts != 10 {
			t.Errorf("fresh points waited up to %v; state %+v", waited, r.State())
		}
	})
}

// TestRefusesGzip holds that an endpoint that takes no compression gets its
// posts plain, without a wait.
func TestRefusesGzip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &world{}
		first := true
		w.answer = func(p post) (int, string) {
			if first {
				first = false
				return 415, ""
			}
			return p.good()
		}
		store := newStore(t, samples(3, start)...)
		r := run(t, store, nil, w.serve)
		synctest.Wait()
		store.expect(3, 0, 0)
		if s := r.State(); s.Posts != 2 || s.BytesSent <= s.BytesText/2 || time.Since(start) > 0 || s.LastError != "" {
			t.Errorf("state %+v", s)
		}
	})
}

// TestOTLP sends everything over OTLP.
func TestOTLP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		now := time.Now()
		points := samples(300, now)
		points[7].Value = probes.Value{}
		store := newStore(t, points...)
		store.add(samples(2000, now.Add(-10*time.Minute))...)
		store.enter(anEvent(now, "an event"), aRecord(now, "a record"))
		r := run(t, store, nil, w.serve, func(o *Options) { o.Protocol = OTLP; o.URL = "https://env.example/api/v2/otlp" })
		synctest.Wait()
		store.expect(2301, 1, 0)
		logs := w.seen("/api/v2/otlp/v1/logs")
		if len(logs) != 2 || !strings.Contains(logs[0].body, "an event") || !strings.Contains(logs[1].body, "a record") || len(w.posts) != 2+len(w.seen("/otlp/v1/metrics")) {
			t.Errorf("%d posts of logs, %d in all", len(logs), len(w.posts))
		}
		if s := r.State(); s.PointsPerDay == 0 || s.LinesAccepted != 2301 || s.Lanes[laneWindow].Points != 2000 || !strings.Contains(s.LastError, "value has no number") {
			t.Errorf("state %+v", s)
		}
	})
}

// TestLate holds what becomes of points and entries that the window has passed.
func TestLate(t *testing.T) {
	for mode, name := range map[LateMode]string{LateArchive: "archive", LateLogs: "logs", LateDrop: "drop"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				now := time.Now().Truncate(time.Minute)
				store := newStore(t)
				for _, age := range []time.Duration{2, 30, 8 * 24, 40 * 24} {
					store.add(samples(10, now.Add(-age*time.Hour))...)
					store.add(samples(10, now.Add(-age*time.Hour+20*time.Second))...)
				}
				guess := samples(10, now.Add(-200*24*time.Hour))
				for i := range guess {
					guess[i].Stamp.Guess, guess[i].Stamp.Uptime = true, time.Hour
				}
				store.add(guess...)
				store.enter(aRecord(now.Add(-30*time.Hour), "a late record"), anEvent(now.Add(-50*time.Hour), "a late event"))
				store.pass(now.Add(-time.Hour))
				r := run(t, store, nil, w.serve, func(o *Options) { o.Late = mode })
				synctest.Wait()
				want := map[LateMode][]int{LateArchive: {0, 0, 92}, LateLogs: {92, 0, 0}, LateDrop: {92, 0, 0}}[mode]
				store.expect(want[0], want[1], want[2])
				if posts := len(w.seen("")); (posts > 0) != (mode == LateLogs) || posts != len(w.seen("logs")) {
					t.Errorf("%d posts", posts)
				}
				got := ""
				for _, a := range r.State().Late {
					got += fmt.Sprintf("%s:%d/%d/%d ", a.Upto, a.Logged, a.Dropped, a.Refused)
				}
				if want := map[LateMode]string{
					LateArchive: "24h:0/0/0 7d:0/0/0 30d:0/0/0 more:0/0/0 unknown:0/0/0 ",
					LateLogs:    "24h:20/0/0 7d:22/0/0 30d:20/0/0 more:20/0/0 unknown:10/0/0 ",
					LateDrop:    "24h:0/20/0 7d:0/22/0 30d:0/20/0 more:0/20/0 unknown:0/10/0 ",
				}[mode]; got != want {
					t.Errorf("late %s, want %s", got, want)
				}
			})
		})
	}
}

// TestLateRecords looks into the log records of late points: one for each set
// of dimensions and minute, refused as one.
func TestLateRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(p post) (int, string) {
			if strings.Contains(p.body, "poison") {
				return 413, ""
			}
			return p.good()
		}}
		begin := time.Now().Truncate(time.Minute).Add(-5 * time.Hour)
		store, made := newStore(t), names{}
		for i := range 12 { // two minutes, a point each ten seconds
			at := probes.Stamp{Wall: begin.Add(time.Duration(i) * 10 * time.Second).UnixMilli()}
			for _, device := range []string{"sw1", "poison"} {
				for _, key := range []string{"cpu.load", "mem.used"} {
					store.add(probes.Point{Series: made.series(key, device), Value: probes.Int(int64(i)), Stamp: at})
				}
			}
		}
		store.pass(time.Now())
		r := run(t, store, nil, w.serve, func(o *Options) { o.Late = LateLogs })
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(24, 24, 0)
		if s := r.State(); s.Lanes[laneLate].Lines != 2 || s.Lanes[laneLate].Points != 24 || s.Late[0].Logged != 24 || s.Late[0].Refused != 24 || s.LinesRefused != 2 {
			t.Errorf("state %+v", s)
		}
		for _, k := range store.points {
			if k.outcome == buffer.Refused && (k.kind != "log" || !strings.Contains(k.line, "poison")) {
				t.Errorf("dead letter %+v", k)
			}
		}
	})
}

// names gives the same series for the same words, as the store does.
type names map[string]*probes.Series

func (n names) series(key, device string) *probes.Series {
	if n[key+device] == nil {
		n[key+device] = probes.NewSeries(key, probes.Gauge, probes.Dimension{Key: "device", Value: device})
	}
	return n[key+device]
}

// TestMinutes polls a device each ten seconds and one each minute, live and
// from a backlog. At most one line more than one a minute leaves for each
// series, that in which the drain learns.
func TestMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		start := time.Now().Truncate(time.Minute)
		store, made := newStore(t), names{}
		poll := func(at time.Time, device string) {
			p := probes.Point{Series: made.series("cpu.load", device), Value: probes.Int(at.Unix() % 60), Stamp: probes.Stamp{Wall: at.UnixMilli()}}
			store.add(p)
		}
		for at := start.Add(-20 * time.Minute); at.Before(start.Add(-10 * time.Minute)); at = at.Add(10 * time.Second) {
			poll(at, "fast")
			if at.Second() == 30 {
				poll(at, "slow")
			}
		}
		r := run(t, store, nil, w.serve, func(o *Options) { o.Resolution = Minute })
		fresh := 0 * time.Second
		for range 60 {
			poll(time.Now(), "fast")
			if time.Now().Second() == 30 {
				poll(time.Now(), "slow")
				synctest.Wait()
				posts := w.seen("metrics")
				if p := posts[len(posts)-1]; !strings.Contains(p.body, "device=slow") {
					fresh = time.Minute
				}
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		store.expect(60+10+60+10, 0, 0)
		lines := map[string]int{}
		points := 0
		for _, p := range w.seen("metrics") {
			for line := range strings.Lines(p.body) {
				device := line[strings.Index(line, "device=")+7:]
				lines[device[:4]]++
				points++
				if n := strings.Index(line, "count="); n > 0 && device[:4] == "slow" {
					t.Errorf("a slow series is folded: %s", line)
				}
			}
		}
		if fresh > 0 || lines["slow"] != 20 || lines["fast"] > 10+10+2 || lines["fast"] < 20 {
			t.Errorf("%v lines; the slow series waits: %v", lines, fresh > 0)
		}
		s := r.State()
		if s.LinesAccepted != int64(points) || s.Lanes[laneLive].Points+s.Lanes[laneWindow].Points != 140 {
			t.Errorf("%d lines, state %+v", points, s)
		}
	})
}

// TestObjects cuts a list of JSON objects into parts in any order.
func TestObjects(t *testing.T) {
	o := objects{list: true}
	o.clear()
	for i := range 5 {
		o.bytes = fmt.Appendf(o.bytes, `{"n":%d}`, i)
		o.close()
	}
	for _, test := range []struct {
		s    span
		want string
	}{
		{span{0, 5}, `[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4}]`},
		{span{0, 2}, `[{"n":0},{"n":1}]`},
		{span{2, 5}, `[{"n":2},{"n":3},{"n":4}]`},
		{span{3, 4}, `[{"n":3}]`},
		{span{0, 5}, `[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4}]`},
	} {
		if got := string(o.body(test.s)); got != test.want {
			t.Errorf("%v: %s", test.s, got)
		}
	}
	if got := o.text(4); got != `{"n":4}` {
		t.Errorf("text %s", got)
	}
}
