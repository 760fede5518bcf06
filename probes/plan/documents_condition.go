package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Condition is what raises an event: the words of a Filter, each about a value
// of its own, and comparisons of numbers.
type Condition struct {
	Op    ConditionOp
	Value DocValue
	Text  string  // what the value is held against
	Bound float64 // the same as a number; NaN where it is none
	Var   string  // the variable that gives Text; "" after Resolve
	Parts []*Condition
}

// ConditionOp is a word of a condition, without the dollar.
type ConditionOp string

// The words of a condition.
const (
	OpEq       ConditionOp = "eq"
	OpPrefix   ConditionOp = "prefix"
	OpSuffix   ConditionOp = "suffix"
	OpContains ConditionOp = "contains"
	OpLt       ConditionOp = "lt"
	OpLe       ConditionOp = "le"
	OpGt       ConditionOp = "gt"
	OpGe       ConditionOp = "ge"
	OpExists   ConditionOp = "exists"
	OpAnd      ConditionOp = "and"
	OpOr       ConditionOp = "or"
	OpNot      ConditionOp = "not"
)

const conditionWords = "$eq, $prefix, $suffix, $contains, $lt, $le, $gt, $ge, $exists, $and, $or or $not"

// numeric tells a comparison of numbers.
func (o ConditionOp) numeric() bool { return o == OpLt || o == OpLe || o == OpGt || o == OpGe }

// String writes the condition so that ParseCondition reads it back.
func (c *Condition) String() string {
	switch {
	case c == nil:
		return ""
	case c.Op == OpExists:
		return "$exists(" + quote(c.Value.String()) + ")"
	case c.Parts == nil && c.Var != "":
		return "$" + string(c.Op) + "(" + quoteValue(c.Value.String()) + ",var:" + c.Var + ")"
	case c.Parts == nil:
		return "$" + string(c.Op) + "(" + quoteValue(c.Value.String()) + "," + quoteText(c.Text) + ")"
	}
	texts := make([]string, len(c.Parts))
	for i, part := range c.Parts {
		texts[i] = part.String()
	}
	return "$" + string(c.Op) + "(" + strings.Join(texts, ",") + ")"
}

// quoteValue puts quotes around a value that would not survive without them.
func quoteValue(text string) string {
	if strings.Contains(text, ",") {
		return quoted(text)
	}
	return quote(text)
}

// quoteText does so for a text, which would else be taken for a variable.
func quoteText(text string) string {
	if strings.HasPrefix(text, "var:") {
		return quoted(text)
	}
	return quote(text)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer("~", "~~", `"`, `~"`).Replace(text) + `"`
}

// ParseCondition reads a condition such as
// $and($lt(path:stats.level,20),$not($eq(path:stats.state,OK))). Values and texts
// with a comma, a parenthesis, a quote or a dollar in them stand in double
// quotes, in which ~" is a quote and ~~ a tilde. Errors tell the position,
// counted in characters from 1.
func ParseCondition(text string) (*Condition, error) {
	if len(text) > maxFilterText {
		return nil, fmt.Errorf("condition is %d bytes long, expected at most %d", len(text), maxFilterText)
	}
	p := conditionParser{filterParser{scanner{what: "condition", text: text}}}
	c, err := p.condition(1)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, p.fail("found %s after the end of the condition", p.found())
	}
	return c, nil
}

// conditionParser uses the words and quotes of filters.
type conditionParser struct{ filterParser }

func (p *conditionParser) fail(format string, args ...any) error {
	at := utf8.RuneCountInString(p.text[:p.pos]) + 1
	return fmt.Errorf("condition at position %d: %s", at, fmt.Sprintf(format, args...))
}

func (p *conditionParser) condition(depth int) (*Condition, error) {
	if depth > maxFilterDepth {
		return nil, p.fail("nested more than %d deep", maxFilterDepth)
	}
	p.space()
	start := p.pos
	if !p.take('$') {
		return nil, p.fail("found %s, expected %s", p.found(), conditionWords)
	}
	c := &Condition{Op: ConditionOp(p.name()), Bound: math.NaN()}
	if !p.take('(') {
		return nil, p.fail("found %s, expected (", p.found())
	}
	switch c.Op {
	case OpAnd, OpOr, OpNot:
		return c, p.group(c, depth)
	case OpExists:
		return c, p.subject(c, ')')
	case OpEq, OpPrefix, OpSuffix, OpContains, OpLt, OpLe, OpGt, OpGe:
		if err := p.subject(c, ','); err != nil {
			return nil, err
		}
		return c, p.object(c)
	}
	p.pos = start
	return nil, p.fail("unknown word $%s, expected %s", c.Op, conditionWords)
}

// group reads the conditions of $and, $or and $not.
func (p *conditionParser) group(c *Condition, depth int) error {
	for {
		part, err := p.condition(depth + 1)
		if err != nil {
			return err
		}
		c.Parts = append(c.Parts, part)
		if p.take(')') {
			break
		}
		if c.Op == OpNot || !p.take(',') {
			return p.fail("found %s in $%s, expected %s", p.found(), c.Op, separators(string(c.Op)))
		}
	}
	if c.Op != OpNot && len(c.Parts) < 2 {
		return p.fail("$%s has one argument, expected two or more", c.Op)
	}
	return nil
}

// subject reads the value that is looked at, and what ends it.
func (p *conditionParser) subject(c *Condition, end byte) error {
	text, _, err := p.part(end)
	if err != nil {
		return err
	}
	if c.Value, err = ParseDocValue(text); err != nil {
		return p.fail("in $%s: %s", c.Op, err)
	}
	return nil
}

// object reads what the value is held against.
func (p *conditionParser) object(c *Condition) error {
	text, plain, err := p.part(')')
	if err != nil {
		return err
	}
	if id, isVar := strings.CutPrefix(text, "var:"); isVar && plain {
		if c.Var = strings.TrimSpace(id); c.Var == "" {
			return p.fail("found var: without a name")
		}
		return nil
	}
	return p.hold(c, text)
}

func (p *conditionParser) hold(c *Condition, text string) error {
	if !c.against(text) {
		return p.fail("found %q in $%s, expected a number", text, c.Op)
	}
	return nil
}

// against sets the text, false where a number is needed and it is none.
func (c *Condition) against(text string) bool {
	c.Text, c.Bound = text, math.NaN()
	if n, ok := DocNumber(text); ok {
		if f, err := strconv.ParseFloat(n, 64); err == nil {
			c.Bound = f
		}
	}
	return !c.Op.numeric() || !math.IsNaN(c.Bound)
}

// part reads a bare or quoted text up to the byte that ends it. In a bare one
// there may be quoted names of a path.
func (p *conditionParser) part(end byte) (text string, plain bool, err error) {
	p.space()
	if strings.HasPrefix(p.text[p.pos:], `"`) {
		text, err = p.quoted('~')
		if err == nil && !p.take(end) {
			err = p.fail("found %s after the quoted text, expected %c", p.found(), end)
		}
		return text, false, err
	}
	start, open := p.pos, 0
	for ; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == '$' && p.pos == start:
			return "", false, p.fail("found %s, expected a value or a text; put a text that begins so in double quotes", p.found())
		case c == '"':
			if !p.skipName() {
				return "", false, p.fail("the quoted name has no end, expected a closing quote")
			}
		case c == end && open == 0:
			p.pos++
			return strings.TrimSpace(p.text[start : p.pos-1]), true, nil
		case c == '(':
			open++
		case c == ')':
			if open--; open < 0 {
				return "", false, p.fail("found ')', expected %c", end)
			}
		}
	}
	return "", false, p.fail("the text has no end, expected %c", end)
}

// skipName goes to the closing quote of a name, false where there is none.
func (p *conditionParser) skipName() bool {
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch p.text[p.pos] {
		case '\\':
			p.pos++
		case '"':
			return true
		}
	}
	p.pos = len(p.text)
	return false
}

// Resolve fills in the variables. The error says which one has to be a number.
func (c *Condition) Resolve(vars map[string]string) (*Condition, error) {
	made := *c
	made.Value = c.Value.Resolve(vars)
	if c.Var != "" {
		made.Var = ""
		if !made.against(strings.TrimSpace(vars[c.Var])) {
			return nil, fmt.Errorf("the condition compares with the variable %s, which is %q and no number", c.Var, vars[c.Var])
		}
	}
	made.Parts = nil
	for _, part := range c.Parts {
		resolved, err := part.Resolve(vars)
		if err != nil {
			return nil, err
		}
		made.Parts = append(made.Parts, resolved)
	}
	return &made, nil
}

// Each calls f for the condition and all below it.
func (c *Condition) Each(f func(*Condition)) {
	f(c)
	for _, part := range c.Parts {
		part.Each(f)
	}
}

// DocNumber tells whether a text is a decimal number and nothing else, and gives it
// without what stands around it.
func DocNumber(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789+-.eE") != "" || !strings.ContainsAny(text, "0123456789") {
		return "", false
	}
	_, err := strconv.ParseFloat(text, 64)
	return text, err == nil
}
