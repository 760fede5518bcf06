package otlp_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

// record is a log record of any form.
func record(rng *rand.Rand) probes.Record {
	r := probes.Record{
		Stamp: probes.Stamp{Wall: stamp + rng.Int64N(1e9)}, Content: strings.Repeat("link down ", rng.IntN(30)),
		Severity: []string{"", "INFO", "warn", "ERROR", "odd"}[rng.IntN(5)],
	}
	for i := range rng.IntN(6) {
		r.Attributes = append(r.Attributes, dim(fmt.Sprintf("key.%d", i), strings.Repeat("välue", rng.IntN(40))))
		r.Numbers = append(r.Numbers, probes.Number{Key: fmt.Sprintf("number.%d", i), Value: []probes.Value{
			probes.Int(-rng.Int64()), probes.Uint(rng.Uint64()), probes.Float(rng.NormFloat64()), probes.Float(math.NaN()), {},
		}[rng.IntN(5)]})
	}
	return r
}

func TestRecords(t *testing.T) {
	records := []probes.Record{
		{
			Stamp: probes.Stamp{Wall: stamp}, Severity: "WARN", Content: "port 3 is down",
			Attributes: []probes.Dimension{dim("site", "plant-7"), dim("device", "sw1"), dim("none", "")},
			Numbers:    []probes.Number{{Key: "rx", Value: probes.Uint(7)}, {Key: "temp", Value: probes.Float(-2.5)}, {Key: "low", Value: probes.Int(math.MinInt64)}, {Key: "big", Value: probes.Uint(math.MaxUint64)}},
		},
		{Content: "when?\xff", Severity: "strange"},
	}
	request := otlp.AppendLogs([]byte("kept"), records, otlp.Options{Resource: options.Resource, Observed: stamp + 5})
	got, err := draintest.ParseOTLPLogs(request[4:])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]draintest.Record{
		{
			Timestamp: stamp, Content: "port 3 is down", Severity: "WARN", Attributes: map[string]string{"device": "sw1"},
			Numbers: map[string]json.Number{"rx": "7", "temp": "-2.5", "low": "-9223372036854775808", "big": "1.8446744073709552e+19"},
		},
		{Timestamp: stamp + 5, Content: "when?\ufffd", Severity: "strange"},
	})
	if fmt.Sprint(got) != want {
		t.Errorf("read\n%v\nwant\n%v", got, want)
	}
	if text := string(request); strings.Count(text, "plant-7") != 1 || strings.Count(text, "log.source") != 1 {
		t.Errorf("the resource is not told once: %q", text)
	}
	if got := otlp.AppendLogs(nil, nil, options); len(got) != 0 {
		t.Errorf("no records are %d bytes", len(got))
	}
}

// TestRecordOfAnotherSite makes sure that what records say differently is said
// by each of them, and by the resource no longer.
func TestRecordOfAnotherSite(t *testing.T) {
	records := []probes.Record{
		{Content: "a", Attributes: []probes.Dimension{dim("site", "other")}},
		{Content: "b"},
		{Content: "c", Attributes: []probes.Dimension{dim("site", "plant-7"), dim("x", "y")}},
		{Content: "d", Numbers: []probes.Number{{Key: "service.version", Value: probes.Int(2)}}},
	}
	got, err := draintest.ParseOTLPLogs(otlp.AppendLogs(nil, records, options))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]string{
		{"site": "other", "service.version": "1.2.3"},
		{"site": "plant-7", "service.version": "1.2.3"},
		{"site": "plant-7", "service.version": "1.2.3", "x": "y"},
		{"site": "plant-7"},
	} {
		if !maps.Equal(got[i].Attributes, want) {
			t.Errorf("record %d has %v, want %v", i, got[i].Attributes, want)
		}
	}
}

// FuzzRecord lets the stand-in environment read one record of any text.
func FuzzRecord(f *testing.F) {
	f.Add("content", "ERROR", "site", "plant-7", "rx", int64(5), 0.5, stamp)
	f.Add("", "\xff", "\xff", "\n", "log.source", int64(math.MinInt64), math.Inf(1), int64(-1))
	f.Add("x", "", "a", "", "site", int64(0), 0.5, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, content, severity, key, value, name string, i int64, x float64, ms int64) {
		if clean(key) == clean(name) || name == "2" || clean(key) == "2" {
			return // that each name comes once is the caller's part
		}
		r := probes.Record{
			Stamp: probes.Stamp{Wall: ms}, Severity: severity, Content: content, Attributes: []probes.Dimension{dim(key, value)},
			Numbers: []probes.Number{{Key: name, Value: probes.Int(i)}, {Key: "2", Value: probes.Float(x)}},
		}
		got, err := draintest.ParseOTLPLogs(otlp.AppendLogs(nil, []probes.Record{r}, options))
		if err != nil || len(got) != 1 {
			t.Fatalf("read %v, %v", got, err)
		}
		g := got[0]
		if g.Content != clean(content) || g.Severity != clean(severity) {
			t.Fatalf("read %+v", g)
		}
		if ms > 0 && ms <= math.MaxInt64/1_000_000 && g.Timestamp != ms {
			t.Fatalf("its time is %d", g.Timestamp)
		}
		if kept, ok := g.Attributes[clean(key)]; key != "" && value != "" && dim(key, value) != options.Resource[0] && (!ok || kept != clean(value)) && !shared(key, value) {
			t.Fatalf("%q is %q", key, kept)
		}
		if name != "" && g.Numbers[clean(name)] != json.Number(fmt.Sprint(i)) {
			t.Fatalf("%q is %q", name, g.Numbers[clean(name)])
		}
		if _, ok := g.Numbers["2"]; ok != (!math.IsNaN(x) && !math.IsInf(x, 0)) {
			t.Fatalf("%v is %q", x, g.Numbers["2"])
		}
	})
}

// shared reports what the resource says by itself.
func shared(key, value string) bool {
	return key+"="+value == "service.name=edgehold" || key+"="+value == "service.version=1.2.3" || key+"="+value == "log.source=edgehold"
}

func clean(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
