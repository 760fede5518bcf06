package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/agent/config"
)

const schemaFile = "../../packaging/edgehold.schema.json"

// What is shipped for editors is what this program prints.
func TestSchemaIsShipped(t *testing.T) {
	s := run("check", "--schema")
	if s.code != exitOK || s.err != "" {
		t.Fatalf("exit code %d, %s", s.code, s.err)
	}
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(schemaFile, []byte(s.out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	// The one default that depends on the machine.
	if strings.ReplaceAll(s.out, `"256MiB"`, `"1GiB"`) != string(shipped) {
		t.Errorf("%s is not what `edgehold check --schema` prints; EDGEHOLD_UPDATE_GOLDEN=1 writes it", schemaFile)
	}
}

var commentedKey = regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`)

// soundDocuments are configurations that the schema takes.
func soundDocuments(t *testing.T) map[string]string {
	t.Helper()
	reference := string(config.Reference)
	docs := map[string]string{
		"reference.yaml": reference,
		"reference.yaml, with all that excludes another": commentedKey.ReplaceAllString(reference, "$1$2"),
		"nothing":     "",
		"empty parts": "probes:\nextensions:\ncredentials:\nuplink:\n  dynatrace:\n",
		"numbers":     "buffer: {commit_interval: 0, max_size: 1048576}\ncredentials: {a: {version: 3}, b: {version: 1}, c: {version: 2c}}\n",
	}
	files, err := filepath.Glob("../../packaging/examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range append(files, "../../packaging/edgehold.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		docs[filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name)] = string(text)
	}
	return docs
}

// badDocuments are configurations that it does not take.
var badDocuments = []string{
	"sites: x\n",
	"site: 7\n",
	"site_dimension: yes please\n",
	"uplink: {dynatrac: {}}\n",
	"uplink: {dynatrace: {token: dt0c01}}\n",
	"uplink: {dynatrace: {compression: zip}}\n",
	"uplink: {otlp: {token_scheme: Basic}}\n",
	"uplink: {mqtt: {codec: binary}}\n",
	"uplink: {mqtt: {brokers: mqtts://h}}\n",
	"uplink: {budget: {share: half}}\n",
	"uplink: {budget: {rate: 64kbit}}\n",
	"uplink: {profile: 5g}\n",
	"relay: {mqtt: {block_size: 64KiB}}\n",
	"buffer: {max_size: big}\n",
	"buffer: {max_size: -1}\n",
	"buffer: {commit_interval: 10}\n",
	"buffer: {commit_interval: 10 seconds}\n",
	"buffer: {late: keep}\n",
	"clock: [ntp]\n",
	"dimensions: {a: 7}\n",
	"trust: {categories: {network: {certificate: []}}}\n",
	"credentials: {a: {communty_file: c}}\n",
	"credentials: {a: {version: 4}}\n",
	"extensions: [{package: p}]\n",
	"extensions: [{package: p, configuration: c, identity: name}]\n",
	"probes: {kind: snmp}\n",
	"probes: [{devices: [192.0.2.1]}]\n",
	"probes: [{kind: smnp, devices: [192.0.2.1]}]\n",
	"probes: [{kind: snmp, device: 192.0.2.1}]\n",
	"probes: [{kind: snmp, interval: often}]\n",
	"polling: {max_in_flight: 1.5}\n",
	"log: {level: trace}\n",
	"log: {format: xml, level: info}\n",
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	// Into the types of JSON.
	b, err := json.Marshal(textKeys(doc))
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// textKeys makes texts of keys that YAML takes for numbers, as JSON has them.
func textKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		out := map[string]any{}
		for key, value := range v {
			out[fmt.Sprint(key)] = textKeys(value)
		}
		return out
	case map[string]any:
		for key, value := range v {
			v[key] = textKeys(value)
		}
	case []any:
		for i := range v {
			v[i] = textKeys(v[i])
		}
	}
	return v
}

func shippedSchema(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaTakesSoundFiles(t *testing.T) {
	s := shippedSchema(t)
	for name, text := range soundDocuments(t) {
		doc := parsed(t, text)
		if doc == nil {
			doc = map[string]any{}
		}
		if err := validate(s, doc, "$"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the schema refuses, the program refuses too.
func TestSchemaRefusesBadFiles(t *testing.T) {
	s := shippedSchema(t)
	path := filepath.Join(t.TempDir(), "e.yaml")
	for _, text := range badDocuments {
		if err := validate(s, parsed(t, text), "$"); err == nil {
			t.Errorf("the schema takes %s", text)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := config.Load(path, kinds())
		key := regexp.MustCompile(`[a-z_]+`).FindString(text)
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is refused as %v", text, err)
		}
	}
}

// An unknown key is refused wherever maps have known ones.
func TestSchemaKnowsAllKeys(t *testing.T) {
	s := shippedSchema(t)
	full := parsed(t, commentedKey.ReplaceAllString(string(config.Reference), "$1$2"))
	places := 0
	var plant func(at any, names bool)
	plant = func(at any, names bool) {
		switch at := at.(type) {
		case map[string]any:
			if !names {
				places++
				at["unknown_key"] = "x"
				if validate(s, full, "$") == nil {
					t.Errorf("an unknown key beside %v is taken", slices.Collect(keysOf(at)))
				}
				delete(at, "unknown_key")
			}
			for key, v := range at {
				plant(v, slices.Contains([]string{"credentials", "categories", "dimensions", "texts", "words", "corrections"}, key))
			}
		case []any:
			for _, v := range at {
				plant(v, false)
			}
		}
	}
	plant(full, false)
	if places < 20 {
		t.Errorf("only %d maps in the reference", places)
	}
}

func keysOf(m map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// validate is a second reader of the keywords that the schema uses. Another
// keyword is an error, so that none is used in vain.
func validate(s map[string]any, v any, at string) error {
	for word, arg := range s {
		var err error
		switch word {
		case "$schema", "title", "description", "default":
		case "type":
			err = validateType(arg, v)
		case "const":
			if !reflect.DeepEqual(arg, v) {
				err = fmt.Errorf("is not %v", arg)
			}
		case "enum":
			if !slices.ContainsFunc(arg.([]any), func(one any) bool { return reflect.DeepEqual(one, v) }) {
				err = fmt.Errorf("%v is none of %v", v, arg)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				err = fmt.Errorf("%q does not match %s", text, arg)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < arg.(float64) {
				err = fmt.Errorf("%v is less than %v", n, arg)
			}
		case "required":
			err = validateRequired(arg.([]any), v)
		case "properties", "additionalProperties":
			if word == "properties" || s["properties"] == nil {
				err = validateFields(s, v, at)
			}
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				if err == nil {
					err = validate(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))
				}
			}
		case "anyOf":
			err = validateAny(arg.([]any), v, at)
		default:
			err = fmt.Errorf("an unknown keyword %s", word)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

func validateType(arg, v any) error {
	words, several := arg.([]any)
	if !several {
		words = []any{arg}
	}
	n, number := v.(float64)
	is := map[any]bool{"null": v == nil, "number": number, "integer": number && n == math.Trunc(n)}
	_, is["string"] = v.(string)
	_, is["boolean"] = v.(bool)
	_, is["array"] = v.([]any)
	_, is["object"] = v.(map[string]any)
	if !slices.ContainsFunc(words, func(w any) bool { return is[w] }) {
		return fmt.Errorf("%v is no %v", v, arg)
	}
	return nil
}

func validateRequired(keys []any, v any) error {
	object, _ := v.(map[string]any)
	for _, key := range keys {
		if _, there := object[key.(string)]; object != nil && !there {
			return fmt.Errorf("%v is missing", key)
		}
	}
	return nil
}

func validateFields(s map[string]any, v any, at string) error {
	object, _ := v.(map[string]any)
	known, _ := s["properties"].(map[string]any)
	for key, value := range object {
		part, ok := known[key].(map[string]any)
		if !ok {
			if part, ok = s["additionalProperties"].(map[string]any); !ok {
				return fmt.Errorf("unknown key %s", key)
			}
		}
		if err := validate(part, value, at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func validateAny(parts []any, v any, at string) error {
	var first error
	for _, p := range parts {
		err := validate(p.(map[string]any), v, at)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

const pythonValidator = `
import json, sys, jsonschema
schema, good, bad = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
v = jsonschema.Draft202012Validator(schema)
for doc in good:
    for e in v.iter_errors(doc): sys.exit("refused: %s" % e)
for doc in bad:
    if v.is_valid(doc): sys.exit("taken: %s" % doc)
print("%d %d" % (len(good), len(bad)))
`

// The same by a validator of somebody else, where this machine has it.
func TestSchemaByAnotherValidator(t *testing.T) {
	python := ""
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if python == "" && exec.Command(name, "-c", "import jsonschema; jsonschema.Draft202012Validator").Run() == nil {
			python = name
		}
	}
	if python == "" {
		t.Skip("no Python with jsonschema 4 or newer here (package python3-jsonschema)")
	}
	good, bad := []any{}, []any{}
	for _, text := range soundDocuments(t) {
		if doc := parsed(t, text); doc != nil {
			good = append(good, doc)
		}
	}
	for _, text := range badDocuments {
		bad = append(bad, parsed(t, text))
	}
	in, err := json.Marshal([]any{shippedSchema(t), good, bad})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", pythonValidator)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%d %d\n", len(good), len(bad)); err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
