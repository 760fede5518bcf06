package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/cms"
)

// Denial says what to put on the authority's deny list.
type Denial struct {
	CertFiles []string // certificates that the authority issued
	Serials   []string // serial numbers of such, hex
	Packages  []string // SHA-256 of extension.zip, hex
	Versions  []string // NAME@VERSION
	Withdraw  bool     // take it off the list
	Reason    string   // of the whole list; empty: as before
	Number    int64    // of the list; 0: the next one
	Out       string   // a copy for the machines, deny*.json; empty: none
}

// SignatureEnding follows the name of a deny list in the name of its signature.
const SignatureEnding = ".sig"

// Denied is a list that was written, its signature beside it.
type Denied struct {
	List sign.DenyList
	File string
}

// maxNumberStep is how far the number of a list may be above the one before.
const maxNumberStep = 1_000_000

// Deny changes the authority's deny list, and signs it with the root key under a
// higher number than the one before.
func (a *Authority) Deny(d Denial) (*Denied, error) {
	if a.key == nil {
		return nil, errors.New("the key of the authority is closed")
	}
	change, err := a.changeOf(d)
	if err != nil {
		return nil, err
	}
	if err := a.checkDenyTarget(d.Out); err != nil {
		return nil, err
	}
	done := &Denied{File: filepath.Join(a.dir, denyName)}
	err = a.update(func(r *Record) (err error) {
		if done.List, err = a.denyList(r); err != nil {
			return err
		}
		if err := change.apply(&done.List, d.Withdraw); err != nil {
			return err
		}
		if d.Reason != "" {
			done.List.Reason = d.Reason
		}
		if err := a.writeDenyList(r, done, d.Number); err != nil || d.Out == "" {
			return err
		}
		// The signature comes first: agents look for the list.
		if err := copyOut(done.File+SignatureEnding, d.Out+SignatureEnding); err != nil {
			return err
		}
		return copyOut(done.File, d.Out)
	})
	return done, err
}

func (a *Authority) checkDenyTarget(out string) error {
	if out == "" {
		return nil
	}
	if ok, _ := filepath.Match("deny*.json", filepath.Base(out)); !ok {
		return fmt.Errorf("%s: agents look for deny lists by their names; give one like deny-%s.json", out, a.FileName())
	}
	isOwn := func([]byte) bool { return a.hasDenyList(out) }
	if err := checkTarget(out+SignatureEnding, isOwn); err != nil {
		return err
	}
	return checkTarget(out, isOwn)
}

// denial is a part of a list.
type denial sign.DenyList

func (a *Authority) changeOf(d Denial) (*denial, error) {
	c := new(denial)
	root := entryOf(a.Certificate)
	for _, path := range d.CertFiles {
		cert, err := a.ownCertificate(path)
		if err != nil {
			return nil, err
		}
		d.Serials = append(d.Serials, serialText(cert))
	}
	for _, text := range d.Serials {
		serial, err := parseSerial(text)
		if err != nil {
			return nil, err
		}
		if serial == root.Serial {
			return nil, errors.New("that is the root itself; take it off the machines that trust it")
		}
		c.Certificates = append(c.Certificates, sign.DeniedCertificate{Serial: serial, IssuerKey: root.Key})
	}
	for _, text := range d.Packages {
		digest := strings.ToLower(text)
		if len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("package %q: want the SHA-256 of its extension.zip, 64 hex digits", text)
		}
		c.Packages = append(c.Packages, digest)
	}
	for _, text := range d.Versions {
		name, version, _ := strings.Cut(text, "@")
		if name == "" || version == "" {
			return nil, fmt.Errorf("version %q: want NAME@VERSION, such as custom:pumps@1.2.0", text)
		}
		if err := sign.CheckIdentity(name, version); err != nil && !d.Withdraw {
			return nil, fmt.Errorf("version %q: %w", text, err)
		}
		c.Versions = append(c.Versions, sign.DeniedVersion{Name: name, Version: version})
	}
	if len(c.Certificates)+len(c.Packages)+len(c.Versions) == 0 {
		return nil, errors.New("nothing is named; give a certificate, a package or a version")
	}
	return c, nil
}

func (c *denial) apply(list *sign.DenyList, withdraw bool) error {
	var err error
	list.Certificates, err = changed(list.Certificates, c.Certificates, withdraw, err)
	list.Packages, err = changed(list.Packages, c.Packages, withdraw, err)
	list.Versions, err = changed(list.Versions, c.Versions, withdraw, err)
	return err
}

// words is an item of a list as its user named it.
func words(item any) string {
	switch one := item.(type) {
	case sign.DeniedCertificate:
		return "the certificate with the serial number " + one.Serial
	case sign.DeniedVersion:
		return "version " + one.Version + " of " + one.Name
	}
	return fmt.Sprintf("the package with the digest %v", item)
}

// changed puts items on a list or takes them off it.
func changed[T comparable](list, items []T, withdraw bool, err error) ([]T, error) {
	for _, item := range items {
		i := slices.Index(list, item)
		switch {
		case withdraw && i < 0:
			err = fmt.Errorf("%s is not on the deny list; nothing was changed", words(item))
		case withdraw:
			list = slices.Delete(list, i, i+1)
		case i < 0:
			list = append(list, item)
		}
	}
	return list, err
}

// denyList is the last list, empty before the first.
func (a *Authority) denyList(r *Record) (sign.DenyList, error) {
	path := filepath.Join(a.dir, denyName)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if r.DenyNumber > 0 {
			return sign.DenyList{}, fmt.Errorf("%s is missing, and list number %d was written; bring it back from a backup or from an agent, so that nothing on it is forgotten", path, r.DenyNumber)
		}
		return sign.DenyList{}, nil
	}
	if err != nil {
		return sign.DenyList{}, fmt.Errorf("read deny list: %w", err)
	}
	list, err := sign.ParseDenyList(data)
	if err != nil {
		return sign.DenyList{}, fmt.Errorf("%s: %w; bring it back from a backup or from an agent", path, err)
	}
	return list, nil
}

func (a *Authority) writeDenyList(r *Record, done *Denied, number int64) error {
	last := max(r.DenyNumber, done.List.Number)
	if last > math.MaxInt64-maxNumberStep {
		return fmt.Errorf("the last list has number %d, after which none can follow; make a new root with `edgehold ext ca`", last)
	}
	if number == 0 {
		number = last + 1
	}
	if number > last+maxNumberStep {
		return fmt.Errorf("number %d: the last list has number %d, and after a number far above no list could follow; give %d at most", number, last, last+maxNumberStep)
	}
	if number <= last {
		return fmt.Errorf("number %d: the last list has number %d, and agents take higher ones only", number, last)
	}
	r.DenyNumber, done.List.Number = number, number
	done.List.Issued = a.now().UTC().Truncate(time.Second)
	data, err := done.List.Marshal()
	if err != nil {
		return err
	}
	signature, err := cms.SignDetached(data, a.Certificate, a.key)
	if err != nil {
		return fmt.Errorf("sign deny list: %w", err)
	}
	if err := r.write(a.dir); err != nil { // before the list, so that no number is used twice
		return err
	}
	if err := replace(done.File+SignatureEnding, signature, privateFile); err != nil {
		return err
	}
	return replace(done.File, data, privateFile)
}

// hasDenyList tells whether the file is a deny list of this authority.
func (a *Authority) hasDenyList(path string) bool {
	data, err := readFile(path)
	if err != nil {
		return false
	}
	signature, err := readFile(path + SignatureEnding)
	if err != nil {
		return false
	}
	parsed, err := cms.Parse(signature)
	if err != nil {
		return false
	}
	signers, err := parsed.Verify(data)
	return err == nil && signers[0].Certificate.Equal(a.Certificate)
}
