package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// schema is a part of a JSON schema, as far as it is needed here.
type schema struct {
	Draft       string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a word, or several
	Const       any                `json:"const,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     *int               `json:"minimum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or a schema
	Items       *schema            `json:"items,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
}

// Schema is a JSON schema (draft 2020-12) of the configuration, for editors. It
// is made of the structs that files are decoded into, of their defaults, and of
// the words of the reference. It is weaker than a check: what one key asks of
// another is not in it, and no key of the top is required, since files of
// config.d hold a part each.
func Schema(kinds []probes.Kind) ([]byte, error) {
	m := schemaMaker{words: referenceWords(), kinds: kinds}
	s := m.of(reflect.ValueOf(newDocument()).Elem(), "")
	s.Draft, s.Title = "https://json-schema.org/draft/2020-12/schema", "Configuration of Edgehold"
	s.Description = "edgehold.yaml, or a part of it in config.d/*.yaml"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(text, '\n'), nil
}

type schemaMaker struct {
	words map[string]string // of the reference, by path
	kinds []probes.Kind
}

// of is the schema of a value that holds its defaults. The path has no place
// for the items of a list, and a star for the names of a map.
func (m schemaMaker) of(v reflect.Value, path string) *schema {
	s := m.shape(v, path)
	s.Description = m.words[path]
	return s
}

func (m schemaMaker) shape(v reflect.Value, path string) *schema {
	t := v.Type()
	if reflect.PointerTo(t).Implements(textType) {
		return textual(v)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.shape(reflect.New(t.Elem()).Elem(), path)
	case reflect.Struct:
		return m.structure(v, path)
	case reflect.Map:
		return &schema{Type: orNull("object"), Additional: m.of(reflect.New(t.Elem()).Elem(), path+".*")}
	case reflect.Slice:
		return m.list(t, path)
	}
	return plain(v)
}

// orNull allows a key without a value, which keeps its default.
func orNull(word string) []string { return []string{word, "null"} }

func (m schemaMaker) structure(v reflect.Value, path string) *schema {
	s := &schema{Type: orNull("object"), Additional: false, Required: needed[path], Properties: map[string]*schema{}}
	for i := range v.NumField() {
		key := keyOf(v.Type().Field(i))
		if key == "" {
			continue
		}
		p := m.of(v.Field(i), join(path, key))
		if words := choices[key]; p.Type == "string" && words != nil {
			p.Enum = words
		}
		s.Properties[key] = p
	}
	return s
}

// needed are the keys without which an entry of a list means nothing.
var needed = map[string][]string{"extensions": {"package", "configuration"}}

func (m schemaMaker) list(t reflect.Type, path string) *schema {
	s := &schema{Type: orNull("array")}
	if t.Elem() != nodeType {
		s.Items = m.shape(reflect.New(t.Elem()).Elem(), path)
		return s
	}
	s.Items = &schema{}
	for _, k := range m.kinds { // each probe has the options of its kind
		one := m.kind(k, path)
		s.Items.AnyOf = append(s.Items.AnyOf, one)
	}
	return s
}

func (m schemaMaker) kind(k probes.Kind, path string) *schema {
	one := schemaMaker{words: m.words}.shape(reflect.ValueOf(k.Options()).Elem(), path)
	one.Type = "object"
	one.Required = []string{"kind"}
	one.Properties["kind"] = &schema{Const: k.Name}
	for key, p := range one.Properties { // these words are of the top
		if choices[key] != nil {
			p.Enum = nil
		}
	}
	return one
}

func plain(v reflect.Value) *schema {
	s := &schema{}
	switch {
	case v.Kind() == reflect.String:
		s.Type = "string"
	case v.Kind() == reflect.Bool:
		s.Type = "boolean"
	case v.CanInt():
		s.Type = "integer"
	case v.CanUint():
		s.Type, s.Minimum = "integer", new(int)
	default:
		s.Type = "number"
	}
	if !v.IsZero() || v.Kind() == reflect.Bool {
		s.Default = v.Interface()
	}
	return s
}

// Texts with a form of their own.
const (
	durationPattern = `^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$|^[0-9]+(\.[0-9]+)?[dw]$|^0$`
	sizePattern     = `^[0-9]+(\.[0-9]+)? *(B|kB|KB|KiB|MB|MiB|GB|GiB)?$`
	percentPattern  = `^[0-9]+(\.[0-9]+)? *%$`
	ratePattern     = `^[0-9]+(\.[0-9]+)? *(bit/s|kbit/s|Mbit/s|B/s|kB/s|MB/s)$`
)

// textual is the schema of what reads its text itself.
func textual(v reflect.Value) *schema {
	var s *schema
	switch v.Interface().(type) {
	case probes.Duration:
		s = &schema{AnyOf: []*schema{{Type: "string", Pattern: durationPattern}, {Const: 0}}}
	case probes.Size:
		s = &schema{Type: []string{"string", "integer"}, Pattern: sizePattern, Minimum: new(int)}
	case probes.OrNumber:
		s = &schema{Type: []string{"string", "integer"}}
	case Percent:
		s = &schema{Type: "string", Pattern: percentPattern}
	case Bitrate:
		s = &schema{Type: "string", Pattern: ratePattern}
	case snmpVersion:
		return &schema{AnyOf: []*schema{{Enum: []string{"1", "2c", "3", "v1", "v2c", "v3"}}, {Const: 1}, {Const: 3}}}
	default:
		s = &schema{Type: "string"}
	}
	if text, ok := v.Interface().(encoding.TextMarshaler); ok && !v.IsZero() {
		if b, err := text.MarshalText(); err == nil {
			s.Default = strings.Replace(string(b), "m0s", "m", 1)
		}
	}
	if size, ok := v.Interface().(probes.Size); ok && size == 0 {
		s.Default = nil
	}
	return s
}
