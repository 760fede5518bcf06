package powercut

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// What a copy of the test binary shall be.
const (
	roleVariable  = "EDGEHOLD_POWERCUT_ROLE"
	roleInside    = "inside" // the tests, in a mount namespace of their own
	roleHold      = "hold"   // keeps the namespace
	roleWork      = "work"
	roleJudge     = "judge"
	taskVariable  = "EDGEHOLD_POWERCUT_TASK"
	keepVariable  = "EDGEHOLD_POWERCUT_KEEP"
	seedVariable  = "EDGEHOLD_POWERCUT_SEED"
	soakVariable  = "EDGEHOLD_SOAK"
	judgeDeadline = time.Minute
	bufferName    = "buffer.db"
)

// setup is the disk on which the child works, and what it does there.
type setup struct {
	fstype  string
	options string // of the mount on which the child works
	lies    bool   // the disk ignores flushes
	noSync  bool   // the child's calls of fsync and fdatasync do nothing
	hold    bool
	ops     int
	seed    uint64
}

func (s setup) String() string {
	return fmt.Sprintf("%s %q hold=%v seed=%d", s.fstype, s.options, s.hold, s.seed)
}

// mkfs gives the size of the disk and the command that formats it.
func (s setup) mkfs() (size int64, command []string) {
	if s.fstype == "xfs" {
		return 320 << 20, []string{"mkfs.xfs", "-q", "-f"}
	}
	return 48 << 20, []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
}

// run is what one child after the other has done to a disk.
type run struct {
	setup
	base *image // before
	log  []request
	said history
}

// newRun lets children work on a new disk until their task is done.
func newRun(s setup, scratch string) (r *run, err error) {
	size, mkfs := s.mkfs()
	d := &disk{content: newImage(size)}
	path, end, err := d.serve(filepath.Join(scratch, "fuse"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := command(mkfs[0], append(mkfs[1:], path)...); err != nil {
		return nil, err
	}
	target := filepath.Join(scratch, "mnt")
	if err := os.Mkdir(target, 0o700); err != nil {
		return nil, err
	}
	if err := mount(path, target, s.fstype, s.options); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unmount(target)) }()
	if err := command("sync", "-f", target); err != nil {
		return nil, err
	}
	r = &run{setup: s, base: d.record()}
	err = r.work(d, filepath.Join(target, bufferName))
	r.log = d.stop()
	return r, err
}

func (r *run) work(d *disk, path string) error {
	t := task{Path: path, Seed: r.seed << 16, Ops: r.ops, Clock: epoch, Hold: r.hold}
	for t.Ops > 0 {
		t.Seed++ // or a child that comes back would do the same again
		killed, err := r.child(d, t)
		if err != nil || !killed {
			return err
		}
		last := r.said[len(r.said)-1]
		t.Ops, t.First, t.Clock = last.Left, r.said.points(), last.Clock
	}
	return nil
}

// child runs one, and reports whether it killed itself as it had said.
func (r *run) child(d *disk, t task) (killed bool, err error) {
	cmd, stderr := actor(context.Background(), roleWork, t), &bytes.Buffer{}
	if r.noSync {
		cmd.Args = append([]string{
			"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
			"-e", "inject=fsync,fdatasync:retval=0",
		}, cmd.Args...)
		if cmd.Path, err = exec.LookPath("strace"); err != nil {
			return false, err
		}
	}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	listened := r.listen(d, filepath.Dir(t.Path), out, in)
	_ = in.Close()
	err = cmd.Wait()
	if n := len(r.said); listened == nil && n > 0 && r.said[n-1].Op == opKill && err != nil {
		return true, nil
	}
	if err = errors.Join(listened, err); err != nil {
		return false, fmt.Errorf("the child of %v: %w: %s", r.setup, err, stderr)
	}
	return false, nil
}

// listen notes what the child says and how far the disk is, and tells it to go
// on.
func (r *run) listen(d *disk, path string, out io.Reader, in io.Writer) error {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // it has ended; how, Wait tells
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the child said %q: %w", line, err)
		}
		if r.noSync && len(r.said)%100 == 0 { // as the kernel does by itself, in its time
			if err := command("sync", "-f", path); err != nil {
				return err
			}
		}
		e.Pos = d.position()
		r.said = append(r.said, e)
		if _, err := in.Write([]byte{'\n'}); err != nil {
			return nil
		}
	}
}

// actor is a copy of this binary.
func actor(ctx context.Context, role string, t task) *exec.Cmd {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // a struct of plain fields
	}
	self, err := os.Executable()
	if err != nil {
		panic(err) // Linux always knows
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, taskVariable+"="+string(text))
	return cmd
}

// firstAck is how many requests the disk had been sent when the first point was
// durable.
func (r *run) firstAck() int {
	n := slices.IndexFunc(r.said, func(e event) bool { return e.Op == opAck })
	if n < 0 {
		return len(r.log)
	}
	return r.said[n].Pos
}

// outcome is what became of one cut.
type outcome struct {
	cut
	number  int
	verdict *verdict
	err     error // of the rig
}

// cuts picks moments from..to, in their order.
func (r *run) cuts(n, from, to int) []cut {
	random := rand.New(rand.NewPCG(r.seed, 1))
	out := make([]cut, n)
	for i := range out {
		out[i] = newCut(r.log, from+random.IntN(max(1, to-from+1)), r.lies, random)
	}
	slices.SortStableFunc(out, func(a, b cut) int { return a.At - b.At })
	return out
}

// try judges all cuts, on as many processors as there are.
func (r *run) try(cuts []cut, scratch string) []outcome {
	out := make([]outcome, len(cuts))
	var next sync.Mutex
	taken, workers := 0, sync.WaitGroup{}
	for n := range 2 {
		workers.Go(func() {
			b := bench{run: r, dir: filepath.Join(scratch, "bench"+strconv.Itoa(n)), flushed: r.base.fork()}
			for {
				next.Lock()
				i := taken
				taken++
				next.Unlock()
				if i >= len(cuts) {
					return
				}
				v, err := b.try(cuts[i])
				out[i] = outcome{cuts[i], i, v, err}
			}
		})
	}
	workers.Wait()
	return out
}

// bench builds disks, one after the other.
type bench struct {
	*run
	dir     string
	flushed *image // with the requests up to done
	done    int
}

func (b *bench) try(c cut) (v *verdict, err error) {
	for ; b.done < c.Flushed; b.done++ {
		if r := b.log[b.done]; !r.flush {
			r.apply(b.flushed, 0, r.size())
		}
	}
	target, path := filepath.Join(b.dir, "mnt"), filepath.Join(b.dir, "disk")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return nil, err
	}
	m := c.torn(b.flushed, b.log)
	if err := m.save(path); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	said := b.said.until(c.At)
	options := ""
	if b.fstype == "xfs" {
		options = "nouuid" // another bench may have the same disk mounted
	}
	if err := mount(path, target, b.fstype, options); err != nil {
		v = &verdict{Problems: []string{err.Error()}}
	} else {
		v, err = ask(said, filepath.Join(target, bufferName))
		err = errors.Join(err, unmount(target))
	}
	if err == nil && len(v.Problems) > 0 {
		err = b.keep(m, c, said)
	}
	return v, err
}

// ask has a fresh process judge.
func ask(said history, path string) (*verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), judgeDeadline)
	defer cancel()
	cmd := actor(ctx, roleJudge, task{Path: path})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	text, err := json.Marshal(said)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	v := &verdict{}
	if err := cmd.Run(); err != nil {
		v.add("the process that opened the buffer died: %v: %.2000s", err, stderr.String())
		return v, nil
	}
	return v, json.Unmarshal(stdout.Bytes(), v)
}

// keep writes the disk and what was said to a folder, if one is given.
func (b *bench) keep(m *image, c cut, said history) error {
	folder := os.Getenv(keepVariable)
	if folder == "" {
		return nil
	}
	name := filepath.Join(folder, fmt.Sprintf("%s-%d-%d-%d", b.fstype, b.seed, c.At, c.Seed))
	text, err := json.Marshal(struct {
		Cut  cut
		Said history
	}{c, said})
	if err != nil {
		return err
	}
	return errors.Join(m.save(name+".img"), os.WriteFile(name+".json", text, 0o600))
}

// act is main of the copies that work and judge.
func act(role string, in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(os.Getenv(taskVariable)), &t); err != nil {
		return err
	}
	if role == roleWork {
		return work(t, in, out)
	}
	var said history
	if err := json.NewDecoder(in).Decode(&said); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(judge(said, t.Path))
}
