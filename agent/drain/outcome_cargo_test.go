package drain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestClassifyEvents(t *testing.T) {
	const old = "its time lies outside of what the environment takes"
	for name, test := range map[string]struct {
		status  int
		body    string
		err     error
		want    verdict
		refused string // the begin of the reason
	}{
		"OK":                    {201, `{"reportCount":1,"eventIngestResults":[{"correlationId":"a","status":"OK"}]}`, nil, accepted, ""},
		"counted":               {201, `{"reportCount":2}`, nil, accepted, ""},
		"OK for one of two":     {201, `{"reportCount":2,"eventIngestResults":[{"status":"INVALID_ENTITY_TYPE"},{"status":"OK"}]}`, nil, accepted, ""},
		"too old":               {201, `{"reportCount":1,"eventIngestResults":[{"status":"INVALID_TIMESTAMPS"}]}`, nil, partly, "INVALID_TIMESTAMPS: " + old},
		"wrong type":            {201, `{"reportCount":1,"eventIngestResults":[{"status":"INVALID_ENTITY_TYPE"}]}`, nil, partly, "INVALID_ENTITY_TYPE: its entity selector"},
		"bad property":          {201, `{"reportCount":1,"eventIngestResults":[{"status":"INVALID_METADATA"}]}`, nil, partly, "INVALID_METADATA: one of its properties"},
		"a word of the future":  {201, `{"reportCount":1,"eventIngestResults":[{"status":"INVALID_MOOD\u0000\n"}]}`, nil, partly, "the environment refuses the event with the status INVALID_MOOD"},
		"no entity":             {201, `{"reportCount":0,"eventIngestResults":[]}`, nil, partly, "its entity selector finds no entity"},
		"null":                  {201, `{"reportCount":1,"eventIngestResults":null}`, nil, accepted, ""},
		"other JSON":            {201, `{"id":1}`, nil, later, ""},
		"201 without a body":    {201, ``, nil, later, ""},
		"200":                   {200, `{"reportCount":1,"eventIngestResults":[{"status":"OK"}]}`, nil, later, ""},
		"201 cut":               {201, `{"reportCount":1,"ev`, io.ErrUnexpectedEOF, later, ""},
		"400":                   {400, `{"error":{"code":400,"message":"Constraints violated.","constraintViolations":[{"message":"title is missing"}]}}`, nil, partly, "Constraints violated.; title is missing"},
		"400 without words":     {400, `{}`, nil, split, ""},
		"400 text":              {400, `title is missing`, nil, split, ""},
		"202 of the metrics":    {202, `{"linesOk":1}`, nil, later, ""},
		"204 of the log ingest": {204, ``, nil, later, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange{cargo: events, items: 1, status: test.status, body: []byte(test.body), err: test.err, whole: true}
			o := classify(x, time.Now())
			checkVerdict(t, o, test.want, "")
			if test.want == partly && (len(o.refused) != 1 || !strings.HasPrefix(o.refused[0].reason, test.refused)) || o.unnamed != 0 || o.ambiguous != (test.err != nil) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestClassifyLogs(t *testing.T) {
	for name, test := range map[string]struct {
		status, items int
		body          string
		err           error
		want          verdict
		unnamed       int
		cause         string
	}{
		"204":               {204, 3, ``, nil, accepted, 0, ""},
		"200 part":          {200, 3, `{"details":{"code":200,"message":"2 of 3 taken"}}`, nil, partly, 1, "2 of 3 taken"},
		"200 part of one":   {200, 1, `{"details":{"code":200,"message":"too odd"}}`, nil, partly, 0, ""},
		"200 without words": {200, 3, `{"details":{}}`, nil, partly, 1, "without a reason"},
		"200 empty":         {200, 3, ``, nil, later, 0, "other than Dynatrace"},
		"200 other JSON":    {200, 3, `{"ok":true}`, nil, later, 0, "other than Dynatrace"},
		"200 cut":           {200, 3, `{"deta`, io.ErrUnexpectedEOF, later, 0, "broke off"},
		"202":               {202, 3, ``, nil, later, 0, "other than Dynatrace"},
		"400 too old":       {400, 3, `{"error":{"code":400,"message":"timestamps_out_of_range: batch contains a log more than 24 hours in the past"}}`, nil, split, 0, "timestamps_out_of_range"},
		"400 one too old":   {400, 1, `{"error":{"code":400,"message":"timestamps_out_of_range"}}`, nil, partly, 0, ""},
		"400 one":           {400, 1, `{"error":{"code":400,"message":"no"}}`, nil, split, 0, "no"},
		"400 cut":           {400, 3, `{"err`, io.ErrUnexpectedEOF, split, 0, "without naming an item"},
		"402":               {402, 3, `{"error":{"message":"DPS exhausted"}}`, nil, hold, 0, "DPS exhausted"},
		"404":               {404, 3, ``, nil, hold, 0, "log module"},
		"413":               {413, 3, ``, nil, split, 0, "too large"},
		"501":               {501, 3, ``, nil, hold, 0, "switched off"},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange{cargo: logs, items: test.items, status: test.status, body: []byte(test.body), err: test.err, whole: true}
			o := classify(x, time.Now())
			checkVerdict(t, o, test.want, test.cause)
			if o.unnamed != test.unnamed || test.want == partly && test.items == 1 && shown(o) != "0=too odd" && shown(o) != "0=timestamps_out_of_range" || o.ambiguous != (test.want == later && test.err != nil) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// partial is the answer of the protocol to a request of which so many items
// were refused, written without the code that reads it.
func partial(rejected uint64, words string) []byte {
	inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), rejected)
	inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), words)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
}

func rpcStatus(code uint64, words string) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), code)
	return protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), words)
}

func TestClassifyOTLP(t *testing.T) {
	const protobuf = "application/x-protobuf"
	for name, test := range map[string]struct {
		status  int
		kind    string
		body    []byte
		err     error
		want    verdict
		unnamed int
		refused int
		cause   string
	}{
		"200 empty":            {status: 200, want: accepted},
		"200 empty protobuf":   {status: 200, kind: protobuf, want: accepted},
		"200 part":             {status: 200, kind: protobuf, body: partial(2, "two bad"), want: partly, unnamed: 2, cause: "two bad"},
		"200 part like a page": {status: 200, kind: protobuf, body: partial(2, strings.Repeat("b", 56)), want: partly, unnamed: 2, cause: "bb"},
		"200 all":              {status: 200, kind: protobuf, body: partial(5, "all bad"), want: partly, refused: 5},
		"200 more than all":    {status: 200, kind: protobuf, body: partial(1<<40, "all bad"), want: partly, refused: 5},
		"200 warning":          {status: 200, kind: protobuf, body: partial(0, "mind"), want: accepted},
		"200 negative":         {status: 200, kind: protobuf, body: partial(1<<63, "?"), want: later, cause: "an OTLP endpoint"},
		"200 cut":              {status: 200, kind: protobuf, body: partial(2, "two bad")[:5], err: io.ErrUnexpectedEOF, want: accepted},
		"200 broken":           {status: 200, kind: protobuf, body: []byte("\xff"), want: later, cause: "an OTLP endpoint"},
		"200 cut and unknown":  {status: 200, body: []byte("we"), err: io.ErrUnexpectedEOF, want: later, cause: "broke off"},
		"200 JSON":             {status: 200, kind: "application/json", body: []byte(`{"partialSuccess":{}}`), want: accepted},
		"200 part in JSON":     {status: 200, kind: "application/json", body: []byte(`{"partialSuccess":{"rejectedDataPoints":"3","rejectedLogRecords":3,"errorMessage":"no"}}`), want: partly, unnamed: 3, cause: "no"},
		"200 bad JSON":         {status: 200, kind: "application/json", body: []byte(`[`), want: later, cause: "an OTLP endpoint"},
		"202":                  {status: 202, want: accepted},
		"204":                  {status: 204, want: accepted},
		"201":                  {status: 201, body: []byte("\x00"), want: later, cause: "an OTLP endpoint"},
		"400 all invalid":      {status: 400, kind: protobuf, body: rpcStatus(3, "no metric is valid"), want: split, cause: "the server says: no metric is valid"},
		"413":                  {status: 413, want: split, cause: "too large"},
		"503 with words":       {status: 503, kind: protobuf, body: rpcStatus(14, "busy"), want: later, cause: "the server says: busy"},
		"404 text":             {status: 404, kind: "text/plain; charset=utf-8", body: []byte("404 page not found\n"), want: hold, cause: "404 page not found"},
	} {
		for _, c := range []cargo{otlpMetrics, otlpLogs} {
			t.Run(fmt.Sprintf("%s/%d", name, c), func(t *testing.T) {
				x := exchange{cargo: c, items: 5, status: test.status, body: test.body, err: test.err, whole: true, header: head("Content-Type", test.kind)}
				o := classify(x, time.Now())
				checkVerdict(t, o, test.want, test.cause)
				if o.unnamed != test.unnamed || len(o.refused) != test.refused {
					t.Errorf("got %+v", o)
				}
			})
		}
	}
}

// FuzzMetricsAnswer writes the answer of an environment that refuses some lines
// and names some of those, and holds the outcome against it.
func FuzzMetricsAnswer(f *testing.F) {
	f.Add(uint8(5), uint64(0b10110), uint64(0b00010), true)
	f.Add(uint8(3), uint64(0b111), uint64(0), false)
	f.Fuzz(func(t *testing.T, size uint8, refused, named uint64, old bool) {
		items := 1 + int(size%64)
		refused &= 1<<items - 1
		named &= refused
		type line struct {
			Line  int    `json:"line"`
			Error string `json:"error"`
		}
		var lines []line
		bad := 0
		for i := items - 1; i >= 0; i-- { // the order is the server's
			bad += int(refused >> i & 1)
			if named>>i&1 == 1 {
				lines = append(lines, line{i + 1, fmt.Sprint("bad ", i)})
			}
		}
		count := "linesOk"
		if old {
			count = "linesValid"
		}
		body, err := json.Marshal(map[string]any{count: items - bad, "linesInvalid": bad, "error": map[string]any{"message": "some", "invalidLines": lines}})
		if err != nil {
			t.Fatal(err)
		}
		o := classify(exchange{cargo: metrics, items: items, status: 400, body: body}, time.Now())
		if len(o.refused)+o.unnamed != bad || len(o.refused) < len(lines) || bad == items && o.unnamed != 0 {
			t.Fatalf("%d of %d refused, %d named: %+v", bad, items, len(lines), o)
		}
		for _, r := range o.refused {
			want := "some"
			if named>>r.line&1 == 1 {
				want = fmt.Sprint("bad ", r.line)
			}
			if refused>>r.line&1 == 0 || r.reason != want {
				t.Fatalf("line %d is refused: %q", r.line, r.reason)
			}
		}
	})
}

// FuzzEventAnswer holds that an event has arrived if and only if one status is OK.
func FuzzEventAnswer(f *testing.F) {
	f.Add("OK", "INVALID_METADATA", uint8(2))
	f.Add("INVALID_TIMESTAMPS", "", uint8(1))
	f.Fuzz(func(t *testing.T, first, second string, n uint8) {
		statuses := []string{first, second}[:n%3]
		results, arrived := []map[string]string{}, false
		for _, s := range statuses {
			results = append(results, map[string]string{"status": s})
			arrived = arrived || s == "OK"
		}
		body, err := json.Marshal(map[string]any{"reportCount": len(statuses), "eventIngestResults": results})
		if err != nil {
			t.Fatal(err)
		}
		o := classify(exchange{cargo: events, items: 1, status: 201, body: body}, time.Now())
		if arrived != (o.verdict == accepted) || !arrived && (o.verdict != partly || len(o.refused) != 1) {
			t.Fatalf("%q: %+v", statuses, o)
		}
	})
}

// FuzzLogsAnswer holds that a part counts as a part whatever the words are.
func FuzzLogsAnswer(f *testing.F) {
	f.Add("2 of 3", uint8(3))
	f.Add("", uint8(1))
	f.Fuzz(func(t *testing.T, words string, size uint8) {
		items := 1 + int(size)
		body, err := json.Marshal(map[string]any{"details": map[string]any{"code": 200, "message": words}})
		if err != nil {
			t.Fatal(err)
		}
		o := classify(exchange{cargo: logs, items: items, status: 200, body: body}, time.Now())
		if o.verdict != partly || o.unnamed+len(o.refused) != 1 {
			t.Fatalf("%q: %+v", words, o)
		}
	})
}

// FuzzOTLPAnswer holds that as many items are refused as the server says, at
// most all of them, in either form of the answer.
func FuzzOTLPAnswer(f *testing.F) {
	f.Add(uint64(2), "no", uint8(5))
	f.Add(uint64(1<<63-1), "\xff", uint8(0))
	f.Fuzz(func(t *testing.T, rejected uint64, words string, size uint8) {
		rejected &= 1<<63 - 1
		items := 1 + int(size)
		text, err := json.Marshal(map[string]any{"partialSuccess": map[string]any{"rejectedDataPoints": fmt.Sprint(rejected), "errorMessage": words}})
		if err != nil {
			t.Fatal(err)
		}
		for kind, body := range map[string][]byte{"application/x-protobuf": partial(rejected, words), "application/json": text} {
			o := classify(exchange{cargo: otlpMetrics, items: items, status: 200, body: body, header: head("Content-Type", kind)}, time.Now())
			if int64(o.unnamed+len(o.refused)) != int64(min(rejected, uint64(items))) || (o.verdict == accepted) != (rejected == 0) {
				t.Fatalf("%d of %d in %s: %+v", rejected, items, kind, o)
			}
		}
	})
}
