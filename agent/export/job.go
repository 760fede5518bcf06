package export

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// Request is what is wanted, in the words it was asked for with.
type Request struct {
	Format    string            `json:"format"` // one of Formats
	Device    string            `json:"device,omitempty"`
	Key       string            `json:"key,omitempty"`
	Dims      map[string]string `json:"dims,omitempty"`
	Since     string            `json:"since,omitempty"` // as ParseMoment takes it
	Until     string            `json:"until,omitempty"`
	Delivered bool              `json:"delivered,omitempty"`
}

// Formats are the formats of an export.
var Formats = []string{"mint", "csv", "openmetrics"}

// Filter makes the request absolute.
func (r Request) Filter(now time.Time) (f Filter, err error) {
	f = Filter{Device: r.Device, Key: r.Key, Dims: r.Dims, Delivered: r.Delivered}
	for _, m := range []struct {
		name, text string
		into       *time.Time
	}{{"--since", r.Since, &f.Since}, {"--until", r.Until, &f.Until}} {
		if m.text == "" {
			continue
		}
		if *m.into, err = ParseMoment(m.text, now); err != nil {
			return f, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return f, f.Check()
}

// differs names the first part of the request that is set and is another one
// than in the export that is gone on with.
func (r Request) differs(old Request) (name, have, want string) {
	for _, p := range [][3]string{
		{"--format", old.Format, r.Format},
		{"--device", old.Device, r.Device},
		{"--key", old.Key, r.Key},
		{"--since", old.Since, r.Since},
		{"--until", old.Until, r.Until},
	} {
		if p[2] != "" && p[1] != p[2] {
			return p[0], p[1], p[2]
		}
	}
	if len(r.Dims) > 0 && !maps.Equal(r.Dims, old.Dims) {
		return "--dim", fmt.Sprint(old.Dims), fmt.Sprint(r.Dims)
	}
	if r.Delivered && !old.Delivered {
		return "--delivered", "not set", "set"
	}
	return "", "", ""
}

// Job is one export.
type Job struct {
	Source   Source
	Request  Request
	Output   string // "": Stdout
	Stdout   io.Writer
	Resume   bool
	Now      time.Time
	Progress func(what string, done, of int64)
	// Checkpoint is how often the state of an export to a file is made durable;
	// 0: every five seconds.
	Checkpoint time.Duration
}

// Totals count what an export has met.
type Totals struct {
	Points     int64  `json:"points"`      // written
	Skipped    int64  `json:"skipped"`     // that the format cannot hold
	SkipReason string `json:"skip_reason"` // of the first of them
	Doubles    int64  `json:"doubles"`     // of one series and time, of which the last was written
	Entries    int64  `json:"entries"`     // events and log records passed over
}

// Result is how an export ended.
type Result struct {
	Totals
	Bytes int64
	Hint  Hint // when no point fitted
}

// state is the .state file of an export, as of what its .part file holds.
type state struct {
	Version   int     `json:"version"`
	Store     string  `json:"store"`
	Request   Request `json:"request"`
	Filter    Filter  `json:"filter"`    // From is the next record
	Offset    int64   `json:"offset"`    // bytes of whole records
	Collected bool    `json:"collected"` // openmetrics: all is in the .spill file
	Totals    Totals  `json:"totals"`
}

const (
	stateVersion = 1
	flushBytes   = 256 << 10
)

// ErrInterrupted is an export whose context has ended.
var ErrInterrupted = errors.New("the export was interrupted")

func (j Job) partPath() string  { return j.Output + ".part" }
func (j Job) statePath() string { return j.Output + ".part.state" }
func (j Job) spillPath() string { return j.Output + ".part.spill" }

// Run exports. An error that leaves a .part file says how to go on.
func (j Job) Run(ctx context.Context) (Result, error) {
	if j.Progress == nil {
		j.Progress = func(string, int64, int64) {}
	}
	j.Checkpoint = cmp.Or(j.Checkpoint, 5*time.Second)
	st, err := j.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	w := &work{job: j, state: st, ahead: st}
	if st.Request.Format == "openmetrics" {
		w.sorter = newSorter()
	}
	defer w.close()
	if err := w.open(); err != nil {
		return Result{}, err
	}
	res, err := w.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = ErrInterrupted
	}
	if err != nil && j.Output != "" {
		err = fmt.Errorf("%w\nwhat is done is kept in %s*: go on with the same command and --resume", err, j.partPath())
	}
	return res, err
}

// begin makes the state to start from: a new one, or that of the export that
// is gone on with.
func (j Job) begin(ctx context.Context) (state, error) {
	if err := j.checkOutput(); err != nil {
		return state{}, err
	}
	store, err := j.Source.Stat(ctx)
	if err != nil {
		return state{}, err
	}
	if j.Resume {
		return j.resume(store.Path)
	}
	if _, err := os.Stat(j.statePath()); err == nil && j.Output != "" {
		return state{}, fmt.Errorf("%s is left from an export that was interrupted: go on with it by --resume, or delete it to begin again", j.statePath())
	}
	j.Request.Format = cmp.Or(j.Request.Format, Formats[0])
	f, err := j.Request.Filter(j.Now)
	return state{Version: stateVersion, Store: store.Path, Request: j.Request, Filter: f}, err
}

// checkOutput refuses what a finished export would replace and must not, such
// as /dev/null.
func (j Job) checkOutput() error {
	if j.Output == "" {
		return nil
	}
	info, err := os.Lstat(j.Output)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it will be made
		return nil
	case err != nil:
		return fmt.Errorf("look at --output: %w", err)
	case info.Mode().IsRegular():
		return nil
	}
	return fmt.Errorf("--output %s is no regular file and would be replaced by one: name another, or leave --output out and redirect standard output", j.Output)
}

func (j Job) resume(store string) (st state, err error) {
	text, err := os.ReadFile(j.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return st, fmt.Errorf("there is nothing to resume: %s is not there; run the command without --resume", j.statePath())
	}
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	if err == nil && st.Version != stateVersion {
		err = fmt.Errorf("it is of version %d, expected %d", st.Version, stateVersion)
	}
	if err != nil {
		return st, fmt.Errorf("read %s: %w; delete it and %s to begin again", j.statePath(), err, j.partPath())
	}
	if name, have, want := j.Request.differs(st.Request); name != "" {
		return st, fmt.Errorf("%s is %q, the interrupted export has %q: leave it out to go on, or delete %s to begin again", name, want, have, j.partPath())
	}
	if st.Store != store {
		return st, fmt.Errorf("this store is %s, the interrupted export is of %s: name that one, or delete %s to begin again", store, st.Store, j.partPath())
	}
	return st, nil
}

// work is an export under way.
type work struct {
	job    Job
	state  state   // as of what is written
	ahead  state   // as of what is in buf too
	buf    []byte  // whole records that wait to be written
	out    *part   // the .part file, or the spill file; nil: standard output
	sorter *sorter // of openmetrics
	csv    csvWriter
	saved  time.Time
	bytes  int64 // written to standard output
}

// open opens what is written to while the store is read.
func (w *work) open() (err error) {
	w.saved = time.Now()
	switch {
	case w.job.Output == "" && w.sorter == nil:
	case w.job.Output == "":
		w.out, err = temporary()
	case w.job.Resume:
		if w.out, err = reopenPart(w.collectPath(), w.state.Offset); err == nil && w.sorter != nil {
			err = w.sorter.load(w.out.f, w.state.Offset)
		}
	default:
		if w.out, err = createPart(w.collectPath()); err != nil {
			break
		}
		if err = w.save(); err != nil {
			_ = os.Remove(w.collectPath()) // without its state it is in the way
		}
	}
	if err == nil && w.state.Request.Format == "csv" && w.state.Offset == 0 {
		w.buf = append(w.buf, csvHeader...)
	}
	return err
}

// close lets go of the file. Where that matters it has been closed before, and
// the error was heard.
func (w *work) close() {
	if w.out != nil {
		_ = w.out.f.Close()
	}
}

func (w *work) collectPath() string {
	if w.sorter != nil {
		return w.job.spillPath()
	}
	return w.job.partPath()
}

// temporary is a spill file without a name, in TMPDIR or /var/tmp: /tmp often
// is memory.
func temporary() (*part, error) {
	f, err := os.CreateTemp(cmp.Or(os.Getenv("TMPDIR"), "/var/tmp"), "edgehold-export-*")
	if err != nil {
		return nil, fmt.Errorf("make a file to sort in: %w; name an --output, or set TMPDIR to a folder with room", err)
	}
	return &part{f: f}, os.Remove(f.Name())
}

func (w *work) run(ctx context.Context) (Result, error) {
	var hint Hint
	if !w.state.Collected {
		var err error
		hint, err = w.job.Source.Read(ctx, w.state.Filter, w.page)
		if endErr := w.endCollect(); err == nil {
			err = endErr
		}
		if err != nil {
			return Result{}, err
		}
	}
	size, err := w.finish(ctx)
	return Result{Totals: w.state.Totals, Bytes: size, Hint: hint}, err
}

// page renders one page and writes it with others.
func (w *work) page(p buffer.Page) error {
	t := &w.ahead.Totals
	skip := func(err error) {
		if t.Skipped++; t.Skipped == 1 {
			t.SkipReason = err.Error()
		}
	}
	clean := true
	if w.sorter != nil {
		before := t.Skipped
		w.buf, clean = w.sorter.spillPage(w.buf, p, skip)
		t.Points += int64(len(p.Points)) - (t.Skipped - before)
	} else {
		w.lines(p, skip)
	}
	t.Entries += int64(len(p.Entries))
	w.ahead.Filter.From = p.Record + 1
	w.job.Progress("read", p.Done, p.Of)
	if clean && (len(w.buf) >= flushBytes || w.job.Checkpoint < time.Since(w.saved)) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.job.Output != "" && w.job.Checkpoint < time.Since(w.saved) {
		return w.save()
	}
	return nil
}

func (w *work) lines(p buffer.Page, skip func(error)) {
	for i, point := range p.Points {
		var err error
		if w.state.Request.Format == "csv" {
			w.buf, err = w.csv.appendLine(w.buf, point, p.State[i])
		} else {
			w.buf, err = appendMint(w.buf, point)
		}
		if err != nil {
			skip(err)
			continue
		}
		w.ahead.Totals.Points++
	}
}

// flush writes what waits. The state then is as of that.
func (w *work) flush() error {
	if w.out == nil {
		n, err := w.job.Stdout.Write(w.buf)
		w.bytes += int64(n)
		if err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	} else if err := w.out.Append(w.buf); err != nil {
		return err
	}
	if w.sorter != nil {
		w.sorter.wrote(w.buf)
	}
	w.buf = w.buf[:0]
	w.state = w.ahead
	if w.out != nil {
		w.state.Offset = w.out.size
	}
	return nil
}

// save makes the state durable, after what it speaks of.
func (w *work) save() error {
	if err := w.out.f.Sync(); err != nil {
		return writeError(err)
	}
	w.saved = time.Now()
	return replaceFile(w.job.statePath(), w.state)
}

// endCollect writes the rest of what has been read, whether it is all or not.
func (w *work) endCollect() error {
	if w.sorter != nil {
		w.buf = w.sorter.appendRun(w.buf)
	}
	err := w.flush()
	if w.job.Output == "" {
		return err
	}
	return errors.Join(err, w.save())
}

// finish makes the output of what was collected and gives its size.
func (w *work) finish(ctx context.Context) (int64, error) {
	if w.sorter != nil {
		return w.finishSorted(ctx)
	}
	if w.out == nil {
		return w.bytes, nil
	}
	if err := w.out.ready(); err != nil {
		return 0, err
	}
	if err := publish(w.job.partPath(), w.job.Output); err != nil {
		return 0, err
	}
	return w.out.size, os.Remove(w.job.statePath())
}

// finishSorted merges the spill file into the text. Once all is collected this
// needs the store no more, and begins again when it was interrupted.
func (w *work) finishSorted(ctx context.Context) (int64, error) {
	if w.job.Output == "" {
		c := &counted{w: w.job.Stdout}
		err := w.merge(ctx, c)
		return c.n, err
	}
	w.state.Collected = true
	if err := w.save(); err != nil {
		return 0, err
	}
	if err := os.Remove(w.job.partPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, writeError(err)
	}
	text, err := createPart(w.job.partPath())
	if err != nil {
		return 0, err
	}
	err = w.merge(ctx, text)
	if readyErr := text.ready(); err == nil {
		err = readyErr
	}
	if err == nil {
		err = publish(w.job.partPath(), w.job.Output)
	}
	if err != nil {
		return 0, err
	}
	return text.size, errors.Join(os.Remove(w.job.statePath()), os.Remove(w.job.spillPath()))
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (w *work) merge(ctx context.Context, out io.Writer) error {
	text := newText(w.sorter.metrics, out)
	var done int64
	double, err := w.sorter.merge(w.out.f, func(s sample) error {
		if done++; done%4096 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.job.Progress("write", min(w.sorter.merged, w.sorter.at), w.sorter.at)
		}
		return text.sample(s)
	})
	if err != nil {
		return err
	}
	w.state.Totals.Doubles = double
	return text.end()
}
