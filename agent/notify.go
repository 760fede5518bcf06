package agent

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notify tells a service manager how the process fares, as sd_notify(3) has it.
// The zero value tells nobody.
type Notify struct {
	Socket   string        // a path, or @NAME of an abstract socket; "": there is none
	Watchdog time.Duration // a sign of life is wanted as often; 0: never
}

// NotifyOf reads what the service manager left in the environment.
func NotifyOf(getenv func(string) string) Notify {
	n := Notify{Socket: getenv("NOTIFY_SOCKET")}
	if !strings.HasPrefix(n.Socket, "/") && !strings.HasPrefix(n.Socket, "@") {
		return Notify{}
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n // it is meant for another process
	}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.Watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// notifyPatience bounds the wait for a service manager that does not read.
const notifyPatience = time.Second

// send gives lines such as READY=1 in one message. Each opens the socket anew:
// the manager may have been replaced since.
func (n Notify) send(lines ...string) error {
	if n.Socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyPatience)); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// statusLine is the text of STATUS=, which has one line.
func statusLine(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// reloadingLines begin a reload. The time tells the manager which of two
// messages is newer.
func reloadingLines() []string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return []string{"RELOADING=1"}
	}
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", t.Nano()/1000)}
}

// extendLine asks for so much more time to start or to stop.
func extendLine(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds())
}
