package httpjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// ask is one request and all blocks that read its answer.
type ask struct {
	request plan.DocRequest
	blocks  []*plan.DocBlock
}

var (
	errCircle = errors.New("the pages lead in a circle, the rest is left out")
	errPage   = errors.New("the next page is on another host, which is refused, the rest is left out")
	errLink   = fmt.Errorf("the link to the next page is longer than %d bytes, the rest is left out", maxLink)
)

// maxLink is how long a link to the next page may be: all of a request are kept,
// to find circles.
const maxLink = 4000

// ask reads all pages of a request. It fails where not even the first one came;
// a later one that is missing is noted.
func (p *poll) ask(ctx context.Context, c *client, a *ask) error {
	var tallies []*tally
	for _, b := range a.blocks {
		tallies = append(tallies, newTally(b))
	}
	err := p.pages(ctx, c, a, tallies)
	if err != nil && !tallies[0].read {
		return err
	}
	if err != nil {
		p.note("%s", err)
	}
	for _, t := range tallies {
		p.finish(t, err == nil)
	}
	return nil
}

func (p *poll) pages(ctx context.Context, c *client, a *ask, tallies []*tally) error {
	q := &a.request
	target, err := url.Parse(c.endpoint.URL + q.Path)
	if err != nil {
		return probes.WithStatus(probes.StatusInvalidConfigError, errors.New("the path of the request is not one of a URL"))
	}
	pager := pager{paging: &q.Paging, first: target, position: q.Paging.First}
	if q.Paging.Kind == plan.PageOffset {
		pager.position = 0
	}
	asked := make(map[string]bool)
	for target = pager.start(); target != nil; {
		switch {
		case asked[target.String()]:
			return errCircle
		case len(asked) > 0 && len(asked) >= q.Paging.Most:
			return errors.New("there are more than " + strconv.Itoa(q.Paging.Most) + " pages, the rest is left out")
		}
		asked[target.String()] = true
		answer, err := c.get(ctx, q, target, &p.stats)
		if err != nil {
			return err
		}
		doc, err := parse(answer.body)
		if err != nil {
			return label(q, target, probes.WithStatus(probes.StatusGenericError, err))
		}
		for _, t := range tallies {
			t.read = true
			p.walk(t, doc)
		}
		if p.full() {
			return nil // which was noted
		}
		if target, err = pager.next(p, c, doc, answer); err != nil {
			return err
		}
	}
	return nil
}

// pager finds the way from page to page.
type pager struct {
	paging   *plan.DocPaging
	first    *url.URL
	position int // offset or number
}

func (g *pager) start() *url.URL {
	switch g.paging.Kind {
	case plan.PageOffset, plan.PageNumber:
		return g.at()
	}
	return g.first
}

// at is the URL of a position.
func (g *pager) at() *url.URL {
	u := *g.first
	add := func(key string, n int) {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += url.QueryEscape(key) + "=" + strconv.Itoa(n)
	}
	add(g.paging.Parameter, g.position)
	if g.paging.SizeParameter != "" && g.paging.Size > 0 {
		add(g.paging.SizeParameter, g.paging.Size)
	}
	return &u
}

// next is the URL of the next page, nil behind the last one.
func (g *pager) next(p *poll, c *client, doc *document, a *answer) (*url.URL, error) {
	root := p.root(doc)
	link := ""
	switch g.paging.Kind {
	case plan.PageOffset, plan.PageNumber:
		return g.after(&root), nil
	case plan.PageNext:
		if at, ok := root.one(g.paging.Next); ok {
			link, _ = root.plain(at.at)
		}
	case plan.PageLink:
		link = nextLink(a.header)
	}
	if link = strings.TrimSpace(link); link == "" || link == "false" {
		return nil, nil
	}
	if len(link) > maxLink {
		return nil, errLink
	}
	to, err := a.url.Parse(link)
	if err != nil || !c.isHome(to) {
		return nil, errPage
	}
	to.Fragment = ""
	return to, nil
}

// after moves on by the items of a page, nil where it was the last one.
func (g *pager) after(root *scope) *url.URL {
	n := 0
	root.items(g.paging.Items, func(*scope) bool {
		n++
		return true
	})
	if n == 0 || n < g.paging.Size || root.budget.err != nil {
		return nil
	}
	if g.paging.Kind == plan.PageOffset {
		g.position += n
	} else {
		g.position++
	}
	return g.at()
}

// nextLink reads the URL of rel="next" out of the headers Link (RFC 8288).
func nextLink(h http.Header) string {
	for _, line := range h.Values("Link") {
		for line != "" {
			_, rest, found := strings.Cut(line, "<")
			if !found {
				break
			}
			target, rest, found := strings.Cut(rest, ">")
			if !found {
				break
			}
			parameters, more := rest, ""
			if at := strings.Index(rest, ",<"); at >= 0 {
				parameters, more = rest[:at], rest[at+1:]
			} else if at := strings.Index(rest, ", <"); at >= 0 {
				parameters, more = rest[:at], rest[at+1:]
			}
			if isNext(parameters) {
				return target
			}
			line = more
		}
	}
	return ""
}

// isNext looks for rel=next among parameters.
func isNext(parameters string) bool {
	for _, parameter := range strings.Split(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(strings.TrimSpace(key), "rel") {
			continue
		}
		for _, word := range strings.Fields(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(word, "next") {
				return true
			}
		}
	}
	return false
}
