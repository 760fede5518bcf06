// Package mqtt is a plain pipe to an MQTT 3.1.1 broker: one connection, ended
// by its first fault, over TCP, TLS or WebSocket. It keeps nothing: no queue
// for later, no session, no reconnect. Who uses it dials again, with Backoff
// between the tries, and has a store of its own.
//
// The client library is kept from what it does by default: a publish that
// succeeds without an acknowledgement, writes that hang for ever on a half-open
// link, handlers that block the reader, packets of any size.
package mqtt

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/rs/zerolog"
)

// What errors.Is finds in the errors of this package.
var (
	// ErrLost is in every error of a connection that ended by itself.
	ErrLost = errors.New("connection to the broker lost")
	// ErrClosed is in every error after Close.
	ErrClosed = errors.New("connection to the broker closed here")
	// ErrRefused says that the broker does not want this client, or this client
	// not the broker: identity, password, certificate, rights. A person has to
	// mend it, so trying often is of no use.
	ErrRefused = errors.New("refused")
	// ErrTooLarge says that a message is larger than Options.MaxMessage.
	ErrTooLarge = errors.New("message is too large")
)

// Options say how to reach a broker. Broker and ClientID must be set.
type Options struct {
	// Broker is mqtts://host[:8883], mqtt://host[:1883], wss://host[:443]/path
	// or ws://host[:80]/path. Those without TLS lead to this machine only,
	// unless Lab is set.
	Broker   string
	Lab      bool
	ClientID string

	// CAFile names the PEM file of the authorities that may sign the broker's
	// certificate; empty: those of the system. CertFile and KeyFile are the
	// certificate of this client; both or none. They are read by each Dial.
	CAFile, CertFile, KeyFile string
	// User and Password are for brokers that want them; nil: none. Password is
	// called by each Dial.
	User     string
	Password func() (probes.Secret, error)

	Will *Message // what the broker publishes when this connection is lost; nil: nothing

	// KeepAlive is how long the connection may be silent before it is tested,
	// in whole seconds; 0: 30 s. The broker ends a connection that is silent for
	// 1.5 times as long.
	KeepAlive time.Duration
	// WriteTimeout is how long a write of up to 16 KiB to the socket, or the
	// answer to a test, may take; 0: 60 s. A half-open link is noticed within
	// KeepAlive + WriteTimeout.
	WriteTimeout time.Duration
	// MaxInFlight is how many messages may wait for their acknowledgement;
	// Publish waits for a place. 0: 64.
	MaxInFlight int
	// MaxMessage is the largest message, sent or received, in bytes with its
	// topic; 0: 256 KiB.
	MaxMessage int
	// ManualAck leaves the acknowledgement of each message to who handles it.
	// Without, it follows the handler's return.
	ManualAck bool

	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: a net.Dialer
	Traffic func(sent, received int)                                             // told of bytes that moved, TLS included; nil: nobody is
	Time    func() time.Time                                                     // at which certificates are judged; nil: time.Now
	Log     zerolog.Logger
}

// Message is one to be published, with QoS 0 or 1.
type Message struct {
	Topic   string
	Payload []byte
	Retain  bool
	QoS     byte
}

// Incoming is a message that came. Payload belongs to the handler.
type Incoming struct {
	Topic    string
	Payload  []byte
	Retained bool // it was there before the subscription
	// Ack acknowledges the message to the broker. It never blocks, and counts
	// once; only with Options.ManualAck is it to be called. After the connection
	// has ended it does nothing.
	Ack func()
}
