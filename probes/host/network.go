package host

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// arphrdPPP is the kernel's number for links such as those of modems, which have
// no device of their own.
const arphrdPPP = "512"

// virtual are the begins of names of interfaces that lead nowhere outside.
var virtual = []string{"lo", "veth", "docker", "br-", "virbr", "ifb", "dummy", "cni", "flannel", "cali", "lxc", "vnet"}

func (p *Probe) network() {
	text, ok := p.must("net/dev")
	if !ok {
		return
	}
	now := map[string]traffic{}
	lines(text, func(line string) bool {
		if name, t, ok := parseInterface(line); ok {
			now[name] = t
		}
		return true
	})
	for name := range p.places.interfaces {
		if _, there := now[name]; !there {
			delete(p.places.interfaces, name) // another one may come with its name
		}
	}
	hardware := false
	for name := range now {
		hardware = p.isHardware(name) || hardware
	}
	for name, t := range now {
		if p.wanted(name, hardware) {
			p.carried(name, &t)
		}
	}
	p.before.traffic = now
}

// wanted tells whether an interface is measured: what the filter lets pass, else
// hardware. Where there is none, as in a container, what looks like it.
func (p *Probe) wanted(name string, hardware bool) bool {
	if p.filters.interfaces != nil {
		return p.filters.interfaces.Match(name)
	}
	if hardware {
		return p.isHardware(name)
	}
	for _, v := range virtual {
		if strings.HasPrefix(name, v) {
			return false
		}
	}
	return true
}

func (p *Probe) isHardware(name string) bool {
	is, known := p.places.interfaces[name]
	if known {
		return is
	}
	if p.places.interfaces == nil {
		p.places.interfaces = map[string]bool{}
	}
	folder := "class/net/" + filepath.Base(name)
	is = p.exists(folder + "/device")
	if !is {
		kind, err := p.read(p.sys, folder+"/type")
		is = err == nil && strings.TrimSpace(kind) == arphrdPPP
	}
	p.places.interfaces[name] = is
	return is
}

// carried tells of one interface. Of one that is down, and of faults that do not
// happen, there is nothing to count.
func (p *Probe) carried(name string, now *traffic) {
	up := p.isUp(name)
	state := int64(0)
	if up {
		state = 1
	}
	p.add(netUp, probes.Int(state), "interface", name)
	before, known := p.before.traffic[name]
	if !known || !up && *now == before {
		return
	}
	p.grown(netBytesIn, now.bytesIn, before.bytesIn, "interface", name)
	p.grown(netBytesOut, now.bytesOut, before.bytesOut, "interface", name)
	p.grown(netPacketsIn, now.packetsIn, before.packetsIn, "interface", name)
	p.grown(netPacketsOut, now.packetsOut, before.packetsOut, "interface", name)
	for _, f := range []struct {
		number      int
		now, before uint64
	}{
		{netErrorsIn, now.errorsIn, before.errorsIn},
		{netErrorsOut, now.errorsOut, before.errorsOut},
		{netDroppedIn, now.droppedIn, before.droppedIn},
		{netDroppedOut, now.droppedOut, before.droppedOut},
	} {
		if f.now != f.before {
			p.grown(f.number, f.now, f.before, "interface", name)
		}
	}
}

// isUp asks for the operational state. Drivers without one have a carrier.
func (p *Probe) isUp(name string) bool {
	folder := "class/net/" + filepath.Base(name)
	state, err := p.read(p.sys, folder+"/operstate")
	switch state = strings.TrimSpace(state); {
	case err != nil:
		return false
	case state != "unknown":
		return state == "up"
	}
	carrier, err := p.read(p.sys, folder+"/carrier")
	return err == nil && strings.TrimSpace(carrier) == "1"
}

// The temperatures that are believed, in Celsius.
const coldest, hottest = -60, 200

func (p *Probe) temperatures() {
	zones, _ := names(p.sys, "class/thermal")
	seen := map[string]bool{}
	for _, zone := range zones {
		number, is := strings.CutPrefix(zone, "thermal_zone")
		if !is {
			continue
		}
		text, err := p.read(p.sys, "class/thermal/"+zone+"/temp")
		milli, wrong := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || wrong != nil || milli < coldest*1000 || milli > hottest*1000 {
			continue // it is switched off, or not fitted
		}
		kind, _ := p.read(p.sys, "class/thermal/"+zone+"/type")
		name := strings.TrimSpace(kind)
		if name == "" || seen[name] {
			name = strings.TrimPrefix(name+"-"+number, "-")
		}
		seen[name] = true
		p.add(temperature, probes.Float(float64(milli)/1000), "zone", name)
	}
	p.throttled()
}

// throttleReasons are those of the bits of the firmware of a Raspberry Pi. A bit
// that is 16 higher says that it has been so since boot.
var throttleReasons = []string{"under_voltage", "frequency_capped", "throttled", "temperature_limit"}

// throttled tells what holds the processor back, now or at some time since the
// last poll.
func (p *Probe) throttled() {
	p.search()
	if p.places.throttled == "" {
		p.lowVoltage()
		return
	}
	text, err := p.read(p.sys, p.places.throttled)
	bits, wrong := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(text), "0x"), 16, 32)
	if err != nil || wrong != nil {
		p.miss("read %s: it is not as expected", p.places.throttled)
		return
	}
	since := uint64(0) // at the first poll it may be long ago
	if before := p.before.throttle; before != nil {
		since = bits &^ *before
	}
	p.before.throttle = &bits
	for i, reason := range throttleReasons {
		p.add(throttling, probes.Uint(bits>>i&1|since>>(16+i)&1), "reason", reason)
	}
}

// lowVoltage is what other kernels than that of Raspberry Pi OS tell.
func (p *Probe) lowVoltage() {
	if p.places.lowVoltage == "" {
		return
	}
	text, err := p.read(p.sys, p.places.lowVoltage)
	if err != nil {
		return
	}
	state := int64(0)
	if strings.TrimSpace(text) == "1" {
		state = 1
	}
	p.add(throttling, probes.Int(state), "reason", throttleReasons[0])
}

// search looks once where a Raspberry Pi tells its flags: the firmware's driver, or
// with other kernels the one for under-voltage alone.
func (p *Probe) search() {
	if p.places.searched {
		return
	}
	p.places.searched = true
	found, _ := filepath.Glob(filepath.Join(p.sys, "devices/platform/soc*/soc*firmware/get_throttled"))
	if len(found) > 0 {
		p.places.throttled, _ = filepath.Rel(p.sys, found[0])
		return
	}
	monitors, _ := names(p.sys, "class/hwmon")
	for _, m := range monitors {
		if name, _ := p.read(p.sys, "class/hwmon/"+m+"/name"); strings.TrimSpace(name) == "rpi_volt" {
			p.places.lowVoltage = "class/hwmon/" + m + "/in0_lcrit_alarm"
		}
	}
}
