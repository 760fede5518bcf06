package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/edgehold/edgehold/packaging/emulated/talk"
)

// group is a control group with a memory limit. The zero one is none.
type group struct {
	path   string
	folder *os.File
}

func newGroup(o talk.Order) (g group, err error) {
	if o.Memory == 0 {
		return g, nil
	}
	g.path = filepath.Join(groups, "order-"+strconv.Itoa(o.ID))
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return g, err
	}
	limit := strconv.FormatInt(o.Memory, 10)
	if err := os.WriteFile(filepath.Join(g.path, "memory.max"), []byte(limit), 0); err != nil {
		return g, fmt.Errorf("limit memory: %w", err)
	}
	g.folder, err = os.Open(g.path)
	return g, err
}

// enter has a program start inside the group.
func (g group) enter(cmd *exec.Cmd) {
	if g.folder != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.folder.Fd())}
	}
}

// weigh reads what the group has needed.
func (g group) weigh(end *talk.End) error {
	if g.folder == nil {
		return nil
	}
	peak, err := os.ReadFile(filepath.Join(g.path, "memory.peak"))
	if err != nil {
		return fmt.Errorf("read the peak: %w", err)
	}
	if end.Peak, err = strconv.ParseInt(strings.TrimSpace(string(peak)), 10, 64); err != nil {
		return fmt.Errorf("read the peak: %w", err)
	}
	if end.AtLimit, err = g.event("max"); err != nil {
		return err
	}
	end.OOMKills, err = g.event("oom_kill")
	return err
}

func (g group) event(name string) (int64, error) {
	f, err := os.Open(filepath.Join(g.path, "memory.events"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.ParseInt(rest, 10, 64)
		}
	}
	return 0, fmt.Errorf("memory.events has no %s", name)
}

func (g group) close() {
	if g.folder != nil {
		_ = g.folder.Close()
	}
}
