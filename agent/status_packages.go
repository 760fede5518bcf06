package agent

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
)

// trustStatus tells what packages are held against, and what is wrong with it.
func (a *Agent) trustStatus() control.Trust {
	a.mu.Lock()
	w := a.warden
	a.mu.Unlock()
	at := a.moment()
	t := control.Trust{AllowUnsigned: w.cfg.Trust.AllowUnsigned, Roots: w.roots(at), Warnings: w.complaints(at)}
	if text := a.history.Load(); text != nil {
		t.Warnings = append(t.Warnings, *text)
	}
	if began := a.checking.Load(); began != nil && time.Since(*began) >= trustSlow {
		t.Warnings = append(t.Warnings, slowCheck(time.Since(*began).Truncate(time.Second)))
	}
	return t
}

// complaints are what is wrong with the trust folders and the memory of what has
// run.
func (w *warden) complaints(at sign.Moment) []string {
	out := append([]string{}, w.warnings...)
	if w.trust != nil {
		out = append(out, w.trust.Warnings(at)...)
	}
	if w.err != nil {
		out = append(out, w.err.Error())
	}
	if w.storeErr != nil {
		out = append(out, w.storeErr.Error())
	}
	return out
}

func (w *warden) roots(at sign.Moment) []control.Root {
	out := []control.Root{}
	if w.trust == nil {
		return out
	}
	for _, c := range w.trust.Roots() {
		out = append(out, control.Root{Subject: c.Subject, Fingerprint: c.Fingerprint, Expires: c.NotAfter, DaysLeft: daysUntil(c.NotAfter, at)})
	}
	return out
}

// packageStatuses tells of each package of the entries once.
func packageStatuses(entries []entryState, at sign.Moment) []control.Package {
	out := []control.Package{}
	for _, j := range packagesOf(entries) {
		out = append(out, packageStatus(j, entries, at))
	}
	return out
}

func packageStatus(j judged, entries []entryState, at sign.Moment) control.Package {
	p := control.Package{Package: j.Package, Name: j.Name, Version: j.Version, Digest: j.Digest, State: control.PackageTrusted}
	refused, _ := outcomeOf(entries, j.Package)
	err := j.Err
	for _, e := range entries {
		if e.Judged != nil && e.Judged.Package == j.Package && e.Kept {
			p.State, p.Message = control.PackageKept, e.Err.Error()
		}
	}
	switch {
	case refused != nil:
		p.State, p.Rule, p.Message = control.PackageRefused, string(refused.Rule), refused.Error()
	case err != nil:
		p.State, p.Message = control.PackageBroken, err.Error()
	case j.Unsigned && p.State == control.PackageTrusted:
		p.State = control.PackageUnsigned
	}
	if j.Verdict == nil {
		return p
	}
	signer := j.Verdict.Signer()
	p.Signer, p.Serial, p.Fingerprint = signer.Subject, signer.Serial, signer.Fingerprint
	p.Root = j.Verdict.Chain[len(j.Verdict.Chain)-1].Subject
	p.Vendor, p.StampedAt, p.Expires = j.Verdict.Vendor, j.Verdict.StampedAt, j.Verdict.Expires
	p.Categories = j.categories()
	if days, ok := j.daysLeft(at); ok {
		p.DaysLeft = &days
	}
	return p
}

// categories are those of the signer.
func (j *judged) categories() (names []string) {
	for _, c := range j.Verdict.Categories {
		names = append(names, c.Name)
	}
	return names
}

// trustAlarms are those of the trust folders and of certificates that expire.
// Refused packages are alarms of their configurations.
func trustAlarms(s control.Status) []string {
	var out []string
	for _, w := range s.Trust.Warnings {
		out = append(out, "trust: "+w)
	}
	for _, r := range s.Trust.Roots {
		if r.DaysLeft >= 0 && expiryMark(r.DaysLeft) != 0 {
			out = append(out, fmt.Sprintf("trust: the root %s expires %s; put its successor beside it, and sign its packages again", r.Subject, expiryText(r.DaysLeft, r.Expires)))
		}
	}
	for _, p := range s.Packages {
		if p.State == control.PackageRefused || p.DaysLeft == nil || expiryMark(*p.DaysLeft) == 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%s: its signature by %s (root %s) expires %s; renew the certificate and sign the package again with `edgehold ext resign`",
			p.Package, p.Signer, p.Root, expiryText(*p.DaysLeft, p.Expires)))
	}
	return out
}

func expiryText(days int, end time.Time) string {
	text := fmt.Sprintf("in %d days", days)
	if days < 2 {
		text = "within 48 hours"
	}
	return text + ", on " + end.UTC().Format(time.DateOnly)
}

// certificateLife is how long a package is trusted.
type certificateLife struct {
	extension  string
	signer     string // the first digits of the fingerprint: a subject names a person
	categories string // of the signer, "" for none
	days       int
}

// signerDigits of a fingerprint tell signers apart.
const signerDigits = 16

// certificates tells how long the packages that run are trusted, once the time
// is known.
func (a *Agent) certificates() []certificateLife {
	at := a.moment()
	if !at.Trusted {
		return nil
	}
	var out []certificateLife
	for _, j := range a.packages() {
		if days, ok := j.daysLeft(at); ok {
			name := j.Name
			if name == "" {
				name = filepath.Base(j.Package)
			}
			out = append(out, certificateLife{
				extension: name, signer: j.Verdict.Signer().Fingerprint[:signerDigits], categories: strings.Join(j.categories(), ", "), days: days,
			})
		}
	}
	return out
}

// lives makes the points of how long packages are trusted. Two versions of one
// extension by one signer are one series: the shorter life counts.
func (s *selfPoints) lives(all []certificateLife) {
	least := map[certificateLife]int{}
	for _, l := range all {
		key := l
		key.days = 0
		if days, seen := least[key]; !seen || l.days < days {
			least[key] = l.days
		}
	}
	for _, l := range all {
		key := l
		key.days = 0
		days, ok := least[key]
		if !ok {
			continue
		}
		delete(least, key)
		s.add(probes.NewSeries("edgehold.extension.certificate_days_left", probes.Gauge,
			probes.Dimension{Key: "extension", Value: l.extension}, probes.Dimension{Key: "signer", Value: l.signer},
			probes.Dimension{Key: "category", Value: l.categories}), probes.Int(int64(days)))
	}
}
