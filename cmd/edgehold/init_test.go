package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/setup"
	"github.com/edgehold/edgehold/probes"
)

// sessionAt is a session without anybody, for a configuration whose agent
// answers with the status.
func sessionAt(t *testing.T, status control.Status) (*initSession, *bytes.Buffer) {
	t.Helper()
	folder := t.TempDir()
	s := &initSession{initFlags: &initFlags{config: filepath.Join(folder, "edgehold.yaml")}, cmd: newInit(), ctx: t.Context(), began: time.Now()}
	var out bytes.Buffer
	s.cmd.SetOut(&out)
	s.cmd.SetErr(&out)
	s.out = newScreen(&out)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := control.Server{Path: filepath.Join(folder, "s"), Status: func() any { return status }, Log: zerolog.Nop()}
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, &out
}

func TestInitAwaits(t *testing.T) {
	for name, c := range map[string]struct {
		status control.Status
		socket string
		said   string
		err    string
	}{
		"accepted": {control.Status{Uplink: control.Uplink{LinesAccepted: 2}}, "s", "The first point was accepted after ", ""},
		"held": {
			control.Status{Account: control.Account{Accepted: 12}, Uplink: control.Uplink{LastError: "the token is not accepted"}},
			"s", "",
			"no point was accepted within 1s; 12 are measured and kept; the uplink says: the token is not accepted",
		},
		"nobody": {control.Status{}, "none", "", "the service does not answer; see journalctl -u edgehold"},
	} {
		t.Run(name, func(t *testing.T) {
			s, out := sessionAt(t, c.status)
			err := s.await(control.Client{Path: filepath.Join(filepath.Dir(s.config), c.socket)}, time.Second)
			var code exitCode
			switch {
			case c.err == "" && err != nil, !strings.Contains(out.String(), c.said):
				t.Errorf("%v\n%s", err, out)
			case c.err != "" && (!errors.As(err, &code) || code.code != exitCheck || !strings.HasPrefix(err.Error(), c.err)):
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

func TestInitDoesNotStart(t *testing.T) {
	s, out := sessionAt(t, control.Status{})
	s.noStart = true
	service := setup.Service{Unit: unitName, Systemctl: func(_ context.Context, args ...string) (string, error) {
		t.Errorf("systemctl %q", args)
		return "", nil
	}}
	if err := s.start(service); err != nil || !strings.Contains(out.String(), "systemctl enable --now edgehold") {
		t.Errorf("%v\n%s", err, out)
	}
	s.noStart = false
	service.Systemctl = func(context.Context, ...string) (string, error) {
		return "Unit is masked.", errors.New("exit status 1")
	}
	if err := s.start(service); err == nil || !strings.Contains(err.Error(), "Unit is masked.; see journalctl -u edgehold") {
		t.Errorf("%v", err)
	}
}

func TestCredentialName(t *testing.T) {
	v2 := probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret("a")}
	other := probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret("b")}
	v3 := probes.Credential{Version: probes.SNMPv3, User: "u"}
	var known []probes.Credential
	for _, c := range []struct {
		credential probes.Credential
		want       string
	}{{v2, "snmp-v2c"}, {v2, "snmp-v2c"}, {other, "snmp-v2c-2"}, {v3, "snmp-v3"}, {other, "snmp-v2c-2"}} {
		name := credentialName(c.credential, known)
		if name != c.want {
			t.Errorf("%s, want %s", name, c.want)
		}
		c.credential.Name = name
		known = append(known, c.credential)
	}
}
