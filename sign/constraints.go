package sign

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
)

// The standard library holds alternative names against the name constraints of
// a chain, but of e-mail addresses and links it takes sub-domains for granted,
// and names of directories it leaves alone, as it does with the e-mail addresses
// and host names of a subject. What is here is as openssl has it.

// The tags of GeneralName that are judged.
const (
	tagMail, tagHost, tagDirectory, tagLink, tagAddress = 1, 2, 4, 6, 7
)

var (
	oidMail     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidAltNames = asn1.ObjectIdentifier{2, 5, 29, 17}
)

type nameConstraints struct {
	Permitted asn1.RawValue `asn1:"optional,tag:0"`
	Excluded  asn1.RawValue `asn1:"optional,tag:1"`
}

func checkConstraints(chain []*x509.Certificate) *Refusal {
	for i, ca := range chain {
		raw := extension(ca, oidConstraints)
		if i == 0 || raw == nil {
			continue
		}
		permitted, excluded, ok := readConstraints(raw)
		if !ok {
			return refuse(RuleConstraints, fmt.Sprintf("the name constraints of the CA %q are of a kind that cannot be judged here", ca.Subject), "use a CA without them")
		}
		for j, c := range chain[:i] {
			if j > 0 && bytes.Equal(c.RawSubject, c.RawIssuer) {
				continue // as RFC 5280 has it: a CA's own new key
			}
			if !allowed(c, permitted, excluded) {
				return refuse(RuleConstraints, fmt.Sprintf("the name %q lies outside of the name constraints of the CA %q", c.Subject, ca.Subject),
					"use a name that the CA may give")
			}
		}
	}
	return nil
}

func readConstraints(raw []byte) (permitted, excluded []asn1.RawValue, ok bool) {
	var nc nameConstraints
	if rest, err := asn1.Unmarshal(raw, &nc); err != nil || len(rest) > 0 {
		return nil, nil, false
	}
	permitted, ok = bases(nc.Permitted.Bytes)
	excluded, also := bases(nc.Excluded.Bytes)
	return permitted, excluded, ok && also
}

// bases gives the bases of subtrees. Minimum and maximum, which DER has only with
// values that nobody supports, are refused.
func bases(list []byte) (out []asn1.RawValue, ok bool) {
	for len(list) > 0 {
		var one asn1.RawValue
		var err error
		if list, err = asn1.Unmarshal(list, &one); err != nil {
			return nil, false
		}
		var base asn1.RawValue
		rest, err := asn1.Unmarshal(one.Bytes, &base)
		if err != nil || len(rest) > 0 || base.Class != asn1.ClassContextSpecific {
			return nil, false
		}
		switch base.Tag {
		case tagMail, tagHost, tagDirectory, tagLink, tagAddress:
		default:
			return nil, false
		}
		out = append(out, base)
	}
	return out, true
}

// allowed judges the names of a certificate.
func allowed(c *x509.Certificate, permitted, excluded []asn1.RawValue) bool {
	names, ok := namesOf(c)
	if !ok {
		return false
	}
	for tag, list := range names {
		for _, name := range list {
			if !within(tag, name, permitted, true) || within(tag, name, excluded, false) {
				return false
			}
		}
	}
	return true
}

// namesOf gives the names of a certificate by their tag, "" for one that is not
// looked into.
func namesOf(c *x509.Certificate) (names map[int][]string, ok bool) {
	subject, ok := parts509(c.RawSubject)
	if !ok {
		return nil, false
	}
	names = map[int][]string{tagDirectory: {strings.Join(subject, "\x00") + "\x00"}, tagMail: c.EmailAddresses, tagHost: c.DNSNames}
	for _, u := range c.URIs {
		host := u.Hostname()
		if u.User != nil {
			host = ""
		}
		names[tagLink] = append(names[tagLink], host)
	}
	for _, a := range c.Subject.Names {
		if a.Type.Equal(oidMail) {
			names[tagMail] = append(names[tagMail], "")
		}
	}
	if cn := c.Subject.CommonName; len(c.DNSNames) == 0 && strings.Contains(cn, ".") && !strings.ContainsAny(cn, " @/") {
		names[tagHost] = append(names[tagHost], cn)
	}
	if namesDirectories(c) {
		names[tagDirectory] = append(names[tagDirectory], "")
	}
	return names, true
}

// within says whether name lies in one of the bases of its tag, and otherwise
// where there are none of it. The empty name is one that is not looked into: it
// lies in none that permits and in each that excludes.
func within(tag int, name string, list []asn1.RawValue, permits bool) bool {
	found := permits
	for _, base := range list {
		if base.Tag != tag {
			continue
		}
		found = false
		if name == "" && !permits || name != "" && covers(base, name) {
			return true
		}
	}
	return found
}

func covers(base asn1.RawValue, name string) bool {
	switch root := strings.ToLower(string(base.Bytes)); base.Tag {
	case tagHost:
		name = strings.ToLower(name)
		return root == "" || name == root || strings.HasSuffix(name, "."+strings.TrimPrefix(root, "."))
	case tagMail:
		if strings.Contains(root, "@") {
			return coversMailbox(string(base.Bytes), name)
		}
		return coversHost(root, name[strings.LastIndexByte(name, '@')+1:])
	case tagLink:
		return coversHost(root, name)
	case tagAddress:
		return true // the standard library has judged it
	}
	parts, ok := parts509(base.Bytes)
	return ok && (len(parts) == 0 || strings.HasPrefix(name, strings.Join(parts, "\x00")+"\x00"))
}

// coversHost is stricter than the standard library, which takes every host for
// a domain: only with a dot in front it is one.
func coversHost(root, host string) bool {
	host = strings.ToLower(host)
	return host == root || strings.HasPrefix(root, ".") && len(host) > len(root) && strings.HasSuffix(host, root)
}

func coversMailbox(base, name string) bool {
	user, host, _ := strings.Cut(base, "@")
	at := strings.LastIndexByte(name, '@')
	return at >= 0 && (user == "" || name[:at] == user) && strings.EqualFold(name[at+1:], host)
}

// parts509 gives each part of a name in a form that can be compared: without
// regard to case, to runs of blanks and to the kind of string.
func parts509(der []byte) ([]string, bool) {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) > 0 {
		return nil, false
	}
	out := make([]string, len(name))
	for i, rdn := range name {
		for _, a := range rdn {
			out[i] += fmt.Sprintf("%v=%q,", a.Type, strings.Join(strings.Fields(strings.ToLower(fmt.Sprint(a.Value))), " "))
		}
	}
	return out, true
}

// namesDirectories says whether an alternative name is the name of a directory.
func namesDirectories(c *x509.Certificate) bool {
	var list []asn1.RawValue
	if _, err := asn1.Unmarshal(extension(c, oidAltNames), &list); err != nil {
		return false
	}
	for _, name := range list {
		if name.Class == asn1.ClassContextSpecific && name.Tag == tagDirectory {
			return true
		}
	}
	return false
}
