package extension

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Devices gives the devices of the configuration that can be polled; the error
// joins one for each that cannot, and the others are given all the same. A
// community written {{name}} is taken from the credential of that name.
func (c Configuration) Devices(credentials map[string]probes.Credential) ([]plan.Device, error) {
	var devices []plan.Device
	var errs []error
	for i := range c.devices {
		d := &c.devices[i]
		r := reader{file: c.Name}
		credential := r.credential(&d.auth, credentials)
		if err := r.err(); err != nil {
			errs = append(errs, err)
			continue
		}
		devices = append(devices, plan.Device{
			Host:        d.host,
			Port:        d.port,
			Credentials: []probes.Credential{credential},
			Timeout:     d.timeout,
			Retries:     d.retries,
			MaxReps:     d.reps,
			MaxOIDs:     d.oids,
		})
	}
	return devices, errors.Join(errs...)
}

const writeIt = `write the community itself, or "{{name}}" and a credential of that name in the agent's configuration`

func (r *reader) credential(a *authentication, known map[string]probes.Credential) probes.Credential {
	made := probes.Credential{Name: "configuration", Version: r.version(a)}
	community := join(a.at.path, "community")
	switch {
	case a.vault:
		r.fail(a.at.node, join(a.at.path, "useCredentialVault"),
			"the credential vault is in the environment and cannot be read from here; "+writeIt)
	case made.Version == 0: // said already
	case a.community == nil:
		r.fail(a.at.node, community, "missing; "+writeIt)
	case masked.MatchString(a.community.Reveal()):
		r.fail(a.at.node, community, "found a masked secret, the environment does not give secrets out; "+writeIt)
	case strings.Contains(a.community.Reveal(), "{{"):
		made.Name, made.Community = r.named(a, known)
	default:
		made.Community = *a.community
	}
	return made
}

// version reads the type of the authentication, 0 where it is not supported.
func (r *reader) version(a *authentication) probes.SNMPVersion {
	path := join(a.at.path, "type")
	if a.typ.node == nil {
		r.fail(a.at.node, path, "missing, expected SNMPv2c or SNMPv1")
		return 0
	}
	switch strings.ToLower(a.typ.node.text) {
	case "snmpv1":
		return probes.SNMPv1
	case "snmpv2c":
		return probes.SNMPv2c
	case "snmpv3":
		r.fail(a.typ.node, path, "SNMPv3 is not supported by this version yet, expected SNMPv2c or SNMPv1")
	default:
		r.fail(a.typ.node, path, "found another text, expected SNMPv2c or SNMPv1")
	}
	return 0
}

// named looks up {{name}}.
func (r *reader) named(a *authentication, known map[string]probes.Credential) (string, probes.Secret) {
	path := join(a.at.path, "community")
	match := placeholder.FindStringSubmatch(a.community.Reveal())
	if match == nil {
		r.fail(a.at.node, path, "found {{ in another text, expected {{name}} alone or a community")
		return "", probes.Secret{}
	}
	credential, ok := known[match[1]]
	switch {
	case !ok && len(known) == 0:
		r.fail(a.at.node, path, "no credential is named "+strconv.Quote(match[1])+
			"; add it under credentials in the agent's configuration")
	case !ok:
		names := slices.Sorted(maps.Keys(known))
		r.fail(a.at.node, path, "no credential is named "+strconv.Quote(match[1])+", expected one of "+strings.Join(names, ", "))
	case credential.Community.IsZero():
		r.fail(a.at.node, path, "the credential "+strconv.Quote(match[1])+" has no community")
	}
	return match[1], credential.Community
}
