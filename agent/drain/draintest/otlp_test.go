package draintest

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

// fixedField writes a field of eight bytes.
func fixedField(number int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(nil, uint64(number<<3|wireFixed)), v)
}

func doubleField(number int, v float64) []byte { return fixedField(number, math.Float64bits(v)) }

func timeField(number int, at time.Time) []byte { return fixedField(number, uint64(at.UnixNano())) }

// part writes a field that holds a message of the parts.
func part(number int, parts ...[]byte) []byte {
	return appendBytesField(nil, number, []byte(strings.Join(texts(parts), "")))
}

func texts(parts [][]byte) (all []string) {
	for _, p := range parts {
		all = append(all, string(p))
	}
	return all
}

func textField(number int, text string) []byte { return appendBytesField(nil, number, text) }

func attr(field int, key, value string) []byte {
	return part(field, textField(1, key), part(2, textField(1, value)))
}

// numberPoint is a data point with a double and one dimension.
func numberPoint(v float64, at time.Time, more ...[]byte) []byte {
	return part(1, append([][]byte{timeField(3, at), doubleField(4, v), attr(7, "port", "1")}, more...)...)
}

// otlp makes a request of metrics or records.
func otlp(items ...[]byte) string {
	return string(part(1, part(1, attr(1, "service.name", "x")), part(2, items...)))
}

func gaugeOf(key string, points ...[]byte) []byte {
	return part(2, textField(1, key), part(gaugeField, points...))
}

func deltaOf(key string, monotonic uint64, points ...[]byte) []byte {
	points = append(points, appendVarintField(nil, 2, delta), appendVarintField(nil, 3, monotonic))
	return part(2, textField(1, key), part(sumField, points...))
}

func statisticOf(key string, more ...[]byte) []byte {
	fields := append([][]byte{
		attr(1, "port", "1"), timeField(3, now), fixedField(4, 3), doubleField(5, 6), fixedField(7, 3), doubleField(12, -1), doubleField(13, 4), doubleField(14, 4),
	}, more...)
	return part(2, textField(1, key), part(exponentialField, part(1, fields...), appendVarintField(nil, 2, delta)))
}

// sendOTLP posts a request to a path of the server.
func sendOTLP(t *testing.T, s *Server, path, body string, change ...func(*http.Request)) answered {
	t.Helper()
	all := append([]func(*http.Request){func(r *http.Request) {
		r.URL.Path = path
		r.Header.Set("Content-Type", protobuf)
	}}, change...)
	got, err := do(plain(), request(t, s, body, all...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// rejected reads a partial success.
func rejected(t *testing.T, body string) (n uint64, text string) {
	t.Helper()
	err := message(body).each(func(f wireField) error {
		return f.body.each(func(f wireField) (err error) {
			if f.number == 1 {
				n = f.bits
				return nil
			}
			text, err = f.text()
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, text
}

const metricsPath, logsPath = "/api/v2/otlp/v1/metrics", "/api/v2/otlp/v1/logs"

func TestOTLPPointsAreLines(t *testing.T) {
	s := start(t)
	body := otlp(
		gaugeOf("temp", numberPoint(21.5, now), part(1, timeField(3, now), fixedField(6, uint64(math.MaxInt64-1)))),
		deltaOf("bytes", 1, numberPoint(5, now.Add(-time.Minute))),
		deltaOf("bytes", 0, numberPoint(-5, now)),
		statisticOf("temp.fine"),
	)
	if got := sendOTLP(t, s, metricsPath, body); got.status != 200 || got.body != "" {
		t.Fatalf("answer %d %q", got.status, got.body)
	}
	want := fmt.Sprintf(`bytes,port="1" count,delta=-5 %[1]d
bytes,port="1" count,delta=5 %[2]d
temp gauge,9223372036854775806 %[1]d
temp,port="1" gauge,21.5 %[1]d
temp.fine,port="1" gauge,min=-1,max=4,sum=6,count=3 %[1]d`, now.UnixMilli(), now.Add(-time.Minute).UnixMilli())
	if got := strings.Join(s.Ledger().Lines(), "\n"); got != want {
		t.Errorf("ledger\n%s\nwant\n%s", got, want)
	}
	// The same point as a metric line is the same point.
	send(t, s, fmt.Sprintf("temp,port=1 21.5 %d", now.UnixMilli()))
	if c := s.Counts(); c.Lines != 6 || c.Distinct != 5 || c.Duplicates != 1 || c.Conflicts != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestOTLPPointsThatAreRefused(t *testing.T) {
	var many [][]byte
	for i := range 49 {
		many = append(many, attr(7, fmt.Sprintf("d%d", i), "x"))
	}
	good := gaugeOf("good", numberPoint(1, now))
	for reason, bad := range map[string][]byte{
		"1h0m0s in the past":           gaugeOf("temp", numberPoint(1, now.Add(-time.Hour-time.Second))),
		"in the future":                gaugeOf("temp", numberPoint(1, now.Add(11*time.Minute))),
		"VALUE_INVALID: NaN":           gaugeOf("temp", numberPoint(math.NaN(), now)),
		"no value":                     gaugeOf("temp", part(1, timeField(3, now))),
		"TIMESTAMP_INVALID":            gaugeOf("temp", part(1, doubleField(4, 1))),
		"a start after it":             gaugeOf("temp", numberPoint(1, now, timeField(2, now.Add(1)))),
		"METRIC_KEY_INVALID: 1":        gaugeOf("t", numberPoint(1, now)),
		"METRIC_KEY_INVALID: the char": gaugeOf("te mp", numberPoint(1, now)),
		"METRIC_KEY_INVALID: the pre":  gaugeOf("dt.x", numberPoint(1, now)),
		"METRIC_KEY_INVALID: a sec":    gaugeOf("a..b", numberPoint(1, now)),
		"DIMENSION_KEY_OR_VALUE_EMPTY": gaugeOf("temp", numberPoint(1, now, attr(7, "x", ""))),
		"DIMENSION_KEY_INVALID":        gaugeOf("temp", numberPoint(1, now, attr(7, "Upper", "x"))),
		"DIMENSION_VALUE_TOO_LONG":     gaugeOf("temp", numberPoint(1, now, attr(7, "x", strings.Repeat("x", 256)))),
		"DIMENSION_KEY_TWICE":          gaugeOf("temp", numberPoint(1, now, attr(7, "port", "2"))),
		"DIMENSION_COUNT_EXCEEDED":     gaugeOf("temp", numberPoint(1, now, many...)),
		"CUMULATIVE_SUM":               part(2, textField(1, "temp"), part(sumField, numberPoint(1, now), appendVarintField(nil, 2, 2))),
		"a monotonic sum fell":         deltaOf("temp", 1, numberPoint(-1, now)),
		"UNSUPPORTED_METRIC_TYPE":      part(2, textField(1, "temp"), part(summaryField, part(1, timeField(3, now)))),
		"do not hold count":            statisticOf("temp", fixedField(4, 4)),
		"outside of the buckets":       statisticOf("temp", doubleField(14, 3)),
		"no sum, min or max":           part(2, textField(1, "temp"), part(exponentialField, part(1, timeField(3, now), fixedField(4, 1), fixedField(7, 1)), appendVarintField(nil, 2, delta))),
	} {
		s := start(t)
		got := sendOTLP(t, s, metricsPath, otlp(good, bad))
		if n, text := rejected(t, got.body); got.status != 200 || n != 1 || !strings.Contains(text, reason) {
			t.Errorf("%s: answer %d, %d rejected, %q", reason, got.status, n, text)
		}
		if got := sendOTLP(t, s, metricsPath, otlp(bad)); got.status != 400 || !strings.Contains(got.body, reason) {
			t.Errorf("%s alone: answer %d %q", reason, got.status, got.body)
		}
		if c := s.Counts(); c.Lines != 1 || c.Refused != 2 {
			t.Errorf("%s: counts %+v", reason, c)
		}
	}
}

func TestOTLPRequestsThatAreRefused(t *testing.T) {
	good := otlp(gaugeOf("good", numberPoint(1, now), numberPoint(2, now)))
	for _, c := range []struct {
		name, path, body string
		fault            Fault
		change           func(*http.Request)
		status           int
	}{
		{name: "cut", body: good[:len(good)-2], status: 400},
		{name: "field that is not the protocol's", body: otlp(gaugeOf("good", numberPoint(1, now, fixedField(9, 1)))), status: 400},
		{name: "text that is not UTF-8", body: otlp(gaugeOf("go\xffod", numberPoint(1, now))), status: 400},
		{name: "wrong type", body: good, change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, status: 415},
		{name: "wrong token", body: good, change: func(r *http.Request) { r.Header.Set("Authorization", "Api-Token x") }, status: 401},
		{name: "bearer at the environment", body: good, change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, status: 401},
		{name: "too many points", body: good, fault: Fault{Mode: TooLarge, Lines: 1}, status: 413},
		{name: "too large", body: strings.Repeat("x", maxOTLPBody+1), status: 413},
		{name: "down", body: good, fault: Fault{Mode: Down}, status: 503},
		{name: "another endpoint's fault", body: good, fault: Fault{Mode: Down, Only: ScopeLogs}, status: 200},
		{name: "metrics are no logs", path: logsPath, body: good, status: 400},
	} {
		s := start(t)
		if c.fault.Mode != None {
			if err := s.SetFault(c.fault); err != nil {
				t.Fatal(err)
			}
		}
		if c.path == "" {
			c.path = metricsPath
		}
		if c.change == nil {
			c.change = func(*http.Request) {}
		}
		got := sendOTLP(t, s, c.path, c.body, c.change)
		if got.status != c.status {
			t.Errorf("%s: answer %d %q, want %d", c.name, got.status, got.body, c.status)
		}
		if c.status != 200 && s.Counts().Lines != 0 {
			t.Errorf("%s: %d points were taken", c.name, s.Counts().Lines)
		}
	}
}

func TestOTLPCollectorAsksForItsTokenOnly(t *testing.T) {
	good := otlp(gaugeOf("good", numberPoint(1, now)))
	for _, c := range []struct {
		token, header string
		status        int
	}{
		{"", "", 200},
		{"", "Bearer any", 200},
		{token, "", 401},
		{token, "Bearer " + token, 200},
		{token, "Api-Token " + token, 200},
		{token, "Basic " + token, 401},
		{token, "Bearer x", 401},
	} {
		s := start(t, func(o *Options) { o.Token = c.token })
		got := sendOTLP(t, s, "/v1/metrics", good, func(r *http.Request) {
			if r.Header.Del("Authorization"); c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
		})
		if got.status != c.status {
			t.Errorf("token %q, header %q: answer %d", c.token, c.header, got.status)
		}
	}
}

func logRecord(content string, at time.Time, more ...[]byte) []byte {
	return part(2, append([][]byte{timeField(1, at), appendVarintField(nil, 2, 9), textField(3, "INFO"), part(5, textField(1, content))}, more...)...)
}

func TestOTLPLogs(t *testing.T) {
	s := start(t)
	late := [][]byte{
		attr(6, "edgehold.late", "true"), attr(6, "edgehold.time", "2023-11-14T20:13:20.000Z"), attr(6, "port", "1"),
		part(6, textField(1, "temp"), part(2, doubleField(4, 21.5))), part(6, textField(1, "bytes"), part(2, appendVarintField(nil, 3, 7))),
	}
	got := sendOTLP(t, s, logsPath, otlp(logRecord("a", now), logRecord("b", now, late...), logRecord("c", now.Add(-25*time.Hour))))
	if n, text := rejected(t, got.body); got.status != 200 || n != 1 || !strings.Contains(text, "in the past") {
		t.Errorf("answer %d, %d rejected: %s", got.status, n, text)
	}
	if c := s.Counts(); c.Records != 2 || c.LateRecords != 1 || c.LatePoints != 2 || c.LateDistinct != 2 || c.Refused != 1 {
		t.Errorf("counts %+v", c)
	}
	if n := s.Ledger().LateTimes("temp", map[string]string{"port": "1"}, now.Add(-2*time.Hour)); n != 1 {
		t.Errorf("the late point was taken %d times", n)
	}
	if err := s.SetFault(Fault{Mode: PartialInvalid, Lines: 2}); err != nil {
		t.Fatal(err)
	}
	got = sendOTLP(t, s, "/v1/logs", otlp(logRecord("d", now), logRecord("e", now), part(2, timeField(11, now), part(5, textField(1, "f")))))
	if n, _ := rejected(t, got.body); got.status != 200 || n != 1 {
		t.Errorf("answer %d, %d rejected", got.status, n)
	}
	if records := s.Ledger().Records(); len(records) != 4 || records[3].Content != "f" || records[3].Timestamp != now.UnixMilli() {
		t.Errorf("records %v", records)
	}
	twice := otlp(logRecord("g", now, attr(6, "service.name", "y")))
	if got := sendOTLP(t, s, logsPath, twice); got.status != 400 {
		t.Errorf("an attribute on two levels: answer %d", got.status)
	}
}

// FuzzWire holds what is read of any bytes against what is read of the same
// fields written anew.
func FuzzWire(f *testing.F) {
	f.Add([]byte(otlp(gaugeOf("good", numberPoint(1, now)), statisticOf("other"))))
	f.Fuzz(func(t *testing.T, body []byte) {
		var fields []wireField
		var again []byte
		err := message(body).each(func(f wireField) error {
			fields = append(fields, f)
			switch f.kind {
			case wireVarint:
				again = appendVarintField(again, f.number, f.bits)
			case wireFixed:
				again = append(again, fixedField(f.number, f.bits)...)
			case wireBytes:
				again = appendBytesField(again, f.number, f.body)
			}
			return nil
		})
		if err != nil {
			return
		}
		var second []wireField
		if err := message(again).each(func(f wireField) error { second = append(second, f); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(again) > len(body) || fmt.Sprint(fields) != fmt.Sprint(second) {
			t.Fatalf("%x: %v, anew %v", body, fields, second)
		}
	})
}

// FuzzOTLPMetrics reads any bytes. A good point is one as a metric line too.
func FuzzOTLPMetrics(f *testing.F) {
	f.Add([]byte(otlp(gaugeOf("good", numberPoint(1, now)), deltaOf("delta", 1, numberPoint(2, now)), statisticOf("other"))))
	f.Fuzz(func(t *testing.T, body []byte) {
		points, err := ParseOTLPMetrics(body)
		if err != nil {
			return
		}
		for _, p := range points {
			text := p.Line.String()
			if p.Refusal != nil || len(p.Line.Key) < minKey || len(p.Line.Key) > maxKey || len(text) > 250 || strings.ContainsFunc(text, unicode.IsControl) || p.Line.Timestamp <= 0 {
				continue
			}
			line, err := ParseLine(text)
			if strings.Contains(p.Line.Key, ".-") {
				continue // a section with a hyphen first is for lines to refuse
			}
			if err != nil || !reflect.DeepEqual(line.Series(), p.Line.Series()) || line.Payload != p.Line.Payload {
				t.Fatalf("%s is read as %s, %v", text, line, err)
			}
		}
	})
}

// FuzzOTLPLogs reads any bytes; what is read has a name for each attribute.
func FuzzOTLPLogs(f *testing.F) {
	f.Add([]byte(otlp(logRecord("a", now, attr(6, "k", "v")))))
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := ParseOTLPLogs(body)
		for _, r := range records {
			if _, unnamed := r.Attributes[""]; unnamed && err == nil {
				t.Fatalf("%x: %v", body, r)
			}
			for key := range r.Numbers {
				if _, twice := r.Attributes[key]; twice && err == nil {
					t.Fatalf("%x: %q is text and number", body, key)
				}
			}
		}
	})
}
