// Package tenanttest is a stand-in for the extensions API of an environment. It
// refuses every request that is not exactly as the API's documentation has it,
// and keeps count of those.
package tenanttest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// The scopes of the documentation.
const (
	ScopeRead             = "extensions.read"
	ScopeWrite            = "extensions.write"
	ScopeEnvironmentRead  = "extensionEnvironment.read"
	ScopeEnvironmentWrite = "extensionEnvironment.write"
	ScopeConfigurations   = "extensionConfigurations.read"
)

// Options say what the stand-in is.
type Options struct {
	Prefix   string              // of all paths, e.g. /e/abc12345; "" on SaaS
	Tokens   map[string][]string // tokens and their scopes
	PageSize int                 // the most entries of a page; 0: what was asked for
	TLS      bool
}

// Server is a stand-in that listens on loopback.
type Server struct {
	URL string // of the environment, with the prefix

	options Options
	http    *httptest.Server

	mu       sync.Mutex
	packages []stored
	active   map[string]string // name -> version
	configs  map[string][]Configuration
	faults   []*Fault
	requests []string
	broken   []string
}

// Configuration is a monitoring configuration with its secrets in clear text;
// who reads it gets them masked.
type Configuration struct {
	ID    string `json:"objectId"`
	Scope string `json:"scope"`
	Value any    `json:"value"`
}

// Fault is an answer in place of the true one.
type Fault struct {
	Method string // "": any
	Path   string // how the path ends; "": any
	Times  int    // 0: once
	Status int    // 0: the request is carried out, and only the answer is lost
	Header http.Header
	Body   []byte
}

// Start makes a stand-in. Close ends it.
func Start(o Options) *Server {
	s := &Server{options: o, active: map[string]string{}, configs: map[string][]Configuration{}}
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	if o.TLS {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL + o.Prefix
	return s
}

// Close ends the stand-in.
func (s *Server) Close() { s.http.Close() }

// CAPEM is the authority of the stand-in's certificate.
func (s *Server) CAPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Fail puts an answer in place of the true one, after those that were put
// before.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// Configure adds a monitoring configuration to an extension.
func (s *Server) Configure(name string, c Configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs[name] = append(s.configs[name], c)
}

// Activate makes a version the active one.
func (s *Server) Activate(name, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[name] = version
}

// Active is the active version, "" where there is none.
func (s *Server) Active(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active[name]
}

// Versions are the stored versions of an extension, in the order of their
// coming.
func (s *Server) Versions(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var versions []string
	for _, p := range s.packages {
		if p.Name == name {
			versions = append(versions, p.Version)
		}
	}
	return versions
}

// Requests are all requests so far, as in "GET /api/v2/extensions?pageSize=100".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Broken are the requests that were not as documented, each with the reason.
func (s *Server) Broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.broken)
}

// reply is an answer.
type reply struct {
	status int
	json   any
	file   []byte // in place of JSON
	broken string // why the request is not as documented
}

// violation is one constraint violation of the documentation.
type violation struct {
	Path              string `json:"path"`
	Message           string `json:"message"`
	ParameterLocation string `json:"parameterLocation"`
	Location          string `json:"location,omitempty"`
}

func refuse(status int, message string, violations ...violation) reply {
	return reply{status: status, json: map[string]any{"error": map[string]any{
		"code": status, "message": message, "constraintViolations": violations,
	}}}
}

// breach is the answer to a request that the documentation does not know.
func breach(status int, format string, values ...any) reply {
	text := fmt.Sprintf(format, values...)
	r := refuse(status, text)
	r.broken = text
	return r
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.EscapedPath(), s.options.Prefix)
	line := r.Method + " " + path
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	s.requests = append(s.requests, line)
	f := s.fault(r)
	if f != nil && f.Status != 0 {
		for key, values := range f.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write(f.Body) // an error means that the client is gone
		return
	}
	answer := s.answer(r, path)
	if answer.broken != "" {
		s.broken = append(s.broken, line+": "+answer.broken)
	}
	if f != nil {
		panic(http.ErrAbortHandler)
	}
	send(w, answer)
}

func (s *Server) fault(r *http.Request) *Fault {
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.HasSuffix(r.URL.Path, f.Path) {
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f
	}
	return nil
}

func send(w http.ResponseWriter, a reply) {
	if a.file != nil {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(a.status)
		_, _ = w.Write(a.file)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.json)
}
