package drain

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// exchange is one post and what came of it.
type exchange struct {
	lines  int
	status int // 0: no answer
	header http.Header
	body   []byte
	err    error // why there is no answer, or not the whole of it
	begun  bool  // the request had begun to leave
}

// verdict is what an exchange means for the lines of its post.
type verdict uint8

const (
	accepted verdict = iota + 1 // all were taken
	partly                      // all but the refused were taken
	split                       // none was taken; smaller posts may be
	hold                        // none was taken until a person mends something
	later                       // none was taken as far as is known; try again
)

// refusal is one line that the server refused, in its own words.
type refusal struct {
	line   int // 0 is the first of the post
	reason string
}

// outcome is the verdict with all that belongs to it.
type outcome struct {
	verdict verdict
	refused []refusal
	// unnamed counts lines that the server refused without saying which. They
	// are settled as delivered with the others: to send them all again would
	// double those that were taken. The count is how far "delivered" overstates.
	unnamed   int
	cause     string        // of split, hold and later: what is wrong and what mends it
	wait      time.Duration // the server asks to be left alone for so long
	throttled bool
	ambiguous bool // the lines may have been taken, though nothing says so
	unreached bool // there was no connection, so no server had to do with it
}

// classify is the one place that decides what an exchange means.
func classify(x exchange, now time.Time) outcome {
	switch {
	case x.status == 0:
		return outcome{verdict: later, cause: networkCause(x.err), ambiguous: x.begun, unreached: !x.begun}
	case x.status == http.StatusAccepted, x.status == http.StatusOK:
		return classifySuccess(x)
	case x.status == http.StatusBadRequest:
		return classifyBad(x)
	case x.status == http.StatusRequestEntityTooLarge:
		return outcome{verdict: split, cause: withWords("the request is too large (HTTP 413)", x)}
	}
	if cause := holdCause(x); cause != "" {
		return outcome{verdict: hold, cause: withWords(cause, x)}
	}
	return outcome{
		verdict:   later,
		cause:     withWords(laterCause(x.status), x),
		wait:      asked(x.header, now),
		throttled: x.status == http.StatusTooManyRequests,
	}
}

// classifySuccess reads a 202, which needs no body, or a 200, which is taken
// for the API's only when it has the API's counts: the sign-in page of a
// network also comes with 200.
func classifySuccess(x exchange) outcome {
	a, isAnswer := parseAnswer(x.body)
	switch {
	case isAnswer && a.refusals() > 0:
		return a.partly(x.lines)
	case isAnswer && (a.counts() || x.status == http.StatusAccepted):
		return outcome{verdict: accepted}
	case x.status == http.StatusAccepted && (len(x.body) == 0 || x.err != nil && x.body[0] == '{'):
		return outcome{verdict: accepted}
	case x.err != nil && !isPage(x.body):
		return outcome{verdict: later, cause: "the answer broke off: " + networkCause(x.err), ambiguous: true}
	}
	return outcome{verdict: later, cause: foreign(x.status)}
}

// classifyBad reads a 400. With counts or a list of lines it means "partly
// taken"; without them nothing was taken and smaller posts find the culprit.
func classifyBad(x exchange) outcome {
	a, isAnswer := parseAnswer(x.body)
	switch {
	case isAnswer && a.detailed():
		return a.partly(x.lines)
	case x.err != nil:
		return outcome{verdict: later, cause: "the answer broke off: " + networkCause(x.err), ambiguous: true}
	case isPage(x.body):
		return outcome{verdict: later, cause: foreign(x.status)}
	}
	return outcome{verdict: split, cause: withWords("the request is refused without naming a line (HTTP 400)", x)}
}

// partly gives each refused line its reason. Where the server counts more
// refused lines than it lists, the rest has no name, unless it is all the rest.
func (a answer) partly(lines int) outcome {
	reasons, listed := make([]string, lines), 0
	for _, l := range a.Error.InvalidLines {
		if i := l.Line - 1; i >= 0 && i < lines && reasons[i] == "" {
			reasons[i] = a.reason(l.Error)
			listed++
		}
	}
	refused := max(a.LinesInvalid, listed)
	if a.counts() {
		refused = max(refused, lines-a.taken())
	}
	o := outcome{verdict: partly, unnamed: refused - listed}
	if refused >= lines {
		o.unnamed = 0
	}
	for i, reason := range reasons {
		if reason == "" && refused >= lines {
			reason = a.reason("")
		}
		if reason != "" {
			o.refused = append(o.refused, refusal{i, reason})
		}
	}
	return o
}

// holdCause says what a person has to do, "" where nobody has to do anything.
func holdCause(x exchange) string {
	switch {
	case x.status == http.StatusUnauthorized:
		return "the token is not accepted (HTTP 401): it is wrong, expired or disabled; put a valid one with the scope metrics.ingest into the token file"
	case x.status == http.StatusForbidden:
		return "the token may not send metrics (HTTP 403): give it the scope metrics.ingest, or put one that has it into the token file"
	case x.status == http.StatusNotFound, x.status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("there is no metrics API at this URL (HTTP %d): it should be https://ENVIRONMENT.live.dynatrace.com (not .apps.) or https://HOST/e/ENVIRONMENT", x.status)
	case x.status == http.StatusProxyAuthRequired:
		return "the proxy asks for a user and password (HTTP 407): put them into the proxy URL of HTTPS_PROXY in the agent's environment"
	case x.status >= 300 && x.status < 400:
		return fmt.Sprintf("the request is redirected%s (HTTP %d), which is not followed because the token would go along: check the URL, and whether this network wants a sign-in first", target(x.header), x.status)
	}
	return ""
}

// target names the host of a redirect; the rest of the address may hold secrets.
func target(h http.Header) string {
	u, err := url.Parse(h.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return " to " + clean(u.Scheme+"://"+u.Host, maxWords)
}

func laterCause(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "Dynatrace takes no more for now (HTTP 429)"
	case status >= 500:
		return fmt.Sprintf("the server cannot serve now (HTTP %d %s)", status, http.StatusText(status))
	}
	return fmt.Sprintf("unexpected answer (HTTP %d %s): check the URL and the proxy", status, http.StatusText(status))
}

func foreign(status int) string {
	return fmt.Sprintf("something other than Dynatrace answers (HTTP %d): check the URL and the proxy, and whether this network wants a sign-in first", status)
}

// asked is how long the server asks to be left alone, within reason:
// Retry-After in seconds or as a date, else X-RateLimit-Reset in microseconds,
// as a moment or as a time to go.
func asked(h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	retry, reset := strings.TrimSpace(h.Get("Retry-After")), strings.TrimSpace(h.Get("X-RateLimit-Reset"))
	if n, err := strconv.ParseInt(retry, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(longestAsked/time.Second))) * time.Second
	} else if date, err := http.ParseTime(retry); err == nil {
		wait = date.Sub(now)
	} else if n, err := strconv.ParseInt(reset, 10, 64); err == nil && n > int64(1e14) {
		wait = time.UnixMicro(n).Sub(now)
	} else if err == nil {
		wait = time.Duration(min(n, longestAsked.Microseconds())) * time.Microsecond
	}
	return min(max(wait, 0), longestAsked)
}
