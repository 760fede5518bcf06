package modbus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/simonvetter/modbus"
)

// link is an open connection to a bus or device. It is asked by one goroutine at
// a time, and closed after every error that is no exception: what comes late
// must not be taken for an answer to what is asked next.
type link interface {
	// read returns two bytes for each register, one for each bit.
	read(unit uint8, s span) ([]byte, error)
	close()
}

// frame is the longest one of a serial line, in characters.
const frame = 256

// charTime is what a character with its start, parity and stop bits takes.
func charTime(speed int) time.Duration { return 11 * time.Second / time.Duration(speed) }

// open opens a connection. The library takes at most 5 seconds to connect.
func open(s settings, host string) (link, error) {
	where := s.path
	if s.path == "" {
		where = net.JoinHostPort(host, s.port)
	}
	if s.path != "" {
		if err := checkPort(s.path); err != nil {
			return nil, err
		}
	}
	timeout := s.timeout
	if s.scheme != schemeTCP {
		timeout += frame * charTime(s.speed) // which the library counts too
	}
	c, err := modbus.NewClient(&modbus.ClientConfiguration{
		URL: s.scheme + "://" + where, Speed: uint(s.speed), DataBits: uint(s.dataBits), StopBits: uint(s.stopBits),
		Parity:  map[string]uint{parityNone: modbus.PARITY_NONE, parityEven: modbus.PARITY_EVEN, parityOdd: modbus.PARITY_ODD}[s.parity],
		Timeout: timeout,
		Logger:  log.New(io.Discard, "", 0), // it would write to the standard output
	})
	if err != nil {
		return nil, err
	}
	if err := c.Open(); err != nil {
		return nil, err
	}
	return client{c}, nil
}

var (
	errNoPort    = errors.New("no serial port")
	errManyFiles = fmt.Errorf("the agent has more than %d files and connections open, with which it can read no serial port", mostFiles)
)

// mostFiles leaves room below the 1024 files that select knows, with which the
// library waits: of others it would write past the end of its set.
const mostFiles = 960

// checkPort refuses what the library would harm, or write of to the standard
// error output.
func checkPort(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return bare(err)
	case info.Mode()&fs.ModeCharDevice == 0:
		return errNoPort
	}
	next, err := os.Open(os.DevNull) // has the number that the port would have
	if err != nil {
		return err
	}
	defer next.Close()
	if next.Fd() >= mostFiles {
		return errManyFiles
	}
	return nil
}

// bare takes the path off that the text around the error names already.
func bare(err error) error {
	var with *fs.PathError
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// client is a link of the library.
type client struct{ c *modbus.ModbusClient }

func (l client) close() { _ = l.c.Close() } // nothing is lost by it

func (l client) read(unit uint8, s span) (raw []byte, err error) {
	if err := l.c.SetUnitId(unit); err != nil {
		return nil, err
	}
	address, count := uint16(s.address), uint16(s.count)
	var bits []bool
	switch s.table {
	case plan.ModbusHolding:
		raw, err = l.c.ReadRawBytes(address, 2*count, modbus.HOLDING_REGISTER)
	case plan.ModbusInput:
		raw, err = l.c.ReadRawBytes(address, 2*count, modbus.INPUT_REGISTER)
	case plan.ModbusCoil:
		bits, err = l.c.ReadCoils(address, count)
	default:
		bits, err = l.c.ReadDiscreteInputs(address, count)
	}
	for _, bit := range bits {
		one := byte(0)
		if bit {
			one = 1
		}
		raw = append(raw, one)
	}
	return raw, told(err)
}

var exceptions = map[error]exception{
	modbus.ErrIllegalFunction: illegalFunction, modbus.ErrIllegalDataAddress: illegalAddress, modbus.ErrIllegalDataValue: illegalValue,
	modbus.ErrServerDeviceFailure: deviceFailure, modbus.ErrAcknowledge: acknowledged, modbus.ErrServerDeviceBusy: deviceBusy,
	modbus.ErrMemoryParityError: parityError, modbus.ErrGWPathUnavailable: gatewayPath, modbus.ErrGWTargetFailedToRespond: gatewayTarget,
}

// told puts an error of the library into our words.
func told(err error) error {
	var own modbus.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, modbus.ErrRequestTimedOut):
		return errTimeout
	case errors.As(err, &own):
		if e, ok := exceptions[own]; ok {
			return e
		}
		return fmt.Errorf("%w (%s)", errGarbled, own)
	case strings.HasPrefix(err.Error(), "unknown exception code"):
		return fmt.Errorf("%w: %w", unknownCode, err)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}
