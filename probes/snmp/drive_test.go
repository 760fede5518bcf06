package snmp

import (
	"context"
	"errors"
	"testing"
)

// wire lets drive talk to a scripted agent.
type wire struct {
	agent   *scripted
	pulse   error // what alive gives
	checked int
}

func (w *wire) exchange(_ context.Context, r request) (response, error) { return w.agent.answer(r) }

func (w *wire) alive(context.Context) error {
	w.checked++
	return w.pulse
}

func TestDrive(t *testing.T) {
	broken := errors.New("network is down")
	tests := []struct {
		name    string
		fails   error // what the second request gives
		pulse   error
		want    error
		checked int
	}{
		{"lost, but alive", errTimeout, nil, nil, 1},
		{"lost, and alive in its own way", errTimeout, errMalformed, nil, 1},
		{"gone", errTimeout, errTimeout, errGone, 1},
		{"the agent ended", errRefused, nil, errGone, 0},
		{"the agent ended a moment later", errTimeout, errRefused, errGone, 1},
		{"malformed", errMalformed, nil, nil, 0},
		{"out of time", context.DeadlineExceeded, nil, errOutOfTime, 0},
		{"socket broken", broken, nil, broken, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newScripted(table(2, 30))
			a.wrong = func(request) (response, error, bool) { return response{}, test.fails, len(a.log) == 2 }
			x := &wire{agent: a, pulse: test.pulse}
			w := newWalk(columnsOf(2), walkOptions{})
			if err := drive(t.Context(), x, w); !errors.Is(err, test.want) {
				t.Errorf("drive gives %v, want %v", err, test.want)
			}
			for _, c := range w.columns {
				if !errors.Is(c.cut, test.want) || len(c.cells) < 10 {
					t.Errorf("column %s: %d rows, cut %v, want %v", c.root, len(c.cells), c.cut, test.want)
				}
			}
			if x.checked != test.checked {
				t.Errorf("%d checks, want %d", x.checked, test.checked)
			}
		})
	}
}
