package drain

import "net/http"

// logsAnswer is the body of the log ingest API when it took a part.
type logsAnswer struct {
	Details *struct {
		Message string `json:"message"`
	} `json:"details"`
}

// logsTaken reads a 204, which says that all was taken, or a 200, which says
// that a part was, and neither which nor how large.
func logsTaken(x exchange) (outcome, bool) {
	if x.status == http.StatusNoContent {
		return outcome{verdict: accepted}, true
	}
	var a logsAnswer
	if x.status != http.StatusOK || !parseObject(x.body, &a) || a.Details == nil {
		return outcome{}, false
	}
	return partOf(x.items, 1, clean(a.Details.Message, maxReason)), true
}

// partOf is a post of which so many items were refused, nobody knows which,
// unless it is all of them.
func partOf(items, refused int, words string) outcome {
	if words == "" {
		words = "refused without a reason"
	}
	if refused >= items {
		return refuseAll(items, words)
	}
	return outcome{verdict: partly, unnamed: refused, cause: words}
}
