package control

import "time"

// The words of Package.State.
const (
	PackageTrusted  = "trusted"
	PackageUnsigned = "unsigned" // it runs without a checked signature, since the owner allows that
	PackageRefused  = "refused"  // it does not run; Rule and Message say why
	PackageBroken   = "broken"   // it cannot be read
	PackageKept     = "kept"     // its new files are bad, and the last good ones run on
)

// Trust is what packages are held against.
type Trust struct {
	AllowUnsigned bool     `json:"allow_unsigned"`
	Roots         []Root   `json:"roots"`    // that signatures may lead to
	Warnings      []string `json:"warnings"` // files of the trust folders that cannot be read, a history that cannot be written
}

// Root is a certificate that signatures may lead to.
type Root struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	Expires     time.Time `json:"expires"`
	DaysLeft    int       `json:"days_left"` // -1: it has expired
}

// Package is one extension package of the configuration, and what its signature
// says.
type Package struct {
	Package     string    `json:"package"`           // as the configuration names it
	Name        string    `json:"name,omitempty"`    // "" where its content was not read
	Version     string    `json:"version,omitempty"` // so
	State       string    `json:"state"`
	Rule        string    `json:"rule,omitempty"`    // of the refusal, in stable words
	Message     string    `json:"message,omitempty"` // why it does not run, and the mend
	Signer      string    `json:"signer,omitempty"`
	Serial      string    `json:"serial,omitempty"`      // of the signer's certificate, hex
	Fingerprint string    `json:"fingerprint,omitempty"` // of the signer's certificate, SHA-256
	Root        string    `json:"root,omitempty"`
	Vendor      bool      `json:"vendor,omitempty"`
	StampedAt   time.Time `json:"stamped_at,omitzero"` // when it was signed, where a timestamp proves it
	Categories  []string  `json:"categories,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`    // from then on it is not trusted
	DaysLeft    *int      `json:"days_left,omitempty"` // until then
	Digest      string    `json:"digest,omitempty"`    // SHA-256 of extension.zip
}
