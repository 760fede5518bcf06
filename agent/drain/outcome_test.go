package drain

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func head(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

const page = "<!DOCTYPE html><html><body>Sign in</body></html>"

// shown is what an outcome refuses, as "line=reason ...".
func shown(o outcome) string {
	var refused []string
	for _, r := range o.refused {
		refused = append(refused, fmt.Sprintf("%d=%s", r.line, r.reason))
	}
	return strings.Join(refused, " ")
}

func checkVerdict(t *testing.T, got outcome, want verdict, cause string) {
	t.Helper()
	if got.verdict != want {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(got.cause, cause) || got.cause == "" && got.verdict >= split {
		t.Errorf("cause %q, want one with %q", got.cause, cause)
	}
	if strings.Contains(got.cause, "pw") || strings.Contains(got.cause, "secret=") || strings.Contains(got.cause, "<") {
		t.Errorf("cause shows too much: %q", got.cause)
	}
}

// TestClassifyStatus has the answers that mean the same whatever was sent.
func TestClassifyStatus(t *testing.T) {
	for name, test := range map[string]struct {
		x         exchange
		want      verdict
		cause     []string // for metrics, events, logs and both of OTLP; one for all
		ambiguous bool
	}{
		"401":         {x: exchange{status: 401}, want: hold, cause: []string{"scope metrics.ingest into the token file", "scope events.ingest into", "scope logs.ingest into", "scope metrics.ingest into", "scope logs.ingest into"}},
		"401 bare":    {x: exchange{status: 401, bare: true}, want: hold, cause: []string{"none is configured: name a token file"}},
		"401 page":    {x: exchange{status: 401, body: []byte(page)}, want: hold, cause: []string{"proxy or firewall in between"}},
		"402":         {x: exchange{status: 402}, want: hold, cause: []string{"licence"}},
		"403":         {x: exchange{status: 403}, want: hold, cause: []string{"send metrics (HTTP 403): give it the scope metrics.ingest", "send events", "send log records", "send metrics", "send log records"}},
		"403 page":    {x: exchange{status: 403, body: []byte(page)}, want: hold, cause: []string{"proxy or firewall in between"}},
		"404":         {x: exchange{status: 404}, want: hold, cause: []string{"no metrics API at this URL (HTTP 404): it should be https://ENVIRONMENT.live.dynatrace.com (not .apps.)", "no events API", "an ActiveGate needs its log module", "before /v1/metrics, for Dynatrace https://ENVIRONMENT.live.dynatrace.com/api/v2/otlp", "before /v1/logs"}},
		"405":         {x: exchange{status: 405}, want: hold, cause: []string{"HTTP 405"}},
		"407":         {x: exchange{status: 407}, want: hold, cause: []string{"into the proxy URL"}},
		"408":         {x: exchange{status: 408}, want: later, cause: []string{"in time (HTTP 408)"}},
		"413":         {x: exchange{status: 413, body: []byte(page)}, want: split, cause: []string{"too large"}},
		"415":         {x: exchange{status: 415}, want: hold, cause: []string{"take metrics in this form", "take events", "take log records", "take metrics", "take log records"}},
		"429":         {x: exchange{status: 429}, want: later, cause: []string{"takes no more for now"}},
		"500":         {x: exchange{status: 500}, want: later, cause: []string{"HTTP 500 Internal Server Error"}},
		"501":         {x: exchange{status: 501}, want: hold, cause: []string{"switched off"}},
		"502":         {x: exchange{status: 502}, want: later, cause: []string{"gateway"}, ambiguous: true},
		"503":         {x: exchange{status: 503, body: []byte(page)}, want: later, cause: []string{"HTTP 503"}},
		"504":         {x: exchange{status: 504}, want: later, cause: []string{"gateway"}, ambiguous: true},
		"511":         {x: exchange{status: 511}, want: later, cause: []string{"sign-in"}},
		"302":         {x: exchange{status: 302, header: head("Location", "https://u:pw@portal.example/login?secret=1")}, want: hold, cause: []string{"redirected to https://portal.example (HTTP 302)"}},
		"308":         {x: exchange{status: 308, header: head("Location", "/elsewhere")}, want: hold, cause: []string{"redirected (HTTP 308)"}},
		"200 page":    {x: exchange{status: 200, body: []byte(page)}, want: later, cause: []string{"wants a sign-in first"}},
		"200 no page": {x: exchange{status: 200, header: head("Content-Type", "text/html")}, want: later, cause: []string{"wants a sign-in first"}},
		"202 page":    {x: exchange{status: 202, body: []byte(page)}, want: later, cause: []string{"wants a sign-in first"}},
		"201 page":    {x: exchange{status: 201, body: []byte(page)}, want: later, cause: []string{"wants a sign-in first"}},
		"200 text":    {x: exchange{status: 200, header: head("Content-Type", "text/plain"), body: []byte("welcome")}, want: later, cause: []string{"other than Dynatrace", "other than Dynatrace", "other than Dynatrace", "other than an OTLP", "other than an OTLP"}},
		"400":         {x: exchange{status: 400}, want: split, cause: []string{"without naming an item"}},
		"400 page":    {x: exchange{status: 400, body: []byte(page)}, want: later, cause: []string{"wants a sign-in first"}},
		"418":         {x: exchange{status: 418}, want: later, cause: []string{"unexpected answer"}},
		"cut":         {x: exchange{begun: true, whole: true, err: io.EOF}, want: later, cause: []string{"cut before the answer"}, ambiguous: true},
		"cut early":   {x: exchange{begun: true, err: io.EOF}, want: later, cause: []string{"cut before the answer"}},
		"no token":    {x: exchange{noToken: errors.New("no token: the file is gone")}, want: hold, cause: []string{"the file is gone"}},
	} {
		for i, c := range []cargo{metrics, events, logs, otlpMetrics, otlpLogs} {
			t.Run(fmt.Sprintf("%s/%d", name, c), func(t *testing.T) {
				x := test.x
				x.cargo, x.items = c, 1
				x.whole = x.whole || x.status != 0
				got := classify(x, time.Now())
				checkVerdict(t, got, test.want, test.cause[min(i, len(test.cause)-1)])
				if got.ambiguous != test.ambiguous || got.throttled != (x.status == 429) || got.noGzip || got.unnamed != 0 || got.refused != nil {
					t.Errorf("got %+v", got)
				}
				x.whole = false // without all of the request nothing can have been taken
				if got = classify(x, time.Now()); got.ambiguous {
					t.Errorf("half a request may have been taken: %+v", got)
				}
			})
		}
	}
}

// TestNoGzip tells a server that cannot read a compressed body from one that
// does not like what is in it.
func TestNoGzip(t *testing.T) {
	words := func(text string) []byte { return fmt.Appendf(nil, `{"error":{"code":400,"message":%q}}`, text) }
	for name, test := range map[string]struct {
		x    exchange
		want bool
	}{
		"415":                 {exchange{status: 415}, true},
		"415 page":            {exchange{status: 415, body: []byte(page)}, true},
		"400 gzip":            {exchange{status: 400, body: words("gzip is not supported")}, true},
		"400 text":            {exchange{status: 400, header: head("Content-Type", "text/plain; charset=utf-8"), body: []byte("Unsupported Content-Encoding")}, true},
		"400 status":          {exchange{status: 400, cargo: otlpLogs, header: head("Content-Type", "application/x-protobuf"), body: []byte("\x12\x0cdecompress: ")}, true},
		"406 encoding":        {exchange{status: 406, body: words("content encoding")}, true},
		"406":                 {exchange{status: 406, body: words("not acceptable")}, false},
		"400 other":           {exchange{status: 400, body: words("character encoding is not UTF-8")}, false},
		"400 page":            {exchange{status: 400, body: []byte("<p>gzip</p>")}, false},
		"400 other lines":     {exchange{status: 400, body: []byte(`{"linesOk":0,"linesInvalid":31,"error":{"message":"31 invalid lines"}}`)}, true},
		"400 all lines":       {exchange{status: 400, body: []byte(`{"linesOk":0,"linesInvalid":7,"error":{"message":"gzip"}}`)}, false},
		"400 some lines":      {exchange{status: 400, body: []byte(`{"linesOk":3,"linesInvalid":3,"error":{"message":"gzip"}}`)}, false},
		"500 gzip":            {exchange{status: 500, body: words("gzip")}, false},
		"200":                 {exchange{status: 200}, false},
		"400 event of a line": {exchange{status: 400, cargo: events, body: []byte(`{"linesOk":0,"linesInvalid":31}`)}, false},
	} {
		if test.x.cargo == 0 {
			test.x.cargo = metrics
		}
		test.x.items, test.x.zipped = 7, true
		if got := classify(test.x, time.Now()); got.noGzip != test.want || test.want && (got.verdict != later || got.ambiguous || !strings.Contains(got.cause, "sent plain")) {
			t.Errorf("%s: %+v", name, got)
		}
		test.x.zipped = false
		if got := classify(test.x, time.Now()); got.noGzip {
			t.Errorf("%s, sent plain: %+v", name, got)
		}
	}
}

func TestAsked(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	micros := func(d time.Duration) string { return fmt.Sprint(now.Add(d).UnixMicro()) }
	for name, test := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"none":            {nil, 0},
		"seconds":         {head("Retry-After", " 7 "), 7 * time.Second},
		"too many":        {head("Retry-After", "99999999999999"), 5 * time.Minute},
		"negative":        {head("Retry-After", "-7"), 0},
		"date":            {head("Retry-After", now.Add(90*time.Second).Format(http.TimeFormat)), 90 * time.Second},
		"past date":       {head("Retry-After", now.Add(-90*time.Second).Format(http.TimeFormat)), 0},
		"nonsense":        {head("Retry-After", "soon"), 0},
		"reset moment":    {head("X-RateLimit-Reset", micros(30*time.Second)), 30 * time.Second},
		"reset far away":  {head("X-RateLimit-Reset", micros(30*time.Hour)), 5 * time.Minute},
		"reset past":      {head("X-RateLimit-Reset", micros(-time.Second)), 0},
		"reset time left": {head("X-RateLimit-Reset", "2500000"), 2500 * time.Millisecond},
		"reset negative":  {head("X-RateLimit-Reset", "-9223372036854775808"), 0},
		"both":            {head("Retry-After", "2", "X-RateLimit-Reset", micros(time.Minute)), 2 * time.Second},
	} {
		if got := asked(test.header, now); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// FuzzClassify holds that no answer loses an item or settles it twice: the
// refused items are within the post, in order and each once with a reason, what
// a verdict needs is there, and what is not an answer of the API takes nothing.
func FuzzClassify(f *testing.F) {
	f.Add(byte(1), 400, 5, `{"linesOk":1,"linesInvalid":2,"error":{"message":"m","invalidLines":[{"line":3,"error":"x"}]}}`, "text/plain")
	f.Add(byte(1), 202, 1, `{"linesValid":-7,"linesInvalid":99999}`, "application/json")
	f.Add(byte(2), 201, 1, `{"reportCount":1,"eventIngestResults":[{"status":"INVALID_METADATA"}]}`, "application/json")
	f.Add(byte(3), 200, 9, `{"details":{"code":200,"message":"a part"}}`, "application/json")
	f.Add(byte(4), 200, 9, "\x0a\x06\x08\x03\x12\x02no", "application/x-protobuf")
	f.Add(byte(5), 200, 9, `{"partialSuccess":{"rejectedLogRecords":"4","errorMessage":"no"}}`, "application/json")
	f.Add(byte(3), 503, 2, "\xff\xfe down", "text/plain")
	f.Fuzz(func(t *testing.T, kind byte, status, items int, body, contentType string) {
		items = max(1, min(items, 1000))
		x := exchange{
			cargo: 1 + cargo(kind%5), items: items, status: max(status, 1), body: []byte(body), whole: true, zipped: kind > 127,
			header: head("Content-Type", contentType, "Retry-After", body),
		}
		o := classify(x, time.Now())
		last := -1
		for _, r := range o.refused {
			if r.line <= last || r.line >= items || r.reason == "" {
				t.Fatalf("refused %+v of %d items", o.refused, items)
			}
			last = r.line
		}
		if o.verdict < accepted || o.verdict > later || o.verdict >= split && o.cause == "" || o.verdict == accepted && o.cause != "" || (o.unnamed > 0) != (o.verdict == partly && o.cause != "") {
			t.Fatalf("verdict %+v", o)
		}
		if o.unnamed < 0 || o.unnamed+len(o.refused) > items || o.verdict != partly && len(o.refused)+o.unnamed > 0 {
			t.Fatalf("counts of %+v", o)
		}
		if o.wait < 0 || o.wait > longestAsked || strings.ContainsAny(o.cause, "\n\r\x00") {
			t.Fatalf("wait or cause of %+v", o)
		}
		if o.verdict <= partly && isPage(x) && x.status != http.StatusNoContent {
			t.Fatalf("a page took something: %+v", o)
		}
	})
}
