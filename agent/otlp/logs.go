package otlp

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/probes"
)

// AppendLogs appends an ExportLogsServiceRequest with the records, before
// compression, in their order under one resource, whose attribute log.source
// is edgehold. Attributes leave as strings and Numbers as numbers, whole ones
// exact; a Number that is none is left out. With no records it appends nothing.
//
// No attribute is both the resource's and a record's, since Dynatrace keeps both
// levels in one record and would rename one: what says the same is left out of
// the record, and what a record says otherwise goes to each record instead.
//
// A record whose time is not known (a stamp that is not after 1970) goes with
// its observed time alone.
func AppendLogs(dst []byte, records []probes.Record, o Options) []byte {
	if len(records) == 0 {
		return dst
	}
	l := newLogs(records, o)
	resource := appendResource(nil, l.resource)
	sizes := make([]int, len(records))
	all := 0
	for i := range records {
		sizes[i] = l.sizeRecord(&records[i])
		all += sizeField(sizes[i])
	}
	dst = appendHead(dst, requestResources, sizeField(len(resource))+sizeField(all))
	dst = append(appendHead(dst, resourcesResource, len(resource)), resource...)
	dst = appendHead(dst, resourcesScopes, all)
	for i := range records {
		dst = l.appendRecord(appendHead(dst, scopeItems, sizes[i]), &records[i])
	}
	return dst
}

// logs are what the records of a request share.
type logs struct {
	resource []probes.Dimension
	each     []probes.Dimension // of every record that does not have them
	observed int64
}

// newLogs gives the resource what no record says otherwise.
func newLogs(records []probes.Record, o Options) *logs {
	l := logs{observed: o.Observed}
	for _, d := range o.logResource() {
		if slices.ContainsFunc(records, func(r probes.Record) bool { return otherwise(&r, d) }) {
			l.each = append(l.each, d)
		} else {
			l.resource = append(l.resource, d)
		}
	}
	return &l
}

// logResource gives the attributes of the resource of log records.
func (o Options) logResource() []probes.Dimension {
	return append(o.resource(), probes.Dimension{Key: "log.source", Value: "edgehold"})
}

// otherwise reports whether a record has the key of d with another value.
func otherwise(r *probes.Record, d probes.Dimension) bool {
	return slices.ContainsFunc(r.Attributes, func(a probes.Dimension) bool { return a.Key == d.Key && a != d && sent(a) }) ||
		slices.ContainsFunc(r.Numbers, func(n probes.Number) bool { return n.Key == d.Key && number(n) })
}

// says reports whether the record leaves d out.
func (l *logs) says(d probes.Dimension) bool { return !sent(d) || slices.Contains(l.resource, d) }

// lacks reports whether a record has no attribute with the key of d.
func lacks(r *probes.Record, d probes.Dimension) bool {
	return !otherwise(r, d) && !slices.Contains(r.Attributes, d)
}

// severities are the numbers of the protocol by the words of records; those of
// syslog as its data model maps them.
var severities = map[string]uint64{
	"TRACE": 1, "DEBUG": 5, "INFO": 9, "INFORMATIONAL": 9, "NOTICE": 10, "WARN": 13, "WARNING": 13, "ERROR": 17, "ERR": 17,
	"SEVERE": 17, "CRITICAL": 18, "CRIT": 18, "ALERT": 19, "FATAL": 21, "EMERGENCY": 21, "EMERG": 21,
}

// severity is the number of a word, 0 where it has none.
func severity(word string) uint64 {
	if n, ok := severities[word]; ok {
		return n
	}
	return severities[strings.ToUpper(word)]
}

func (l *logs) observedAt(r *probes.Record) uint64 {
	if l.observed != 0 {
		return nano(l.observed)
	}
	return nano(r.Stamp.Wall)
}

func (l *logs) sizeRecord(r *probes.Record) int {
	n := l.sizeAttributes(r)
	if nano(r.Stamp.Wall) != 0 {
		n += fixedField
	}
	if l.observedAt(r) != 0 {
		n += fixedField
	}
	if severity(r.Severity) != 0 {
		n += 2
	}
	if r.Severity != "" {
		n += sizeField(len(valid(r.Severity)))
	}
	return n + sizeField(sizeField(len(valid(r.Content))))
}

func (l *logs) sizeAttributes(r *probes.Record) (n int) {
	for _, d := range r.Attributes {
		if !l.says(d) {
			n += sizeKeyValue(d)
		}
	}
	for _, d := range l.each {
		if lacks(r, d) {
			n += sizeKeyValue(d)
		}
	}
	for _, d := range r.Numbers {
		if number(d) {
			n += sizeField(sizeField(len(valid(d.Key))) + sizeField(sizeNumber(d.Value)))
		}
	}
	return n
}

// sizeKeyValue is the size of a field with an attribute.
func sizeKeyValue(d probes.Dimension) int {
	return sizeField(sizeField(len(valid(d.Key))) + sizeField(sizeField(len(valid(d.Value)))))
}

func sent(d probes.Dimension) bool { return d.Key != "" && d.Value != "" }

func number(n probes.Number) bool {
	return n.Key != "" && n.Value.Form() != probes.FormSummary && n.Value.Check() == nil
}

// whole gives a number that the protocol holds as an integer.
func whole(v probes.Value) (int64, bool) {
	switch v.Form() {
	case probes.FormInt:
		return v.Int64(), true
	case probes.FormUint:
		return int64(v.Uint64()), v.Uint64() <= math.MaxInt64
	}
	return 0, false
}

// sizeNumber is the size of the message AnyValue.
func sizeNumber(v probes.Value) int {
	if i, ok := whole(v); ok {
		return 1 + protowire.SizeVarint(uint64(i))
	}
	return fixedField
}

func (l *logs) appendRecord(dst []byte, r *probes.Record) []byte {
	if t := nano(r.Stamp.Wall); t != 0 {
		dst = appendFixed(dst, logTime, t)
	}
	if n := severity(r.Severity); n != 0 {
		dst = appendVarint(dst, logSeverity, n)
	}
	if r.Severity != "" {
		dst = appendText(dst, logSeverityText, valid(r.Severity))
	}
	content := valid(r.Content)
	dst = appendText(appendHead(dst, logBody, sizeField(len(content))), anyString, content)
	for _, d := range r.Attributes {
		if !l.says(d) {
			dst = appendKeyValue(dst, logAttributes, valid(d.Key), valid(d.Value))
		}
	}
	for _, d := range l.each {
		if lacks(r, d) {
			dst = appendKeyValue(dst, logAttributes, valid(d.Key), valid(d.Value))
		}
	}
	for _, d := range r.Numbers {
		if number(d) {
			dst = appendKeyNumber(dst, valid(d.Key), d.Value)
		}
	}
	if t := l.observedAt(r); t != 0 {
		dst = appendFixed(dst, logObserved, t)
	}
	return dst
}

func appendText(dst []byte, field protowire.Number, text string) []byte {
	return append(appendHead(dst, field, len(text)), text...)
}

// appendKeyNumber appends an attribute of a record that is a number.
func appendKeyNumber(dst []byte, key string, v probes.Value) []byte {
	size := sizeNumber(v)
	dst = appendHead(dst, logAttributes, sizeField(len(key))+sizeField(size))
	dst = appendHead(appendText(dst, keyValueKey, key), keyValueValue, size)
	if i, ok := whole(v); ok {
		return appendVarint(dst, anyInt, uint64(i))
	}
	return appendDouble(dst, anyDouble, v.Float64())
}
