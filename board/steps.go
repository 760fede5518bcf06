package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// WatchSteps calls fn after each step of the wall clock: it was set, or the
// machine woke from suspend. Slewing is no step. It returns nil when ctx ends.
func WatchSteps(ctx context.Context, fn func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch steps of the clock: create timer: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	defer timer.Close()
	defer context.AfterFunc(ctx, func() { timer.Close() })()
	for {
		err := armForSteps(timer)
		if err == nil {
			var expirations [8]byte
			_, err = timer.Read(expirations[:])
		}
		switch {
		case errors.Is(err, unix.ECANCELED):
			fn()
		case err != nil:
			return unlessEnded(ctx, fmt.Errorf("watch steps of the clock: %w", err))
		}
	}
}

// armForSteps sets the timer far ahead: what is awaited is that the kernel
// cancels it because the clock was set. A step that came since the last look
// is told here already, as ECANCELED.
func armForSteps(timer *os.File) error {
	conn, err := timer.SyscallConn()
	if err != nil {
		return err
	}
	var armed error
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(time.Now().Add(24 * time.Hour).UnixNano())}
	err = conn.Control(func(fd uintptr) {
		armed = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil)
	})
	return errors.Join(err, armed)
}

// unlessEnded is nil where the error only comes from the end of ctx, which
// closes the file that was read.
func unlessEnded(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
