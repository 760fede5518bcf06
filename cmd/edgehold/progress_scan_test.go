package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestScanBar(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, width: 78}
	p.scan(127, 254, 3)
	p.scan(254, 254, 4)
	p.end()
	lines := strings.Split(out.String(), "\r")
	if len(lines) != 5 || strings.TrimSpace(lines[1]) != "[############............] 127 of 254 addresses, 3 answer" || !strings.HasPrefix(lines[2], "[########################] 254 of 254") {
		t.Errorf("%q", lines)
	}
	narrow := &progress{w: &out, width: 10}
	out.Reset()
	narrow.count(12345, "OIDs, at 1.3.6.1.2.1")
	if out.String() != "\r12345 OIDs" {
		t.Errorf("%q", out.String())
	}
	silent := &progress{}
	silent.scan(1, 2, 3)
	silent.end()
}
