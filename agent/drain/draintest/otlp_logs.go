package draintest

import (
	"encoding/json"
	"fmt"
)

// ParseOTLPLogs reads an ExportLogsServiceRequest. The attributes of the
// resource are not among those of the records, as they say nothing of one. An
// error means that the message is not such a request, fields that the protocol
// lacks included.
func ParseOTLPLogs(body []byte) ([]Record, error) {
	var records []Record
	err := eachScope(body, func(resource []Dim, f wireField) error {
		l := logReader{Record: Record{Attributes: map[string]string{}, Numbers: map[string]json.Number{}}}
		if err := f.body.each(l.read); err != nil {
			return err
		}
		if l.Timestamp == 0 {
			l.Timestamp = l.observed
		}
		for _, d := range resource {
			if _, twice := l.Attributes[d.Key]; twice {
				return fmt.Errorf("attribute %q is one of the resource and of a record: it would be renamed", d.Key)
			}
		}
		records = append(records, l.Record)
		return nil
	})
	return records, err
}

// logReader reads one LogRecord.
type logReader struct {
	Record
	observed int64
}

func (l *logReader) read(f wireField) (err error) {
	switch {
	case f.is(1, wireFixed):
		l.Timestamp = int64(f.bits / 1e6)
	case f.is(11, wireFixed):
		l.observed = int64(f.bits / 1e6)
	case f.is(2, wireVarint):
		if f.bits < 1 || f.bits > 24 {
			err = fmt.Errorf("severity number %d is out of range", f.bits)
		}
	case f.is(3, wireBytes):
		l.Severity, err = f.text()
	case f.is(5, wireBytes):
		var body attribute
		err = f.body.each(body.readValue)
		l.Content = body.text
	case f.is(6, wireBytes):
		err = l.readAttribute(f.body)
	default:
		err = f.unknown("log record")
	}
	return err
}

func (l *logReader) readAttribute(m message) error {
	a, err := readAttribute(m)
	if err != nil {
		return err
	}
	_, text := l.Attributes[a.key]
	_, number := l.Numbers[a.key]
	if text || number || a.key == "" {
		return fmt.Errorf("attribute %q comes twice or has no name", a.key)
	}
	if a.number != "" {
		l.Numbers[a.key] = json.Number(a.number)
		return nil
	}
	l.Attributes[a.key] = a.text
	return nil
}
