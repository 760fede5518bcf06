package extension

import (
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

// managed is what an OID or a name of the package reads.
type managed struct {
	mib.Object        // zero where no MIB knows it
	oid        string // numeric
	instance   bool   // a scalar or one row, not a column
}

// object looks up an OID or a name, false where no MIB has the name.
func (k *compiler) object(text string) (managed, bool) {
	if !isName(text) {
		return k.numbered(text), true
	}
	known, arcs, ok := k.named(text)
	if !ok || known.Kind == mib.Other {
		return managed{}, false
	}
	if arcs == "" && known.Kind == mib.Scalar {
		arcs = "0"
	}
	if arcs == "" {
		return managed{Object: known, oid: known.OID}, true
	}
	return managed{known, known.OID + "." + arcs, true}, true
}

// named looks up a name. One that only has a place, as sysUpTimeInstance, may be
// beneath an object of another file.
func (k *compiler) named(name string) (mib.Object, string, bool) {
	known, arcs, ok := k.options.MIBs.Find(name)
	if ok && known.Kind != mib.Other {
		return known, arcs, true
	}
	all := mib.Join(k.options.MIBs, k.standards.objects())
	if known, arcs, ok = all.Find(name); ok && known.Kind == mib.Other {
		return all.At(strings.TrimSuffix(known.OID+"."+arcs, "."))
	}
	return known, arcs, ok
}

// numbered looks up an OID. What a file of the site says of a standard object
// does not count: the package's author wrote the number and expects numbers.
func (k *compiler) numbered(oid string) managed {
	o := managed{oid: oid, instance: isInstance(oid)}
	known, arcs, ok := k.options.MIBs.At(oid)
	if !ok || known.Kind == mib.Other {
		return o
	}
	o.instance = o.instance || arcs != ""
	if arcs != "" && !known.HasValue() {
		return o
	}
	if standard, _, ok := k.standards.objects().At(oid); known.OfSite && ok && standard.HasValue() {
		return o
	}
	o.Object = known
	return o
}

// source makes the source of a block, with variables filled in and names looked
// up; false where it has to be left out, which is said.
func (k *compiler) source(s *source, table bool) (plan.Source, managed, bool) {
	made := plan.Source{Kind: s.kind, Text: s.text, Form: s.form, Naming: s.naming}
	switch s.kind {
	case 0:
		made.Kind, made.Text = plan.FromConst, k.vars[s.text]
		return made, managed{}, true
	case plan.FromIndex:
		made.Arcs = s.arcs
		return made, managed{}, true
	case plan.FromScalar:
	default:
		return made, managed{}, true
	}
	o, ok := k.object(s.text)
	if !ok {
		k.unnamed(s, s.text)
		return made, o, false
	}
	made.Text, made.OID, made.Fallback = "", o.oid, s.fallback
	if o.instance = o.instance || s.row; table && !o.instance {
		made.Kind, made.Arcs, made.Join, made.JoinBy = plan.FromColumn, s.arcs, s.join, s.joinBy
	}
	if !table && !o.instance && o.Kind == mib.Column {
		k.ofPackage(ruleTable, s.node, s.text+" is a column of a table and has no value of its own: write table: true, or the index of a row behind it")
	}
	return made, o, k.naming(s, &made.Naming, table)
}

// naming looks up what tells the kind of a name.
func (k *compiler) naming(s *source, n *plan.Naming, table bool) bool {
	if n.By == "" {
		return true
	}
	by, ok := k.object(n.By)
	if !ok {
		k.unnamed(s, n.By)
		return false
	}
	n.By, n.Scalar = by.oid, by.instance || !table || k.standards.isRow(by.oid)
	if n.Kinds = kindsIn(by.Enum); n.Kinds == nil {
		n.Kinds = kindsOf(by.oid)
	}
	return true
}

func (k *compiler) unnamed(s *source, name string) {
	k.ofPackage(ruleUnsupported, s.node, "no MIB file has "+strconv.Quote(name)+
		": put the file into the folder snmp of the package or into the site's folder of MIB files, or write the number (left out)")
}

// wholeTable warns of a metric that names a table where a column is meant.
func (k *compiler) wholeTable(m *metric, made plan.Source, o managed) {
	if made.Kind != plan.FromColumn || made.Join || m.source.node == nil {
		return
	}
	isTable := o.Kind == mib.Table || o.Kind == mib.Entry
	if isTable || o.Name == "" && !looksLikeColumn(made.OID) {
		k.ofPackage(ruleTable, m.source.node, made.OID+" of "+m.key+" is a whole table, not a column: all its numbers are folded into one value of each series; name the column")
	}
}

// show says how a dimension's cells become text, as a MIB tells.
func (k *compiler) show(d *plan.Dim, o managed) {
	if o.Name == "" || d.Enum != nil || d.Source.Form != plan.FormAuto {
		return
	}
	switch {
	case k.isAddress(o):
		if n := &d.Source.Naming; n.By == "" && n.Kind == plan.NameAny {
			n.Kind = plan.NameIP
		}
	case o.Type == mib.Bits:
		d.Source.Form, d.Enum = plan.FormBits, o.Enum
	case len(o.Enum) > 0:
		d.Enum = make(map[int64]string, len(o.Enum))
		for n, name := range o.Enum {
			d.Enum[n] = strconv.FormatInt(n, 10) + "-" + name
		}
	case strings.ContainsAny(o.Hint, "dxo"): // what is text anyway is shown as all text is
		d.Hint, d.Show = o.Hint, shower(o.Object)
	}
}

// isAddress tells an InetAddress (RFC 4001): beside it stands the object of its
// name and Type, whose numbers are kinds of addresses.
func (k *compiler) isAddress(o managed) bool {
	if o.Type != mib.Octets || o.Hint != "" {
		return false
	}
	kind, _, ok := k.options.MIBs.Find(o.Module + "::" + o.Name + "Type")
	return ok && kind.Enum[1] == "ipv4"
}

// shower shows numbers and octets as the hint of an object says.
func shower(o mib.Object) func(plan.Cell) (string, bool) {
	return func(c plan.Cell) (string, bool) {
		switch c.Kind {
		case plan.Octets:
			return mib.Format(o, []byte(c.Text))
		case plan.Integer:
			return mib.FormatInteger(o, c.Int)
		case plan.Unsigned, plan.Counter32:
			return mib.FormatInteger(o, int64(c.Uint))
		}
		return "", false
	}
}

// ofSite puts the site before the address of the device, so that the same
// address at another site is another device.
func (k *compiler) ofSite(dims []plan.Dim) []plan.Dim {
	if k.options.Identity != IdentitySite {
		return dims
	}
	prefix := k.options.Site + "/"
	named := false
	for i := range dims {
		if dims[i].Key == deviceAddress || dims[i].Source.Kind == plan.FromDeviceAddress {
			dims[i].Prefix = prefix
		}
		named = named || dims[i].Key == deviceAddress
	}
	if !named {
		dims = append(dims, plan.Dim{Key: deviceAddress, Source: plan.Source{Kind: plan.FromDeviceAddress}, Prefix: prefix})
	}
	return slices.Clip(dims)
}

const deviceAddress = "device.address"
