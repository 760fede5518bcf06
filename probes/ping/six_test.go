package ping

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/drain/linktest"
	"github.com/edgehold/edgehold/probes"
)

// router plays what is behind a TUN device of IPv6, by the last byte of the
// address that is asked.
type router struct{ tun *os.File }

const (
	answersTwice = 2
	prohibited   = 3
	answersAs99  = 4
)

// packet6 is one of ICMP, with its checksum (RFC 4443, 2.3).
func packet6(src, dst, message []byte) []byte {
	m := bytes.Clone(message)
	m[2], m[3] = 0, 0
	pseudo := append(append(bytes.Clone(src), dst...), 0, 0, 0, 0, 0, 0, 0, protoICMP6)
	binary.BigEndian.PutUint32(pseudo[32:], uint32(len(m)))
	binary.BigEndian.PutUint16(m[2:], ^sum(append(pseudo, m...)))
	header := append([]byte{6 << 4, 0, 0, 0, byte(len(m) >> 8), byte(len(m)), protoICMP6, 64}, src...)
	return append(append(header, dst...), m...)
}

func (r *router) run() {
	buf := make([]byte, 2048)
	for {
		n, err := r.tun.Read(buf)
		if err != nil {
			return
		}
		b := bytes.Clone(buf[:n])
		if n < ipv6Header+headerSize || b[6] != protoICMP6 || b[ipv6Header] != echoRequest6 {
			continue
		}
		src, dst := b[8:24], b[24:40]
		other := bytes.Clone(dst)
		other[15] = 0x99
		reply := replyOf(6, b[ipv6Header:])
		var out [][]byte
		switch dst[15] {
		case answersTwice:
			out = [][]byte{packet6(dst, src, reply), packet6(dst, src, reply)}
		case prohibited:
			out = [][]byte{packet6(other, src, append([]byte{unreachable6, 1, 0, 0, 0, 0, 0, 0}, b...))}
		case answersAs99:
			out = [][]byte{packet6(other, src, reply)}
		}
		for _, p := range out {
			_, _ = r.tun.Write(p)
		}
	}
}

// openSix makes a device of IPv6 on the client's side, with a router behind it.
func openSix(t *testing.T, l *linktest.Link) {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("SKIPPED: iproute2 is not installed")
	}
	var tun *os.File
	err = l.Client.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq("six0")
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return err
		}
		tun = os.NewFile(uintptr(fd), "tun")
		return nil
	})
	if err != nil {
		t.Skipf("SKIPPED: this machine gives no TUN device: %v", err)
	}
	r := &router{tun}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run()
	}()
	t.Cleanup(func() {
		tun.Close()
		<-done
	})
	for _, args := range [][]string{{"link", "set", "six0", "up"}, {"-6", "address", "add", "2001:db8::1/64", "dev", "six0", "nodad"}} {
		cmd := exec.Command(ip, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := l.Client.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Skipf("SKIPPED: this machine gives no IPv6: %v: %s", err, out.String())
		}
	}
}

// Duplicates, errors and strangers, through the kernel's own handling of IPv6.
func TestE2EIPv6(t *testing.T) {
	eachSocket(t, func(t *testing.T, raw bool) {
		l := linktest.New(t, linktest.Options{})
		openSix(t, l)
		shared := inside(t, l, raw)
		at := func(target string, timeout int) (values, error) {
			o := options(target)
			o.Count, o.Spacing, o.Timeout = 4, ms(20), ms(timeout)
			return poll(t, o, shared)
		}
		// The kernel takes an address up in its own time.
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if got, _ := at("2001:db8::2", 100); got.float("loss") == 0 {
				break
			}
		}
		got, err := at("2001:db8::2", 5000)
		// The second answer to the last packet may come after the end.
		if err != nil || got.float("loss") != 0 || got.float("duplicates") < 3 || got.float("duplicates") > 4 {
			t.Errorf("%v, %v", got, err)
		}
		got, err = at("2001:db8::3", 5000)
		wantError(t, err, probes.StatusGenericError, "2001:db8::99 says that this is administratively prohibited")
		if got.float("loss") != 100 {
			t.Errorf("%v", got)
		}
		got, err = at("2001:db8::4", 200)
		wantError(t, err, probes.StatusGenericError, "2001:db8::99 answered, which was not asked")
		if got.float("loss") != 100 || got.has("duplicates") {
			t.Errorf("%v", got)
		}
		got, err = at("2001:db8::5", 100)
		wantError(t, err, probes.StatusGenericError, "no answer to 4 packets within 100ms")
		if got.float("loss") != 100 {
			t.Errorf("%v", got)
		}
	})
}
