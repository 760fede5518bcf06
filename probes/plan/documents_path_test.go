package plan

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseDocPath(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{".", "."},
		{"$", "$"},
		{"$.a", "$.a"},
		{"$[]", "$[]"},
		{"[]", "[]"},
		{"[2]", "[2]"},
		{"[-1].x", "[-1].x"},
		{"a.b[].c", "a.b[].c"},
		{"devices[]|nodes[]", "devices[]|nodes[]"},
		{"^.name", "^.name"},
		{"^.^[0]", "^.^[0]"},
		{"a.^.b", "a.^.b"},
		{`"a name.with dots"."q\"u\\o".x-y_z@1:2`, `"a name.with dots"."q\"u\\o".x-y_z@1:2`},
		{"s[name=temp 1].value", `s[name="temp 1"].value`},
		{`s[name="a]b"].v`, `s[name="a]b"].v`},
		{"s[a.b=c|d].v", `s[a.b="c|d"].v`},
		{"s[n=]", `s[n=""]`},
		{"größe.名前", "größe.名前"},
		{"[007]", "[7]"},
	} {
		path, err := ParseDocPath(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := path.String(); got != c.want {
			t.Errorf("%s: reads as %s, want %s", c.text, got, c.want)
		}
	}
}

func TestParseDocPathErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "position 1: found the end, expected a name"},
		{"a.", "position 3: found the end, expected a name"},
		{"a|", "position 3: found the end, expected a name"},
		{"|a", "position 1: found '|', expected a name"},
		{".a", "position 2: found 'a' after a point that stands alone"},
		{"a b", "position 2: found ' ', expected a point, [ or |"},
		{"a$b", "position 2: found '$', expected a point"},
		{"a.$", "position 3: found '$', expected a name"},
		{"$a", "position 2: found 'a', expected a point"},
		{"a[", "position 3: found the end, expected a name"},
		{"a[x", "position 4: found the end, expected [], [number] or [key=text]"},
		{"a[x]", "position 4: found ']', expected [], [number] or [key=text]"},
		{"a[x=1", "position 5: found '1', expected ]"},
		{"a[=1]", "position 3: found '=', expected a name"},
		{"ä[1.5]", "position 6: found ']', expected [], [number] or [key=text]"},
		{`"a`, "no end, expected a closing quote"},
		{`a[x="b]`, "no end, expected a closing quote"},
		{"a^", "position 2: found '^', expected a point"},
		{strings.Repeat("a", 1001), "1001 bytes long, expected at most 1000"},
		{strings.Repeat("a.", 60) + "a", "more than 50 steps"},
		{strings.Repeat("a|", 11) + "a", "more than 10 ways"},
	} {
		_, err := ParseDocPath(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestDocPathSeveral(t *testing.T) {
	for text, want := range map[string]bool{"a.b": false, "a[0]": false, "a[n=1].b": false, "a[].b": true, "a|b[]": true} {
		path, err := ParseDocPath(text)
		if err != nil || path.Several() != want {
			t.Errorf("%s: several is %v, %v", text, path.Several(), err)
		}
	}
}

func TestParseDocValue(t *testing.T) {
	for _, text := range []string{
		"path:a.b", "size:a[]", "const:", "const:a:b c", "var:x", "this:key", "this:device.address", "this:device.port", "this:endpoint", "this:site",
	} {
		v, err := ParseDocValue(text)
		if err != nil || v.String() != text {
			t.Errorf("%s: reads as %s, %v", text, v.String(), err)
		}
	}
	for text, want := range map[string]string{
		"":          "expected path:",
		"a.b":       "expected path:",
		"oid:1.3":   "expected path:",
		"this:name": "expected this:key",
		"path:a..b": "position 3",
	} {
		if _, err := ParseDocValue(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestDocText(t *testing.T) {
	vars := map[string]string{"v": `x"y`}
	for text, want := range map[string]string{
		"":                       "",
		"plain } text $ {":       "plain } text $ {",
		"a ${var:v} b":           `a <x"y> b`,
		"${const:c}${var:other}": "c<>",
		`${path:"}"}!`:           "!",
	} {
		made, err := ParseDocText(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := made.Fill(vars, func(s string) string { return "<" + s + ">" }); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"${", "a ${path:b", "${b}", "${path:}"} {
		if _, err := ParseDocText(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// FuzzDocPath holds that what a path writes reads as the same path.
func FuzzDocPath(f *testing.F) {
	for _, text := range []string{"a.b[].c", "$[2]|^.x", `"a b"[x.y="z"]`, ".", "[-1]", `"\\"`, "a[b=c]|d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := ParseDocPath(text)
		if err != nil {
			return
		}
		again, err := ParseDocPath(path.String())
		if len(path.String()) > maxPathText {
			return // quotes may make it longer than is allowed
		}
		if err != nil || !reflect.DeepEqual(path, again) {
			t.Fatalf("%q writes %q, which reads as %#v, %v", text, path.String(), again, err)
		}
		for _, way := range path {
			if len(way) > maxPathSteps {
				t.Fatalf("%q has %d steps", text, len(way))
			}
		}
	})
}
