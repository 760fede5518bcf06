package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/probes"
)

const (
	// An event that stays open is sent again before it ends by itself.
	silenceOpen  = 6 * time.Hour
	silenceAgain = 5 * time.Hour
)

// change is a silence that began, goes on, or is over.
type change struct {
	site  string
	note  siteNote // as it becomes
	ended bool
}

// watch looks for sites that fell silent or came back, and at the deny list,
// until ctx ends.
func (r *Relay) watch(ctx context.Context) {
	r.lookAtDenyList()
	tick := time.NewTicker(r.opts.Ticks.Watch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.lookForSilence(ctx)
		r.lookAtDenyList()
		r.sites.save()
	}
}

// lookForSilence tells of each change by an event. Where that cannot be stored
// the next look tries again.
func (r *Relay) lookForSilence(ctx context.Context) {
	r.looking.Lock() // what is told is noted before anybody looks again
	defer r.looking.Unlock()
	if r.opts.Clock.Now().Guess {
		return // nobody knows for how long
	}
	for _, c := range r.sites.changes(r.opts.Now(), r.listening()) {
		if err := r.own.events(ctx, r.silenceEvent(c)); err != nil {
			r.opts.Log.Warn().Str("site", c.site).Err(err).Msg("the event about a silent site waits")
			return
		}
		again := r.sites.become(c)
		log := r.opts.Log.Warn()
		word := "a site is silent"
		switch {
		case c.ended:
			log, word = r.opts.Log.Info(), "a silent site is back"
		case again:
			log, word = r.opts.Log.Info(), "a site is still silent"
		}
		log.Str("site", c.site).Time("since", c.note.Since).Str("state", c.note.State.State).Msg(word)
	}
}

// listening is by broker since when this relay hears what is said there.
// Brokers without a connection are not in it.
func (r *Relay) listening() map[string]time.Time {
	out := make(map[string]time.Time)
	for _, b := range r.all() {
		if up, since := b.up(); up {
			out[b.url] = since
		}
	}
	return out
}

// changes are the silences to be told of now.
func (s *sites) changes(now time.Time, listening map[string]time.Time) (out []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, x := range s.all {
		note := x.siteNote
		switch {
		case note.Silent && (note.Heard.After(note.Since) || note.State.State == wire.StateStopped):
			note.Silent = false
			out = append(out, change{name, note, true})
		case note.Silent && now.Sub(note.Told) >= silenceAgain:
			note.Told = now
			out = append(out, change{site: name, note: note})
		case !note.Silent && x.silent(now, s.silentAfter, listening):
			note.Silent, note.Since, note.Told = true, note.Heard, now
			out = append(out, change{site: name, note: note})
		}
	}
	return out
}

// silent tells whether a site has said nothing for too long, all of it while
// somebody listened: where it was heard, or anywhere if nobody knows where that
// was. One that has said that it stops is not silent.
func (x *site) silent(now time.Time, after time.Duration, listening map[string]time.Time) bool {
	if after <= 0 || x.Heard.IsZero() || x.State.State == wire.StateStopped || now.Sub(x.Heard) < after {
		return false
	}
	for broker, since := range listening {
		if (x.ever[broker] || len(x.ever) == 0) && now.Sub(since) >= after {
			return true
		}
	}
	return false
}

// become takes up a change whose event is stored. It tells whether the silence
// was known.
func (s *sites) become(c change) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of(c.site)
	again = x.Silent && c.note.Silent
	x.Silent, x.Since, x.Told, x.changed = c.note.Silent, c.note.Since, c.note.Told, true
	return again
}

// silenceEvent opens, keeps open or closes the event of a silence. What it says
// of itself stays the same, so that it is one event.
func (r *Relay) silenceEvent(c change) probes.Event {
	now := r.opts.Clock.Now()
	start := probes.Stamp{Wall: max(c.note.Since.UnixMilli(), now.Wall-silenceAgain.Milliseconds())}
	e := probes.Event{
		Type:    "AVAILABILITY_EVENT",
		Title:   fmt.Sprintf("Edgehold site %s is silent", c.site),
		Start:   start,
		Timeout: silenceOpen,
		Properties: append([]probes.Dimension{
			{Key: "site", Value: c.site},
			{Key: "relay", Value: r.opts.ID},
			{Key: "edgehold.silent_since", Value: c.note.Since.UTC().Format(time.RFC3339)},
			{Key: "edgehold.site_state", Value: stateWords(c.note.State.State)},
		}, r.others()...),
	}
	if c.ended {
		e.End, e.Timeout = now, 0
		e.Start.Wall = min(e.Start.Wall, now.Wall)
	}
	return e
}

// stateWords says what a state means where a site is silent.
func stateWords(state string) string {
	switch state {
	case wire.StateLost:
		return "lost: its connection broke"
	case wire.StateOnline:
		return "online: its broker holds its connection, or nobody has told that it broke"
	case "":
		return "unknown"
	}
	return state
}

// others are the constants of the relay but for the site, which is another one
// here.
func (r *Relay) others() (out []probes.Dimension) {
	for _, d := range r.opts.Dimensions {
		if d.Key != "site" && d.Key != "relay" {
			out = append(out, d)
		}
	}
	return out
}
