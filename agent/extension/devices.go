package extension

import (
	"errors"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Devices gives the devices of the configuration that can be polled; the error
// joins one for each that cannot, and the others are given all the same. A
// community or pass phrase written {{name}} is taken from the credential of
// that name, a user written so is that whole credential.
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
