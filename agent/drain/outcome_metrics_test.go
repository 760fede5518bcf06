package drain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"
)

func TestClassifyMetrics(t *testing.T) {
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
		"400 empty":                   {x: exchange{status: 400}, want: split, cause: "without naming an item"},
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
		"429":                         {x: exchange{status: 429}, want: later, cause: "takes no more for now"},
		"503":                         {x: exchange{status: 503, body: []byte(`{"error":{"message":"maintenance"}}`)}, want: later, cause: "Service Unavailable); the server says: maintenance"},
		"500 page":                    {x: exchange{status: 500, body: []byte(page)}, want: later, cause: "HTTP 500"},
		"418":                         {x: exchange{status: 418}, want: later, cause: "unexpected answer"},
		"204":                         {x: exchange{status: 204}, want: later, cause: "other than Dynatrace"},
		"refused connection":          {x: exchange{err: &url.Error{Op: "Post", URL: "http://h", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}}, want: later, cause: "nothing listens there"},
		"cut connection":              {x: exchange{err: &url.Error{Op: "Post", URL: "http://h", Err: io.EOF}, begun: true}, want: later, cause: "EOF: the connection was cut", ambiguous: true},
		"no name":                     {x: exchange{err: &net.DNSError{Err: "no such host", Name: "x.example"}}, want: later, cause: "DNS servers"},
		"timeout":                     {x: exchange{err: context.DeadlineExceeded, begun: true}, want: later, cause: "did not answer in time", ambiguous: true},
		"unknown authority":           {x: exchange{err: x509.UnknownAuthorityError{}}, want: later, cause: "CA file"},
		"certificate of another host": {x: exchange{err: fmt.Errorf("tls: %w", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"})}, want: later, cause: "check the host"},
		"some other error":            {x: exchange{err: errors.New("odd")}, want: later, cause: "odd"},
	} {
		t.Run(name, func(t *testing.T) {
			test.x.cargo, test.x.items, test.x.whole = metrics, 3, test.x.begun || test.x.status != 0
			got := classify(test.x, time.Now())
			if refused := shown(got); refused != test.refused || got.unnamed != test.unnamed || got.ambiguous != test.ambiguous {
				t.Errorf("got %+v", got)
			}
			checkVerdict(t, got, test.want, test.cause)
			if got.throttled != (test.x.status == 429) {
				t.Errorf("throttled %v", got.throttled)
			}
		})
	}
}
