package privacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

const testSalt = "0123456789abcdef0123"

// hashed is what a value becomes, found out in another way.
func hashed(value string) string {
	mac := hmac.New(sha256.New, []byte(testSalt))
	_, _ = mac.Write([]byte(value))
	return fmt.Sprintf("%x", mac.Sum(nil))[:16]
}

func policyOf(rules ...Rule) *Policy { return New(rules, []byte(testSalt)) }

func dimsOf(pairs ...string) (dims []probes.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		dims = append(dims, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
	}
	return dims
}

func text(dims []probes.Dimension) string {
	var parts []string
	for _, d := range dims {
		parts = append(parts, d.Key+"="+d.Value)
	}
	return strings.Join(parts, " ")
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"site", "site", true},
		{"site", "sites", false},
		{"site", "Site", true},
		{"SITE", "site", true},
		{"*", "", true},
		{"*", "any", true},
		{"", "", true},
		{"", "a", false},
		{"device.*", "device.address", true},
		{"device.*", "device", false},
		{"*.address", "device.address", true},
		{"*user*", "if.userName", true},
		{"if.?lias", "if.alias", true},
		{"if.?lias", "if.lias", false},
		{"a*b*c", "aXbXbXc", true},
		{"a*b*c", "aXcXb", false},
		{"**a", "a", true},
		{"a?", "a", false},
		{"a.b", "axb", false},
	} {
		if got := Match(c.glob, c.text); got != c.want {
			t.Errorf("Match(%q, %q) is %v", c.glob, c.text, got)
		}
	}
}

// A glob takes what the regular expression of the same meaning takes.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a*b?c", "axxbyc"}, {"*", ""}, {"?*a*", "baab"}, {"*ab*ab", "ababab"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, glob, s string) {
		ascii := func(r rune) bool { return r > 127 }
		if strings.ContainsFunc(glob+s, ascii) || len(glob) > 30 {
			return
		}
		expr := regexp.QuoteMeta(strings.ToLower(glob))
		expr = strings.ReplaceAll(strings.ReplaceAll(expr, `\*`, ".*"), `\?`, ".")
		want := regexp.MustCompile("(?s)^" + expr + "$").MatchString(strings.ToLower(s))
		if got := Match(glob, s); got != want {
			t.Errorf("Match(%q, %q) is %v", glob, s, got)
		}
	})
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"none", nil, "Client User=ann device.address=192.0.2.1 if.alias=desk 4 site=plant"},
		{"drop", []Rule{{Dimension: "if.alias", Action: Drop}}, "Client User=ann device.address=192.0.2.1 site=plant"},
		{"hash", []Rule{{Dimension: "device.*", Action: Hash}}, "Client User=ann device.address=" + hashed("192.0.2.1") + " if.alias=desk 4 site=plant"},
		{"a constant", []Rule{{Dimension: "site", Action: Hash}}, "Client User=ann device.address=192.0.2.1 if.alias=desk 4 site=" + hashed("plant")},
		{"the name as it is sent", []Rule{{Dimension: "client_user", Action: Drop}}, "device.address=192.0.2.1 if.alias=desk 4 site=plant"},
		{"the name as it was given", []Rule{{Dimension: "client user", Action: Drop}}, "device.address=192.0.2.1 if.alias=desk 4 site=plant"},
		{"the first counts", []Rule{{Dimension: "if.*", Action: Hash}, {Dimension: "*", Action: Drop}}, "if.alias=" + hashed("desk 4")},
		{"of the metric", []Rule{{Dimension: "if.alias", Metric: "com.x.*", Action: Drop}}, "Client User=ann device.address=192.0.2.1 site=plant"},
		{"of another metric", []Rule{{Dimension: "if.alias", Metric: "com.y.*", Action: Drop}}, "Client User=ann device.address=192.0.2.1 if.alias=desk 4 site=plant"},
		{"all", []Rule{{Dimension: "*", Action: Drop}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := probes.NewSeries("com.x.load", probes.Gauge, dimsOf("site", "plant", "Client User", "ann", "device.address", "192.0.2.1", "if.alias", "desk 4")...)
			points := []probes.Point{{Series: s, Value: probes.Int(1)}}
			p := policyOf(c.rules...)
			var cache Cache
			got := cache.Points(p, points)
			if len(got) != 1 || text(got[0].Series.Dims()) != c.want {
				t.Fatalf("got %v, want %s", got, c.want)
			}
			if got[0].Series.Key() != "com.x.load" || got[0].Series.Type() != probes.Gauge || got[0].Value != probes.Int(1) {
				t.Errorf("got %+v", got[0])
			}
			untouched := text(s.Dims()) == c.want
			if untouched != (got[0].Series == s) {
				t.Error("a series that is not changed is another one, or the other way round")
			}
			for i, r := range p.Rules() {
				if r != c.rules[i] || untouched && p.Matched(i) != 0 || !untouched && p.Matched(0) == 0 {
					t.Errorf("rule %d: %+v has matched %d", i, r, p.Matched(i))
				}
			}
		})
	}
}

// Edgehold's own dimensions that repeat an address go with it.
func TestRepeats(t *testing.T) {
	p := policyOf(Rule{Dimension: "device.address", Action: Hash})
	s := probes.NewSeries("edgehold.snmp.up", probes.Gauge, dimsOf("endpoint", "192.0.2.1 generic", "device.address", "192.0.2.1", "interval", "1m")...)
	var cache Cache
	got := cache.Points(p, []probes.Point{{Series: s, Value: probes.Int(1)}})
	if want := "device.address=" + hashed("192.0.2.1") + " endpoint=" + hashed("192.0.2.1 generic") + " interval=1m"; text(got[0].Series.Dims()) != want {
		t.Errorf("got %s, want %s", text(got[0].Series.Dims()), want)
	}
}

// Without a policy nothing is touched, also where there was one before.
func TestNoPolicy(t *testing.T) {
	s := probes.NewSeries("k", probes.Gauge, dimsOf("a", "b")...)
	var cache Cache
	cache.Points(policyOf(Rule{Dimension: "a", Action: Drop}), []probes.Point{{Series: s, Value: probes.Int(1)}})
	got := cache.Points(nil, []probes.Point{{Series: s, Value: probes.Int(1)}})
	if got[0].Series != s {
		t.Error("the policy is gone and still changes series")
	}
	e := probes.Event{Title: "b", Properties: dimsOf("a", "b")}
	var none *Policy
	if r := none.Record(probes.Record{Attributes: dimsOf("a", "b")}); len(none.Event(e).Properties) != 1 || len(r.Attributes) != 1 {
		t.Error("no policy changes entries")
	}
}

func TestSame(t *testing.T) {
	r := Rule{Dimension: "a", Action: Hash, Where: "x:1"}
	p := policyOf(r)
	var none *Policy
	if !p.Same([]Rule{r}, []byte(testSalt)) || p.Same([]Rule{r}, []byte("x")) || p.Same(nil, []byte(testSalt)) || none.Same(nil, nil) {
		t.Error("Same is wrong")
	}
}

func TestEvent(t *testing.T) {
	e := probes.Event{
		Title:          "sw1 (192.0.2.1) lost 192.0.2.11, 7192.0.2.1 and 192.0.2.1",
		EntitySelector: `type("CUSTOM_DEVICE"),entityName.equals("192.0.2.1")`,
		Properties:     dimsOf("device.address", "192.0.2.1", "device.name", "sw1", "site", "plant"),
	}
	got := policyOf(Rule{Dimension: "device.address", Action: Hash}).Event(e)
	h := hashed("192.0.2.1")
	if got.Title != "sw1 ("+h+") lost 192.0.2.11, 7192.0.2.1 and "+h || !strings.Contains(got.EntitySelector, `equals("`+h+`")`) {
		t.Errorf("got %+v", got)
	}
	if text(got.Properties) != "device.address="+h+" device.name=sw1 site=plant" || text(e.Properties) != "device.address=192.0.2.1 device.name=sw1 site=plant" {
		t.Errorf("got %v, was %v", got.Properties, e.Properties)
	}
	got = policyOf(Rule{Dimension: "device.*", Action: Drop}).Event(e)
	if got.Title != "(removed) ((removed)) lost 192.0.2.11, 7192.0.2.1 and (removed)" || got.EntitySelector != "" || text(got.Properties) != "site=plant" {
		t.Errorf("got %+v", got)
	}
	// Rules of metrics do not concern events.
	if got := policyOf(Rule{Dimension: "*", Metric: "*", Action: Drop}).Event(e); got.Title != e.Title || len(got.Properties) != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestRecord(t *testing.T) {
	r := probes.Record{
		Content:    "user ann on port 7 of sw1",
		Attributes: dimsOf("user", "ann", "device", "sw1"),
		Numbers:    []probes.Number{{Key: "port", Value: probes.Int(7)}, {Key: "bytes", Value: probes.Uint(7000)}},
	}
	got := policyOf(Rule{Dimension: "user", Action: Drop}, Rule{Dimension: "port", Action: Hash}).Record(r)
	if got.Content != "user (removed) on port "+hashed("7")+" of sw1" || text(got.Attributes) != "device=sw1 port="+hashed("7") {
		t.Errorf("got %+v", got)
	}
	if want := r.Numbers[1:]; !slices.Equal(got.Numbers, want) {
		t.Errorf("numbers %v, want %v", got.Numbers, want)
	}
	if text(r.Attributes) != "user=ann device=sw1" || len(r.Numbers) != 2 {
		t.Error("the record of the probe was changed")
	}
}

func TestReplaceWord(t *testing.T) {
	for _, c := range [][4]string{
		{"abab ab", "ab", "X", "abab X"}, {"", "a", "X", ""}, {"a", "", "X", "a"}, {"ab.ab", "ab", "X", "X.X"}, {"äab ab", "ab", "X", "äab X"},
	} {
		if got := replaceWord(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%q becomes %q, want %q", c[0], got, c[3])
		}
	}
}
