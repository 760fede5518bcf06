package sign

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/edgehold/edgehold/sign/cms"
)

// signedDenial is a deny list with its signature. Its JSON form is how it is
// remembered.
type signedDenial struct {
	file      string
	List      []byte `json:"list"`
	Signature []byte `json:"signature"`
	// Handed says that it came by TakeDenyList: no folder needs to have it.
	Handed bool `json:"handed,omitempty"`
}

// denial is a deny list that a root of this site stands behind.
type denial struct {
	signedDenial
	DenyList
	root  *x509.Certificate
	known []*x509.Certificate // that came with the signature: a CA of them may have been issued anew since
}

// loadDenials takes for each root the deny list with the highest number, of
// those in the folder and the one remembered, and remembers it.
func (t *Trust) loadDenials() {
	best := map[string]*denial{}
	for _, s := range t.site.denials {
		d, err := t.verifyDenial(s)
		if err != nil {
			t.warn("deny list %s is ignored: %v", s.file, err)
			continue
		}
		if key := authorityKey(d.root); best[key] == nil || best[key].Number < d.Number {
			best[key] = d
		}
	}
	weighed := map[string]bool{}
	for _, root := range t.site.roots {
		key := authorityKey(root)
		if weighed[key] {
			continue // the same CA, issued anew
		}
		weighed[key] = true
		if d := t.newest(key, best[key]); d != nil {
			t.denials = append(t.denials, d)
		}
	}
}

// newest weighs the list of the folder against the one remembered.
func (t *Trust) newest(key string, found *denial) *denial {
	if t.options.State == "" {
		return found
	}
	path := filepath.Join(t.options.State, "deny-"+key+".json")
	kept, err := t.recall(path, key)
	if err != nil {
		t.warn("the deny list remembered in %s cannot be used: %v", path, err)
	}
	switch {
	case found == nil && kept == nil:
		return nil
	case kept != nil && kept.Handed && (found == nil || kept.Number > found.Number):
		return kept
	case found == nil:
		t.warn("the deny list of %q is missing in %s; the one remembered, number %d, stays in force: put it back", kept.root.Subject, t.site.path, kept.Number)
		return kept
	case kept != nil && kept.Number > found.Number:
		t.warn("the deny list %s has the number %d, and number %d was here before, which stays in force: put the newest one back", found.file, found.Number, kept.Number)
		return kept
	case kept != nil && kept.Number == found.Number:
		if string(kept.List) != string(found.List) {
			t.warn("the deny list %s has the number %d and another content than the list of that number before, which stays in force: issue it with a new number", found.file, found.Number)
		}
		return kept
	}
	data, err := json.Marshal(found.signedDenial)
	if err == nil {
		err = remember(path, data)
	}
	if err != nil {
		t.warn("the deny list %s cannot be remembered, so that an older one would be taken for new: %v; let the agent write to %s", found.file, err, t.options.State)
	}
	return found
}

// recall reads the remembered list of a root, nil without one.
func (t *Trust) recall(path, key string) (*denial, error) {
	data, err := ReadRegular(path, 4*maxRootBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := signedDenial{file: path}
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	d, err := t.verifyDenial(s)
	if err == nil && authorityKey(d.root) != key {
		return nil, errors.New("it is of another root")
	}
	return d, err
}

// remember replaces the file as a whole or not at all.
func remember(path string, data []byte) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.Write(data)
	// Nothing in it is secret, and another account may have to read it.
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// verifyDenial demands that every signer is a CA below one and the same root.
func (t *Trust) verifyDenial(s signedDenial) (*denial, error) {
	signature, err := cms.Parse(s.Signature)
	if err != nil {
		return nil, err
	}
	signers, err := signature.Verify(s.List)
	if err != nil {
		return nil, err
	}
	d := &denial{signedDenial: s, known: signature.Certificates}
	for _, signer := range signers {
		chain, refused := t.site.chain(signer.Certificate, signature.Certificates, search{
			why: forDenial, revoked: func(chain []*x509.Certificate) (*Refusal, bool) { return checkCRLs(chain, t.crls) },
		})
		if refused != nil {
			return nil, refused
		}
		root := chain[len(chain)-1]
		if d.root != nil && !sameAuthority(d.root, root) {
			return nil, errors.New("it has signers of several roots; sign it with one")
		}
		d.root = root
	}
	if d.DenyList, err = ParseDenyList(s.List); err != nil {
		return nil, err
	}
	return d, nil
}

// checkDenied holds a chain against the deny lists in force. ofSigner: it is the
// signer's own certificate that is listed.
func (t *Trust) checkDenied(chain []*x509.Certificate) (refused *Refusal, ofSigner bool) {
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		for _, d := range t.denials {
			if t.lists(d, c, issuer, chain[len(chain)-1]) {
				return d.refuse(fmt.Sprintf("the certificate %q (serial %x)", c.Subject, c.SerialNumber), "sign the package again with another certificate"), i == 0
			}
		}
	}
	return nil, false
}

func (t *Trust) lists(d *denial, c, issuer, root *x509.Certificate) bool {
	for _, entry := range d.Certificates {
		if !sameSerial(entry.Serial, c.SerialNumber) {
			continue
		}
		switch {
		case entry.Issuer == "" && entry.IssuerKey == "" && sameAuthority(root, d.root),
			entry.IssuerKey != "" && plainHex(entry.IssuerKey) == keyOf(issuer),
			entry.Issuer != "" && t.isAuthority(plainHex(entry.Issuer), issuer, d):
			return true
		}
	}
	return false
}

// isAuthority says whether print is the fingerprint of the issuer, or of another
// certificate of it.
func (t *Trust) isAuthority(print string, issuer *x509.Certificate, d *denial) bool {
	for _, c := range slices.Concat([]*x509.Certificate{issuer, d.root}, d.known, t.site.roots, t.site.helpers) {
		if fingerprint(c) == print && sameAuthority(c, issuer) {
			return true
		}
	}
	return false
}

func (d *denial) refuse(what, mend string) *Refusal {
	text := fmt.Sprintf("%s is on deny list %d of %q", what, d.Number, d.root.Subject)
	if d.Reason != "" {
		text += fmt.Sprintf(" (%s)", d.Reason)
	}
	return refuse(RuleDenied, text, mend)
}

// Denied holds a package against the deny lists: by the digest of its
// extension.zip, or by name and version once the manifest was read. The error
// is a *Refusal.
func (t *Trust) Denied(digest, name, version string) error {
	for _, d := range t.denials {
		for _, p := range d.Packages {
			if digest != "" && plainHex(p) == plainHex(digest) {
				return d.refuse("the package with the digest "+plainHex(digest), "install another version")
			}
		}
		for _, v := range d.Versions {
			if v.Name == name && CompareVersions(v.Version, version) == 0 {
				return d.refuse(fmt.Sprintf("version %s of %s", version, name), "install another version")
			}
		}
	}
	return nil
}
