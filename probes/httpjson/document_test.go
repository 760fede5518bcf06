package httpjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// tree makes of a value what encoding/json would.
func (d *document) tree(n uint32) any {
	switch d.values[n].kind {
	case kindNull:
		return nil
	case kindBool:
		return string(d.raw(n)) == "true"
	case kindNumber:
		return json.Number(d.raw(n))
	case kindString, kindKey:
		return d.text(n)
	case kindList:
		all := []any{}
		for at := d.first(n); at < d.values[n].next; at = d.after(at) {
			all = append(all, d.tree(at))
		}
		return all
	}
	all := map[string]any{}
	for at := d.first(n); at < d.values[n].next; at = d.after(at) {
		all[d.text(at-1)] = d.tree(at)
	}
	return all
}

func decode(t *testing.T, body []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParse(t *testing.T) {
	for _, text := range []string{
		`1`, `"a"`, `null`, `true`, ` [ ] `, `{}`, `[[],{}]`, `[1,[2,3],{"a":[4]},5]`,
		`{"a":{"b":null,"c":{}},"d":[true,false]}`, `{"a":1,"a":2}`, `{"":"","é\n\"\\":"\ud83d\ude00"}`,
		`[-1.5e+300,1E5,0.1,18446744073709551615,123456789012345678901234567890]`, "\xef\xbb\xbf[1]", "[\"\xff\xfe\"]", `["\ud800"]`,
		"{\r\n\t\"a\" : [ 1 , 2 ]\r\n}",
	} {
		d, err := parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, want := d.tree(0), decode(t, []byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read as %#v, want %#v", text, got, want)
		}
	}
}

func TestParseHostile(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	for _, c := range []struct {
		name, text, want string
	}{
		{"empty", "  \n", "the answer is empty"},
		{"truncated", `[{"a":1},{"b":`, "unexpected end of JSON input"},
		{"page", `<html><body>Login</body></html>`, "the answer is HTML or XML, not JSON"},
		{"nan", `[NaN]`, "invalid character 'N'"},
		{"two", `{} {}`, "after top-level value"},
		{"comma", `[1,]`, "invalid character ']'"},
		{"deep list", nested(65), "nested more than 64 deep"},
		{"deep object", objects, "nested more than 64 deep"},
		{"very deep", nested(100_000), "max depth"},
		{"many", "[" + strings.Repeat("0,", maxValues) + "0]", "more than 1000000 values"},
	} {
		_, err := parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := parse([]byte(nested(64))); err != nil {
		t.Errorf("64 levels: %v", err)
	}
}

// FuzzDocument holds what is read against encoding/json.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{`[{"a":1,"b":[true,null]},"x"]`, `{"a":{"a":{}},"a":[]}`, `"\u00e9"`, `[1e400,-0]`, "\xef\xbb\xbf1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := parse(body)
		if errors.Is(err, errDeep) || errors.Is(err, errMany) {
			return
		}
		plain := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
		if valid := json.Valid(plain); valid != (err == nil) {
			t.Fatalf("valid %v, error %v", valid, err)
		}
		if err != nil {
			return
		}
		if got, want := d.tree(0), decode(t, body); !reflect.DeepEqual(got, want) {
			t.Fatalf("read as %#v, want %#v", got, want)
		}
		for n, v := range d.values[1:] {
			if v.parent > uint32(n) || v.next > uint32(len(d.values)) {
				t.Fatalf("value %d of %d: parent %d, next %d", n+1, len(d.values), v.parent, v.next)
			}
		}
	})
}
