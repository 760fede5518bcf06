package record

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// The stamps that can be written, in milliseconds: the server tells the unit of
// a time by its width.
const (
	firstWall = int64(1e11) + 1 // 3 March 1973
	lastWall  = int64(1e14)     // the year 5138
)

// timeLayout writes a UTC time with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// datable tells whether a stamp's wall time can be sent.
func datable(s probes.Stamp) bool {
	return !s.Guess && s.Wall >= firstWall && s.Wall <= lastWall
}

func isoTime(s probes.Stamp) string { return s.Time().UTC().Format(timeLayout) }

// AppendEventBody appends the request body for one event, after FitEvent. A
// start or end that is a guess is left out: the server then takes the time of
// receipt.
func AppendEventBody(dst []byte, e probes.Event) []byte {
	e = FitEvent(e)
	dst = appendString(append(dst, `{"eventType":`...), e.Type)
	dst = appendString(append(dst, `,"title":`...), e.Title)
	if datable(e.Start) {
		dst = strconv.AppendInt(append(dst, `,"startTime":`...), e.Start.Wall, 10)
	}
	if datable(e.End) {
		dst = strconv.AppendInt(append(dst, `,"endTime":`...), e.End.Wall, 10)
	}
	if e.Timeout > 0 {
		minutes := int64((e.Timeout + time.Minute - 1) / time.Minute)
		dst = strconv.AppendInt(append(dst, `,"timeout":`...), minutes, 10)
	}
	if e.EntitySelector != "" {
		dst = appendString(append(dst, `,"entitySelector":`...), e.EntitySelector)
	}
	if len(e.Properties) > 0 {
		dst = append(appendMembers(append(dst, `,"properties":{`...), e.Properties), '}')
	}
	return append(dst, '}')
}

// AppendLogItem appends one element of a log ingest body, after FitRecord. A
// stamp that is a guess is left out: the server then takes the time of receipt.
func AppendLogItem(dst []byte, r probes.Record) []byte {
	r = FitRecord(r)
	dst = append(dst, '{')
	if datable(r.Stamp) {
		dst = strconv.AppendInt(append(dst, `"timestamp":`...), r.Stamp.Wall, 10)
		dst = append(dst, ',')
	}
	if r.Severity != "" {
		dst = append(appendString(append(dst, `"severity":`...), r.Severity), ',')
	}
	if !slices.ContainsFunc(r.Attributes, namesSource) {
		dst = append(dst, `"`+sourceKey+`":"`+Source+`",`...)
	}
	dst = appendString(append(dst, `"content":`...), r.Content)
	if len(r.Attributes) > 0 {
		dst = appendMembers(append(dst, ','), r.Attributes)
	}
	for _, n := range r.Numbers {
		dst = append(appendString(append(dst, ','), n.Key), ':')
		dst = appendNumber(dst, n.Value)
	}
	return append(dst, '}')
}

func namesSource(d probes.Dimension) bool { return d.Key == sourceKey }

// appendMembers appends "key":"value" pairs with commas between them.
func appendMembers(dst []byte, dims []probes.Dimension) []byte {
	for i, d := range dims {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, d.Key), ':')
		dst = appendString(dst, d.Value)
	}
	return dst
}

// appendNumber keeps integers exact: no counter passes through a float.
func appendNumber(dst []byte, v probes.Value) []byte {
	switch v.Form() {
	case probes.FormInt:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case probes.FormUint:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	}
	return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString appends s, which is valid UTF-8, as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' || c >= utf8.RuneSelf {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}
