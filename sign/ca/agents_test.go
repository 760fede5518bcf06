package ca

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/cms"
)

// machine is an agent's folder of roots with the memory of its deny lists.
type machine struct {
	t     *testing.T
	roots string
	state string
}

func (m machine) judge(bundle []byte) (*sign.Verdict, error) {
	m.t.Helper()
	trust, _, err := sign.LoadTrust(sign.TrustOptions{
		Roots: m.roots, State: m.state, RequireCategory: true,
		Categories: []sign.Category{{Name: "network"}},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	pack, verdict, err := trust.OpenBytes("bundle.zip", bundle, sign.DefaultLimits(), sign.Moment{Time: time.Now(), Trusted: true})
	if err == nil {
		err = errors.Join(pack.Close(), trust.Denied(verdict.Digest, "custom:pumps", "1.2.0"))
	}
	return verdict, err
}

func (m machine) mustRefuse(bundle []byte, rule sign.Rule) {
	m.t.Helper()
	_, err := m.judge(bundle)
	var refusal *sign.Refusal
	if !errors.As(err, &refusal) || refusal.Rule != rule {
		m.t.Errorf("want a refusal by %q: %v", rule, err)
	}
}

// TestAgentsObey: a machine that trusts the root runs what its developers sign,
// until a list takes it back.
func TestAgentsObey(t *testing.T) {
	for name, a := range map[string]*Authority{"ours": newRoot(t), "foreign": foreignRoot(t)} {
		t.Run(name, func(t *testing.T) {
			source := t.TempDir()
			write(t, filepath.Join(source, "extension.yaml"), "name: custom:pumps\nversion: 1.2.0\n")
			inner, err := sign.Build(source, sign.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			signedBy := func(m *Made) []byte {
				cert, key := load(t, m.CertFile, m.KeyFile, "")
				signature, err := cms.SignDetached(inner, cert, key)
				if err != nil {
					t.Fatal(err)
				}
				return sign.WriteBundle(inner, signature)
			}
			m := machine{t, t.TempDir(), t.TempDir()}
			write(t, filepath.Join(m.roots, "plant.pem"), read(t, filepath.Join(a.Dir(), certName)))

			dir := t.TempDir()
			anna, bert := issue(t, a, request(dir, "anna")), issue(t, a, request(dir, "bert"))
			verdict, err := m.judge(signedBy(anna))
			if err != nil {
				t.Fatal(err)
			}
			if verdict.Signer().Serial != serialText(anna.Certificate) || verdict.Signer().Fingerprint != fingerprint(anna.Certificate.Raw) ||
				len(verdict.Categories) != 1 || !verdict.Expires.Equal(anna.Certificate.NotAfter) {
				t.Errorf("verdict %+v", verdict)
			}
			other := request(dir, "other")
			other.Category = "sensors"
			m.mustRefuse(signedBy(issue(t, a, other)), "category")

			if _, err := a.Revoke(Revocation{CertFile: anna.CertFile, Reason: "keyCompromise", Days: 30, Out: filepath.Join(m.roots, "plant.crl")}); err != nil {
				t.Fatal(err)
			}
			m.mustRefuse(signedBy(anna), "revoked")
			if _, err := m.judge(signedBy(bert)); err != nil {
				t.Fatal(err)
			}

			list := filepath.Join(m.roots, "deny-plant.json")
			deny(t, a, Denial{Versions: []string{"custom:pumps@1.2.0"}, Out: list})
			m.mustRefuse(signedBy(bert), "denied")
			deny(t, a, Denial{Versions: []string{"custom:pumps@1.2.0"}, Withdraw: true, Out: list})
			if _, err := m.judge(signedBy(bert)); err != nil {
				t.Fatal(err)
			}
			deny(t, a, Denial{CertFiles: []string{bert.CertFile}, Out: list})
			m.mustRefuse(signedBy(bert), "denied")
			if err := errors.Join(os.Remove(list), os.Remove(list+SignatureEnding)); err != nil {
				t.Fatal(err)
			}
			m.mustRefuse(signedBy(bert), "denied")

			renewed, err := a.Renew(Renewal{CertFile: bert.CertFile, NewKey: true, Output: Output{Kind: P256}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.judge(signedBy(renewed)); err != nil {
				t.Fatal(err)
			}
		})
	}
}
