package cms_test

import (
	"crypto"
	"crypto/x509"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// signWith lets openssl sign the content; -outform PEM unless told otherwise.
func signWith(t testing.TB, args ...string) []byte {
	t.Helper()
	all := []string{"cms", "-sign", "-binary", "-in", file(t, content)}
	if !slices.Contains(args, "-outform") {
		all = append(all, "-outform", "PEM")
	}
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "by="); ok {
			all = append(all, "-signer", name+".pem", "-inkey", name+".key")
			continue
		}
		all = append(all, a)
	}
	return openssl(t, all...)
}

func TestWhatOpensslSigns(t *testing.T) {
	for _, c := range []struct {
		args string
		rule cms.Rule
		hash crypto.Hash
	}{
		{"by=rsa", "", crypto.SHA256},
		{"by=rsa -noattr", "", crypto.SHA256},
		{"by=rsa -keyid", "", crypto.SHA256},
		{"by=rsa -keyid -noattr", "", crypto.SHA256},
		{"by=rsa -nosmimecap", "", crypto.SHA256},
		{"by=rsa -cades", "", crypto.SHA256},
		{"by=rsa -outform DER", "", crypto.SHA256},
		{"by=rsa -noattr -outform DER", "", crypto.SHA256},
		{"by=rsa -certfile ca.pem", "", crypto.SHA256},
		{"by=rsa -md sha384", "", crypto.SHA384},
		{"by=rsa -md sha512", "", crypto.SHA512},
		{"by=rsa -md sha512 -noattr", "", crypto.SHA512},
		{"by=rsa -keyopt rsa_padding_mode:pss", "", crypto.SHA256},
		{"by=rsa -noattr -keyopt rsa_padding_mode:pss", "", crypto.SHA256},
		{"by=rsa -md sha384 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:48", "", crypto.SHA384},
		{"by=rsa -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha512", cms.RuleAlgorithm, 0},
		{"by=rsa -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:0", cms.RuleAlgorithm, 0},
		{"by=p256", "", crypto.SHA256},
		{"by=p256 -noattr", "", crypto.SHA256},
		{"by=p256 -keyid", "", crypto.SHA256},
		{"by=p384", "", crypto.SHA256},
		{"by=p384 -md sha384", "", crypto.SHA384},
		{"by=p521 -md sha512 -noattr", "", crypto.SHA512},
		{"by=rsa by=rsa2", "", crypto.SHA256},
		{"by=rsa by=p256 -noattr", "", crypto.SHA256},
		{"by=rsa by=p384 -keyid", "", crypto.SHA256},
		{"by=rsa -md md5", cms.RuleDigestWeak, 0},
		{"by=rsa -md md5 -noattr", cms.RuleDigestWeak, 0},
		{"by=rsa -md sha1", cms.RuleDigestWeak, 0},
		{"by=rsa -md sha224 -noattr", cms.RuleDigestWeak, 0},
		{"by=p256 -md sha1", cms.RuleDigestWeak, 0},
		{"by=weak", cms.RuleKeyWeak, 0},
		{"by=weak -noattr", cms.RuleKeyWeak, 0},
		{"by=p224", cms.RuleKeyWeak, 0},
		{"by=rsa by=weak", cms.RuleKeyWeak, 0},
		{"by=rsa -nocerts", cms.RuleSigner, 0},
		{"by=rsa -nodetach", cms.RuleDetached, 0},
		{"by=rsa -stream", cms.RuleNotDER, 0},
		{"by=rsa -stream -nodetach -outform DER", cms.RuleNotDER, 0},
		{"by=rsa -econtent_type 1.2.3.4", cms.RuleContentType, 0},
	} {
		t.Run(c.args, func(t *testing.T) {
			blob := signWith(t, strings.Fields(c.args)...)
			list, err := verify(blob, content)
			wantRule(t, err, c.rule)
			if c.rule != "" {
				return
			}
			if err := opensslVerifies(t, blob, content); err != nil {
				t.Errorf("openssl refuses what it signed: %v", err)
			}
			if len(list) != strings.Count(c.args, "by=") || list[0].Hash != c.hash {
				t.Errorf("signers %d, hash %v", len(list), list[0].Hash)
			}
			holdTimes(t, list, !strings.Contains(c.args, "-noattr"))
			changed := append(slices.Clone(content), '!')
			if _, err := verify(blob, changed); ruleOf(err) != cms.RuleTampered {
				t.Errorf("other content: %v", err)
			}
		})
	}
}

func holdTimes(t *testing.T, list []cms.Verified, said bool) {
	t.Helper()
	for _, v := range list {
		if v.SigningTime.IsZero() == said || said && (time.Since(v.SigningTime).Abs() > time.Hour || v.SigningTime.Location() != time.UTC) {
			t.Errorf("signing time %v, said %v", v.SigningTime, said)
		}
	}
}

func TestSignersAreNamedInOrder(t *testing.T) {
	p := members(t)
	list, err := verify(signWith(t, "by=rsa", "by=p256", "-noattr"), content)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, v := range list {
		found[v.Certificate.Subject.CommonName] = true
	}
	if len(list) != 2 || !found[p.rsa.cert.Subject.CommonName] || !found[p.p256.cert.Subject.CommonName] {
		t.Errorf("signers %v", found)
	}
}

// A second signer with a digest of its own, as openssl adds one.
func TestSignerAddedLater(t *testing.T) {
	first := file(t, signWith(t, "by=rsa", "-nodetach", "-outform", "DER"))
	blob := openssl(t, "cms", "-resign", "-inform", "DER", "-in", first, "-outform", "DER", "-md", "sha256",
		"-signer", "p256.pem", "-inkey", "p256.key")
	tree, _ := decode(blob)
	encap := tree.at(1, 0, 2)
	encap.parts = encap.parts[:1]
	detached := tree.encode()
	if list, err := verify(detached, content); err != nil || len(list) != 2 {
		t.Errorf("%d signers, %v", len(list), err)
	}
	if err := opensslVerifies(t, detached, content); err != nil {
		t.Error(err)
	}
}

// One bad signer of two is enough, whichever of them it is.
func TestTwoSignersOneBad(t *testing.T) {
	for _, args := range [][]string{{"by=rsa", "by=rsa2"}, {"by=rsa", "by=p256", "-noattr"}} {
		for i := range 2 {
			tree, _ := decode(derOf(t, signWith(t, args...)))
			signers := tree.at(1, 0, 4)
			for _, part := range signers.at(i).parts {
				if part.tag == 0x04 {
					part.bytes[len(part.bytes)-1] ^= 1
				}
			}
			blob := tree.encode()
			_, err := verify(blob, content)
			wantRule(t, err, cms.RuleTampered)
			if opensslVerifies(t, blob, content) == nil {
				t.Error("openssl takes one good signer for enough")
			}
		}
	}
}

func TestShellsAroundASignature(t *testing.T) {
	blob := string(signWith(t, "by=rsa"))
	der := string(derOf(t, []byte(blob)))
	relabel := func(label string) string { return strings.ReplaceAll(blob, " CMS-", " "+label+"-") }
	lines := strings.SplitAfter(blob, "\n")
	oneLine := lines[0] + strings.ReplaceAll(strings.Join(lines[1:len(lines)-2], ""), "\n", "") + "\n" + lines[len(lines)-2]
	for name, c := range map[string]struct {
		blob string
		rule cms.Rule
	}{
		"label CMS":              {blob, ""},
		"label PKCS7":            {relabel("PKCS7"), ""},
		"openssl smime":          {string(openssl(t, "smime", "-sign", "-binary", "-in", file(t, content), "-outform", "PEM", "-md", "sha256", "-signer", "rsa.pem", "-inkey", "rsa.key")), ""},
		"CRLF":                   {strings.ReplaceAll(blob, "\n", "\r\n"), ""},
		"no line end":            {strings.TrimSpace(blob), ""},
		"blank lines around":     {"\r\n\n" + blob + "\n \t\r\n", ""},
		"DER":                    {der, ""},
		"label CERTIFICATE":      {relabel("CERTIFICATE"), cms.RuleNotCMS},
		"label of another case":  {relabel("cms"), cms.RuleNotCMS},
		"text before":            {"signed by me\n" + blob, cms.RuleNotCMS},
		"text after":             {blob + "signed by me\n", cms.RuleTrailingData},
		"two blocks":             {blob + blob, cms.RuleTrailingData},
		"headers":                {strings.Replace(blob, "\n", "\nX: y\n\n", 1), cms.RuleNotCMS},
		"no end line":            {strings.Join(lines[:len(lines)-2], ""), cms.RuleNotCMS},
		"one long line":          {oneLine, cms.RuleNotCMS},
		"a blank line within":    {strings.Replace(blob, "\n", "\n\n", 3), cms.RuleNotCMS},
		"another block's end":    {strings.Replace(blob, "END CMS", "END PKCS7", 1), cms.RuleNotCMS},
		"a damaged block before": {"-----BEGIN CMS-----\n!!\n-----END CMS-----\n" + blob, cms.RuleNotCMS},
		"DER and a line end":     {der + "\n", cms.RuleTrailingData},
		"DER cut":                {der[:len(der)-1], cms.RuleNotCMS},
		"bare base64":            {strings.Join(lines[1:len(lines)-2], ""), cms.RuleNotCMS},
		"nothing":                {"", cms.RuleNotCMS},
		"huge":                   {blob + strings.Repeat("\n", 300_000), cms.RuleTooLarge},
		"a certificate":          {string(members(t).rsa.cert.Raw), cms.RuleNotCMS},
		"CMS of plain data":      {string(openssl(t, "cms", "-data_create", "-in", file(t, content), "-outform", "PEM")), cms.RuleNotCMS},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify([]byte(c.blob), content)
			wantRule(t, err, c.rule)
			if err == nil {
				if err := opensslVerifies(t, []byte(c.blob), content); err != nil {
					t.Errorf("openssl refuses what is accepted here: %v", err)
				}
			}
		})
	}
}

// What is signed here, openssl verifies down to the root.
func TestOpensslVerifiesWhatWeSign(t *testing.T) {
	p := members(t)
	for _, id := range []identity{p.rsa, p.rsa2, p.p256, p.p384, p.p521} {
		blob, err := cms.SignDetached(content, id.cert, id.key)
		if err != nil {
			t.Fatal(err)
		}
		openssl(t, "cms", "-verify", "-CAfile", "ca.pem", "-binary", "-inform", "PEM",
			"-in", file(t, blob), "-content", file(t, content), "-out", "/dev/null")
		list, err := verify(blob, content)
		if err != nil || len(list) != 1 || !list[0].Certificate.Equal(id.cert) || !list[0].SigningTime.IsZero() {
			t.Errorf("%v: %v", id.cert.Subject, err)
		}
		if opensslVerifies(t, blob, content[1:]) == nil {
			t.Error("openssl takes other content")
		}
	}
}

// flips are mutations of one blob: a bit, a byte, a byte gone, a byte more.
func flips(r *rand.Rand, blob []byte) []byte {
	out := slices.Clone(blob)
	i := r.IntN(len(out))
	switch r.IntN(6) {
	case 0:
		out[i] = byte(r.Uint32())
	case 1:
		out = slices.Delete(out, i, i+1)
	case 2:
		out = slices.Insert(out, i, byte(r.Uint32()))
	default:
		out[i] ^= 1 << r.IntN(8)
	}
	return out
}

// Whatever passes here passes openssl: many mutations of good blobs are tried,
// and openssl is asked about those that are accepted. (They change bytes of the
// certificate that its own signature covers, not the one over the content.)
func TestNeverAcceptsWhatOpensslRefuses(t *testing.T) {
	enough := mutations()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	for _, args := range []string{"by=rsa", "by=rsa -noattr -outform DER", "by=p256 -keyid -outform DER", "by=p256 -noattr", "by=rsa -outform DER -keyopt rsa_padding_mode:pss"} {
		blob := signWith(t, strings.Fields(args)...)
		accepted := 0
		for n := 0; n < 200*enough && accepted < enough; n++ {
			bad := flips(r, blob)
			if _, err := verify(bad, content); err != nil {
				continue
			}
			accepted++
			if err := opensslVerifies(t, bad, content); err != nil {
				t.Errorf("%s: accepted here, refused by openssl: %v\n%x", args, err, bad)
			}
		}
		t.Logf("%s: openssl agrees with %d mutations accepted", args, accepted)
	}
}

// Every byte, with the certificate held against its authority, as the caller
// does: nothing passes. One bit of each by itself, and the whole byte.
func TestEveryFlipIsRefused(t *testing.T) {
	ca := members(t).ca.cert
	for _, args := range []string{"by=rsa -noattr", "by=rsa -keyid", "by=p256", "by=p256 -noattr -outform DER", "by=rsa -outform DER -cades"} {
		blob := signWith(t, strings.Fields(args)...)
		for i := range blob {
			for _, mask := range masks(i) {
				bad := slices.Clone(blob)
				bad[i] ^= mask
				if passes(ca, bad) {
					t.Errorf("%s: byte %d changed (%#x to %#x) and accepted; openssl says %v", args, i, blob[i], bad[i], opensslVerifies(t, bad, content))
				}
			}
		}
	}
}

// mutations is how many accepted ones are shown to openssl, of each kind.
func mutations() int {
	if os.Getenv("EDGEHOLD_LONG") != "" {
		return 1500
	}
	return 25
}

// masks are the changes to byte i; EDGEHOLD_LONG asks for every bit.
func masks(i int) []byte {
	if os.Getenv("EDGEHOLD_LONG") != "" {
		return []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	}
	return []byte{1 << (i % 8), 255}
}

func passes(ca *x509.Certificate, blob []byte) bool {
	list, err := verify(blob, content)
	return err == nil && list[0].Certificate.CheckSignatureFrom(ca) == nil
}

// The content of a real file, read back, is what was signed: no conversion.
func TestBinaryContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	text := openssl(t, "cms", "-sign", "-in", path, "-outform", "PEM", "-signer", "rsa.pem", "-inkey", "rsa.key")
	_, err := verify(text, content)
	wantRule(t, err, cms.RuleTampered)
}
