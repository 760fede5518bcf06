package powercut

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain runs the tests in a mount namespace of their own: whatever way they
// end, the kernel then takes down all that they mounted, and with it the loop
// devices.
func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); {
	case role == roleWork || role == roleJudge:
		if err := act(role, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case role == "" && os.Geteuid() == 0:
		os.Exit(inside())
	case role == roleHold:
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, os.Stdin)
	case role == roleInside:
		pipe, err := hold()
		if err != nil {
			fmt.Fprintln(os.Stderr, "hold the mount namespace:", err)
			os.Exit(1)
		}
		// What lies in memory goes with the namespace too.
		if err := syscall.Mount("powercut", "/dev/shm", "tmpfs", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mount a folder in memory:", err)
		}
		code := m.Run()
		_ = pipe.Close() // not before: the end of this process closes it too
		os.Exit(code)
	default:
		os.Exit(m.Run())
	}
}

// hold starts a process that keeps the namespace until this one has ended. The
// last one in it takes it down before it closes its files: as this one serves
// the disk, it would wait for itself for ever.
func hold() (io.Closer, error) {
	end, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = end.Close() }()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+roleHold)
	cmd.Stdin = end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return pipe, cmd.Start()
}

// inside runs this command again, in the namespace.
func inside() int {
	runtime.LockOSThread() // the copy is told when its parent's thread ends
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInside)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start the tests in a mount namespace:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func soak() bool { return os.Getenv(soakVariable) != "" }

// times is how many moments to try: few, or many in a soak.
func times(few, many int) int {
	if soak() {
		return many
	}
	return few
}

// need skips the test, aloud, where the machine lacks something.
func need(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv(roleVariable) != roleInside {
		t.Skip("SKIPPED: not root, power cuts are not tested")
	}
	for _, node := range []string{"/dev/fuse", "/dev/loop-control"} {
		f, err := os.OpenFile(node, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("SKIPPED: %v, power cuts are not tested", err)
		}
		_ = f.Close()
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %v, install it; these power cuts are not tested", err)
		}
	}
}

func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, n)
	return n
}

// scratch is a folder in memory where there is one.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "powercut")
	if err != nil {
		dir, err = os.MkdirTemp("", "powercut")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// tally is what all cuts of a test came to.
type tally struct {
	cuts, failed                         int
	evicted, late, dead, delivered, seen int // cuts whose account has some
}

func (y *tally) add(o outcome) {
	a := o.verdict.Account
	y.cuts++
	for counter, there := range map[*int]bool{
		&y.failed: len(o.verdict.Problems) > 0, &y.evicted: a.Evicted > 0, &y.late: a.Late > 0,
		&y.dead: a.DeadLetter > 0, &y.delivered: a.Delivered > 0, &y.seen: a.Buffered > 0,
	} {
		if there {
			*counter++
		}
	}
}

func (y *tally) String() string {
	return fmt.Sprintf("%d cuts, %d failed; some points evicted in %d, late in %d, dead letters in %d, delivered in %d, buffered in %d",
		y.cuts, y.failed, y.evicted, y.late, y.dead, y.delivered, y.seen)
}

// plan is how often to cut a run, and when.
type plan struct {
	setup
	cuts     int
	creation bool // while the file is made, else after
	control  bool // cuts are to fail
}

// try makes a run, cuts it and adds up what came of it.
func (y *tally) try(t *testing.T, p plan) {
	t.Helper()
	dir := scratch(t)
	began := time.Now()
	r, err := newRun(p.setup, dir)
	if err != nil {
		t.Fatalf("%v: %v", p.setup, err)
	}
	worked := time.Since(began)
	from, to := r.firstAck(), len(r.log)
	if p.creation {
		from, to = 0, from
	}
	for _, o := range r.try(r.cuts(p.cuts, from, to), dir) {
		if o.err != nil {
			t.Fatalf("%v: cut %d %+v: %v", p.setup, o.number, o.cut, o.err)
		}
		y.add(o)
		if len(o.verdict.Problems) > 0 && !p.control {
			t.Errorf("%v: cut %d of %d requests %+v, flushed %d, tear %d, keep %.2f\n\t%s\n\tbefore: %s", p.setup, o.number, len(r.log), o.At,
				o.Flushed, o.Tear, o.Keep, strings.Join(o.verdict.Problems, "\n\t"), before(r.said.until(o.At)))
		}
	}
	t.Logf("%v: %s; %d cuts of %d requests in %.1f s, after %.1f s of work",
		p.setup, r.said.tally(), p.cuts, len(r.log), (time.Since(began) - worked).Seconds(), worked.Seconds())
}

// before tells what the child said last.
func before(said history) string {
	var out []string
	for _, e := range said[max(0, len(said)-4):] {
		out = append(out, fmt.Sprintf("%s %v at %d", e.Op, e.Points, e.Pos))
	}
	return strings.Join(out, ", ")
}

func (h history) tally() string {
	count := make(map[string]int)
	for _, e := range h {
		count[e.Op]++
	}
	return fmt.Sprintf("%d points, %d appends, %d settlements, %d turns of the clock, %d kills",
		h.points(), count[opAck], count[opSettle], count[opClock], count[opKill])
}

// mustHave fails where the runs did not come to what they are to test.
func (y *tally) mustHave(t *testing.T) {
	t.Helper()
	t.Log(y)
	if y.lacks() {
		t.Error("the runs lack something that they are to test")
	}
}

// lacks tells whether the runs did not come to all that they are to test. What
// a run comes to is up to its seed.
func (y *tally) lacks() bool {
	return y.evicted == 0 || y.late == 0 || y.dead == 0 || y.delivered == 0 || y.seen == 0
}

func TestPowerCutExt4(t *testing.T) {
	need(t, "mkfs.ext4")
	n, y := seed(t), &tally{}
	p := plan{setup: setup{fstype: "ext4", ops: 700}, cuts: times(30, 125)}
	for i := range uint64(times(2, 4)) {
		p.seed, p.hold = n+i, i%2 == 1
		y.try(t, p)
	}
	if soak() {
		for i, options := range []string{"nodelalloc", "data=writeback", "discard,commit=1"} {
			p.seed, p.hold, p.options, p.cuts = n+uint64(10+i), false, options, 50
			y.try(t, p)
		}
	}
	for i := uint64(0); y.lacks() && i < 6 && !t.Failed(); i++ {
		p.seed, p.hold, p.options, p.cuts = n+100+i, i%2 == 1, "", 30
		y.try(t, p)
	}
	y.mustHave(t)
}

func TestPowerCutXFS(t *testing.T) {
	need(t, "mkfs.xfs")
	y := &tally{}
	p := plan{setup: setup{fstype: "xfs", ops: 700, seed: seed(t)}, cuts: times(15, 50)}
	for i := range 6 {
		if i >= times(1, 2) && !y.lacks() || t.Failed() {
			break
		}
		y.try(t, p)
		p.seed, p.hold = p.seed+1, true
	}
	y.mustHave(t)
}

func TestPowerCutCreation(t *testing.T) {
	need(t, "mkfs.ext4")
	y, n := &tally{}, seed(t)
	p := plan{setup: setup{fstype: "ext4", ops: 3}, cuts: times(10, 20), creation: true}
	for i := range uint64(times(2, 6)) {
		p.seed = n + i
		y.try(t, p)
	}
	t.Log(y)
}

// TestControls uses disks on which nothing can be safe. If nothing is lost
// there, the rig is blind.
func TestControls(t *testing.T) {
	need(t, "mkfs.ext4")
	n := seed(t)
	for _, c := range []struct {
		name string
		setup
		tool string
	}{
		{name: "disk ignores flushes", setup: setup{lies: true}},
		{name: "file system sends none", setup: setup{options: "barrier=0"}},
		{name: "process sends none", setup: setup{noSync: true, options: "commit=1"}, tool: "strace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.tool != "" {
				need(t, c.tool)
			}
			c.fstype, c.ops, c.seed = "ext4", 300, n
			y := &tally{}
			y.try(t, plan{setup: c.setup, cuts: 20, control: true})
			t.Log(y)
			if y.failed < y.cuts/4 {
				t.Errorf("only %d of %d cuts lost anything", y.failed, y.cuts)
			}
		})
	}
}

// TestValues: a value read back names its point.
func TestValues(t *testing.T) {
	random, seen := rand.New(rand.NewPCG(1, 2)), make(map[uint64]bool)
	for range 10_000 {
		n, noisy := random.Uint64N(1<<40), random.IntN(2) == 0
		v := value(n, noisy)
		if back, was := numberOf(v); back != n || was != noisy {
			t.Fatalf("point %d (%v) comes back as %d (%v)", n, noisy, back, was)
		}
		seen[v.Uint64()] = true
	}
	if len(seen) < 9_990 {
		t.Errorf("only %d values differ", len(seen))
	}
}

// TestImage holds forked images against plain bytes.
func TestImage(t *testing.T) {
	const size = 5*chunkSize + 512
	random := rand.New(rand.NewPCG(3, 4))
	m, plain := newImage(size), make([]byte, size)
	for range 300 {
		if random.IntN(20) == 0 {
			m = m.fork()
		}
		off, n := random.Int64N(size), random.Int64N(2*chunkSize)
		n = min(n, size-off)
		if random.IntN(3) == 0 {
			m.zero(off, n)
			clear(plain[off : off+n])
		} else {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			m.writeAt(b, off)
			copy(plain[off:], b)
		}
		got := make([]byte, size)
		if m.readAt(got, 0); string(got) != string(plain) {
			t.Fatal("the image differs")
		}
	}
	path := t.TempDir() + "/image"
	if err := m.save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(plain) {
		t.Errorf("the saved image differs (%v)", err)
	}
}
