// Package demoapp is a small application to learn monitoring with: groups of
// devices with counters, states and batteries, told as JSON over HTTP.
package demoapp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// Spelling is how the JSON of the topology names things.
type Spelling string

// The two spellings that tutorials show.
const (
	Spelling1221     Spelling = "1.221"    // devices, stat_counter, battery_level
	SpellingTutorial Spelling = "tutorial" // nodes, stats_counter, no battery
)

// most is how many groups there may be, and how many devices in each.
const most = 99

// Options are what the application shows and to whom.
type Options struct {
	Spelling Spelling
	Groups   int    // 1 to 99
	Devices  int    // of each group, 1 to 99
	Seed     uint64 // the same seed shows the same numbers and states
	Counter  int64  // of every device before the first request, not negative
	Appear   int    // from so many requests on the last group has one more device; 0: never

	User, Password string // asked for where there is a user

	Tell func(text string) // called for each request, one at a time; nil: nobody is told
}

// Check names the option that is wrong and its range.
func (o Options) Check() error {
	switch {
	case o.Spelling != Spelling1221 && o.Spelling != SpellingTutorial:
		return fmt.Errorf("spelling is %q, expected %s or %s", o.Spelling, Spelling1221, SpellingTutorial)
	case o.Groups < 1 || o.Groups > most:
		return fmt.Errorf("groups is %d, expected 1 to %d", o.Groups, most)
	case o.Devices < 1 || o.Devices > most:
		return fmt.Errorf("devices is %d, expected 1 to %d", o.Devices, most)
	case o.Counter < 0:
		return fmt.Errorf("counter is %d, expected 0 or more", o.Counter)
	case o.Appear < 0:
		return fmt.Errorf("appear is %d, expected 0 or more", o.Appear)
	}
	return nil
}

// App answers GET / with the numbers of the application itself, and
// GET /topology with those of all devices. Each answer counts.
type App struct {
	opts Options
	mux  http.ServeMux

	mu       sync.Mutex
	own      int64 // requests of /
	topology int64 // requests of /topology
}

// New makes an application of checked options.
func New(o Options) *App {
	a := &App{opts: o}
	a.mux.HandleFunc("GET /{$}", a.serveOwn)
	a.mux.HandleFunc("GET /topology", a.serveTopology)
	return a
}

// ServeHTTP asks for the user where there is one, and answers.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !a.admits(r) {
		a.tell(r, http.StatusUnauthorized)
		w.Header().Set("WWW-Authenticate", `Basic realm="demo-app"`)
		http.Error(w, "who are you? user and password are asked for", http.StatusUnauthorized)
		return
	}
	a.mux.ServeHTTP(w, r)
}

func (a *App) admits(r *http.Request) bool {
	if a.opts.User == "" {
		return true
	}
	user, password, _ := r.BasicAuth()
	return same(user, a.opts.User) && same(password, a.opts.Password)
}

// same takes as long whatever the texts are.
func same(x, y string) bool {
	a, b := sha256.Sum256([]byte(x)), sha256.Sum256([]byte(y))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (a *App) serveOwn(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.own++
	made := a.opts.statsOf(0, 0, a.opts.Counter+a.own)
	a.mu.Unlock()
	a.answer(w, r, made)
}

func (a *App) serveTopology(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.topology++
	made := a.opts.topologyAt(a.topology)
	a.mu.Unlock()
	a.answer(w, r, made)
}

// answer sends a document. It is of numbers and texts and can be written.
func (a *App) answer(w http.ResponseWriter, r *http.Request, document any) {
	text, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.tell(r, http.StatusOK)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // the reader has gone, if it fails
}

func (a *App) tell(r *http.Request, status int) {
	if a.opts.Tell == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opts.Tell(fmt.Sprintf("%s %q: %d %s", r.Method, r.URL.Path, status, http.StatusText(status)))
}
