package board

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// panel stands for the kernel with GPIO chips. Each line that is asked for is a
// pipe, whose other end the test writes edges to.
type panel struct {
	t       *testing.T
	chips   map[string]*fakeChip // by the name of the device file
	level   atomic.Bool
	denied  error // of opening
	request *unix.GPIOV2LineRequest
	edges   *os.File
}

type fakeChip struct {
	panel   *panel
	name    string
	label   string
	lines   []unix.GPIOV2LineInfo
	noEdges error
	refuse  error
}

func namedLine(name string) (l unix.GPIOV2LineInfo) {
	copy(l.Name[:], name)
	l.Flags = lineInput
	return l
}

func newPanel(t *testing.T) (Paths, *panel) {
	p := plant(t, files{"dev/gpiochip0": "", "dev/gpiochip1": "", "dev/gpiochip4": "-> gpiochip0", "dev/gpiochip11": ""})
	k := &panel{t: t, chips: map[string]*fakeChip{}}
	header := []unix.GPIOV2LineInfo{namedLine("ID_SDA"), namedLine("GPIO1"), namedLine("GPIO2"), namedLine("2712_WAKE")}
	header[2].Flags = lineUsed | lineOutput | lineActiveLow | linePullDown
	copy(header[2].Consumer[:], "relay")
	header[1].Flags |= linePullUp
	header[1].Num_attrs = 1
	header[1].Attrs[0].Id = unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE
	setDebounce(&header[1].Attrs[0], 20000)
	k.chips["gpiochip0"] = &fakeChip{panel: k, name: "gpiochip0", label: "pinctrl-rp1", lines: header}
	k.chips["gpiochip1"] = &fakeChip{panel: k, name: "gpiochip1", label: "gpio-brcmstb@107d508500", lines: []unix.GPIOV2LineInfo{namedLine("2712_WAKE"), namedLine(""), namedLine("P9_11 [gpio0/30]")}}
	k.chips["gpiochip11"] = &fakeChip{panel: k, name: "gpiochip11", label: "9030000.pl061", lines: make([]unix.GPIOV2LineInfo, 8)}
	p.kernel = k
	return p, k
}

func (k *panel) open(path string) (device, error) {
	if k.denied != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: k.denied}
	}
	chip := k.chips[path[strings.LastIndexByte(path, '/')+1:]]
	if chip == nil {
		return nil, unix.ENODEV
	}
	return chip, nil
}

func (k *panel) wrap(*os.File) device { return levelOf{k} }

type levelOf struct{ *panel }

func (levelOf) Close() error            { return nil }
func (levelOf) Set(uint, uintptr) error { return unix.ENOTTY }

func (l levelOf) Ioctl(op uint, arg unsafe.Pointer) error {
	if op != unix.GPIO_V2_LINE_GET_VALUES_IOCTL {
		return unix.ENOTTY
	}
	values := (*unix.GPIOV2LineValues)(arg)
	if l.level.Load() {
		values.Bits = values.Mask
	}
	return nil
}

func (c *fakeChip) Close() error            { return nil }
func (c *fakeChip) Set(uint, uintptr) error { return unix.ENOTTY }

func (c *fakeChip) Ioctl(op uint, arg unsafe.Pointer) error {
	switch op {
	case gpioGetChipInfo:
		info := (*unix.GPIOChipInfo)(arg)
		copy(info.Name[:], c.name)
		copy(info.Label[:], c.label)
		info.Lines = uint32(len(c.lines))
	case unix.GPIO_V2_GET_LINEINFO_IOCTL:
		info := (*unix.GPIOV2LineInfo)(arg)
		if int(info.Offset) >= len(c.lines) {
			return unix.EINVAL
		}
		offset := info.Offset
		*info = c.lines[offset]
		info.Offset = offset
	case unix.GPIO_V2_GET_LINE_IOCTL:
		return c.give((*unix.GPIOV2LineRequest)(arg))
	default:
		return unix.ENOTTY
	}
	return nil
}

func (c *fakeChip) give(request *unix.GPIOV2LineRequest) error {
	k := c.panel
	switch {
	case c.refuse != nil:
		return c.refuse
	case c.lines[request.Offsets[0]].Flags&lineUsed != 0:
		return unix.EBUSY
	case c.noEdges != nil && (request.Config.Flags&lineEdgeRising != 0 || request.Config.Num_attrs > 0):
		return c.noEdges
	}
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	k.t.Cleanup(func() { w.Close() })
	fd, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	request.Fd = int32(fd)
	kept := *request
	k.request, k.edges = &kept, w
	return nil
}

// edge is a record as the kernel lays it out.
func edge(at uint64, id, number uint32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint64(b, at)
	binary.NativeEndian.PutUint32(b[8:], id)
	binary.NativeEndian.PutUint32(b[12:], 3)           // offset
	binary.NativeEndian.PutUint32(b[16:], number+1000) // of the request
	binary.NativeEndian.PutUint32(b[20:], number)
	return b
}

func TestGPIOList(t *testing.T) {
	p, _ := newPanel(t)
	chips, notes := p.GPIOChips()
	if len(chips) != 3 || len(notes) != 0 || chips[2].Label != "9030000.pl061" || chips[2].Count != 8 {
		t.Fatalf("got %+v, notes %q", chips, notes)
	}
	const want = `{"name":"gpiochip0","label":"pinctrl-rp1","count":4,"lines":[` +
		`{"offset":0,"name":"ID_SDA","used":false,"direction":"in"},` +
		`{"offset":1,"name":"GPIO1","used":false,"direction":"in","pull":"up","debounce":"20ms"},` +
		`{"offset":2,"name":"GPIO2","used":true,"consumer":"relay","direction":"out","active_low":true,"pull":"down"},` +
		`{"offset":3,"name":"2712_WAKE","used":false,"direction":"in"}]}`
	if got := asJSON(t, chips[0]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGPIOListWithoutRight(t *testing.T) {
	p, k := newPanel(t)
	k.denied = unix.EACCES
	chips, notes := p.GPIOChips()
	if len(chips) != 0 || len(notes) != 3 || !strings.Contains(notes[0], "put the user in the group gpio; the service needs the drop-in gpio.conf") {
		t.Errorf("got %+v, notes %q", chips, notes)
	}
	if _, err := p.OpenInput(InputOptions{Line: "GPIO1"}); err == nil || !strings.Contains(err.Error(), "group gpio") {
		t.Errorf("got %v", err)
	}
	hidden := plant(t, files{"sys/bus/gpio/devices/gpiochip0/x": ""})
	if _, notes := hidden.GPIOChips(); len(notes) != 1 || !strings.Contains(notes[0], "gpio.conf") {
		t.Errorf("notes %q", notes)
	}
}

func TestFindLine(t *testing.T) {
	p, _ := newPanel(t)
	for name, want := range map[string]string{
		"pinctrl-rp1/1":             "pinctrl-rp1/1 (GPIO1)",
		"gpiochip0/1":               "pinctrl-rp1/1 (GPIO1)",
		"/dev/gpiochip0/1":          "pinctrl-rp1/1 (GPIO1)",
		"gpiochip4/0":               "pinctrl-rp1/0 (ID_SDA)",
		"GPIO1":                     "pinctrl-rp1/1 (GPIO1)",
		"9030000.pl061/7":           "9030000.pl061/7",
		"P9_11 [gpio0/30]":          "gpio-brcmstb@107d508500/2 (P9_11 [gpio0/30])",
		"gpio-brcmstb@107d508500/0": "gpio-brcmstb@107d508500/0 (2712_WAKE)",
	} {
		at, err := p.findLine(name)
		if err != nil || at.String() != want {
			t.Errorf("%q: got %q, %v; want %q", name, at, err, want)
		}
	}
	for name, want := range map[string]string{
		"2712_WAKE":       "is at gpiochip0/3 and at gpiochip1/0",
		"pinctrl-rp1/4":   "the chip has 4 lines, 0 to 3",
		"GPIO99":          "the chips are pinctrl-rp1 (gpiochip0, 4 lines), ",
		"pinctrl-rp2/1":   "write CHIP/OFFSET",
		"pinctrl-rp1/-1":  "no GPIO line",
		"":                "no GPIO line",
		"/1":              "no GPIO line",
		"../dev/gpioXX/1": "no GPIO line",
	} {
		if at, err := p.findLine(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %q", name, at, err, want)
		}
	}
	if _, err := plant(t).findLine("GPIO1"); err == nil || !strings.Contains(err.Error(), "shows no GPIO chip") {
		t.Errorf("got %v", err)
	}
}

func TestInputIsAskedForAsWanted(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     InputOptions
		flags uint64
		us    uint32
	}{
		{"plain", InputOptions{Line: "GPIO1"}, lineInput | lineEdgeRising | lineEdgeFalling, 0},
		{"all", InputOptions{Line: "GPIO1", ActiveLow: true, Pull: "up", Debounce: 20 * time.Millisecond}, lineInput | lineEdgeRising | lineEdgeFalling | lineActiveLow | linePullUp, 20000},
		{"down, shortest debounce", InputOptions{Line: "pinctrl-rp1/1", Pull: "down", Debounce: 1}, lineInput | lineEdgeRising | lineEdgeFalling | linePullDown, 1},
		{"none", InputOptions{Line: "GPIO1", Pull: "none"}, lineInput | lineEdgeRising | lineEdgeFalling | linePullNone, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, k := newPanel(t)
			line, err := p.OpenInput(c.o)
			if err != nil {
				t.Fatal(err)
			}
			r := k.request
			if r.Config.Flags != c.flags || r.Num_lines != 1 || r.Offsets[0] != 1 || r.Event_buffer_size != eventBuffer || unix.ByteSliceToString(r.Consumer[:]) != "edgehold" {
				t.Errorf("got %+v", r)
			}
			if c.us == 0 && r.Config.Num_attrs != 0 || c.us > 0 && (r.Config.Num_attrs != 1 || r.Config.Attrs[0].Mask != 1 || r.Config.Attrs[0].Attr.Id != 3 || debounceOf(&r.Config.Attrs[0].Attr) != c.us) {
				t.Errorf("debounce: got %+v", r.Config)
			}
			if on, err := line.Active(); on || err != nil {
				t.Errorf("got %v, %v", on, err)
			}
			k.level.Store(true)
			if on, err := line.Active(); !on || err != nil {
				t.Errorf("got %v, %v", on, err)
			}
			if err := line.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInputThatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		o    InputOptions
		set  func(*panel)
		want string
	}{
		{"in use", InputOptions{Line: "GPIO2"}, nil, "pinctrl-rp1/2 (GPIO2) is in use by relay"},
		{"in use by us", InputOptions{Line: "GPIO2"}, func(k *panel) {
			k.chips["gpiochip0"].lines[2].Consumer = [32]byte{}
			copy(k.chips["gpiochip0"].lines[2].Consumer[:], "edgehold")
		}, "perhaps by another entry"},
		{"in use by a driver", InputOptions{Line: "GPIO2"}, func(k *panel) { k.chips["gpiochip0"].lines[2].Consumer = [32]byte{} }, "in use by the kernel"},
		{"pull", InputOptions{Line: "GPIO1", Pull: "sideways"}, nil, `pull "sideways" is none of`},
		{"debounce", InputOptions{Line: "GPIO1", Debounce: 2 * time.Hour}, nil, "debounce 2h0m0s is not within"},
		{"debounce below zero", InputOptions{Line: "GPIO1", Debounce: -time.Hour}, nil, "is not within"},
		{"no interrupts to debounce", InputOptions{Line: "GPIO1", Debounce: time.Millisecond}, func(k *panel) { k.chips["gpiochip0"].noEdges = unix.ENXIO }, "leave debounce out"},
		{"old kernel", InputOptions{Line: "GPIO1"}, func(k *panel) { k.chips["gpiochip0"].refuse = unix.ENOTTY }, "5.10 or newer"},
		{"right", InputOptions{Line: "GPIO1"}, func(k *panel) { k.chips["gpiochip0"].refuse = unix.EPERM }, "operation not permitted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, k := newPanel(t)
			if c.set != nil {
				c.set(k)
			}
			if _, err := p.OpenInput(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestInputWithoutInterruptsCanBeRead(t *testing.T) {
	p, k := newPanel(t)
	k.chips["gpiochip0"].noEdges = unix.ENXIO
	line, err := p.OpenInput(InputOptions{Line: "GPIO1", ActiveLow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if k.request.Config.Flags != lineInput|lineActiveLow {
		t.Errorf("flags %x", k.request.Config.Flags)
	}
	if _, err := line.Active(); err != nil {
		t.Error(err)
	}
	if err := line.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "can be read but not watched") {
		t.Errorf("got %v", err)
	}
}

func TestWatch(t *testing.T) {
	p, k := newPanel(t)
	line, err := p.OpenInput(InputOptions{Line: "GPIO1"})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	before := readClocks()
	first := uint64(before.monotonic)
	writeEdges := func(records ...[]byte) {
		t.Helper()
		for _, r := range records {
			if _, err := k.edges.Write(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The first two were before the Watch; number 3 to 5 are lost; 6 has a stamp
	// that cannot be.
	writeEdges(edge(first, 1, 1), edge(first+1000, 2, 2))
	got := make(chan Edge, 16)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- line.Watch(ctx, func(e Edge) { got <- e }) }()
	receive := func() Edge {
		t.Helper()
		select {
		case e := <-got:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no edge")
			return Edge{}
		}
	}
	a, b := receive(), receive()
	if !a.Active || b.Active || a.Lost != 0 || b.Lost != 0 || b.Uptime-a.Uptime < 0 || b.Uptime-a.Uptime > time.Millisecond {
		t.Errorf("got %+v and %+v", a, b)
	}
	if off := a.Uptime - before.boot; off < -time.Second || off > time.Second {
		t.Errorf("edge at %v, the clock was %v", a.Uptime, before.boot)
	}
	writeEdges(edge(1<<62, 1, 6))
	c := receive()
	if !c.Active || c.Lost != 3 || c.Uptime < b.Uptime || c.Uptime > SinceBoot() {
		t.Errorf("got %+v after %+v", c, b)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the end of ctx is %v", err)
	}
	// A second Watch goes on from there, and ends when the line is gone.
	go func() { done <- line.Watch(t.Context(), func(e Edge) { got <- e }) }()
	writeEdges(edge(first, 2, 7))
	if d := receive(); d.Active || d.Lost != 0 || d.Uptime < c.Uptime {
		t.Errorf("got %+v after %+v", d, c)
	}
	k.edges.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "pinctrl-rp1/1 (GPIO1)") {
		t.Errorf("a line that is gone: %v", err)
	}
}

func TestCloseEndsWatch(t *testing.T) {
	p, k := newPanel(t)
	line, err := p.OpenInput(InputOptions{Line: "GPIO1"})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- line.Watch(t.Context(), func(Edge) { close(started) }) }()
	if _, err := k.edges.Write(edge(1, 1, 1)); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := line.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestSequence(t *testing.T) {
	now := clocks{monotonic: 100 * time.Second, boot: 400 * time.Second} // 300 s of suspend
	s := &sequence{}
	for i, c := range []struct {
		e    lineEvent
		want Edge
	}{
		{lineEvent{at: uint64(90 * time.Second), rising: true, number: 1}, Edge{true, 390 * time.Second, 0}},
		{lineEvent{at: uint64(91 * time.Second), number: 5}, Edge{false, 391 * time.Second, 3}},
		{lineEvent{at: uint64(80 * time.Second), number: 6}, Edge{false, 391 * time.Second, 0}},
		{lineEvent{at: 0, rising: true, number: 7}, Edge{true, 400 * time.Second, 0}},
		{lineEvent{at: uint64(101 * time.Second), number: 2}, Edge{false, 400 * time.Second, 0}},
		{lineEvent{at: uint64(100 * time.Second), number: 1<<32 - 1}, Edge{false, 400 * time.Second, 1<<31 - 1}},
	} {
		if got := s.edge(c.e, now); got != c.want {
			t.Errorf("%d: got %+v, want %+v", i, got, c.want)
		}
	}
}

// What is read is whole records, in order; time does not go back, and what is
// given and what is lost add up to the kernel's number.
func FuzzLineEvents(f *testing.F) {
	f.Add(append(edge(1, 1, 1), edge(2, 2, 9)...))
	f.Add(append(edge(1<<63, 2, 1<<31), 1, 2, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := clocks{monotonic: time.Hour, boot: 2 * time.Hour}
		s := &sequence{}
		events := lineEvents(data)
		if len(events) > len(data)/eventSize {
			t.Fatalf("%d events of %d bytes", len(events), len(data))
		}
		uptime, number := time.Duration(0), uint32(0)
		for _, e := range events {
			got := s.edge(e, now)
			if got.Uptime < uptime || got.Uptime > now.boot || got.Lost < 0 || got.Active != e.rising {
				t.Errorf("%+v became %+v after %v", e, got, uptime)
			}
			if e.number > number && got.Lost < 1<<31-1 && number+uint32(got.Lost)+1 != e.number {
				t.Errorf("%+v became %+v after number %d", e, got, number)
			}
			uptime, number = got.Uptime, e.number
		}
	})
}
