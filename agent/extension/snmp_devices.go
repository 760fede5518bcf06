package extension

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// device is a device as the configuration writes it.
type device struct {
	at      value
	host    string
	port    uint16
	auth    authentication
	timeout time.Duration
	retries int
	reps    int
	oids    int
}

var (
	snmpKeys     = []string{"devices"}
	deviceKeys   = []string{"ip", "port", "authentication", "advanced", "primaryFields", "primaryTags"}
	advancedKeys = []string{"timeoutSecs", "retries", "maxRepetitions", "maxOidsPerQuery", "enableUnconnectedUdp"}
)

// snmpConfiguration reads the devices of an snmp package.
func snmpConfiguration(r *reader, part value, c *Configuration) {
	o := r.object(part, snmpKeys)
	items := o.list("devices")
	if v, ok := o.get("devices"); !ok || v.kind == kindList && len(items) == 0 {
		o.missing("devices", "a list of devices with at least one")
	}
	if len(items) > maxDevices {
		r.fail(part.node, join(part.path, "devices"), fmt.Sprintf("found %d devices, expected at most %d; split the configuration", len(items), maxDevices))
		return
	}
	seen := make(map[string]bool)
	for _, v := range items {
		d := r.device(v, c)
		key := fmt.Sprint(d.host, " ", d.port)
		if seen[key] {
			r.warn(v.node, v.path, "this device is listed twice")
			continue
		}
		seen[key] = true
		c.devices = append(c.devices, d)
	}
}

func (r *reader) device(v value, c *Configuration) device {
	o := r.object(v, deviceKeys)
	d := device{at: v, host: r.host(o), port: uint16(o.integer("port", 1, 65535, 161)), retries: -1}
	if part, ok := o.get("authentication"); ok {
		d.auth = r.authentication(part, c)
	} else if v.kind == kindMap {
		o.missing("authentication", "a type, and a community or a user")
	}
	if part, ok := o.get("advanced"); ok {
		a := r.object(part, advancedKeys)
		d.timeout = time.Duration(a.integer("timeoutSecs", 1, 1800, 0)) * time.Second
		d.retries = a.integer("retries", 0, 200, -1)
		d.reps = a.integer("maxRepetitions", 1, 400, 0)
		d.oids = a.integer("maxOidsPerQuery", 1, 120, 0)
		if a.flag("enableUnconnectedUdp", false) {
			at, _ := a.get("enableUnconnectedUdp")
			r.warn(at.node, at.path, "not needed, answers from another address are heard anyway")
		}
	}
	return d
}

// host reads a name or an address.
func (r *reader) host(o object) string {
	host := strings.TrimSpace(o.text("ip"))
	v, ok := o.get("ip")
	if host == "" {
		if o.at.kind == kindMap && (!ok || v.kind == kindText) {
			o.missing("ip", "a host name or an address")
		}
		return ""
	}
	_, err := netip.ParseAddr(host)
	if err != nil && (len(host) > 500 || strings.ContainsAny(host, " \t\r\n:/,@[]%")) {
		r.fail(v.node, v.path, "neither a host name nor an address; ranges are written out, and the port has a key of its own")
	}
	return host
}
