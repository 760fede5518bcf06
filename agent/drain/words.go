package drain

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/edgehold/edgehold/agent/otlp"
)

// How much of the server's words is kept, in bytes: in a state, in a dead letter.
const (
	maxWords  = 200
	maxReason = 500
)

// holdCause says what a person has to do, "" where nobody has to do anything.
func holdCause(x exchange) string {
	way := routes[x.cargo]
	switch {
	case x.status == http.StatusUnauthorized && x.bare:
		return "the endpoint wants a token (HTTP 401), and none is configured: name a token file"
	case x.status == http.StatusUnauthorized:
		return fmt.Sprintf("the token is not accepted (HTTP 401): it is wrong, expired or disabled; put a valid one with the scope %s into the token file", way.scope) + between(x)
	case x.status == http.StatusForbidden:
		return fmt.Sprintf("the token may not send %s (HTTP 403): give it the scope %s, or put one that has it into the token file", way.noun, way.scope) + between(x)
	case x.status == http.StatusPaymentRequired:
		return "the licence of the environment is used up or does not cover this (HTTP 402): its owner has to see to it"
	case x.status == http.StatusNotFound, x.status == http.StatusMethodNotAllowed:
		return noEndpoint(x)
	case x.status == http.StatusProxyAuthRequired:
		return "the proxy asks for a user and password (HTTP 407): " + proxyMend
	case x.status == http.StatusUnsupportedMediaType:
		return fmt.Sprintf("the endpoint does not take %s in this form (HTTP 415): check the URL", way.noun)
	case x.status == http.StatusNotImplemented:
		return fmt.Sprintf("the environment does not take %s (HTTP 501): what takes them is switched off there, or the URL is not its own", way.noun)
	case x.status >= 300 && x.status < 400:
		return fmt.Sprintf("the request is redirected%s (HTTP %d), which is not followed because the token would go along: check the URL, and whether this network wants a sign-in first", redirect(x.header), x.status)
	}
	return ""
}

const proxyMend = "put them into the proxy URL of HTTPS_PROXY in the agent's environment"

// between says that a page, which no API answers with, comes from elsewhere.
func between(x exchange) string {
	if !isPage(x) {
		return ""
	}
	return "; since the answer is a page, it may be a proxy or firewall in between that refuses"
}

func noEndpoint(x exchange) string {
	way := routes[x.cargo]
	if x.cargo == otlpMetrics || x.cargo == otlpLogs {
		return fmt.Sprintf("there is no OTLP endpoint for %s at this URL (HTTP %d): it should be what stands before %s, for Dynatrace https://ENVIRONMENT.live.dynatrace.com/api/v2/otlp", way.noun, x.status, way.path)
	}
	text := fmt.Sprintf("there is no %s API at this URL (HTTP %d): it should be https://ENVIRONMENT.live.dynatrace.com (not .apps.) or https://HOST/e/ENVIRONMENT", way.noun, x.status)
	if x.cargo == logs {
		text += "; an ActiveGate needs its log module for it"
	}
	return text
}

// redirect names the host of a redirect; the rest of the address may hold secrets.
func redirect(h http.Header) string {
	u, err := url.Parse(h.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return " to " + clean(u.Scheme+"://"+u.Host, maxWords)
}

func laterCause(x exchange) string {
	switch {
	case x.status == http.StatusTooManyRequests:
		return "the server takes no more for now (HTTP 429)"
	case x.status == http.StatusRequestTimeout:
		return "the server did not get the request in time (HTTP 408): the link is slow; less is sent at once"
	case x.status == http.StatusNetworkAuthenticationRequired:
		return "this network wants a sign-in first (HTTP 511)"
	case lostBehind(x.status):
		return fmt.Sprintf("a gateway got no answer from the server (HTTP %d %s)", x.status, http.StatusText(x.status))
	case x.status >= 500:
		return fmt.Sprintf("the server cannot serve now (HTTP %d %s)", x.status, http.StatusText(x.status))
	}
	return fmt.Sprintf("unexpected answer (HTTP %d %s): check the URL and the proxy", x.status, http.StatusText(x.status))
}

func foreign(x exchange) string {
	whom := "Dynatrace"
	if x.cargo == otlpMetrics || x.cargo == otlpLogs {
		whom = "an OTLP endpoint"
	}
	return fmt.Sprintf("something other than %s answers (HTTP %d): check the URL and the proxy, and whether this network wants a sign-in first", whom, x.status)
}

// withWords adds what the server said. Pages are left out: they are made for
// browsers, and may repeat what was sent.
func withWords(cause string, x exchange) string {
	words := clean(wordsOf(x), maxWords)
	if words == "" {
		return cause
	}
	return cause + "; the server says: " + words
}

// wordsOf is what the server says of the whole request, in JSON, in OTLP's
// status or as plain text.
func wordsOf(x exchange) string {
	kind := x.header.Get("Content-Type")
	if a, ok := parseAnswer(x.body); ok {
		return a.message()
	}
	switch {
	case isPage(x):
		return ""
	case strings.HasPrefix(kind, "application/x-protobuf"):
		_, message, _ := otlp.ParseStatus(x.body) // what is none has no message
		return message
	case strings.HasPrefix(kind, "text/plain"):
		return string(x.body)
	}
	return ""
}

// isPage tells what is made for browsers. A protobuf message may begin with the
// same bytes.
func isPage(x exchange) bool {
	kind := x.header.Get("Content-Type")
	if strings.HasPrefix(kind, "application/x-protobuf") {
		return false
	}
	return strings.HasPrefix(kind, "text/html") || bytes.HasPrefix(bytes.TrimSpace(x.body), []byte("<"))
}

// clean makes foreign text fit for one line of a log, at most limit bytes.
func clean(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.C, r)
	}), " ")
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "")
}
