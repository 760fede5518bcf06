package agent

import (
	"context"

	"periph.io/x/conn/v3/i2c"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

// machineBoard gives probes the buses and pins of this machine.
type machineBoard struct {
	paths board.Paths
	i2c   *board.I2CBuses
}

var _ probes.Board = (*machineBoard)(nil)

// newMachineBoard opens nothing; one is made a process, so that all probes share
// the buses.
func newMachineBoard() *machineBoard {
	paths := board.Paths{}
	return &machineBoard{paths: paths, i2c: paths.I2CBuses()}
}

// I2C implements probes.Board.
func (m *machineBoard) I2C(name string) (i2c.BusCloser, error) { return m.i2c.Open(name) }

// Input implements probes.Board.
func (m *machineBoard) Input(o probes.InputOptions) (probes.InputLine, error) {
	line, err := m.paths.OpenInput(board.InputOptions{
		Line: o.Line, ActiveLow: o.ActiveLow, Pull: string(o.Pull), Debounce: o.Debounce,
	})
	if err != nil {
		return nil, err
	}
	return inputLine{line}, nil
}

// inputLine is a line of board with edges in the words of probes.
type inputLine struct{ *board.Input }

func (l inputLine) Watch(ctx context.Context, each func(probes.Edge)) error {
	return l.Input.Watch(ctx, func(e board.Edge) { each(probes.Edge(e)) })
}
