package drain

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// verdict is what an exchange means for the items of its post.
type verdict uint8

const (
	accepted verdict = iota + 1 // all were taken
	partly                      // all but the refused were taken
	split                       // none was taken; smaller posts may be
	hold                        // none was taken until a person mends something
	later                       // none was taken as far as is known; try again
)

// refusal is one item that the server refused, in its own words.
type refusal struct {
	line   int // 0 is the first item of the post
	reason string
}

// outcome is the verdict with all that belongs to it.
type outcome struct {
	verdict verdict
	refused []refusal
	aside   []int // lines that were refused by another time than ours: they are given back
	// unnamed counts items that the server refused without saying which, as far
	// as it says how many. They are settled as delivered with the others: to
	// send them all again would double those that were taken. The count is how
	// far "delivered" overstates.
	unnamed   int
	cause     string        // of split, hold, later and aside: what is wrong and what mends it; of unnamed: the server's words
	wait      time.Duration // the server asks to be left alone for so long
	throttled bool
	ambiguous bool // the items may have been taken, though nothing says so
	unreached bool // there was no connection, so no server had to do with it
	noGzip    bool // the endpoint refuses compression: the sender sends plain from now on, so try again at once
}

// classify is the one place that decides what an exchange means. What is
// particular to a cargo is its answers 2xx and 400.
func classify(x exchange, now time.Time) outcome {
	switch {
	case x.noToken != nil:
		return outcome{verdict: hold, cause: clean(x.noToken.Error(), maxReason)}
	case x.status == 0:
		return outcome{verdict: later, cause: networkCause(x.err), ambiguous: x.whole, unreached: !x.begun}
	case refusesGzip(x):
		return outcome{verdict: later, noGzip: true, cause: withWords("the endpoint takes no compressed request (HTTP "+strconv.Itoa(x.status)+"); it is sent plain", x)}
	case x.status == http.StatusBadRequest:
		return classifyBad(x)
	case x.status >= 200 && x.status < 300:
		return classifySuccess(x)
	case x.status == http.StatusRequestEntityTooLarge:
		return outcome{verdict: split, cause: withWords("the request is too large (HTTP 413)", x)}
	}
	if cause := holdCause(x); cause != "" {
		return outcome{verdict: hold, cause: withWords(cause, x)}
	}
	return outcome{
		verdict:   later,
		cause:     withWords(laterCause(x), x),
		wait:      asked(x.header, now),
		throttled: x.status == http.StatusTooManyRequests,
		ambiguous: x.whole && lostBehind(x.status),
	}
}

// classifySuccess reads a 2xx. It counts only in the form of the cargo's API:
// the sign-in page of a network also comes with 200.
func classifySuccess(x exchange) outcome {
	o, known := outcome{}, false
	switch x.cargo {
	case metrics:
		o, known = metricsTaken(x)
	case events:
		o, known = eventTaken(x)
	case logs:
		o, known = logsTaken(x)
	case otlpMetrics, otlpLogs:
		o, known = otlpTaken(x)
	}
	switch {
	case known:
		return o
	case x.err != nil && !isPage(x):
		return brokenOff(x)
	}
	return outcome{verdict: later, cause: foreign(x)}
}

// classifyBad reads a 400. The metrics API may have taken some of it; of others,
// nothing was taken, and smaller posts find the culprit.
func classifyBad(x exchange) outcome {
	a, isAnswer := parseAnswer(x.body)
	switch {
	case x.cargo == metrics && isAnswer && a.detailed():
		return a.partly(x.items)
	case x.items == 1 && isAnswer && isCulprit(x.cargo, a):
		return refuseAll(1, a.reason(""))
	case x.err != nil && x.cargo == metrics:
		return brokenOff(x)
	case isPage(x):
		return outcome{verdict: later, cause: foreign(x)}
	}
	return outcome{verdict: split, cause: withWords("the request is refused without naming an item (HTTP 400)", x)}
}

// isCulprit reports whether the API's own words are about the one item of a
// post. An event has no other in its post by which that could be found out. Of
// other cargos only what names the item counts: the API may refuse all that
// comes.
func isCulprit(c cargo, a answer) bool {
	switch c {
	case events:
		return a.message() != ""
	case logs:
		return strings.Contains(strings.ToLower(a.message()), "timestamps_out_of_range")
	}
	return false
}

// brokenOff is an answer whose end would have told what was taken.
func brokenOff(x exchange) outcome {
	return outcome{verdict: later, cause: "the answer broke off: " + networkCause(x.err), ambiguous: x.whole}
}

// lostBehind tells the answers of a gateway that passed the request on and got
// no answer to it: it may have been taken.
func lostBehind(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// refusesGzip tells a server that cannot read a compressed body: it says so, or
// it counts, and refuses, other lines than were sent.
func refusesGzip(x exchange) bool {
	if !x.zipped {
		return false
	}
	switch x.status {
	case http.StatusUnsupportedMediaType:
		return true
	case http.StatusBadRequest, http.StatusNotAcceptable:
		if a, isAnswer := parseAnswer(x.body); x.cargo == metrics && isAnswer && a.detailed() {
			return a.taken() == 0 && a.LinesInvalid > 0 && a.LinesInvalid != x.items
		}
		words := strings.ToLower(wordsOf(x))
		return strings.Contains(words, "gzip") || strings.Contains(words, "compress") ||
			strings.Contains(words, "content-encoding") || strings.Contains(words, "content encoding")
	}
	return false
}

// streamError has the shape of the HTTP/2 client's error of one request, which
// gives itself to any such shape.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "stream error" }

// refusedStream is RFC 9113's REFUSED_STREAM: nothing was processed.
const refusedStream = 7

// notProcessed tells errors by which no server has looked at the request, though
// all of it may have left.
func notProcessed(err error) bool {
	if err == nil {
		return false
	}
	var stream streamError
	if errors.As(err, &stream) && stream.Code == refusedStream || errors.Is(err, errUnprocessed) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "graceful shutdown GOAWAY") || strings.Contains(text, "received GOAWAY from server") ||
		wantsClientCertificate(text)
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
