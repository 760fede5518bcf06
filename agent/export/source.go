package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/edgehold/edgehold/buffer"
)

// Store is a store that is open, for writing or for reading only.
type Store interface {
	Account() buffer.Account
	Stat() buffer.Stat
	Read(ctx context.Context, sel buffer.Selection, fn func(buffer.Page) error) error
	VerifyProgress(ctx context.Context, progress func(done, of int64)) (buffer.Account, error)
	DeadLetters(fn func(buffer.Letter) error) error
}

// Purger is a store that is open for writing.
type Purger interface {
	Store
	Purge(ctx context.Context, p buffer.Purge) (int64, error)
	RetryLetters(ctx context.Context, numbers []uint64, revive func(buffer.Letter) (buffer.Revived, error)) (int, error)
}

// Source is where the commands read from.
type Source interface {
	// Read gives the points that fit, oldest record first. Of an entry there may
	// be no more than that it exists.
	Read(ctx context.Context, f Filter, fn func(buffer.Page) error) (Hint, error)
	Stat(ctx context.Context) (Stat, error)
	// Verify returns a *Damage where it finds some.
	Verify(ctx context.Context, progress func(done, of int64)) (buffer.Account, error)
	Purge(ctx context.Context, p buffer.Purge) (Purged, error)
	// Letters gives the dead letters that fit, oldest first.
	Letters(ctx context.Context, f LetterFilter, fn func(buffer.Letter) error) error
	// Retry makes the dead letters that fit wait to be sent again.
	Retry(ctx context.Context, f LetterFilter) (Retried, error)
	Close() error
}

// Hint names what is there when nothing fitted, the most alike first.
type Hint struct {
	Devices []string `json:"devices,omitempty"` // no series was of the device
	Keys    []string `json:"keys,omitempty"`    // no metric of it had the key
}

// Stat is a picture of a store.
type Stat struct {
	Path    string `json:"path"`
	Running bool   `json:"running"` // an agent has it open
	buffer.Stat
	// BytesPerPoint is what each point in the file takes of it, 0 without any.
	BytesPerPoint float64        `json:"bytes_per_point"`
	Account       buffer.Account `json:"account"`
}

// Purged is what became of a purge: how many points and dead letters left, and
// the account after it.
type Purged struct {
	Purged  int64          `json:"purged"`
	Account buffer.Account `json:"account"`
}

// Damage is what Verify found.
type Damage struct{ Text string }

// Error tells what is damaged.
func (d *Damage) Error() string { return d.Text }

// statOf puts the picture together.
func statOf(s Store, path string, running bool) Stat {
	st := Stat{Path: path, Running: running, Stat: s.Stat(), Account: s.Account()}
	if n := st.Account.Buffered + st.Account.Late; n > 0 {
		st.BytesPerPoint = float64(st.UsedBytes) / float64(n)
	}
	return st
}

// read reads from an open store and finds the hint.
func read(ctx context.Context, s Store, f Filter, fn func(buffer.Page) error) (Hint, error) {
	seen, points := newSighting(), 0
	err := s.Read(ctx, f.selection(seen), func(p buffer.Page) error {
		points += len(p.Points)
		return fn(p)
	})
	if err != nil || points > 0 {
		return Hint{}, err
	}
	const names = 5
	h := Hint{Keys: nearest(seen.keys, f.Key, names)}
	if len(h.Keys) == 0 { // no series of the device came as far as its key
		h.Devices = nearest(seen.devices, f.Device, names)
	}
	return h, nil
}

// verify tells damage from what kept it from being looked for.
func verify(ctx context.Context, s Store, progress func(done, of int64)) (buffer.Account, error) {
	a, err := s.VerifyProgress(ctx, progress)
	switch {
	case err == nil || ctx.Err() != nil, errors.Is(err, buffer.ErrClosed):
		return a, err
	}
	return a, &Damage{err.Error()}
}

// Stopped is the store of a stopped agent.
type Stopped struct {
	Store interface {
		Store
		Close() error
	}
	Path string
}

// Read implements Source.
func (s Stopped) Read(ctx context.Context, f Filter, fn func(buffer.Page) error) (Hint, error) {
	return read(ctx, s.Store, f, fn)
}

// Stat implements Source.
func (s Stopped) Stat(context.Context) (Stat, error) { return statOf(s.Store, s.Path, false), nil }

// Verify implements Source.
func (s Stopped) Verify(ctx context.Context, progress func(done, of int64)) (buffer.Account, error) {
	return verify(ctx, s.Store, progress)
}

// Purge implements Source. The store must be open for writing.
func (s Stopped) Purge(ctx context.Context, p buffer.Purge) (Purged, error) {
	w, ok := s.Store.(Purger)
	if !ok {
		return Purged{}, fmt.Errorf("purge %s: it is open for reading only", s.Path)
	}
	n, err := w.Purge(ctx, p)
	return Purged{n, w.Account()}, err
}

// Close closes the file.
func (s Stopped) Close() error { return s.Store.Close() }

// Running is the store of a running agent. Ask sends a request over the
// control socket and gives the answer's body, whose end is an error if the
// agent could not give all of it.
type Running struct {
	Ask func(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error)
}

// Read implements Source.
func (r Running) Read(ctx context.Context, f Filter, fn func(buffer.Page) error) (Hint, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return Hint{}, fmt.Errorf("encode the selection: %w", err)
	}
	body, err := r.Ask(ctx, "GET", pathRead, url.Values{"filter": {string(text)}})
	if err != nil {
		return Hint{}, err
	}
	defer body.Close()
	return readStream(body, fn)
}

// Stat implements Source.
func (r Running) Stat(ctx context.Context) (st Stat, err error) {
	err = r.document(ctx, "GET", pathStat, nil)(&st)
	return st, err
}

// Verify implements Source.
func (r Running) Verify(ctx context.Context, progress func(done, of int64)) (buffer.Account, error) {
	body, err := r.Ask(ctx, "POST", pathVerify, nil)
	if err != nil {
		return buffer.Account{}, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var l verifyLine
		if err := lines.Decode(&l); err != nil {
			return buffer.Account{}, fmt.Errorf("read the agent's answer: %w", err)
		}
		switch {
		case l.Account == nil:
			progress(l.Done, l.Of)
		case l.Damage != "":
			return *l.Account, &Damage{l.Damage}
		default:
			return *l.Account, nil
		}
	}
}

// Purge implements Source.
func (r Running) Purge(ctx context.Context, p buffer.Purge) (done Purged, err error) {
	text, err := json.Marshal(p)
	if err != nil {
		return done, fmt.Errorf("encode the purge: %w", err)
	}
	err = r.document(ctx, "POST", pathPurge, url.Values{"purge": {string(text)}})(&done)
	return done, err
}

// Close implements Source; there is nothing to close.
func (Running) Close() error { return nil }

// document asks for one JSON document and gives what decodes it.
func (r Running) document(ctx context.Context, method, path string, query url.Values) func(out any) error {
	return func(out any) error {
		body, err := r.Ask(ctx, method, path, query)
		if err != nil {
			return err
		}
		defer body.Close()
		if err := json.NewDecoder(body).Decode(out); err != nil {
			return fmt.Errorf("read the agent's answer: %w; agent and command may be of different versions", err)
		}
		return nil
	}
}
