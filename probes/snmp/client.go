package snmp

import (
	"context"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/rs/zerolog"
)

// Client asks one device for the tools. It finds the credential that works, in
// the order of the device's, as the probe does. It is for one goroutine.
type Client struct {
	device *device
	s      *session
}

// ClientOptions are for callers that open many clients.
type ClientOptions struct {
	Buffers *Buffers          // shared by the clients; nil: its own
	Stats   *probes.PollStats // counts what the client costs, also where Open fails; nil: its own
}

// Buffers are what clients share. They are safe for use by several goroutines.
type Buffers struct{ kit *kit }

// NewBuffers makes a set of buffers. traffic is told what the clients send; nil:
// nobody counts.
func NewBuffers(traffic probes.Traffic) *Buffers {
	k := newKit(probes.Deps{Log: zerolog.Nop(), Traffic: traffic})
	k.oids.whole = true
	return &Buffers{k}
}

// Open reaches a device. The error says what is wrong and what to do, and
// knows its status (probes.StatusOf).
func Open(ctx context.Context, d plan.Device, o ClientOptions) (*Client, error) {
	if d.Port == 0 {
		d.Port = defaultPort
	}
	if o.Buffers == nil {
		o.Buffers = NewBuffers(nil)
	}
	if o.Stats == nil {
		o.Stats = new(probes.PollStats)
	}
	c := &Client{device: newDevice(d, o.Buffers.kit)}
	var err error
	if c.s, _, err = c.device.reach(ctx, o.Stats); err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the socket.
func (c *Client) Close() { c.s.close() }

// Credential is the one that the device answered to.
func (c *Client) Credential() probes.Credential { return c.device.Credentials[c.device.current] }

// Label is the device's address as people write it.
func (c *Client) Label() string { return c.device.label() }

const getBatch = 20 // OIDs in one GET of a client

// Get reads instances, in the order of oids. What the device does not have
// comes as a Varbind with an Exception.
func (c *Client) Get(ctx context.Context, oids []string) ([]Varbind, error) {
	var all []Varbind
	for batch := range slices.Chunk(oids, getBatch) {
		vars, err := c.get(ctx, batch)
		if err != nil {
			return all, err
		}
		all = append(all, vars...)
	}
	return all, nil
}

// get falls back to one OID at a time where a batch is not answered whole.
func (c *Client) get(ctx context.Context, oids []string) ([]Varbind, error) {
	resp, err := c.s.exchange(ctx, request{kind: get, oids: oids})
	if why := fatal(ctx, c.s, err); why != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Label(), why)
	}
	if err == nil && resp.status == noError && sameOIDs(oids, resp.vars) {
		return toVarbinds(resp.vars), nil
	}
	if len(oids) == 1 {
		return one(oids[0], resp, err)
	}
	var all []Varbind
	for _, oid := range oids {
		vars, err := c.get(ctx, []string{oid})
		if err != nil {
			return nil, err
		}
		all = append(all, vars...)
	}
	return all, nil
}

// one tells why a single OID gave no value.
func one(oid string, resp response, err error) ([]Varbind, error) {
	v := Varbind{OID: oid}
	switch {
	case err != nil:
		v.Exception = err.Error()
	case resp.status == noSuchName:
		v.Exception = NoSuchInstance
	case resp.status.denied():
		return nil, probes.WithStatus(probes.StatusAuthenticationError,
			fmt.Errorf("read %s: %w: check the rights (view) that the device gives to this credential", oid, resp.status.err()))
	case resp.status != noError:
		v.Exception = resp.status.err().Error()
	default:
		v.Exception = "the reply does not hold it"
	}
	return []Varbind{v}, nil
}

func sameOIDs(oids []string, vars []varbind) bool {
	return slices.EqualFunc(oids, vars, func(oid string, v varbind) bool { return v.oid == oid })
}

// WalkOptions bound one walk of a client.
type WalkOptions struct {
	// Unordered goes on where OIDs do not increase, until nothing new comes. It
	// remembers every OID.
	Unordered bool
	MaxRows   int // 0: a million
}

// WalkReport is what a walk gave.
type WalkReport struct {
	Rows      int
	Repeated  int   // OIDs that came again and were left out
	Backwards int   // OIDs that did not increase and were taken all the same
	Skipped   int   // instances that the device named but gave no value for
	Stopped   error // why the walk is not whole; nil: it is
}

// Walk reads all that lies below root, or root itself where nothing does, and
// calls emit for each instance in the order in which the device gives them.
// What was read stays read whatever happens; the error is emit's or the
// context's.
func (c *Client) Walk(ctx context.Context, root string, o WalkOptions, emit func(Varbind) error) (WalkReport, error) {
	w := newStream(root, c.s.version1(), o, emit)
	_ = drive(ctx, c.s, w) // the report has it
	switch {
	case w.failed != nil:
		return w.report, w.failed
	case ctx.Err() != nil:
		return w.report, ctx.Err()
	case w.report.Rows == 0 && w.report.Stopped == nil:
		err := c.instance(ctx, root, w)
		return w.report, err
	}
	return w.report, nil
}

// instance reads root itself, as snmpwalk does where nothing lies below.
func (c *Client) instance(ctx context.Context, root string, w *stream) error {
	vars, err := c.Get(ctx, []string{root})
	if err != nil {
		w.report.Stopped = err
		return ctx.Err()
	}
	if vars[0].Exception != "" {
		return nil
	}
	w.report.Rows++
	return w.emit(vars[0])
}
