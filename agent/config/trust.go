package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Trust says which packages may run.
type Trust struct {
	Roots           string              `yaml:"roots"`            // folder of certificates, CRLs and deny lists
	VendorRoots     string              `yaml:"vendor_roots"`     // folder; "": none of the vendor's packages run
	TimestampRoots  string              `yaml:"timestamp_roots"`  // folder, for packages of the vendor
	AllowUnsigned   bool                `yaml:"allow_unsigned"`   // what has no signature at all
	RequireCategory bool                `yaml:"require_category"` // a signed package of none is refused
	Categories      map[string]Category `yaml:"categories"`
}

// Category binds signers to what their packages may do. An empty list is no
// limit.
type Category struct {
	Certificates []string  `yaml:"certificates"` // SHA-256 fingerprints in hex, lower case
	Units        []string  `yaml:"units"`        // organizational units of a signer; empty: the category's name
	DataSources  []string  `yaml:"data_sources"`
	Addresses    []Network `yaml:"addresses"`
	OIDs         []string  `yaml:"oids"` // without a leading dot
	Hosts        []string  `yaml:"hosts"`
	LocalDevices bool      `yaml:"local_devices"`
	Where        string    `yaml:"-"` // file:line:column of its content
}

// Prefixes are the networks that devices may be in.
func (c Category) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range c.Addresses {
		out = append(out, netip.Prefix(n))
	}
	return out
}

var (
	categoryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	sourceName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	oidShape     = regexp.MustCompile(`^\.?[012](\.[0-9]{1,10})*$`)
	hostPattern  = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$|^[0-9A-Fa-f:]+$`)
)

func (c *checker) trust(doc Trust) Trust {
	doc.Roots = c.file(doc.Roots, "trust", "roots")
	doc.VendorRoots = c.file(doc.VendorRoots, "trust", "vendor_roots")
	doc.TimestampRoots = c.file(doc.TimestampRoots, "trust", "timestamp_roots")
	switch {
	case !c.given("trust", "require_category"):
		doc.RequireCategory = len(doc.Categories) > 0
	case doc.RequireCategory && len(doc.Categories) == 0:
		c.fault(Error{
			Found: "there are no categories, so no signed package would run", Mend: "write trust.categories, or remove this key",
		}, "trust", "require_category")
	}
	checked := make(map[string]Category, len(doc.Categories))
	for _, name := range slices.Sorted(maps.Keys(doc.Categories)) {
		checked[name] = c.category(name, doc.Categories[name])
	}
	if len(checked) > 0 {
		doc.Categories = checked
	}
	return doc
}

const categoryRule = "at most 64 letters, digits and _ . -"

// CheckCategoryName refuses names that no category of a configuration may have.
func CheckCategoryName(name string) error {
	if !categoryName.MatchString(name) {
		return fmt.Errorf("%q is not the name of a category; give %s, as under trust.categories", name, categoryRule)
	}
	return nil
}

func (c *checker) category(name string, doc Category) Category {
	at := []string{"trust", "categories", name}
	if !categoryName.MatchString(name) {
		c.fault(Error{Found: "not the name of a category", Expected: categoryRule}, at...)
		return doc
	}
	here, _ := c.locate(at)
	doc.Where = here.where()
	for i, text := range doc.Certificates {
		print := strings.ToLower(strings.ReplaceAll(text, ":", ""))
		if raw, err := hex.DecodeString(print); err != nil || len(raw) != 32 {
			c.item(Error{
				Found: "not the SHA-256 fingerprint of a certificate", Expected: "64 hex digits",
				Mend: "print it with `openssl x509 -in CERTIFICATE -noout -fingerprint -sha256`",
			}, at, "certificates", i)
		}
		doc.Certificates[i] = print
	}
	for i, unit := range doc.Units {
		if unit == "" || strings.TrimSpace(unit) != unit {
			c.item(Error{Found: "is empty, or has blanks at its ends", Expected: "an organizational unit (OU) of a certificate"}, at, "units", i)
		}
	}
	for _, l := range []struct {
		key   string
		texts []string
		shape *regexp.Regexp
		fault Error
	}{
		{"data_sources", doc.DataSources, sourceName, Error{Found: "not the name of a data source", Expected: "one such as snmp"}},
		{"oids", doc.OIDs, oidShape, Error{Found: "not an object identifier", Expected: "one such as 1.3.6.1.2.1"}},
		{"hosts", doc.Hosts, hostPattern, Error{Found: "not the name of a host", Expected: "one such as app.example.com or *.example.com"}},
	} {
		for i, text := range l.texts {
			if !l.shape.MatchString(text) {
				c.item(l.fault, at, l.key, i)
			}
		}
	}
	for i, oid := range doc.OIDs {
		doc.OIDs[i] = strings.TrimPrefix(oid, ".")
	}
	c.limits(doc, at)
	return doc
}

// limits refuses a list that is given without anything in it: whoever writes it
// means that nothing is allowed, while it would limit nothing.
func (c *checker) limits(doc Category, at []string) {
	for _, l := range []struct {
		key string
		n   int
	}{
		{"certificates", len(doc.Certificates)},
		{"units", len(doc.Units)},
		{"data_sources", len(doc.DataSources)},
		{"addresses", len(doc.Addresses)},
		{"oids", len(doc.OIDs)},
		{"hosts", len(doc.Hosts)},
	} {
		if l.n == 0 && c.given(under(at, l.key)...) {
			c.fault(Error{Found: "the list is empty, which would limit nothing", Mend: "remove the key, or name what is allowed"}, under(at, l.key)...)
		}
	}
}

// item reports e at one item of a list.
func (c *checker) item(e Error, at []string, key string, i int) {
	c.fault(e, under(under(at, key), fmt.Sprintf("[%d]", i))...)
}

// installedName is how an installed package is named: NAME or NAME@VERSION. A
// NAME alone is told from a file by the prefix that names of extensions have.
var installedName = regexp.MustCompile(`^((?:custom:|com\.dynatrace\.extension\.)?[A-Za-z0-9_.:-]+?)(?:@([0-9A-Za-z.-]+))?$`)

// installed reads the name of an installed package; it is not ok where text is
// the path of a file.
func installed(text string) (name, version string, ok bool) {
	m := installedName.FindStringSubmatch(text)
	if m == nil || m[2] == "" && !strings.HasPrefix(text, "custom:") && !strings.HasPrefix(text, "com.dynatrace.extension.") {
		return "", "", false
	}
	if strings.HasSuffix(text, ".zip") {
		return "", "", false
	}
	return m[1], m[2], true
}
