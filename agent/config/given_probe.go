package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

var (
	settingKey  = regexp.MustCompile(`^[a-z0-9_]+$`)
	plainScalar = regexp.MustCompile(`^[A-Za-z0-9_.+/%-]+$`)
)

// GivenProbe is an entry of `probes` made of its kind and of settings as a
// person types them, key=value. What stands in brackets or braces is YAML; for a
// key that takes a list, its items may be parted by commas.
func GivenProbe(kind string, settings []string, kinds []probes.Kind) (Probe, error) {
	i := slices.IndexFunc(kinds, func(k probes.Kind) bool { return k.Name == kind })
	if i < 0 {
		names := make([]string, len(kinds))
		for j, k := range kinds {
			names[j] = k.Name
		}
		fault := Error{Found: fmt.Sprintf("unknown kind %.40q", kind), Nearest: nearest(kind, names)}
		if fault.Nearest == "" {
			fault.Expected = "one of " + strings.Join(names, ", ")
		}
		return Probe{}, said(fault)
	}
	text, err := settingsText(settings, reflect.TypeOf(kinds[i].Options()).Elem())
	if err != nil {
		return Probe{}, err
	}
	entry, errs := source{name: "command line", data: []byte(text)}.parse()
	if len(errs) > 0 {
		return Probe{}, fmt.Errorf("%s: %w", settings[min(max(errs[0].Line, 1), len(settings))-1], said(placeless(errs[0])))
	}
	if entry == nil {
		entry = &node{shape: table}
	}
	c := checker{root: entry, kinds: kinds, base: folderOf("x")}
	options := c.options(entry, "", kinds[i])
	if len(c.errs) == 0 {
		return Probe{Kind: kind, Options: options, Where: "command line"}, nil
	}
	var faults []error
	for _, e := range c.errs {
		faults = append(faults, said(placeless(e)))
	}
	return Probe{}, errors.Join(faults...)
}

func placeless(e Error) Error {
	e.File, e.Line, e.Column = "", 0, 0
	if e.Path != "" {
		e.Path, e.Found = "", e.Path+": "+e.Found
	}
	return e
}

// settingsText is YAML with one setting on each line.
func settingsText(settings []string, options reflect.Type) (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		switch {
		case !ok || !settingKey.MatchString(key):
			return "", fmt.Errorf("%.60q is no setting, expected key=value with one of the keys %s", s, strings.Join(known(options), ", "))
		case seen[key]:
			return "", fmt.Errorf("%s is given twice; a list is written %s=one,two", key, key)
		case strings.ContainsAny(value, "\n\r"):
			return "", fmt.Errorf("%s: more than one line", key)
		}
		seen[key] = true
		fmt.Fprintf(&b, "%s: %s\n", key, settingValue(value, fieldType(options, key)))
	}
	return b.String(), nil
}

func settingValue(value string, t reflect.Type) string {
	isList := t != nil && t.Kind() == reflect.Slice
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		return value
	}
	if !isList {
		return settingScalar(value, t)
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = settingScalar(strings.TrimSpace(items[i]), t.Elem())
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// settingScalar quotes what must stay a text: 1 may be the name of a bus.
func settingScalar(value string, t reflect.Type) string {
	if plainScalar.MatchString(value) && (t == nil || t.Kind() != reflect.String) {
		return value
	}
	return strconv.Quote(value)
}

// fieldType is the type of the option with a key, nil for none.
func fieldType(options reflect.Type, key string) reflect.Type {
	for i := range options.NumField() {
		if f := options.Field(i); keyOf(f) == key {
			return f.Type
		}
	}
	return nil
}
