package drain

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/edgehold/edgehold/agent/otlp"
)

// otlpTaken reads a 200, which may have no body, or a partial success: how many
// items were refused and why, not which.
func otlpTaken(x exchange) (outcome, bool) {
	kind := x.header.Get("Content-Type")
	protobuf := strings.HasPrefix(kind, "application/x-protobuf")
	switch {
	case isPage(x) || x.err != nil && !protobuf:
		return outcome{}, false
	case x.status == http.StatusNoContent || x.status == http.StatusAccepted || len(x.body) == 0:
		return outcome{verdict: accepted}, true
	case x.status != http.StatusOK:
		return outcome{}, false
	case strings.HasPrefix(kind, "application/json"):
		return otlpPartOfJSON(x)
	case kind != "" && !protobuf:
		return outcome{}, false
	}
	read := otlp.ParseMetricsAnswer
	if x.cargo == otlpLogs {
		read = otlp.ParseLogsAnswer
	}
	rejected, words, err := read(x.body)
	switch {
	case err != nil && x.err != nil:
		return outcome{verdict: accepted}, true // a 200 of the protocol whose end is lost: to send all again would double it
	case err != nil:
		return outcome{}, false
	}
	return otlpPart(x, rejected, words), true
}

// otlpPart is a success without so many items; words without them are a warning.
func otlpPart(x exchange, rejected int64, words string) outcome {
	if rejected <= 0 {
		return outcome{verdict: accepted}
	}
	return partOf(x.items, int(min(rejected, math.MaxInt32)), clean(words, maxReason))
}

// otlpJSON is the answer of backends that answer in JSON whatever they are
// sent. Its numbers are text.
type otlpJSON struct {
	PartialSuccess struct {
		Points  json.Number `json:"rejectedDataPoints"`
		Records json.Number `json:"rejectedLogRecords"`
		Message string      `json:"errorMessage"`
	} `json:"partialSuccess"`
}

func otlpPartOfJSON(x exchange) (outcome, bool) {
	var a otlpJSON
	if !parseObject(x.body, &a) {
		return outcome{}, false
	}
	count := a.PartialSuccess.Points
	if x.cargo == otlpLogs {
		count = a.PartialSuccess.Records
	}
	rejected, _ := count.Int64() // without a count it is 0
	return otlpPart(x, rejected, a.PartialSuccess.Message), true
}
