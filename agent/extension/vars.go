package extension

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// variable is a value that a configuration may give.
type variable struct {
	id, displayName, description string
	kind                         string // text, multiline-text, enum or, in old packages, pattern
	otherwise                    string
	required                     bool
	maxLength                    int            // characters; 0: not limited
	pattern                      *regexp.Regexp // nil: any
	choices                      []string       // of an enum
}

var (
	variableTypes = []string{"", "text", "multiline-text", "enum", "pattern", "variable"}
	choiceKeys    = []string{"value", "displayName"}
)

func (p *manifestParser) vars(o object) []variable {
	var all []variable
	for _, v := range p.items(o, "vars") {
		made := p.variable(p.object(v, variableKeys))
		if made.id != "" && p.declared[made.id] {
			p.refuse(ruleVariable, v.field("id"), join(v.path, "id"), "the variable "+strconv.Quote(made.id)+" is declared twice; leave one out")
			continue
		}
		p.declared[made.id] = true
		all = append(all, made)
	}
	return all
}

func (p *manifestParser) variable(o object) variable {
	made := variable{
		id:          o.text("id"),
		displayName: o.text("displayName"),
		description: o.text("description"),
		kind:        o.text("type"),
		otherwise:   o.label("defaultValue"),
		required:    o.flag("required", false),
		maxLength:   o.integer("maxLength", 1, maxVariable, maxVariable),
		pattern:     p.pattern(o),
	}
	if made.id == "" {
		o.missing("id", "the id of the variable")
	}
	if at, _ := o.get("type"); !slices.Contains(variableTypes, made.kind) {
		p.remark(ruleVariable, at.node, at.path, "found "+strconv.Quote(made.kind)+", expected text, multiline-text or enum")
	}
	for _, v := range p.items(o, "availableValues") {
		choice := p.object(v, choiceKeys)
		if _, ok := choice.get("value"); !ok {
			choice.missing("value", "a text")
		}
		choice.text("displayName")
		made.choices = append(made.choices, choice.label("value"))
	}
	if wrong := made.wrong(made.otherwise); wrong != "" {
		at, _ := o.get("defaultValue")
		p.remark(ruleVariable, at.node, at.path, wrong)
	}
	return made
}

// pattern reads what values have to look like. One that is not in the syntax of
// Go cannot be held against values.
func (p *manifestParser) pattern(o object) *regexp.Regexp {
	text := o.text("pattern")
	if text == "" {
		return nil
	}
	made, err := regexp.Compile(text)
	if err != nil {
		at, _ := o.get("pattern")
		p.remark(ruleVariable, at.node, at.path, "values are not held against this pattern, expected a regular expression in the syntax of RE2")
	}
	return made
}

// wrong tells why the variable cannot have a value, "" where it can. It never
// shows the value.
func (v *variable) wrong(value string) string {
	length := utf8.RuneCountInString(value)
	switch {
	case value == "":
		return ""
	case v.maxLength > 0 && length > v.maxLength:
		return fmt.Sprintf("found %d characters, expected at most %d", length, v.maxLength)
	case v.kind == "enum" && len(v.choices) > 0 && !slices.Contains(v.choices, value):
		return "found another value, expected " + inWords(v.choices, "or")
	case v.pattern != nil && !v.pattern.MatchString(value):
		return "does not match the pattern that the package asks for, " + v.pattern.String()
	}
	return ""
}
