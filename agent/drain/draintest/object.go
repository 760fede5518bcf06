package draintest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// object is a JSON object, its values strings, numbers, booleans or objects.
type object map[string]any

// reader reads JSON more strictly than encoding/json: valid UTF-8, no null, no
// array inside an object, no key twice, at most three levels.
type reader struct{ *json.Decoder }

func newReader(text []byte) (reader, error) {
	if !utf8.Valid(text) {
		return reader{}, errors.New("body is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return reader{d}, nil
}

// objects reads an array of objects, or one object alone, and the end.
func objects(text []byte) ([]object, error) {
	r, err := newReader(text)
	if err != nil {
		return nil, err
	}
	first, err := r.Token()
	if err != nil {
		return nil, fmt.Errorf("body is not JSON: %w", err)
	}
	var all []object
	switch first {
	case json.Delim('{'):
		var o object
		if o, err = r.object(1); err == nil {
			all = append(all, o)
		}
	case json.Delim('['):
		all, err = r.array()
	default:
		err = errors.New("body is neither an object nor an array")
	}
	if err != nil {
		return nil, err
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the end of the JSON value")
	}
	return all, nil
}

// array reads objects up to the end of their array.
func (r reader) array() (all []object, err error) {
	for r.More() {
		if t, err := r.Token(); err != nil || t != json.Delim('{') {
			return nil, fmt.Errorf("element %d is not an object", len(all))
		}
		o, err := r.object(1)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(all), err)
		}
		all = append(all, o)
	}
	if _, err = r.Token(); err != nil {
		return nil, fmt.Errorf("array does not end: %w", err)
	}
	return all, nil
}

// object reads the rest of an object, its brace behind it.
func (r reader) object(level int) (object, error) {
	o := object{}
	for r.More() {
		t, err := r.Token()
		if err != nil {
			return nil, fmt.Errorf("object is not JSON: %w", err)
		}
		key := t.(string) // the decoder gives nothing else here
		if _, twice := o[key]; twice {
			return nil, fmt.Errorf("key %q comes twice", key)
		}
		if o[key], err = r.value(level); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	if _, err := r.Token(); err != nil {
		return nil, fmt.Errorf("object does not end: %w", err)
	}
	return o, nil
}

func (r reader) value(level int) (any, error) {
	t, err := r.Token()
	if err != nil {
		return nil, fmt.Errorf("value is not JSON: %w", err)
	}
	switch {
	case t == nil:
		return nil, errors.New("value is null")
	case t == json.Delim('{') && level < 3:
		return r.object(level + 1)
	case t == json.Delim('{'):
		return nil, errors.New("object is nested too deep")
	case t == json.Delim('['):
		return nil, errors.New("value is an array")
	}
	return t, nil
}
