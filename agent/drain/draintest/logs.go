package draintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of log ingest. Where the documentation names two figures, the smaller
// one of those for Grail counts.
const (
	maxLogBody        = 10_000_000 // bytes, before compression
	maxRecords        = 50_000
	maxContent        = 512_000 // bytes
	maxAttributes     = 500
	maxAttributeKey   = 100    // bytes
	maxAttributeValue = 32_000 // bytes
	maxLogAge         = 24 * time.Hour
)

// Record is one log record as the server understood it.
type Record struct {
	Timestamp         int64 // Unix time, milliseconds; the time of receipt where none was given
	Content, Severity string
	Attributes        map[string]string      // texts, log.source among them; booleans as true and false
	Numbers           map[string]json.Number // as they were sent
}

var errTooOld = errors.New("timestamps_out_of_range: batch contains a log more than 24 hours in the past")

// judgeLogs decides over a batch of records. One that is too old or malformed
// costs the whole batch, as a gateway in front of the environment does it.
func (s *Server) judgeLogs(r post) reply {
	plain, refusal := s.plain(r, "application/json")
	if refusal.status != 0 {
		return refusal
	}
	all, err := objects(plain)
	limit := maxRecords
	if r.fault.Mode == TooLarge {
		limit = min(limit, r.fault.Lines)
	}
	switch {
	case err != nil:
		return s.refuseLogs(plain, err)
	case len(all) == 0:
		return s.refuseLogs(plain, errors.New("batch is empty"))
	case len(all) > limit:
		return failure(http.StatusRequestEntityTooLarge, fmt.Sprintf("batch has %d records, more than %d", len(all), limit))
	}
	records := make([]Record, len(all))
	for i, o := range all {
		if records[i], err = s.parseRecord(o); err != nil {
			return s.refuseLogs(plain, fmt.Errorf("record %d: %w", i+1, err))
		}
	}
	return s.takeRecords(records, r.fault)
}

func (s *Server) refuseLogs(body []byte, err error) reply {
	s.ledger.refuse(string(body[:min(len(body), maxLine)]), err.Error())
	return failure(http.StatusBadRequest, err.Error())
}

// takeRecords takes all but what a fault refuses, and words the answer.
func (s *Server) takeRecords(records []Record, fault Fault) reply {
	refused := 0
	for i, r := range records {
		if fault.Mode == PartialInvalid && (i+1)%fault.Lines == 0 {
			s.ledger.refuse(r.Content, errByFault.Error())
			refused++
			continue
		}
		s.ledger.takeRecord(r)
	}
	if refused == 0 {
		return reply{status: http.StatusNoContent}
	}
	message := fmt.Sprintf("%d events were not ingested", refused)
	return jsonReply(http.StatusOK, map[string]problem{"details": {Code: http.StatusOK, Message: message}})
}

func (s *Server) parseRecord(o object) (Record, error) {
	r := Record{Attributes: map[string]string{}, Numbers: map[string]json.Number{}}
	now := s.options.Now()
	r.Timestamp = now.UnixMilli()
	for key, value := range o {
		if err := r.set(key, value); err != nil {
			return Record{}, fmt.Errorf("%q: %w", key, err)
		}
	}
	stamp := time.UnixMilli(r.Timestamp)
	switch {
	case r.Content == "":
		return Record{}, errors.New("content is missing")
	case r.Attributes["log.source"] == "":
		return Record{}, errors.New("log.source is missing")
	case len(r.Attributes)+len(r.Numbers) > maxAttributes:
		return Record{}, fmt.Errorf("%d attributes, more than %d", len(r.Attributes)+len(r.Numbers), maxAttributes)
	case stamp.Before(now.Add(-maxLogAge)):
		return Record{}, errTooOld
	case stamp.After(now.Add(maxFuture)):
		// The environment would stamp it anew in silence.
		return Record{}, errors.New("timestamp is more than 10 minutes in the future")
	}
	return r, nil
}

func (r *Record) set(key string, value any) (err error) {
	switch key {
	case "content":
		r.Content, err = bounded(value, maxContent)
		return err
	case "timestamp":
		r.Timestamp, err = milliseconds(value)
		return err
	case "severity":
		if r.Severity, err = bounded(value, maxAttributeValue); err == nil && !slices.Contains(severities, r.Severity) {
			err = fmt.Errorf("severity %q is unknown", r.Severity)
		}
		return err
	}
	if err := checkAttribute(key); err != nil {
		return err
	}
	switch v := value.(type) {
	case json.Number:
		r.Numbers[key] = v
		return nil
	case bool:
		r.Attributes[key] = strconv.FormatBool(v)
		return nil
	}
	r.Attributes[key], err = bounded(value, maxAttributeValue)
	return err
}

// severities are those the environment maps to a log level of its own.
var severities = []string{
	"TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "SEVERE", "CRITICAL", "ALERT", "FATAL", "EMERGENCY", "NONE",
}

// checkAttribute takes what every generation of the product takes.
func checkAttribute(key string) error {
	if key == "" || len(key) > maxAttributeKey {
		return fmt.Errorf("key has %d bytes", len(key))
	}
	if key[0] == '-' {
		return errors.New("key begins with a hyphen")
	}
	for i := range len(key) {
		if c := key[i]; !isLetter(c) && !isDigit(c) && c != '.' && c != '_' && c != '-' && c != ':' {
			return fmt.Errorf("key has the character %q", c)
		}
	}
	return nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// bounded takes a text of 1 to most bytes.
func bounded(value any, most int) (string, error) {
	s, ok := value.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	if len(s) == 0 || len(s) > most || !utf8.ValidString(s) {
		return "", fmt.Errorf("%d bytes, must be 1 to %d", len(s), most)
	}
	return s, nil
}

// takeRecord counts a record, remembers the first of them, and takes what it
// says of late points.
func (l *Ledger) takeRecord(r Record) {
	late := r.latePoints()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.Records++; len(l.records) < maxKept {
		l.records = append(l.records, r)
	}
	if r.Attributes["edgehold.late"] != "true" {
		return
	}
	l.counts.LateRecords++
	for _, p := range late {
		l.takeLate(p)
	}
}

// Records are the first 1,000 log records that were taken.
func (l *Ledger) Records() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}
