package draintest

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sendJSON posts a body to an endpoint.
func sendJSON(t *testing.T, s *Server, path, body string, change ...func(*http.Request)) answered {
	t.Helper()
	asJSON := func(r *http.Request) {
		r.URL.Path = path
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return send(t, s, body, append([]func(*http.Request){asJSON}, change...)...)
}

func sendEvent(t *testing.T, s *Server, body string, change ...func(*http.Request)) answered {
	t.Helper()
	return sendJSON(t, s, "/api/v2/events/ingest", body, change...)
}

// with sets a header.
func with(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func gzipped(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }

func TestEventTaken(t *testing.T) {
	s := start(t)
	body := `{"eventType":"CUSTOM_INFO","title":"Gap","startTime":` + at(-2*time.Hour) + `,"endTime":` + at(0) + `,"timeout":360,` +
		`"entitySelector":"type(\"CUSTOM_DEVICE\"),entityName(\"sw1\")","properties":{"site":"plant-7"}}`
	a := sendEvent(t, s, body)
	if a.status != 201 || !strings.HasPrefix(a.body, `{"reportCount":1,"eventIngestResults":[{"correlationId":"`) || !strings.HasSuffix(a.body, `","status":"OK"}]}`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := sendJSON(t, s, "/e/abc/api/v2/events/ingest", zipped(`{"eventType":"WARNING","title":"x"}`), gzipped); a.status != 201 {
		t.Errorf("packed: got %d %s", a.status, a.body)
	}
	want := []Event{{
		Type: "CUSTOM_INFO", Title: "Gap", EntitySelector: `type("CUSTOM_DEVICE"),entityName("sw1")`, Start: now.Add(-2 * time.Hour).UnixMilli(),
		End: now.UnixMilli(), Timeout: 360, Properties: map[string]string{"site": "plant-7"},
	}, {Type: "WARNING", Title: "x", Start: now.UnixMilli(), Properties: map[string]string{}}}
	if got := s.Ledger().Events(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if c := s.Counts(); c.Events != 2 || c.Requests != 2 || c.Outcomes["201"] != 2 || c.Lines != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestEventAges(t *testing.T) {
	s := start(t)
	const never = 1000 * day
	ok := 0
	for _, c := range []struct {
		typ        string
		start, end time.Duration
		status     string
	}{
		{"ERROR_EVENT", -6 * time.Hour, never, "OK"},
		{"ERROR_EVENT", -6*time.Hour - time.Second, never, "INVALID_TIMESTAMPS"},
		{"WARNING", -7 * time.Hour, 0, "INVALID_TIMESTAMPS"},
		{"CUSTOM_ALERT", 5 * time.Minute, never, "OK"},
		{"CUSTOM_ALERT", 6 * time.Minute, never, "INVALID_TIMESTAMPS"},
		{"CUSTOM_ALERT", 0, 6 * time.Minute, "INVALID_TIMESTAMPS"},
		{"CUSTOM_INFO", -30 * day, -29 * day, "OK"},
		{"CUSTOM_DEPLOYMENT", -30*day - time.Second, 0, "INVALID_TIMESTAMPS"},
		{"CUSTOM_ANNOTATION", 0, 7 * day, "OK"},
		{"CUSTOM_INFO", 0, -time.Second, "INVALID_TIMESTAMPS"},
	} {
		body := fmt.Sprintf(`{"eventType":%q,"title":"x","startTime":%s`, c.typ, at(c.start))
		if c.end != never {
			body += `,"endTime":` + at(c.end)
		}
		a := sendEvent(t, s, body+"}")
		if a.status != 201 || !strings.Contains(a.body, `"status":"`+c.status+`"`) {
			t.Errorf("%+v: got %d %s", c, a.status, a.body)
		}
		if c.status == "OK" {
			ok++
		}
	}
	if n := s.Counts(); n.Events != ok || n.EventsInvalid != 10-ok {
		t.Errorf("counts %+v", n)
	}
}

func TestEventRefused(t *testing.T) {
	s := start(t)
	good := func(more string) string { return `{"eventType":"CUSTOM_INFO","title":"x"` + more + `}` }
	long := strings.Repeat("x", 4097)
	var many strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, `,"k%d":"v"`, i)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"no type":          {`{"title":"x"}`, 400, "eventType"},
		"no title":         {`{"eventType":"CUSTOM_INFO"}`, 400, "title"},
		"odd type":         {`{"eventType":"INFO","title":"x"}`, 400, "unknown"},
		"odd field":        {good(`,"severity":"x"`), 400, "field is unknown"},
		"field twice":      {good(`,"title":"y"`), 400, "comes twice"},
		"null":             {good(`,"endTime":null`), 400, "null"},
		"time as text":     {good(`,"startTime":"1700000000000"`), 400, "not a number"},
		"time in seconds":  {good(`,"startTime":1700000000`), 400, "milliseconds"},
		"fraction":         {good(`,"startTime":1700000000000.5`), 400, "whole number"},
		"timeout":          {good(`,"timeout":361`), 400, "361 minutes"},
		"no timeout":       {good(`,"timeout":0`), 400, "0 minutes"},
		"selector":         {good(`,"entitySelector":"sw1"`), 400, "selector"},
		"properties":       {good(`,"properties":{"a":1}`), 400, "not a string"},
		"deep properties":  {good(`,"properties":{"a":{"b":{"c":"d"}}}`), 400, "too deep"},
		"no properties":    {good(`,"properties":"a"`), 400, "not an object"},
		"long value":       {good(`,"properties":{"a":"` + long + `"}`), 400, "4097"},
		"long key":         {good(`,"properties":{"` + long[:101] + `":"a"}`), 400, "101"},
		"many properties":  {good(`,"properties":{` + many.String()[1:] + `}`), 400, "101 properties"},
		"array":            {"[" + good("") + "]", 400, "one JSON object"},
		"more behind":      {good("") + "x", 400, "after the end"},
		"no JSON":          {"eventType", 400, "not JSON"},
		"cut":              {good("")[:20], 400, ""},
		"not UTF-8":        {good(`,"properties":{"a":"` + "\xff" + `"}`), 400, "UTF-8"},
		"nothing":          {"", 400, "no body"},
		"too large":        {good(`,"properties":{"a":"` + strings.Repeat("x", 1_000_000) + `"}`), 413, "1000000 bytes"},
		"surrogates count": {good(`,"properties":{"a":"` + strings.Repeat("\U0001F321", 2049) + `"}`), 400, "4098"},
	} {
		if a := sendEvent(t, s, c.body); a.status != c.status || !strings.Contains(a.body, c.says) {
			t.Errorf("%s: got %d %.200s", name, a.status, a.body)
		}
	}
	if a := sendEvent(t, s, good(""), with("Content-Type", "text/plain")); a.status != 415 {
		t.Errorf("content type: got %d %s", a.status, a.body)
	}
	if c := s.Counts(); c.Events != 0 || c.EventsInvalid != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestScopes(t *testing.T) {
	bodies := map[string]string{
		ScopeMetrics: "cpu.load 5 " + at(0), ScopeEvents: `{"eventType":"CUSTOM_INFO","title":"x"}`, ScopeLogs: `[{"content":"x","log.source":"a"}]`,
	}
	for scope := range bodies {
		s := start(t, func(o *Options) { o.Scopes = []string{scope} })
		for _, e := range everything() {
			body, known := bodies[e.scope]
			if !known || strings.Contains(e.path, "/v1/") {
				continue
			}
			var a answered
			if e.scope == ScopeMetrics {
				a = send(t, s, body)
			} else {
				a = sendJSON(t, s, e.path, body)
			}
			if e.scope == scope && a.status >= 300 || e.scope != scope && (a.status != 403 || !strings.Contains(a.body, "missing required scope. Use one of: "+e.scope)) {
				t.Errorf("token for %s at %s: got %d %s", scope, e.path, a.status, a.body)
			}
		}
		if a := sendEvent(t, s, bodies[ScopeEvents], with("Authorization", "Api-Token wrong")); a.status != 401 {
			t.Errorf("wrong token: got %d", a.status)
		}
	}
}

func TestFaultsOfOneEndpoint(t *testing.T) {
	s := start(t)
	event, logs, line := `{"eventType":"CUSTOM_INFO","title":"x","startTime":`+at(-61*time.Minute)+`}`, `[{"content":"x","log.source":"a"}]`, "cpu.load 5 "+at(0)
	check := func(what string, metrics, events, records int) {
		t.Helper()
		got := [3]int{send(t, s, line).status, sendEvent(t, s, event).status, sendLogs(t, s, logs).status}
		if got != [3]int{metrics, events, records} {
			t.Errorf("%s: got %v", what, got)
		}
	}
	check("no fault", 202, 201, 204)
	set(t, s, Fault{Mode: Forbidden, Only: ScopeLogs})
	check("no logs", 202, 201, 403)
	set(t, s, Fault{Mode: Throttle, Only: ScopeEvents, Count: 1})
	check("one event", 202, 429, 204)
	check("after the count", 202, 201, 204)
	set(t, s, Fault{Mode: Unavailable})
	check("all", 503, 503, 503)
	for _, f := range []Fault{{Mode: Refuse, Only: ScopeLogs}, {Mode: Down, Only: "traces.ingest"}} {
		if err := s.SetFault(f); err == nil {
			t.Errorf("%+v was set", f)
		}
	}
	set(t, s, Fault{Mode: OldEvents})
	if a := sendEvent(t, s, event); a.status != 201 || !strings.Contains(a.body, "INVALID_TIMESTAMPS") {
		t.Errorf("old event: got %d %s", a.status, a.body)
	}
	set(t, s, Fault{Mode: PartialInvalid, Lines: 1})
	if a := sendEvent(t, s, event); a.status != 201 || !strings.Contains(a.body, "INVALID_METADATA") {
		t.Errorf("refused event: got %d %s", a.status, a.body)
	}
	set(t, s, Fault{Mode: RefuseGzip})
	for path, body := range map[string]string{"/api/v2/events/ingest": event, "/api/v2/logs/ingest": logs} {
		if a := sendJSON(t, s, path, zipped(body), gzipped); a.status != 415 {
			t.Errorf("%s packed: got %d %s", path, a.status, a.body)
		}
	}
	check("plain", 202, 201, 204)
}

func TestControlNamesTheEndpoint(t *testing.T) {
	s := start(t, func(o *Options) { o.Control = true })
	for query, want := range map[string]int{"mode=forbidden&only=logs.ingest": 204, "mode=forbidden&only=logs": 400} {
		a := send(t, s, "", func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/_fault", query })
		if a.status != want {
			t.Errorf("%s: got %d %s", query, a.status, a.body)
		}
	}
	if logs, event := sendLogs(t, s, `[{"content":"x","log.source":"a"}]`), sendEvent(t, s, `{"eventType":"WARNING","title":"x"}`); logs.status != 403 || event.status != 201 {
		t.Errorf("logs %d, event %d", logs.status, event.status)
	}
}
