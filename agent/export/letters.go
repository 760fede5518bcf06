package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
)

// LetterFilter chooses dead letters.
type LetterFilter struct {
	Numbers []uint64 `json:"numbers,omitempty"` // empty: all
	Reason  string   `json:"reason,omitempty"`  // a part of the reason, in capitals or not
	Series  string   `json:"series,omitempty"`  // a part of the line, in capitals or not
}

func (f LetterFilter) fits(x buffer.Letter) bool {
	return (len(f.Numbers) == 0 || slices.Contains(f.Numbers, x.Number)) && within(f.Reason, x.Reason) && within(f.Series, x.Line)
}

func within(part, text string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// Retried tells what became of dead letters that were to be sent again.
type Retried struct {
	Retried int            `json:"retried"` // wait to be sent
	Same    int64          `json:"same"`    // said the same as one of them, and are purged
	Failed  []FailedLetter `json:"failed"`  // stay dead letters
	// Old of the retried are points that the metrics API no longer takes: they
	// count as late.
	Old     int            `json:"old"`
	Account buffer.Account `json:"account"`
}

// FailedLetter is a dead letter that cannot be sent again, and why.
type FailedLetter struct {
	Number uint64 `json:"number"`
	Reason string `json:"reason"`
}

// letters gives the dead letters that fit, oldest first.
func letters(ctx context.Context, s Store, f LetterFilter, fn func(buffer.Letter) error) error {
	return s.DeadLetters(func(x buffer.Letter) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f.fits(x) {
			return nil
		}
		return fn(x)
	})
}

// metricWindow is how old a point may be for the metrics API.
const metricWindow = time.Hour

// retry makes points and entries of the dead letters that fit. Several points
// may have left as one line, each of which is a dead letter with that line: it
// is sent again once, and the others are purged.
func retry(ctx context.Context, s Purger, f LetterFilter, now time.Time) (Retried, error) {
	done := Retried{Failed: []FailedLetter{}}
	chosen, err := distinct(ctx, s, f)
	sent := make(map[string]uint64, len(chosen))
	if err == nil && len(chosen) > 0 {
		done.Retried, err = s.RetryLetters(ctx, slices.Sorted(maps.Values(chosen)), func(x buffer.Letter) (buffer.Revived, error) {
			r := done.revive(x)
			if r == (buffer.Revived{}) {
				return r, nil
			}
			sent[said(x)] = x.Number
			if r.Point != nil && now.Sub(r.Point.Stamp.Time()) > metricWindow {
				done.Old++
			}
			return r, nil
		})
	}
	if err == nil && len(sent) > 0 {
		done.Same, err = purgeSame(ctx, s, sent)
	}
	done.Account = s.Account()
	return done, err
}

// revive makes a point or an entry of a dead letter. One that cannot be read
// back stays, and keeps no other from being sent.
func (r *Retried) revive(x buffer.Letter) buffer.Revived {
	again, err := revive(x)
	if err != nil {
		r.Failed = append(r.Failed, FailedLetter{x.Number, err.Error()})
		return buffer.Revived{}
	}
	return again
}

// said is what a dead letter says.
func said(x buffer.Letter) string { return x.Kind + "\x00" + x.Line }

// distinct gives the first dead letter that fits of each thing that is said.
func distinct(ctx context.Context, s Store, f LetterFilter) (map[string]uint64, error) {
	first := map[string]uint64{}
	err := letters(ctx, s, f, func(x buffer.Letter) error {
		if _, known := first[said(x)]; !known {
			first[said(x)] = x.Number
		}
		return nil
	})
	return first, err
}

// purgeSame purges the dead letters that say what was sent.
func purgeSame(ctx context.Context, s Purger, sent map[string]uint64) (int64, error) {
	var same []uint64
	err := letters(ctx, s, LetterFilter{}, func(x buffer.Letter) error {
		if first, ok := sent[said(x)]; ok && x.Number != first {
			same = append(same, x.Number)
		}
		return nil
	})
	if err != nil || len(same) == 0 {
		return 0, err
	}
	return s.Purge(ctx, buffer.Purge{Letters: same})
}

// The kinds of dead letters beside metric lines.
const (
	kindEvent = "event"
	kindLog   = "log"
)

// revive reads the line of a dead letter back.
func revive(x buffer.Letter) (buffer.Revived, error) {
	switch x.Kind {
	case "":
		p, err := mint.Parse(x.Line)
		if err != nil {
			return buffer.Revived{}, fmt.Errorf("read the metric line: %w", err)
		}
		return buffer.Revived{Point: &p}, nil
	case kindEvent:
		return reviveEntry(x, eventEntry)
	case kindLog:
		return reviveEntry(x, logEntry)
	}
	return buffer.Revived{}, fmt.Errorf("it is of a kind %q that this version does not know", x.Kind)
}

func reviveEntry(x buffer.Letter, read func(text string) (buffer.Entry, error)) (buffer.Revived, error) {
	e, err := read(x.Line)
	if err != nil {
		return buffer.Revived{}, fmt.Errorf("read the %s: %w", x.Kind, err)
	}
	return buffer.Revived{Entry: &e}, nil
}

const (
	pathLetters = "/v1/dead-letters"
	pathRetry   = "/v1/dead-letters/retry"
	// someNumbers fit into one request of the control socket.
	someNumbers = 500
)

// letterEndpoints serve the dead letters of a running agent.
func letterEndpoints(s Purger) []Endpoint {
	return []Endpoint{
		{Method: "GET", Path: pathLetters, Serve: func(ctx context.Context, query url.Values, w io.Writer) error {
			return serveLetters(ctx, s, query, w)
		}},
		{Method: "POST", Path: pathRetry, Serve: func(ctx context.Context, query url.Values, w io.Writer) error {
			return serveRetry(ctx, s, query, w)
		}},
	}
}

func letterQuery(query url.Values) (f LetterFilter, err error) {
	if err := json.Unmarshal([]byte(query.Get("filter")), &f); err != nil {
		return f, fmt.Errorf("read which dead letters are meant: %w; agent and command may be of different versions", err)
	}
	return f, nil
}

func serveLetters(ctx context.Context, s Store, query url.Values, w io.Writer) error {
	f, err := letterQuery(query)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil { // begins the answer
		return err
	}
	lines := json.NewEncoder(w)
	return letters(ctx, s, f, func(x buffer.Letter) error { return lines.Encode(x) })
}

func serveRetry(ctx context.Context, s Purger, query url.Values, w io.Writer) error {
	f, err := letterQuery(query)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	done, err := retry(ctx, s, f, time.Now())
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(done)
}

// Letters implements Source.
func (s Stopped) Letters(ctx context.Context, f LetterFilter, fn func(buffer.Letter) error) error {
	return letters(ctx, s.Store, f, fn)
}

// Retry implements Source. The store must be open for writing.
func (s Stopped) Retry(ctx context.Context, f LetterFilter) (Retried, error) {
	w, ok := s.Store.(Purger)
	if !ok {
		return Retried{}, fmt.Errorf("retry dead letters of %s: it is open for reading only", s.Path)
	}
	return retry(ctx, w, f, time.Now())
}

func (f LetterFilter) query() (url.Values, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode which dead letters are meant: %w", err)
	}
	return url.Values{"filter": {string(text)}}, nil
}

// inParts calls fn with filters of so few numbers that each fits a request.
func (f LetterFilter) inParts(fn func(LetterFilter) error) error {
	if len(f.Numbers) == 0 {
		return fn(f)
	}
	for numbers := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(f.Numbers))), someNumbers) {
		part := f
		part.Numbers = numbers
		if err := fn(part); err != nil {
			return err
		}
	}
	return nil
}

// Letters implements Source.
func (r Running) Letters(ctx context.Context, f LetterFilter, fn func(buffer.Letter) error) error {
	return f.inParts(func(part LetterFilter) error { return r.letters(ctx, part, fn) })
}

func (r Running) letters(ctx context.Context, f LetterFilter, fn func(buffer.Letter) error) error {
	query, err := f.query()
	if err != nil {
		return err
	}
	body, err := r.Ask(ctx, "GET", pathLetters, query)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var x buffer.Letter
		switch err := lines.Decode(&x); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the agent's answer: %w", err)
		}
		if err := fn(x); err != nil {
			return err
		}
	}
}

// Retry implements Source.
func (r Running) Retry(ctx context.Context, f LetterFilter) (Retried, error) {
	all := Retried{Failed: []FailedLetter{}}
	err := f.inParts(func(part LetterFilter) error {
		query, err := part.query()
		if err != nil {
			return err
		}
		var one Retried
		if err := r.document(ctx, "POST", pathRetry, query)(&one); err != nil {
			return err
		}
		all.Retried, all.Same, all.Old, all.Account = all.Retried+one.Retried, all.Same+one.Same, all.Old+one.Old, one.Account
		all.Failed = append(all.Failed, one.Failed...)
		return nil
	})
	return all, err
}

// PurgeLetters purges the dead letters with the numbers.
func PurgeLetters(ctx context.Context, s Source, numbers []uint64) (all Purged, err error) {
	if len(numbers) == 0 {
		st, err := s.Stat(ctx)
		return Purged{Account: st.Account}, err
	}
	err = LetterFilter{Numbers: numbers}.inParts(func(part LetterFilter) error {
		one, err := s.Purge(ctx, buffer.Purge{Letters: part.Numbers})
		all.Purged, all.Account = all.Purged+one.Purged, one.Account
		return err
	})
	return all, err
}
