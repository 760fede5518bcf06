package tenant

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// Error is a refusal by the environment, in its own words.
type Error struct {
	What       string // what was asked, e.g. "list extensions"
	Status     int    // of HTTP
	Message    string
	Violations []Violation // what is wrong with what was sent
	Scope      string      // what the token needs for it
	Location   string      // where a redirect leads, the host alone
}

// Violation is one thing that the environment found wrong.
type Violation struct {
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

const (
	maxWords      = 500 // bytes of what the environment says
	maxViolations = 50
)

// Error is the refusal in one line, with the mend where it is known.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the environment refused it (HTTP %d)", e.What, e.Status)
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	for _, v := range e.Violations {
		b.WriteString("; " + v.String())
	}
	if mend := e.Mend(); mend != "" {
		b.WriteString("; " + mend)
	}
	return b.String()
}

// String is the violation with its place.
func (v Violation) String() string {
	if v.Path == "" {
		return v.Message
	}
	return v.Path + ": " + v.Message
}

// Mend says what to do about it, "" where the environment's words have to do.
func (e *Error) Mend() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "the token is unknown, expired or switched off: make an access token with the scope " + e.Scope + " in the environment and put it into the token file"
	case e.Status == http.StatusForbidden:
		return "the token needs the scope " + e.Scope + ": add it to the token in the environment"
	case e.Status == http.StatusNotFound:
		return "check the name and the version, and that --url is the address of the environment"
	case e.Status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("a package has at most %d bytes", MaxPackage)
	case e.Status == http.StatusConflict:
		return "another upload is under way: try again in some minutes"
	case e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return "the environment is busy or out of order: try again later"
	case e.Status >= 300 && e.Status < 400:
		return "it leads on to " + e.Location + ", where the token is not sent: give --url the address of the environment itself"
	case e.Status == http.StatusBadRequest && e.says("signature"):
		return "the environment knows only signers whose root is in its credential vault: add the root certificate there (public certificate, scope of extension validation)"
	}
	return ""
}

func (e *Error) says(word string) bool {
	return strings.Contains(strings.ToLower(e.Message+fmt.Sprint(e.Violations)), word)
}

// refused makes an error of an answer.
func (c *Client) refused(q call, a answer) *Error {
	e := readError(a.body)
	e.What, e.Status, e.Scope = q.what, a.status, q.scope
	e.Message = c.words(e.Message)
	for i := range e.Violations {
		v := &e.Violations[i]
		v.Path, v.Message = c.words(v.Path), c.words(v.Message)
	}
	if u, err := url.Parse(a.location); err == nil && a.location != "" {
		e.Location = c.words(u.Host)
		if u.Host == "" {
			e.Location = "another path of " + c.host()
		}
	}
	if e.Location == "" {
		e.Location = "nowhere"
	}
	return e
}

// readError takes the environment's words out of its error envelope; what is
// none, such as the page of a proxy, has none.
func readError(data []byte) *Error {
	var envelope struct {
		Error struct {
			Message    string `json:"message"`
			Violations []struct {
				Path     string `json:"path"`
				Location string `json:"location"`
				Message  string `json:"message"`
			} `json:"constraintViolations"`
		} `json:"error"`
	}
	e := &Error{}
	if json.Unmarshal(data, &envelope) != nil {
		return e
	}
	e.Message = envelope.Error.Message
	for _, v := range envelope.Error.Violations {
		if len(e.Violations) == maxViolations {
			e.Violations = append(e.Violations, Violation{Message: fmt.Sprintf("%d further ones", len(envelope.Error.Violations)-maxViolations)})
			break
		}
		path := v.Path
		if path == "" {
			path = v.Location
		}
		e.Violations = append(e.Violations, Violation{Path: path, Message: v.Message})
	}
	return e
}

// words makes foreign text fit for one line, without the token, should somebody
// repeat it.
func (c *Client) words(text string) string {
	text = strings.ReplaceAll(text, c.token.Reveal(), "***")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(text) > maxWords {
		text = text[:maxWords] + "..."
	}
	return strings.ToValidUTF8(text, "")
}
