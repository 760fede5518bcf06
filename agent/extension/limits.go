package extension

import "fmt"

// snmpLimits refuses what is beyond the environment's numbers: it would not
// take the package, and so not what describes its metrics.
func (p *manifestParser) snmpLimits(o object, m *Manifest) {
	at, _ := o.get("snmp")
	p.limit(at, "groups", len(m.groups), maxGroups)
	total := 0
	for i, v := range at.items {
		if i >= len(m.groups) {
			break
		}
		g := &m.groups[i]
		group := value{v, fmt.Sprintf("snmp[%d]", i)}
		p.limit(group, "subgroups", len(g.subgroups), maxSubgroups)
		p.limitLevel(group, &total)
		for j, sub := range v.field("subgroups").list() {
			p.limitLevel(value{sub, fmt.Sprintf("%s.subgroups[%d]", group.path, j)}, &total)
		}
	}
	p.limit(at, "metrics in all", total, maxMetrics)
}

// limitLevel looks at a group or subgroup as it is written.
func (p *manifestParser) limitLevel(v value, total *int) {
	metrics := v.field("metrics").list()
	*total += len(metrics)
	p.limit(v, "metrics", len(metrics), maxLevelMetrics)
	p.limit(v, "dimensions", len(v.field("dimensions").list()), maxLevelDims)
}

// limitKey refuses a key that the environment would not take.
func (p *manifestParser) limitKey(o object, key, what string, most int) {
	if len(key) > most && !p.own {
		p.refuse(ruleLimit, o.at.node, join(o.at.path, "key"), fmt.Sprintf("found %d characters, expected at most %d, which is what the environment takes in the key of a %s", len(key), most, what))
	}
}

// shortKey warns of a metric key of which the environment takes no line.
func (p *manifestParser) shortKey(o object, key string) {
	if n := len(key); n > 0 && n < minMetricKey && !p.own {
		at, _ := o.get("key")
		p.remark(ruleKey, at.node, join(o.at.path, "key"), fmt.Sprintf("found %d characters, expected at least %d: the environment refuses every point of this metric", n, minMetricKey))
	}
}

// addedToKeys is the longest of what lines have behind the key of a metric.
var addedToKeys = map[string]string{"histogram": "_bucket.count", "summary": "_sum.count"}

// tooLongWithAdded says what of a metric is lost although its key is short enough,
// "" where nothing is.
func tooLongWithAdded(key, typ string) string {
	added := addedToKeys[typ]
	if len(key) > maxMetricKey || len(key)+len(added) <= maxMetricKey {
		return ""
	}
	return fmt.Sprintf("found %d characters, expected at most %d: a %s adds up to %s, and the environment refuses every point whose key then has more than %d",
		len(key), maxMetricKey-len(added), typ, added, maxMetricKey)
}

// limit refuses more than the environment takes.
func (p *manifestParser) limit(v value, what string, n, most int) {
	if n > most {
		p.refuse(ruleLimit, v.node, v.path, fmt.Sprintf("found %d %s, expected at most %d, which is what the environment takes; split it, or leave some out", n, what, most))
	}
}
