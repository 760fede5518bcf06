package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

type givenOptions struct {
	Targets    []string          `yaml:"targets"`
	Address    int               `yaml:"address"`
	Scale      float64           `yaml:"scale"`
	Text       string            `yaml:"text"`
	Name       string            `yaml:"name"`
	Interval   probes.Duration   `yaml:"interval"`
	Dimensions map[string]string `yaml:"dimensions"`
}

func (o *givenOptions) Check() []error {
	if o.Scale < 0 {
		return []error{errors.New("scale: it is negative")}
	}
	return nil
}

func givenKinds() []probes.Kind {
	return []probes.Kind{{Name: "echo", Options: func() any { return &givenOptions{Scale: 1, Interval: probes.Duration(time.Minute)} }}}
}

func TestProbesAreGivenByHand(t *testing.T) {
	p, err := GivenProbe("echo", []string{
		"targets=192.0.2.1, 7", "name=1", "address=0x49", "text=a: b # c \"d\"", "interval=5s", "dimensions={hall: two}",
	}, givenKinds())
	if err != nil {
		t.Fatal(err)
	}
	want := &givenOptions{
		Targets: []string{"192.0.2.1", "7"}, Name: "1", Address: 0x49, Scale: 1, Text: "a: b # c \"d\"",
		Interval: probes.Duration(5 * time.Second), Dimensions: map[string]string{"hall": "two"},
	}
	if p.Kind != "echo" || !reflect.DeepEqual(p.Options, want) {
		t.Errorf("%s: %+v, want %+v", p.Kind, p.Options, want)
	}
	if p, err := GivenProbe("echo", nil, givenKinds()); err != nil || p.Options.(*givenOptions).Scale != 1 {
		t.Errorf("without settings: %+v, %v", p, err)
	}
}

func TestBadSettingsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		kind, settings, says string
	}{
		{"ech", "", `unknown kind "ech"; did you mean "echo"?`},
		{"other-thing", "", "expected one of echo"},
		{"echo", "targets", "expected key=value with one of the keys targets, address"},
		{"echo", "adddress=1", `adddress: unknown key`},
		{"echo", "address=seven", "address: "},
		{"echo", "scale=1|scale=2", "scale is given twice"},
		{"echo", "scale=-1", "scale: it is negative"},
		{"echo", "targets=[a", "targets=[a: a list in brackets that is never closed"},
		{"echo", "interval=soon", "interval: "},
	} {
		var settings []string
		if c.settings != "" {
			settings = strings.Split(c.settings, "|")
		}
		_, err := GivenProbe(c.kind, settings, givenKinds())
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "command line") {
			t.Errorf("%s %s: %v, want %q", c.kind, c.settings, err, c.says)
		}
	}
}
