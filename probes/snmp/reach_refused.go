package snmp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/probes"
)

// refused is that a device answers, but not to what a credential asks.
type refused struct {
	credential probes.Credential
	why        error
}

func (r refused) Error() string { return fmt.Sprintf("credential %q: %v", r.credential.Name, r.why) }
func (r refused) Unwrap() error { return r.why }

// refusal reports whether an error says more than silence.
func refusal(err error) bool {
	return slices.ContainsFunc(refusals, func(known error) bool { return errors.Is(err, known) })
}

// mend says what to do about it, and tells no secret.
func (r refused) mend() string {
	c := r.credential
	other := otherExtension[c.Priv]
	switch {
	case errors.Is(r.why, errDenied) && c.Version == probes.SNMPv3:
		return fmt.Sprintf("check the rights (view) that the device gives to the user, and whether it wants a higher security level than %s", levelName(levelOf(c)))
	case errors.Is(r.why, errDenied):
		return "check the rights (view) that the device gives to it"
	case errors.Is(r.why, errUnknownUser):
		return "check `user` there and the SNMP v3 users of the device"
	case errors.Is(r.why, errLevel):
		return fmt.Sprintf("the credential asks with %s: give the user what is missing at the device, or take it out of the credential", levelName(levelOf(c)))
	case errors.Is(r.why, errWrongDigest):
		return fmt.Sprintf("compare `auth` (%s) and its pass phrase with the device", c.Auth)
	case errors.Is(r.why, errOtherExtension):
		return fmt.Sprintf("write `priv: %s` instead of %s", other, c.Priv)
	case errors.Is(r.why, errDecryption):
		return fmt.Sprintf("compare `priv` (%s) and its pass phrase with the device", c.Priv)
	case errors.Is(r.why, errNotInTime), errors.Is(r.why, errUnknownEngine):
		return "restart its SNMP agent, and check that no second device has its address"
	}
	return "check the SNMP v3 settings of the device"
}

func versionName(c probes.Credential) string {
	switch c.Version {
	case probes.SNMPv1:
		return "v1"
	case probes.SNMPv3:
		return "v3"
	}
	return "v2c"
}

// keysOf says by what the credentials ask: community, user or both.
func (d *device) keysOf() string {
	v3 := func(c probes.Credential) bool { return c.Version == probes.SNMPv3 }
	v2 := func(c probes.Credential) bool { return !v3(c) }
	switch {
	case !slices.ContainsFunc(d.Credentials, v3):
		return "community"
	case !slices.ContainsFunc(d.Credentials, v2):
		return "user"
	}
	return "community, user"
}
