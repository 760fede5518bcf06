package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// member is one member of a JSON object. Those of an object within have its
// name and a zero byte before their own.
type member struct {
	key    string
	text   string
	number bool
}

const propertyMark = "properties\x00"

// eventEntry reads the body of a request to the Events API back.
func eventEntry(text string) (buffer.Entry, error) {
	var e probes.Event
	err := members(text, func(m member) error { return m.intoEvent(&e) })
	switch {
	case err != nil:
		return buffer.Entry{}, err
	case e.Type == "" || e.Start.Wall == 0:
		return buffer.Entry{}, errors.New("it has no eventType or no startTime")
	}
	return buffer.Entry{Kind: buffer.EventEntry, Stamp: e.Start, Data: record.AppendEvent(nil, e)}, nil
}

func (m member) intoEvent(e *probes.Event) error {
	switch m.key {
	case "eventType":
		e.Type = m.text
	case "title":
		e.Title = m.text
	case "entitySelector":
		e.EntitySelector = m.text
	case "startTime":
		return m.whole(&e.Start.Wall)
	case "endTime":
		return m.whole(&e.End.Wall)
	case "timeout":
		var minutes int64
		err := m.whole(&minutes)
		e.Timeout = time.Duration(minutes) * time.Minute
		return err
	default:
		key, ok := strings.CutPrefix(m.key, propertyMark)
		if !ok {
			return fmt.Errorf("its member %q is not known", m.key)
		}
		e.Properties = append(e.Properties, probes.Dimension{Key: key, Value: m.text})
	}
	return nil
}

// logEntry reads one element of a log ingest request back.
func logEntry(text string) (buffer.Entry, error) {
	var r probes.Record
	err := members(text, func(m member) error { return m.intoRecord(&r) })
	switch {
	case err != nil:
		return buffer.Entry{}, err
	case r.Stamp.Wall == 0:
		return buffer.Entry{}, errors.New("it has no timestamp")
	}
	return buffer.Entry{Kind: buffer.LogEntry, Stamp: r.Stamp, Data: record.AppendRecord(nil, r)}, nil
}

func (m member) intoRecord(r *probes.Record) error {
	switch {
	case m.key == "timestamp":
		return m.whole(&r.Stamp.Wall)
	case m.key == "severity":
		r.Severity = m.text
	case m.key == "content":
		r.Content = m.text
	case m.key == "log.source": // the same for all
	case m.number:
		value, err := numberOf(m.text)
		if err != nil {
			return fmt.Errorf("its member %q is no number that can be held", m.key)
		}
		r.Numbers = append(r.Numbers, probes.Number{Key: m.key, Value: value})
	default:
		r.Attributes = append(r.Attributes, probes.Dimension{Key: m.key, Value: m.text})
	}
	return nil
}

func (m member) whole(to *int64) error {
	n, err := strconv.ParseInt(m.text, 10, 64)
	if err != nil {
		return fmt.Errorf("its member %q is not a whole number", m.key)
	}
	*to = n
	return nil
}

// numberOf keeps whole numbers exact.
func numberOf(text string) (probes.Value, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return probes.Int(i), nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return probes.Uint(u), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return probes.Float(f), err
}

// members calls fn with the members of one JSON object in their order.
func members(text string, fn func(member) error) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	if err := object(d, "", fn); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// object reads the members of the object that has begun, and its end.
func object(d *json.Decoder, within string, fn func(member) error) error {
	for d.More() {
		name, err := token(d)
		if err != nil {
			return err
		}
		value, err := token(d)
		if err != nil {
			return err
		}
		m := member{key: within + fmt.Sprint(name)}
		switch v := value.(type) {
		case string:
			m.text = v
			err = fn(m)
		case json.Number:
			m.text, m.number = v.String(), true
			err = fn(m)
		default:
			if v != json.Delim('{') || within != "" {
				return fmt.Errorf("its member %q is neither text nor number", m.key)
			}
			err = object(d, m.key+"\x00", fn)
		}
		if err != nil {
			return err
		}
	}
	_, err := token(d)
	return err
}

func token(d *json.Decoder) (json.Token, error) {
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("it is cut short or no JSON: %w", err)
	}
	return t, nil
}
