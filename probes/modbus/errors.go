package modbus

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

var (
	errTimeout = errors.New("no answer")
	errGarbled = errors.New("what came is no answer")
	errLost    = errors.New("the connection ended")
)

// exception is what a device answers where it does not do what it is asked.
type exception uint8

// The exceptions of the standard that reading may bring.
const (
	illegalFunction exception = 1
	illegalAddress  exception = 2
	illegalValue    exception = 3
	deviceFailure   exception = 4
	acknowledged    exception = 5
	deviceBusy      exception = 6
	parityError     exception = 8
	gatewayPath     exception = 10
	gatewayTarget   exception = 11
	unknownCode     exception = 255 // of no standard
)

var exceptionWords = map[exception]string{
	illegalFunction: "illegal function (1): the device does not have this table; try holding in place of input, or the other way round",
	illegalAddress:  "illegal data address (2): the device has no such register; addresses begin at 0: of number 40053 the address is 52",
	illegalValue:    "illegal data value (3): it gives fewer registers at a time; set max_registers, or an even address and length where its manual asks for them",
	deviceFailure:   "device failure (4): it cannot give this now; look at its display",
	acknowledged:    "acknowledge (5): it needs longer than it takes to ask",
	deviceBusy:      "device busy (6): ask less often, or set a pause",
	parityError:     "memory parity error (8): its memory is damaged",
	gatewayPath:     "gateway path unavailable (10): the gateway does not know this unit; check units and the gateway's table",
	gatewayTarget:   "gateway target failed to respond (11): the unit behind the gateway does not answer; check its power, wiring, unit number and speed",
	unknownCode:     "an exception of no standard",
}

// Error tells the exception in words, with what mends it.
func (e exception) Error() string {
	return exceptionWords[e]
}

// refusal tells whether a smaller request may be answered.
func (e exception) refusal() bool { return e == illegalAddress || e == illegalValue }

// dead tells whether a gateway says that the device does not answer.
func (e exception) dead() bool { return e == gatewayPath || e == gatewayTarget }

// connectError says why a line cannot be opened, and what mends it.
func connectError(t target, err error) error {
	mend := "check address, cable and firewall"
	switch {
	case errors.Is(err, errManyFiles):
		mend = "poll fewer devices with this agent, or read the port with another one"
	case t.path != "" && errors.Is(err, fs.ErrNotExist), t.path != "" && errors.Is(err, syscall.ENXIO):
		mend = "plug the adapter in, or name it as `ls -l /dev/serial/by-id` does"
	case t.path != "" && errors.Is(err, fs.ErrPermission):
		mend = "let the agent's user into the group dialout"
	case t.path != "":
		mend = "is it a serial port, and not in use by another program?"
	case errors.Is(err, syscall.ECONNREFUSED):
		mend = "switch Modbus TCP on at the device, and check the port"
	}
	return fmt.Errorf("open %s: %w; %s", t.key(), err, mend)
}

// silence says what mends a unit that does not answer.
func silence(s settings, unit uint8) error {
	if s.scheme == schemeTCP {
		return fmt.Errorf("%w of unit %d within %v; check the unit number, and that the device allows this address and another connection", errTimeout, unit, s.timeout)
	}
	return fmt.Errorf("%w of unit %d within %v; check its power, A and B, the unit number, speed (%d) and parity (%s)", errTimeout, unit, s.timeout, s.speed, s.parity)
}
