package drain

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// answer is the body of the metrics API, with the names of all its variants.
// The other APIs of Dynatrace share its error.
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
	if !parseObject(body, &a) {
		return answer{}, false
	}
	return a, true
}

func parseObject(body []byte, into any) bool {
	body = bytes.TrimSpace(body)
	return bytes.HasPrefix(body, []byte("{")) && json.Unmarshal(body, into) == nil
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

// metricsTaken reads a 202, which needs no body, or a 200, which is taken for
// the API's only when it has the API's counts.
func metricsTaken(x exchange) (outcome, bool) {
	if x.status != http.StatusAccepted && x.status != http.StatusOK {
		return outcome{}, false
	}
	a, isAnswer := parseAnswer(x.body)
	switch {
	case isAnswer && a.refusals() > 0:
		return a.partly(x.items), true
	case isAnswer && a.counts():
		return outcome{verdict: accepted}, true
	case x.status == http.StatusAccepted && isAnswer:
		return outcome{verdict: accepted}, true
	case x.status == http.StatusAccepted && !isPage(x) && (len(x.body) == 0 || x.err != nil && x.body[0] == '{'):
		return outcome{verdict: accepted}, true
	}
	return outcome{}, false
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
	if refused >= lines {
		refused, listed = lines, lines
		for i := range reasons {
			if reasons[i] == "" {
				reasons[i] = a.reason("")
			}
		}
	}
	o := outcome{verdict: partly, unnamed: refused - listed}
	if o.unnamed > 0 {
		o.cause = a.reason("")
	}
	for i, reason := range reasons {
		if reason != "" {
			o.refused = append(o.refused, refusal{i, reason})
		}
	}
	return o
}

// refuseAll is a post of which every item was refused for the same reason.
func refuseAll(items int, reason string) outcome {
	o := outcome{verdict: partly, refused: make([]refusal, items)}
	for i := range o.refused {
		o.refused[i] = refusal{i, reason}
	}
	return o
}
