package extension

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// compileTraps makes the counts of the groups of snmptraps, and records where
// their feature set is chosen.
func compileTraps(k *compiler, made *plan.Plan) {
	if k.manifest.Traps == nil {
		return
	}
	t := &plan.Traps{Records: k.runs(trapEvents)}
	for _, g := range k.manifest.Traps.groups {
		for _, m := range g.metrics {
			if !k.runs(cmp.Or(m.featureSet, g.featureSet)) {
				continue
			}
			k.describe(m.key, probes.Count)
			t.Counts = append(t.Counts, plan.TrapCount{
				Key: m.key, Interval: cmp.Or(k.options.Interval, m.interval, g.interval, defaultInterval), Dims: k.trapDims(g.dims),
			})
		}
	}
	if len(t.Counts) == 0 && !t.Records {
		return
	}
	if k.options.MIBs != nil {
		t.Names = trapNames{k.options.MIBs}
	}
	if k.options.Identity == IdentitySite {
		t.Prefix = k.options.Site + "/"
	}
	if c := k.configuration.traps; c != nil {
		t.Listen, t.Repeats, t.PerMinute, t.PerSender = c.listen, c.repeats, c.perMinute, c.perSender
		t.Trims = k.trapTrims(c.trims)
	}
	made.Traps = t
}

func (k *compiler) trapDims(declared []trapDim) []plan.TrapDim {
	var dims []plan.TrapDim
	for _, d := range declared {
		made := plan.TrapDim{Key: d.key, Field: d.field}
		if d.field == plan.TrapText {
			made.Text = d.text
		}
		if d.isVar {
			made.Text = k.vars[d.text]
		}
		dims = append(dims, made)
	}
	return dims
}

// trapTrims looks up the roots. A name may have arcs behind it.
func (k *compiler) trapTrims(declared []trapTrim) []plan.TrapTrim {
	var trims []plan.TrapTrim
	for _, d := range declared {
		root := d.root
		if isName(root) {
			o, arcs, ok := k.options.MIBs.Find(root)
			if !ok {
				k.warn(d.at.node, join(d.at.path, "root"), "no MIB file has "+strconv.Quote(root)+", left out; write the number")
				continue
			}
			if root = o.OID; arcs != "" {
				root += "." + arcs
			}
		} else if _, problem, _ := parseSource("oid:" + root); problem != "" {
			k.fail(d.at.node, join(d.at.path, "root"), problem)
			continue
		}
		trims = append(trims, plan.TrapTrim{Root: root, Arcs: d.arcs})
	}
	return trims
}

// trapNames names OIDs as net-snmp does, and so the vendor's data source:
// IF-MIB::ifIndex.3, a scalar without the arc of its instance, and
// SNMPv2-SMI::enterprises.9.9.41 where only a branch is known.
type trapNames struct{ set *mib.Set }

// Name is the name of a notification or instance.
func (n trapNames) Name(oid string) string {
	o, rest, ok := n.set.At(oid)
	if !ok {
		return ""
	}
	name := o.Module + "::" + o.Name
	if rest == "" || rest == "0" && o.Kind == mib.Scalar {
		return name
	}
	return name + "." + rest
}

// Text shows enumerations, BITS and what has a DISPLAY-HINT.
func (n trapNames) Text(oid string, c plan.Cell) string {
	o, _, ok := n.set.At(oid)
	if !ok || o.Kind != mib.Scalar && o.Kind != mib.Column {
		return ""
	}
	switch {
	case c.Kind == plan.Integer && o.Enum != nil && o.Enum[c.Int] != "":
		return strconv.FormatInt(c.Int, 10) + "-" + o.Enum[c.Int]
	case c.Kind == plan.Octets && o.Type == mib.Bits:
		return bitNames(o.Enum, c.Text)
	case !strings.ContainsAny(o.Hint, "dxo"): // what is text anyway is shown as all text is
		return ""
	}
	text, _ := shower(o)(c)
	return text
}

// bitNames lists the bits that are set, the first one first.
func bitNames(names map[int64]string, octets string) string {
	var set []string
	for i := range 8 * len(octets) {
		if octets[i/8]&(0x80>>(i%8)) != 0 {
			set = append(set, cmp.Or(names[int64(i)], strconv.Itoa(i)))
		}
	}
	return strings.Join(set, " ")
}

// Digest changes with the names.
func (n trapNames) Digest() string {
	data, err := n.set.MarshalBinary()
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
