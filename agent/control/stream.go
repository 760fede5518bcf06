package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Tool is one more path of the socket. Serve writes the answer as a stream;
// its context ends when the client leaves or the agent stops. An error before
// the first write is the answer; a later one goes behind the stream, where the
// client finds it.
type Tool struct {
	Method, Path string
	Serve        func(ctx context.Context, query url.Values, w io.Writer) error
	Quick        bool // answers at once, however many others are at work
}

const (
	maxTools = 3 // at work at a time; the other connections are for status and reload
	// stall is how long a client may leave a stream unread, such as in a pager.
	stall = 10 * time.Minute
	// trailer carries the error of a stream that began well, quoted; "" is none.
	trailer = "Edgehold-Error"
)

// toolError is the document of a tool that could not begin.
type toolError struct {
	Error string `json:"error"`
}

// tool answers with a stream. ctx is the agent's.
func (s *Server) tool(ctx context.Context, t Tool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if t.Quick {
			s.stream(ctx, t, w, r)
			return
		}
		select {
		case s.busy <- struct{}{}:
		default:
			s.answer(w, http.StatusServiceUnavailable, toolError{fmt.Sprintf("the agent is already busy with %d exports or the like; wait for one to end", maxTools)})
			return
		}
		defer func() { <-s.busy }()
		s.stream(ctx, t, w, r)
	}
}

func (s *Server) stream(ctx context.Context, t Tool, w http.ResponseWriter, r *http.Request) {
	work, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	out := &stream{w: w, control: http.NewResponseController(w)}
	// The time to read the request would otherwise end the wait for the client
	// to leave, and with it the work.
	if err := out.control.SetReadDeadline(time.Time{}); err != nil {
		s.Log.Debug().Err(err).Msg("control: the time to read cannot be lifted")
	}
	err := t.Serve(work, r.URL.Query(), out)
	if err != nil && ctx.Err() != nil {
		err = errors.New("the agent stops; try again when it has, its file can then be read")
	}
	switch {
	case err == nil:
	case out.begun:
		w.Header().Set(trailer, strconv.QuoteToASCII(err.Error()))
	case out.wait() == nil:
		s.answer(w, http.StatusUnprocessableEntity, toolError{err.Error()})
	}
}

// stream is the answer of a tool: each write goes out at once, and has some
// time for the client to take it.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// wait gives the next write its time, whatever the server gives a request.
func (s *stream) wait() error { return s.control.SetWriteDeadline(time.Now().Add(stall)) }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Trailer", trailer)
		s.w.Header().Set("Content-Type", "application/octet-stream")
	}
	if err := s.wait(); err != nil {
		return 0, fmt.Errorf("answer on the control socket: %w", err)
	}
	n, err := s.w.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("answer on the control socket: %w", err)
	}
	return n, nil
}

// ErrNoAgent says that no agent listens on the socket.
var ErrNoAgent = errors.New("no agent answers")

// absent is an ErrNoAgent with its mend.
type absent struct{ text string }

func (a absent) Error() string { return a.text }

func (a absent) Is(target error) bool { return target == ErrNoAgent }

// Ask sends a request for a tool and gives the body of the answer. The read
// that meets the end of the body gives the error of the agent, if it had one,
// instead of io.EOF. Timeout bounds the wait for the answer to begin.
func (c Client) Ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	if err := checkPath(c.Path); err != nil {
		return nil, err
	}
	transport := c.transport()
	transport.ResponseHeaderTimeout = c.timeout()
	req, err := http.NewRequestWithContext(ctx, method, "http://edgehold"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, c.explain(err, c.timeout())
	}
	if resp.StatusCode == http.StatusOK {
		return &answer{client: c, resp: resp}, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, c.explain(err, c.timeout())
	}
	return nil, c.refusal(resp.StatusCode, method+" "+path, body)
}

func (c Client) refusal(code int, request string, body []byte) error {
	var doc toolError
	if err := json.Unmarshal(body, &doc); err == nil && doc.Error != "" {
		return errors.New(doc.Error)
	}
	if code == http.StatusNotFound || code == http.StatusMethodNotAllowed {
		return fmt.Errorf("the agent on %s does not know %s, it is of an older version than this command: restart it with this version, or stop it, so that its file can be read", c.Path, request)
	}
	return c.unexpected(code, body)
}

// answer is the body of a tool's answer.
type answer struct {
	client Client
	resp   *http.Response
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.resp.Body.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("the agent on %s left in the middle of its answer: %w; see its log", a.client.Path, err)
	case !errors.Is(err, io.EOF):
		return n, a.client.explain(err, a.client.timeout())
	}
	if text, bad := strconv.Unquote(a.resp.Trailer.Get(trailer)); bad == nil && text != "" {
		return n, errors.New(text)
	}
	return n, io.EOF
}

// Close ends the request.
func (a *answer) Close() error { return a.resp.Body.Close() }
