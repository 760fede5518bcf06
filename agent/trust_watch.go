package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

const (
	// How often it is looked whether the trust folders have changed.
	trustTick = 3 * time.Second
	// How often refused packages are tried again: time may have made them good.
	trustRetry = time.Minute
	// How long a check may take before that is said.
	trustSlow = 5 * time.Second
)

// fromTrust names the events of packages for an audit.
const fromTrust = "edgehold: trust"

// expiryDays are the days left at which a certificate is warned of.
var expiryDays = []int{1, 7, 30}

// newWarden reads the trust folders and logs what is new about them.
func (a *Agent) newWarden(cfg *config.Config) *warden {
	at := a.moment()
	w := newWarden(cfg, wardenOptions{at: at, state: a.atStart.StateDir})
	var said []string
	if a.builder.warden != nil {
		said = a.builder.warden.complaints(at)
	}
	for _, text := range w.complaints(at) {
		if !slices.Contains(said, text) {
			a.log.Warn().Str("part", "trust").Msg(text)
		}
	}
	return w
}

func (a *Agent) moment() sign.Moment {
	if a.opts.moment != nil {
		return a.opts.moment()
	}
	return moment(a.time)
}

// watchTrust stops packages that are no longer trusted and starts those that
// are again, until ctx ends.
func (a *Agent) watchTrust(ctx context.Context) error {
	ticker := time.NewTicker(a.trustTick)
	defer ticker.Stop()
	retried := time.Now()
	warned := map[string]int{} // per package, the days of the last warning
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			due := time.Since(retried) >= trustRetry
			if due {
				retried = time.Now()
			}
			a.recheckTrust(due)
			a.warnExpiry(warned)
		}
	}
}

// recheckTrust judges the packages again where something may have changed:
// the folders, the time, or, where retry is set, what was refused.
func (a *Agent) recheckTrust(retry bool) {
	defer a.timed()()
	a.reloading.Lock()
	defer a.reloading.Unlock()
	a.mu.Lock()
	cfg, entries := a.cfg, a.entries
	a.mu.Unlock()
	w, at := a.builder.warden, a.moment()
	strict := true // what was thought before does not count
	switch {
	case w.changed() || a.denied.Swap(false):
		w = a.newWarden(cfg)
	case at.Trusted != w.at.Trusted:
		w = w.again(at)
	case a.installedChanged(entries):
		w, strict = w.again(at), false
	case slices.ContainsFunc(entries, func(e entryState) bool { return e.due(at, retry) }):
		w, strict = w.again(at), false
	default:
		return
	}
	a.builder.warden = w
	if w.differs(entries, strict) {
		a.rebuild(cfg)
		return
	}
	w.forget()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries, a.warden = w.vouched(entries), w
}

// stopRefused stops what runs of packages that the warden refuses. It reads
// nothing but packages, so no other file can hold it up.
func (a *Agent) stopRefused() {
	w, stopped := a.builder.warden, false
	entries, tasks := slices.Clone(a.running()), []probes.Task{a.self}
	for i := range entries {
		e := &entries[i]
		if e.Judged != nil && len(e.Tasks) > 0 && untrusted(refusal(w.open(e.Judged.from).Err)) {
			e.Tasks, stopped = nil, true
		}
		tasks = append(tasks, e.Tasks...)
	}
	if !stopped {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = entries
	a.schedule.Set(tasks)
}

// timed tells the log and status where a check of packages takes long. What it
// returns is called at the end of the check.
func (a *Agent) timed() (done func()) {
	began := time.Now()
	a.checking.Store(&began)
	slow := time.AfterFunc(trustSlow, func() { a.log.Error().Str("part", "trust").Msg(slowCheck(trustSlow)) })
	return func() {
		slow.Stop()
		a.checking.Store(nil)
	}
}

func slowCheck(d time.Duration) string {
	return fmt.Sprintf("a check of the packages has taken %v so far, and nothing that is revoked stops before it; look at the disks and folders that packages and trusted roots lie on", d)
}

// vouched are entries of which nothing else is thought now than before.
func (w *warden) vouched(entries []entryState) []entryState {
	out := slices.Clone(entries)
	for i := range out {
		if out[i].Judged != nil {
			again := *out[i].Judged
			again.key = w.key()
			out[i].Judged = &again
		}
	}
	return out
}

// changed tells whether the trust folders are other than when they were read.
func (w *warden) changed() bool {
	if w.trust == nil {
		return true
	}
	changed, err := w.trust.Changed()
	return changed || err != nil
}

// installedChanged tells whether packages were installed or removed since the last
// look, where the entries name installed ones.
func (a *Agent) installedChanged(entries []entryState) bool {
	s := a.builder.warden.store
	if s == nil || !slices.ContainsFunc(entries, func(e entryState) bool { return e.Judged != nil && e.Judged.from.Name != "" }) {
		return false
	}
	before := a.ledger.index
	a.ledger.index = s.Stamp()
	return a.ledger.index != before
}

// due tells whether time may have changed what is thought of an entry's package.
func (e entryState) due(at sign.Moment, retry bool) bool {
	if e.Judged == nil {
		return false
	}
	return e.Judged.expired(at) && len(e.Tasks) > 0 || retry && e.refusal() != nil
}

// refusal is why the entry's package is not trusted, nil where it is,
// or where the last good one runs on.
func (e entryState) refusal() *sign.Refusal {
	if e.Judged == nil || e.Kept {
		return nil
	}
	return refusal(e.Err)
}

// differs tells whether any package is judged other than the entries were. With
// strict, other bytes than those that run are another package, and one that
// cannot be read is not trusted.
func (w *warden) differs(entries []entryState, strict bool) bool {
	for _, s := range entries {
		if s.Judged == nil {
			continue
		}
		now := w.open(s.Judged.from)
		if len(s.Tasks) > 0 && (s.Judged.expired(w.at) || !w.hasStill(s.Judged)) {
			return true // whatever has become of its file
		}
		if (strict || !s.Kept) && !sameJudgement(s.Judged, &now, strict) {
			return true
		}
	}
	return false
}

func sameJudgement(was, is *judged, strict bool) bool {
	before, now := refusal(was.Err), refusal(is.Err)
	if (before == nil) != (now == nil) || before != nil && *before != *now {
		return false
	}
	if !strict && (was.from.Name == "" || (was.Err == nil) == (is.Err == nil)) {
		return true
	}
	return (was.Err == nil) == (is.Err == nil) && was.Digest == is.Digest && was.Unsigned == is.Unsigned && sameVerdict(was.Verdict, is.Verdict)
}

func sameVerdict(a, b *sign.Verdict) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Expires.Equal(b.Expires) && a.Signer().Fingerprint == b.Signer().Fingerprint && len(a.Categories) == len(b.Categories)
}

// untrusted tells whether a refusal is about trust, and not about a file that is
// no package at all.
func untrusted(r *sign.Refusal) bool {
	return r != nil && r.Rule != sign.RulePackage && !strings.HasPrefix(string(r.Rule), "zip")
}

// keeps tells whether what ran before may go on in the place of an entry that
// cannot run: its new package is no package at all rather than one that is not
// trusted, and the old one is trusted as it was.
func (w *warden) keeps(old, e entryState) bool {
	if untrusted(e.refusal()) {
		return false
	}
	return old.Judged == nil || old.Judged.key == w.key() && !old.Judged.expired(w.at) && w.hasStill(old.Judged)
}

// hasStill tells whether an installed package is installed still.
func (w *warden) hasStill(j *judged) bool {
	if j.from.Name == "" || w.store == nil {
		return true
	}
	_, _, err := w.store.Find(j.Name, j.Version)
	return !errors.Is(err, store.ErrNotInstalled)
}

// tellTrust tells the log, the environment and the history once of each package
// that is refused, and once that it runs again.
func (a *Agent) tellTrust(entries []entryState) {
	for _, pkg := range packagesOf(entries) {
		refused, runs := outcomeOf(entries, pkg.Package)
		switch {
		case refused == nil && runs:
			a.ledger.ran[pkg.Package] = pkg
			if !a.ledger.refused[pkg.Package] {
				continue
			}
		case refused == nil || a.ledger.refused[pkg.Package]:
			continue
		}
		if ran, known := a.ledger.ran[pkg.Package]; known && pkg.Name == "" {
			pkg.Name, pkg.Version, pkg.Digest = ran.Name, ran.Version, ran.Digest
		}
		a.ledger.refused[pkg.Package] = refused != nil
		c := trustChange{pkg: pkg, refused: refused, limits: limitsOf(entries, pkg.Package)}
		a.logTrust(c)
		a.tell(fromTrust, probes.Batch{Events: []probes.Event{c.event(a.time.Now())}})
		a.note(c.record())
	}
}

// outcomeOf tells why a package is refused, and whether any of it runs.
func outcomeOf(entries []entryState, pkg string) (refused *sign.Refusal, runs bool) {
	for _, e := range entries {
		if e.Judged == nil || e.Judged.Package != pkg {
			continue
		}
		runs = runs || len(e.Tasks) > 0
		if r := e.refusal(); r != nil && refused == nil {
			refused = r
		}
	}
	return refused, runs
}

// limitsOf names the limits of categories that a package leaves.
func limitsOf(entries []entryState, pkg string) (limits []string) {
	for _, e := range entries {
		var b beyond
		if e.Judged == nil || e.Judged.Package != pkg || !errors.As(e.Err, &b) {
			continue
		}
		for _, limit := range b.limits {
			if !slices.Contains(limits, limit) {
				limits = append(limits, limit)
			}
		}
	}
	return limits
}

func (a *Agent) logTrust(c trustChange) {
	if c.refused == nil {
		a.log.Info().Str("package", c.pkg.Package).Msg("the package is trusted again and runs")
		return
	}
	a.log.Error().Str("package", c.pkg.Package).Str("rule", string(c.refused.Rule)).Err(c.refused).Msg("the package is not trusted and does not run")
}

// warnExpiry logs once at each of the days that a certificate has left.
func (a *Agent) warnExpiry(warned map[string]int) {
	at := a.moment()
	for _, p := range a.packages() {
		days, ok := p.daysLeft(at)
		if !ok {
			continue
		}
		mark := expiryMark(days)
		if mark != 0 && mark != warned[p.Package] {
			a.log.Warn().Str("package", p.Package).Int("days_left", days).Time("expires", p.Verdict.Expires).
				Str("signer", p.Verdict.Signer().Subject).Msg("a certificate that a package is trusted by expires")
		}
		warned[p.Package] = mark
	}
}

// expiryMark is the smallest of the days of warning that days are within, 0
// where there is time left.
func expiryMark(days int) int {
	for _, d := range expiryDays {
		if days <= d {
			return d
		}
	}
	return 0
}

// daysLeft are the whole days until the package is no longer trusted; not ok
// where it never ends, or nobody signed it.
func (j *judged) daysLeft(at sign.Moment) (days int, ok bool) {
	if j.Verdict == nil || j.Verdict.Expires.IsZero() {
		return 0, false
	}
	return max(0, daysUntil(j.Verdict.Expires, at)), true
}

// daysUntil are the whole days until end, -1 once it has passed.
func daysUntil(end time.Time, at sign.Moment) int {
	if !at.Time.Before(end) {
		return -1
	}
	return int(end.Sub(at.Time) / (24 * time.Hour))
}

// packages lists the packages of the configuration, each once.
func (a *Agent) packages() []judged {
	a.mu.Lock()
	entries := a.entries
	a.mu.Unlock()
	return packagesOf(entries)
}

func packagesOf(entries []entryState) []judged {
	var out []judged
	for _, e := range entries {
		if e.Judged != nil && !slices.ContainsFunc(out, func(j judged) bool { return j.Package == e.Judged.Package }) {
			out = append(out, *e.Judged)
		}
	}
	return out
}
