package arc

import (
	"encoding/binary"
	"fmt"
)

// Name is what a series is called.
type Name struct {
	Key  string
	Type uint8
	Dims []Dim
}

// Dim is one dimension of a Name.
type Dim struct{ Key, Value string }

// Limits of one payload of names: how many they are and how many bytes they
// take unpacked, each text with its length.
const (
	MaxNames     = 1 << 12
	MaxNameBytes = 1 << 20
)

// EncodeNames appends the names to dst as one payload.
func (c *Codec) EncodeNames(dst []byte, names []Name) ([]byte, error) {
	if len(names) > MaxNames {
		return dst, fmt.Errorf("%d names are more than %d", len(names), MaxNames)
	}
	body := binary.AppendUvarint(nil, uint64(len(names)))
	for _, n := range names {
		body = append(body, n.Type)
		body = appendText(body, n.Key)
		body = binary.AppendUvarint(body, uint64(len(n.Dims)))
		for _, d := range n.Dims {
			body = appendText(appendText(body, d.Key), d.Value)
		}
	}
	if len(body) > MaxNameBytes {
		return dst, fmt.Errorf("%d names take %d bytes, more than %d", len(names), len(body), MaxNameBytes)
	}
	return c.pack(dst, body), nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeNames is the inverse of EncodeNames.
func (c *Codec) DecodeNames(payload []byte) ([]Name, error) {
	body, err := c.unpack(payload, MaxNameBytes)
	if err != nil {
		return nil, err
	}
	r := &reader{b: body, texts: make(map[string]string)}
	n := r.count(3)
	if n > MaxNames {
		return nil, fmt.Errorf("payload has %d names, more than %d", n, MaxNames)
	}
	names := make([]Name, n)
	for i := range names {
		names[i] = r.name()
		if r.err != nil {
			return nil, r.err
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("payload has %d bytes too many", len(r.b))
	}
	return names, r.err
}

func (r *reader) name() Name {
	var n Name
	if b := r.take(1); b != nil {
		n.Type = b[0]
	}
	n.Key = r.text()
	if dims := r.count(2); dims > 0 {
		n.Dims = make([]Dim, dims)
	}
	for i := range n.Dims {
		n.Dims[i] = Dim{Key: r.text(), Value: r.text()}
	}
	return n
}

// text gives equal texts as one: series share most of theirs.
func (r *reader) text() string {
	b := r.take(r.count(1))
	if t, ok := r.texts[string(b)]; ok {
		return t
	}
	t := string(b)
	r.texts[t] = t
	return t
}
