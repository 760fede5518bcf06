package demoapp

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// plainOptions are those of the command without flags.
func plainOptions() Options {
	return Options{Spelling: Spelling1221, Groups: 1, Devices: 2, Seed: 1}
}

// asked is the answer to one request.
func asked(t *testing.T, h http.Handler, method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// keysOf are the keys of a JSON text in their order. No text in it has quotes.
func keysOf(text string) (keys []string) {
	for _, found := range regexp.MustCompile(`"([^"]*)":`).FindAllStringSubmatch(text, -1) {
		keys = append(keys, found[1])
	}
	return keys
}

func TestShape(t *testing.T) {
	device := []string{"name", "ip", "stats", "version", "random", "counter", "state"}
	cases := []struct {
		spelling     Spelling
		list, device string
		more         []string
	}{
		{Spelling1221, "devices", "My Device", []string{"stat_counter", "battery_level"}},
		{SpellingTutorial, "nodes", "My Node", []string{"stats_counter"}},
	}
	for _, c := range cases {
		t.Run(string(c.spelling), func(t *testing.T) {
			o := plainOptions()
			o.Spelling, o.Counter = c.spelling, 3
			app := New(o)
			w := asked(t, app, "GET", "/topology")
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("answer %d %v", w.Code, w.Header())
			}
			one := slices.Concat(device, c.more)
			want := slices.Concat([]string{"name", c.list}, one, one)
			if got := keysOf(w.Body.String()); !slices.Equal(got, want) {
				t.Errorf("keys %q, want %q", got, want)
			}
			for _, part := range []string{
				`[{"name":"My Group 01","` + c.list + `":[{"name":"` + c.device + ` 01","ip":"192.168.0.1","stats":{"version":"1.001","random":`,
				`"counter":4,"state":"`, `{"name":"` + c.device + ` 02","ip":"192.168.0.2"`,
			} {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("%q is not in %s", part, w.Body)
				}
			}
			if level := strings.Contains(w.Body.String(), `"battery_level":99.6}`); level != (c.spelling == Spelling1221) {
				t.Errorf("battery of 99.6 at the counter 4: %s", w.Body)
			}
			own := keysOf(asked(t, app, "GET", "/").Body.String())
			if want := slices.Concat(device[3:], c.more); !slices.Equal(own, want) {
				t.Errorf("keys of / are %q, want %q", own, want)
			}
		})
	}
}

// shown is the topology as a client of the 1.221 spelling reads it.
type shown []struct {
	Name    string
	Devices []struct {
		Name  string
		Stats struct {
			Random, Counter int64
			State           string
			StatCounter     []int64 `json:"stat_counter"`
			BatteryLevel    float64 `json:"battery_level"`
		}
	}
}

func read(t *testing.T, h http.Handler) (all shown) {
	t.Helper()
	if err := json.Unmarshal(asked(t, h, "GET", "/topology").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestValues(t *testing.T) {
	o := plainOptions()
	o.Groups, o.Counter = 2, 900
	app := New(o)
	states := map[string]int{}
	randoms := map[int64]bool{}
	changes, before := 0, ""
	for n := int64(1); n <= 300; n++ {
		all := read(t, app)
		if len(all) != 2 || len(all[0].Devices) != 2 || all[1].Name != "My Group 02" {
			t.Fatalf("request %d: %+v", n, all)
		}
		for _, g := range all {
			for _, d := range g.Devices {
				s, r := d.Stats, int64(0)
				if len(s.StatCounter) == 3 {
					r = s.StatCounter[2] - 10
				}
				if s.Counter != 900+n || s.Random < 1 || s.Random > 1000 || r < 0 || r > 9 || !slices.Equal(s.StatCounter, []int64{10 - r, 10, 10 + r}) {
					t.Fatalf("request %d: %+v", n, s)
				}
				if want := max(0, 100-float64(900+n)/10); s.BatteryLevel < want-1e-9 || s.BatteryLevel > want+1e-9 {
					t.Fatalf("battery %v at the counter %d", s.BatteryLevel, s.Counter)
				}
				states[s.State]++
				randoms[s.Random] = true
			}
		}
		if now := all[0].Devices[0].Stats.State; now != before {
			changes++
			before = now
		}
	}
	if keys := slices.Sorted(maps.Keys(states)); !slices.Equal(keys, []string{"ERROR", "OK", "WARNING"}) || states["OK"] < 500 || states["ERROR"] < 100 {
		t.Errorf("states %v", states)
	}
	if changes < 20 || changes > 100 {
		t.Errorf("the state changed %d times in 300 requests, want it to last for about three", changes)
	}
	if len(randoms) < 500 {
		t.Errorf("%d different random numbers of 1200", len(randoms))
	}
}

func TestSeed(t *testing.T) {
	text := func(seed uint64) string {
		o := plainOptions()
		o.Seed = seed
		app := New(o)
		return asked(t, app, "GET", "/topology").Body.String() + asked(t, app, "GET", "/topology").Body.String()
	}
	if first, second := text(7), text(7); first != second {
		t.Error("one seed, two answers")
	}
	if text(7) == text(8) {
		t.Error("two seeds, one answer")
	}
}

func TestAppear(t *testing.T) {
	o := plainOptions()
	o.Groups, o.Counter, o.Appear = 2, 50, 3
	app := New(o)
	for n := 1; n <= 5; n++ {
		all := read(t, app)
		if len(all[0].Devices) != 2 {
			t.Errorf("request %d: the first group has %d devices", n, len(all[0].Devices))
		}
		last := all[1].Devices[len(all[1].Devices)-1]
		switch {
		case n < 3 && last.Name != "My Device 02":
			t.Errorf("request %d: %s is there", n, last.Name)
		case n >= 3 && (last.Name != "My Device 03" || last.Stats.Counter != int64(n-3)):
			t.Errorf("request %d: the last device is %s with the counter %d", n, last.Name, last.Stats.Counter)
		}
	}
}

func TestLogin(t *testing.T) {
	o := plainOptions()
	o.User, o.Password = "anna", "open sesame"
	var told []string
	o.Tell = func(text string) { told = append(told, text) }
	app := New(o)
	as := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	nobody := func(*http.Request) {}
	for _, who := range []func(*http.Request){nobody, as("anna", ""), as("", "open sesame"), as("anna", "open sesam"), as("bert", "open sesame")} {
		w := asked(t, app, "GET", "/topology", who)
		if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") || strings.Contains(w.Body.String(), "Group") {
			t.Errorf("answer %d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	w := asked(t, app, "GET", "/topology", as("anna", "open sesame"))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"counter":1,`) {
		t.Errorf("with the right password: %d %s", w.Code, w.Body)
	}
	want := append(slices.Repeat([]string{`GET "/topology": 401 Unauthorized`}, 5), `GET "/topology": 200 OK`)
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestOtherRequests(t *testing.T) {
	app := New(plainOptions())
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/topology/", 404}, {"GET", "/x", 404}, {"POST", "/topology", 405}, {"DELETE", "/", 405}, {"GET", "/", 200},
	} {
		if w := asked(t, app, c.method, c.path); w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
	if all := read(t, app); all[0].Devices[0].Stats.Counter != 1 {
		t.Error("a request that is not answered has counted")
	}
}

func TestCheck(t *testing.T) {
	cases := []struct {
		change func(*Options)
		want   string // of the error; empty: none
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Spelling = "1.299" }, `spelling is "1.299", expected 1.221 or tutorial`},
		{func(o *Options) { o.Groups = 0 }, "groups is 0, expected 1 to 99"},
		{func(o *Options) { o.Groups = 100 }, "groups is 100"},
		{func(o *Options) { o.Devices = -1 }, "devices is -1"},
		{func(o *Options) { o.Devices = 99 }, ""},
		{func(o *Options) { o.Counter = -1 }, "counter is -1"},
		{func(o *Options) { o.Appear = -1 }, "appear is -1"},
	}
	for _, c := range cases {
		o := plainOptions()
		c.change(&o)
		err := o.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", o, err, c.want)
		}
	}
}

// TestServe asks from many sides at once: no count is lost, none is shown twice.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	o := plainOptions()
	told := 0
	o.Tell = func(string) { told++ }
	ended := make(chan error, 1)
	go func() { ended <- New(o).Serve(ctx, l) }()

	var mu sync.Mutex
	counters := map[int64]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				response, err := http.Get("http://" + l.Addr().String() + "/topology")
				if err != nil {
					t.Error(err)
					return
				}
				var s shown
				err = json.NewDecoder(response.Body).Decode(&s)
				response.Body.Close()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				counters[s[0].Devices[0].Stats.Counter]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for n := range int64(80) {
		if counters[n+1] != 1 {
			t.Errorf("the counter %d was shown %d times", n+1, counters[n+1])
		}
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("at the end: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	if told != 80 {
		t.Errorf("%d requests were told of, want 80", told)
	}
	if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("it still listens")
	}
}

func TestServeOnAClosedListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(plainOptions()).Serve(context.Background(), l); err == nil || !strings.Contains(err.Error(), "serve the demo application") {
		t.Errorf("error %v", err)
	}
}
