package prometheus

import (
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
	samples  []plan.Sample
	warnings []string
	unread   int // results that are not a sample with a name
}

// apiBody is the frame of an answer.
type apiBody struct {
	Status    string   `json:"status"`
	Data      apiData  `json:"data"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
}

type apiData struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`
}

type apiResult struct {
	Metric map[string]string  `json:"metric"`
	Value  [2]json.RawMessage `json:"value"`
}

// maxAPIBody is how long an answer may be: it is held as a whole.
const maxAPIBody = 8 << 20

// read takes the samples of an instant query.
func (a *apiAnswer) read(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxAPIBody+1))
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
	a.warnings = body.Warnings
	var results []json.RawMessage
	if err := json.Unmarshal(body.Data.Result, &results); err != nil {
		return errors.New("the result of the server is not a list")
	}
	for _, result := range results {
		if !a.result(result) {
			a.unread++
		}
		if len(a.samples) > maxSamples {
			a.samples = a.samples[:maxSamples]
			return errTooMany
		}
	}
	return nil
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
