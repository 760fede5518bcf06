package check

import (
	"slices"

	"github.com/edgehold/edgehold/probes"
)

// The metrics by their place in the list.
const (
	isUp = iota
	duration
	httpStatus
	httpSize
	httpDNS
	httpConnect
	httpTLS
	httpFirstByte
	daysLeft
	dnsAnswers
	ntpOffset
	ntpDelay
	ntpStratum
)

var metrics = [...]probes.Metadata{
	{Key: "edgehold.check.up", Type: probes.Gauge, Unit: "State", DisplayName: "Check: up", Description: "1, or 0 where the check fails"},
	{Key: "edgehold.check.duration", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "Check: duration"},
	{Key: "edgehold.check.http.status", Type: probes.Gauge, Unit: "State", DisplayName: "HTTP check: status of the answer"},
	{Key: "edgehold.check.http.size", Type: probes.Gauge, Unit: "Byte", DisplayName: "HTTP check: size of what was read of the answer"},
	{Key: "edgehold.check.http.dns", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "HTTP check: time to look up the name"},
	{Key: "edgehold.check.http.connect", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "HTTP check: time to connect"},
	{Key: "edgehold.check.http.tls", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "HTTP check: time of the TLS handshake"},
	{Key: "edgehold.check.http.first_byte", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "HTTP check: time from the request to the first byte of the answer"},
	{Key: "edgehold.check.tls.days_left", Type: probes.Gauge, Unit: "Day", DisplayName: "Check: days until the first certificate of the chain expires"},
	{Key: "edgehold.check.dns.answers", Type: probes.Gauge, Unit: "Count", DisplayName: "DNS check: answers"},
	{Key: "edgehold.check.ntp.offset", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "NTP check: offset", Description: "How far the server's clock is ahead of this machine's"},
	{Key: "edgehold.check.ntp.delay", Type: probes.Gauge, Unit: "MilliSecond", DisplayName: "NTP check: round trip time"},
	{Key: "edgehold.check.ntp.stratum", Type: probes.Gauge, Unit: "Count", DisplayName: "NTP check: stratum of the server"},
}

// describe gives up, duration and the metrics from first to last.
func describe(first, last int) func(any) []probes.Metadata {
	return func(any) []probes.Metadata {
		return append(slices.Clone(metrics[:duration+1]), metrics[first:last+1]...)
	}
}
