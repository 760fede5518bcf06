package snmp

import (
	"cmp"
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// trapBench is a source that runs, and what it gave.
type trapBench struct {
	source *trapSource
	at     netip.AddrPort
	stop   func() // ends the source and waits for it

	mu      sync.Mutex
	points  []probes.Point
	records []probes.Record
}

// count is a count of the traps by sender and OID, as the vendor's package has it.
func count(every time.Duration) []plan.TrapCount {
	return []plan.TrapCount{{Key: "traps.count", Interval: every, Dims: []plan.TrapDim{
		{Key: "host_ip", Field: plan.TrapSender}, {Key: "trap_oid", Field: plan.TrapOID}, {Key: "hall", Text: "7"},
	}}}
}

func community(word string) probes.Credential {
	return probes.Credential{Name: "plant", Version: probes.SNMPv2c, Community: probes.NewSecret(word)}
}

func newReceiver(t *testing.T, file string) *TrapReceiver {
	t.Helper()
	r := NewTrapReceiver(TrapReceiverOptions{EngineFile: file})
	t.Cleanup(r.Close)
	return r
}

// takeTraps runs a source on a loopback port until the test ends.
func takeTraps(t *testing.T, r *TrapReceiver, p plan.Traps, credentials ...probes.Credential) *trapBench {
	t.Helper()
	return takeTrapsAt(t, r, netip.MustParseAddrPort(freeAddr(t)), p, credentials...)
}

func takeTrapsAt(t *testing.T, r *TrapReceiver, at netip.AddrPort, p plan.Traps, credentials ...probes.Credential) *trapBench {
	t.Helper()
	var sources []plan.TrapSource
	for _, c := range credentials {
		for _, network := range []string{"127.0.0.0/8", "::1/128"} {
			sources = append(sources, plan.TrapSource{From: netip.MustParsePrefix(network), Port: at.Port(), Credential: c})
		}
	}
	p.Listen = at.Addr()
	tasks := TrapTasks(&plan.Plan{Extension: "com.example.traps", Traps: &p}, sources, TrapOptions{Config: "c", Receiver: r},
		probes.Deps{Constants: []probes.Dimension{{Key: "site", Value: "plant-7"}}})
	source, ok := tasks[0].Source.(*trapSource)
	if !ok {
		t.Fatal("the task has no source")
	}
	b := &trapBench{source: source, at: at}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = source.Run(ctx, b.emit)
	}()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(b.stop)
	await(t, "the port", func() bool {
		return source.Watch().Status != probes.StatusPending || strings.HasPrefix(source.Watch().Message, "listening, ")
	})
	return b
}

func (b *trapBench) emit(batch probes.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.points = append(b.points, batch.Points...)
	b.records = append(b.records, batch.Records...)
}

// refusals are what was not taken, by reason, so far.
func (b *trapBench) refusals() map[string]uint64 {
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	all := map[string]uint64{}
	for why, n := range b.source.now.refused {
		if n > 0 {
			all[refusalWords[why].word] = n
		}
	}
	for why, n := range b.source.now.dropped {
		if n > 0 {
			all[dropWords[why]] = n
		}
	}
	return all
}

// lines are the points as texts, sorted.
func (b *trapBench) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, p := range b.points {
		line := p.Series.Key()
		for _, d := range p.Series.Dims() {
			line += "," + d.Key + "=" + d.Value
		}
		all = append(all, line+" "+p.Series.Type().String()+",delta="+strings.TrimSuffix(toVarbindOut(varbind{cell: plan.Cell{Kind: plan.Unsigned, Uint: p.Value.Uint64()}}).Number(), ".0"))
	}
	slices.Sort(all)
	return all
}

func attribute(r probes.Record, key string) string {
	for _, d := range r.Attributes {
		if d.Key == key {
			return d.Value
		}
	}
	return ""
}

// await waits for a condition with a deadline.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// trapTool runs one of net-snmp's tools in a folder of its own. ok: it ended well.
func trapTool(t *testing.T, tool, dir string, args ...string) (output string, ok bool) {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed (package snmp)", tool)
		}
		t.Skipf("SKIPPED: %s is not installed (package snmp)", tool)
	}
	dir = cmp.Or(dir, t.TempDir())
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+filepath.Join(dir, "kept"), "MIBS=")
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}
