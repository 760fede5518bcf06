package drain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
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

func TestClassify(t *testing.T) {
	const page = "<!DOCTYPE html><html><body>Sign in</body></html>"
	cut := io.ErrUnexpectedEOF
	for name, test := range map[string]struct {
		x         exchange
		want      verdict
		refused   string // "line=reason ..."
		unnamed   int
		cause     string
		ambiguous bool
	}{
		"202":                         {x: exchange{status: 202, body: []byte(`{"linesOk":3,"linesInvalid":0,"error":null,"warnings":null}`)}, want: accepted},
		"202 without body":            {x: exchange{status: 202}, want: accepted},
		"202 with other counts":       {x: exchange{status: 202, body: []byte(`{"linesValid":3,"linesInvalid":0}`)}, want: accepted},
		"202 with warnings":           {x: exchange{status: 202, body: []byte(`{"linesOk":3,"warnings":{"changedMetricKeys":[{"line":1,"warning":"x"}]}}`)}, want: accepted},
		"202 cut in its body":         {x: exchange{status: 202, body: []byte(`{"linesO`), err: cut}, want: accepted},
		"202 cut before its body":     {x: exchange{status: 202, err: cut}, want: accepted},
		"202 page":                    {x: exchange{status: 202, body: []byte(page)}, want: later, cause: "other than Dynatrace"},
		"202 with refusals":           {x: exchange{status: 202, body: []byte(`{"linesOk":2,"linesInvalid":1,"error":{"invalidLines":[{"line":2,"error":"bad"}]}}`)}, want: partly, refused: "1=bad"},
		"200 of the API":              {x: exchange{status: 200, body: []byte(`{"linesValid":3,"linesInvalid":0}`)}, want: accepted},
		"200 page":                    {x: exchange{status: 200, body: []byte(page)}, want: later, cause: "sign-in"},
		"200 without body":            {x: exchange{status: 200}, want: later, cause: "other than Dynatrace"},
		"200 other JSON":              {x: exchange{status: 200, body: []byte(`{"status":"ok"}`)}, want: later, cause: "other than Dynatrace"},
		"200 cut":                     {x: exchange{status: 200, body: []byte(`{"lin`), err: cut}, want: later, cause: "broke off", ambiguous: true},
		"400 partly":                  {x: exchange{status: 400, body: []byte(`{"linesOk":1,"linesInvalid":2,"error":{"code":400,"message":"2 invalid lines","invalidLines":[{"line":3,"error":"late\nline"},{"line":1,"error":""}]}}`)}, want: partly, refused: "0=2 invalid lines 2=late line"},
		"400 none":                    {x: exchange{status: 400, body: []byte(`{"linesOk":0,"linesInvalid":3,"error":{"message":"all bad"}}`)}, want: partly, refused: "0=all bad 1=all bad 2=all bad"},
		"400 more than listed":        {x: exchange{status: 400, body: []byte(`{"linesOk":1,"linesInvalid":2,"error":{"invalidLines":[{"line":1,"error":"bad"}]}}`)}, want: partly, refused: "0=bad", unnamed: 1},
		"400 counts without list":     {x: exchange{status: 400, body: []byte(`{"linesOk":2,"linesInvalid":1,"error":{"message":"one is bad"}}`)}, want: partly, unnamed: 1},
		"400 counts fall short":       {x: exchange{status: 400, body: []byte(`{"linesOk":1,"linesInvalid":1,"error":{"invalidLines":[{"line":1,"error":"bad"}]}}`)}, want: partly, refused: "0=bad", unnamed: 1},
		"400 list without counts":     {x: exchange{status: 400, body: []byte(`{"error":{"invalidLines":[{"line":2,"error":"bad"}]}}`)}, want: partly, refused: "1=bad"},
		"400 list out of range":       {x: exchange{status: 400, body: []byte(`{"linesOk":2,"linesInvalid":1,"error":{"invalidLines":[{"line":0,"error":"a"},{"line":4,"error":"b"},{"line":2,"error":"c"},{"line":2,"error":"d"}]}}`)}, want: partly, refused: "1=c"},
		"400 without detail":          {x: exchange{status: 400, body: []byte(`{"error":{"code":400,"message":"no lines","constraintViolations":[{"message":"too odd"}]}}`)}, want: split, cause: "no lines; too odd"},
		"400 empty":                   {x: exchange{status: 400}, want: split, cause: "without naming a line"},
		"400 text":                    {x: exchange{status: 400, header: head("Content-Type", "text/plain"), body: []byte("bad\x00thing")}, want: split, cause: "says: bad thing"},
		"400 page":                    {x: exchange{status: 400, body: []byte(page)}, want: later, cause: "other than Dynatrace"},
		"400 cut":                     {x: exchange{status: 400, body: []byte(`{"linesOk":1,"linesInv`), err: cut}, want: later, ambiguous: true, cause: "broke off"},
		"400 whole though cut":        {x: exchange{status: 400, body: []byte(`{"linesOk":2,"linesInvalid":1,"error":{"invalidLines":[{"line":1,"error":"bad"}]}}`), err: cut}, want: partly, refused: "0=bad"},
		"413":                         {x: exchange{status: 413, body: []byte(page)}, want: split, cause: "too large"},
		"401":                         {x: exchange{status: 401, body: []byte(`{"error":{"code":401,"message":"Token Authentication failed"}}`)}, want: hold, cause: "metrics.ingest into the token file; the server says: Token Authentication failed"},
		"403":                         {x: exchange{status: 403}, want: hold, cause: "scope metrics.ingest"},
		"404":                         {x: exchange{status: 404, body: []byte(page)}, want: hold, cause: "no metrics API at this URL"},
		"405":                         {x: exchange{status: 405}, want: hold, cause: "https://HOST/e/ENVIRONMENT"},
		"407":                         {x: exchange{status: 407}, want: hold, cause: "HTTPS_PROXY"},
		"302":                         {x: exchange{status: 302, header: head("Location", "https://u:pw@portal.example/login?secret=1")}, want: hold, cause: "redirected to https://portal.example (HTTP 302)"},
		"304":                         {x: exchange{status: 304}, want: hold, cause: "redirected (HTTP 304)"},
		"429":                         {x: exchange{status: 429}, want: later, cause: "no more for now"},
		"503":                         {x: exchange{status: 503, body: []byte(`{"error":{"message":"maintenance"}}`)}, want: later, cause: "Service Unavailable); the server says: maintenance"},
		"500 page":                    {x: exchange{status: 500, body: []byte(page)}, want: later, cause: "HTTP 500"},
		"418":                         {x: exchange{status: 418}, want: later, cause: "unexpected answer"},
		"204":                         {x: exchange{status: 204}, want: later, cause: "unexpected answer"},
		"refused connection":          {x: exchange{err: &url.Error{Op: "Post", URL: "http://h", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}}, want: later, cause: "nothing listens there"},
		"cut connection":              {x: exchange{err: &url.Error{Op: "Post", URL: "http://h", Err: io.EOF}, begun: true}, want: later, cause: "EOF: the connection was cut", ambiguous: true},
		"no name":                     {x: exchange{err: &net.DNSError{Err: "no such host", Name: "x.example"}}, want: later, cause: "DNS servers"},
		"timeout":                     {x: exchange{err: context.DeadlineExceeded, begun: true}, want: later, cause: "did not answer in time", ambiguous: true},
		"unknown authority":           {x: exchange{err: x509.UnknownAuthorityError{}}, want: later, cause: "CA file"},
		"certificate of another host": {x: exchange{err: fmt.Errorf("tls: %w", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"})}, want: later, cause: "check the host"},
		"some other error":            {x: exchange{err: errors.New("odd")}, want: later, cause: "odd"},
	} {
		t.Run(name, func(t *testing.T) {
			test.x.lines = 3
			got := classify(test.x, time.Now())
			var refused []string
			for _, r := range got.refused {
				refused = append(refused, fmt.Sprintf("%d=%s", r.line, r.reason))
			}
			if got.verdict != test.want || strings.Join(refused, " ") != test.refused || got.unnamed != test.unnamed || got.ambiguous != test.ambiguous {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(got.cause, test.cause) || got.cause == "" && got.verdict >= split {
				t.Errorf("cause %q, want one with %q", got.cause, test.cause)
			}
			if strings.Contains(got.cause, "pw") || strings.Contains(got.cause, "secret=") || strings.Contains(got.cause, "<") {
				t.Errorf("cause shows too much: %q", got.cause)
			}
			if got.throttled != (test.x.status == 429) {
				t.Errorf("throttled %v", got.throttled)
			}
		})
	}
}

// FuzzClassify holds that no answer loses a line or settles it twice: the
// refused lines are within the post, in order and each once with a reason, and
// what a verdict needs is there.
func FuzzClassify(f *testing.F) {
	f.Add(400, 5, `{"linesOk":1,"linesInvalid":2,"error":{"message":"m","invalidLines":[{"line":3,"error":"x"}]}}`, "text/plain")
	f.Add(202, 1, `{"linesValid":-7,"linesInvalid":99999}`, "application/json")
	f.Add(503, 2, "\xff\xfe down", "text/plain")
	f.Fuzz(func(t *testing.T, status, lines int, body, kind string) {
		lines = max(1, min(lines, 1000))
		o := classify(exchange{lines: lines, status: max(status, 1), body: []byte(body), header: head("Content-Type", kind, "Retry-After", body)}, time.Now())
		last := -1
		for _, r := range o.refused {
			if r.line <= last || r.line >= lines || r.reason == "" {
				t.Fatalf("refused %+v of %d lines", o.refused, lines)
			}
			last = r.line
		}
		if o.verdict < accepted || o.verdict > later || (o.cause == "") != (o.verdict <= partly) {
			t.Fatalf("verdict %+v", o)
		}
		if o.unnamed < 0 || o.unnamed+len(o.refused) > lines || o.verdict != partly && len(o.refused)+o.unnamed > 0 {
			t.Fatalf("counts of %+v", o)
		}
		if o.wait < 0 || o.wait > longestAsked || strings.ContainsAny(o.cause, "\n\r\x00") {
			t.Fatalf("wait or cause of %+v", o)
		}
	})
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
