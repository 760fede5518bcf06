package extension

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// httpRequest is what a group asks for. Variables are not filled in.
type httpRequest struct {
	at      value
	method  string
	path    plan.DocText
	body    plan.DocText
	headers []httpHeader
	paging  plan.DocPaging
}

type httpHeader struct {
	name string
	text plan.DocText
	at   value
}

var (
	httpRequestKeys = []string{"path", "method", "headers", "body", "paging"}
	httpPagingKeys  = []string{"next", "offset", "page", "first", "size", "sizeParameter", "items", "most"}

	// foreignHeaders belong to the configuration, or to the connection.
	foreignHeaders = []string{
		"authorization", "proxy-authorization", "cookie", "host", "content-length", "transfer-encoding", "connection",
		"accept-encoding", "te", "trailer", "upgrade", "expect",
	}
	// methodHeaders ask for another method than the one that is shown.
	methodHeaders = []string{"x-http-method-override", "x-http-method", "x-method-override", "x-method"}
	// ownHeaders are written by the connection itself, whatever a request says.
	ownHeaders = []string{"host", "content-length", "transfer-encoding", "connection", "trailer", "upgrade", "te"}
)

const (
	defaultPages = 50
	maxPages     = 1000
	maxBody      = 10_000 // characters
)

func (p *manifestParser) httpRequest(group object) httpRequest {
	q := httpRequest{method: "GET"}
	v, ok := group.get("request")
	if !ok {
		return q
	}
	o := p.object(v, httpRequestKeys)
	q.at = v
	q.path, q.body = p.requestText(o, "path"), p.requestText(o, "body")
	if at, ok := o.get("path"); ok && !strings.HasPrefix(at.plain(), "/") && !strings.HasPrefix(at.plain(), "?") {
		p.fail(at.node, at.path, "found "+strconv.Quote(at.plain())+", expected a path that begins with /; the host is in the configuration")
	}
	if at, ok := o.get("method"); ok {
		if q.method = strings.ToUpper(o.text("method")); q.method != "GET" && q.method != "POST" {
			p.fail(at.node, at.path, "found "+strconv.Quote(q.method)+", expected GET or POST")
		}
	}
	if at, ok := o.get("body"); ok && q.method != "POST" {
		p.fail(at.node, at.path, "only POST has a body; write method: POST, or leave it out")
	} else if ok && len(at.plain()) > maxBody {
		p.fail(at.node, at.path, "longer than "+strconv.Itoa(maxBody)+" characters, shorten it")
	}
	if at, ok := o.get("headers"); ok {
		q.headers = p.httpHeaders(at)
	}
	if at, ok := o.get("paging"); ok {
		q.paging = p.httpPaging(at)
	}
	return q
}

// requestText reads a text in which there are variables alone: nothing was read
// when it is sent.
func (p *manifestParser) requestText(o object, key string) plan.DocText {
	made := p.docText(o, key)
	for _, v := range made {
		if at, _ := o.get(key); v.Kind != plan.DocFromConst && v.Kind != plan.DocFromVar {
			p.fail(at.node, at.path, "found ${"+v.String()+"}, expected ${var:…}: there is nothing else before the answer")
		}
	}
	return made
}

func (p *manifestParser) httpHeaders(v value) []httpHeader {
	o := p.object(v, nil)
	var all []httpHeader
	for _, f := range v.fields {
		h := httpHeader{name: f.key, text: p.requestText(o, f.key), at: value{f.value, join(v.path, f.key)}}
		switch {
		case !isToken(f.key):
			p.fail(f.value, h.at.path, "not the name of a header")
		case slices.Contains(foreignHeaders, strings.ToLower(f.key)):
			p.fail(f.value, h.at.path, "a package does not set this header; what an endpoint asks for stands under authentication in the configuration")
		}
		if slices.Contains(methodHeaders, strings.ToLower(f.key)) {
			p.fail(f.value, h.at.path, "the header asks for another method than GET and POST, and a package only reads; leave it out")
		}
		all = append(all, h)
	}
	return all
}

// isToken tells the name of a header (RFC 9110 section 5.1).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func (p *manifestParser) httpPaging(v value) plan.DocPaging {
	o := p.object(v, httpPagingKeys)
	g := plan.DocPaging{
		Size: o.integer("size", 0, 100_000, 0), SizeParameter: o.text("sizeParameter"),
		Items: p.docPath(o, "items"), Most: o.integer("most", 1, maxPages, defaultPages), First: o.integer("first", 0, 1_000_000, 1),
	}
	given := 0
	for _, key := range []string{"next", "offset", "page"} {
		if _, ok := o.get(key); ok {
			given++
		}
	}
	switch next, offset, page := o.text("next"), o.text("offset"), o.text("page"); {
	case given != 1:
		p.fail(v.node, v.path, "found "+strconv.Itoa(given)+" of next, offset and page, expected one of them")
	case next == "link":
		g.Kind = plan.PageLink
	case next != "":
		g.Kind, g.Next = plan.PageNext, p.docPath(o, "next")
	case offset != "":
		g.Kind, g.Parameter = plan.PageOffset, offset
	case page != "":
		g.Kind, g.Parameter = plan.PageNumber, page
	}
	return g
}

// request fills in the variables.
func (k *compiler) request(q *httpRequest, items plan.DocPath) plan.DocRequest {
	made := plan.DocRequest{Method: q.method, Path: q.path.Fill(k.vars, escapeURL), Body: q.body.Fill(k.vars, escapeJSON), Paging: q.paging}
	if _, err := url.ParseRequestURI("http://x" + made.Path); err != nil && made.Path != "" {
		k.ofPackage(ruleValue, q.at.node, "the path of the request is not one of a URL, so nothing can be asked")
	}
	if made.Paging.Kind != 0 && made.Paging.Items == nil {
		made.Paging.Items = items
	}
	for _, h := range q.headers {
		text := h.text.Fill(k.vars, func(s string) string { return s })
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			k.fail(nil, k.configuration.path("vars"), "the header "+h.name+" of the package gets a line break or another control character from a variable; write its value in one line")
		}
		made.Headers = append(made.Headers, probes.Dimension{Key: h.name, Value: text})
	}
	return made
}

// escapeURL escapes a text for a path and a query alike.
func escapeURL(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// escapeJSON escapes a text for a string of JSON.
func escapeJSON(text string) string {
	b, err := json.Marshal(text)
	if err != nil { // no text fails
		return ""
	}
	return string(b[1 : len(b)-1])
}
