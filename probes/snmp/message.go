package snmp

import (
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/probes/plan"
)

// The instance that every agent has: it tells whether a device is alive.
const sysUpTime = "1.3.6.1.2.1.1.3.0"

// kind is the kind of a request.
type kind uint8

const (
	get     kind = 1
	getNext kind = 2
	getBulk kind = 3
	set     kind = 4
)

// request is one request to a device. OIDs have no leading dot; reps is the
// max-repetitions of a GETBULK, 0 for the others. tries bounds how often it is
// sent; 0: as often as the device's settings say. value is what a SET asks for.
type request struct {
	kind  kind
	oids  []string
	reps  int
	tries int
	value uint32
}

// triesOf is how often to send the request where the settings say usual.
func (r request) triesOf(usual int) int {
	if r.tries > 0 {
		return min(r.tries, usual)
	}
	return usual
}

// varbind is one binding of a reply. A binding that holds an exception of
// SNMP v2 has no cell.
type varbind struct {
	oid  string // no leading dot
	cell plan.Cell
	exc  exception
	tag  byte // of the value, as BER has it; 0 where it could not be read
}

// unreadable reports whether there is a value that could not be decoded. An
// Opaque that is no number, or a float that is NaN, is none to wait for.
func (v *varbind) unreadable() bool {
	if v.exc != noException || v.cell.Kind != plan.Absent {
		return false
	}
	const null, opaque, float, double = 0x05, 0x44, 0x78, 0x79
	return v.tag != null && v.tag != opaque && v.tag != float && v.tag != double
}

type exception uint8

const (
	noException  exception = 0
	noSuch       exception = 1 // noSuchObject or noSuchInstance
	endOfMibView exception = 2
)

// response is one reply: an error-status with the 1-based index of the OID it
// speaks of (0: none), or varbinds. size is the length of its datagram.
type response struct {
	status errorStatus
	index  int
	vars   []varbind
	size   int
}

// errorStatus is the error-status of a reply (RFC 3416).
type errorStatus uint8

const (
	noError            errorStatus = 0
	tooBig             errorStatus = 1
	noSuchName         errorStatus = 2
	badValue           errorStatus = 3
	readOnly           errorStatus = 4
	genErr             errorStatus = 5
	noAccess           errorStatus = 6
	authorizationError errorStatus = 16
)

// statusNames are the words of RFC 3416, by number.
var statusNames = [...]string{
	"noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType",
	"wrongLength", "wrongEncoding", "wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed",
	"undoFailed", "authorizationError", "notWritable", "inconsistentName",
}

func (s errorStatus) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("error-status %d", uint8(s))
}

// denied reports whether the device knows us but will not tell.
func (s errorStatus) denied() bool { return s == noAccess || s == authorizationError }

// err is the status as the reason why something was not read.
func (s errorStatus) err() error {
	if s.denied() {
		return fmt.Errorf("%w (%v)", errDenied, s)
	}
	return fmt.Errorf("error %v", s)
}

// Why an exchange gave no response, and why a reading is not whole.
var (
	errTimeout    = errors.New("no answer in time")
	errRefused    = errors.New("port closed")
	errMalformed  = errors.New("the reply could not be decoded")
	errUnsendable = errors.New("the request could not be encoded")
	errGone       = errors.New("the device stopped answering")
	errOutOfTime  = errors.New("the poll ran out of time")
	errSlowTable  = errors.New("the table took too long")
	errDenied     = errors.New("access denied")
	errTooMuch    = errors.New("the device holds more than fits in memory")
	errUnreadable = errors.New("its value could not be decoded")
)
