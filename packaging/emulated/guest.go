package emulated

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"syscall"

	"github.com/edgehold/edgehold/packaging/emulated/cable"
	"github.com/edgehold/edgehold/packaging/emulated/talk"
)

// ErrGone is returned when the machine has ended.
var ErrGone = errors.New("the machine has ended")

// keptConsole is how much of the kernel's words is kept, in bytes.
const keptConsole = 16 << 10

// Guest is a machine that runs.
type Guest struct {
	cmd   *exec.Cmd
	in    io.Writer
	qmp   *qmp
	cable cable.Cable
	done  chan struct{} // closed when the emulator has ended
	began chan talk.Report

	mu      sync.Mutex
	last    int
	started map[int]*Process
	console []byte
}

// Command is what to run in the guest.
type Command struct {
	Args   []string
	Env    []string // as NAME=VALUE
	Memory int64    // the limit of a control group of its own, in bytes; 0: none
}

// Result is how a command ended and what it has printed.
type Result struct {
	talk.End
	Out string
}

func start(cmd *exec.Cmd) (*Guest, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &Guest{
		cmd: cmd, in: in, done: make(chan struct{}),
		began: make(chan talk.Report, 1), started: map[int]*Process{},
	}
	// What the guest does not hear any more, it does not miss.
	g.cable.Send = func(p talk.Piece) { _ = g.order(talk.Order{Link: &p}) }
	go func() { // ends with the emulator, for which Kill waits
		g.listen(out)
		_ = cmd.Wait()
		g.say(stderr.Bytes())
		g.cable.Close()
		close(g.done)
	}()
	return g, nil
}

// listen takes the reports out of what the console shows.
func (g *Guest) listen(out io.Reader) {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		var r talk.Report
		at := bytes.IndexByte(line, talk.Mark)
		switch {
		case at < 0:
			g.say(line)
		case json.Unmarshal(line[at+1:], &r) != nil:
			g.say(line)
		case r.Link != nil:
			g.cable.Take(*r.Link)
		case r.ID == 0:
			select {
			case g.began <- r:
			default: // a complaint of /init
				g.say(line)
			}
		default:
			g.deliver(r)
		}
		if err != nil {
			return
		}
	}
}

func (g *Guest) say(text []byte) {
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.console = append(g.console, text...)
	g.console = g.console[max(0, len(g.console)-keptConsole):]
}

func (g *Guest) deliver(r talk.Report) {
	g.mu.Lock()
	p := g.started[r.ID]
	if r.End != nil {
		delete(g.started, r.ID)
	}
	g.mu.Unlock()
	if p != nil {
		p.take(r)
	}
}

// ready waits for /init, by when the control socket is there too.
func (g *Guest) ready(ctx context.Context, socket string) (err error) {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-g.done:
		return ErrGone
	case r := <-g.began:
		if r.Error != "" {
			return errors.New(r.Error)
		}
	}
	g.qmp, err = dialQMP(socket)
	return err
}

// Console is what the kernel has said last.
func (g *Guest) Console() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(g.console)
}

// Done is closed when the machine has ended, by itself or by Kill.
func (g *Guest) Done() <-chan struct{} { return g.done }

// Kill ends the emulator at once, and waits for that.
func (g *Guest) Kill() {
	_ = g.cmd.Process.Kill()
	<-g.done
}

// Events are the names of what QEMU has told by itself by now, such as RESET.
func (g *Guest) Events() []string { return g.qmp.seen() }

// QMP runs a command of QEMU's monitor protocol.
func (g *Guest) QMP(command string, arguments any) (json.RawMessage, error) {
	return g.qmp.execute(command, arguments)
}

// Start starts a program in the guest.
func (g *Guest) Start(c Command) (*Process, error) {
	return g.process(talk.Order{Args: c.Args, Env: c.Env, Memory: c.Memory})
}

// Forward leads connections that programs in the guest make to an address there
// to one of the host. It has begun when the process has said so, and does not
// end. Once for each machine.
func (g *Guest) Forward(guest, host string) (*Process, error) {
	g.cable.Dial = func() (net.Conn, error) { return net.Dial("tcp", host) }
	return g.process(talk.Order{Listen: guest})
}

func (g *Guest) process(o talk.Order) (*Process, error) {
	g.mu.Lock()
	g.last++
	o.ID = g.last
	p := &Process{guest: g, id: o.ID, done: make(chan struct{})}
	g.started[p.id] = p
	g.mu.Unlock()
	return p, g.order(o)
}

// Run runs a program to its end.
func (g *Guest) Run(ctx context.Context, args ...string) (Result, error) {
	p, err := g.Start(Command{Args: args})
	if err != nil {
		return Result{}, err
	}
	return p.Wait(ctx)
}

func (g *Guest) order(o talk.Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("tell the guest: %w", err)
	}
	return nil
}

// Process is a program that was started in the guest.
type Process struct {
	guest *Guest
	id    int
	done  chan struct{}

	mu  sync.Mutex
	out []byte
	end talk.Report
}

func (p *Process) take(r talk.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, r.Out...)
	if r.End != nil {
		p.end = r
		close(p.done)
	}
}

// Output is what it has printed by now.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.out)
}

// LastLine is the last whole line that it has printed by now.
func (p *Process) LastLine() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole := p.out[:bytes.LastIndexByte(p.out, '\n')+1]
	whole = bytes.TrimSuffix(whole, []byte("\n"))
	return string(whole[bytes.LastIndexByte(whole, '\n')+1:])
}

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) error {
	return p.guest.order(talk.Order{ID: p.id, Signal: int(s)})
}

// Wait waits for its end.
func (p *Process) Wait(ctx context.Context) (Result, error) {
	select {
	case <-ctx.Done():
		return Result{Out: p.Output()}, ctx.Err()
	case <-p.guest.done:
		return Result{Out: p.Output()}, ErrGone
	case <-p.done:
	}
	r := Result{End: *p.end.End, Out: p.Output()}
	if p.end.Error != "" {
		return r, errors.New(p.end.Error)
	}
	return r, nil
}
