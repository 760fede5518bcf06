package modbus

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/modbus/modbustest"
	"github.com/edgehold/edgehold/probes/plan"
)

func TestPollMergesReads(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	s.Set(1, modbustest.Holding, 100, 77)
	s.Set(1, modbustest.Input, 5, 0x8000)
	s.Set(1, modbustest.Coils, 0, 1, 0, 1)
	s.Set(1, modbustest.Discrete, 40, 1)
	b := newBench(t)
	o := b.options(addressOf(s, false),
		reg("far", 100), reg("b", 10), reg("a", 0), reg("again", 0, typed("uint32")),
		reg("signed", 5, typed("int16"), in(plan.ModbusInput)),
		reg("on", 2, in(plan.ModbusCoil)), reg("off", 1, in(plan.ModbusCoil)), reg("door", 40, in(plan.ModbusDiscrete)))
	o.Name, o.Dimensions = "press", map[string]string{"hall": "3"}
	p := b.tasks(o)[0].Probe
	got, err := poll(t, p)
	if err != nil {
		t.Fatal(err)
	}
	const dims = ",device.name=press,hall=3 gauge "
	want := "a" + dims + "1\nagain" + dims + "65538\nb" + dims + "11\ndoor" + dims + "1\nfar" + dims + "77\noff" + dims + "0\non" + dims + "1\nsigned" + dims + "-32768"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := asked(s); got != "1/1+2 2/40+1 3/0+11 3/100+1 4/5+1" {
		t.Errorf("asked %s", got)
	}
	if _, err := poll(t, p); err != nil || s.Dials() != 1 {
		t.Errorf("%d connections for two polls (%v), want one", s.Dials(), err)
	}
	if st := p.(probes.Measured).PollStats(); st.Requests != 5 || st.Varbinds != 8 || st.Retries != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestPollSplitsWhatIsRefused: a merged read that the device refuses is asked for
// in parts, and so from then on.
func TestPollSplitsWhatIsRefused(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 10, 11)
	s.Set(1, modbustest.Holding, 4, 14)
	b := newBench(t)
	p := b.tasks(b.options(addressOf(s, false), reg("a", 0), reg("b", 1), reg("c", 4), reg("d", 5)))[0].Probe
	got, err := poll(t, p)
	if got != "a gauge 10\nb gauge 11\nc gauge 14" {
		t.Errorf("got %q", got)
	}
	wantError(t, err, probes.StatusWarning, "does not give 1 of 4 registers", "holding 5: illegal data address (2)")
	if got := asked(s); got != "3/0+6 3/0+2 3/4+2 3/4+1 3/5+1" {
		t.Errorf("asked %s", got)
	}
	_, err = poll(t, p)
	wantError(t, err, probes.StatusWarning, "holding 5")
	if got := asked(s); got != "3/0+2 3/4+1" {
		t.Errorf("asked %s at the second poll, want what is refused to be left out", got)
	}
	s.Set(1, modbustest.Holding, 5, 15)
	b.clock.turn(refusedFor)
	if got, err := poll(t, p); err != nil || !strings.HasSuffix(got, "d gauge 15") {
		t.Errorf("an hour later: %q, %v", got, err)
	}
}

func TestPollKeepsToLimits(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, make([]uint16, 40)...)
	s.Limit(8)
	b := newBench(t)
	o := b.options(addressOf(s, false), reg("a", 0), reg("b", 6, typed("uint32")), reg("c", 8), reg("d", 20))
	o.MaxRegisters = 8
	if _, err := poll(t, b.tasks(o)[0].Probe); err != nil {
		t.Fatal(err)
	}
	if got := asked(s); got != "3/0+8 3/8+1 3/20+1" {
		t.Errorf("asked %s", got)
	}
	gap := 0
	o.MaxRegisters, o.MaxGap = 0, &gap
	if _, err := poll(t, b.tasks(o)[0].Probe); err != nil {
		t.Fatal(err)
	}
	if got := asked(s); got != "3/0+1 3/6+3 3/20+1" {
		t.Errorf("asked %s without gaps", got)
	}
}

// TestSlowLine: the time that characters take on a slow line is not the device's.
func TestSlowLine(t *testing.T) {
	s := listen(t, true)
	s.Set(1, modbustest.Holding, 0, 7)
	b := newBench(t)
	o := b.options(addressOf(s, true), reg("a", 0))
	o.Speed, o.Timeout = 1200, probes.Duration(minTimeout) // a request alone takes 73 ms
	if got, err := poll(t, b.tasks(o)[0].Probe); got != "a gauge 7" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestMergeBits: a gap is so many registers, or as many bits as these hold.
func TestMergeBits(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Coils, 0, make([]uint16, 400)...)
	b := newBench(t)
	coil := in(plan.ModbusCoil)
	if _, err := poll(t, b.tasks(b.options(addressOf(s, false), reg("a", 0, coil), reg("b", 161, coil), reg("c", 323, coil)))[0].Probe); err != nil {
		t.Fatal(err)
	}
	if got := asked(s); got != "1/0+162 1/323+1" {
		t.Errorf("asked %s", got)
	}
}

func TestPollTellsExceptions(t *testing.T) {
	for code, want := range map[byte]struct {
		status probes.Status
		words  string
	}{
		1:  {probes.StatusGenericError, "the device gives none of 1 registers: holding 0: illegal function (1)"},
		2:  {probes.StatusGenericError, "illegal data address (2)"},
		3:  {probes.StatusGenericError, "set max_registers"},
		4:  {probes.StatusGenericError, "device failure (4)"},
		5:  {probes.StatusGenericError, "acknowledge (5)"},
		6:  {probes.StatusGenericError, "device busy (6)"},
		8:  {probes.StatusGenericError, "memory parity error (8)"},
		10: {probes.StatusDeviceConnectionError, "gateway path unavailable (10)"},
		11: {probes.StatusDeviceConnectionError, "gateway target failed to respond (11)"},
		99: {probes.StatusGenericError, "an exception of no standard: unknown exception code (99)"},
	} {
		for _, rtu := range []bool{false, true} {
			s := listen(t, rtu)
			s.Set(1, modbustest.Holding, 0, 1)
			s.React(func(r modbustest.Request, _ []byte, _ io.ReadWriteCloser) []byte {
				return s.Frame(r, []byte{r.Function | 0x80, code})
			})
			b := newBench(t)
			p := b.tasks(b.options(addressOf(s, rtu), reg("a", 0)))[0].Probe
			_, err := poll(t, p)
			wantError(t, err, want.status, want.words)
			tries := 1
			if code == 5 || code == 6 {
				tries = 2
			}
			if n := len(s.Requests()); n != tries || s.Dials() != 1 {
				t.Errorf("exception %d: %d requests on %d connections, want %d on one", code, n, s.Dials(), tries)
			}
			_, again := poll(t, p)
			wantError(t, again, want.status, want.words)
			if n := len(s.Requests()); (n == 0) != (code <= 3) {
				t.Errorf("exception %d: %d requests at the next poll; what a device does not have is not asked for again at once", code, n)
			}
		}
	}
}

// TestPollAsksAgainAfterPassingExceptions: of what a device could not do just now
// it is asked at the next poll.
func TestPollAsksAgainAfterPassingExceptions(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 5)
	s.React(func(r modbustest.Request, _ []byte, _ io.ReadWriteCloser) []byte {
		return s.Frame(r, []byte{r.Function | 0x80, 4})
	})
	b := newBench(t)
	p := b.tasks(b.options(addressOf(s, false), reg("a", 0)))[0].Probe
	if _, err := poll(t, p); err == nil {
		t.Fatal("a failure is no error")
	}
	s.React(nil)
	if got, err := poll(t, p); got != "a gauge 5" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDimensionsFromRegisters(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 3)
	s.Set(1, modbustest.Holding, 100, 0x4142, 0x4300)
	s.Set(1, modbustest.Holding, 200, 1)
	b := newBench(t)
	o := b.options(addressOf(s, false), reg("state", 0), reg("", 100, typed("string")), reg("", 200))
	o.Registers[0].Dimension, o.Registers[0].Texts = "state", map[string]string{"3": "running"}
	o.Registers[1].Dimension, o.Registers[1].Length = "device.serial", 2
	o.Registers[2].Dimension, o.Registers[2].Texts = "mode", map[string]string{"1": "auto", "2": "hand"}
	p := b.tasks(o)[0].Probe
	for i, want := range []string{
		"state,device.serial=ABC,mode=auto,state=running gauge 3",
		"state,device.serial=ABC,mode=hand,state=4 gauge 4",
	} {
		if got, err := poll(t, p); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if got, want := asked(s), []string{"3/100+2 3/0+1 3/200+1", "3/0+1 3/200+1"}[i]; got != want {
			t.Errorf("asked %s, want %s: an identity is read once an hour", got, want)
		}
		s.Set(1, modbustest.Holding, 0, 4)
		s.Set(1, modbustest.Holding, 200, 2)
	}
	s.Set(1, modbustest.Holding, 0, 3)
	if got, _ := poll(t, p); got != "state,device.serial=ABC,mode=hand,state=running gauge 3" {
		t.Errorf("with another state alone got %q", got)
	}
	b.clock.turn(identityEvery)
	s.Set(1, modbustest.Holding, 100, 0x5858)
	if got, _ := poll(t, p); got != "state,device.serial=XXC,mode=hand,state=running gauge 3" {
		t.Errorf("an hour later got %q", got)
	}
}

func TestCountersSurviveAPlannedStop(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 0, 1000)
	b := newBench(t)
	o := b.options(addressOf(s, false), reg("energy", 0, typed("uint32")))
	o.Registers[0].Count, o.Registers[0].Scale = true, 0.1
	first := b.tasks(o)[0].Probe
	if got, err := poll(t, first); got != "" || err != nil {
		t.Errorf("the first reading gives %q, %v", got, err)
	}
	saved, err := first.(probes.Stateful).Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	second := newBench(t).tasks(o)[0].Probe
	if err := second.(probes.Stateful).Restore(saved); err != nil {
		t.Fatal(err)
	}
	s.Set(1, modbustest.Holding, 1, 1013)
	if got, err := poll(t, second); got != "energy count 1.3" || err != nil {
		t.Errorf("after the restart %q, %v", got, err)
	}
	if err := second.(probes.Stateful).Restore([]byte("{")); err == nil {
		t.Error("a damaged checkpoint is taken")
	}
}

// TestUnitsShareOneLine: units of a bus, and other entries for it, are asked one
// after the other on one connection.
func TestUnitsShareOneLine(t *testing.T) {
	s := listen(t, true)
	s.Set(1, modbustest.Holding, 0, 101)
	s.Set(2, modbustest.Holding, 0, 102)
	s.Set(3, modbustest.Input, 0, 103)
	b := newBench(t)
	o := b.options(addressOf(s, true), reg("a", 0))
	o.Units = []int{1, 2}
	other := b.options(addressOf(s, true), reg("a", 0, in(plan.ModbusInput)))
	other.Units = []int{3}
	tasks := append(b.tasks(o), b.tasks(other)...)
	ids := map[string]bool{}
	for i, task := range tasks {
		ids[task.ID] = true
		if task.Device != tasks[0].Device {
			t.Errorf("task %s has device %s, want that of the line", task.ID, task.Device)
		}
		if got, err := poll(t, task.Probe); err != nil || got != "a gauge "+[]string{"101", "102", "103"}[i] {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if len(sortedKeys(ids)) != 3 || s.Dials() != 1 {
		t.Errorf("tasks %v on %d connections, want three on one", sortedKeys(ids), s.Dials())
	}
}

// TestPollEndsWithItsContext: who stops does not wait for a device, and who asks
// next waits until it has had its time.
func TestPollEndsWithItsContext(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 1)
	arrived := make(chan struct{}, 1)
	s.React(func(modbustest.Request, []byte, io.ReadWriteCloser) []byte {
		arrived <- struct{}{}
		return nil
	})
	b := newBench(t)
	o := b.options(addressOf(s, false), reg("a", 0))
	o.Timeout = probes.Duration(500 * time.Millisecond)
	p := b.tasks(o)[0].Probe
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Poll(ctx)
		done <- err
	}()
	<-arrived
	cancel()
	if err := <-done; err == nil {
		t.Error("a poll that was stopped has no error")
	}
	s.React(nil)
	if got, err := poll(t, p); got != "a gauge 1" || err != nil {
		t.Errorf("the next poll gives %q, %v", got, err)
	}
}

// TestIdleConnectionIsClosed: devices have room for few connections.
func TestIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		l := &line{turn: make(chan struct{}, 1), idleAfter: idleAfter, link: countedLink{&closed}}
		l.turn <- struct{}{}
		l.rest()
		time.Sleep(2 * idleAfter) // of the bubble
		synctest.Wait()
		if closed != 0 {
			t.Error("closed while it was in use")
		}
		l.rest()
		<-l.turn
		time.Sleep(idleAfter + time.Second)
		synctest.Wait()
		if closed != 1 || l.link != nil {
			t.Errorf("closed %d times, want once", closed)
		}
	})
}

type countedLink struct{ closed *int }

func (l countedLink) close()                           { *l.closed++ }
func (l countedLink) read(uint8, span) ([]byte, error) { return nil, errLost }
