package config

import (
	"strings"
	"testing"
)

func TestSiteName(t *testing.T) {
	for _, c := range []struct {
		name  string
		topic bool
		says  string // "": it is good
	}{
		{"plant-7", false, ""},
		{"Werk Süd 2", false, ""},
		{"Werk Süd 2", true, "MQTT topic"},
		{"relay", true, "MQTT topic"},
		{"relay", false, ""},
		{"", false, "is empty"},
		{" plant", false, "blanks"},
		{"a\x1bb", false, "control characters"},
		{strings.Repeat("x", 251), false, "longer than 250"},
	} {
		err := SiteName(c.name, c.topic)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q, topic %v: %v, want %q", c.name, c.topic, err, c.says)
		}
	}
}

func TestAddressesOfTheOtherUplinks(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{given(BrokerURL("mqtts://Hub.example.com")), "mqtts://hub.example.com:8883"},
		{given(BrokerURL("mqtt://hub.example.com")), "!clear text"},
		{given(BrokerURL("mqtts://u:s3cret@hub.example.com")), "!user or password"},
		{given(ReceiverURL("https://h.example.com/api/v2/otlp/v1/metrics", true)), "https://h.example.com/api/v2/otlp"},
		{given(ReceiverURL("http://collector.example.com:4318", false)), "http://collector.example.com:4318"},
		{given(ReceiverURL("http://collector.example.com:4318", true)), "!clear text"},
	} {
		words, wrong := strings.CutPrefix(c.want, "!")
		if wrong && (!strings.HasPrefix(c.got, "!") || !strings.Contains(c.got, words)) || !wrong && c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
		if strings.Contains(c.got, "s3cret") {
			t.Errorf("a password is shown: %q", c.got)
		}
	}
}

func given(url string, err error) string {
	if err != nil {
		return "!" + err.Error()
	}
	return url
}
