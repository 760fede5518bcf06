package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const defaultTimeout = 10 * time.Second

// Client talks to the agent that listens at Path.
type Client struct {
	Path    string
	Timeout time.Duration // of one request; 0: 10 s
}

// Refused is a reload that the agent refused; it keeps its old configuration.
type Refused struct {
	Errors []string
}

// Error gives one line for each error.
func (r *Refused) Error() string { return strings.Join(r.Errors, "\n") }

// Incomplete is a reload that was taken, but not all of it: the agent runs the
// rest, and what a problem names as it did before, or not at all.
type Incomplete struct {
	Problems []string
}

// Error gives one line for each problem.
func (i *Incomplete) Error() string { return strings.Join(i.Problems, "\n") }

// Status reads the status document into out, a *Status or any other target
// of JSON.
func (c Client) Status(ctx context.Context, out any) error {
	code, body, err := c.do(ctx, http.MethodGet, "/v1/status")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return c.unexpected(code, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the status of the agent on %s: %w; agent and command may be of different versions", c.Path, err)
	}
	return nil
}

// Reload makes the agent read its configuration again. The error is a *Refused
// where the new configuration is bad, an *Incomplete where parts of it are.
func (c Client) Reload(ctx context.Context) error {
	code, body, err := c.do(ctx, http.MethodPost, "/v1/reload")
	if err != nil {
		return err
	}
	if code == http.StatusForbidden {
		return c.refusal(code, "POST /v1/reload", body)
	}
	var answer reloadAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return c.unexpected(code, body)
	}
	if !answer.OK {
		return &Refused{Errors: answer.Errors}
	}
	if len(answer.Problems) > 0 {
		return &Incomplete{Problems: answer.Problems}
	}
	return nil
}

func (c Client) unexpected(code int, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 200)]))
	return fmt.Errorf("the agent on %s answered %d %q; agent and command may be of different versions", c.Path, code, text)
}

func (c Client) do(ctx context.Context, method, path string) (code int, body []byte, err error) {
	if err := checkPath(c.Path); err != nil {
		return 0, nil, err
	}
	timeout := c.timeout()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	transport := c.transport()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://edgehold"+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, c.explain(err, timeout)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, c.explain(err, timeout)
	}
	if len(body) > maxAnswer {
		return 0, nil, fmt.Errorf("the answer on %s is larger than %d bytes", c.Path, maxAnswer)
	}
	return resp.StatusCode, body, nil
}

func (c Client) timeout() time.Duration {
	if c.Timeout <= 0 {
		return defaultTimeout
	}
	return c.Timeout
}

func (c Client) transport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Path)
		},
	}
}

// explain says what to do about a connection that failed.
func (c Client) explain(err error, timeout time.Duration) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return absent{fmt.Sprintf("there is no control socket %s: no agent runs, or it uses another one; start it with `edgehold run`, or name its socket with --socket or its file with --config", c.Path)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return absent{fmt.Sprintf("nobody answers on %s: the agent has stopped; start it with `edgehold run`, or name another socket with --socket or --config", c.Path)}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not use the control socket %s; %s", c.Path, permissionMend(c.Path))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the agent did not answer on %s within %v; see its log", c.Path, timeout)
	}
	return fmt.Errorf("ask the agent on %s: %w", c.Path, err)
}

// permissionMend names the group that may use the socket.
func permissionMend(path string) string {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrPermission) { // the folder is closed too
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return "use sudo"
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Gid == 0 {
		return "use sudo"
	}
	group := strconv.FormatUint(uint64(owner.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("use sudo, or join its group: sudo usermod -aG %s $USER, then log in again", group)
}
