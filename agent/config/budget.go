package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Budget bounds what leaves beside the live points. Zero values bound nothing.
type Budget struct {
	Share   Percent     `yaml:"share"`   // of the link's measured rate
	Rate    Bitrate     `yaml:"rate"`    // a fixed cap
	Daily   probes.Size `yaml:"daily"`   // on the wire, both ways, per day (UTC); live points count and are never stopped
	Monthly probes.Size `yaml:"monthly"` // the same, per calendar month (UTC)
}

// Percent is a share written as in `50%`.
type Percent float64

// UnmarshalText reads 1% to 100%.
func (p *Percent) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(n >= 1 && n <= 100) {
		return fmt.Errorf("%q is not a share, expected 1%% to 100%%", text)
	}
	*p = Percent(n / 100)
	return nil
}

// Bitrate is a rate written as in `64kbit/s`, in bytes a second.
type Bitrate int64

var rateUnits = []struct {
	suffix string
	bytes  float64
}{
	{"Mbit/s", 1e6 / 8},
	{"kbit/s", 1e3 / 8},
	{"bit/s", 1.0 / 8},
	{"MB/s", 1e6},
	{"kB/s", 1e3},
	{"B/s", 1},
}

// UnmarshalText reads a rate with its unit.
func (r *Bitrate) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if n *= u.bytes; err == nil && n >= 1 && n <= math.MaxInt32 {
			*r = Bitrate(n)
			return nil
		}
	}
	return fmt.Errorf("%q is not a rate, expected a number and a unit such as 64kbit/s or 8kB/s", text)
}

// profiles are ready budgets for kinds of links.
var profiles = map[string]Budget{
	"default": {},
	"lte":     {Share: 0.5, Daily: 50e6, Monthly: 1e9},
}

// budget is the profile's, with what is given in its place.
func (c *checker) budget(profile string, given Budget) Budget {
	if profile == "" {
		profile = "default"
	}
	c.word(profile, choices["profile"], "uplink", "profile")
	out := profiles[profile]
	if c.given("uplink", "budget", "share") {
		out.Share = given.Share
	}
	if c.given("uplink", "budget", "rate") {
		out.Rate = given.Rate
	}
	for _, s := range []struct {
		key string
		to  *probes.Size
		is  probes.Size
	}{{"daily", &out.Daily, given.Daily}, {"monthly", &out.Monthly, given.Monthly}} {
		if !c.given("uplink", "budget", s.key) {
			continue
		}
		if *s.to = s.is; s.is < 1<<20 {
			c.fault(Error{Found: "found " + s.is.String(), Expected: "1MiB or more"}, "uplink", "budget", s.key)
		}
	}
	return out
}
