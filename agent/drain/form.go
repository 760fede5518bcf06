package drain

import (
	"strings"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/probes"
)

// textLines are lines of text one behind the other.
type textLines struct {
	bytes  []byte
	ends   []int // of each line, its newline included
	writer mint.Writer
}

func (t *textLines) clear() { t.bytes, t.ends = t.bytes[:0], t.ends[:0] }

// close ends the line that was appended last.
func (t *textLines) close() {
	t.bytes = append(t.bytes, '\n')
	t.ends = append(t.ends, len(t.bytes))
}

// body is metric lines as they are posted.
func (t *textLines) body(s span) []byte {
	begin := 0
	if s.from > 0 {
		begin = t.ends[s.from-1]
	}
	return t.bytes[begin:t.ends[s.to-1]]
}

func (t *textLines) text(i int) string {
	return strings.TrimSuffix(string(t.body(span{i, i + 1})), "\n")
}

// objects are JSON objects one behind the other, each with a comma behind it.
type objects struct {
	textLines
	list     bool   // they are posted as an array
	brackets [2]int // where commas are brackets now
}

func (o *objects) close() {
	o.bytes = append(o.bytes, ',')
	o.ends = append(o.ends, len(o.bytes))
}

// clear makes room, with a byte before the first object.
func (o *objects) clear() {
	o.bytes, o.ends = append(o.bytes[:0], ','), o.ends[:0]
}

// body makes brackets of the two commas around a part.
func (o *objects) body(s span) []byte {
	begin := 1
	if s.from > 0 {
		begin = o.ends[s.from-1]
	}
	end := o.ends[s.to-1]
	if !o.list {
		return o.bytes[begin : end-1]
	}
	for _, at := range o.brackets {
		o.bytes[at] = ','
	}
	o.brackets = [2]int{begin - 1, end - 1}
	o.bytes[begin-1], o.bytes[end-1] = '[', ']'
	return o.bytes[begin-1 : end]
}

func (o *objects) text(i int) string {
	begin := 1
	if i > 0 {
		begin = o.ends[i-1]
	}
	return string(o.bytes[begin : o.ends[i]-1])
}

// otlpPoints are data points. What a dead letter shows of one is its metric
// line.
type otlpPoints struct {
	points  []probes.Point
	bytes   []byte
	options otlp.Options
}

func (o *otlpPoints) body(s span) []byte {
	o.bytes, _ = otlp.AppendMetrics(o.bytes[:0], o.points[s.from:s.to], o.options)
	return o.bytes
}

func (o *otlpPoints) text(i int) string { return lineOf(o.points[i]) }

// lineOf is the metric line of a point, its key where it has none.
func lineOf(p probes.Point) string {
	text, err := mint.AppendLine(nil, p)
	if err != nil {
		return p.Series.Key()
	}
	return string(text)
}

// otlpRecords are log records. What a dead letter shows of one is its JSON.
type otlpRecords struct {
	records []probes.Record
	bytes   []byte
	options otlp.Options
}

func (o *otlpRecords) body(s span) []byte {
	o.bytes = otlp.AppendLogs(o.bytes[:0], o.records[s.from:s.to], o.options)
	return o.bytes
}

func (o *otlpRecords) text(i int) string { return string(record.AppendLogItem(nil, o.records[i])) }
