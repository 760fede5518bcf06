package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"periph.io/x/conn/v3/i2c"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	wired "github.com/edgehold/edgehold/probes/sensor"
)

// pulseBoard has one line, which gives so many pulses and no more.
type pulseBoard struct{ pulses atomic.Int64 }

func givesPulses(n int64) *pulseBoard {
	b := &pulseBoard{}
	b.pulses.Store(n)
	return b
}

func (b *pulseBoard) I2C(string) (i2c.BusCloser, error) { return nil, errors.ErrUnsupported }

func (b *pulseBoard) Input(probes.InputOptions) (probes.InputLine, error) { return b, nil }

func (b *pulseBoard) Active() (bool, error) { return false, nil }

func (b *pulseBoard) Close() error { return nil }

func (b *pulseBoard) Watch(ctx context.Context, each func(probes.Edge)) error {
	for range b.pulses.Swap(0) {
		each(probes.Edge{Active: true})
		each(probes.Edge{})
	}
	<-ctx.Done()
	return nil
}

// pulseAgent is an agent that counts the pulses of a board, with the settings of
// the counter that are given.
func pulseAgent(t *testing.T, dir string, b probes.Board, settings string) *Agent {
	t.Helper()
	writePulses(t, dir, settings)
	kind := wired.Kind()
	onMachine := kind.New
	kind.New = func(options any, deps probes.Deps) ([]probes.Task, error) {
		deps.Board = b
		return onMachine(options, deps)
	}
	a, err := New(Options{Path: filepath.Join(dir, "edgehold.yaml"), Kinds: []probes.Kind{kind}, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func writePulses(t *testing.T, dir, settings string) {
	t.Helper()
	text := fmt.Sprintf("site: x\nstate_dir: %[1]s/state\nsocket: %[1]s/s\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\nbuffer: {commit_interval: 0}\n"+
		"probes: [{kind: sensor, part: pulse, line: GPIO4, interval: 1s%s}]\n", dir, settings)
	if err := os.WriteFile(filepath.Join(dir, "edgehold.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const pulseVariable = "EDGEHOLD_TEST_PULSES"

// TestPulseChild is the process that is killed. It tells on its standard output
// what the store holds of 1000 pulses.
func TestPulseChild(t *testing.T) {
	dir := os.Getenv(pulseVariable)
	if dir == "" {
		return
	}
	a := pulseAgent(t, dir, givesPulses(1000), "")
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			kept := a.store.Kept("state/sensor/line/GPIO4") // also of the commit that is being made
			if a.store.Stat().Pending == 0 {
				fmt.Printf("stored %s\n", kept)
			}
		}
	}()
	t.Error(a.Run(context.Background()))
}

// A total that was stored is there after the process was killed; a reload that
// changes what a pulse is worth keeps it, and one that changes start does not.
func TestPulsesOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPulseChild$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), pulseVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for stored := ""; !strings.Contains(stored, `"pulses":1000`) && lines.Scan(); {
		stored = lines.Text()
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed

	b := givesPulses(5)
	a := pulseAgent(t, dir, b, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	awaitTotal(t, a, 1005)
	for _, step := range []struct {
		settings string
		total    float64
	}{{", per_pulse: 0.5, unit: l", 1007.5}, {", per_pulse: 0.5, start: 20", 22.5}} {
		writePulses(t, dir, step.settings)
		b.pulses.Store(5)
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitTotal(t, a, step.total)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func awaitTotal(t *testing.T, a *Agent, want float64) {
	t.Helper()
	var state struct {
		Base     float64 `json:"base"`
		PerPulse float64 `json:"per_pulse"`
		Pulses   float64 `json:"pulses"`
	}
	deadline := time.After(20 * time.Second)
	for state.Base+state.PerPulse*state.Pulses != want {
		select {
		case <-deadline:
			t.Fatalf("the total is %+v, want %v", state, want)
		case <-time.After(10 * time.Millisecond):
		}
		if data, ok := a.states.Load("sensor/line/GPIO4"); ok {
			if err := json.Unmarshal(data.([]byte), &state); err != nil {
				t.Fatal(err)
			}
		}
	}
}
