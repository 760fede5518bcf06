package otlp

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ParseMetricsAnswer reads an ExportMetricsServiceResponse, the body of an
// answer with status 200. rejected is how many data points were not taken, and
// which is not told; message is the server's word on it, or a warning where
// nothing was rejected. An empty body says that everything was taken. Any
// other body than such a message is an error.
func ParseMetricsAnswer(body []byte) (rejected int64, message string, err error) {
	return parseAnswer(body)
}

// ParseLogsAnswer reads an ExportLogsServiceResponse likewise; rejected counts
// log records.
func ParseLogsAnswer(body []byte) (rejected int64, message string, err error) {
	return parseAnswer(body)
}

// parseAnswer reads either answer: they have the same fields. As the protocol
// has it, the parts of a message that comes in several pieces are merged, and
// of a number or text that comes twice the last one counts.
func parseAnswer(body []byte) (rejected int64, message string, err error) {
	err = eachField(body, func(f field) error {
		if f.number != answerPartial {
			return nil
		}
		inner, err := f.bytes()
		if err != nil {
			return err
		}
		n, text, err := parsePair(inner, pair{partialRejected, rejected, partialMessage, message})
		rejected, message = n, text
		return err
	})
	switch {
	case err != nil:
		return 0, "", fmt.Errorf("read OTLP answer: %w", err)
	case rejected < 0:
		return 0, "", fmt.Errorf("read OTLP answer: %d were rejected", rejected)
	}
	return rejected, message, nil
}

// ParseStatus reads a google.rpc.Status, the body of an answer that is an
// error: its gRPC code and the server's words.
func ParseStatus(body []byte) (code int32, message string, err error) {
	n, message, err := parsePair(body, pair{number: statusCode, text: statusMessage})
	if err != nil {
		return 0, "", fmt.Errorf("read OTLP status: %w", err)
	}
	return int32(n), message, nil
}

// pair is a message with a number and a text, and what they are without a word
// of it.
type pair struct {
	number protowire.Number
	n      int64
	text   protowire.Number
	s      string
}

func parsePair(body []byte, p pair) (int64, string, error) {
	err := eachField(body, func(f field) error {
		switch f.number {
		case p.number:
			if f.kind != protowire.VarintType {
				return errKind
			}
			p.n = int64(f.varint)
		case p.text:
			text, err := f.bytes()
			p.s = valid(string(text))
			return err
		}
		return nil
	})
	return p.n, p.s, err
}

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64 // of VarintType
	body   []byte // of BytesType
}

var errKind = errors.New("a field has another type than the protocol's")

func (f field) bytes() ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, errKind
	}
	return f.body, nil
}

// eachField calls fn with the fields of a message in order. Fields of types
// that are not looked at are checked and passed over.
func eachField(body []byte, fn func(field) error) error {
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return protowire.ParseError(n)
		}
		body = body[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(body)
		case protowire.BytesType:
			f.body, n = protowire.ConsumeBytes(body)
		default:
			n = protowire.ConsumeFieldValue(number, kind, body)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		body = body[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
