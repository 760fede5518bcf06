package draintest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
)

// Scopes that a token may have.
const (
	ScopeMetrics = "metrics.ingest"
	ScopeEvents  = "events.ingest"
	ScopeLogs    = "logs.ingest"
)

// endpoint is one thing that can be posted to.
type endpoint struct {
	path  string // behind the environment's prefix
	scope string // what the token needs, and what a Fault's Only names
	limit int64  // of a body, in bytes, before compression
	judge func(*Server, post) reply
	// collector is set where any receiver stands that speaks the protocol, not
	// the environment: it asks for no more than its token.
	collector bool
}

// post is one request as a judge sees it, its token and scope accepted.
type post struct {
	header http.Header
	body   []byte // as it came, at most limit+1 bytes
	limit  int64
	fault  Fault
}

// metricsOnly and everything are the endpoints of a server. They are functions,
// so that a program with metrics alone does not carry the others.
func metricsOnly() []endpoint {
	return []endpoint{{"/api/v2/metrics/ingest", ScopeMetrics, maxBody, (*Server).judgeMetrics, false}}
}

func everything() []endpoint {
	return append(metricsOnly(), others()...)
}

func others() []endpoint {
	return []endpoint{
		{"/api/v2/events/ingest", ScopeEvents, maxEventBody, (*Server).judgeEvent, false},
		{"/api/v2/logs/ingest", ScopeLogs, maxLogBody, (*Server).judgeLogs, false},
		{"/api/v2/otlp/v1/metrics", ScopeMetrics, maxOTLPBody, (*Server).judgeOTLPMetrics, false},
		{"/api/v2/otlp/v1/logs", ScopeLogs, maxOTLPLogs, (*Server).judgeOTLPLogs, false},
		{"/v1/metrics", ScopeMetrics, maxOTLPBody, (*Server).judgeOTLPMetrics, true},
		{"/v1/logs", ScopeLogs, maxOTLPLogs, (*Server).judgeOTLPLogs, true},
	}
}

var prefix = regexp.MustCompile(`^/e/[A-Za-z0-9-]+`)

// endpointOf finds the endpoint of a path, with or without the prefix of an
// environment.
func (s *Server) endpointOf(path string) (endpoint, bool) {
	path = path[len(prefix.FindString(path)):]
	i := slices.IndexFunc(s.endpoints, func(e endpoint) bool { return e.path == path })
	if i < 0 {
		return endpoint{}, false
	}
	return s.endpoints[i], true
}

// judge checks the token and its scope, then has the endpoint judge the rest.
func (s *Server) judge(e endpoint, r *http.Request, body []byte, fault Fault) reply {
	authorised := s.authorised
	if e.collector {
		authorised = s.admitted
	}
	switch {
	case !authorised(r.Header):
		return failure(http.StatusUnauthorized, "Token Authentication failed")
	case s.options.Scopes != nil && !slices.Contains(s.options.Scopes, e.scope):
		return forbidden(e.scope)
	}
	return e.judge(s, post{header: r.Header, body: body, limit: e.limit, fault: fault})
}

// forbidden is the answer where the token lacks a scope.
func forbidden(scope string) reply {
	return failure(http.StatusForbidden, fmt.Sprintf("Token is missing required scope. Use one of: %s", scopeNames[scope]))
}

var scopeNames = map[string]string{
	ScopeMetrics: "metrics.ingest (Ingest metrics)",
	ScopeEvents:  "events.ingest (Ingest events)",
	ScopeLogs:    "logs.ingest (Ingest logs)",
}
