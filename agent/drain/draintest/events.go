package draintest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
)

// Limits of one event.
const (
	maxEventBody     = 1_000_000 // the documentation names none
	maxProperties    = 100
	maxPropertyKey   = 100   // UTF-16 units
	maxPropertyValue = 4_096 // UTF-16 units
	maxTitle         = 4_096 // UTF-16 units; the documentation names none
	maxTimeout       = 360   // minutes
)

// window is how far the times of an event may lie from now.
type window struct{ past, future time.Duration }

const day = 24 * time.Hour

var (
	problemWindow = window{6 * time.Hour, 5 * time.Minute}
	infoWindow    = window{30 * day, 7 * day}
)

// eventWindows holds the documented types. WARNING is not in the list of those
// that may be old.
var eventWindows = map[string]window{
	"AVAILABILITY_EVENT":        problemWindow,
	"CUSTOM_ALERT":              problemWindow,
	"ERROR_EVENT":               problemWindow,
	"PERFORMANCE_EVENT":         problemWindow,
	"RESOURCE_CONTENTION_EVENT": problemWindow,
	"WARNING":                   problemWindow,
	"CUSTOM_ANNOTATION":         infoWindow,
	"CUSTOM_CONFIGURATION":      infoWindow,
	"CUSTOM_DEPLOYMENT":         infoWindow,
	"CUSTOM_INFO":               infoWindow,
	"MARKED_FOR_TERMINATION":    infoWindow,
}

// Event is one event as the server understood it.
type Event struct {
	Type, Title, EntitySelector string
	Start, End                  int64 // Unix time, milliseconds; a missing start is the time of receipt, a missing end 0
	Timeout                     int64 // minutes, 0 if not given
	Properties                  map[string]string
}

type eventResult struct {
	CorrelationID string `json:"correlationId"`
	Status        string `json:"status"`
}

type eventAnswer struct {
	ReportCount        int           `json:"reportCount"`
	EventIngestResults []eventResult `json:"eventIngestResults"`
}

// judgeEvent decides over one event.
func (s *Server) judgeEvent(r post) reply {
	plain, refusal := s.plain(r, "application/json")
	if refusal.status != 0 {
		return refusal
	}
	now := s.options.Now()
	e, err := parseEvent(plain, now)
	if err != nil {
		s.ledger.refuse(string(plain), err.Error())
		return failure(http.StatusBadRequest, err.Error())
	}
	status := "OK"
	switch {
	case r.fault.Mode == PartialInvalid && r.fault.Lines == 1:
		status = "INVALID_METADATA"
	case !eventWindows[e.Type].holds(e, now), r.fault.Mode == OldEvents && e.Start < now.Add(-maxAge).UnixMilli():
		status = "INVALID_TIMESTAMPS"
	}
	s.ledger.takeEvent(e, status)
	sum := sha256.Sum256(plain)
	return jsonReply(http.StatusCreated, eventAnswer{
		ReportCount: 1, EventIngestResults: []eventResult{{CorrelationID: hex.EncodeToString(sum[:8]), Status: status}},
	})
}

// holds tells whether the times of e are taken at now.
func (w window) holds(e Event, now time.Time) bool {
	oldest, newest := now.Add(-w.past).UnixMilli(), now.Add(w.future).UnixMilli()
	if e.Start < oldest || e.Start > newest {
		return false
	}
	return e.End == 0 || e.End >= e.Start && e.End <= newest
}

func parseEvent(text []byte, now time.Time) (Event, error) {
	all, err := objects(text)
	if err != nil {
		return Event{}, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return Event{}, errors.New("body is not one JSON object")
	}
	e := Event{Start: now.UnixMilli(), Properties: map[string]string{}}
	for key, value := range all[0] {
		if err := e.set(key, value); err != nil {
			return Event{}, fmt.Errorf("constraint violated: %s: %w", key, err)
		}
	}
	if e.Type == "" || e.Title == "" {
		return Event{}, errors.New("constraint violated: eventType and title must not be empty")
	}
	return e, nil
}

var selector = regexp.MustCompile(`^(type|entityId)\(.+\)$`)

func (e *Event) set(key string, value any) (err error) {
	switch key {
	case "eventType":
		if e.Type, err = text(value, maxTitle); err == nil && eventWindows[e.Type] == (window{}) {
			err = fmt.Errorf("type %q is unknown", e.Type)
		}
	case "title":
		e.Title, err = text(value, maxTitle)
	case "entitySelector":
		if e.EntitySelector, err = text(value, 2000); err == nil && !selector.MatchString(e.EntitySelector) {
			err = fmt.Errorf("selector %q has neither type(...) nor entityId(...) first", e.EntitySelector)
		}
	case "startTime":
		e.Start, err = milliseconds(value)
	case "endTime":
		e.End, err = milliseconds(value)
	case "timeout":
		if e.Timeout, err = whole(value); err == nil && (e.Timeout < 1 || e.Timeout > maxTimeout) {
			err = fmt.Errorf("timeout of %d minutes", e.Timeout)
		}
	case "properties":
		err = e.setProperties(value)
	default:
		err = errors.New("field is unknown")
	}
	return err
}

func (e *Event) setProperties(value any) error {
	o, ok := value.(object)
	if !ok {
		return errors.New("not an object")
	}
	if len(o) > maxProperties {
		return fmt.Errorf("%d properties, more than %d", len(o), maxProperties)
	}
	for key, v := range o {
		if n := units(key); n == 0 || n > maxPropertyKey {
			return fmt.Errorf("key %.20q has %d characters", key, n)
		}
		text, err := text(v, maxPropertyValue)
		if err != nil {
			return fmt.Errorf("property %q: %w", key, err)
		}
		e.Properties[key] = text
	}
	return nil
}

// text takes a string that is not empty and not longer than most units.
func text(value any, most int) (string, error) {
	s, ok := value.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	if n := units(s); n == 0 || n > most {
		return "", fmt.Errorf("%d characters, must be 1 to %d", n, most)
	}
	return s, nil
}

// units counts characters as Java does.
func units(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func whole(value any) (int64, error) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", n)
	}
	return i, nil
}

// milliseconds takes a time whose unit is told by its width.
func milliseconds(value any) (int64, error) {
	n, err := whole(value)
	if err == nil && (n <= 1e11 || n > 1e14) {
		err = fmt.Errorf("%d is not a time in milliseconds", n)
	}
	return n, err
}

// takeEvent counts an event, and remembers the first of them.
func (l *Ledger) takeEvent(e Event, status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status != "OK" {
		l.counts.EventsInvalid++
		return
	}
	if l.counts.Events++; len(l.events) < maxKept {
		l.events = append(l.events, e)
	}
}

// Events are the first 1,000 events that were taken with status OK.
func (l *Ledger) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}
