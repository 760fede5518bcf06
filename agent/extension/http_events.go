package extension

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

var (
	httpEventKeys = []string{"event", "type", "condition", "title", "text", "entity", "properties", "timeout", "featureSet"}
	fieldKeys     = []string{"key", "value"}

	// eventTypes are those of Events API v2 that a device can have.
	eventTypes = []string{
		"AVAILABILITY_EVENT", "ERROR_EVENT", "PERFORMANCE_EVENT", "RESOURCE_CONTENTION_EVENT", "CUSTOM_ALERT", "WARNING",
		"CUSTOM_INFO", "CUSTOM_ANNOTATION", "CUSTOM_CONFIGURATION", "CUSTOM_DEPLOYMENT",
	}
)

const (
	defaultEventTimeout = 15 * time.Minute
	maxEventMinutes     = 360
)

// endpointAttributes are the attributes of the keys of endpoints.
var endpointAttributes = []struct{ key, attribute string }{
	{"addresses", "dt.ip_addresses"}, {"ports", "dt.listen_ports"}, {"names", "dt.dns_names"},
}

func (p *manifestParser) httpEvent(v value) httpEvent {
	o := p.object(v, httpEventKeys)
	e := httpEvent{featureSet: p.featureSet(o)}
	e.Name, e.Type = o.text("event"), o.text("type")
	if e.Name == "" && v.kind == kindMap {
		o.missing("event", "a name of the event")
	}
	if at, ok := o.get("type"); !ok && v.kind == kindMap {
		o.missing("type", inWords(eventTypes, "or"))
	} else if ok && !slices.Contains(eventTypes, e.Type) {
		p.fail(at.node, at.path, "found "+strconv.Quote(e.Type)+", expected "+inWords(eventTypes, "or")+suggest(e.Type, eventTypes))
	}
	e.Condition = p.condition(o)
	e.Title, e.Text, e.Entity = p.docText(o, "title"), p.docText(o, "text"), p.docText(o, "entity")
	if len(e.Title) == 0 && v.kind == kindMap {
		o.missing("title", "a text such as Battery of ${path:name} is low")
	}
	e.Properties = p.docFields(o, "properties", maxEventFields)
	if e.Timeout = defaultEventTimeout; o.seen["timeout"] != nil {
		at, _ := o.get("timeout")
		to := p.object(at, intervalKeys)
		e.Timeout = time.Duration(to.integer("minutes", 1, maxEventMinutes, 15)) * time.Minute
	}
	return e
}

func (p *manifestParser) condition(o object) *plan.Condition {
	v, ok := o.get("condition")
	if !ok {
		if o.at.kind == kindMap {
			o.missing("condition", "a condition such as $lt(path:level,20)")
		}
		return nil
	}
	c, err := plan.ParseCondition(o.text("condition"))
	if err != nil {
		if v.kind == kindText {
			p.fail(v.node, v.path, err.Error())
		}
		return nil
	}
	c.Each(func(part *plan.Condition) {
		p.docDeclared(v, part.Value)
		if part.Var != "" {
			p.docDeclared(v, plan.DocValue{Kind: plan.DocFromVar, Text: part.Var})
		}
	})
	return c
}

// docText reads a text with values in it.
func (p *manifestParser) docText(o object, key string) plan.DocText {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	made, err := plan.ParseDocText(o.text(key))
	if err != nil {
		p.fail(v.node, v.path, err.Error())
		return nil
	}
	p.docDeclared(v, made...)
	return made
}

// docFields reads properties.
func (p *manifestParser) docFields(o object, key string, most int) []plan.DocField {
	var all []plan.DocField
	for _, v := range p.items(o, key) {
		fo := p.object(v, fieldKeys)
		f := plan.DocField{Key: fo.text("key"), Value: p.docValue(fo, "value", true)}
		switch at, ok := fo.get("key"); {
		case !ok && v.kind == kindMap:
			fo.missing("key", "a key")
		case len(f.Key) > maxPropertyKey:
			p.fail(at.node, at.path, "longer than "+strconv.Itoa(maxPropertyKey)+" characters, shorten it")
		case most == maxHTTPProperties: // of a carrier, and so a dimension
			p.httpDimKey(fo, "key", f.Key)
		}
		all = append(all, f)
	}
	p.limit(o.at, key, len(all), most)
	return all
}

// httpCarrier reads what is known of an item beside numbers.
func (p *manifestParser) httpCarrier(o object) plan.DocCarrier {
	c := plan.DocCarrier{Properties: p.docFields(o, "properties", maxHTTPProperties)}
	if at, ok := o.get("endpoints"); ok {
		eo := p.object(at, []string{"addresses", "ports", "names"})
		for _, e := range endpointAttributes {
			if v := p.docValue(eo, e.key, false); v.Kind != 0 {
				c.Endpoints = append(c.Endpoints, plan.DocField{Key: e.attribute, Value: v})
			}
		}
	}
	at, ok := o.get("carrier")
	if !ok {
		if len(c.Properties)+len(c.Endpoints) > 0 {
			o.missing("carrier", "metric:KEY or log, which carries the properties and endpoints")
		}
		return c
	}
	text := o.text("carrier")
	key, isMetric := strings.CutPrefix(text, "metric:")
	switch {
	case isMetric && strings.TrimSpace(key) != "":
		c.Metric = strings.TrimSpace(key)
		if !metricKeyPattern.MatchString(c.Metric) || len(c.Metric) > maxMetricKey {
			p.refuse(ruleKey, at.node, at.path, "found the metric key "+strconv.Quote(c.Metric)+"; use letters, digits, - and _ in parts that are joined with dots, at most "+strconv.Itoa(maxMetricKey)+" characters")
		}
	case text == "log":
		c.Log = true
	case at.kind == kindText:
		p.fail(at.node, at.path, "found "+strconv.Quote(text)+", expected metric:KEY or log")
	}
	return c
}
