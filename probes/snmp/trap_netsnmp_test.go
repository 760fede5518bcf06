package snmp

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	linkDown   = "1.3.6.1.6.3.1.1.5.3"
	trapEngine = "0x8000000001020304"
)

// v3Arguments are what net-snmp's tools need to be a user.
func v3Arguments(c probes.Credential) []string {
	args := []string{"-v3", "-u", c.User, "-l", levelName(levelOf(c))}
	if c.Auth != probes.AuthNone {
		args = append(args, "-a", netSNMPAuth[c.Auth], "-A", c.AuthPass.Reveal())
	}
	if c.Priv != probes.PrivNone {
		args = append(args, "-x", netSNMPPriv[c.Priv], "-X", c.PrivPass.Reveal())
	}
	return args
}

func linkDownOf(index string) []string {
	return []string{"1234", linkDown, "1.3.6.1.2.1.2.2.1.1." + index, "i", index, "1.3.6.1.2.1.2.2.1.2." + index, "s", "eth " + index}
}

func TestTrapsOfNetSNMP(t *testing.T) {
	t.Parallel()
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true, Counts: count(time.Hour)}, community("canary"))
	to := b.at.String()
	for _, args := range [][]string{
		append([]string{"-v2c", "-c", "canary", to}, linkDownOf("3")...),
		{"-v1", "-c", "canary", to, "1.3.6.1.4.1.9.9", "192.0.2.77", "6", "4711", "99", "1.3.6.1.4.1.9.9.1.0", "s", "hello"},
		{"-v1", "-c", "canary", to, "1.3.6.1.4.1.9.9", "", "2", "0", "99"},
	} {
		if out, ok := trapTool(t, "snmptrap", "", args...); !ok {
			t.Fatal(out)
		}
	}
	if out, ok := trapTool(t, "snmpinform", "", append([]string{"-v2c", "-c", "canary", "-r", "0", "-t", "10", to}, linkDownOf("4")...)...); !ok {
		t.Fatalf("the inform was not answered: %s", out)
	}
	await(t, "four", func() bool { return b.source.Watch().Received == 4 })
	b.stop()
	var got []string
	for _, r := range b.records {
		got = append(got, strings.TrimSuffix(r.Content, "\n"))
		for _, key := range []string{"snmp.version", "device.address", "DISMAN-EVENT-MIB::sysUpTimeInstance", "SNMPv2-MIB::snmpTrapOID", "SNMP-COMMUNITY-MIB::snmpTrapAddress", "SNMPv2-MIB::snmpTrapEnterprise", "if.index", "1.3.6.1.2.1.2.2.1.2.3", "1.3.6.1.4.1.9.9.1.0"} {
			if v := attribute(r, key); v != "" {
				got = append(got, "  "+key+"="+v)
			}
		}
		for _, d := range r.Attributes {
			if strings.Contains(d.Value, "canary") {
				t.Errorf("%s tells the community", d.Key)
			}
		}
	}
	want := []string{
		"SNMP trap (IF-MIB::linkDown) reported from 127.0.0.1", "  snmp.version=2c", "  device.address=127.0.0.1", "  DISMAN-EVENT-MIB::sysUpTimeInstance=1234",
		"  SNMPv2-MIB::snmpTrapOID=." + linkDown, "  if.index=3", "  1.3.6.1.2.1.2.2.1.2.3=eth 3",
		"SNMP trap (1.3.6.1.4.1.9.9.0.4711) reported from 127.0.0.1", "  snmp.version=1", "  device.address=127.0.0.1", "  DISMAN-EVENT-MIB::sysUpTimeInstance=99",
		"  SNMPv2-MIB::snmpTrapOID=.1.3.6.1.4.1.9.9.0.4711", "  SNMP-COMMUNITY-MIB::snmpTrapAddress=192.0.2.77", "  SNMPv2-MIB::snmpTrapEnterprise=.1.3.6.1.4.1.9.9", "  1.3.6.1.4.1.9.9.1.0=hello",
		"SNMP trap (IF-MIB::linkDown) reported from 127.0.0.1", "  snmp.version=1", "  device.address=127.0.0.1", "  DISMAN-EVENT-MIB::sysUpTimeInstance=99",
		"  SNMPv2-MIB::snmpTrapOID=." + linkDown, "  SNMPv2-MIB::snmpTrapEnterprise=.1.3.6.1.4.1.9.9",
		"SNMP trap (IF-MIB::linkDown) reported from 127.0.0.1", "  snmp.version=2c", "  device.address=127.0.0.1", "  DISMAN-EVENT-MIB::sysUpTimeInstance=1234",
		"  SNMPv2-MIB::snmpTrapOID=." + linkDown, "  if.index=4",
	}
	if !slices.Equal(slices.DeleteFunc(got, func(s string) bool {
		return strings.HasPrefix(s, "  SNMP-COMMUNITY-MIB::snmpTrapAddress=") && !strings.Contains(s, "192.0.2.77")
	}), want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	lines := []string{
		"traps.count,device.address=127.0.0.1,hall=7,host_ip=127.0.0.1,site=plant-7,trap_oid=1.3.6.1.4.1.9.9.0.4711 count,delta=1",
		"traps.count,device.address=127.0.0.1,hall=7,host_ip=127.0.0.1,site=plant-7,trap_oid=IF-MIB::linkDown count,delta=3",
	}
	if got := b.lines(); !slices.Equal(got, lines) {
		t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// TestTrapsV3OfNetSNMP sends a trap and an inform with every pair of protocols
// that net-snmp has.
func TestTrapsV3OfNetSNMP(t *testing.T) {
	t.Parallel()
	all := []probes.Credential{v3("nobody", probes.AuthNone, probes.PrivNone)}
	for _, auth := range slices.Sorted(maps.Keys(netSNMPAuth)) {
		for _, priv := range slices.Sorted(maps.Keys(netSNMPPriv)) {
			if testing.Short() && auth != probes.AuthSHA && priv != probes.PrivAES {
				continue
			}
			all = append(all, v3(userOf(auth, priv), auth, priv))
		}
	}
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true}, all...)
	dir := t.TempDir()
	for i, c := range all {
		args := append(v3Arguments(c), "-e", trapEngine, b.at.String())
		if out, ok := trapTool(t, "snmptrap", dir, append(args, linkDownOf("3")...)...); !ok {
			t.Fatal(out)
		}
		await(t, c.User+" trap "+levelName(levelOf(c)), func() bool { return b.source.Watch().Received == uint64(2*i+1) || len(b.refusals()) > 0 })
		args = append(v3Arguments(c), "-r", "0", "-t", "10", b.at.String())
		if out, ok := trapTool(t, "snmpinform", dir, append(args, linkDownOf("4")...)...); !ok {
			t.Errorf("the inform of %s was not answered: %s", c.User, out)
		}
		if got := b.source.Watch().Received; got != uint64(2*i+2) {
			t.Fatalf("%s: %d taken, want %d; refused %v", c.User, got, 2*i+2, b.refusals())
		}
	}
	if r := b.refusals(); len(r) > 0 {
		t.Errorf("refused %v", r)
	}
}

// Who is not known is refused and counted, and its informs are not answered.
func TestTrapsRefused(t *testing.T) {
	t.Parallel()
	good := v3("edge", probes.AuthSHA256, probes.PrivAES)
	b := takeTraps(t, newReceiver(t, ""), plan.Traps{Records: true}, community("canary"), good)
	change := func(f func(c *probes.Credential)) []string {
		c := good
		f(&c)
		return v3Arguments(c)
	}
	for _, test := range []struct {
		reason string
		args   []string
	}{
		{"community", []string{"-v2c", "-c", "canary2"}},
		{"community", []string{"-v2c", "-c", ""}},
		{"user", change(func(c *probes.Credential) { c.User = "stranger" })},
		{"level", change(func(c *probes.Credential) { c.Priv = probes.PrivNone })},
		{"level", change(func(c *probes.Credential) { c.Auth, c.Priv = probes.AuthNone, probes.PrivNone })},
		{"keys", change(func(c *probes.Credential) { c.AuthPass = probes.NewSecret("wrong-phrase") })},
		{"keys", change(func(c *probes.Credential) { c.Auth = probes.AuthSHA })},
		{"keys", change(func(c *probes.Credential) { c.PrivPass = probes.NewSecret("wrong-phrase") })},
		{"keys", change(func(c *probes.Credential) { c.Priv = probes.PrivDES })},
	} {
		before := b.refusals()[test.reason]
		args := append(slices.Clone(test.args), "-r", "0", "-t", "1", b.at.String())
		if out, ok := trapTool(t, "snmpinform", "", append(args, linkDownOf("3")...)...); ok {
			t.Errorf("%v: the inform was answered: %s", test.args, out)
		}
		if got := b.refusals()[test.reason]; got != before+1 {
			t.Errorf("%v: %d refused for %s, want %d; all %v", test.args, got, test.reason, before+1, b.refusals())
		}
		if test.args[0] == "-v3" {
			args = append(args[:len(args):len(args)], linkDownOf("3")...)
			args = append([]string{"-e", trapEngine}, args...)
		} else {
			args = append(args, linkDownOf("3")...)
		}
		if out, ok := trapTool(t, "snmptrap", "", args...); !ok {
			t.Fatal(out)
		}
		await(t, "the trap's refusal", func() bool { return b.refusals()[test.reason] == before+2 })
	}
	s := b.source.Watch()
	if s.Received != 0 || s.Status != probes.StatusGenericError || !strings.Contains(s.Message, "another community") {
		t.Errorf("state %+v", s)
	}
	if out, ok := trapTool(t, "snmpinform", "", append(append(v3Arguments(good), "-r", "0", "-t", "10", b.at.String()), linkDownOf("3")...)...); !ok {
		t.Errorf("the right user: %s", out)
	}
	if s := b.source.Watch(); s.Received != 1 || s.Status != probes.StatusWarning {
		t.Errorf("state %+v", s)
	}
}

// The engine stays over a restart and counts it, so that who knows it need not
// find it out again.
func TestTrapEngineStays(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "engine")
	c := v3("edge", probes.AuthSHA, probes.PrivAES)
	var engines []ownEngine
	for range 2 {
		r := newReceiver(t, file)
		b := takeTraps(t, r, plan.Traps{}, c)
		if out, ok := trapTool(t, "snmpinform", "", append(append(v3Arguments(c), "-r", "0", "-t", "10", b.at.String()), linkDownOf("3")...)...); !ok {
			t.Fatal(out)
		}
		b.stop()
		engines = append(engines, *r.engine)
	}
	if engines[0].id != engines[1].id || engines[0].boots != 1 || engines[1].boots != 2 {
		t.Errorf("engines %x %d and %x %d", engines[0].id, engines[0].boots, engines[1].id, engines[1].boots)
	}
}
