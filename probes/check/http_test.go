package check

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func serveHTTPS(t *testing.T, c tls.Certificate, h http.HandlerFunc) string {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, url string, deps probes.Deps, change func(o *HTTPOptions)) (values, error) {
	t.Helper()
	return poll(t, made(t, "http_check", deps, func(o *HTTPOptions) {
		o.URL = url
		if change != nil {
			change(o)
		}
	}))
}

func TestHTTPAnswers(t *testing.T) {
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			fmt.Fprint(w, "all is well here")
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/large":
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 5000))
			fmt.Fprint(w, "end")
		case "/broken":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
		case "/post":
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", r.Method, body)
		case "/slow":
			<-r.Context().Done()
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "/moved":
			http.Redirect(w, r, "/health", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	for _, c := range []struct {
		path   string
		change func(o *HTTPOptions)
		up     float64
		code   float64
		size   float64
		status probes.Status
		words  string
	}{
		{"/health", nil, 1, 200, 16, probes.StatusOK, ""},
		{"/health", func(o *HTTPOptions) { o.Contains, o.NotContains = "is well", "error" }, 1, 200, 16, probes.StatusOK, ""},
		{"/health", func(o *HTTPOptions) { o.Contains = "is ill" }, 0, 200, 16, probes.StatusGenericError, "does not contain the text of contains"},
		{"/health", func(o *HTTPOptions) { o.NotContains = "well" }, 0, 200, 16, probes.StatusGenericError, "contains the text of not_contains"},
		{"/health", func(o *HTTPOptions) { o.Method = http.MethodHead }, 1, 200, 0, probes.StatusOK, ""},
		{"/empty", nil, 1, 204, 0, probes.StatusOK, ""},
		{"/empty", func(o *HTTPOptions) { o.Status = []int{200, 201} }, 0, 204, 0, probes.StatusGenericError, "the answer is 204 No Content, expected 200 201"},
		{"/other", nil, 0, 503, 0, probes.StatusGenericError, "GET " + url + "/other: the answer is 503 Service Unavailable, expected 200 to 299"},
		{"/other", func(o *HTTPOptions) { o.Status = []int{503} }, 1, 503, 0, probes.StatusOK, ""},
		{"/forbidden", nil, 0, 403, 0, probes.StatusAuthenticationError, "look at credential and user"},
		{"/large", func(o *HTTPOptions) { o.MaxBody, o.Contains = 1000, "end" }, 0, 200, 1000, probes.StatusGenericError, "raise max_body"},
		{"/large", func(o *HTTPOptions) { o.Contains = "end" }, 1, 200, 5003, probes.StatusOK, ""},
		{"/broken", nil, 0, 200, 4, probes.StatusGenericError, "the answer is not complete"},
		{"/post", func(o *HTTPOptions) { o.Method, o.Body, o.Contains = http.MethodPost, "ping", "POST ping" }, 1, 200, 9, probes.StatusOK, ""},
		{"/moved", nil, 0, 302, 0, probes.StatusGenericError, "set redirects to follow them"},
		{"/moved", func(o *HTTPOptions) { o.Redirects = true }, 1, 200, 16, probes.StatusOK, ""},
	} {
		got, err := get(t, url+c.path, probes.Deps{}, c.change)
		want(t, got, err, c.up, c.status, c.words)
		if got["http.status"] != c.code || got["duration"] <= 0 || c.status == probes.StatusOK && got["http.size"] != c.size && c.path != "/other" {
			t.Errorf("%s: %v", c.path, got)
		}
		if t.Failed() {
			t.Fatal(c.path)
		}
	}
	for path, words := range map[string]string{"/slow": "no answer within 100ms", "/round": "it redirects more than 5 times"} {
		got, err := get(t, url+path, probes.Deps{}, func(o *HTTPOptions) {
			o.Redirects = true
			if path == "/slow" {
				o.Timeout = ms(100)
			}
		})
		want(t, got, err, 0, probes.StatusGenericError, words)
		if len(got) != 1 { // no duration of nothing
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestHTTPPhases(t *testing.T) {
	root := newAuthority(t, like{name: "Plant root", ca: true, end: 10 * year})
	leaf := root.issue(like{name: "www", hosts: []string{"127.0.0.1", "localhost"}, end: 50 * day})
	const pause = 30 * time.Millisecond
	url := serveHTTPS(t, leaf.served(), func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
	})
	url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	got, err := get(t, url, probes.Deps{}, func(o *HTTPOptions) { o.CAFile = root.file(false) })
	want(t, got, err, 1, probes.StatusOK)
	sum := 0.0
	for _, phase := range []string{"dns", "connect", "tls", "first_byte"} {
		took, told := got["http."+phase]
		if !told || took <= 0 {
			t.Errorf("%s took %v (%v)", phase, took, told)
		}
		sum += took
	}
	if got["http.first_byte"] < milliseconds(pause) || sum > got["duration"] {
		t.Errorf("%v, the phases together %v", got, sum)
	}
	if math.Abs(got["tls.days_left"]-50) > 0.1 {
		t.Errorf("%v days", got["tls.days_left"])
	}
	got, err = get(t, url, probes.Deps{}, func(o *HTTPOptions) { o.CAFile, o.Phases = root.file(false), false })
	want(t, got, err, 1, probes.StatusOK)
	if len(got) != 5 { // up, duration, status, size, days
		t.Errorf("%v", got)
	}
}

func TestHTTPCertificates(t *testing.T) {
	root := newAuthority(t, like{name: "Plant root", ca: true, begin: -2 * day, end: 10 * year}) // younger than what is old
	hello := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }
	soon := serveHTTPS(t, root.issue(like{name: "www", hosts: []string{"127.0.0.1"}, end: 5 * day}).served(), hello)
	other := serveHTTPS(t, root.issue(like{name: "www", hosts: []string{"a.example"}, end: year}).served(), hello)
	old := serveHTTPS(t, root.issue(like{name: "www", hosts: []string{"127.0.0.1"}, begin: -year, end: -day}).served(), hello)
	trusted := func(o *HTTPOptions) { o.CAFile = root.file(false) }

	got, err := get(t, soon, probes.Deps{}, trusted)
	want(t, got, err, 1, probes.StatusWarning, "expires in 5.0 days")
	got, err = get(t, soon, probes.Deps{}, nil)
	want(t, got, err, 0, probes.StatusGenericError, "GET "+soon, "Plant root")
	got, err = get(t, other, probes.Deps{}, trusted)
	want(t, got, err, 0, probes.StatusGenericError, "is for a.example, not for 127.0.0.1")
	got, err = get(t, old, probes.Deps{}, trusted)
	want(t, got, err, 0, probes.StatusGenericError, "has expired")
	if got["tls.days_left"] > -0.9 {
		t.Errorf("%v", got)
	}
	got, err = get(t, old, probes.Deps{Clock: &turnClock{wall: time.Unix(3600, 0), guess: true}}, trusted)
	want(t, got, err, 1, probes.StatusWarning, "the clock of this machine is not trusted yet")
	got, err = get(t, old, probes.Deps{}, func(o *HTTPOptions) { o.Verify = false })
	want(t, got, err, 1, probes.StatusOK)
	got, err = get(t, strings.Replace(serveHTTP(t, hello), "http:", "https:", 1), probes.Deps{}, nil)
	want(t, got, err, 0, probes.StatusGenericError, "it speaks http, not https")

	for verify, n := range map[bool]int{true: 0, false: 1} {
		o := &HTTPOptions{URL: soon, Verify: verify}
		if got := o.Warnings(nil); len(got) != n {
			t.Errorf("verify %v: %v", verify, got)
		}
	}
}

func secrets(texts map[string]string) probes.Deps {
	deps := probes.Deps{Credentials: map[string]probes.Credential{}}
	for name, text := range texts {
		deps.Credentials[name] = probes.Credential{Name: name, Password: probes.NewSecret(text)}
	}
	return deps
}

// What authenticates goes to its own host and port alone, over redirects of all
// kinds, and comes back there.
func TestHTTPCredentials(t *testing.T) {
	deps := secrets(map[string]string{"door": "hush-hush"})
	var asked []string
	note := func(name string, next func() string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", name, r.Header.Get("Authorization"), r.Header.Get("Referer"))))
			if to := next(); to != "" {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			}
		}
	}
	var home, away string
	back := false
	home = serveHTTP(t, note("home", func() string {
		if back {
			return ""
		}
		return away + "/x"
	}))
	away = serveHTTP(t, note("away", func() string {
		back = true
		return home + "/back"
	}))
	bearer := func(o *HTTPOptions) { o.Credential, o.Redirects = "door", true }
	got, err := get(t, home+"/?key=1234", deps, bearer)
	want(t, got, err, 1, probes.StatusOK)
	if all := strings.Join(asked, "; "); all != "home Bearer hush-hush; away; home Bearer hush-hush "+away+"/x" && all != "home Bearer hush-hush; away; home" {
		t.Errorf("asked as %s", all)
	}

	asked, back = nil, true
	got, err = get(t, home, deps, func(o *HTTPOptions) { o.Credential, o.User = "door", "anna" })
	want(t, got, err, 1, probes.StatusOK)
	if len(asked) != 1 || asked[0] != "home Basic YW5uYTpodXNoLWh1c2g=" {
		t.Errorf("asked as %v", asked)
	}

	// A body is for its own host too.
	asked, back = nil, false
	got, err = get(t, home, deps, func(o *HTTPOptions) {
		bearer(o)
		o.Method, o.Body = http.MethodPost, "private"
	})
	want(t, got, err, 0, probes.StatusGenericError, "another host")
	if len(asked) != 1 {
		t.Errorf("asked as %v", asked)
	}
}

// No error tells a secret, whatever the server does with it.
func TestHTTPErrorsTellNoSecret(t *testing.T) {
	deps := secrets(map[string]string{"door": "hush-hush"})
	for name, h := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"denied": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "gopher://"+r.Header.Get("Authorization")[7:]+"/?"+r.URL.RawQuery)
			w.WriteHeader(302)
		},
		"malformed": func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, r.Header.Get("Authorization")+" "+r.URL.RawQuery+"\r\n\r\n")
				c.Close()
			}
		},
		"header": func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+r.Header.Get("Authorization")+r.URL.RawQuery+"\r\n\r\n")
				c.Close()
			}
		},
		"closed": nil,
	} {
		url := "http://" + closedPort(t)
		if h != nil {
			url = serveHTTP(t, h)
		}
		task := made(t, "http_check", deps, func(o *HTTPOptions) {
			o.URL, o.Credential, o.Redirects = url+"/p?api_key=whisper", "door", true
		})
		got, err := poll(t, task)
		if got["up"] != 0 || err == nil {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		all := fmt.Sprintf("%v %+v", err, struct{ a, b, c string }{task.ID, task.Label, task.Same})
		if strings.Contains(all, "hush") || strings.Contains(all, "whisper") || !strings.Contains(all, "/p?***") {
			t.Errorf("%s: %s", name, all)
		}
	}
	one := made(t, "http_check", deps, func(o *HTTPOptions) { o.URL = "http://a.example/?key=1" })
	two := made(t, "http_check", deps, func(o *HTTPOptions) { o.URL = "http://a.example/?key=2" })
	if one.ID == two.ID || one.Label != two.Label {
		t.Errorf("%s and %s", one.ID, two.ID)
	}
	if other := made(t, "http_check", secrets(map[string]string{"door": "new"}), func(o *HTTPOptions) { o.URL, o.Credential = "https://a.example/", "door" }); other.Same ==
		made(t, "http_check", deps, func(o *HTTPOptions) { o.URL, o.Credential = "https://a.example/", "door" }).Same {
		t.Error("with another secret it is the same task")
	}
}

func TestHTTPOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *HTTPOptions)
		want   string
	}{
		{"right", func(*HTTPOptions) {}, ""},
		{"IPv6", func(o *HTTPOptions) { o.URL = "http://[2001:db8::1]:8080/x" }, ""},
		{"no scheme", func(o *HTTPOptions) { o.URL = "a.example" }, "url: this is no URL"},
		{"other scheme", func(o *HTTPOptions) { o.URL = "ftp://a.example" }, "url: this is no URL"},
		{"no host", func(o *HTTPOptions) { o.URL = "https:///x" }, "url: there is no host name"},
		{"port", func(o *HTTPOptions) { o.URL = "https://a.example:0/" }, "url: there is no port"},
		{"password", func(o *HTTPOptions) { o.URL = "https://u:p@a.example/" }, "url: there is a user or password in it"},
		{"clear", func(o *HTTPOptions) { o.URL, o.Credential = "http://192.0.2.1/", "door" }, "url: the credential would travel"},
		{"clear and meant", func(o *HTTPOptions) { o.URL, o.Credential, o.Verify = "http://192.0.2.1/", "door", false }, ""},
		{"clear and here", func(o *HTTPOptions) { o.URL, o.Credential = "http://127.0.0.1/", "door" }, ""},
		{"user alone", func(o *HTTPOptions) { o.User = "anna" }, "user: it has no password"},
		{"method", func(o *HTTPOptions) { o.Method = "DELETE" }, "method: found \"DELETE\""},
		{"body", func(o *HTTPOptions) { o.Body = "x" }, "body: only POST"},
		{"head", func(o *HTTPOptions) { o.Method, o.Contains = "HEAD", "x" }, "method: the answer to HEAD"},
		{"status", func(o *HTTPOptions) { o.Status = []int{99} }, "status: found 99"},
		{"body size", func(o *HTTPOptions) { o.MaxBody = 0 }, "max_body: "},
		{"days", func(o *HTTPOptions) { o.WarnDays = 4000 }, "warn_days: "},
	} {
		o := httpKind().Options().(*HTTPOptions)
		o.URL = "https://a.example/"
		c.change(o)
		errs := o.Check()
		checkErrors(t, c.name, errs, c.want)
		for _, err := range errs {
			if strings.Contains(err.Error(), "u:p") {
				t.Errorf("%v tells a secret", err)
			}
		}
	}
	deps := secrets(map[string]string{"door": "x"})
	deps.Credentials["snmp"] = probes.Credential{Name: "snmp", Community: probes.NewSecret("public")}
	for name, words := range map[string]string{"nobody": "credential: there is none", "snmp": "credential: snmp is one of SNMP"} {
		o := httpKind().Options().(*HTTPOptions)
		o.URL, o.Credential = "https://a.example/", name
		if _, err := httpKind().New(o, deps); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
