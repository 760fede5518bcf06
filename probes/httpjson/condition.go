package httpjson

import (
	"math"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// holds tells whether a condition is true for the item.
func (s *scope) holds(c *plan.Condition) bool {
	switch c.Op {
	case plan.OpNot:
		return !s.holds(c.Parts[0])
	case plan.OpAnd, plan.OpOr:
		for _, part := range c.Parts {
			if s.holds(part) != (c.Op == plan.OpAnd) {
				return c.Op == plan.OpOr
			}
		}
		return c.Op == plan.OpAnd
	case plan.OpExists:
		return s.exists(&c.Value)
	}
	return s.compares(c)
}

func (s *scope) exists(v *plan.DocValue) bool {
	if v.Kind == plan.DocFromPath {
		_, ok := s.one(v.Path)
		return ok
	}
	_, ok := s.text(v)
	return ok
}

// compares looks at the values of a path until one fits. No value is the empty
// text.
func (s *scope) compares(c *plan.Condition) bool {
	if c.Value.Kind != plan.DocFromPath {
		text, _ := s.text(&c.Value)
		return fits(c, text)
	}
	fitting, any := false, false
	look := func(at uint32) bool {
		if text, ok := s.plain(at); ok {
			any = true
			fitting = fits(c, text)
		}
		return !fitting
	}
	s.each(c.Value.Path, func(p place) bool {
		if s.doc.values[p.at].kind == kindList {
			return s.entries(p.at, look)
		}
		return look(p.at)
	})
	return fitting || !any && fits(c, "")
}

// fits holds one text against the condition.
func fits(c *plan.Condition, text string) bool {
	switch c.Op {
	case plan.OpEq:
		return text == c.Text || !math.IsNaN(c.Bound) && number(text) == c.Bound
	case plan.OpPrefix:
		return strings.HasPrefix(text, c.Text)
	case plan.OpSuffix:
		return strings.HasSuffix(text, c.Text)
	case plan.OpContains:
		return strings.Contains(text, c.Text)
	}
	n := number(text) // a NaN is false in each comparison
	switch c.Op {
	case plan.OpLt:
		return n < c.Bound
	case plan.OpLe:
		return n <= c.Bound
	case plan.OpGt:
		return n > c.Bound
	case plan.OpGe:
		return n >= c.Bound
	}
	return false
}

// number is the number of a text, NaN where it is none.
func number(text string) float64 {
	if n, ok := plan.DocNumber(text); ok {
		if f, err := strconv.ParseFloat(n, 64); err == nil {
			return f
		}
	}
	return math.NaN()
}
