package mint

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes"
)

func TestAppendMetadata(t *testing.T) {
	for _, tt := range []struct {
		m    probes.Metadata
		want string // "": an error
	}{
		{
			probes.Metadata{Key: "rack.load", Type: probes.Gauge, Unit: "%", DisplayName: "Load", Description: "of one minute"},
			`#rack.load gauge dt.meta.displayName="Load",dt.meta.description="of one minute",dt.meta.unit="%"`,
		},
		{probes.Metadata{Key: "rack.bytes", Type: probes.Count, Unit: "Byte"}, `#rack.bytes count dt.meta.unit="Byte"`},
		{probes.Metadata{Key: "rack load", Type: probes.Gauge, Unit: "x"}, `#rack_load gauge dt.meta.unit="x"`},
		{probes.Metadata{Key: "a.b", Type: probes.Gauge, DisplayName: "a \"b\" \\ c\nd\xff"}, `#a.b gauge dt.meta.displayName="a \"b\" \\ c d "`},
		{probes.Metadata{Key: "", Type: probes.Gauge, Unit: "x"}, ""},
		{probes.Metadata{Key: "dt.host", Type: probes.Gauge, Unit: "x"}, ""},
		{probes.Metadata{Key: "a.b", Unit: "x"}, ""},
	} {
		got, err := AppendMetadata([]byte("before "), tt.m)
		if (err == nil) != (tt.want != "") || strings.TrimPrefix(string(got), "before ") != tt.want {
			t.Errorf("%+v: %q, %v; want %q", tt.m, got, err, tt.want)
		}
	}
	if got, err := AppendMetadata(nil, probes.Metadata{Key: "a.b", Type: probes.Gauge}); err != nil || len(got) != 0 {
		t.Errorf("nothing to tell: %q, %v", got, err)
	}
}

// What is written is what the environment reads.
func FuzzAppendMetadata(f *testing.F) {
	f.Add("a.b", "name", "a \"long\" \\ text", "%")
	f.Fuzz(func(t *testing.T, key, name, description, unit string) {
		line, err := AppendMetadata(nil, probes.Metadata{Key: key, Type: probes.Count, DisplayName: name, Description: description, Unit: unit})
		if err != nil || len(line) == 0 {
			return
		}
		m, err := draintest.ParseMetadata(string(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, p := range m.Properties {
			given := map[string]string{"dt.meta.displayName": name, "dt.meta.description": description, "dt.meta.unit": unit}[p.Key]
			odd := strings.ContainsFunc(given, func(r rune) bool { return r == utf8.RuneError || control(r, utf8.RuneLen(r)) })
			if !odd && len(given) < maxMetadata && p.Value != given {
				t.Errorf("%q was read as %q", given, p.Value)
			}
		}
	})
}
