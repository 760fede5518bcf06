package config

import (
	"strings"
	"testing"
	"time"
)

func TestOutputs(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string // parts of errors, in order; none: it is good
	}{
		{"outputs: {leds: {power: PWR, collecting: ACT, uplink: 'beaglebone:green:usr0', alarm: red}, watchdog: {device: /dev/watchdog0, timeout: 15s}}", nil},
		{"outputs: {leds: {alarm: red}}", nil},
		{"outputs: {watchdog: {device: watchdog1}}", nil},
		{"outputs: {watchdog: {device: /dev/watchdog}}", nil},
		{"outputs: {}", nil},
		{"outputs:", nil},
		{"outputs: {leds: {power: ''}}", []string{`leds.power: "" is no name of an LED`}},
		{"outputs: {leds: {power: ../../x}}", []string{`leds.power: "../../x" is no name of an LED`}},
		{"outputs: {leds: {power: ACT, uplink: ACT}}", []string{`leds.uplink: "ACT" is the LED of power already`}},
		{"outputs: {leds: {pwer: ACT}}", []string{`leds.pwer: unknown key; did you mean "power"`}},
		{"outputs: {watchdog: {timeout: 30s}}", []string{"watchdog.device: missing; write e.g. device: /dev/watchdog0"}},
		{"outputs: {watchdog: {device: /dev/sda}}", []string{`watchdog.device: "/dev/sda" is no watchdog`}},
		{"outputs: {watchdog: {device: ''}}", []string{`watchdog.device: "" is no watchdog`}},
		{"outputs: {watchdog: {device: watchdog0, timeout: 4s}}", []string{"watchdog.timeout: found 4s, expected 5s to 5m"}},
		{"outputs: {watchdog: {device: watchdog0, timeout: 6m}}", []string{"watchdog.timeout: found 6m"}},
	} {
		folder(t, nil)
		write(t, "edgehold.yaml", "site: s\nuplink: {dynatrace: {url: 'https://x.example', token_env: T}}\n"+tt.text+"\n")
		cfg, _, err := Load("edgehold.yaml", nil)
		if len(tt.want) == 0 {
			if err != nil || cfg.Outputs.Watchdog.Timeout.Std() < 15*time.Second {
				t.Errorf("%s: %v %+v", tt.text, err, cfg)
			}
			continue
		}
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", tt.text, err, want)
			}
		}
	}
}
