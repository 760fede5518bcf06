package extension

import (
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// nameKinds are the words of $networkFormat(const:...).
var nameKinds = map[string]plan.NameKind{
	"interfaceAlias": plan.NameText, "interfaceName": plan.NameText, "portComponent": plan.NameText,
	"networkAddress": plan.NameNetwork, "localAddress": plan.NameText, "local address": plan.NameText, "local": plan.NameText,
	"chassisComponent": plan.NameText, "macAddress": plan.NameMAC, "agentCircuitId": plan.NameText,
}

// What the numbers of InetAddressType (RFC 4001), LldpChassisIdSubtype and
// LldpPortIdSubtype (IEEE 802.1AB) say.
var (
	inetAddressKinds = map[int64]plan.NameKind{1: plan.NameIP, 2: plan.NameIP, 3: plan.NameIP, 4: plan.NameIP, 16: plan.NameText}
	chassisKinds     = map[int64]plan.NameKind{
		1: plan.NameText, 2: plan.NameText, 3: plan.NameText, 4: plan.NameMAC, 5: plan.NameNetwork, 6: plan.NameText, 7: plan.NameText,
	}
	portKinds = map[int64]plan.NameKind{
		1: plan.NameText, 2: plan.NameText, 3: plan.NameMAC, 4: plan.NameNetwork, 5: plan.NameText, 6: plan.NameText, 7: plan.NameText,
	}
)

// formatters are the objects that tell a kind, where it is not InetAddressType.
var formatters = []struct {
	root  string
	kinds map[int64]plan.NameKind
}{
	{"1.0.8802.1.1.2.1.3.1", chassisKinds},           // lldpLocChassisIdSubtype
	{"1.0.8802.1.1.2.1.4.1.1.4", chassisKinds},       // lldpRemChassisIdSubtype
	{"1.0.8802.1.1.2.1.3.7.1.2", portKinds},          // lldpLocPortIdSubtype
	{"1.0.8802.1.1.2.1.4.1.1.6", portKinds},          // lldpRemPortIdSubtype
	{"1.3.111.2.802.1.1.13.1.3.1", chassisKinds},     // lldpV2LocChassisIdSubtype
	{"1.3.111.2.802.1.1.13.1.4.1.1.5", chassisKinds}, // lldpV2RemChassisIdSubtype
	{"1.3.111.2.802.1.1.13.1.3.7.1.2", portKinds},    // lldpV2LocPortIdSubtype
	{"1.3.111.2.802.1.1.13.1.4.1.1.7", portKinds},    // lldpV2RemPortIdSubtype
}

// kindsOf tells what the numbers of an object say.
func kindsOf(oid string) map[int64]plan.NameKind {
	for _, f := range formatters {
		if below(oid, f.root) {
			return f.kinds
		}
	}
	return inetAddressKinds
}

// kindsIn reads them from the names of a MIB, nil where it has none of use.
func kindsIn(enum map[int64]string) map[int64]plan.NameKind {
	var kinds map[int64]plan.NameKind
	for n, name := range enum {
		kind, known := nameKinds[name]
		switch {
		case known:
		case strings.HasPrefix(name, "ipv4"), strings.HasPrefix(name, "ipv6"):
			kind = plan.NameIP
		case name == "dns":
			kind = plan.NameText
		default:
			continue
		}
		if kinds == nil {
			kinds = make(map[int64]plan.NameKind)
		}
		kinds[n] = kind
	}
	return kinds
}

const functionForms = "expected $networkFormat(oid:FORMAT, oid:DATA), $networkFormat(const:KIND, oid:DATA), both with an optional default:TEXT at the end, or $inetAddress(oid:TYPE, oid:ADDRESS)"

// parseFunction reads $networkFormat and $inetAddress.
func parseFunction(text string) (source, string) {
	name, rest, _ := strings.Cut(text, "(")
	inside, closed := strings.CutSuffix(strings.TrimSpace(rest), ")")
	wrong := fmt.Sprintf("found %q, %s", text, functionForms)
	if name = strings.TrimSpace(name); !closed || name != "$networkFormat" && name != "$inetAddress" {
		return source{}, wrong
	}
	first, others, _ := strings.Cut(inside, ",")
	second, third, more := strings.Cut(others, ",")
	data, isOID := strings.CutPrefix(strings.TrimSpace(second), "oid:")
	if !isOID || more && name == "$inetAddress" {
		return source{}, wrong
	}
	s, problem := parseObject(data)
	if problem != "" {
		return source{}, problem
	}
	if more {
		otherwise, isDefault := strings.CutPrefix(strings.TrimSpace(third), "default:")
		if !isDefault {
			return source{}, wrong
		}
		s.naming.Default = strings.TrimSpace(otherwise)
	}
	return s, s.formatter(strings.TrimSpace(first), name == "$networkFormat", wrong)
}

// formatter reads what tells the kind: an OID, or the kind itself.
func (s *source) formatter(text string, kinds bool, wrong string) (problem string) {
	if oid, isOID := strings.CutPrefix(text, "oid:"); isOID {
		by, problem := parseObject(oid)
		s.naming.By = by.text
		return problem
	}
	word, isConst := strings.CutPrefix(text, "const:")
	if !isConst || !kinds {
		return wrong
	}
	kind, known := nameKinds[strings.TrimSpace(word)]
	if !known {
		return fmt.Sprintf("found the kind %q, expected interfaceAlias, interfaceName, portComponent, networkAddress, localAddress, macAddress or agentCircuitId", word)
	}
	s.naming.Kind = kind
	return ""
}
