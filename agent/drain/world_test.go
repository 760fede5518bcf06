package drain

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// world is an environment in memory with all its endpoints.
type world struct {
	answer func(p post) (status int, body string) // nil: all is good
	take   time.Duration                          // until the answer
	header http.Header

	mu    sync.Mutex
	posts []post
}

// post is one request.
type post struct {
	path, body, token string
	at                time.Time
}

// good is the answer that takes all.
func (p post) good() (int, string) {
	switch {
	case strings.Contains(p.path, "events"):
		return 201, `{"reportCount":1,"eventIngestResults":[{"correlationId":"1","status":"OK"}]}`
	case strings.Contains(p.path, "logs") && !strings.Contains(p.path, "v1/"):
		return 204, ""
	case strings.Contains(p.path, "v1/"):
		return 200, ""
	}
	return 202, ""
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	leavesOpen(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	p := post{r.URL.Path, string(body), r.Header.Get("Authorization"), time.Now()}
	w.mu.Lock()
	w.posts = append(w.posts, p)
	w.mu.Unlock()
	select {
	case <-time.After(w.take):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status, text := p.good()
	if w.answer != nil {
		status, text = w.answer(p)
	}
	header := http.Header{}
	for k, v := range w.header {
		header[k] = v
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// serve is a change of the options of run.
func (w *world) serve(o *Options) { o.Client = &http.Client{Transport: w} }

// seen gives the posts to paths that contain part.
func (w *world) seen(part string) (out []post) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.posts {
		if strings.Contains(p.path, part) {
			out = append(out, p)
		}
	}
	return out
}

func anEvent(at time.Time, title string) buffer.Entry {
	stamp := probes.Stamp{Wall: at.UnixMilli()}
	e := probes.Event{Type: "CUSTOM_INFO", Title: title, Start: stamp}
	return buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: record.AppendEvent(nil, e)}
}

func aRecord(at time.Time, content string) buffer.Entry {
	stamp := probes.Stamp{Wall: at.UnixMilli()}
	r := probes.Record{Stamp: stamp, Severity: "WARN", Content: content}
	return buffer.Entry{Kind: buffer.LogEntry, Stamp: stamp, Data: record.AppendRecord(nil, r)}
}
