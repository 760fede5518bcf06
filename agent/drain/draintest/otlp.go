package draintest

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Limits of OTLP requests.
const (
	maxOTLPBody   = 4_000_000 // bytes, before compression
	maxOTLPLogs   = 2_000_000 // bytes; another page says 10 MB
	maxOTLPPoints = 15_000
)

const protobuf = "application/x-protobuf"

// admitted is what a collector asks of a request: the token under either
// scheme, and none where none is set.
func (s *Server) admitted(h http.Header) bool {
	want, given := *s.token.Load(), h.Values("Authorization")
	if want == "" {
		return len(given) <= 1
	}
	if len(given) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	return (scheme == "Bearer" || scheme == "Api-Token") && subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
}

// judgeOTLPMetrics decides over a request with data points and takes the good
// ones.
func (s *Server) judgeOTLPMetrics(r post) reply {
	plain, refusal := s.plain(r, protobuf)
	if refusal.status != 0 {
		return asStatus(refusal)
	}
	points, err := ParseOTLPMetrics(plain)
	if err != nil {
		return s.refuseOTLP(plain, err)
	}
	if limit := r.most(maxOTLPPoints); len(points) > limit {
		return rpcStatus(http.StatusRequestEntityTooLarge, fmt.Sprintf("request has %d data points, more than %d", len(points), limit))
	}
	var refused []string
	for i, p := range points {
		if err := s.takePoint(p, r.hits(i)); err != nil {
			refused = append(refused, err.Error())
		}
	}
	return partly(len(points), refused, "The following issues were encountered while ingesting OTLP metrics:\n\nErrors:\n")
}

// judgeOTLPLogs decides over a request with log records and takes the good
// ones.
func (s *Server) judgeOTLPLogs(r post) reply {
	plain, refusal := s.plain(r, protobuf)
	if refusal.status != 0 {
		return asStatus(refusal)
	}
	records, err := ParseOTLPLogs(plain)
	if err != nil {
		return s.refuseOTLP(plain, err)
	}
	if limit := r.most(maxRecords); len(records) > limit {
		return rpcStatus(http.StatusRequestEntityTooLarge, fmt.Sprintf("request has %d log records, more than %d", len(records), limit))
	}
	var refused []string
	for i, record := range records {
		if err := s.takeLogRecord(record, r.hits(i)); err != nil {
			refused = append(refused, err.Error())
		}
	}
	return partly(len(records), refused, "Log records were dropped:\n")
}

// most is how many items a request may have under the fault in force.
func (r post) most(limit int) int {
	if r.fault.Mode == TooLarge {
		return min(limit, r.fault.Lines)
	}
	return limit
}

// hits tells whether the fault in force refuses an item.
func (r post) hits(i int) bool { return r.fault.Mode == PartialInvalid && (i+1)%r.fault.Lines == 0 }

func (s *Server) takePoint(p OTLPPoint, fault bool) error {
	err := p.Refusal
	if err == nil {
		err = s.checkTime(p.Line.Timestamp, maxAge)
	}
	if fault {
		err = errByFault
	}
	if err != nil {
		s.ledger.refuse(p.Line.String(), err.Error())
		return err
	}
	s.ledger.take(p.Line)
	return nil
}

func (s *Server) takeLogRecord(r Record, fault bool) error {
	if r.Timestamp == 0 {
		r.Timestamp = s.options.Now().UnixMilli()
	}
	err := s.checkTime(r.Timestamp, maxLogAge)
	if fault {
		err = errByFault
	}
	if err != nil {
		s.ledger.refuse(r.Content, err.Error())
		return err
	}
	s.ledger.takeRecord(r)
	return nil
}

func (s *Server) checkTime(ms int64, age time.Duration) error {
	now, stamp := s.options.Now(), time.UnixMilli(ms)
	switch {
	case stamp.Before(now.Add(-age)):
		return fmt.Errorf("timestamp is more than %s in the past", age)
	case stamp.After(now.Add(maxFuture)):
		return fmt.Errorf("timestamp is more than %s in the future", maxFuture)
	}
	return nil
}

func (s *Server) refuseOTLP(body []byte, err error) reply {
	s.ledger.refuse(fmt.Sprintf("%x", body[:min(len(body), 100)]), err.Error())
	return rpcStatus(http.StatusBadRequest, err.Error())
}

// partly words the answer: without a body if all were taken, with a partial
// success if some were not, and 400 if none was. It names no item.
func partly(all int, refused []string, heading string) reply {
	if len(refused) == 0 {
		return reply{status: http.StatusOK, contentType: protobuf}
	}
	text := heading + strings.Join(refused[:min(len(refused), 10)], "\n")
	if len(refused) == all {
		return rpcStatus(http.StatusBadRequest, text)
	}
	partial := appendBytesField(appendVarintField(nil, 1, uint64(len(refused))), 2, text)
	return reply{status: http.StatusOK, contentType: protobuf, body: appendBytesField(nil, 1, partial)}
}

// codes are the codes of gRPC that go with the answers.
var codes = map[int]uint64{
	http.StatusBadRequest: 3, http.StatusRequestEntityTooLarge: 3, http.StatusUnsupportedMediaType: 3,
}

// rpcStatus is an error as the protocol words it.
func rpcStatus(status int, text string) reply {
	return reply{status: status, contentType: protobuf, body: appendBytesField(appendVarintField(nil, 1, codes[status]), 2, text)}
}

// asStatus words a refusal of the environment's API in the protocol's form.
func asStatus(r reply) reply {
	var body map[string]problem
	if err := json.Unmarshal(r.body, &body); err != nil {
		panic(err) // failure wrote it
	}
	return rpcStatus(r.status, body["error"].Message)
}
