package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// trial is one measurement of one layout. It runs in a process of its own, so
// that its memory is its own.
type trial struct {
	Layout      string
	Mode        string // offline, online, drain
	Mix         mixOptions
	Recording   string // a file of points in place of the mix
	Warmup      int    // polls that are not counted
	Cycles      int    // polls that are
	Quiet       bool   // let the file system settle after each commit, as in the minute to the next one
	Keep        bool   // leave the file and do not drain it
	Window      time.Duration
	RecordBytes int // of the append log
	Disk        disk
}

// The modes of a trial.
const (
	offline = "offline" // only appends; then all is drained, unless the file is kept
	online  = "online"  // each poll is leased and settled before the next commit
	drain   = "drain"   // opens a file that was kept, and drains it
)

// result is what a trial measured. Rates are of the time spent in the layout.
type result struct {
	Points, Commits int // counted ones
	Stored          int // points, the warm-up included
	Series          int
	Opened          int64   // anonymous memory of an opened file before it is drained
	Used, File      int64   // bytes after the last append; of a drain at its end
	Device          traffic // of the counted commits
	DrainDevice     traffic
	Append, Drain   time.Duration
	Open            time.Duration
	Anonymous       int64 // largest RssAnon seen
	Collected       int64 // RssAnon after collections, their median
	CollectedMost   int64 // the largest of them
	Payload         int64 // bytes of all values in the file
	DrainedPoints   int
	Account         buffer.Account // of the store, at the end
	LongestAppend   time.Duration
}

func (t trial) source() (source, error) {
	if t.Recording != "" {
		return openRecording(t.Recording)
	}
	return newMix(t.Mix), nil
}

// at is the time at which the layout is opened.
func (t trial) at() int64 {
	const minute = 60_000
	if t.Mode == drain {
		return mixStart + int64(t.Warmup+t.Cycles)*minute
	}
	return mixStart
}

// trialCommand reads a trial from standard input and prints its result.
func trialCommand(args []string) error {
	flags := flag.NewFlagSet("trial", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	var t trial
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return fmt.Errorf("read trial: %w", err)
	}
	r := runner{trial: t}
	if err := r.run(); err != nil {
		return fmt.Errorf("%s, %s: %w", t.Layout, t.Mode, err)
	}
	return json.NewEncoder(os.Stdout).Encode(r.result)
}

// start runs a trial in a child process.
func (t trial) start() (result, error) {
	var r result
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	spec, err := json.Marshal(t)
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self, "trial")
	in, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	go func() {
		_, _ = in.Write(spec)
		_ = in.Close()
	}()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("trial %s: %w", spec, err)
	}
	return r, json.Unmarshal(out, &r)
}

// runner is a trial at work.
type runner struct {
	trial  trial
	result result
	layout layout
	source source
	check  *verifier

	samples   int
	collected []int64
}

const (
	collectEach = 1000                  // samples, from one full collection to the next
	drainStep   = 1_000                 // points taken at once, as the drain of the agent does
	tick        = 10 * time.Millisecond // a file's time stamp changes at most this often
)

func (r *runner) run() error {
	var err error
	if r.source, err = r.trial.source(); err != nil {
		return err
	}
	again, err := r.trial.source()
	if err != nil {
		return err
	}
	r.check = newVerifier(again)
	path := filepath.Join(r.trial.Disk.Dir, fileName)
	if r.trial.Mode != drain {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	from := time.Now()
	if r.layout, err = openLayout(r.trial, r.check); err != nil {
		return err
	}
	r.result.Open = time.Since(from)
	if err := errors.Join(r.work(), r.layout.Close()); err != nil {
		return err
	}
	if !r.trial.Keep {
		return os.RemoveAll(path)
	}
	r.result.Payload, err = payload(path)
	return errors.Join(err, uncache(path))
}

// payload adds up the values in a file of bbolt.
func payload(path string) (sum int64, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return 0, fmt.Errorf("add up the values: %w", err)
	}
	defer db.Close()
	var add func(b *bbolt.Bucket) error
	add = func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			sum += int64(len(v))
			if v != nil {
				return nil
			}
			return add(b.Bucket(k))
		})
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return add(b) })
	})
	return sum, err
}

func (r *runner) work() error {
	if p, ok := r.layout.(*product); ok {
		defer func() {
			r.samples = 0
			r.sample()
			r.result.Account = p.store.Account()
		}()
	}
	if r.trial.Mode == drain {
		return r.drain()
	}
	if err := r.append(); err != nil {
		return err
	}
	var err error
	if r.result.Used, r.result.File, err = r.layout.Size(); err != nil || r.trial.Keep {
		return err
	}
	return r.drain()
}

func (r *runner) append() error {
	var before traffic
	for i := range r.trial.Warmup + r.trial.Cycles {
		var err error
		if i == r.trial.Warmup {
			if before, err = r.trial.Disk.count(); err != nil {
				return err
			}
		}
		more, err := r.cycle(i >= r.trial.Warmup)
		if err != nil {
			return fmt.Errorf("poll %d: %w", i, err)
		}
		if !more {
			break
		}
	}
	after, err := r.trial.Disk.count()
	r.result.Device = after.minus(before)
	return err
}

// cycle is one commit, and online what was in it is settled.
func (r *runner) cycle(counted bool) (bool, error) {
	points, err := r.source.next()
	if err != nil || points == nil {
		return false, err
	}
	n := len(points)
	from := time.Now()
	if err := r.layout.Append(points); err != nil {
		return false, err
	}
	spent := time.Since(from)
	if counted {
		r.result.Append += spent
		r.result.LongestAppend = max(r.result.LongestAppend, spent)
		r.result.Points += n
		r.result.Commits++
	}
	r.result.Stored += n
	r.result.Series = max(r.result.Series, n)
	if r.trial.Quiet {
		time.Sleep(tick)
		if err := r.trial.Disk.settle(); err != nil {
			return false, err
		}
	}
	if r.trial.Mode == online {
		if err := r.takeAll(n); err != nil {
			return false, err
		}
	}
	r.sample()
	return true, nil
}

// takeAll takes what one append brought.
func (r *runner) takeAll(n int) error {
	for taken := 0; taken < n; {
		k, err := r.layout.Take(n - taken)
		if err != nil {
			return err
		}
		if k == 0 {
			return fmt.Errorf("took %d points of %d", taken, n)
		}
		taken += k
	}
	return nil
}

func (r *runner) sample() {
	r.result.Anonymous = max(r.result.Anonymous, anonymous())
	if r.samples++; r.samples%collectEach == 1 {
		debug.FreeOSMemory()
		r.collected = append(r.collected, anonymous())
		slices.Sort(r.collected)
		r.result.Collected, r.result.CollectedMost = r.collected[len(r.collected)/2], r.collected[len(r.collected)-1]
	}
}

// drain takes all that is there.
func (r *runner) drain() error {
	if r.trial.Mode == drain {
		if err := r.check.prime(); err != nil {
			return err
		}
		debug.FreeOSMemory()
		r.result.Opened = anonymous()
	}
	before, err := r.trial.Disk.count()
	if err != nil {
		return err
	}
	from, checked := time.Now(), r.check.spent
	for {
		n, err := r.layout.Take(drainStep)
		if err != nil {
			return fmt.Errorf("after %d points drained: %w", r.result.DrainedPoints, err)
		}
		if n == 0 {
			break
		}
		r.result.DrainedPoints += n
		outside := time.Now()
		r.sample()
		from = from.Add(time.Since(outside))
	}
	if err := r.layout.Flush(); err != nil {
		return err
	}
	r.result.Drain = time.Since(from) - (r.check.spent - checked)
	after, err := r.trial.Disk.count()
	r.result.DrainDevice = after.minus(before)
	if err != nil || r.trial.Mode != drain {
		return err
	}
	r.result.Used, r.result.File, err = r.layout.Size()
	return err
}
