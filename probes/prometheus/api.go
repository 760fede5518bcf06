package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// maxQuery is how long a query may be: it goes in a URL.
const maxQuery = 1500

const apiPath = "/api/v1/"

// queries gives the URLs that ask the HTTP API of a server for the current
// samples of some names; nil where the endpoint is an exporter. An endpoint that
// has a query of its own is asked just that.
func queries(endpoint string, names []string) []string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil
	}
	base, _, isAPI := strings.Cut(u.Path+"/", apiPath)
	switch {
	case !isAPI:
		return nil
	case u.Query().Has("query"):
		return []string{endpoint}
	}
	u.Path, u.RawPath = base+apiPath+"query", ""
	values := u.Query()
	var all []string
	for names = slices.DeleteFunc(slices.Clone(names), notPlain); len(names) > 0; {
		n, length := 0, 0
		for n < len(names) && (n == 0 || length+len(names[n]) < maxQuery) {
			length += len(names[n]) + 1
			n++
		}
		values.Set("query", `{__name__=~"`+strings.Join(names[:n], "|")+`"}`)
		u.RawQuery = values.Encode()
		all = append(all, u.String())
		names = names[n:]
	}
	return all
}

// notPlain tells a name that would need an escape in a query.
func notPlain(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool { return r > 0x7F || !isName(byte(r), false) })
}

// apiAnswer is what was read of one answer of a server.
type apiAnswer struct {
	names    wanted
	hold     *probes.Hold
	samples  []plan.Sample
	warnings []string
	unread   int // results that are not a sample with a name
}

// apiBody is the frame of an answer.
type apiBody struct {
	Status   string          `json:"status"`
	Data     apiData         `json:"data"`
	Error    string          `json:"error"`
	Warnings json.RawMessage `json:"warnings"`
}

type apiData struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`
}

type apiResult struct {
	Metric map[string]string  `json:"metric"`
	Value  [2]json.RawMessage `json:"value"`
}

const (
	// maxAPIBody is how long an answer may be: it is held as a whole.
	maxAPIBody = 8 << 20
	// apiCopies is how often the text of an answer is in memory: in a buffer that
	// grows, and as a result.
	apiCopies = 3
	// maxWarning is how much of a warning of a server is told, in bytes.
	maxWarning = 200
)

// read takes the samples of an instant query.
func (a *apiAnswer) read(ctx context.Context, r io.Reader) error {
	data, err := io.ReadAll(a.hold.Reader(ctx, io.LimitReader(r, maxAPIBody+1), apiCopies))
	if err != nil {
		return err
	}
	if len(data) > maxAPIBody {
		return fmt.Errorf("the answer is longer than %d MiB", maxAPIBody>>20)
	}
	var body apiBody
	if err := json.Unmarshal(data, &body); err != nil {
		return errors.New("it does not answer as the HTTP API of a Prometheus server does; check the URL")
	}
	switch {
	case body.Status != "success":
		return fmt.Errorf("the server refuses the query: %.200q", body.Error)
	case body.Data.ResultType != "vector":
		return fmt.Errorf("the server answers with a %.20q, expected a vector; give /api/v1/ or an instant query", body.Data.ResultType)
	}
	_ = eachOf(body.Warnings, func(one json.RawMessage) error {
		var text string
		if json.Unmarshal(one, &text) == nil {
			a.warnings = append(a.warnings, strings.ToValidUTF8(text[:min(len(text), maxWarning)], ""))
		}
		if len(a.warnings) == maxReasons {
			return errTooMany
		}
		return nil
	})
	return eachOf(body.Data.Result, func(one json.RawMessage) error { return a.add(ctx, one) })
}

// eachOf calls do for every item of a list, one at a time: a list of a million
// empty items is short as text.
func eachOf(list json.RawMessage, do func(json.RawMessage) error) error {
	if len(list) == 0 {
		return nil
	}
	items := json.NewDecoder(bytes.NewReader(list))
	if begin, err := items.Token(); err != nil || begin != json.Delim('[') {
		return errors.New("the result of the server is not a list")
	}
	var item json.RawMessage
	for items.More() {
		if err := items.Decode(&item); err != nil {
			return err
		}
		if err := do(item); err != nil {
			return err
		}
	}
	return nil
}

// add takes one result.
func (a *apiAnswer) add(ctx context.Context, data json.RawMessage) error {
	before := len(a.samples)
	if len(data) > maxLine || !a.result(data) {
		a.unread++
	}
	if len(a.samples) == before {
		return nil
	}
	err := a.hold.Take(ctx, sampleSize(&a.samples[before], len(data)))
	if err == nil && before == maxSamples {
		err = errTooMany
	}
	if err != nil {
		a.samples = a.samples[:before]
	}
	return err
}

// result takes one sample, false where it is none.
func (a *apiAnswer) result(data json.RawMessage) bool {
	var r apiResult
	var text string
	if json.Unmarshal(data, &r) != nil || json.Unmarshal(r.Value[1], &text) != nil {
		return false
	}
	s := plan.Sample{Name: r.Metric["__name__"]}
	value, err := number(text)
	if err != nil || s.Name == "" || len(r.Metric) > maxLabels {
		return false
	}
	if !a.names.Has([]byte(s.Name)) {
		return true
	}
	s.Value = value
	for key, text := range r.Metric {
		if key != "__name__" {
			s.Labels = append(s.Labels, probes.Dimension{Key: key, Value: text})
		}
	}
	if sortLabels(&s) != nil {
		return false
	}
	a.samples = append(a.samples, s)
	return true
}
