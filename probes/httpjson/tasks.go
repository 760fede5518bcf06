package httpjson

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// TaskOptions belong to all tasks of one configuration.
type TaskOptions struct {
	Config string // the configuration entry; it begins the tasks' ids
}

// Tasks makes one task for each endpoint and distinct interval of the plan's
// documents. The network is not touched, but names are asked for in the
// background.
func Tasks(p *plan.Plan, endpoints []plan.DocEndpoint, o TaskOptions, deps probes.Deps) []probes.Task {
	if p.Documents == nil {
		return nil
	}
	var tasks []probes.Task
	content := contentOf(p)
	for i := range endpoints {
		e := &endpoints[i]
		if deps.Resolver != nil {
			deps.Resolver.NameOf(e.Host) // so that the name is there by the first poll
		}
		for _, interval := range p.Documents.Intervals() {
			tasks = append(tasks, probes.Task{
				ID:       fmt.Sprintf("%s/%s/%s", o.Config, e.URL, interval),
				Device:   strings.ToLower(net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))),
				Lane:     e.URL,
				Label:    e.URL + " " + p.Extension[strings.LastIndexByte(p.Extension, '.')+1:],
				Config:   o.Config,
				Interval: interval,
				Probe: &Probe{
					endpoint: e, asks: asksOf(p.Documents.At(interval)), interval: interval, site: p.Documents.Site, here: p.Documents.Here, deps: deps,
				},
				Same: fingerprint(content, e, interval),
			})
		}
	}
	return tasks
}

// asksOf puts the blocks of one request together.
func asksOf(blocks []*plan.DocBlock) []ask {
	var asks []ask
	at := make(map[string]int)
	for _, b := range blocks {
		key := fmt.Sprintf("%+v", b.Request)
		i, ok := at[key]
		if !ok {
			i = len(asks)
			at[key] = i
			asks = append(asks, ask{request: b.Request})
		}
		asks[i].blocks = append(asks[i].blocks, b)
	}
	return asks
}

// contentOf covers everything that the documents of a plan hold: filters, paths
// and conditions write themselves.
func contentOf(p *plan.Plan) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q\n", p.Extension, p.Version, p.Documents.Site, p.Documents.Here)
	for i := range p.Documents.Blocks {
		fmt.Fprintf(h, "%+v\n", p.Documents.Blocks[i])
	}
	return h.Sum(nil)
}

// fingerprint changes with every setting, secrets included, and tells none.
func fingerprint(content []byte, e *plan.DocEndpoint, interval time.Duration) string {
	h := sha256.New()
	fmt.Fprintf(h, "%x %+v %q %d\n", content, *e, e.Secret.Reveal(), interval)
	return hex.EncodeToString(h.Sum(nil))
}
