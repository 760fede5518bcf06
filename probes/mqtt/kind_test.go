package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func TestCheck(t *testing.T) {
	topic := Topic{Topic: "z/{room}", Metric: "room.temperature", Value: "temperature"}
	short := probes.Duration(time.Millisecond)
	for says, change := range map[string]func(o *Options){
		"broker: empty":                          func(o *Options) { o.Broker = "" },
		"broker: not the address":                func(o *Options) { o.Broker = "tcp://h:1" },
		"broker: holds a user":                   func(o *Options) { o.Broker = "mqtts://u:p@h" },
		"broker: holds more":                     func(o *Options) { o.Broker = "mqtts://h/path" },
		"broker: mqtt would send":                func(o *Options) { o.Broker = "mqtt://192.0.2.1" },
		"broker: ws would send":                  func(o *Options) { o.Broker = "ws://192.0.2.1/x" },
		"user: missing":                          func(o *Options) { o.Credential = "c" },
		"key_file: missing":                      func(o *Options) { o.CertFile = "c" },
		"cert_file: missing":                     func(o *Options) { o.KeyFile = "c" },
		"client_id:":                             func(o *Options) { o.ClientID = strings.Repeat("x", 101) },
		"topics: empty":                          func(o *Options) { o.Topics = nil },
		"topics: there are 1001":                 func(o *Options) { o.Topics = make([]Topic, 1001) },
		"topic: missing, and metric":             func(o *Options) { o.Metric = "x" },
		"interval: found 500ms":                  func(o *Options) { o.Interval = probes.Duration(time.Second / 2) },
		"emit: found":                            func(o *Options) { o.Emit = "all" },
		"retained: found":                        func(o *Options) { o.Retained = "yes" },
		"silent_after: found":                    func(o *Options) { o.SilentAfter = short },
		"max_series: found 0":                    func(o *Options) { o.MaxSeries = 0 },
		`dimensions: "Room" is no key`:           func(o *Options) { o.Dimensions = map[string]string{"Room": "1"} },
		"topics[0]: topic: empty":                func(o *Options) { o.Topics[0].Topic = "" },
		"topics[0]: metric: \"1x\"":              func(o *Options) { o.Topics[0].Metric = "1x" },
		"topics[0]: metric: \"a..b\"":            func(o *Options) { o.Topics[0].Metric = "a..b" },
		"topics[0]: metric: \"a b\"":             func(o *Options) { o.Topics[0].Metric = "a b" },
		"topics[0]: metric: missing":             func(o *Options) { o.Topics[0] = Topic{Topic: "+"} },
		"topics[0]: type: found":                 func(o *Options) { o.Topics[0].Type = "counter" },
		"topics[0]: type: count with an offset":  func(o *Options) { o.Topics[0].Type, o.Topics[0].Offset = "count", 1 },
		"topics[0]: value: path":                 func(o *Options) { o.Topics[0].Value = "a.[" },
		"topics[0]: value: path \"a[]\" has []":  func(o *Options) { o.Topics[0].Value = "a[]" },
		"topics[0]: unit:":                       func(o *Options) { o.Topics[0].Unit = "a,b" },
		"topics[0]: silent_after: found 1ms":     func(o *Options) { o.Topics[0].SilentAfter = &short },
		"topics[0]: dimensions: room is a level": func(o *Options) { o.Topics[0].Dimensions = map[string]string{"room": "1"} },
		"topics[0]: dimensions: id: path":        func(o *Options) { o.Topics[0].Dimensions = map[string]string{"id": "path:"} },
		"topics[0]: dimensions: \"A\" is no key": func(o *Options) { o.Topics[0].Dimensions = map[string]string{"A": "1"} },
	} {
		o := options(topic)
		if errs := o.Check(); len(errs) > 0 {
			t.Fatal(errs)
		}
		change(o)
		errs := o.Check()
		if text := fmt.Sprint(errs); !slices.ContainsFunc(errs, func(err error) bool { return strings.HasPrefix(err.Error(), says) }) {
			t.Errorf("expected %q: %s", says, text)
		}
	}
	for _, broker := range []string{"mqtts://h", "wss://h/path", "mqtt://localhost", "mqtt://[::1]:99", "ws://127.0.0.1:80/mqtt"} {
		o := options(topic)
		if o.Broker = broker; len(o.Check()) > 0 {
			t.Errorf("%s: %v", broker, o.Check())
		}
	}
	o := options(topic)
	if o.Broker, o.Plain = "mqtt://192.0.2.1", true; len(o.Check()) > 0 {
		t.Error(o.Check())
	}
}

func TestTask(t *testing.T) {
	deps := probes.Deps{Credentials: map[string]probes.Credential{"c": {Name: "c", Password: probes.NewSecret("right horse")}}}
	make1 := func(change func(o *Options)) probes.Task {
		t.Helper()
		o := options(Topic{Topic: "z/{room}", Metric: "a.b"})
		o.Broker, o.User, o.Credential = "mqtts://Broker.example", "u", "c"
		if change != nil {
			change(o)
		}
		if errs := o.Check(); len(errs) > 0 {
			t.Fatal(errs)
		}
		tasks, err := Kind().New(o, deps)
		if err != nil || len(tasks) != 1 {
			t.Fatal(err)
		}
		return tasks[0]
	}
	one := make1(nil)
	if one.Device != "broker.example:8883" || one.Label != "broker.example:8883 z/+" || one.Probe != nil || one.Interval != time.Minute {
		t.Errorf("%+v", one)
	}
	if again := make1(nil); again.ID != one.ID || again.Same != one.Same {
		t.Errorf("%s %s, then %s %s", one.ID, one.Same, again.ID, again.Same)
	}
	d := probes.Duration(time.Hour)
	for name, change := range map[string]func(o *Options){
		"emit":   func(o *Options) { o.Emit = emitLast },
		"scale":  func(o *Options) { o.Topics[0].Scale = 2 },
		"silent": func(o *Options) { o.Topics[0].SilentAfter = &d },
		"words":  func(o *Options) { o.Topics[0].Words = map[string]float64{"a": 1} },
	} {
		if other := make1(change); other.ID != one.ID || other.Same == one.Same {
			t.Errorf("%s changes nothing, or the id too", name)
		}
	}
	deps.Credentials["c"] = probes.Credential{Name: "c", Password: probes.NewSecret("wrong horse")}
	if other := make1(nil); other.Same == one.Same || strings.Contains(fmt.Sprintf("%+v", other), "horse") {
		t.Error("a password changes nothing, or is shown")
	}
	o := options(Topic{Topic: "z/{room}", Metric: "a.b"})
	if o.User, o.Credential = "u", "d"; true {
		if _, err := Kind().New(o, deps); err == nil || !strings.Contains(err.Error(), "credential: there is no password") {
			t.Error(err)
		}
	}
	if o.Topics[0].SilentAfter = &d; o.fingerprint(o.all(), deps) == "" || o.Topics[0].SilentAfter == nil {
		t.Error("the options have changed")
	}
}

func TestShortForm(t *testing.T) {
	o := Kind().Options().(*Options)
	o.Broker, o.Topic, o.Value = "mqtt://127.0.0.1", "z/{room}", "temperature"
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	got := Kind().Metrics(o)
	if want := []probes.Metadata{{Key: "edgehold.mqtt.temperature", Type: probes.Gauge}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	o.Topic = "#/x"
	if errs := o.Check(); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "topic: ") {
		t.Error(errs)
	}
}

func TestMetrics(t *testing.T) {
	o := options(
		Topic{Topic: "a/{x}", Metric: "m.a", Unit: "Celsius", Name: "Temperature"},
		Topic{Topic: "b/{x}", Metric: "m.a", Unit: "Celsius"},
		Topic{Topic: "energy/total", Type: typeCount, Unit: "WattHour"})
	want := []probes.Metadata{
		{Key: "m.a", Type: probes.Gauge, Unit: "Celsius", DisplayName: "Temperature"},
		{Key: "edgehold.mqtt.total", Type: probes.Count, Unit: "WattHour"},
	}
	if got := Kind().Metrics(o); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestWithoutAConnection(t *testing.T) {
	tasks, err := Kind().New(options(Topic{Topic: "a"}), probes.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	err = tasks[0].Source.Run(t.Context(), nil)
	var status *probes.StatusError
	if !errors.As(err, &status) || status.Status != probes.StatusInvalidConfigError {
		t.Error(err)
	}
}

func TestFilesAreOfTheConfiguration(t *testing.T) {
	o := Options{CAFile: "ca", KeyFile: "key"}
	o.ResolveFiles(func(path string) string { return "/etc/" + path })
	if o.CAFile != "/etc/ca" || o.KeyFile != "/etc/key" || o.CertFile != "" {
		t.Errorf("%+v", o)
	}
}
