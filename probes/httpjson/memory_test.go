package httpjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// large answers with one value and so many bytes beside it.
func large(bytes int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"name":"a","v":1,"text":%q}]`, strings.Repeat("x", bytes))
	}
}

func listen(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// TestBudgetOfAnswers: an answer of more than one endpoint may hold is a warning
// and takes nothing, one for which others leave nothing waits for its time, and
// small ones come through whatever others hold. All of it is given back.
func TestBudgetOfAnswers(t *testing.T) {
	memory := probes.Memory{Answers: probes.NewBudget(4 << 20)}
	poll := func(handler http.HandlerFunc) (probes.Batch, error) {
		t.Helper()
		g := newRig(t, simple(t))
		g.deps.Memory, g.end.URL = memory, listen(t, handler)
		g.end.Timeout = 300 * time.Millisecond
		g.restart()
		return g.task.Probe.Poll(context.Background())
	}
	check := func(name string, handler http.HandlerFunc, points int, want error) {
		t.Helper()
		batch, err := poll(handler)
		if len(batch.Points) != points || !errors.Is(err, want) || want != nil && probes.StatusOf(err) != probes.StatusWarning {
			t.Errorf("%s: %d points, want %d; %v, want a warning: %v", name, len(batch.Points), points, err, want)
		}
	}
	check("within", large(400<<10), 1, nil)
	check("too large", large(1<<20), 0, probes.ErrTooLarge)
	check("after one that was too large", large(400<<10), 1, nil)

	first, second := memory.Answers.Hold(), memory.Answers.Hold()
	if !first.Try(2<<20) || !second.Try(2<<20) {
		t.Fatal("the budget is not given back")
	}
	check("no room", large(400<<10), 0, probes.ErrNoMemory)
	check("small", large(10<<10), 1, nil)
	first.Release()
	second.Release()
	check("room again", large(400<<10), 1, nil)
}

// TestPagesShareTheBudget: each page is forgotten before the next one, so many of
// them hold no more than one.
func TestPagesShareTheBudget(t *testing.T) {
	b := simple(t)
	b.Request.Paging = plan.DocPaging{Kind: plan.PageNumber, Parameter: "page", First: 1, Most: 50, Items: path(t, "[]")}
	g := newRig(t, b)
	g.deps.Memory = probes.Memory{Answers: probes.NewBudget(2 << 20)}
	pages := 0
	g.end.URL = listen(t, func(w http.ResponseWriter, r *http.Request) {
		if pages++; pages > 20 {
			fmt.Fprint(w, `[]`)
			return
		}
		fmt.Fprintf(w, `[{"name":"item %d","v":1,"text":%q}]`, pages, strings.Repeat("x", 200<<10))
	})
	g.restart()
	if batch, err := g.task.Probe.Poll(context.Background()); err != nil || len(batch.Points) != 20 {
		t.Errorf("%d points of %d pages, %v", len(batch.Points), pages, err)
	}
}
