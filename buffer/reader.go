package buffer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/edgehold/edgehold/buffer/arc"
)

// ErrRunning says that an agent has the file open.
var ErrRunning = errors.New("the file is in use by a running edgehold")

// Reader reads the file of an agent that does not run. It writes nothing.
type Reader struct {
	v *volume
	l ledger
}

// OpenReader opens the file read-only. The error is an ErrRunning while a
// store has it open.
func OpenReader(path string) (*Reader, error) {
	r, err := openReader(path)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open buffer %s: %w", path, ErrRunning)
	case err != nil:
		return nil, openError(path, err)
	}
	return r, nil
}

func openReader(path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err // bbolt would make it
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait, PageSize: pageSize, PreLoadFreelist: true})
	if err != nil {
		return nil, asDamage(err)
	}
	r := &Reader{v: &volume{path: path, db: db, codec: new(arc.Codec), names: newDictionary()}}
	if r.l, err = r.v.load(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return r, nil
}

// Account gives the counters of the file.
func (r *Reader) Account() Account { return r.l.Account.withSubStates() }

// Stat tells what is in the file.
func (r *Reader) Stat() Stat {
	st, err := r.v.sizes()
	if err != nil {
		st.Alarm = err.Error()
	}
	st.Records, st.Segments, st.Series, st.Salvage = r.l.Records, r.l.Segments, r.v.names.len(), r.l.Salvage.public()
	first := int64(math.MaxInt64)
	_ = r.v.view(func(tx *bbolt.Tx) error {
		return records(tx, r.l.LateThrough, func(x record) (bool, error) {
			if d := r.l.Guesses.of(x.number()); d.state == timed && !r.l.settled.has(x.span()) {
				first = min(first, d.wall(x.min))
			}
			return true, nil
		})
	})
	if first != math.MaxInt64 {
		st.Oldest = time.UnixMilli(first)
	}
	return st
}

// Read is Store.Read.
func (r *Reader) Read(ctx context.Context, sel Selection, fn func(Page) error) error {
	if err := r.v.read(ctx, sel, fn); err != nil {
		return fmt.Errorf("read buffer %s: %w", r.v.path, err)
	}
	return nil
}

// DeadLetters is Store.DeadLetters.
func (r *Reader) DeadLetters(fn func(Letter) error) error { return r.v.deadLetters(0, fn) }

// VerifyProgress is Store.VerifyProgress.
func (r *Reader) VerifyProgress(ctx context.Context, progress func(done, of int64)) (Account, error) {
	return r.v.verify(ctx, progress)
}

// Close closes the file.
func (r *Reader) Close() error {
	if err := r.v.close(); err != nil {
		return fmt.Errorf("close buffer %s: %w", r.v.path, err)
	}
	return nil
}
