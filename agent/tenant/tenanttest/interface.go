package tenanttest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// operation is one row of the documentation.
type operation struct {
	method string
	path   []string // behind /api/v2/extensions; {} stands for anything
	query  []string // allowed parameters
	accept []string // what can be had
	kind   string   // of the body; "": there is none
	scopes []string // one of which the token needs
	do     func(*Server, request) reply
}

// request is a request whose form has been checked.
type request struct {
	path   []string // what stands at {}
	query  url.Values
	accept string
	body   []byte
}

const (
	asJSON = "application/json"
	asFile = "application/octet-stream"
	// mostBytes of an upload.
	mostBytes = 25_000_000
)

func operations() []operation {
	paged := []string{"nextPageKey", "pageSize"}
	onlyJSON := []string{asJSON}
	activeRead := []string{ScopeEnvironmentRead, ScopeRead}
	activeWrite := []string{ScopeEnvironmentWrite, ScopeWrite}
	return []operation{
		{"GET", nil, append(paged, "name"), onlyJSON, "", []string{ScopeRead}, (*Server).list},
		{"POST", nil, []string{"validateOnly"}, onlyJSON, asFile, []string{ScopeWrite}, (*Server).upload},
		{"GET", []string{"{}"}, paged, onlyJSON, "", []string{ScopeRead}, (*Server).versions},
		{"GET", []string{"{}", "environmentConfiguration"}, nil, onlyJSON, "", activeRead, (*Server).readActive},
		{"PUT", []string{"{}", "environmentConfiguration"}, nil, onlyJSON, asJSON, activeWrite, (*Server).writeActive},
		{"GET", []string{"{}", "monitoringConfigurations"}, append(paged, "version", "active"), onlyJSON, "", []string{ScopeConfigurations}, (*Server).configurations},
		{"GET", []string{"{}", "{}"}, nil, []string{asJSON, asFile}, "", []string{ScopeRead}, (*Server).extension},
	}
}

// answer checks a request and carries it out.
func (s *Server) answer(r *http.Request, path string) reply {
	rest, ok := strings.CutPrefix(path, "/api/v2/extensions")
	if !ok || !strings.HasPrefix(r.URL.EscapedPath(), s.options.Prefix) || rest != "" && rest[0] != '/' {
		return breach(http.StatusNotFound, "no such path")
	}
	var parts []string
	if rest != "" {
		parts = strings.Split(rest[1:], "/")
	}
	op, values, bad := find(r.Method, parts)
	if bad.status != 0 {
		return bad
	}
	if bad := s.authorize(r, op.scopes); bad.status != 0 {
		return bad
	}
	req := request{path: values}
	for _, check := range []func(*http.Request, operation, *request) reply{checkQuery, checkAccept, checkBody} {
		if bad := check(r, op, &req); bad.status != 0 {
			return bad
		}
	}
	return op.do(s, req)
}

// find is the operation with what stands at {} of its path.
func find(method string, parts []string) (operation, []string, reply) {
	known := false
	for _, op := range operations() {
		if len(op.path) != len(parts) {
			continue
		}
		var values []string
		fits := true
		for i, want := range op.path {
			got, err := url.PathUnescape(parts[i])
			switch {
			case err != nil || got == "":
				fits = false
			case want == "{}":
				values = append(values, got)
			case want != got:
				fits = false
			}
		}
		if known = known || fits; fits && op.method == method {
			return op, values, reply{}
		}
	}
	if known {
		return operation{}, nil, breach(http.StatusMethodNotAllowed, "no such method here: %s", method)
	}
	return operation{}, nil, breach(http.StatusNotFound, "no such path")
}

func (s *Server) authorize(r *http.Request, scopes []string) reply {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return breach(http.StatusUnauthorized, "%d Authorization headers", len(given))
	}
	token, ok := strings.CutPrefix(given[0], "Api-Token ")
	if !ok {
		return breach(http.StatusUnauthorized, "Authorization is not of the form Api-Token ...")
	}
	has, known := s.options.Tokens[token]
	switch {
	case !known:
		return refuse(http.StatusUnauthorized, "Token Authentication failed")
	case !slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(has, scope) }):
		return refuse(http.StatusForbidden, "Token is missing required scope. Use one of: "+strings.Join(scopes, ", "))
	}
	return reply{}
}

func checkQuery(r *http.Request, op operation, req *request) reply {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return breach(http.StatusBadRequest, "the query cannot be read")
	}
	for key, values := range query {
		switch {
		case !slices.Contains(op.query, key):
			return breach(http.StatusBadRequest, "no such parameter: %s", key)
		case len(values) != 1 || values[0] == "":
			return breach(http.StatusBadRequest, "parameter %s is not given once with a value", key)
		case key == "nextPageKey" && len(query) > 1:
			return breach(http.StatusBadRequest, "nextPageKey excludes all other parameters")
		case (key == "validateOnly" || key == "active") && values[0] != "true" && values[0] != "false":
			return breach(http.StatusBadRequest, "%s is neither true nor false", key)
		}
	}
	if text := query.Get("pageSize"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 100 {
			return breach(http.StatusBadRequest, "pageSize is not from 1 to 100")
		}
	}
	req.query = query
	return reply{}
}

func checkAccept(r *http.Request, op operation, req *request) reply {
	given := r.Header.Values("Accept")
	if len(given) == 0 {
		given = []string{asJSON}
	}
	kind, _, err := mime.ParseMediaType(given[0])
	if len(given) != 1 || err != nil || !slices.Contains(op.accept, kind) {
		return breach(http.StatusNotAcceptable, "Accept is none of %s", strings.Join(op.accept, ", "))
	}
	req.accept = kind
	return reply{}
}

func checkBody(r *http.Request, op operation, req *request) reply {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostBytes+1))
	if err != nil {
		return refuse(http.StatusBadRequest, "the body broke off")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case op.kind == "" && (len(body) > 0 || kind != ""):
		return breach(http.StatusBadRequest, "this request has no body")
	case kind != op.kind:
		return breach(http.StatusUnsupportedMediaType, "Content-Type is not %s", op.kind)
	case len(body) > mostBytes:
		return breach(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	req.body = body
	return reply{}
}

// page cuts out of a list what a request asks for. A key of a page holds the
// whole question.
func (s *Server) page(req request, list func(url.Values) []any, name string) reply {
	query, from := req.query, 0
	if key := query.Get("nextPageKey"); key != "" {
		text, err := base64.StdEncoding.DecodeString(key)
		offset, asked, ok := strings.Cut(string(text), "\xff\xfe")
		if err != nil || !ok {
			return breach(http.StatusBadRequest, "nextPageKey is none that was given")
		}
		query, _ = url.ParseQuery(asked)
		from, _ = strconv.Atoi(offset)
	}
	all := list(query)
	size := 20
	if n, err := strconv.Atoi(query.Get("pageSize")); err == nil {
		size = n
	}
	if s.options.PageSize > 0 {
		size = min(size, s.options.PageSize)
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	var next any
	if to < len(all) {
		next = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(to) + "\xff\xfe" + query.Encode()))
	}
	items := all[from:to]
	if items == nil {
		items = []any{}
	}
	return reply{status: http.StatusOK, json: map[string]any{
		name: items, "nextPageKey": next, "pageSize": size, "totalCount": len(all),
	}}
}

// strictJSON reads a body with these keys and no others.
func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	return nil
}
