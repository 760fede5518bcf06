package drain

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"unicode"
)

// How much of the server's words is kept, in bytes: in a state, in a dead letter.
const (
	maxWords  = 200
	maxReason = 500
)

// answer is the body of the metrics API, with the names of all its variants.
type answer struct {
	LinesOk      *int `json:"linesOk"`
	LinesValid   *int `json:"linesValid"` // the OneAgent's word
	LinesInvalid int  `json:"linesInvalid"`
	Error        struct {
		Message      string `json:"message"`
		InvalidLines []struct {
			Line  int    `json:"line"` // 1 is the first
			Error string `json:"error"`
		} `json:"invalidLines"`
		Violations []struct {
			Message string `json:"message"`
		} `json:"constraintViolations"`
	} `json:"error"`
}

// parseAnswer reads a body that is a JSON object of the API's shape.
func parseAnswer(body []byte) (a answer, ok bool) {
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("{")) || json.Unmarshal(body, &a) != nil {
		return answer{}, false
	}
	return a, true
}

// taken is the number of accepted lines, -1 where the answer does not say.
func (a answer) taken() int {
	for _, n := range []*int{a.LinesOk, a.LinesValid} {
		if n != nil {
			return *n
		}
	}
	return -1
}

func (a answer) counts() bool  { return a.taken() >= 0 }
func (a answer) refusals() int { return max(a.LinesInvalid, len(a.Error.InvalidLines)) }

// detailed reports whether the answer tells taken lines from refused ones.
func (a answer) detailed() bool { return a.taken() > 0 || a.refusals() > 0 }

// message is what the server says of the whole request.
func (a answer) message() string {
	text := a.Error.Message
	for _, v := range a.Error.Violations {
		text += "; " + v.Message
	}
	return strings.TrimPrefix(text, "; ")
}

// reason is why a line was refused, in the server's words; never "".
func (a answer) reason(words string) string {
	for _, text := range []string{words, a.message(), "refused without a reason"} {
		if text = clean(text, maxReason); text != "" {
			return text
		}
	}
	return ""
}

// withWords adds what the server said in JSON or as plain text. Pages are left
// out: they are made for browsers, and may repeat what was sent.
func withWords(cause string, x exchange) string {
	words := ""
	if a, ok := parseAnswer(x.body); ok {
		words = a.message()
	} else if strings.HasPrefix(x.header.Get("Content-Type"), "text/plain") && !isPage(x.body) {
		words = string(x.body)
	}
	if words = clean(words, maxWords); words == "" {
		return cause
	}
	return cause + "; the server says: " + words
}

func isPage(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

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

// networkCause puts an error of the HTTP client into plain words with what may
// mend it.
func networkCause(err error) string {
	text := clean(err.Error(), maxWords)
	if mend := mendOf(err); mend != "" {
		return text + ": " + mend
	}
	return text
}

func mendOf(err error) string {
	var (
		name      *net.DNSError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		record    tls.RecordHeaderError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &name):
		return "check the host in the URL and this machine's DNS servers"
	case errors.As(err, &authority):
		return "if a proxy or a private authority signs here, name its certificate as CA file"
	case errors.As(err, &invalid):
		return "check this machine's clock and the server's certificate"
	case errors.As(err, &host):
		return "check the host in the URL"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the other side does not speak TLS; check scheme and port of the URL and the proxy"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there; check host and port of the URL and the proxy"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to the server; check the link and the routes"
	case errors.Is(err, context.Canceled):
		return "it was stopped here"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the server did not answer in time; check the link and the firewall"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was cut before the answer"
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		return "put user and password into the proxy URL of HTTPS_PROXY in the agent's environment"
	}
	return ""
}
