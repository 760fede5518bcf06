package mint

import (
	"fmt"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// maxMetadata is the longest text of a property that is sent, in bytes.
const maxMetadata = 1000

// AppendMetadata appends the line that tells the environment what a metric is,
// without a newline. On an error, or where there is nothing to tell, dst comes
// back as it was.
func AppendMetadata(dst []byte, m probes.Metadata) ([]byte, error) {
	if m.Type != probes.Gauge && m.Type != probes.Count {
		return dst, fmt.Errorf("metadata of %q is of neither a gauge nor a count", m.Key)
	}
	line, err := appendKey(append(dst, '#'), m.Key)
	if err != nil {
		return dst, err
	}
	line = append(append(line, ' '), m.Type.String()...)
	separator := byte(' ')
	for _, p := range [...]struct{ name, text string }{
		{"displayName", m.DisplayName}, {"description", m.Description}, {"unit", m.Unit},
	} {
		if p.text == "" {
			continue
		}
		line = append(append(append(line, separator), "dt.meta."...), p.name...)
		line = appendQuoted(append(line, '='), p.text)
		separator = ','
	}
	if separator == ' ' {
		return dst, nil
	}
	return line, nil
}

// appendQuoted appends a text in quotes. What a line cannot hold becomes a blank.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i, r := range text {
		size := utf8.RuneLen(r)
		if i+max(size, 1) > maxMetadata {
			break
		}
		switch {
		case r == utf8.RuneError || control(r, size):
			dst = append(dst, ' ')
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
