package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// appendMint appends the line that the drain would send.
func appendMint(dst []byte, p probes.Point) ([]byte, error) {
	if p.Stamp.Guess {
		return dst, errGuess
	}
	line, err := mint.AppendLine(dst, p)
	if err != nil {
		return dst, err
	}
	return append(line, '\n'), nil
}

// errGuess keeps points without a true time out of forms that would show them
// at a false one.
var errGuess = errors.New("measured while the time was not known; csv shows such points, marked as undated")

// csvHeader names the columns. Fields are quoted as RFC 4180 has it; lines end
// with LF. Dimensions are one JSON object, its keys sorted. A statistic has
// min, max, sum and count instead of a value. The state of a point whose time is
// a guess ends in -undated.
const csvHeader = "time,unix_ms,key,type,value,min,max,sum,count,state,dimensions\n"

// csvWriter remembers the rendered names of series.
type csvWriter struct {
	names map[*probes.Series]csvNames
	text  bytes.Buffer
}

// csvNames are the fields of a series, quoted.
type csvNames struct{ key, dims string }

const maxNames = 50_000

func (c *csvWriter) appendLine(dst []byte, p probes.Point, state buffer.PointState) ([]byte, error) {
	names, err := c.namesOf(p.Series)
	if err != nil {
		return dst, err
	}
	dst = p.Stamp.Time().UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = strconv.AppendInt(append(dst, ','), p.Stamp.Wall, 10)
	dst = append(append(dst, ','), names.key...)
	dst = append(append(dst, ','), p.Series.Type().String()...)
	dst = append(dst, ',')
	if p.Value.Form() == probes.FormSummary {
		s := p.Value.Summary()
		for _, f := range []float64{s.Min, s.Max, s.Sum} {
			dst = strconv.AppendFloat(append(dst, ','), f, 'g', -1, 64)
		}
		dst = strconv.AppendUint(append(dst, ','), s.Count, 10)
	} else {
		dst = append(appendValue(dst, p.Value), ",,,,"...)
	}
	dst = append(append(dst, ','), state.String()...)
	if p.Stamp.Guess {
		dst = append(dst, "-undated"...)
	}
	dst = append(append(dst, ','), names.dims...)
	return append(dst, '\n'), nil
}

func (c *csvWriter) namesOf(s *probes.Series) (csvNames, error) {
	if n, ok := c.names[s]; ok {
		return n, nil
	}
	if c.names == nil || len(c.names) >= maxNames {
		c.names = map[*probes.Series]csvNames{}
	}
	dims, err := c.object(s.Dims())
	n := csvNames{quoteField(strings.ToValidUTF8(s.Key(), "\uFFFD")), quoteField(dims)}
	c.names[s] = n
	return n, err
}

// object writes dimensions as a JSON object in their order, which is sorted.
func (c *csvWriter) object(dims []probes.Dimension) (string, error) {
	c.text.Reset()
	enc := json.NewEncoder(&c.text)
	enc.SetEscapeHTML(false)
	c.text.WriteByte('{')
	for i, d := range dims {
		if i > 0 {
			c.text.WriteByte(',')
		}
		for j, s := range []string{d.Key, d.Value} {
			if err := enc.Encode(s); err != nil {
				return "", fmt.Errorf("write dimensions: %w", err)
			}
			c.text.Truncate(c.text.Len() - 1) // the encoder's newline
			if j == 0 {
				c.text.WriteByte(':')
			}
		}
	}
	c.text.WriteByte('}')
	return c.text.String(), nil
}

func quoteField(s string) string {
	if !strings.ContainsAny(s, "\",\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// appendValue keeps integers exact.
func appendValue(dst []byte, v probes.Value) []byte {
	switch v.Form() {
	case probes.FormInt:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case probes.FormUint:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	}
	return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64)
}

// wallError refuses times that no clock could have meant: a machine without a
// battery starts in 1970.
func wallError(s probes.Stamp) error {
	if s.Guess {
		return errGuess
	}
	ms := s.Wall
	if ms < mint.First || ms > mint.Last {
		return fmt.Errorf("measured at %s, before the clock was set", time.UnixMilli(ms).UTC().Format(time.RFC3339))
	}
	return nil
}
