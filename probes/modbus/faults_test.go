package modbus

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/modbus/modbustest"
)

// TestFaults: what goes wrong once is mended by one retry, and what goes wrong
// for good is told as what it is. A wrong number never comes of it.
func TestFaults(t *testing.T) {
	const tcp, rtu = 1, 2
	cut := func(n int) modbustest.Hook {
		return func(_ modbustest.Request, answer []byte, conn io.ReadWriteCloser) []byte {
			_, _ = conn.Write(answer[:n])
			_ = conn.Close()
			return nil
		}
	}
	for name, f := range map[string]struct {
		frames int // with which it may happen
		hook   func(s *modbustest.Server) modbustest.Hook
		words  string // "": it does no harm
		status probes.Status
	}{
		"no answer": {tcp | rtu, func(*modbustest.Server) modbustest.Hook {
			return func(modbustest.Request, []byte, io.ReadWriteCloser) []byte { return nil }
		}, "no answer of unit 1 within 100ms; check", probes.StatusDeviceConnectionError},
		"answer cut off": {tcp | rtu, func(*modbustest.Server) modbustest.Hook { return cut(5) }, "", probes.StatusDeviceConnectionError},
		"connection closed": {
			tcp | rtu, func(*modbustest.Server) modbustest.Hook { return cut(0) },
			"room for no more connections", probes.StatusDeviceConnectionError,
		},
		"half an answer and silence": {tcp | rtu, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte { return answer[:len(answer)-1] }
		}, "", probes.StatusDeviceConnectionError},
		"another transaction's answer first": {tcp, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte {
				stray := append([]byte(nil), answer...)
				stray[0] ^= 0x40
				stray[len(stray)-1] ^= 0xff
				return append(stray, answer...)
			}
		}, "ok", ""},
		"only another transaction's answer": {tcp, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte {
				answer[0] ^= 0x40
				return answer
			}
		}, "no answer", probes.StatusDeviceConnectionError},
		"another unit's answer": {tcp | rtu, func(s *modbustest.Server) modbustest.Hook {
			return func(r modbustest.Request, _ []byte, _ io.ReadWriteCloser) []byte {
				r.Unit = 9
				return s.Frame(r, []byte{3, 4, 0, 1, 0, 2})
			}
		}, "what came is no answer (bad unit id)", probes.StatusDeviceConnectionError},
		"another function's answer": {tcp | rtu, func(s *modbustest.Server) modbustest.Hook {
			return func(r modbustest.Request, _ []byte, _ io.ReadWriteCloser) []byte {
				return s.Frame(r, []byte{4, 4, 0, 1, 0, 2})
			}
		}, "what came is no answer (protocol error)", probes.StatusDeviceConnectionError},
		"fewer registers than asked for": {tcp | rtu, func(s *modbustest.Server) modbustest.Hook {
			return func(r modbustest.Request, _ []byte, _ io.ReadWriteCloser) []byte {
				return s.Frame(r, []byte{3, 2, 0, 1})
			}
		}, "what came is no answer (protocol error)", probes.StatusDeviceConnectionError},
		"a wrong checksum": {rtu, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte {
				answer[4] ^= 1
				return answer
			}
		}, "what came is no answer (bad crc) of unit 1; check speed, parity", probes.StatusDeviceConnectionError},
		"another protocol": {tcp, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, _ []byte, conn io.ReadWriteCloser) []byte {
				return []byte("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
			}
		}, "", probes.StatusDeviceConnectionError},
		"one byte at a time": {tcp | rtu, func(*modbustest.Server) modbustest.Hook {
			return func(_ modbustest.Request, answer []byte, conn io.ReadWriteCloser) []byte {
				for i := range answer {
					<-time.After(time.Millisecond)
					_, _ = conn.Write(answer[i : i+1])
				}
				return nil
			}
		}, "ok", ""},
	} {
		for _, framing := range []int{tcp, rtu} {
			if f.frames&framing == 0 {
				continue
			}
			t.Run(name+map[int]string{tcp: " over TCP", rtu: " of RTU"}[framing], func(t *testing.T) {
				t.Parallel()
				testFault(t, framing == rtu, f.hook, f.words, f.status)
			})
		}
	}
}

func testFault(t *testing.T, rtu bool, hook func(*modbustest.Server) modbustest.Hook, words string, status probes.Status) {
	s := listen(t, rtu)
	s.Set(1, modbustest.Holding, 0, 41, 42)
	b := newBench(t)
	const right = "a gauge 41\nb gauge 42"

	p := b.tasks(b.options(addressOf(s, rtu), reg("a", 0), reg("b", 1)))[0].Probe
	bad := hook(s)
	var times int
	s.React(func(r modbustest.Request, answer []byte, conn io.ReadWriteCloser) []byte {
		if times++; times == 1 {
			return bad(r, answer, conn)
		}
		return answer
	})
	if got, err := poll(t, p); got != right || err != nil {
		t.Errorf("where it happens once got %q, %v", got, err)
	}
	s.React(bad)
	s.Requests()
	got, err := poll(t, p)
	if words == "ok" {
		if got != right || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		return
	}
	if got != "" {
		t.Errorf("got %q of a device that never answered right", got)
	}
	wantError(t, err, status, words)
	if n := len(s.Requests()); n > 3 { // two tries, and one on a connection that was closed meanwhile
		t.Errorf("%d requests, want two", n)
	}
	s.React(nil)
	if got, err := poll(t, p); got != right || err != nil {
		t.Errorf("once it is over got %q, %v", got, err)
	}
}

// TestLateAnswerOfRTU: an answer that comes after its time is never taken for
// one to another question. Nothing in it would tell.
func TestLateAnswerOfRTU(t *testing.T) {
	s := listen(t, true)
	s.Set(1, modbustest.Holding, 0, 100)
	s.Set(1, modbustest.Holding, 50, 150)
	s.Set(1, modbustest.Holding, 90, 190)
	var late [][]byte
	var times int
	s.React(func(_ modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte {
		times++
		switch times {
		case 1:
			late = append(late, answer) // of register 0: it is held up
			return nil
		case 2: // the first answer and, behind it, that to the second try
			return append(late[0], answer...)
		}
		return answer
	})
	b := newBench(t)
	p := b.tasks(b.options(addressOf(s, true), reg("a", 0), reg("b", 50), reg("c", 90)))[0].Probe
	for range 2 {
		if got, err := poll(t, p); got != "a gauge 100\nb gauge 150\nc gauge 190" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if s.Dials() != 3 {
		t.Errorf("%d connections, want one for each time that something might have come late", s.Dials())
	}
}

// TestDeadUnit: it costs two requests, says so, and its neighbours go on.
func TestDeadUnit(t *testing.T) {
	s := listen(t, true)
	s.Set(2, modbustest.Holding, 0, 7)
	b := newBench(t)
	o := b.options(addressOf(s, true), reg("a", 0), reg("b", 40), reg("c", 80))
	o.Units = []int{1, 2}
	s.Set(2, modbustest.Holding, 40, 8)
	s.Set(2, modbustest.Holding, 80, 9)
	tasks := b.tasks(o)
	_, err := poll(t, tasks[0].Probe)
	wantError(t, err, probes.StatusDeviceConnectionError, "no answer of unit 1", "A and B", "speed (115200)")
	if got := asked(s); got != "3/0+1 3/0+1" {
		t.Errorf("a dead unit was asked %s", got)
	}
	if st := tasks[0].Probe.(probes.Measured).PollStats(); st.Timeouts != 2 || st.Retries != 1 {
		t.Errorf("stats %+v", st)
	}
	if got, err := poll(t, tasks[1].Probe); got != "a gauge 7\nb gauge 8\nc gauge 9" || err != nil {
		t.Errorf("its neighbour gives %q, %v", got, err)
	}
}

// TestUnitDiesWithinAPoll: what was read is kept.
func TestUnitDiesWithinAPoll(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 7)
	s.Set(1, modbustest.Holding, 40, 8)
	s.React(func(r modbustest.Request, answer []byte, _ io.ReadWriteCloser) []byte {
		if r.Address == 40 {
			return nil
		}
		return answer
	})
	b := newBench(t)
	got, err := poll(t, b.tasks(b.options(addressOf(s, false), reg("a", 0), reg("b", 40)))[0].Probe)
	if got != "a gauge 7" {
		t.Errorf("got %q", got)
	}
	wantError(t, err, probes.StatusWarning, "read 1 of 2 registers", "no answer of unit 1")
}

// TestKeptConnectionThatWasClosed: a device that closes idle connections costs
// no error and no retry.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	s := listen(t, false)
	s.Set(1, modbustest.Holding, 0, 7)
	b := newBench(t)
	p := b.tasks(b.options(addressOf(s, false), reg("a", 0)))[0].Probe
	for range 3 {
		if got, err := poll(t, p); got != "a gauge 7" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		s.Hang()
	}
	if s.Dials() != 3 {
		t.Errorf("%d connections, want 3", s.Dials())
	}
}

func TestConnectErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	for address, words := range map[string]string{
		"tcp://" + free:                  "refused; switch Modbus TCP on at the device",
		"rtuovertcp://" + free:           "refused",
		"rtu:///dev/there-is-no-port":    "plug the adapter in",
		"rtu:///dev/null":                "is it a serial port",
		"rtu://" + os.Args[0]:            "no serial port; is it a serial port",
		"tcp://no-such-host.invalid:502": "no-such-host.invalid",
	} {
		b := newBench(t)
		_, err := poll(t, b.tasks(b.options(address, reg("a", 0)))[0].Probe)
		wantError(t, err, probes.StatusDeviceConnectionError, words)
	}
}

// TestManyFiles: with select, the library writes past the end of its set where a
// port has the number 1024 or more.
func TestManyFiles(t *testing.T) {
	_, port := pty(t)
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Skipf("SKIPPED: the limit of open files is too low: %v", err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if f.Fd() >= mostFiles {
			break
		}
	}
	b := newBench(t)
	_, err := poll(t, b.tasks(b.options("rtu://"+port, reg("a", 0)))[0].Probe)
	wantError(t, err, probes.StatusDeviceConnectionError, "more than 960 files and connections", "poll fewer devices")
}

// TestPollThatIsTooShort: the end of a poll's time is told with its mend.
func TestPollThatIsTooShort(t *testing.T) {
	s := listen(t, false)
	b := newBench(t)
	o := b.options(addressOf(s, false), reg("a", 0)) // of a unit that is not there
	o.Timeout = probes.Duration(30 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.tasks(o)[0].Probe.Poll(ctx)
	wantError(t, err, probes.StatusDeviceConnectionError, "unit 1 was not read within 48s", "longer interval")
}

// FuzzAnswer: whatever a server sends, what is taken as registers stands in it
// as the answer to the request: with its unit, function and length, and with its
// transaction or its checksum.
func FuzzAnswer(f *testing.F) {
	f.Add(false, []byte{0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2})
	f.Add(false, []byte{0, 1, 0, 0, 0, 3, 1, 0x83, 2})
	f.Add(false, []byte{0, 9, 0, 0, 0, 3, 1, 0x83, 2, 0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2})
	f.Add(true, modbustest.Sealed([]byte{1, 3, 4, 0, 1, 0, 2}))
	f.Add(true, modbustest.Sealed([]byte{1, 0x83, 11}))
	f.Add(true, []byte{1, 3, 4, 0, 1, 0, 2, 0, 0})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	host, port, _ := net.SplitHostPort(l.Addr().String())
	f.Fuzz(func(t *testing.T, rtu bool, sent []byte) {
		if len(sent) > 1000 {
			return
		}
		s := settings{target: target{scheme: schemeTCP, port: port}, timeout: time.Second, speed: 230400, dataBits: 8, stopBits: 1, parity: parityNone}
		if rtu {
			s.scheme = schemeRTUOverTCP
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.ReadFull(conn, make([]byte, map[bool]int{false: 12, true: 8}[rtu]))
			_, _ = conn.Write(sent)
		}()
		c, err := open(s, host)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.read(1, span{table: "holding", address: 7, count: 2})
		c.close()
		<-served
		if err != nil {
			return
		}
		if len(raw) != 4 || !answered(rtu, sent, raw) {
			t.Errorf("% x was taken out of % x", raw, sent)
		}
	})
}

// answered looks for the answer in what was sent, with other means.
func answered(rtu bool, sent, raw []byte) bool {
	body := append([]byte{1, 3, 4}, raw...)
	if rtu {
		want := modbustest.Sealed(body)
		return len(sent) >= len(want) && string(sent[:len(want)]) == string(want)
	}
	for len(sent) >= 7 {
		end := 6 + int(binary.BigEndian.Uint16(sent[4:]))
		if end > len(sent) || end < 7 {
			return false
		}
		if binary.BigEndian.Uint32(sent) == 1<<16 && string(sent[6:end]) == string(body) {
			return true
		}
		sent = sent[end:]
	}
	return false
}
