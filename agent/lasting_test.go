package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
)

type tallyOptions struct {
	Step int `yaml:"step"`
}

// tallySource counts its own ends, and stores them with its last batch.
type tallySource struct {
	total int
	began chan<- int
}

func (s *tallySource) Resume(state []byte) (err error) {
	s.total, err = strconv.Atoi(string(state))
	return err
}

func (s *tallySource) Run(ctx context.Context, emit func(probes.Batch)) error {
	give := func() {
		emit(probes.Batch{
			Points: []probes.Point{{Series: probes.NewSeries("tally", probes.Gauge), Value: probes.Int(int64(s.total))}},
			State:  []byte(strconv.Itoa(s.total)),
		})
	}
	give()
	s.began <- s.total
	<-ctx.Done()
	s.total++
	give()
	return nil
}

// A source that a reload changes goes on with what the one before it has told last,
// though no commit was made since; so does one after a start.
func TestStateOutlivesReloadAndStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	began := make(chan int, 9)
	kind := probes.Kind{
		Name:    "tally",
		Options: func() any { return new(tallyOptions) },
		New: func(options any, _ probes.Deps) ([]probes.Task, error) {
			return []probes.Task{{ID: "tally/x", Device: "x", Label: "x", Source: &tallySource{began: began}, Same: fmt.Sprint(*options.(*tallyOptions))}}, nil
		},
	}
	configure := func(step int) {
		t.Helper()
		text := "site: x\nstate_dir: " + dir + "/state\nsocket: " + dir + "/s\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\nbuffer: {commit_interval: 10m}\n" +
			fmt.Sprintf("probes: [{kind: tally, step: %d}]\n", step)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(0)
	want := 0
	for range 2 {
		a, err := New(Options{Path: path, Kinds: []probes.Kind{kind}, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		for range 3 {
			if got := <-began; got != want {
				t.Errorf("goes on with %d, want %d", got, want)
			}
			want++
			configure(want)
			if err := a.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-began; got != want {
			t.Errorf("goes on with %d, want %d", got, want)
		}
		want++
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
