package agent

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// The kinds of records that the agent adds to the history.
const (
	noteConfiguration = "configuration"
	noteUnsigned      = "allow_unsigned"
	noteRevoked       = "revoked"
	noteUntrusted     = "untrusted"
	noteTrusted       = "trusted"
)

// guessedTime ends the words of a record that was made while the time was not
// known.
const guessedTime = " (its time is a guess)"

// ledger is what the history said last. It is guarded by Agent.reloading.
type ledger struct {
	hash     string            // of the configuration
	unsigned bool              // whether allow_unsigned was on
	refused  map[string]bool   // packages that were told to be
	ran      map[string]judged // packages as they ran last
	index    string            // stamp of the installed packages at the last look
}

// trustChange is a package that is refused, or is no longer.
type trustChange struct {
	pkg     judged
	refused *sign.Refusal // nil: it runs again
	limits  []string      // of categories that it leaves
}

func (c trustChange) name() string { return cmp.Or(c.pkg.Name, filepath.Base(c.pkg.Package)) }

// event is the change for the environment. The words of a refusal stay here, in
// the log, status and history: they hold addresses and paths of this site.
func (c trustChange) event(now probes.Stamp) probes.Event {
	e := probes.Event{
		Type: "CUSTOM_INFO", Title: fmt.Sprintf("Extension %s is trusted again and runs", c.name()), Start: now, End: now,
	}
	if c.refused != nil {
		e.Type, e.Title = "ERROR_EVENT", fmt.Sprintf("Extension %s is not trusted and does not run", c.name())
		e.Properties = append(e.Properties, probes.Dimension{Key: "edgehold.rule", Value: string(c.refused.Rule)})
	}
	for _, d := range []probes.Dimension{
		{Key: "edgehold.limit", Value: strings.Join(c.limits, ", ")},
		{Key: "edgehold.extension", Value: c.pkg.Name},
		{Key: "edgehold.extension.version", Value: c.pkg.Version},
		{Key: "edgehold.extension.digest", Value: c.pkg.Digest},
	} {
		if d.Value != "" {
			e.Properties = append(e.Properties, d)
		}
	}
	return record.FitEvent(e)
}

// record is the change for the history. Its detail begins with the package.
func (c trustChange) record() store.Record {
	r := store.Record{Kind: noteTrusted, Name: c.name(), Version: c.pkg.Version, Digest: c.pkg.Digest, Detail: c.pkg.Package}
	if c.refused == nil {
		return r
	}
	r.Kind, r.Detail = noteUntrusted, fmt.Sprintf("%s: %s: %s", c.pkg.Package, c.refused.Rule, c.refused.Text)
	if c.refused.Rule == sign.RuleRevoked || c.refused.Rule == sign.RuleDenied {
		r.Kind = noteRevoked
	}
	return r
}

// noteConfiguration appends to the history where the configuration, or its
// allow_unsigned, is other than the history says.
func (a *Agent) noteConfiguration(cfg *config.Config) {
	if a.ledger.hash != cfg.Hash {
		a.ledger.hash = cfg.Hash
		a.note(store.Record{Kind: noteConfiguration, Digest: cfg.Hash, Detail: cfg.Path})
	}
	if a.ledger.unsigned != cfg.Trust.AllowUnsigned {
		a.ledger.unsigned = cfg.Trust.AllowUnsigned
		a.note(store.Record{Kind: noteUnsigned, Detail: onOff(cfg.Trust.AllowUnsigned)})
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// readLedger looks for what the history said last.
func (a *Agent) readLedger() {
	a.ledger = ledger{refused: map[string]bool{}, ran: map[string]judged{}}
	s := a.builder.warden.store
	if s == nil {
		return
	}
	for r, err := range s.History() {
		if err != nil {
			a.historyFailed(fmt.Errorf("read the history: %w", err))
			return
		}
		detail := strings.TrimSuffix(r.Detail, guessedTime)
		pkg, _, _ := strings.Cut(detail, ": ")
		switch r.Kind {
		case noteConfiguration:
			a.ledger.hash = r.Digest
		case noteUnsigned:
			a.ledger.unsigned = detail == onOff(true)
		case noteTrusted, noteUntrusted, noteRevoked:
			a.ledger.refused[pkg] = r.Kind != noteTrusted
		}
	}
}

// note appends to the history. What cannot be noted does not stop the agent.
func (a *Agent) note(r store.Record) {
	s := a.builder.warden.store
	if s == nil {
		return // the warden says why
	}
	var known bool
	if r.Time, known = a.time.Best(); !known {
		r.Detail += guessedTime
	}
	err := s.Append(r)
	for _, w := range s.Warnings() {
		a.log.Warn().Str("part", "history").Msg(w)
	}
	if err != nil {
		a.historyFailed(fmt.Errorf("append to the history: %w", err))
		return
	}
	a.history.Store(nil)
}

func (a *Agent) historyFailed(err error) {
	text := err.Error()
	a.history.Store(&text)
	a.log.Error().Err(err).Msg("the history is not complete")
}
