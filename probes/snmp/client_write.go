package snmp

import (
	"context"
	"fmt"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// WriteAccess is whether a credential may change a device.
type WriteAccess uint8

// What a device has shown.
const (
	WriteUnknown WriteAccess = iota
	CannotWrite
	CanWrite
)

// readOnlyInstances can be set on no device, and most have one of them.
var readOnlyInstances = []string{"1.3.6.1.2.1.2.1.0", "1.3.6.1.2.1.1.7.0"} // ifNumber, sysServices

// CanWrite asks the device to set a read-only instance to the value that it
// has. The standard has rights looked at first (RFC 3416, section 4.2.5), so
// that a credential without them gets noAccess and one with them notWritable.
// Either way nothing changes. The text says what the device answered.
func (c *Client) CanWrite(ctx context.Context) (WriteAccess, string, error) {
	vars, err := c.Get(ctx, readOnlyInstances)
	if err != nil {
		return WriteUnknown, "", err
	}
	for _, v := range vars {
		if v.Exception == "" && v.Cell.Kind == plan.Integer && v.Cell.Int >= 0 { // what cannot be set as it is, is left alone
			return c.trySet(ctx, v.OID, v.Cell.Int)
		}
	}
	return WriteUnknown, "the device has none of the instances that can be tried", nil
}

func (c *Client) trySet(ctx context.Context, oid string, value int64) (WriteAccess, string, error) {
	credential := c.Credential()
	if credential.Version == probes.SNMPv1 { // whose answers are the same either way
		credential.Version = probes.SNMPv2c
		if err := c.s.use(credential); err != nil {
			return WriteUnknown, "", err
		}
	}
	resp, err := c.s.exchange(ctx, request{kind: set, oids: []string{oid}, value: uint32(value)})
	switch {
	case ctx.Err() != nil:
		return WriteUnknown, "", ctx.Err()
	case err == nil:
		return accessOf(resp.status), fmt.Sprintf("the device answers %v to a SET of %s", resp.status, oid), nil
	}
	return WriteUnknown, fmt.Sprintf("a SET got no answer (%v), a GET did", err), nil
}

// accessOf reads the answer to a SET of what nobody can set. Words of SNMP v1
// and genErr come from agents that do not tell the two cases apart.
func accessOf(s errorStatus) WriteAccess {
	switch s {
	case noAccess, authorizationError:
		return CannotWrite
	case tooBig, noSuchName, badValue, readOnly, genErr:
		return WriteUnknown
	}
	return CanWrite
}
