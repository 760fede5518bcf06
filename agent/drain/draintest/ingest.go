package draintest

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of one request.
const (
	maxBody   = 1_000_000 // bytes, before compression
	maxLines  = 1000
	maxAge    = time.Hour
	maxFuture = 10 * time.Minute
)

// reply is an answer not yet sent.
type reply struct {
	status      int
	contentType string
	header      map[string]string
	body        []byte
}

// invalidLine is one refusal as the API words it; Line counts from 1.
type invalidLine struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

type problem struct {
	Code         int           `json:"code"`
	Message      string        `json:"message"`
	InvalidLines []invalidLine `json:"invalidLines,omitempty"`
}

type ingestAnswer struct {
	LinesOk      int      `json:"linesOk"`
	LinesInvalid int      `json:"linesInvalid"`
	Error        *problem `json:"error"`
	Warnings     *string  `json:"warnings"` // always null
}

func jsonReply(status int, body any) reply {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // the types above always marshal
	}
	return reply{status: status, contentType: "application/json; charset=utf-8", body: data}
}

// failure is the error shape of everything but refused lines.
func failure(status int, message string) reply {
	return jsonReply(status, map[string]problem{"error": {Code: status, Message: message}})
}

// ServeHTTP answers the ingest paths, and the control paths where they are on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.port.note(r)
	w.Header().Set("Date", s.options.Now().UTC().Format(http.TimeFormat))
	if s.options.Control && strings.HasPrefix(r.URL.Path, "/_") {
		s.serveControl(w, r)
		return
	}
	at, ok := s.endpointOf(r.URL.Path)
	if !ok {
		s.send(w, failure(http.StatusNotFound, "HTTP 404 Not Found"))
		return
	}
	if r.Method != http.MethodPost {
		answer := failure(http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed")
		answer.header = map[string]string{"Allow": http.MethodPost}
		s.send(w, answer)
		return
	}
	body, err := readBody(r.Body, at.limit)
	if err != nil {
		s.cut("cut")
	}
	s.underway.RLock()
	defer s.underway.RUnlock()
	s.serveIngest(w, r, at, body)
}

// readBody keeps at most limit+1 bytes. It reads on behind that, within
// bounds, so that a client that sends too much sees its answer.
func readBody(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil {
		_, err = io.CopyN(io.Discard, r, 8*limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return body, nil
}

// serveIngest judges one request under the fault in force and answers it.
func (s *Server) serveIngest(w http.ResponseWriter, r *http.Request, at endpoint, body []byte) {
	if s.stale(r) {
		s.cut("cut")
	}
	fault, release := s.faults.next(at.scope)
	if answer, ok := s.instead(fault, at); ok {
		s.send(w, answer)
		return
	}
	switch fault.Mode {
	case Refuse:
		s.cut("cut")
	case GoAwayRefused:
		refuseByGoAway(r)
		s.cut("cut")
	case Hang:
		select {
		case <-release:
		case <-r.Context().Done():
		}
		s.cut("hung")
	}
	answer := s.judge(at, r, body, fault)
	switch fault.Mode {
	case LoseAnswer:
		s.cut("answer lost")
	case GoAway:
		w.Header().Set("Connection", "close") // net/http words it as GOAWAY in HTTP/2
	case Slow:
		late := time.NewTimer(fault.Delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-release:
		case <-r.Context().Done():
			s.cut("answer lost")
		}
	}
	s.send(w, answer)
}

// cut ends the connection without an answer.
func (s *Server) cut(outcome string) {
	s.ledger.outcome(outcome)
	panic(http.ErrAbortHandler)
}

// send writes the answer through to the connection, so that it has left when
// the request counts as answered.
func (s *Server) send(w http.ResponseWriter, answer reply) {
	s.ledger.outcome(strconv.Itoa(answer.status))
	if answer.contentType != "" {
		w.Header().Set("Content-Type", answer.contentType)
	}
	for k, v := range answer.header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.body)))
	w.WriteHeader(answer.status)
	// Errors here mean that the client is gone.
	_, _ = w.Write(answer.body)
	_ = http.NewResponseController(w).Flush()
}

// instead is the answer of faults that come before any look at the request.
func (s *Server) instead(f Fault, at endpoint) (reply, bool) {
	switch f.Mode {
	case Down:
		return reply{status: http.StatusServiceUnavailable}, true
	case Unavailable:
		return failure(http.StatusServiceUnavailable, "Service temporarily unavailable"), true
	case ServerError:
		return failure(http.StatusInternalServerError, "Internal error"), true
	case Throttle:
		return s.throttled(f), true
	case Captive:
		page := "<!DOCTYPE html><html><title>Sign in to the network</title><form method=post></form></html>\n"
		return reply{status: http.StatusOK, contentType: "text/html; charset=utf-8", body: []byte(page)}, true
	case Unauthorized:
		return failure(http.StatusUnauthorized, "Token Authentication failed"), true
	case Forbidden:
		return forbidden(at.scope), true
	}
	return reply{}, false
}

func (s *Server) throttled(f Fault) reply {
	answer := failure(http.StatusTooManyRequests, "Too many requests")
	answer.header = map[string]string{
		"X-RateLimit-Limit":     "50",
		"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset":     strconv.FormatInt(s.options.Now().Add(max(f.RetryAfter, time.Second)).UnixMicro(), 10),
	}
	if f.RetryAfter > 0 {
		seconds := (f.RetryAfter + time.Second - 1) / time.Second
		answer.header["Retry-After"] = strconv.FormatInt(int64(seconds), 10)
	}
	return answer
}

// plain gives the body of a request after checks of its type, encoding and
// size; a reply with a status refuses it.
func (s *Server) plain(r post, want string) ([]byte, reply) {
	kind, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if charset, ok := params["charset"]; err != nil || kind != want || ok && !strings.EqualFold(charset, "utf-8") {
		return nil, failure(http.StatusUnsupportedMediaType, "content type is not "+want+"; charset=utf-8")
	}
	encoding := r.header.Get("Content-Encoding")
	plain, err := decode(encoding, r.body, r.limit)
	if r.fault.Mode == RefuseGzip && encoding != "" {
		plain, err = nil, fmt.Errorf("%w, nor is gzip taken", errEncoding)
	}
	s.ledger.bytes(len(r.body), len(plain))
	switch {
	case errors.Is(err, errEncoding):
		return nil, failure(http.StatusUnsupportedMediaType, err.Error())
	case errors.Is(err, errTooLarge):
		return nil, failure(http.StatusRequestEntityTooLarge, err.Error())
	case err != nil:
		return nil, failure(http.StatusBadRequest, err.Error())
	case len(plain) == 0:
		return nil, failure(http.StatusBadRequest, "request has no body")
	}
	return plain, reply{}
}

// judgeMetrics decides over a request and takes its good lines.
func (s *Server) judgeMetrics(r post) reply {
	plain, refusal := s.plain(r, "text/plain")
	if refusal.status != 0 {
		return refusal
	}
	lines := strings.Split(strings.TrimSuffix(string(plain), "\n"), "\n")
	limit := maxLines
	if r.fault.Mode == TooLarge {
		limit = min(limit, r.fault.Lines)
	}
	if len(lines) > limit {
		return failure(http.StatusRequestEntityTooLarge, fmt.Sprintf("request has %d lines, more than %d", len(lines), limit))
	}
	return s.takeLines(lines, r.fault)
}

func (s *Server) authorised(h http.Header) bool {
	token, ok := strings.CutPrefix(h.Get("Authorization"), "Api-Token ")
	if !ok || token == "" || len(h.Values("Authorization")) != 1 {
		return false
	}
	want := *s.token.Load()
	return want == "" || subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
}

var (
	errTooLarge = errors.New("request is larger")
	errEncoding = errors.New("content encoding is not gzip")
	errByFault  = errors.New("line is refused by a fault")
)

// decode gives the plain body, never more than limit bytes.
func decode(encoding string, body []byte, limit int64) ([]byte, error) {
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w than %d bytes before compression", errTooLarge, limit)
	}
	switch encoding {
	case "":
		return body, nil
	case "gzip":
	default:
		return nil, errEncoding
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decompress request: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(zr, limit+1))
	if err != nil {
		return nil, fmt.Errorf("decompress request: %w", err)
	}
	if int64(len(plain)) > limit {
		return nil, fmt.Errorf("%w than %d bytes before compression", errTooLarge, limit)
	}
	return plain, nil
}

// takeLines takes the good lines and words the answer: 202 when all were good,
// else 400, and then the good ones are taken all the same.
func (s *Server) takeLines(lines []string, fault Fault) reply {
	var refused []invalidLine
	for i, text := range lines {
		err := errByFault
		if fault.Mode != PartialInvalid || (i+1)%fault.Lines != 0 {
			err = s.takeLine(text)
		}
		if err != nil {
			s.ledger.refuse(text, err.Error())
			refused = append(refused, invalidLine{Line: i + 1, Error: err.Error()})
		}
	}
	answer := ingestAnswer{LinesOk: len(lines) - len(refused), LinesInvalid: len(refused)}
	if len(refused) == 0 {
		return jsonReply(http.StatusAccepted, answer)
	}
	answer.Error = &problem{
		Code: http.StatusBadRequest, Message: fmt.Sprintf("%d invalid lines", len(refused)), InvalidLines: refused,
	}
	return jsonReply(http.StatusBadRequest, answer)
}

func (s *Server) takeLine(text string) error {
	if strings.HasPrefix(text, "#") {
		m, err := ParseMetadata(text)
		if err == nil {
			s.ledger.takeMetadata(m)
		}
		return err
	}
	line, err := ParseLine(text)
	if err != nil {
		return err
	}
	now, stamp := s.options.Now(), time.UnixMilli(line.Timestamp)
	switch {
	case stamp.Before(now.Add(-maxAge)):
		return errors.New("timestamp is more than 1 hour in the past")
	case stamp.After(now.Add(maxFuture)):
		return errors.New("timestamp is more than 10 minutes in the future")
	}
	s.ledger.take(line)
	return nil
}
