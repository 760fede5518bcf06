package discover

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

// Bounds of a scan.
const (
	DefaultPerSecond = 50
	maxAtOnce        = 128
	defaultTimeout   = 2 * time.Second
	serialRows       = 50 // of entPhysicalTable that are looked at
)

// Options say what is scanned and how.
type Options struct {
	Networks    []netip.Prefix
	Credentials []probes.Credential // tried in this order
	PerSecond   int                 // packets; 0: DefaultPerSecond
	Port        uint16              // 0: 161
	Timeout     time.Duration       // of one request; 0: 2 s
	Retries     int
	// Profile names the profile that fits a device; nil: they are generic.
	Profile func(sysObjectID, sysDescr string) string
	// Progress is told how many addresses are done and how many devices there
	// are. It is called by one goroutine at a time; nil: nobody is told.
	Progress func(done, of uint64, devices int)
	Traffic  probes.Traffic // is told what is sent; nil: nobody counts
}

// Device is one device that answered.
type Device struct {
	Addresses   []string `json:"addresses"` // all that are known to be its own; the first is to be polled
	Port        uint16   `json:"port"`
	Name        string   `json:"name"`          // sysName
	Description string   `json:"description"`   // sysDescr
	ObjectID    string   `json:"sys_object_id"` // no leading dot
	Serial      string   `json:"serial"`
	EngineID    string   `json:"engine_id"`   // of SNMP, in hex
	ChassisMAC  string   `json:"chassis_mac"` // lower case with colons
	Profile     string   `json:"profile"`
	Credential  string   `json:"credential"` // its name
}

// scan is one scan while it runs.
type scan struct {
	Options
	pace    *pace
	buffers *snmp.Buffers

	mu    sync.Mutex
	found []Device
	done  uint64
	of    uint64
}

// Scan asks every address of the networks and returns the devices that
// answered, each once, in the order of their addresses. When ctx ends it
// returns those found so far, with the context's error.
func Scan(ctx context.Context, o Options) ([]Device, error) {
	o.PerSecond = cmp.Or(o.PerSecond, DefaultPerSecond)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	s := &scan{Options: o, pace: newPace(o.PerSecond), buffers: snmp.NewBuffers(o.Traffic), of: Size(o.Networks)}
	queue := make(chan netip.Addr)
	var workers sync.WaitGroup
	// As many as wait for an answer at this pace, when nobody answers.
	for range min(maxAtOnce, 2+int(float64(o.PerSecond)*o.Timeout.Seconds())) {
		workers.Go(func() {
			for addr := range queue {
				s.host(ctx, addr)
			}
		})
	}
	for addr := range addresses(o.Networks) {
		select {
		case queue <- addr:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	workers.Wait()
	return Merge(s.found), ctx.Err()
}

// host asks one address with every credential, and again as often as retries
// say.
func (s *scan) host(ctx context.Context, addr netip.Addr) {
	d, ok := s.ask(ctx, addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		s.found = append(s.found, d)
	}
	s.done++
	if s.Progress != nil && ctx.Err() == nil {
		s.Progress(s.done, s.of, len(s.found))
	}
}

func (s *scan) ask(ctx context.Context, addr netip.Addr) (Device, bool) {
	for range s.Retries + 1 {
		silent := true
		for _, c := range s.Credentials {
			client, why := s.open(ctx, addr, c)
			switch why {
			case answered:
				defer client.Close()
				return s.identify(ctx, client, addr)
			case closed:
				return Device{}, false
			case refused:
				silent = false
			}
		}
		if !silent { // it heard us; asking again changes nothing
			break
		}
	}
	return Device{}, false
}

// outcome is what became of one credential.
type outcome uint8

const (
	answered outcome = iota
	silence
	refused // the device knows no such user, or gives no rights
	closed  // nobody listens there, or the scan ends
)

func (s *scan) open(ctx context.Context, addr netip.Addr, c probes.Credential) (*snmp.Client, outcome) {
	packets := 1
	if c.Version == probes.SNMPv3 {
		packets = 2 // the engine is asked for its id first
	}
	if s.pace.wait(ctx, packets) != nil {
		return nil, closed
	}
	var stats probes.PollStats
	client, err := snmp.Open(ctx, plan.Device{
		Host: addr.String(), Port: s.Port, Credentials: []probes.Credential{c}, Timeout: s.Timeout,
	}, snmp.ClientOptions{Buffers: s.buffers, Stats: &stats})
	switch {
	case err == nil:
		return client, answered
	case ctx.Err() != nil:
		return nil, closed
	case probes.StatusOf(err) == probes.StatusAuthenticationError:
		return nil, refused
	case stats.Timeouts == 0: // not silence: the port is closed, or there is no way
		return nil, closed
	}
	return nil, silence
}

// What is asked of every device, in one request.
const (
	sysDescr    = "1.3.6.1.2.1.1.1.0"
	sysObjectID = "1.3.6.1.2.1.1.2.0"
	sysName     = "1.3.6.1.2.1.1.5.0"
	engineID    = "1.3.6.1.6.3.10.2.1.1.0"
	chassisType = "1.0.8802.1.1.2.1.3.1.0" // lldpLocChassisIdSubtype; 4: a MAC address
	chassisID   = "1.0.8802.1.1.2.1.3.2.0"
	bridge      = "1.3.6.1.2.1.17.1.1.0" // dot1dBaseBridgeAddress
	serials     = "1.3.6.1.2.1.47.1.1.1.1.11"
	hardware    = "1.3.6.1.2.1.2.2.1.6" // ifPhysAddress
)

// identify asks what the device is. Whatever it does not say stays empty; one
// that says nothing at all is no device to poll.
func (s *scan) identify(ctx context.Context, c *snmp.Client, addr netip.Addr) (Device, bool) {
	d := Device{Addresses: []string{addr.String()}, Port: s.Port, Credential: c.Credential().Name, Profile: "generic"}
	if s.pace.wait(ctx, 1) != nil {
		return d, false
	}
	vars, err := c.Get(ctx, []string{sysDescr, sysObjectID, sysName, engineID, chassisType, chassisID, bridge})
	if err != nil && len(vars) == 0 {
		return d, ctx.Err() == nil
	}
	cells := map[string]plan.Cell{}
	for _, v := range vars {
		cells[v.OID] = v.Cell
	}
	d.Description = readable(cells[sysDescr])
	d.ObjectID = cells[sysObjectID].Text
	d.Name = readable(cells[sysName])
	d.EngineID = hexOf(cells[engineID])
	if cells[chassisType].Int == 4 {
		d.ChassisMAC = macOf(cells[chassisID])
	}
	d.ChassisMAC = cmp.Or(d.ChassisMAC, macOf(cells[bridge]))
	d.Serial = s.first(ctx, c, serials, serialOf)
	if d.ChassisMAC == "" {
		d.ChassisMAC = s.least(ctx, c, hardware)
	}
	if s.Profile != nil {
		d.Profile = cmp.Or(s.Profile(d.ObjectID, d.Description), d.Profile)
	}
	return d, true
}

// first is the first value of a column that reads as something.
func (s *scan) first(ctx context.Context, c *snmp.Client, column string, read func(plan.Cell) string) string {
	for _, text := range s.column(ctx, c, column, read) {
		return text
	}
	return ""
}

func (s *scan) least(ctx context.Context, c *snmp.Client, column string) string {
	all := s.column(ctx, c, column, macOf)
	if len(all) == 0 {
		return ""
	}
	return slices.Min(all)
}

func (s *scan) column(ctx context.Context, c *snmp.Client, column string, read func(plan.Cell) string) (all []string) {
	if s.pace.wait(ctx, 1) != nil {
		return nil
	}
	_, _ = c.Walk(ctx, column, snmp.WalkOptions{MaxRows: serialRows}, func(v snmp.Varbind) error {
		if text := read(v.Cell); text != "" {
			all = append(all, text)
		}
		return nil
	}) // half of it is as good
	return all
}
