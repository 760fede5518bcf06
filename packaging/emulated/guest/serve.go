package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/packaging/emulated/cable"
	"github.com/edgehold/edgehold/packaging/emulated/talk"
)

// console is the line to the host.
type console struct {
	in    *os.File
	cable cable.Cable

	mu      sync.Mutex
	out     io.Writer
	running map[int]*os.Process
}

// openConsole takes the console for orders and reports: bytes pass unchanged,
// and the kernel keeps silent but for its last words.
func openConsole() (*console, error) {
	c := &console{in: os.Stdin, out: os.Stdout, running: map[int]*os.Process{}}
	c.cable.Send = func(p talk.Piece) { c.report(talk.Report{Link: &p}) }
	if err := os.MkdirAll("/dev", 0o755); err != nil {
		return c, err
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""); err != nil {
		return c, fmt.Errorf("mount /dev: %w", err)
	}
	f, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return c, err
	}
	c.in, c.out = f, f
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return c, fmt.Errorf("read the console's settings: %w", err)
	}
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Iflag &^= unix.ICRNL | unix.IXON | unix.INLCR | unix.ISTRIP
	t.Oflag &^= unix.OPOST
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return c, fmt.Errorf("set the console up: %w", err)
	}
	const consoleLevel = 8 // SYSLOG_ACTION_CONSOLE_LEVEL
	if _, _, errno := unix.Syscall(unix.SYS_SYSLOG, consoleLevel, 0, 1); errno != 0 {
		return c, fmt.Errorf("silence the kernel: %w", errno)
	}
	return c, nil
}

// report tells the host. There is nobody else to tell of an error.
func (c *console) report(r talk.Report) {
	text, err := json.Marshal(r)
	if err != nil {
		return
	}
	line := append([]byte{'\n', talk.Mark}, text...)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.out.Write(append(line, '\n'))
}

// serve carries out orders for ever.
func (c *console) serve() {
	lines := bufio.NewReader(c.in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			continue
		}
		var o talk.Order
		if err := json.Unmarshal(line, &o); err != nil {
			c.report(talk.Report{Error: fmt.Sprintf("order %q: %v", line, err)})
			continue
		}
		switch {
		case o.Link != nil:
			c.cable.Take(*o.Link)
		case o.Signal != 0:
			c.signal(o)
		default:
			go c.run(o)
		}
	}
}

func (c *console) signal(o talk.Order) {
	c.mu.Lock()
	p := c.running[o.ID]
	c.mu.Unlock()
	if p != nil {
		_ = p.Signal(syscall.Signal(o.Signal)) // one that has ended needs none
	}
}

func (c *console) run(o talk.Order) {
	var end talk.End
	var err error
	if o.Listen != "" {
		err = c.listen(o)
	} else {
		end, err = c.execute(o)
	}
	r := talk.Report{ID: o.ID, End: &end}
	if err != nil {
		r.Error = err.Error()
	}
	c.report(r)
}

// listen ends when it cannot be done. Its output says that it is.
func (c *console) listen(o talk.Order) error {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return err
	}
	c.report(talk.Report{ID: o.ID, Out: "listening\n"})
	return c.cable.Accept(l)
}

func (c *console) execute(o talk.Order) (end talk.End, err error) {
	if len(o.Args) == 0 {
		return end, errUsage
	}
	cmd := exec.Command(o.Args[0], o.Args[1:]...)
	cmd.Env = append([]string{"PATH=/bin", "HOME=/tmp"}, o.Env...)
	out := &pieces{id: o.ID, to: c}
	cmd.Stdout, cmd.Stderr = out, out
	g, err := newGroup(o)
	if err != nil {
		return end, err
	}
	defer g.close()
	g.enter(cmd)
	if err := cmd.Start(); err != nil {
		return end, err
	}
	c.mu.Lock()
	c.running[o.ID] = cmd.Process
	c.mu.Unlock()
	_ = cmd.Wait() // its status tells
	c.mu.Lock()
	delete(c.running, o.ID)
	c.mu.Unlock()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		end.Exit = -int(s.Signal())
	} else {
		end.Exit = s.ExitStatus()
	}
	return end, g.weigh(&end)
}

// pieces reports what a program prints, as it comes.
type pieces struct {
	id int
	to *console
}

func (p *pieces) Write(text []byte) (int, error) {
	p.to.report(talk.Report{ID: p.id, Out: string(text)})
	return len(text), nil
}
