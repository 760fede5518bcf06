package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// Service is the unit of the agent under systemd.
type Service struct {
	Unit   string // such as edgehold
	Booted string // the folder that is there where systemd runs: /run/systemd/system
	// Systemctl runs it with arguments and gives what it said; nil: really.
	Systemctl func(ctx context.Context, args ...string) (string, error)
}

func (s Service) ctl(ctx context.Context, args ...string) (string, error) {
	if s.Systemctl != nil {
		return s.Systemctl(ctx, args...)
	}
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Present tells whether systemd runs and knows the unit.
func (s Service) Present(ctx context.Context) bool {
	if info, err := os.Stat(s.Booted); err != nil || !info.IsDir() {
		return false
	}
	_, err := s.ctl(ctx, "cat", s.Unit+".service")
	return err == nil
}

// Start starts the unit, now and at each boot. One that runs is started anew,
// since its uplink may have changed.
func (s Service) Start(ctx context.Context) error {
	if _, err := s.ctl(ctx, "is-active", "--quiet", s.Unit); err == nil {
		if err := s.do(ctx, "enable", s.Unit); err != nil {
			return err
		}
		return s.do(ctx, "restart", s.Unit)
	}
	return s.do(ctx, "enable", "--now", s.Unit)
}

func (s Service) do(ctx context.Context, args ...string) error {
	out, err := s.ctl(ctx, args...)
	if err == nil {
		return nil
	}
	text := "systemctl " + strings.Join(args, " ")
	if out != "" {
		return fmt.Errorf("%s: %w: %s", text, err, printable(strings.ReplaceAll(out, "\n", " "), 500))
	}
	return fmt.Errorf("%s: %w", text, err)
}

const lookEvery = 500 * time.Millisecond

// ErrNoPoint says that the time was over before a point was accepted.
var ErrNoPoint = errors.New("no point was accepted in time")

// FirstPoint waits until the agent on the socket has a point accepted by the
// other side, at most for patience. Tell gets each status on the way, nil while
// the agent does not answer.
func FirstPoint(ctx context.Context, c control.Client, patience time.Duration, tell func(*control.Status)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrNoPoint)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var before int64 = -1 // delivered when the agent was first asked
	for {
		var st control.Status
		err := c.Status(ctx, &st)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			tell(nil)
		} else {
			if before < 0 {
				before = st.Account.Delivered
			}
			tell(&st)
			if st.Uplink.LinesAccepted > 0 || st.Account.Delivered > before {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
