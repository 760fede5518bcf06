package snmp

import (
	"context"
	"errors"
)

// exchanger sends a request and waits for its response. The errors are those
// of message.go, the context's, or the socket's.
type exchanger interface {
	exchange(ctx context.Context, r request) (response, error)
	alive(ctx context.Context) error // nil: the device answered a small request
}

// machine is a pure step function: walk and gets.
type machine interface {
	next() (r request, ok bool)
	feed(r response, err error)
	abort(why error)
}

// drive runs a machine to its end. It returns why it had to stop early: the
// device is gone, the time is up, or the socket is broken.
func drive(ctx context.Context, ex exchanger, m machine) error {
	for {
		r, ok := m.next()
		if !ok {
			return nil
		}
		resp, err := ex.exchange(ctx, r)
		if why := fatal(ctx, ex, err); why != nil {
			m.abort(why)
			return why
		}
		m.feed(resp, err)
	}
}

// fatal tells whether going on is of no use. After a timeout one small GET
// shows whether the device is gone or the request was too much for it.
func fatal(ctx context.Context, ex exchanger, err error) error {
	if errors.Is(err, errTimeout) {
		err = ex.alive(ctx)
	}
	switch {
	case err == nil, errors.Is(err, errMalformed), errors.Is(err, errUnsendable):
		return nil
	case errors.Is(err, errTimeout), errors.Is(err, errRefused):
		return errGone
	case errors.Is(err, context.DeadlineExceeded):
		return errOutOfTime
	}
	return err
}
