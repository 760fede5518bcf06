package snmp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const defaultPort = 161

// TaskOptions belong to all tasks of one configuration.
type TaskOptions struct {
	Config string // the configuration entry; it begins the tasks' ids
}

// Tasks makes one task for each device and distinct interval of the plan. The
// tasks of one device share what they learn of it. The network is not touched,
// but names are asked for in the background.
func Tasks(p *plan.Plan, devices []plan.Device, o TaskOptions, deps probes.Deps) []probes.Task {
	var tasks []probes.Task
	common := newKit(deps)
	content := planHash(p)
	for _, d := range devices {
		if d.Port == 0 {
			d.Port = defaultPort
		}
		if deps.Resolver != nil {
			deps.Resolver.NameOf(d.Host) // so that the name is there by the first poll
		}
		shared := newDevice(d, common)
		for _, interval := range p.Intervals() {
			tasks = append(tasks, probes.Task{
				ID:       fmt.Sprintf("%s/%s/%s", o.Config, hostPort(d), interval),
				Device:   canonicalHost(d.Host),
				Label:    shared.label() + " " + shortName(p.Extension),
				Config:   o.Config,
				Interval: interval,
				Probe: &Probe{
					device: shared, blocks: p.At(interval), deps: deps,
					state: plan.State{Constants: deps.Constants},
				},
				Same: fingerprint(content, d, interval),
			})
		}
	}
	return tasks
}

// autoTask makes the task of a device that has no package. Sum stands for all
// that decides what is read of it.
func autoTask(a *autoProbe, sum []byte) probes.Task {
	if a.deps.Resolver != nil {
		a.deps.Resolver.NameOf(a.device.Host) // so that the name is there by the first poll
	}
	interval := a.options.Interval
	content := fmt.Appendf(slices.Clone(sum), " %q", a.profile)
	return probes.Task{
		ID:       fmt.Sprintf("snmp/%s/%s", hostPort(a.device.Device), interval),
		Device:   canonicalHost(a.device.Host),
		Label:    a.device.label() + " " + a.profile,
		Config:   "snmp",
		Interval: interval,
		Probe:    a,
		Same:     fingerprint(content, a.device.Device, interval),
	}
}

func hostPort(d plan.Device) string {
	return net.JoinHostPort(canonicalHost(d.Host), strconv.Itoa(int(d.Port)))
}

// canonicalHost makes one text of the ways to write one address.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// shortName is the last part of an extension's name.
func shortName(extension string) string {
	return extension[strings.LastIndexByte(extension, '.')+1:]
}

// planHash covers everything that a plan holds.
func planHash(p *plan.Plan) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", p.Extension, p.Version)
	for _, b := range p.Blocks {
		hashBlock(h, b)
	}
	return h.Sum(nil)
}

func hashBlock(h hash.Hash, b plan.Block) {
	dims := b.Dims
	b.Dims = nil
	fmt.Fprintf(h, "%#v\n", b)
	for _, d := range dims {
		filter := d.Filter.String()
		d.Filter = nil
		fmt.Fprintf(h, "%#v %q\n", d, filter)
	}
}

// fingerprint changes with every setting, secrets included, and tells none.
func fingerprint(content []byte, d plan.Device, interval time.Duration) string {
	h := sha256.New()
	credentials := d.Credentials
	d.Credentials = nil
	fmt.Fprintf(h, "%x %#v %d\n", content, d, interval)
	for _, c := range credentials {
		fmt.Fprintf(h, "%q %d %q %q %q %s %q %s %q\n", c.Name, c.Version, c.Community.Reveal(),
			c.User, c.Context, c.Auth, c.AuthPass.Reveal(), c.Priv, c.PrivPass.Reveal())
	}
	return hex.EncodeToString(h.Sum(nil))
}
