package drain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/linktest"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// linkRow is one link, what happens to it while points come, and how many come.
type linkRow struct {
	name    string
	path    linktest.Path
	batches int           // of sceneSeries points
	every   time.Duration // between two
	strike  func(*testing.T, *linktest.Link)
	long    bool // takes more than ten seconds: only with EDGEHOLD_SOAK
}

var linkRows = []linkRow{
	{name: "nothing", batches: 4, every: 50 * time.Millisecond},
	{
		name: "300 ms and 5 percent lost", batches: 6, every: 300 * time.Millisecond,
		path: linktest.Path{Delay: 150 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.05},
	},
	{name: "32 kbit", batches: 3, every: time.Second, path: linktest.Path{Delay: 50 * time.Millisecond, Rate: 32_000}},
	{name: "9 kbit", batches: 3, every: 4 * time.Second, path: linktest.Path{Delay: 200 * time.Millisecond, Rate: 9_000}, long: true},
	{name: "flapping", batches: 20, every: 500 * time.Millisecond, path: linktest.Path{Delay: 20 * time.Millisecond}, strike: flap, long: true},
}

// flap pulls the cable and puts it back.
func flap(t *testing.T, l *linktest.Link) {
	for range 4 {
		for _, change := range []func() error{l.Down, l.Up} {
			if err := change(); err != nil {
				t.Error(err)
			}
			time.Sleep(1500 * time.Millisecond) // the pace of the fault
		}
	}
}

// TestE2ELinks runs a site in a process of its own at the far end of a link,
// and asks the same oracles.
func TestE2ELinks(t *testing.T) {
	for _, row := range linkRows {
		t.Run(row.name, func(t *testing.T) {
			if row.long && os.Getenv("EDGEHOLD_SOAK") == "" {
				t.Skip("takes more than ten seconds; EDGEHOLD_SOAK runs it")
			}
			t.Parallel()
			link := linktest.New(t, linktest.Both(row.path, 1))
			env := draintest.New(draintest.Options{Token: "far", Listen: link.Server.Listen})
			url, err := env.StartTLS(linktest.ServerAddr+":0", draintest.TLS{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = env.Close() })
			far := farSite{Dir: t.TempDir(), URL: url, CA: env.CAPEM(), Batches: row.batches, Every: row.every}
			wait := far.start(t, link.Client)
			if row.strike != nil {
				row.strike(t, link)
			}
			wait()
			far.check(t, env.Counts())
		})
	}
}

// farSite is a site in a child process, and what it is told.
type farSite struct {
	Dir, URL string
	CA       []byte
	Batches  int
	Every    time.Duration
}

const farVariable = "EDGEHOLD_FAR_SITE"

func (f farSite) path(name string) string { return filepath.Join(f.Dir, name) }

// start starts the child. wait waits until it has delivered all.
func (f farSite) start(t *testing.T, in *linktest.Namespace) (wait func()) {
	t.Helper()
	told, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestFarSite$")
	cmd.Env = append(os.Environ(), farVariable+"="+string(told))
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := in.Start(cmd); err != nil {
		cancel()
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer cancel()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the far site ended with %v:\n%s", err, words.String())
		}
	}
}

// check holds the site's account against the environment's counts.
func (f farSite) check(t *testing.T, c draintest.Counts) {
	t.Helper()
	var state drain.State
	told, err := os.ReadFile(f.path("state.json"))
	if err == nil {
		err = json.Unmarshal(told, &state)
	}
	if err != nil {
		t.Fatal(err)
	}
	store := f.open(t)
	defer store.Close()
	account, err := store.Verify()
	if err := errors.Join(err, account.Check()); err != nil {
		t.Error(err)
	}
	want := int64(f.Batches * sceneSeries)
	if account.Accepted != want || account.Delivered != want || int64(c.Distinct) != want || c.Conflicts != 0 {
		t.Errorf("%d points were added; account %+v, counts %+v", want, account, c)
	}
	if again, lost := c.Lines-c.Distinct, int(state.AmbiguousPosts); again > lost*postLines {
		t.Errorf("%d lines came twice, with %d posts whose answer was lost", again, lost)
	}
	t.Logf("%d posts, %d ambiguous, %d bytes on the wire, last error %q", state.Posts, state.AmbiguousPosts, state.BytesWire, state.LastError)
}

func (f farSite) open(t *testing.T) *buffer.Store {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Path: f.path("edgehold.db"), Log: zerolog.Nop(), Window: sceneWindow, CommitInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestFarSite is the process of a farSite; it runs only as a child.
func TestFarSite(t *testing.T) {
	told := os.Getenv(farVariable)
	if told == "" {
		return
	}
	var f farSite
	if err := json.Unmarshal([]byte(told), &f); err != nil {
		t.Fatal(err)
	}
	store := f.open(t)
	d := f.drain(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	f.load(t, store)
	for store.Account().Buffered > 0 {
		time.Sleep(5 * time.Millisecond) // between looks
	}
	cancel()
	<-done
	state, err := json.Marshal(d.State())
	if err == nil {
		err = os.WriteFile(f.path("state.json"), state, 0o600)
	}
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
}

func (f farSite) drain(t *testing.T, store *buffer.Store) *drain.Drain {
	t.Helper()
	if err := os.WriteFile(f.path("ca.pem"), f.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := drain.NewClient(drain.ClientOptions{CAFile: f.path("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	return drain.New(drain.Options{
		Target: drain.Target{
			URL:    f.URL,
			Token:  func() (probes.Secret, error) { return probes.NewSecret("far"), nil },
			Client: client,
		},
		Store: store, Log: zerolog.New(os.Stderr), Version: "test", Site: "far", Window: sceneWindow,
	})
}

// load appends the batches, durably.
func (f farSite) load(t *testing.T, store *buffer.Store) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	for range f.Batches {
		if err := store.Append(t.Context(), sceneBatch(random, time.Now().UnixMilli())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(f.Every) // the pace of the load
	}
}
