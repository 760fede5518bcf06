package record

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes"
)

// decode reads JSON with the standard library, numbers as they are written.
func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var got map[string]any
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return got
}

// checkLogItem compares the JSON of a fitted record with the record.
func checkLogItem(t *testing.T, r probes.Record) {
	t.Helper()
	text := AppendLogItem(nil, r)
	got := decode(t, text)
	want := map[string]any{"content": r.Content, "log.source": "edgehold"}
	if r.Severity != "" {
		want["severity"] = r.Severity
	}
	if datable(r.Stamp) {
		want["timestamp"] = json.Number(strconv.FormatInt(r.Stamp.Wall, 10))
	}
	for _, d := range r.Attributes {
		want[d.Key] = d.Value
	}
	for _, n := range r.Numbers {
		want[n.Key] = n.Value
	}
	if len(got) != len(want) {
		t.Fatalf("%d members, want %d: %s", len(got), len(want), text)
	}
	for key, w := range want {
		v, number := w.(probes.Value)
		if !number && got[key] != w || number && !sameNumber(got[key], v) {
			t.Fatalf("%q is %v, want %v", key, got[key], w)
		}
	}
}

func sameNumber(got any, want probes.Value) bool {
	n, ok := got.(json.Number)
	switch want.Form() {
	case probes.FormInt:
		return ok && n.String() == strconv.FormatInt(want.Int64(), 10)
	case probes.FormUint:
		return ok && n.String() == strconv.FormatUint(want.Uint64(), 10)
	}
	f, err := n.Float64()
	return ok && err == nil && f == want.Float64()
}

func checkEventBody(t *testing.T, e probes.Event) {
	t.Helper()
	text := AppendEventBody(nil, e)
	got := decode(t, text)
	properties, _ := got["properties"].(map[string]any)
	if got["eventType"] != e.Type || got["title"] != e.Title || len(properties) != len(e.Properties) {
		t.Fatalf("%s is not %+v", text, e)
	}
	for _, p := range e.Properties {
		if properties[p.Key] != p.Value {
			t.Fatalf("property %q is %v, want %q", p.Key, properties[p.Key], p.Value)
		}
	}
	if s, _ := got["entitySelector"].(string); s != e.EntitySelector {
		t.Fatalf("selector %q, want %q", s, e.EntitySelector)
	}
}

func TestEventBody(t *testing.T) {
	const want = `{"eventType":"ERROR_EVENT","title":"Port down","startTime":1767222000000,"endTime":1767225540000,` +
		`"timeout":2,"entitySelector":"type(\"CUSTOM_DEVICE\"),entityName.equals(\"sw1\")",` +
		`"properties":{"device.address":"192.0.2.7","if.name":"Gi0/1"}}`
	if got := string(AppendEventBody(nil, anEvent())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	guess := probes.Stamp{Wall: 5, Guess: true}
	const bare = `{"eventType":"CUSTOM_INFO","title":"-"}`
	if got := string(AppendEventBody(nil, probes.Event{Type: "CUSTOM_INFO", Start: guess})); got != bare {
		t.Errorf("got %s", got)
	}
}

func TestLogItem(t *testing.T) {
	r := aRecord()
	r.Stamp.Guess = false
	const want = `{"timestamp":1767225600000,"severity":"WARN","log.source":"edgehold","content":"link down",` +
		`"site":"plant-7","f":-0.5,"i":-9223372036854775808,"u":18446744073709551615}`
	if got := string(AppendLogItem(nil, r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// logBody is the request body of so many records.
func logBody(records ...probes.Record) []byte {
	body := []byte("[")
	for i, r := range records {
		if i > 0 {
			body = append(body, ',')
		}
		body = AppendLogItem(body, r)
	}
	return append(body, ']')
}

// environment is a stand-in whose time is noon.
func environment(t *testing.T) *draintest.Server {
	t.Helper()
	env := draintest.New(draintest.Options{Now: func() time.Time { return noon }, KeepLines: true})
	if _, err := env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close() })
	return env
}

func post(t *testing.T, env *draintest.Server, path string, body []byte) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, env.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Api-Token x")
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// TestTheEnvironmentTakesWhatIsOverLimits has the stand-in, which is stricter
// than the documentation, take what was far over every limit.
func TestTheEnvironmentTakesWhatIsOverLimits(t *testing.T) {
	env := environment(t)
	r, e := oversized()
	for i, r := range []probes.Record{r, InTime(r, noon), aRecord(), EventRecord(e)} {
		if status := post(t, env, "/api/v2/logs/ingest", logBody(r)); status != 204 {
			t.Errorf("record %d: status %d, %s", i, status, env.Ledger().Refusals()[0].Reason)
		}
	}
	if status := post(t, env, "/api/v2/events/ingest", AppendEventBody(nil, e)); status != 201 {
		t.Errorf("event: status %d, %v", status, env.Ledger().Refusals())
	}
	if c := env.Counts(); c.Events != 1 {
		t.Errorf("taken: %+v", c)
	}
	if p := env.Ledger().Events()[0].Properties; len(p) != 100 || p[NoteKey] != "901 left out, 2 shortened" {
		t.Errorf("%d properties, note %q", len(p), p[NoteKey])
	}
}
