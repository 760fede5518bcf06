package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// The paths of the control socket.
const (
	pathStat   = "/v1/buffer/stat"
	pathVerify = "/v1/buffer/verify"
	pathRead   = "/v1/buffer/read"
	pathPurge  = "/v1/buffer/purge"
)

// Endpoint is one path of the control socket: Serve writes the answer. Each
// write goes to the client as it is.
type Endpoint struct {
	Method, Path string
	Serve        func(ctx context.Context, query url.Values, w io.Writer) error
	Quick        bool // takes no time to speak of
}

// verifyLine is one line of the answer to a verification: progress, or, with
// an account, the result.
type verifyLine struct {
	Done    int64           `json:"done,omitempty"`
	Of      int64           `json:"of,omitempty"`
	Account *buffer.Account `json:"account,omitempty"`
	Damage  string          `json:"damage,omitempty"`
}

// Endpoints serve the store of a running agent, whose file is at path.
func Endpoints(s Purger, path string) []Endpoint {
	return append([]Endpoint{
		{Method: "GET", Path: pathStat, Quick: true, Serve: func(_ context.Context, _ url.Values, w io.Writer) error {
			return json.NewEncoder(w).Encode(statOf(s, path, true))
		}},
		{Method: "POST", Path: pathVerify, Serve: func(ctx context.Context, _ url.Values, w io.Writer) error {
			return serveVerify(ctx, s, w)
		}},
		{Method: "GET", Path: pathRead, Serve: func(ctx context.Context, query url.Values, w io.Writer) error {
			return serveRead(ctx, s, query, w)
		}},
		{Method: "POST", Path: pathPurge, Serve: func(ctx context.Context, query url.Values, w io.Writer) error {
			return servePurge(ctx, s, query, w)
		}},
	}, letterEndpoints(s)...)
}

// serveVerify tells the progress a few times a second.
func serveVerify(ctx context.Context, s Store, w io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := json.NewEncoder(w)
	if err := lines.Encode(verifyLine{}); err != nil { // begins the answer
		return err
	}
	var last time.Time
	a, err := verify(ctx, s, func(done, of int64) {
		if time.Since(last) < 200*time.Millisecond {
			return
		}
		last = time.Now()
		if err := lines.Encode(verifyLine{Done: done, Of: of}); err != nil {
			cancel(err)
		}
	})
	result := verifyLine{Account: &a}
	var damage *Damage
	if errors.As(err, &damage) {
		result.Damage, err = damage.Text, nil
	}
	if err != nil {
		return err
	}
	return lines.Encode(result)
}

func serveRead(ctx context.Context, s Store, query url.Values, w io.Writer) error {
	var f Filter
	if err := json.Unmarshal([]byte(query.Get("filter")), &f); err != nil {
		return fmt.Errorf("read the selection: %w; agent and command may be of different versions", err)
	}
	if err := f.Check(); err != nil {
		return err
	}
	out, err := newStreamWriter(w)
	if err != nil {
		return err
	}
	hint, err := read(ctx, s, f, out.page)
	if err != nil {
		return err
	}
	return out.end(hint)
}

func servePurge(ctx context.Context, s Purger, query url.Values, w io.Writer) error {
	var p buffer.Purge
	if err := json.Unmarshal([]byte(query.Get("purge")), &p); err != nil {
		return fmt.Errorf("read what to purge: %w; agent and command may be of different versions", err)
	}
	// The answer begins before the work, which may take longer than the client
	// waits for it to begin.
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	n, err := s.Purge(ctx, p)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(Purged{n, s.Account()})
}
