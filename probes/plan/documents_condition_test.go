package plan

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParseCondition(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"$eq(path:state,ERROR)", "$eq(path:state,ERROR)"},
		{" $and( $lt( path:a.b , 20 ) , $not($exists(path:c)) ) ", "$and($lt(path:a.b,20),$not($exists(path:c)))"},
		{"$or($ge(size:a[],3),$gt(path:x,-1.5e3),$le(path:y,var:limit))", "$or($ge(size:a[],3),$gt(path:x,-1.5e3),$le(path:y,var:limit))"},
		{`$contains(path:s[name=a].v,"a, (b) ~"c~" ~~")`, `$contains(path:s[name="a"].v,"a, (b) ~"c~" ~~")`},
		{`$eq(path:"a,b",x)`, `$eq(path:"a,b",x)`},
		{`$eq("path:~"a,b~"",x)`, `$eq(path:"a,b",x)`},
		{`$eq(path:$.a,"")`, `$eq(path:$.a,)`},
		{`$eq(path:a,"var:x")`, `$eq(path:a,"var:x")`},
		{`$prefix(this:key,a b)`, `$prefix(this:key,a b)`},
		{`$suffix(var:v,(x))`, `$suffix(var:v,(x))`},
	} {
		made, err := ParseCondition(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		want, err := ParseCondition(c.want)
		if err != nil || !sameCondition(made, want) {
			t.Errorf("%s: reads as %s, want %s (%v)", c.text, made, c.want, err)
		}
		again, err := ParseCondition(made.String())
		if err != nil || !sameCondition(made, again) {
			t.Errorf("%s: writes %s, which reads as %s, %v", c.text, made, again, err)
		}
	}
}

// sameCondition takes a NaN for itself.
func sameCondition(a, b *Condition) bool {
	if len(a.Parts) != len(b.Parts) {
		return false
	}
	for i := range a.Parts {
		if !sameCondition(a.Parts[i], b.Parts[i]) {
			return false
		}
	}
	x, y := *a, *b
	if math.IsNaN(x.Bound) && math.IsNaN(y.Bound) {
		x.Bound, y.Bound = 0, 0
	}
	x.Parts, y.Parts = nil, nil
	return reflect.DeepEqual(x, y)
}

func TestParseConditionErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "position 1: found the end, expected $eq"},
		{"path:a", "expected $eq"},
		{"$is(path:a,1)", "position 1: unknown word $is"},
		{"$eq", "expected ("},
		{"$eq(path:a)", "found ')', expected ,"},
		{"$eq(a,b)", `in $eq: found "a", expected path:`},
		{"$lt(path:a,warm)", `found "warm" in $lt, expected a number`},
		{"$lt(path:a,NaN)", "expected a number"},
		{"$lt(path:a,1e999)", "expected a number"},
		{"$lt(path:a,)", "expected a number"},
		{"$lt(path:a,var:)", "found var: without a name"},
		{"$and($exists(path:a))", "$and has one argument"},
		{"$not($exists(path:a),$exists(path:b))", "expected )"},
		{"$exists(path:a) x", "after the end"},
		{"$eq(path:a,b", "no end"},
		{`$eq(path:a,"b)`, "closing quote"},
		{"$eq($eq(path:a,b),c)", "found '$'"},
		{strings.Repeat("$not(", 30) + "$exists(path:a)" + strings.Repeat(")", 30), "nested more than 20 deep"},
	} {
		_, err := ParseCondition(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestConditionResolve(t *testing.T) {
	c, err := ParseCondition("$and($lt(path:a,var:low),$eq(path:b,var:word),$eq(var:word,x))")
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.Resolve(map[string]string{"low": " 20 ", "word": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := made.String(); got != "$and($lt(path:a,20),$eq(path:b,x),$eq(const:x,x))" {
		t.Errorf("resolved to %s", got)
	}
	if c.Parts[0].Var != "low" {
		t.Error("the condition of the package was changed")
	}
	if _, err := c.Resolve(map[string]string{"low": "warm"}); err == nil || !strings.Contains(err.Error(), "variable low") {
		t.Errorf("a word for a number: %v", err)
	}
}

func TestDocNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, " -1.5 ": true, "1e3": true, "+2": true, ".5": true, "007": true,
		"": false, "NaN": false, "Inf": false, "0x10": false, "1_000": false, "1,5": false, "e": false, "-": false, "1 2": false, "1e999": false, "5 V": false,
	} {
		if _, ok := DocNumber(text); ok != want {
			t.Errorf("%q: %v, want %v", text, ok, want)
		}
	}
}

// FuzzCondition holds that what a condition writes reads as the same one.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		"$and($lt(path:a.b,20),$not($exists(path:c)))", `$eq(path:"a,b","~"")`, "$or($ge(size:a[],3),$le(path:y,var:limit))", `$eq(path:a,"var:x")`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil || len(c.String()) > maxFilterText {
			return
		}
		again, err := ParseCondition(c.String())
		if err != nil || !sameCondition(c, again) {
			t.Fatalf("%q writes %q, which reads as %v, %v", text, c.String(), again, err)
		}
	})
}
