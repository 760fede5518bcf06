package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// initPlace is a folder in which init sets an agent up.
type initPlace struct {
	*site
	env  *draintest.Server
	url  string
	ca   string
	port string // of the device
}

const (
	initAuth = "auth-s3cret-phrase"
	initPriv = "priv-s3cret-phrase"
)

// newInitPlace has an environment with TLS of a private authority, and snmpd.
func newInitPlace(t *testing.T, o draintest.Options) *initPlace {
	t.Helper()
	p := &initPlace{site: newSite(t), env: draintest.New(o)}
	p.config = filepath.Join(p.dir, "etc", "edgehold.yaml")
	p.socket = filepath.Join(p.dir, "etc", "control.sock")
	var err error
	if p.url, err = p.env.StartTLS("127.0.0.1:0", draintest.TLS{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.env.Close() })
	p.ca = p.file("given-ca.pem", string(p.env.CAPEM()))
	p.file("auth", initAuth)
	p.file("priv", initPriv)
	_, p.port, err = net.SplitHostPort(initSnmpd(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// initSnmpd runs net-snmp's agent with a community and a user.
func initSnmpd(t *testing.T) string {
	t.Helper()
	path := mqtttest.Need(t, "snmpd")
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	_ = conn.Close()
	dir := t.TempDir()
	conf := fmt.Sprintf("agentAddress udp:%s\nrocommunity %s 127.0.0.1\nsysName first-device\ncreateUser edge SHA-256 %q AES %q\nrouser edge priv\n", addr, goodCommunity, initAuth, initPriv)
	if err := os.WriteFile(filepath.Join(dir, "snmpd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-f", "-C", "-c", filepath.Join(dir, "snmpd.conf"), "-Lf", filepath.Join(dir, "log"))
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	launch(t, cmd, filepath.Join(dir, "snmpd.log"))
	eventually(t, "snmpd to answer", func() bool {
		_, err := snmpGet(t, addr, "-v2c", "1.3.6.1.2.1.1.3.0")
		return err == nil
	})
	return addr
}

// flags are all that init needs, with more or others behind them.
func (p *initPlace) flags(more ...string) []string {
	return append([]string{
		"init", "--config", p.config, "--site", "plant-7", "--url", p.url, "--ca-file", p.ca, "--token-file", filepath.Join(p.dir, "token"),
		"--subnet", "127.0.0.1", "--port", p.port, "--community-file", filepath.Join(p.dir, "community"),
	}, more...)
}

// files are those below the folder of the configuration.
func (p *initPlace) files() (names []string) {
	p.t.Helper()
	folder := filepath.Dir(p.config)
	_ = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(folder, path)
			names = append(names, name)
		}
		return nil
	})
	return names
}

// silent fails where a secret was said.
func silent(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{goodToken, goodCommunity, initAuth, initPriv, "dt0c01.WRONG.SECRET", "wrong-community"} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret %q is said:\n%s", secret, text)
		}
	}
}

// TestE2EInit sets a gateway up by flags and runs it until its first point is
// accepted.
func TestE2EInit(t *testing.T) {
	t.Parallel()
	p := newInitPlace(t, draintest.Options{Token: goodToken, KeepLines: true})
	args := append(p.flags("--yes"), "--v3-user", "edge", "--auth", "SHA256", "--auth-file", filepath.Join(p.dir, "auth"), "--priv", "AES", "--priv-file", filepath.Join(p.dir, "priv"))
	r := edgehold(t, args...)
	r.mustSay(t, 0, "ok      the certificate of", "trusted", "clock of this machine is right", "the token may send metrics (metrics.ingest)",
		"the token may send log records", "1 device found", "first-device", "edgehold run --config "+p.config)
	silent(t, r.all())
	want := []string{"ca.pem", "edgehold.yaml", "secrets/snmp-v3.auth", "secrets/snmp-v3.priv", "secrets/token"}
	if got := p.files(); !slices.Equal(got, want) { // the community was not needed
		t.Errorf("wrote %q, want %q", got, want)
	}
	for _, name := range want {
		info, err := os.Stat(filepath.Join(filepath.Dir(p.config), name))
		if err != nil || info.Mode().Perm()&0o007 != 0 || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: %v (%v), want one that others cannot read", name, info.Mode(), err)
		}
	}
	yaml, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	silent(t, string(yaml))
	edgehold(t, "check", "--config", p.config).mustSay(t, 0, "good")

	// What was set up runs, and its first point is accepted.
	p.file("etc/config.d/quick.yaml", "buffer: {commit_interval: 1s}\n")
	p.start()
	eventually(t, "a point of the device to be accepted", func() bool {
		return len(linesOf(t, p.env, func(l draintest.Line) bool {
			return dim(l, "site") == "plant-7" && dim(l, "device.port") == p.port
		})) > 0
	})

	// A second time it stays as it is.
	before := p.files()
	again := edgehold(t, args...)
	again.mustSay(t, 1, "is written already for the site plant-7", "--force", "edgehold reload")
	if got, err := os.ReadFile(p.config); err != nil || string(got) != string(yaml) || !slices.Equal(p.files(), before) {
		t.Errorf("it has changed (%v):\n%s", err, got)
	}
	edgehold(t, append(args, "--force", "--site", "plant-8")...).mustSay(t, 0, "edgehold.yaml.bak")
	if kept, err := os.ReadFile(p.config + ".bak"); err != nil || string(kept) != string(yaml) {
		t.Errorf("the old one is not kept (%v):\n%s", err, kept)
	}
}

// TestE2EInitFlags shows each wrong answer that a script can give.
func TestE2EInitFlags(t *testing.T) {
	t.Parallel()
	p := newInitPlace(t, draintest.Options{Token: goodToken, Scopes: []string{draintest.ScopeMetrics}})
	open := p.file("open", goodToken)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	wrong := p.file("wrong", "dt0c01.WRONG.SECRET")
	foreign := p.file("foreign", "wrong-community")
	for name, c := range map[string]struct {
		args  []string
		code  int
		words []string
	}{
		"nothing given":             {[]string{"init", "--config", p.config}, 2, []string{"--site, --url (or --otlp, --broker), --token-file, --subnet (or --no-devices), --community-file (or --v3-user)"}},
		"two uplinks":               {p.flags("--broker", "mqtts://hub"), 2, []string{"url", "broker"}},
		"token on the command line": {p.flags("--token", goodToken), 2, []string{"unknown flag: --token"}},
		"site":                      {p.flags("--site", " x"), 2, []string{"--site", "blanks"}},
		"http":                      {p.flags("--url", "http://example.com"), 2, []string{"clear text"}},
		"activegate":                {p.flags("--url", "https://ag.example.com:9999"), 2, []string{"/e/ID"}},
		"proxy":                     {p.flags("--proxy", "http://u:p@proxy:1"), 2, []string{"--proxy", "password"}},
		"subnet":                    {p.flags("--subnet", "10.0.0.0/8"), 2, []string{"more than 65536"}},
		"no subnet":                 {p.flags("--subnet", "10.0.0.300", "--url", "https://127.0.0.1:1"), 2, []string{"--subnet", "10.0.0.300"}},
		"no protocol":               {p.flags("--v3-user", "u", "--auth", "SHA999", "--auth-file", wrong, "--url", "https://127.0.0.1:1"), 2, []string{"--auth", "SHA999"}},
		"password in the address":   {p.flags("--url", "https://u:"+goodToken+"@127.0.0.1:1"), 2, []string{"--url", "holds a user or password"}},
		"user of a broker":          {p.flags("--mqtt-user", "u", "--mqtt-password-file", wrong), 2, []string{"--mqtt-user is for a broker"}},
		"token for a broker":        {[]string{"init", "--config", p.config, "--site", "x", "--broker", "mqtts://127.0.0.1:1", "--token-file", wrong, "--no-devices"}, 2, []string{"--token-file is not for a broker"}},
		"credential for no device":  {[]string{"init", "--config", p.config, "--site", "x", "--url", "https://127.0.0.1:1", "--token-file", wrong, "--community-file", foreign, "--no-devices"}, 2, []string{"--community-file has no effect with --no-devices"}},
		"no such name":              {p.flags("--url", "https://no-such-host.invalid"), 3, []string{"FAILED", "no-such-host.invalid", "nothing was written"}},
		"authority":                 {p.flags("--ca-file", ""), 3, []string{"FAILED", "unknown authority", "CA file"}},
		"open token":                {p.flags("--token-file", open), 1, []string{"readable by others", "chmod"}},
		"wrong token":               {p.flags("--token-file", wrong), 3, []string{"not accepted (HTTP 401)"}},
		"no device":                 {p.flags("--community-file", foreign), 3, []string{"no device answers in 127.0.0.1/32", "UDP port"}},
		"not writable":              {p.flags("--config", open+"/edgehold.yaml"), 1, []string{"may not write", "sudo edgehold init"}},
		"broker's name":             {[]string{"init", "--config", p.config, "--site", "Werk 1", "--broker", "mqtts://127.0.0.1:1", "--no-devices"}, 2, []string{"MQTT topic"}},
		"clear token":               {[]string{"init", "--config", p.config, "--site", "x", "--otlp", "http://192.0.2.1:4318", "--token-file", filepath.Join(p.dir, "token"), "--no-devices", "--go-on"}, 2, []string{"clear text"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := edgehold(t, c.args...)
			r.mustSay(t, c.code, c.words...)
			silent(t, r.all())
			if got := p.files(); len(got) > 0 {
				t.Errorf("these were written: %q", got)
			}
		})
	}
	t.Run("dry run", func(t *testing.T) {
		r := edgehold(t, p.flags("--dry-run")...)
		r.mustSay(t, 0, "Nothing is written", "secrets/token", "may not send events", "metrics flow", `site: "plant-7"`, "first-device")
		silent(t, r.all())
		if !strings.HasPrefix(r.out, "# Written by edgehold init") || len(p.files()) > 0 {
			t.Errorf("wrote %q; standard output:\n%s", p.files(), r.out)
		}
	})
	t.Run("go on", func(t *testing.T) {
		edgehold(t, p.flags("--go-on", "--token-file", wrong, "--community-file", foreign)...).mustSay(t, 0, "FAILED", "wrote")
		edgehold(t, "check", "--config", p.config).mustSay(t, 0, "good")
	})
}

// talk is a session at a terminal.
type talk struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	mu     sync.Mutex
	text   string
	at     int // what was said before has been looked at
	done   chan struct{}
}

// converse starts a command at a terminal of its own.
func converse(t *testing.T, args ...string) *talk {
	t.Helper()
	return converseWith(t, program(t), args...)
}

func converseWith(t *testing.T, name string, args ...string) *talk {
	t.Helper()
	k := &talk{t: t, done: make(chan struct{})}
	k.master, k.slave = terminal(t)
	k.cmd = exec.Command(name, args...)
	k.cmd.Env = append(os.Environ(), "TERM=dumb")
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = k.slave, k.slave, k.slave
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(k, k.master) }() // ends with the terminal
	go func() { defer close(k.done); _ = k.cmd.Wait() }()
	t.Cleanup(func() {
		_ = k.cmd.Process.Kill()
		<-k.done
	})
	return k
}

// Write implements io.Writer.
func (k *talk) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text += string(p)
	return len(p), nil
}

func (k *talk) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text
}

// await waits for words behind what was awaited before.
func (k *talk) await(words string) {
	k.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(look) {
		text := k.said()
		if i := strings.Index(text[k.at:], words); i >= 0 {
			k.at += i + len(words)
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("waited in vain for %q; it said:\n%s", words, text)
		}
	}
}

// answer waits for each prompt and types what stands behind it.
func (k *talk) answer(pairs ...string) {
	k.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		k.await(pairs[i])
		if _, err := k.master.WriteString(pairs[i+1]); err != nil {
			k.t.Fatal(err)
		}
	}
}

// ends waits for the end and checks the code.
func (k *talk) ends(code int) {
	k.t.Helper()
	select {
	case <-k.done:
	case <-time.After(patience):
		k.t.Fatalf("it has not ended; it said:\n%s", k.said())
	}
	if got := k.cmd.ProcessState.ExitCode(); got != code {
		k.t.Errorf("exit code %d, want %d; it said:\n%s", got, code, k.said())
	}
}

// TestE2EInitAsks gives every wrong answer at a terminal before the right one.
func TestE2EInitAsks(t *testing.T) {
	t.Parallel()
	p := newInitPlace(t, draintest.Options{Token: goodToken})
	k := converse(t, "init", "--config", p.config, "--port", p.port)
	k.answer(
		"Name of this site", "?\n", "so that", "",
		"Name of this site", "<\n", // there is nothing before
		"Name of this site", "\x1b[A\n", "keys in it that are no letters", "",
		"Name of this site", "plant-7\n",
		"environment: ", "\n", "An answer is needed", "",
		"environment: ", "http://example.com\n", "clear text", "",
		"environment: ", "https://127.0.0.1:1\n", "nothing listens there", "",
		"leave) [change]: ", "nonsense\n", "none of again", "",
		"leave) [change]: ", "again\n", "nothing listens there", "",
		"leave) [change]: ", "\n",
		"environment [https://127.0.0.1:1]: ", p.url+"\n",
		"Proxy (none for none) [none]: ", "proxy\n", "not the URL of a proxy", "",
		"Proxy (none for none) [none]: ", "\n",
		"(none for none) [none]: ", "/nowhere\n", "read CA file", "",
		"(none for none) [none]: ", "\n", "unknown authority", "",
		"leave) [change]: ", "c\n",
		"environment ["+p.url+"]: ", "\n", "Proxy", "\n",
		"(none for none) [none]: ", p.ca+"\n", "is trusted", "",
		"Token (it is not shown): ", "dt0c01.X\n", "only a part", "",
		"Token (it is not shown): ", "dt0c01.WRONG.SECRET\n", "HTTP 401", "",
		"leave) [change]: ", "\n",
		"Token (it is not shown): ", "<\n",
		"environment ["+p.url+"]: ", "\n", "Proxy", "\n", "["+p.ca+"]: ", "\n", "is trusted", "",
		"Token (it is not shown): ", goodToken+"\n", "the token may send log records", "",
		"Network with devices", "bogus\n", "is not a network", "",
		"Network with devices", "10.0.0.0/8\n", "more than 65536", "",
		"Network with devices", "127.0.0.1\n",
		"(2c, 3, 1) [2c]: ", "9\n", "none of 2c, 3, 1", "",
		"(2c, 3, 1) [2c]: ", "\n",
		"Community (it is not shown): ", "wrong-community\n", "no device answers", "",
		"leave) [change]: ", "\n",
		"Network with devices", "127.0.0.1\n", "[2c]: ", "2c\n",
		"Community (it is not shown): ", goodCommunity+"\n", "1 device found", "", "first-device", "",
		"too? (yes, no) [no]: ", "yes\n",
		"Network with devices", "127.0.0.1\n", "[2c]: ", "3\n",
		"SNMP user: ", "edge\n",
		"[SHA256]: ", "rot13\n", "none of MD5", "",
		"[SHA256]: ", "\n", "it is not shown): ", "short\n", "8 characters", "",
		"it is not shown): ", initAuth+"\n",
		"[AES]: ", "\n", "it is not shown): ", initPriv+"\n", "1 device found", "",
		"too? (yes, no) [no]: ", "\n",
		"Write it? (yes, no) [yes]: ", "\n",
		"edgehold run --config", "",
	)
	k.ends(0)
	silent(t, k.said())
	if strings.ContainsAny(strings.ReplaceAll(k.said(), "^[[A", ""), "\x1b") {
		t.Errorf("there are escape sequences in it: %q", k.said())
	}
	edgehold(t, "check", "--config", p.config).mustSay(t, 0, "good")
	want := []string{"ca.pem", "edgehold.yaml", "secrets/snmp-v2c.community", "secrets/token"}
	if got := p.files(); !slices.Equal(got, want) { // both credentials lead to the same device
		t.Errorf("wrote %q, want %q", got, want)
	}
}

// TestE2EInitLeaves ends it at several places: nothing is written, and the
// terminal shows again what is typed.
func TestE2EInitLeaves(t *testing.T) {
	t.Parallel()
	p := newInitPlace(t, draintest.Options{Token: goodToken})
	toToken := []string{"environment: ", p.url + "\n", "Token (it is not shown): "}
	for name, c := range map[string]struct {
		flags []string
		keys  []string
		end   func(k *talk)
		code  int
	}{
		"Ctrl-C at a question":   {nil, []string{"environment: ", "\x03"}, nil, 1},
		"Ctrl-D":                 {nil, []string{"environment: ", "\x04"}, nil, 1},
		"Ctrl-C at the token":    {[]string{"--ca-file", p.ca}, append(slices.Clone(toToken), "\x03"), nil, 1},
		"leave":                  {nil, []string{"environment: ", "https://127.0.0.1:1\n", "[change]: ", "leave\n"}, nil, 1},
		"no at the end":          {p.flags()[3:], []string{"too?", "\n", "Write it?", "no\n"}, nil, 1},
		"hang-up at the token":   {[]string{"--ca-file", p.ca}, toToken, func(k *talk) { _ = k.cmd.Process.Signal(syscall.SIGHUP) }, 1},
		"killed before the end":  {p.flags()[3:], []string{"too?", "\n", "Write it?"}, func(k *talk) { _ = k.cmd.Process.Kill() }, -1},
		"Ctrl-C while searching": {append(p.flags()[3:], "--subnet", "127.0.0.0/20", "--packets-per-second", "1"), []string{"log records", "", "of 4095 addresses", "\x03"}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"init", "--config", p.config}, c.flags...)
			if len(c.flags) < 3 {
				args = append(args, "--site", "plant-7")
			}
			k := converse(t, args...)
			keys := c.keys
			if len(keys)%2 == 1 {
				keys = append(slices.Clone(keys), "")
			}
			k.answer(keys...)
			if c.end != nil {
				c.end(k)
			}
			k.ends(c.code)
			if c.code == 1 {
				k.await("nothing was written")
				settings, err := unix.IoctlGetTermios(int(k.slave.Fd()), unix.TCGETS)
				if err != nil || settings.Lflag&unix.ECHO == 0 {
					t.Errorf("the terminal does not show what is typed (%v)", err)
				}
			}
			silent(t, k.said())
			if got := p.files(); len(got) > 0 {
				t.Errorf("these are left: %q", got)
			}
		})
	}
}

// TestE2EInitBroker sets a site up that hands its points to a relay.
func TestE2EInitBroker(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewAuthority(t)
	server := ca.Issue(mqtttest.Leaf{Name: "hub"})
	own := ca.Issue(mqtttest.Leaf{Name: "plant-7", NotAfter: time.Now().Add(90 * 24 * time.Hour)})
	broker := mqtttest.Start(t, mqtttest.Options{Server: &server, ClientCA: ca.File})
	s := newSite(t)
	s.config = filepath.Join(s.dir, "etc", "edgehold.yaml")
	flags := []string{"init", "--config", s.config, "--broker", broker.URL(), "--ca-file", ca.File, "--cert-file", own.Cert, "--key-file", own.Key, "--no-devices"}
	edgehold(t, append(flags, "--site", "plant-8")...).mustSay(t, 3, `the certificate is for "plant-7", and the site is "plant-8"`)
	edgehold(t, append(flags, "--site", "plant-7")...).mustSay(t, 0, "lets this site in", "site.pem", "secrets/site.key", "ca.pem")
	edgehold(t, "check", "--config", s.config).mustSay(t, 0, "good")
	if info, err := os.Stat(filepath.Join(s.dir, "etc", "secrets", "site.key")); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, %v", info, err)
	}

	// The same at a terminal.
	s.config = filepath.Join(s.dir, "asked", "edgehold.yaml")
	k := converse(t, "init", "--config", s.config, "--no-devices", "--site", "plant 7")
	k.answer(
		"environment: ", broker.URL()+"\n", "MQTT topic", "",
		"Name of this site", "plant-7\n",
		"environment ["+broker.URL()+"]: ", "\n",
		"(none for none) [none]: ", ca.File+"\n",
		"Certificate of this site", "/nowhere\n", "no such file", "",
		"Certificate of this site", own.Cert+"\n",
		"Key of the certificate: ", own.Key+"\n",
		"User at the broker", "\n", "lets this site in", "",
		"Write it?", "\n",
	)
	k.ends(0)
	edgehold(t, "check", "--config", s.config).mustSay(t, 0, "good")
}
