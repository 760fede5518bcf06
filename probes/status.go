package probes

import (
	"context"
	"errors"
)

// Status is the state of a probe or configuration, in the vendor's words (the
// well-known values of dt.extension.status).
type Status string

// The statuses.
const (
	StatusOK                    Status = "OK"
	StatusWarning               Status = "WARNING"
	StatusGenericError          Status = "GENERIC_ERROR"
	StatusUnknownError          Status = "UNKNOWN_ERROR"
	StatusInvalidArgsError      Status = "INVALID_ARGS_ERROR"
	StatusInvalidConfigError    Status = "INVALID_CONFIG_ERROR"
	StatusAuthenticationError   Status = "AUTHENTICATION_ERROR"
	StatusDeviceConnectionError Status = "DEVICE_CONNECTION_ERROR"
	StatusPending               Status = "PENDING"
	StatusIdle                  Status = "IDLE" // it is switched off
)

// StatusError is an error that knows its status. A Batch that comes with a
// StatusWarning error is partial: what it holds is right, something is missing.
type StatusError struct {
	Status Status
	Err    error
}

// Error is the text of the error within.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *StatusError) Unwrap() error { return e.Err }

// WithStatus gives err a status; nil stays nil.
func WithStatus(s Status, err error) error {
	if err == nil {
		return nil
	}
	return &StatusError{Status: s, Err: err}
}

// StatusOf is the status of a poll that ended with err.
func StatusOf(err error) Status {
	if err == nil {
		return StatusOK
	}
	var se *StatusError
	if errors.As(err, &se) {
		return se.Status
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return StatusDeviceConnectionError
	}
	return StatusGenericError
}

// SummarizeStatus gives the status of a configuration from its endpoints: OK if all
// are, GENERIC_ERROR if none works, WARNING in between. Endpoints that have
// not been polled yet say nothing.
func SummarizeStatus(endpoints []Status) Status {
	var ok, bad int
	for _, s := range endpoints {
		switch s {
		case StatusOK:
			ok++
		case StatusPending, "":
		case StatusWarning:
			ok++
			bad++
		default:
			bad++
		}
	}
	switch {
	case ok == 0 && bad == 0:
		return StatusPending
	case bad == 0:
		return StatusOK
	case ok == 0:
		return StatusGenericError
	}
	return StatusWarning
}
