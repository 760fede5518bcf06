package drain

import (
	"fmt"
	"net/http"
)

// eventAnswer is the body of the events API: an event goes to each entity that
// its selector finds, and each has a status.
type eventAnswer struct {
	ReportCount *int `json:"reportCount"`
	Results     []struct {
		Status string `json:"status"`
	} `json:"eventIngestResults"`
}

// eventRefusals says what the words of the events API mean.
var eventRefusals = map[string]string{
	"INVALID_TIMESTAMPS":  "its time lies outside of what the environment takes: 6 hours back for types that open problems, 30 days for the others",
	"INVALID_ENTITY_TYPE": "its entity selector leads to an entity of a type that takes no such event",
	"INVALID_METADATA":    "one of its properties or its type is not valid",
}

// eventTaken reads a 201, which may hold refusals.
func eventTaken(x exchange) (outcome, bool) {
	var a eventAnswer
	if x.status != http.StatusCreated || !parseObject(x.body, &a) || a.ReportCount == nil && a.Results == nil {
		return outcome{}, false
	}
	refused := ""
	for _, r := range a.Results {
		if r.Status == "OK" {
			return outcome{verdict: accepted}, true // it has arrived at one entity at least
		}
		refused = r.Status
	}
	switch {
	case len(a.Results) > 0:
		return refuseAll(x.items, eventReason(refused)), true
	case *a.ReportCount > 0:
		return outcome{verdict: accepted}, true
	}
	return refuseAll(x.items, "its entity selector finds no entity that was active in the last 24 hours"), true
}

func eventReason(status string) string {
	status = clean(status, maxWords)
	if words := eventRefusals[status]; words != "" {
		return fmt.Sprintf("%s: %s", status, words)
	}
	return "the environment refuses the event with the status " + status
}
