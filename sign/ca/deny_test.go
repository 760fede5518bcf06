package ca

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/cms"
)

var digest = strings.Repeat("ab", 32)

func deny(t *testing.T, a *Authority, d Denial) *Denied {
	t.Helper()
	done, err := a.Deny(d)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestDeny(t *testing.T) {
	for name, a := range map[string]*Authority{"ours": newRoot(t), "foreign": foreignRoot(t)} {
		t.Run(name, func(t *testing.T) {
			m := issue(t, a, request(t.TempDir(), "anna"))
			serial := serialText(m.Certificate)
			out := filepath.Join(t.TempDir(), "deny-plant.json")
			first := deny(t, a, Denial{Serials: []string{serial}, Reason: "key on a lost laptop", Out: out})
			checkDenyList(t, a, out, 1)
			second := deny(t, a, Denial{Packages: []string{strings.ToUpper(digest)}, Versions: []string{"custom:pumps@1.2.0"}, Out: out})
			list := checkDenyList(t, a, out, 2)
			if first.List.Number != 1 || second.List.Number != 2 {
				t.Errorf("numbers %d, %d", first.List.Number, second.List.Number)
			}
			want := sign.DeniedCertificate{Serial: serial, IssuerKey: fingerprint(a.Certificate.RawSubjectPublicKeyInfo)}
			if !slices.Equal(list.Certificates, []sign.DeniedCertificate{want}) || !slices.Equal(list.Packages, []string{digest}) ||
				!slices.Equal(list.Versions, []sign.DeniedVersion{{Name: "custom:pumps", Version: "1.2.0"}}) || list.Reason != "key on a lost laptop" {
				t.Errorf("list %+v", list)
			}
			deny(t, a, Denial{Packages: []string{digest}, Number: 70, Out: out}) // once more, and a jump
			if list = checkDenyList(t, a, out, 70); len(list.Packages) != 1 {
				t.Errorf("packages %q", list.Packages)
			}
			deny(t, a, Denial{Versions: []string{"custom:pumps@1.2.0"}, Withdraw: true})
			if list = checkDenyList(t, a, filepath.Join(a.Dir(), denyName), 71); len(list.Versions) != 0 || len(list.Packages) != 1 {
				t.Errorf("after a withdrawal: %+v", list)
			}
			if s, err := a.Summary(); err != nil || s.DenyNumber != 71 {
				t.Errorf("summary: %+v, %v", s, err)
			}
		})
	}
}

// checkDenyList reads a list as an agent does: signed by the root, of that number.
func checkDenyList(t *testing.T, a *Authority, path string, number int64) sign.DenyList {
	t.Helper()
	data := []byte(read(t, path))
	parsed, err := cms.Parse([]byte(read(t, path+SignatureEnding)))
	if err != nil {
		t.Fatal(err)
	}
	signers, err := parsed.Verify(data)
	if err != nil || len(signers) != 1 || !signers[0].Certificate.Equal(a.Certificate) {
		t.Fatalf("signers %v, %v", signers, err)
	}
	openssl(t, "cms", "-verify", "-noverify", "-binary", "-inform", "PEM", "-in", path+SignatureEnding, "-content", path, "-out", os.DevNull)
	list, err := sign.ParseDenyList(data)
	if err != nil || list.Number != number || time.Since(list.Issued) > time.Hour {
		t.Fatalf("list %+v, %v; want number %d", list, err, number)
	}
	return list
}

func TestDenyRefuses(t *testing.T) {
	a := newRoot(t)
	deny(t, a, Denial{Packages: []string{digest}, Number: 5})
	folder := t.TempDir()
	foreign := filepath.Join(folder, "deny-other.json")
	deny(t, newRoot(t), Denial{Packages: []string{digest}, Out: foreign})
	other := write(t, filepath.Join(folder, "deny.json"), "{}")
	for name, tc := range map[string]struct {
		d     Denial
		words []string
	}{
		"nothing":        {Denial{Reason: "x"}, []string{"nothing is named"}},
		"serial":         {Denial{Serials: []string{"xyz"}}, []string{"xyz", "hex"}},
		"digest":         {Denial{Packages: []string{"abcd"}}, []string{"abcd", "SHA-256"}},
		"version":        {Denial{Versions: []string{"custom:pumps"}}, []string{"NAME@VERSION"}},
		"no name":        {Denial{Versions: []string{"@1.0"}}, []string{"NAME@VERSION"}},
		"lower number":   {Denial{Packages: []string{digest}, Number: 4}, []string{"number 4", "number 5"}},
		"same number":    {Denial{Packages: []string{digest}, Number: 5}, []string{"number 5"}},
		"not listed":     {Denial{Versions: []string{"a@1"}, Withdraw: true}, []string{"version 1 of a is not on the deny list"}},
		"serial not on":  {Denial{Serials: []string{"0a"}, Withdraw: true}, []string{"the certificate with the serial number a is not on"}},
		"digest not on":  {Denial{Packages: []string{strings.Repeat("cd", 32)}, Withdraw: true}, []string{"the package with the digest cdcd"}},
		"far number":     {Denial{Packages: []string{digest}, Number: 1_000_006}, []string{"number 1000006", "give 1000005 at most"}},
		"last number":    {Denial{Packages: []string{digest}, Number: math.MaxInt64}, []string{"give 1000005 at most"}},
		"short version":  {Denial{Versions: []string{"custom:pumps@1.0"}}, []string{"three numbers"}},
		"odd name":       {Denial{Versions: []string{"custom:../x@1.0.0"}}, []string{"name of an extension"}},
		"the root":       {Denial{Serials: []string{serialText(a.Certificate)}}, []string{"root itself"}},
		"name of file":   {Denial{Packages: []string{digest}, Out: filepath.Join(folder, "list.json")}, []string{"deny-plant-root.json"}},
		"over a file":    {Denial{Packages: []string{digest}, Out: other}, []string{other, "no list of this authority"}},
		"over another's": {Denial{Packages: []string{digest}, Out: foreign}, []string{"no list of this authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Deny(tc.d)
			mustFail(t, err, tc.words...)
		})
	}
	path := filepath.Join(a.Dir(), denyName)
	write(t, path, "{")
	_, err := a.Deny(Denial{Packages: []string{digest}})
	mustFail(t, err, path, "backup")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = a.Deny(Denial{Packages: []string{digest}})
	mustFail(t, err, path, "missing", "backup")
}
