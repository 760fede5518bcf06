package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// demoManifest monitors the demonstration application with every kind of metric.
const demoManifest = `
name: custom:test.demo
version: 1.0.0
minDynatraceVersion: "1.300"
http:
  - group: groups
    request: {path: /topology}
    items: path:[]
    dimensions:
      - {key: group, value: path:name}
    subgroups:
      - subgroup: devices
        items: path:devices[]|nodes[]
        dimensions:
          - {key: device, value: path:name}
        metrics:
          - {key: demo.random, value: path:stats.random}
          - {key: demo.counter, value: path:stats.counter, type: count}
          - {key: demo.rate, value: path:stats.counter, type: rate}
          - {key: demo.state, value: path:stats.state, type: state, states: [OK, WARNING, ERROR]}
          - {key: demo.stat, value: path:stats.stat_counter|stats.stats_counter, type: stat}
          - {key: demo.battery, value: path:stats.battery_level, optional: true}
        events:
          - event: error
            type: ERROR_EVENT
            condition: $eq(path:stats.state,ERROR)
            title: "${path:name} of ${path:^.name} failed"
            timeout: {minutes: 5}
        carrier: metric:demo.device
        properties:
          - {key: version, value: path:stats.version}
        endpoints: {addresses: path:ip}
`

// demoDevice is one device of the simulation.
type demoDevice struct {
	group, name, ip, state  string
	random, counter, spread int
	battery                 float64
}

// demoJSON writes the answer of the application in one of its two spellings.
func demoJSON(devices []demoDevice, old bool) string {
	list, stat := "devices", "stat_counter"
	if old {
		list, stat = "nodes", "stats_counter"
	}
	var groups []string
	for _, d := range devices {
		if !slices.Contains(groups, d.group) {
			groups = append(groups, d.group)
		}
	}
	var all []string
	for _, g := range groups {
		var members []string
		for _, d := range devices {
			if d.group != g {
				continue
			}
			battery := fmt.Sprintf(`,"battery_level":%v`, d.battery)
			if old {
				battery = ""
			}
			members = append(members, fmt.Sprintf(`{"name":%q,"ip":%q,"stats":{"version":"1.001","random":%d,"counter":%d,"state":%q,%q:[%d,10,%d]%s}}`,
				d.name, d.ip, d.random, d.counter, d.state, stat, 10-d.spread, 10+d.spread, battery))
		}
		all = append(all, fmt.Sprintf(`{"name":%q,%q:[%s]}`, g, list, strings.Join(members, ",")))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// demoExpected is what a poll should give, from the simulation alone. before are
// the counters of the last poll.
func demoExpected(devices []demoDevice, before map[string]int, old bool) []string {
	var lines []string
	for _, d := range devices {
		dims := ",device=" + d.name + ",group=" + d.group
		lines = append(lines,
			fmt.Sprintf("demo.random%s %d", dims, d.random),
			fmt.Sprintf("demo.state%s,state=%s 1", dims, d.state),
			fmt.Sprintf("demo.stat%s min=%d,max=%d,sum=30,count=3", dims, 10-d.spread, 10+d.spread),
			fmt.Sprintf("demo.device,device=%s,dt.ip_addresses=%s,group=%s,version=1.001 1", d.name, d.ip, d.group),
		)
		if !old {
			lines = append(lines, fmt.Sprintf("demo.battery%s %v", dims, d.battery))
		}
		last, known := before[d.group+"/"+d.name]
		if known && d.counter >= last {
			lines = append(lines,
				fmt.Sprintf("demo.counter%s delta=%d", dims, d.counter-last),
				fmt.Sprintf("demo.rate%s %v", dims, float64(d.counter-last)/60),
			)
		}
	}
	slices.Sort(lines)
	return lines
}

// demoStep moves the simulation on by a minute.
func demoStep(step int, devices []demoDevice, r *rand.Rand) []demoDevice {
	states := []string{"OK", "WARNING", "ERROR"}
	for i := range devices {
		d := &devices[i]
		d.random, d.spread, d.state = 1+r.IntN(1000), r.IntN(5), states[r.IntN(3)]
		d.counter += r.IntN(100)
		d.battery = max(0, 100-float64(d.counter)/10)
	}
	switch step {
	case 5: // the application was started anew
		for i := range devices {
			devices[i].counter = 0
		}
	case 7:
		devices = append(devices, demoDevice{group: "My Group 01", name: "My Device 03", ip: "192.168.0.3", state: "OK"})
	case 9:
		devices = append(devices, demoDevice{group: "My Group 02", name: "My Device 01", ip: "192.168.0.4", state: "ERROR"})
	case 12:
		devices = slices.Delete(devices, 0, 1)
	}
	return devices
}

// demoEvents keeps, by the rules of the manual, which events are open and what a
// poll has to tell: an error opens one, it is refreshed after two and a half
// minutes, and closed when the error ends or the device has gone.
type demoEvents map[string]int // minute in which it was last told

func (open demoEvents) expected(step int, devices []demoDevice) []string {
	told := []string{}
	failed := map[string]bool{}
	for _, d := range devices {
		title := d.name + " of " + d.group + " failed"
		failed[title] = d.state == "ERROR"
		last, is := open[title]
		if failed[title] && (!is || step-last >= 3) {
			open[title] = step
			told = append(told, "open "+title)
		}
	}
	for title := range open {
		if !failed[title] {
			delete(open, title)
			told = append(told, "close "+title)
		}
	}
	slices.Sort(told)
	return told
}

func demoTold(batch probes.Batch) []string {
	told := []string{}
	for _, e := range batch.Events {
		word := "open "
		if e.End != (probes.Stamp{}) {
			word = "close "
		}
		told = append(told, word+e.Title)
	}
	slices.Sort(told)
	return told
}

// TestDocumentsOfTheDemoApp polls a simulation of the application in both
// spellings, and compares every line and event with what follows from it.
func TestDocumentsOfTheDemoApp(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("old spelling %v", old), func(t *testing.T) {
			page := &docsPage{}
			server := httptest.NewServer(page)
			defer server.Close()
			clock := &docsClock{up: time.Hour}
			task := docsTask(t, demoManifest, server.URL, clock)
			r := rand.New(rand.NewPCG(1, 2))
			devices := []demoDevice{
				{group: "My Group 01", name: "My Device 01", ip: "192.168.0.1", state: "OK"},
				{group: "My Group 01", name: "My Device 02", ip: "127.0.0.1", state: "OK"},
			}
			before, open := map[string]int{}, demoEvents{}
			for step := range 30 {
				devices = demoStep(step, devices, r)
				page.set(demoJSON(devices, old))
				batch, err := task.Probe.Poll(context.Background())
				if err != nil {
					t.Fatalf("minute %d: %v", step, err)
				}
				if got, want := docsLines(batch), demoExpected(devices, before, old); !slices.Equal(got, want) {
					t.Errorf("minute %d gave\n%s\nwant\n%s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if got, want := demoTold(batch), open.expected(step, devices); !slices.Equal(got, want) {
					t.Errorf("minute %d told %q, want %q", step, got, want)
				}
				for _, d := range devices {
					before[d.group+"/"+d.name] = d.counter
				}
				clock.up += time.Minute
			}
		})
	}
}
