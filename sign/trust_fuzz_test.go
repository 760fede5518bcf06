package sign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"io/fs"
	"testing"
)

// fixedKey is the same in every process that fuzzes, so that what is signed in
// one is trusted in the others.
func fixedKey(t testing.TB, n byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), n))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Only the one package that was signed is ever trusted, whatever is done to it,
// and what is given of it is what was signed.
func FuzzOpenBytes(f *testing.F) {
	root := issue(f, caOf("Root"), nil, fixedKey(f, 7))
	leaf := issue(f, leafOf("Dev"), root, fixedKey(f, 9))
	inner := zipOf(f, content)
	sig := signature(f, inner, leaf)
	f.Add(bundleWith(f, inner, sig))
	f.Add(bundleWith(f, inner, derOf(sig)))
	f.Add(WriteBundle(inner, sig))
	f.Add(bundleOf(f, map[string]string{innerName: string(inner), signatureName: string(sig), timestampName: "x"}))
	f.Add(bundleWith(f, plainZip(f), sig))
	f.Add(inner)
	trust := quiet(f, TrustOptions{Roots: rootsOf(f, root), VendorRoots: rootsOf(f, root), TimestampRoots: rootsOf(f, root)})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, v, err := trust.OpenBytes("b", data, DefaultLimits(), atNow)
		if err != nil {
			var r *Refusal
			if !errors.As(err, &r) || r.Rule == "" || r.Text == "" || r.Mend == "" {
				t.Fatalf("refused without words: %#v", err)
			}
			return
		}
		if v.Digest != digestOf(inner) || p.Digest != v.Digest || v.Signer().Subject != leaf.Subject.String() {
			t.Fatalf("trusted %+v", v)
		}
		for name, want := range content {
			if got, err := fs.ReadFile(p.FS, name); err != nil || string(got) != want {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
		}
	})
}

// Of a file of certificates comes only what is in it, and it reads the same when
// written out again.
func FuzzReadCertificates(f *testing.F) {
	root, other := issue(f, caOf("Root"), nil, fixedKey(f, 7)), issue(f, caOf("Other"), nil, fixedKey(f, 9))
	f.Add(root.Raw)
	f.Add(pemOf(root, other))
	f.Add(append([]byte("text\n"), append(pemOf(root), keyPEM(f, root)...)...))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crlOf(f, root, other)}))
	f.Add(crlOf(f, root, other))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, warnings := readCertificates(data)
		if len(list) == 0 && len(warnings) == 0 {
			t.Fatal("neither a certificate nor a warning")
		}
		var again []byte
		for _, c := range list {
			again = append(again, pemOf(&paper{Certificate: c})...)
		}
		back, warnings := readCertificates(again)
		if len(back) != len(list) || len(list) > 0 && len(warnings) > 0 {
			t.Fatalf("%d certificates became %d, warnings %q", len(list), len(back), warnings)
		}
		for i, c := range list {
			if !c.Equal(back[i]) || bytes.HasPrefix(data, []byte{0x30}) && !bytes.Equal(c.Raw, data) {
				t.Fatalf("certificate %d changed", i)
			}
		}
		crls, err := readCRLs("x", data)
		if len(crls) == 0 && err == nil {
			t.Fatal("neither a CRL nor an error")
		}
		for _, l := range crls {
			if l.by(other.Certificate) {
				t.Fatal("a CRL of a CA that signed none")
			}
		}
	})
}
