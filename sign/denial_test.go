package sign

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// listed makes a deny list and its signature in a folder of roots.
func listed(t testing.TB, dir string, list DenyList, by *paper) {
	t.Helper()
	data, err := list.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "deny.json"), data)
	put(t, filepath.Join(dir, "deny.json.sig"), signature(t, data, by))
}

func TestDenyList(t *testing.T) {
	root, other := issue(t, caOf("Root"), nil, nil), issue(t, caOf("Other"), nil, nil)
	middle := issue(t, caOf("Middle"), root, nil)
	leaf := issue(t, leafOf("Dev"), middle, nil)
	foreign := issue(t, leafOf("Foreign", func(c *x509.Certificate) { c.SerialNumber = leaf.SerialNumber }), other, nil)
	inner := zipOf(t, content)
	bundle := bundleWith(t, inner, opensslSigns(t, inner, []*paper{leaf}, []*paper{middle}))
	foreignBundle := bundleWith(t, inner, signature(t, inner, foreign))
	serial := leaf.SerialNumber.Text(16)
	for _, c := range []struct {
		name          string
		list          DenyList
		by            *paper
		want, foreign Rule   // of the two bundles
		warning       string // of loading
	}{
		{name: "leaf", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial}}}, by: root, want: RuleDenied},
		{name: "leaf, other spelling", list: DenyList{Certificates: []DeniedCertificate{{Serial: "0x00:" + strings.ToUpper(serial)}}}, by: root, want: RuleDenied},
		{name: "leaf by its issuer", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial, Issuer: fingerprint(middle.Certificate)}}}, by: root, want: RuleDenied},
		{name: "leaf by the key of its issuer", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial, IssuerKey: keyOf(middle.Certificate)}}}, by: root, want: RuleDenied},
		{name: "leaf by the key of another issuer", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial, IssuerKey: keyOf(root.Certificate)}}}, by: root},
		{name: "serial of another issuer", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial, Issuer: fingerprint(root.Certificate)}}}, by: root},
		{name: "leaf of another root", list: DenyList{Certificates: []DeniedCertificate{{Serial: serial, Issuer: fingerprint(other.Certificate)}}}, by: root, foreign: RuleDenied},
		{name: "intermediate", list: DenyList{Certificates: []DeniedCertificate{{Serial: middle.SerialNumber.Text(16)}}}, by: root, want: RuleDenied},
		{name: "package", list: DenyList{Packages: []string{strings.ToUpper(digestOf(inner))}}, by: root, want: RuleDenied, foreign: RuleDenied},
		{name: "another package", list: DenyList{Packages: []string{digestOf([]byte("x"))}}, by: root},
		{name: "signed by another root", list: DenyList{Packages: []string{digestOf(inner)}}, by: other, want: RuleDenied, foreign: RuleDenied},
		{name: "signed by a leaf", list: DenyList{Packages: []string{digestOf(inner)}}, by: foreign, warning: "is no CA"},
		{name: "signed by a stranger", list: DenyList{Packages: []string{digestOf(inner)}}, by: issue(t, caOf("Stranger"), nil, nil), warning: "is ignored"},
		{name: "signed by a namesake", list: DenyList{Packages: []string{digestOf(inner)}}, by: issue(t, caOf("Root"), nil, nil), warning: "another key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := rootsOf(t, root, other)
			c.list.Number, c.list.Reason = 3, "leaked"
			listed(t, dir, c.list, c.by)
			trust, warnings := load(t, TrustOptions{Roots: dir})
			wantWords(t, warnings, c.warning)
			_, _, err := trust.OpenBytes("b", bundle, DefaultLimits(), atNow)
			if r := wantRule(t, err, c.want); r.Rule != "" && (!strings.Contains(r.Text, "deny list 3") || !strings.Contains(r.Text, "leaked")) {
				t.Error(r.Error())
			}
			_, _, err = trust.OpenBytes("b", foreignBundle, DefaultLimits(), atNow)
			wantRule(t, err, c.foreign)
		})
	}
}

func TestDeniedVersions(t *testing.T) {
	root := issue(t, caOf("Root"), nil, nil)
	dir := rootsOf(t, root)
	digest := digestOf([]byte("x"))
	listed(t, dir, DenyList{Number: 1, Packages: []string{digest}, Versions: []DeniedVersion{{"custom:x", "1.0.0"}}}, root)
	trust := quiet(t, TrustOptions{Roots: dir})
	for _, c := range []struct {
		digest, name, version string
		want                  Rule
	}{
		{"", "custom:x", "1.0.0", RuleDenied},
		{"", "custom:x", "1.0.1", ""},
		{"", "custom:x", "1.0", RuleDenied}, // another spelling of the version
		{"", "custom:x", "01.0.0", RuleDenied},
		{"", "custom:y", "1.0.0", ""},
		{digest, "custom:y", "1.0.0", RuleDenied},
		{"", "", "", ""},
	} {
		wantRule(t, trust.Denied(c.digest, c.name, c.version), c.want)
	}
}

// What a root once denied stays so: an older list, a missing one and a forged one
// change nothing.
func TestDenyListsCannotBeRolledBack(t *testing.T) {
	root := issue(t, caOf("Root", ends(oneDay)), nil, nil)
	leaf := issue(t, leafOf("Dev"), root, nil)
	dir, state := rootsOf(t, root), filepath.Join(t.TempDir(), "trust")
	options := TrustOptions{Roots: dir, State: state}
	bad := DeniedVersion{"custom:x", "1.0.0"}
	denied := func(step string, want Rule, warning string) {
		t.Helper()
		trust, warnings := load(t, options)
		wantWords(t, warnings, warning)
		if err := trust.Denied("", bad.Name, bad.Version); (err == nil) != (want == "") {
			t.Errorf("%s: %v", step, err)
		}
	}
	denied("none", "", "")
	listed(t, dir, DenyList{Number: 5}, root)
	denied("number 5 denies nothing", "", "")
	listed(t, dir, DenyList{Number: 6, Versions: []DeniedVersion{bad}}, root)
	denied("number 6", RuleDenied, "")
	denied("number 6 again", RuleDenied, "")
	listed(t, dir, DenyList{Number: 5}, root)
	denied("rollback", RuleDenied, "number 6 was here before")
	listed(t, dir, DenyList{Number: 6}, root)
	denied("another list of the same number", RuleDenied, "another content")
	listed(t, dir, DenyList{Number: 7}, leaf)
	trust, warnings := load(t, options)
	if err := trust.Denied("", bad.Name, bad.Version); err == nil || len(warnings) != 2 {
		t.Errorf("a list of a leaf: %v, %q", err, warnings)
	}
	listed(t, dir, DenyList{Number: 7}, root)
	if err := os.Remove(filepath.Join(dir, "deny.json.sig")); err != nil {
		t.Fatal(err)
	}
	if _, warnings := load(t, options); len(warnings) != 2 || !strings.Contains(strings.Join(warnings, ""), "copy it beside the list") {
		t.Errorf("without signature: %q", warnings)
	}
	if err := os.Remove(filepath.Join(dir, "deny.json")); err != nil {
		t.Fatal(err)
	}
	denied("missing", RuleDenied, "stays in force")
	// The root goes and comes back.
	hidden := filepath.Join(dir, "root0.hidden")
	if err := os.Rename(filepath.Join(dir, "root0.pem"), hidden); err != nil {
		t.Fatal(err)
	}
	denied("without root", "", "")
	if err := os.Rename(hidden, filepath.Join(dir, "root0.pem")); err != nil {
		t.Fatal(err)
	}
	denied("root is back", RuleDenied, "stays in force")
	listed(t, dir, DenyList{Number: 8}, root)
	denied("lifted by the CA", "", "")
}

// anew is the certificate of a root issued once more, with its name and key.
func anew(t *testing.T, root *paper) *paper {
	t.Helper()
	return issue(t, caOf(root.Subject.CommonName, ends(9000*oneDay)), nil, root.key)
}

// A root that is issued anew with its key and name denies what it denied before:
// whichever of its certificates signed the list, is named in it, or is here now.
func TestRootIssuedAnewStillDenies(t *testing.T) {
	old := issue(t, caOf("Root"), nil, nil)
	next := anew(t, old)
	leaf := issue(t, leafOf("Dev"), old, nil)
	inner := zipOf(t, content)
	bundle := bundleWith(t, inner, signature(t, inner, leaf))
	serial := leaf.SerialNumber.Text(16)
	for _, roots := range [][]*paper{{old}, {next}, {old, next}, {next, old}} {
		for _, by := range []*paper{old, next} {
			for name, entry := range map[string]DeniedCertificate{
				"serial": {Serial: serial}, "issuer": {Serial: serial, Issuer: fingerprint(old.Certificate)},
				"key": {Serial: serial, IssuerKey: keyOf(old.Certificate)},
			} {
				if name == "issuer" && len(roots) == 1 && roots[0] == next && by == next {
					continue // a fingerprint that nothing here has ever seen
				}
				dir := rootsOf(t, roots...)
				listed(t, dir, DenyList{Number: 1, Certificates: []DeniedCertificate{entry}}, by)
				_, _, err := quiet(t, TrustOptions{Roots: dir}).OpenBytes("b", bundle, DefaultLimits(), atNow)
				wantRule(t, err, RuleDenied)
			}
		}
	}
}

// The memory is of the CA, not of one certificate of it.
func TestDenialsOutliveTheCertificateOfTheRoot(t *testing.T) {
	old := issue(t, caOf("Root"), nil, nil)
	next := anew(t, old)
	state := t.TempDir()
	before := rootsOf(t, old)
	bad := DeniedVersion{"custom:x", "1.0.0"}
	listed(t, before, DenyList{Number: 4, Versions: []DeniedVersion{bad}}, old)
	quiet(t, TrustOptions{Roots: before, State: state})
	after := rootsOf(t, next)
	trust, warnings := load(t, TrustOptions{Roots: after, State: state})
	wantWords(t, warnings, "stays in force")
	wantRule(t, trust.Denied("", bad.Name, bad.Version), RuleDenied)
	listed(t, after, DenyList{Number: 5}, next)
	wantRule(t, quiet(t, TrustOptions{Roots: after, State: state}).Denied("", bad.Name, bad.Version), "")
}

// A signer that one chain shows to be taken back is not saved by another chain,
// whichever is found first, nor by the vendor's roots.
func TestTakenBackEndsTheSearch(t *testing.T) {
	key := p256(t)
	a, b := issue(t, caOf("A"), nil, nil), issue(t, caOf("B"), nil, nil)
	underA, underB := issue(t, caOf("Middle"), a, key), issue(t, caOf("Middle"), b, key)
	leaf := issue(t, leafOf("Dev"), underA, nil)
	inner := zipOf(t, content)
	bundle := bundleWith(t, inner, opensslSigns(t, inner, []*paper{leaf}, []*paper{underA, underB}))
	gone := DenyList{Number: 1, Certificates: []DeniedCertificate{{Serial: leaf.SerialNumber.Text(16)}}}
	for _, roots := range [][]*paper{{a, b}, {b, a}} {
		for _, by := range roots {
			dir := rootsOf(t, roots...)
			listed(t, dir, gone, by)
			_, _, err := quiet(t, TrustOptions{Roots: dir}).OpenBytes("b", bundle, DefaultLimits(), atNow)
			wantRule(t, err, RuleDenied)
		}
	}
	dir := rootsOf(t, a)
	listed(t, dir, gone, a)
	_, _, err := quiet(t, TrustOptions{Roots: dir, VendorRoots: rootsOf(t, b)}).OpenBytes("b", bundle, DefaultLimits(), atNow)
	wantRule(t, err, RuleDenied)
	// An intermediate that is denied leaves the other way open.
	listed(t, dir, DenyList{Number: 1, Certificates: []DeniedCertificate{{Serial: underA.SerialNumber.Text(16)}}}, a)
	put(t, filepath.Join(dir, "b.pem"), pemOf(b))
	_, _, err = quiet(t, TrustOptions{Roots: dir}).OpenBytes("b", bundle, DefaultLimits(), atNow)
	wantRule(t, err, "")
}

func TestDenyListStateTrouble(t *testing.T) {
	root := issue(t, caOf("Root"), nil, nil)
	dir, state := rootsOf(t, root), t.TempDir()
	path := filepath.Join(state, "deny-"+authorityKey(root.Certificate)+".json")
	list := DenyList{Number: 2, Versions: []DeniedVersion{{"a", "1"}}}
	listed(t, dir, list, root)
	put(t, path, []byte("{"))
	trust, warnings := load(t, TrustOptions{Roots: dir, State: state})
	wantWords(t, warnings, "cannot be used")
	wantRule(t, trust.Denied("", "a", "1"), RuleDenied)
	if quiet(t, TrustOptions{Roots: dir, State: state}) == nil {
		t.Fatal("the damage was not mended")
	}
	// A file in place of the folder: in force, with a warning.
	blocked := writeFile(t, "state", nil)
	trust, warnings = load(t, TrustOptions{Roots: dir, State: blocked})
	if len(warnings) == 0 || !strings.Contains(warnings[len(warnings)-1], "cannot be remembered") {
		t.Errorf("%q", warnings)
	}
	wantRule(t, trust.Denied("", "a", "1"), RuleDenied)
	// What is remembered is proved by its signature, not by its place.
	forged := DenyList{Number: 9, Versions: []DeniedVersion{{"b", "1"}}}
	data, err := forged.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stranger := issue(t, caOf("Stranger"), nil, nil)
	forgedFile, err := json.Marshal(signedDenial{List: data, Signature: signature(t, data, stranger)})
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, forgedFile)
	trust, warnings = load(t, TrustOptions{Roots: dir, State: state})
	wantWords(t, warnings, "cannot be used")
	wantRule(t, trust.Denied("", "b", "1"), "")
	wantRule(t, trust.Denied("", "a", "1"), RuleDenied)
}

// A revoked intermediate cannot lock the site with a list of its own; a root that
// has expired still denies.
func TestWhoMaySignDenyLists(t *testing.T) {
	root := issue(t, caOf("Root", begins(-2*oneDay), ends(-oneDay)), nil, nil)
	middle := issue(t, caOf("Middle"), root, nil)
	dir := rootsOf(t, root)
	put(t, filepath.Join(dir, "middle.pem"), pemOf(middle))
	listed(t, dir, DenyList{Number: 1, Versions: []DeniedVersion{{"a", "1"}}}, middle)
	wantRule(t, quiet(t, TrustOptions{Roots: dir}).Denied("", "a", "1"), RuleDenied)
	put(t, filepath.Join(dir, "x.crl"), crlOf(t, root, middle))
	trust, warnings := load(t, TrustOptions{Roots: dir})
	wantWords(t, warnings, "was revoked")
	wantRule(t, trust.Denied("", "a", "1"), "")
}

func TestDenyListForm(t *testing.T) {
	good := DenyList{
		Format: 1, Number: 7, Issued: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Reason: "a key leaked",
		Certificates: []DeniedCertificate{{"0a1b", strings.Repeat("ab", 32), strings.Repeat("ef", 32)}},
		Packages:     []string{strings.Repeat("cd", 32)}, Versions: []DeniedVersion{{"custom:x", "1.0.0"}},
	}
	data, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseDenyList(data); err != nil || !reflect.DeepEqual(back, good) {
		t.Errorf("%+v, %v", back, err)
	}
	for text, want := range map[string]string{
		`{"format":1,"number":0}`:                                                  "begin with 1",
		`{"format":2,"number":1}`:                                                  "format 2",
		`{"format":1,"number":1,"nonsense":1}`:                                     "nonsense",
		`{"format":1,"number":1}{}`:                                                "follows its end",
		`{"format":1,"number":1,"packages":["ab"]}`:                                "packages[0]",
		`{"format":1,"number":1,"certificates":[{"serial":"xyz"}]}`:                "certificates[0].serial",
		`{"format":1,"number":1,"certificates":[{"serial":"1","issuer":"1"}]}`:     "certificates[0].issuer",
		`{"format":1,"number":1,"certificates":[{"serial":"1","issuer_key":"1"}]}`: "certificates[0].issuer_key",
		`{"format":1,"number":1,"versions":[{"name":"x"}]}`:                        "versions[0]",
		``: "EOF",
	} {
		if _, err := ParseDenyList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
