package modbus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/modbus/modbustest"
	"github.com/edgehold/edgehold/probes/plan"
)

// python is that of the system, which has the packages of the system.
const python = "/usr/bin/python3"

// need skips aloud where a tool is missing, and fails where it must be there.
func need(t *testing.T, what string, missing error) {
	t.Helper()
	if missing == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: %v; install python3-pymodbus, python3-serial and socat", what, missing)
	}
	t.Skipf("SKIPPED: %s is missing: %v", what, missing)
}

// start runs a program until the test ends. The last lines that it wrote are
// told where the test fails.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	var said strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %.2000s", name, said.String())
		}
	})
}

// serverRegisters are what the server of python3-pymodbus knows.
func serverRegisters(o *Options) {
	o.Units = []int{1, 7}
	o.Registers = []plan.ModbusRegisterOptions{
		reg("voltage", 0, func(r *plan.ModbusRegisterOptions) { r.Scale = 0.1 }),
		reg("signed", 1, typed("int16")),
		reg("abcd", 2, typed("float32")),
		reg("cdab", 4, typed("float32"), func(r *plan.ModbusRegisterOptions) { r.Order = "CDAB" }),
		reg("energy", 6, typed("uint64")),
		reg("field", 16, func(r *plan.ModbusRegisterOptions) { r.Bits = "3..5" }),
		reg("none", 17, typed("int16"), func(r *plan.ModbusRegisterOptions) { r.NA = []plan.ModbusNumber{"0x8000"} }),
		reg("input", 0, in(plan.ModbusInput)),
		reg("coil", 2, in(plan.ModbusCoil)),
		reg("discrete", 1, in(plan.ModbusDiscrete)),
	}
	name := reg("", 14, typed("string"))
	name.Dimension, name.Length = "device.name", 2
	o.Registers = append(o.Registers, name)
}

const serverPoints = `abcd,device.name=Edge gauge 230.1
cdab,device.name=Edge gauge 230.1
coil,device.name=Edge gauge 1
discrete,device.name=Edge gauge 0
energy,device.name=Edge gauge 123456
field,device.name=Edge gauge 5
input,device.name=Edge gauge %d
signed,device.name=Edge gauge -10
voltage,device.name=Edge gauge %v`

// pollServer polls both units of the server until it is up.
func pollServer(t *testing.T, address string) {
	t.Helper()
	b := newBench(t)
	o := b.options(address)
	serverRegisters(o)
	o.Speed, o.Timeout = 19200, probes.Duration(time.Second)
	deadline := time.Now().Add(20 * time.Second)
	for i, task := range b.tasks(o) {
		unit := []int{1, 7}[i]
		want := fmt.Sprintf(serverPoints, 2300+unit, float64(2300+unit)/10)
		for {
			got, err := poll(t, task.Probe)
			if got == want && err == nil {
				break
			}
			if probes.StatusOf(err) != probes.StatusDeviceConnectionError || time.Now().After(deadline) {
				t.Fatalf("unit %d at %s: got\n%s\n%v\nwant\n%s", unit, address, got, err, want)
			}
			<-time.After(50 * time.Millisecond)
		}
		// 0 to 17 was refused for its hole, and is read in two parts since then.
		if _, err := poll(t, task.Probe); err != nil {
			t.Error(err)
		}
		if st := task.Probe.(probes.Measured).PollStats(); st.Requests != 5 || st.Retries != 0 || st.Malformed != 0 {
			t.Errorf("stats of the second poll %+v, want 5 requests and no retry", st)
		}
	}
}

func TestServerOverTCP(t *testing.T) {
	for _, mode := range []string{schemeTCP, schemeRTUOverTCP} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			need(t, "pymodbus", exec.Command(python, "-c", "import pymodbus.server").Run())
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := l.Addr().(*net.TCPAddr).Port
			_ = l.Close()
			start(t, python, "testdata/server.py", mode, fmt.Sprint(port))
			pollServer(t, fmt.Sprintf("%s://127.0.0.1:%d", mode, port))
		})
	}
}

// TestServerOnSerialLine: a real server at one end of a line that socat makes,
// the agent's serial port at the other.
func TestServerOnSerialLine(t *testing.T) {
	t.Parallel()
	need(t, "pymodbus", exec.Command(python, "-c", "import pymodbus.server, serial_asyncio").Run())
	_, err := exec.LookPath("socat")
	need(t, "socat", err)
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ttyOURS"), filepath.Join(dir, "ttyTHEIRS")
	start(t, "socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
	for _, path := range []string{ours, theirs} {
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
			if _, err := os.Stat(path); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	start(t, python, "testdata/server.py", schemeRTU, theirs)
	pollServer(t, "rtu://"+ours)
}

// pty makes a pair: the master for a device, and the path of the port.
func pty(t *testing.T) (master *os.File, port string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		var err error
		number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		failed = errors.Join(failed, err)
	})
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return master, fmt.Sprintf("/dev/pts/%d", number)
}

// device is the far end of a serial line: its reads outlast a port that is
// closed meanwhile.
type device struct{ *os.File }

func (d device) Read(b []byte) (int, error) {
	for {
		n, err := d.File.Read(b)
		if err == nil || !errors.Is(err, unix.EIO) {
			return n, err
		}
		<-time.After(time.Millisecond)
	}
}

// TestSerialLine: what only a line shows: noise before a request, an answer in
// pieces, and an adapter that is gone and comes back.
func TestSerialLine(t *testing.T) {
	master, port := pty(t)
	s := modbustest.New(true)
	t.Cleanup(func() { _ = master.Close(); s.Close() })
	s.Set(5, modbustest.Holding, 0, 1234)
	s.Serve(device{master})
	link := filepath.Join(t.TempDir(), "adapter")
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	o := b.options("rtu://"+link, reg("a", 0))
	o.Units, o.Timeout = []int{5}, probes.Duration(time.Second)
	p := b.tasks(o)[0].Probe
	want := func(when string) {
		t.Helper()
		if got, err := poll(t, p); got != "a gauge 1234" || err != nil {
			t.Errorf("%s: got %q, %v", when, got, err)
		}
	}
	want("at first")
	if _, err := master.Write([]byte{0xff}); err != nil { // as of a driver that is switched on
		t.Fatal(err)
	}
	want("after a byte of noise")
	s.React(func(_ modbustest.Request, answer []byte, conn io.ReadWriteCloser) []byte {
		for i := range answer {
			<-time.After(2 * time.Millisecond)
			_, _ = conn.Write(answer[i : i+1])
		}
		return nil
	})
	want("in pieces")
	s.React(nil)

	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	p2 := newBench(t)
	gone := p2.tasks(o)[0].Probe // of a new line, which opens it anew
	_, err := poll(t, gone)
	wantError(t, err, probes.StatusDeviceConnectionError, "plug the adapter in")
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
	if got, err := poll(t, gone); got != "a gauge 1234" || err != nil {
		t.Errorf("once it is back: got %q, %v", got, err)
	}
}
