package board

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// I2CAdapter is a bus that this machine can speak on.
type I2CAdapter struct {
	Number    int         `json:"number"`
	Name      string      `json:"name"`             // as its driver says
	Device    string      `json:"device,omitempty"` // of the adapter: fe804000.i2c, 0000:00:1f.3
	Node      string      `json:"node,omitempty"`   // in the device tree: /soc/i2c@7e804000
	File      string      `json:"file"`             // /dev/i2c-1
	Transfers string      `json:"transfers"`        // "i2c", or "smbus" where it can do no more; "": it could not be asked
	Clients   []I2CClient `json:"clients"`
}

// I2CClient is a part on a bus that the kernel knows of.
type I2CClient struct {
	Address string `json:"address"`          // 0x48
	Name    string `json:"name"`             // tmp105
	Driver  string `json:"driver,omitempty"` // that reads it; "": none
}

const i2cDevices = "bus/i2c/devices"

// I2CAdapters lists the adapters by number, with notes on what could not be
// had. No bus sees traffic from it.
func (p Paths) I2CAdapters() (all []I2CAdapter, notes []string) {
	all = p.i2cAdapters()
	absent := 0
	for i := range all {
		a := &all[i]
		dev, err := p.ask().open(a.File)
		if errors.Is(err, unix.ENOENT) {
			absent++
			continue
		}
		if err != nil {
			notes = append(notes, access(a.File, "i2c", err).Error())
			continue
		}
		if can, err := askFunctions(dev); err == nil {
			a.Transfers = can.word()
		}
		dev.Close()
	}
	if absent > 0 {
		notes = append(notes, fmt.Sprintf("%d I2C adapters have no device file: load the module by `modprobe i2c-dev`; the service sees the files only with the drop-in i2c.conf", absent))
	}
	return all, notes
}

// i2cAdapters opens nothing.
func (p Paths) i2cAdapters() []I2CAdapter {
	known := numbers(p.sys(i2cDevices), "i2c-")
	if len(known) == 0 {
		known = numbers(p.dev(), "i2c-")
	}
	all := make([]I2CAdapter, 0, len(known))
	for _, n := range known {
		all = append(all, p.i2cAdapter(n))
	}
	return all
}

func (p Paths) i2cAdapter(n int) I2CAdapter {
	id := "i2c-" + strconv.Itoa(n)
	link := p.sys(i2cDevices, id)
	a := I2CAdapter{Number: n, Name: readText(filepath.Join(link, "name")), File: p.dev(id), Clients: p.i2cClients(n)}
	dir, err := filepath.EvalSymlinks(link)
	if err != nil {
		return a
	}
	parent := filepath.Dir(dir)
	a.Device = filepath.Base(parent)
	if a.Node = treeNode(dir); a.Node == "" {
		a.Node = treeNode(parent)
	}
	return a
}

// i2cClients reads the names 1-0048 of those on bus 1.
func (p Paths) i2cClients(bus int) []I2CClient {
	all := []I2CClient{}
	entries, _ := os.ReadDir(p.sys(i2cDevices))
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), strconv.Itoa(bus)+"-")
		address, err := strconv.ParseUint(text, 16, 16)
		if !ok || err != nil {
			continue
		}
		dir := p.sys(i2cDevices, e.Name())
		all = append(all, I2CClient{
			Address: fmt.Sprintf("0x%02x", address),
			Name:    readText(filepath.Join(dir, "name")),
			Driver:  linkName(filepath.Join(dir, "driver")),
		})
	}
	return all
}

// findI2C finds an adapter by "1", "i2c-1", "/dev/i2c-1", its name, its device
// or its node.
func (p Paths) findI2C(name string) (I2CAdapter, error) {
	short := strings.TrimPrefix(strings.TrimPrefix(name, "/dev/"), "i2c-")
	all := p.i2cAdapters()
	var found []I2CAdapter
	var have []string
	for _, a := range all {
		if short == strconv.Itoa(a.Number) {
			return a, nil
		}
		if name != "" && (name == a.Name || name == a.Device || name == a.Node) {
			found = append(found, a)
		}
		have = append(have, fmt.Sprintf("i2c-%d (%s)", a.Number, a.Name))
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return I2CAdapter{}, fmt.Errorf("%d I2C adapters are called %q: choose one by its device or number; `edgehold board` lists them", len(found), name)
	case len(all) == 0:
		return I2CAdapter{}, fmt.Errorf("no I2C adapter %q: this machine shows none; on a Raspberry Pi set dtparam=i2c_arm=on in config.txt and start it again", name)
	}
	return I2CAdapter{}, fmt.Errorf("no I2C adapter %q: this machine has %s", name, strings.Join(have, ", "))
}
