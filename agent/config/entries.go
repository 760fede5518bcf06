package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// probes decodes each entry into the options of its kind.
func (c *checker) probes(entries []*node) []Probe {
	var out []Probe
	for i, n := range entries {
		at := fmt.Sprintf("probes[%d]", i)
		if n.shape != table {
			c.wrong(n, at, "a map such as {kind: snmp, ...}")
			continue
		}
		kind, ok := c.kind(n, at, i)
		if !ok {
			continue
		}
		before := len(c.errs)
		options := c.options(n, at, kind)
		if c.values > maxValues {
			break
		}
		if len(c.errs) > before {
			continue
		}
		out = append(out, Probe{Kind: kind.Name, Options: options, Where: n.where(), Path: at})
	}
	return out
}

func (c *checker) kind(n *node, at string, i int) (probes.Kind, bool) {
	names := make([]string, len(c.kinds))
	for j, k := range c.kinds {
		names[j] = k.Name
	}
	f := n.get("kind")
	if f == nil {
		c.need("kind: "+strings.Join(names, ", kind: "), "probes", fmt.Sprintf("[%d]", i), "kind")
		return probes.Kind{}, false
	}
	var name string
	before := len(c.errs)
	c.decode(f.value, at+".kind", reflect.ValueOf(&name).Elem())
	j := slices.Index(names, name)
	if j >= 0 {
		return c.kinds[j], true
	}
	if len(c.errs) == before {
		e := Error{Found: "unknown kind", Nearest: nearest(name, names)}
		if showable(at, name) {
			e.Found = fmt.Sprintf("unknown kind %q", name)
		}
		if e.Nearest == "" {
			e.Expected = "one of " + strings.Join(names, ", ")
		}
		c.fail(f.value, at+".kind", e)
	}
	return probes.Kind{}, false
}

func (c *checker) options(n *node, at string, kind probes.Kind) any {
	options := kind.Options()
	rest := *n
	rest.index = nil
	rest.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool { return f.key == "kind" })
	before := len(c.errs)
	c.decode(&rest, at, reflect.ValueOf(options).Elem())
	if f, ok := options.(probes.FileOptions); ok {
		f.ResolveFiles(func(path string) string { return absolute(c.base, path) })
	}
	checked, ok := options.(probes.Checker)
	if !ok || len(c.errs) > before || c.values > maxValues {
		return options
	}
	for _, err := range checked.Check() {
		c.optionFault(n, at, fieldError{known(reflect.TypeOf(options).Elem()), err.Error()})
	}
	return options
}

// fieldError is what options say of themselves, beginning with the field:
// "devices[1]: ...".
type fieldError struct {
	keys []string
	text string
}

var fieldName = regexp.MustCompile(`^([A-Za-z0-9_]+)(?:\[(\d+)\])?: `)

// optionFault finds the place of the field that an error names.
func (c *checker) optionFault(n *node, at string, e fieldError) {
	m := fieldName.FindStringSubmatch(e.text)
	if m == nil || !slices.Contains(e.keys, m[1]) {
		c.fail(n, at, Error{Found: e.text})
		return
	}
	path := join(at, m[1])
	if m[2] != "" {
		path += "[" + m[2] + "]"
	}
	if f := n.get(m[1]); f != nil {
		n = f.value
		if i, err := strconv.Atoi(m[2]); err == nil && i < len(n.items) {
			n = n.items[i]
		}
	}
	c.fail(n, path, Error{Found: strings.TrimPrefix(e.text, m[0])})
}
