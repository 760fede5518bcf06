package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/probes"
)

// Options say on whose behalf a request is made.
type Options struct {
	// Version of the agent: the resource attribute service.version, "" for none.
	// The resource's service.name is always edgehold.
	Version string
	// Resource are further attributes of the resource, such as the site. A
	// receiver may make dimensions of them: they count against MaxDimensions.
	// Empty ones are left out.
	Resource []probes.Dimension
	// Observed is when log records are handed over, Unix time in milliseconds;
	// 0 is the time of each record.
	Observed int64
}

// resource gives the attributes of the resource.
func (o Options) resource() []probes.Dimension {
	all := []probes.Dimension{{Key: "service.name", Value: "edgehold"}}
	if o.Version != "" {
		all = append(all, probes.Dimension{Key: "service.version", Value: o.Version})
	}
	for _, d := range o.Resource {
		if d.Key != "" && d.Value != "" {
			all = append(all, d)
		}
	}
	return all
}

// appendResource appends the message Resource.
func appendResource(dst []byte, attributes []probes.Dimension) []byte {
	for _, d := range attributes {
		dst = appendKeyValue(dst, resourceAttributes, valid(d.Key), valid(d.Value))
	}
	return dst
}

// valid makes UTF-8 of a text: what is not is no string of a message.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// appendKeyValue appends a field with the message KeyValue, its value a string.
func appendKeyValue[T string | []byte](dst []byte, field protowire.Number, key, value T) []byte {
	text := sizeField(len(value))
	dst = appendHead(dst, field, sizeField(len(key))+sizeField(text))
	dst = append(appendHead(dst, keyValueKey, len(key)), key...)
	dst = appendHead(dst, keyValueValue, text)
	return append(appendHead(dst, anyString, len(value)), value...)
}

// errTooMany is the refusal of a point that the endpoint would drop.
var errTooMany = errors.New("too many dimensions")

// appendAttributes appends the dimensions of a series as attributes, at most
// limit of them. Where two keys are equal after normalising, the one that was
// written so wins, else the first.
func appendAttributes(dst []byte, field protowire.Number, s *probes.Series, limit int) ([]byte, error) {
	var (
		kept  [MaxDimensions]string // raw keys
		names [maxDimensionKey]byte
		texts [maxDimensionValue]byte
		n     int
	)
	begin := len(dst)
	for _, d := range s.Dims() {
		key := appendDimensionKey(names[:0], d.Key)
		if len(key) == 0 || string(key) != d.Key && taken(key, s, kept[:n]) {
			continue
		}
		if n == limit {
			return dst[:begin], fmt.Errorf("%w: more than %d with those of the resource; leave some out where the series is defined", errTooMany, MaxDimensions)
		}
		kept[n] = d.Key
		n++
		dst = appendKeyValue(dst, field, key, appendDimensionValue(texts[:0], d.Value))
	}
	return dst, nil
}

// taken reports whether a key that normalising has changed belongs to another
// dimension: to one that is written so, or to one that came before.
func taken(key []byte, s *probes.Series, kept []string) bool {
	for _, d := range s.Dims() {
		if d.Key == string(key) {
			return true
		}
	}
	var names [maxDimensionKey]byte
	for _, raw := range kept {
		if bytes.Equal(appendDimensionKey(names[:0], raw), key) {
			return true
		}
	}
	return false
}
