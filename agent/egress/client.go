package egress

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"
)

// lastWords is how long the agent may take to give the report of an audit that
// was ended early.
const lastWords = 10 * time.Second

// Agent is a running agent: a control.Client.
type Agent interface {
	Ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error)
}

// Ask has a running agent do an audit. The end of ctx ends it early, and what
// was found until then is returned. progress is told about each second.
func Ask(ctx context.Context, agent Agent, length time.Duration, progress func(Progress)) (Report, error) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	body, err := agent.Ask(work, "POST", pathAudit, url.Values{"for": {length.String()}})
	if err != nil {
		return Report{}, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	var first line
	if err := lines.Decode(&first); err != nil {
		return Report{}, fmt.Errorf("read the audit: %w", err)
	}
	finished := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(finished)
		time.AfterFunc(lastWords, cancel)
		answer, err := agent.Ask(work, "POST", pathFinish, url.Values{"audit": {strconv.FormatUint(first.Audit, 10)}})
		if err == nil { // otherwise it ends by itself, or by the timer
			_ = answer.Close()
		}
	})
	defer func() {
		if !stop() {
			<-finished
		}
	}()
	for {
		var next line
		if err := lines.Decode(&next); err != nil {
			return Report{}, fmt.Errorf("read the audit: %w", err)
		}
		if next.Report != nil {
			return *next.Report, nil
		}
		if next.Progress != nil {
			progress(*next.Progress)
		}
	}
}
