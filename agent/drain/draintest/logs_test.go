package draintest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sendLogs(t *testing.T, s *Server, body string, change ...func(*http.Request)) answered {
	t.Helper()
	return sendJSON(t, s, "/api/v2/logs/ingest", body, change...)
}

func TestLogsTaken(t *testing.T) {
	s := start(t)
	body := `[{"content":"link down","timestamp":` + at(-24*time.Hour) + `,"severity":"WARN","log.source":"edgehold","if.name":"Gi0/1","up":false,"n":-1.50},` +
		`{"content":"x","log.source":"a"}]`
	for _, a := range []answered{sendLogs(t, s, body), sendLogs(t, s, zipped(`{"content":"alone","log.source":"a"}`), gzipped)} {
		if a.status != 204 || a.body != "" {
			t.Errorf("got %d %q", a.status, a.body)
		}
	}
	want := []Record{{
		Timestamp: now.Add(-24 * time.Hour).UnixMilli(), Content: "link down", Severity: "WARN",
		Attributes: map[string]string{"log.source": "edgehold", "if.name": "Gi0/1", "up": "false"}, Numbers: map[string]json.Number{"n": "-1.50"},
	}}
	for _, text := range []string{"x", "alone"} {
		want = append(want, Record{Timestamp: now.UnixMilli(), Content: text, Attributes: map[string]string{"log.source": "a"}, Numbers: map[string]json.Number{}})
	}
	if got := s.Ledger().Records(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if c := s.Counts(); c.Records != 3 || c.LateRecords != 0 || c.LatePoints != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestLogsRefused(t *testing.T) {
	s := start(t)
	good := func(more string) string {
		return `[{"content":"fine","log.source":"a"},{"content":"x","log.source":"a"` + more + `}]`
	}
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, `,"k%d":%d`, i, i)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"too old":         {good(`,"timestamp":` + at(-24*time.Hour-time.Millisecond)), 400, "timestamps_out_of_range: batch contains a log more than 24 hours in the past"},
		"future":          {good(`,"timestamp":` + at(10*time.Minute+time.Millisecond)), 400, "future"},
		"time as text":    {good(`,"timestamp":"` + at(0) + `"`), 400, "not a number"},
		"time in seconds": {good(`,"timestamp":1700000000`), 400, "milliseconds"},
		"no content":      {`[{"log.source":"a"}]`, 400, "content"},
		"empty content":   {`[{"content":"","log.source":"a"}]`, 400, "0 bytes"},
		"no source":       {`[{"content":"x"}]`, 400, "log.source"},
		"severity":        {good(`,"severity":"bad"`), 400, "severity"},
		"key twice":       {good(`,"content":"y"`), 400, "twice"},
		"nested":          {good(`,"a":{"b":{"c":{"d":"e"}}}`), 400, "too deep"},
		"object":          {good(`,"a":{"b":"c"}`), 400, "not a string"},
		"array":           {good(`,"a":["b"]`), 400, "array"},
		"null":            {good(`,"a":null`), 400, "null"},
		"key":             {good(`,"a b":"c"`), 400, "character"},
		"hyphen":          {good(`,"-a":"c"`), 400, "hyphen"},
		"empty key":       {good(`,"":"c"`), 400, "0 bytes"},
		"long key":        {good(`,"` + strings.Repeat("k", 101) + `":"c"`), 400, "101 bytes"},
		"long value":      {good(`,"a":"` + strings.Repeat("v", 32_001) + `"`), 400, "32001 bytes"},
		"many attributes": {good(many.String()), 400, "501 attributes"},
		"empty batch":     {"[]", 400, "empty"},
		"a text":          {`"x"`, 400, "neither"},
		"elements":        {`[1]`, 400, "not an object"},
		"cut":             {good("")[:30], 400, ""},
		"more behind":     {good("") + "[]", 400, "after the end"},
		"too many":        {"[" + strings.Repeat(`{"content":"x","log.source":"a"},`, 50_000) + `{"content":"x","log.source":"a"}]`, 413, "50001 records"},
		"too large":       {good(`,"a":"` + strings.Repeat("x", 10_000_000) + `"`), 413, "10000000 bytes"},
	} {
		if a := sendLogs(t, s, c.body); a.status != c.status || !strings.Contains(a.body, c.says) {
			t.Errorf("%s: got %d %.200s", name, a.status, a.body)
		}
	}
	if c := s.Counts(); c.Records != 0 {
		t.Errorf("%d records were taken", c.Records)
	}
}

func TestLogFaults(t *testing.T) {
	s := start(t)
	body := "[" + strings.Repeat(`{"content":"x","log.source":"a"},`, 8) + `{"content":"x","log.source":"a"}]`
	set(t, s, Fault{Mode: PartialInvalid, Lines: 4, Only: ScopeLogs})
	if a := sendLogs(t, s, body); a.status != 200 || a.body != `{"details":{"code":200,"message":"2 events were not ingested"}}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	set(t, s, Fault{Mode: TooLarge, Lines: 8})
	if a := sendLogs(t, s, body); a.status != 413 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	set(t, s, Fault{Mode: LoseAnswer, Count: 1})
	if _, err := do(plain(), request(t, s, body, func(r *http.Request) {
		r.URL.Path = "/api/v2/logs/ingest"
		r.Header.Set("Content-Type", "application/json")
	})); err == nil {
		t.Error("the answer was not lost")
	}
	if c := s.Counts(); c.Records != 7+9 || c.Refused != 2 || c.Outcomes["answer lost"] != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestLatePoints(t *testing.T) {
	s := start(t)
	late := func(numbers string) string {
		return `[{"content":"late metrics","timestamp":` + at(-time.Hour) + `,"log.source":"edgehold","edgehold.late":"true",` +
			`"edgehold.time":"2023-11-14T21:13:20.000Z","edgehold.from":"2023-11-14T21:13:00.000Z","site":"a","if.name":"Gi 0/1",` + numbers + `}]`
	}
	for _, body := range []string{
		late(`"bytes":7,"load.min":1,"load.max":3,"load.sum":4,"load.count":2,"errors.count":5`),
		late(`"bytes":7`), late(`"bytes":7`), // twice again
		late(`"errors.count":6`), // another value
		`[{"content":"late metrics","log.source":"edgehold","edgehold.late":"true","edgehold.time_unknown":"true","edgehold.boot":"0b","edgehold.uptime":90000,"site":"a","bytes":8}]`,
		`[{"content":"not late","log.source":"edgehold","bytes":9}]`,
	} {
		if a := sendLogs(t, s, body); a.status != 204 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	var got []string
	for _, p := range s.Ledger().LatePoints() {
		got = append(got, p.String())
	}
	const port, stamp = `,if.name="Gi 0/1",site="a" `, " at 2023-11-14T21:13:20.000Z from "
	want := []string{
		"bytes" + port + "7" + stamp + "1", "errors.count" + port + "5" + stamp + "1", "load" + port + "1,3,4,2" + stamp + "2", `bytes,site="a" 8 at 0b+90000 from 1`,
	}
	if !sameSet(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	c := s.Counts()
	if c.Records != 6 || c.LateRecords != 5 || c.LatePoints != 8 || c.LateDistinct != 4 || c.LateDuplicates != 2 || c.LateConflicts != 1 {
		t.Errorf("counts %+v", c)
	}
	dims := map[string]string{"site": "a", "if.name": "Gi 0/1"}
	for metric, times := range map[string]int{"bytes": 3, "load": 1, "errors.count": 2, "load.min": 0} {
		if n := s.Ledger().LateTimes(metric, dims, now.Add(-time.Hour)); n != times {
			t.Errorf("%s: taken %d times, want %d", metric, n, times)
		}
	}
	if n := s.Ledger().LateTimes("bytes", dims, now); n != 0 {
		t.Errorf("at another time: %d", n)
	}
}

// sameSet compares lists in any order.
func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, x := range a {
		count[x]++
	}
	for _, x := range b {
		count[x]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
