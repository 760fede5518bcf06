package snmp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	authPhrase = "auth-canary-7Qx"
	privPhrase = "priv-canary-9Zt"
)

// netSNMPWords are the names of protocols in snmpd.conf, "" for what it lacks.
var (
	netSNMPAuth = map[probes.AuthProtocol]string{
		probes.AuthMD5: "MD5", probes.AuthSHA: "SHA", probes.AuthSHA224: "SHA-224",
		probes.AuthSHA256: "SHA-256", probes.AuthSHA384: "SHA-384", probes.AuthSHA512: "SHA-512",
	}
	netSNMPPriv = map[probes.PrivProtocol]string{
		probes.PrivNone: "", probes.PrivDES: "DES", probes.PrivAES: "AES", probes.PrivAES192: "AES-192", probes.PrivAES256: "AES-256",
	}
)

func v3(user string, auth probes.AuthProtocol, priv probes.PrivProtocol) probes.Credential {
	c := probes.Credential{Name: "plant-v3", Version: probes.SNMPv3, User: user, Auth: auth, Priv: priv}
	if auth != probes.AuthNone {
		c.AuthPass = probes.NewSecret(authPhrase)
	}
	if priv != probes.PrivNone {
		c.PrivPass = probes.NewSecret(privPhrase)
	}
	return c
}

func userOf(auth probes.AuthProtocol, priv probes.PrivProtocol) string {
	return strings.ToLower(fmt.Sprintf("u%s%s", auth, priv))
}

// secureAgent is net-snmp's agent with a user for every pair of protocols. Its
// folder outlives its runs, as that of a device does.
type secureAgent struct{ path, dir, addr string }

func newSecureAgent(t *testing.T) *secureAgent {
	t.Helper()
	path, err := exec.LookPath("snmpd")
	if err != nil {
		path = "/usr/sbin/snmpd" // not on everybody's PATH
		if _, err := os.Stat(path); err != nil {
			t.Skip("SKIPPED: snmpd is not installed (package snmpd)")
		}
	}
	a := &secureAgent{path: path, dir: t.TempDir(), addr: freeAddr(t)}
	conf := []string{"agentAddress udp:" + a.addr, "rocommunity " + secret + " 127.0.0.1", "exactEngineID 0x80001f8803aabbccddeeff", "createUser nobody", "rouser nobody noauth"}
	for auth, authWord := range netSNMPAuth {
		for priv, privWord := range netSNMPPriv {
			line := fmt.Sprintf("createUser %s %s %q", userOf(auth, priv), authWord, authPhrase)
			level := "auth"
			if privWord != "" {
				line += fmt.Sprintf(" %s %q", privWord, privPhrase)
				level = "priv"
			}
			conf = append(conf, line, "rouser "+userOf(auth, priv)+" "+level)
		}
	}
	if err := os.WriteFile(filepath.Join(a.dir, "snmpd.conf"), []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// run starts the agent until the test ends. Without -C, so that it counts its
// starts in its folder.
func (a *secureAgent) run(t *testing.T) {
	t.Helper()
	cmd := exec.Command(a.path, "-f", "-Lf", filepath.Join(a.dir, "log"), "-p", filepath.Join(a.dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+a.dir+":"+a.kept(), "SNMP_PERSISTENT_DIR="+a.kept())
	startAgent(t, cmd, a.addr, secret)
}

func (a *secureAgent) kept() string { return filepath.Join(a.dir, "kept") }

// device is the agent with one credential after the other.
func (a *secureAgent) device(t *testing.T, all ...probes.Credential) *device {
	t.Helper()
	d := deviceAt(t, a.addr)
	d.Timeout, d.Credentials = patient, all
	return newDevice(d, newKit(probes.Deps{}))
}

// contact reaches a device as a poll does.
func contact(t *testing.T, d *device) (probes.PollStats, error) {
	t.Helper()
	var stats probes.PollStats
	s, uptime, err := d.reach(t.Context(), &stats)
	if err != nil {
		for _, phrase := range []string{authPhrase, privPhrase, "wrong-phrase"} {
			if strings.Contains(err.Error(), phrase) {
				t.Errorf("the error tells a pass phrase: %v", err)
			}
		}
		return stats, err
	}
	defer s.close()
	if uptime.Kind != plan.Unsigned {
		t.Errorf("the uptime is %+v", uptime)
	}
	resp, err := s.exchange(t.Context(), request{kind: getBulk, oids: []string{"1.3.6.1.2.1.1"}, reps: 8})
	if err != nil || len(resp.vars) != 8 {
		t.Errorf("a bulk request gave %d varbinds, %v", len(resp.vars), err)
	}
	return stats, nil
}

// TestUSMMatrix is every pair of protocols that net-snmp has: six hashes times
// none, DES and three AES. Of the long AES it has Blumenthal's extension alone,
// and Reeder's is the same where the hash is long enough.
func TestUSMMatrix(t *testing.T) {
	t.Parallel()
	a := newSecureAgent(t)
	a.run(t)
	credentials := []probes.Credential{v3("nobody", probes.AuthNone, probes.PrivNone)}
	for auth := range netSNMPAuth {
		for priv := range netSNMPPriv {
			credentials = append(credentials, v3(userOf(auth, priv), auth, priv))
		}
	}
	for _, auth := range []probes.AuthProtocol{probes.AuthSHA256, probes.AuthSHA384, probes.AuthSHA512} {
		c := v3(userOf(auth, probes.PrivAES256), auth, probes.PrivAES256C)
		credentials = append(credentials, c)
	}
	for _, c := range credentials {
		stats, err := contact(t, a.device(t, c))
		if err != nil || stats.Requests != 3 || stats.Reports != 1 || stats.Strays+stats.Malformed+stats.Timeouts > 0 {
			t.Errorf("%s %s as %s: %v, %+v; want discovery and two requests", c.Auth, c.Priv, c.User, err, stats)
		}
	}
}

// Whatever is wrong with a credential is told apart, and no pass phrase is.
func TestUSMRefusals(t *testing.T) {
	t.Parallel()
	a := newSecureAgent(t)
	a.run(t)
	good := v3(userOf(probes.AuthSHA, probes.PrivAES), probes.AuthSHA, probes.PrivAES)
	change := func(f func(c *probes.Credential)) probes.Credential {
		c := good
		f(&c)
		return c
	}
	wrong := probes.NewSecret("wrong-phrase")
	long := v3(userOf(probes.AuthSHA, probes.PrivAES256), probes.AuthSHA, probes.PrivAES256C)
	for _, test := range []struct {
		name       string
		credential probes.Credential
		why        error
		words      string
	}{
		{"user", change(func(c *probes.Credential) { c.User = "stranger" }), errUnknownUser, "check `user` there"},
		{"auth phrase", change(func(c *probes.Credential) { c.AuthPass = wrong }), errWrongDigest, "compare `auth` (SHA)"},
		{"auth protocol", change(func(c *probes.Credential) { c.Auth = probes.AuthSHA256 }), errWrongDigest, "compare `auth` (SHA256)"},
		{"priv phrase", change(func(c *probes.Credential) { c.PrivPass = wrong }), errDecryption, "compare `priv` (AES)"},
		{"priv protocol", change(func(c *probes.Credential) { c.Priv = probes.PrivDES }), errDecryption, "compare `priv` (DES)"},
		{"key extension", long, errOtherExtension, "write `priv: AES256` instead of AES256C"},
		{"no privacy", change(func(c *probes.Credential) { c.Priv = probes.PrivNone }), errDenied, "higher security level than authNoPriv"},
		{"too much privacy", v3(userOf(probes.AuthMD5, probes.PrivNone), probes.AuthMD5, probes.PrivAES), errLevel, "asks with authPriv"},
		{"authentication of nobody", v3("nobody", probes.AuthSHA, probes.PrivNone), errLevel, "asks with authNoPriv"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := a.device(t, test.credential)
			d.Timeout, d.Retries = unhurried, 0
			_, err := contact(t, d)
			var why refused
			if !errors.As(errorUnder(err), &why) && !strings.Contains(fmt.Sprint(err), test.why.Error()) {
				t.Errorf("error %v, want %v", err, test.why)
			}
			wantStatus(t, err, probes.StatusAuthenticationError, `refuses credential "plant-v3"`, test.words)
			first, _ := contact(t, d)
			if first.Requests > 2 {
				t.Errorf("%d requests of a later poll, want discovery and one", first.Requests)
			}
		})
	}
}

func errorUnder(err error) error { return errors.Unwrap(err) }

// A refusal is told rather than the silence that other credentials met, and a
// later credential that works is found.
func TestUSMCredentialsInOrder(t *testing.T) {
	t.Parallel()
	a := newSecureAgent(t)
	a.run(t)
	good := v3(userOf(probes.AuthSHA, probes.PrivAES), probes.AuthSHA, probes.PrivAES)
	bad := good
	bad.Name, bad.AuthPass = "old-v3", probes.NewSecret("wrong-phrase")
	community := probes.Credential{Name: "other", Version: probes.SNMPv2c, Community: probes.NewSecret("other")}
	d := a.device(t, bad, community)
	d.Timeout = unhurried
	_, err := contact(t, d)
	wantStatus(t, err, probes.StatusAuthenticationError, `"old-v3"`, "compare `auth`")
	d = a.device(t, community, bad, good)
	d.Timeout = unhurried
	if _, err := contact(t, d); err != nil {
		t.Fatal(err)
	}
	if stats, err := contact(t, d); err != nil || stats.Requests != 2 {
		t.Errorf("later: %v, %+v; want two requests with the one that worked", err, stats)
	}
}

// A restart of the device costs one report, whether it counts its starts or has
// lost the count; idle time costs none.
func TestUSMRestarts(t *testing.T) {
	t.Parallel()
	a := newSecureAgent(t)
	d := a.device(t, v3(userOf(probes.AuthSHA, probes.PrivAES), probes.AuthSHA, probes.PrivAES))
	poll := func(t *testing.T, reports int) clockOf {
		t.Helper()
		a.run(t)
		stats, err := contact(t, d)
		if err != nil || stats.Reports != reports || stats.Timeouts > 0 {
			t.Fatalf("%v, %+v; want %d reports", err, stats, reports)
		}
		if stats, err = contact(t, d); err != nil || stats.Reports != 0 {
			t.Fatalf("the poll after it: %v, %+v; want no report", err, stats)
		}
		_, c := d.peer.engine.state(0)
		return c
	}
	var first, second, third clockOf
	t.Run("first", func(t *testing.T) { first = poll(t, 1) })
	t.Run("restarted", func(t *testing.T) { second = poll(t, 1) })
	if err := os.RemoveAll(a.kept()); err != nil {
		t.Fatal(err)
	}
	t.Run("starts lost", func(t *testing.T) { third = poll(t, 1) })
	if second.boots != first.boots+1 || third.boots >= second.boots {
		t.Errorf("starts %d, %d, %d: the agent did not do what this is about", first.boots, second.boots, third.boots)
	}
	t.Run("gone", func(t *testing.T) {
		d.Timeout = quick
		if stats, err := contact(t, d); err == nil || stats.Requests > 2 {
			t.Errorf("%v, %+v; want no more than two requests to a dead device", err, stats)
		}
	})
	d.Timeout = patient
	t.Run("back", func(t *testing.T) { poll(t, 1) })
}

// Every part of a credential starts the task of a device anew.
func TestFingerprintOfUsers(t *testing.T) {
	c := v3("u", probes.AuthSHA, probes.PrivAES)
	seen := map[string]int{}
	for i, change := range []func(c *probes.Credential){
		func(*probes.Credential) {},
		func(c *probes.Credential) { c.User = "v" },
		func(c *probes.Credential) { c.Context = "x" },
		func(c *probes.Credential) { c.Auth = probes.AuthMD5 },
		func(c *probes.Credential) { c.AuthPass = probes.NewSecret("other-phrase") },
		func(c *probes.Credential) { c.Priv = probes.PrivDES },
		func(c *probes.Credential) { c.PrivPass = probes.NewSecret("other-phrase") },
	} {
		changed := c
		change(&changed)
		print := fingerprint(nil, plan.Device{Credentials: []probes.Credential{changed}}, time.Minute)
		if first, twice := seen[print]; twice {
			t.Errorf("changes %d and %d have one fingerprint", first, i)
		}
		seen[print] = i
	}
}
