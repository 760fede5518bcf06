package agent

import (
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// The adapter gives no half-made line, whose methods would panic, with an error.
func TestMachineBoardGivesNothingWithAnError(t *testing.T) {
	m := newMachineBoard()
	if line, err := m.Input(probes.InputOptions{Line: "no-such-chip/99"}); err == nil || line != nil {
		t.Errorf("got %v, %v", line, err)
	}
	if bus, err := m.I2C("no-such-bus"); err == nil || bus != nil {
		t.Errorf("got %v, %v", bus, err)
	}
	if line, err := m.Input(probes.InputOptions{Line: "x/1", Pull: "sideways"}); err == nil || line != nil {
		t.Errorf("got %v, %v", line, err)
	}
}
