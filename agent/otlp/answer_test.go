package otlp_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/agent/otlp"
)

// field writes a field of a message with nothing but the standard library.
func field(number uint64, value any) []byte {
	switch v := value.(type) {
	case int64:
		return binary.AppendUvarint(binary.AppendUvarint(nil, number<<3), uint64(v))
	case string:
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, number<<3|2), uint64(len(v))), v...)
	}
	panic("neither number nor text")
}

func join(parts ...[]byte) string {
	var b strings.Builder
	for _, p := range parts {
		b.Write(p)
	}
	return b.String()
}

func TestAnswers(t *testing.T) {
	partial := join(field(1, int64(3)), field(2, "too old"))
	for _, c := range []struct {
		name, body string
		rejected   int64
		message    string
		bad        bool
	}{
		{name: "all taken"},
		{name: "partial success", body: join(field(1, partial)), rejected: 3, message: "too old"},
		{name: "a warning", body: join(field(1, join(field(2, "soon gone")))), message: "soon gone"},
		{name: "fields of later versions", body: join(field(9, "x"), field(1, join(field(7, int64(1)), []byte(partial))), field(5, int64(2))), rejected: 3, message: "too old"},
		{name: "in two pieces", body: join(field(1, partial), field(1, join(field(1, int64(4))))), rejected: 4, message: "too old"},
		{name: "text that is not UTF-8", body: join(field(1, join(field(2, "a\xffb")))), message: "a\ufffdb"},
		{name: "a sign-in page", body: "<!DOCTYPE html><html></html>", bad: true},
		{name: "JSON", body: `{"partialSuccess":{}}`, bad: true},
		{name: "cut", body: join(field(1, partial))[:5], bad: true},
		{name: "partial success that is a number", body: join(field(1, int64(1))), bad: true},
		{name: "count that is a text", body: join(field(1, join(field(1, "3")))), bad: true},
		{name: "message that is a number", body: join(field(1, join(field(2, int64(3))))), bad: true},
		{name: "less than none", body: join(field(1, join(field(1, int64(-1))))), bad: true},
	} {
		for _, parse := range []func([]byte) (int64, string, error){otlp.ParseMetricsAnswer, otlp.ParseLogsAnswer} {
			rejected, message, err := parse([]byte(c.body))
			if rejected != c.rejected || message != c.message || (err != nil) != c.bad {
				t.Errorf("%s: %d, %q, %v", c.name, rejected, message, err)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	code, message, err := otlp.ParseStatus([]byte(join(field(1, int64(14)), field(2, "try later"), field(3, "details"))))
	if code != 14 || message != "try later" || err != nil {
		t.Errorf("read %d, %q, %v", code, message, err)
	}
	for _, bad := range []string{"404 page not found\n", `{"error":{}}`, join(field(1, "x"))} {
		if code, message, err := otlp.ParseStatus([]byte(bad)); err == nil {
			t.Errorf("%q is read as %d, %q", bad, code, message)
		}
	}
}

// FuzzAnswer reads any bytes, and holds what was read against what it says
// when it is written anew; then it reads that it wrote itself.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(join(field(1, join(field(1, int64(3)), field(2, "too old"))))), int64(7), "text")
	f.Add([]byte("<html>"), int64(math.MinInt64), "\xff")
	f.Fuzz(func(t *testing.T, body []byte, n int64, text string) {
		again := func(n int64, text string) (int64, string, error) {
			return otlp.ParseMetricsAnswer([]byte(join(field(1, join(field(2, text), field(1, n))))))
		}
		rejected, message, err := otlp.ParseMetricsAnswer(body)
		if err == nil {
			if n, text, err := again(rejected, message); n != rejected || text != message || err != nil || n < 0 || !utf8.ValidString(text) {
				t.Fatalf("%x: %d, %q and anew %d, %q, %v", body, rejected, message, n, text, err)
			}
		}
		got, word, err := again(n, text)
		if n < 0 && err == nil || n >= 0 && (err != nil || got != n || word != clean(text)) {
			t.Fatalf("%d, %q is read as %d, %q, %v", n, text, got, word, err)
		}
	})
}

// FuzzStatus does the same for errors.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(join(field(1, int64(14)), field(2, "try later"))), int32(-1), "text")
	f.Fuzz(func(t *testing.T, body []byte, n int32, text string) {
		if code, message, err := otlp.ParseStatus(body); err == nil && !utf8.ValidString(message) {
			t.Fatalf("%x: %d, %q", body, code, message)
		}
		code, message, err := otlp.ParseStatus([]byte(join(field(1, int64(n)), field(2, text))))
		if code != n || message != clean(text) || err != nil {
			t.Fatalf("%d, %q is read as %d, %q, %v", n, text, code, message, err)
		}
	})
}
