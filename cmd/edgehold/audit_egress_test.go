package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/egress"
)

func TestPrintEgress(t *testing.T) {
	from := time.Date(2026, 12, 1, 12, 0, 0, 0, time.Local)
	r := egress.Report{
		Site: "plant", From: from, To: from.Add(5 * time.Minute), Early: true,
		Destinations: []egress.Destination{
			{Purpose: egress.Uplink, Protocol: "tcp", Address: "192.0.2.2:443", Name: "x.example", BytesOut: 12_345, BytesIn: 900, Attempts: 1, Connections: 2},
			{Purpose: egress.DevicePoll, Protocol: "udp", Address: "192.0.2.3:161", BytesOut: 80, DatagramsOut: 1},
		},
		Sources: []egress.Source{{
			Name: "built-in snmp", Points: 1200, Events: 1,
			Metrics: []egress.Metric{{Key: "if.bytes", Type: "count", Points: 1200}},
			Dimensions: []egress.Dimension{
				{Key: "if.name", In: []string{"metrics", "events"}, Examples: []string{"eth0", "a\x1b[31mb"}},
				{Key: "if.user", In: []string{"metrics"}, Redacted: "it names a person"},
			},
		}},
		Policy: &egress.Policy{File: "/p.yaml", Folded: 3, Rules: []egress.PolicyRule{
			{Where: "/p.yaml:2:3", Text: "drop a", Matched: 7}, {Where: "/p.yaml:3:3", Text: "hash usr"},
		}},
		NeverSent: []string{"secrets"}, Notes: []string{"a note"},
	}
	var out bytes.Buffer
	w := newScreen(&out)
	printEgress(w, r)
	if err := w.done(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"what left site plant from 2026-12-01 12:00:00 to 12:05:00 (5m00s, ended early)",
		"uplink       tcp       192.0.2.2:443  x.example  12 kB  900 B  2 connections, 1 attempt to connect",
		"device poll  udp       192.0.2.3:161             80 B   0 B    1 datagram out, 0 in",
		"built-in snmp: 1,200 points, 1 event, 0 log records",
		"if.bytes  count  1,200",
		`if.name    metrics, events  "eth0", "a\x1b[31mb"`,
		"if.user    metrics          (not shown here: it names a person)",
		"/p.yaml:2:3: drop a has changed 7 dimensions",
		"/p.yaml:3:3: hash usr MATCHES NOTHING",
		"3 points joined with another one",
		"never sent\n  secrets",
		"notes\n  a note",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	printEgress(newScreen(&out), egress.Report{})
	for _, want := range []string{"destinations\n  none", "handed over to be sent\n  nothing", "privacy policy: none"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestAuditEgressUsage(t *testing.T) {
	for _, args := range [][]string{{"--for", "1ms"}, {"--for", "x"}, {"word"}} {
		var out, errs bytes.Buffer
		if code := execute(append([]string{"audit", "egress"}, args...), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}
