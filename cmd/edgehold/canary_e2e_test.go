package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// canaries are the secrets of one test, by the place they were put into. Each
// has a core of letters and digits that stands nowhere else.
type canaries struct {
	mu  sync.Mutex
	all map[string]string
}

// plant makes a secret for a place; before and after go around its core.
func (c *canaries) plant(place, before, after string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	secret := fmt.Sprintf("%scnry%03dXq7Zw9Kp%s", before, len(c.all), after)
	c.all[place] = secret
	return secret
}

// forms are the texts by which a secret would be known in an output.
func forms(secret string) map[string]string {
	at := strings.Index(secret, "cnry")
	core := secret[at : at+len("cnry000Xq7Zw9Kp")]
	found := map[string]string{
		"plain": core, "hex": hex.EncodeToString([]byte(core)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(core))),
		"URL-escaped": url.QueryEscape(secret), "path-escaped": url.PathEscape(secret), "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"bytes": strings.Trim(fmt.Sprint([]byte(core)), "[]"),
	}
	// The core may stand at any offset of what was encoded; the characters that
	// depend on its neighbours are left out.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + core))
		found[fmt.Sprintf("base64+%d", shift)] = strings.TrimRight(text[[]int{0, 2, 3}[shift]:], "=")[:16]
	}
	return found
}

// leaks lists which secrets stand in text, and in which form.
func (c *canaries) leaks(text []byte) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place, secret := range c.all {
		for form, shown := range forms(secret) {
			if bytes.Contains(text, []byte(shown)) {
				found = append(found, place+" ("+form+")")
			}
		}
	}
	slices.Sort(found)
	return found
}

// evidence is everything that came out of edgehold.
type evidence struct {
	canaries
	mu    sync.Mutex
	parts map[string][]byte
}

func newEvidence() *evidence {
	return &evidence{canaries: canaries{all: map[string]string{}}, parts: map[string][]byte{}}
}

func (e *evidence) add(name string, text []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parts[name] = append(append(e.parts[name], text...), '\n')
}

// run runs a command to its end and keeps all it says.
func (e *evidence) run(t *testing.T, args ...string) result {
	t.Helper()
	r := edgehold(t, args...)
	e.add("edgehold "+strings.Join(args, " "), []byte(r.all()))
	return r
}

// folder keeps every file below dir, as bytes.
func (e *evidence) folder(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		e.add("file "+path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// store keeps the points of a store, which lie compressed in its file.
func (e *evidence) store(t *testing.T, path string) (points int) {
	t.Helper()
	s, err := buffer.Open(buffer.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Read(t.Context(), buffer.Selection{}, func(p buffer.Page) error {
		for _, x := range p.Points {
			e.add("points of "+path, fmt.Appendf(nil, "%s %v", x.Series.Key(), x.Series.Dims()))
		}
		points += len(p.Points)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return points
}

// wantSilence fails for each secret that came out.
func (e *evidence) wantSilence(t *testing.T, secrets, outputs int) {
	t.Helper()
	size := 0
	for _, name := range slices.Sorted(maps.Keys(e.parts)) {
		size += len(e.parts[name])
		for _, leak := range e.leaks(e.parts[name]) {
			t.Errorf("%s shows the secret of %s:\n%s", name, leak, excerpt(e.parts[name]))
		}
	}
	t.Logf("%d secrets, %d outputs, %d bytes searched", len(e.all), len(e.parts), size)
	if len(e.all) < secrets || len(e.parts) < outputs {
		t.Errorf("only %d secrets and %d outputs, so the test proves little", len(e.all), len(e.parts))
	}
}

func excerpt(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	shown := slices.DeleteFunc(lines, func(l []byte) bool { return !bytes.Contains(l, []byte("cnry")) })
	return bytes.Join(shown[:min(3, len(shown))], []byte("\n"))
}

// The search must find a secret in whatever form it comes out.
func TestE2ECanaryBites(t *testing.T) {
	t.Parallel()
	e := newEvidence()
	secret := e.plant("here", "p+ä/", "=%")
	r := e.run(t, "version")
	if found := e.leaks([]byte(r.all())); len(found) > 0 {
		t.Fatalf("found %v in %q", found, r.all())
	}
	core := secret[strings.Index(secret, "cnry") : strings.Index(secret, "Kp")+2]
	for form, shown := range map[string]string{
		"plain": secret, "cut out": core, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte("x" + secret))),
		"base64": base64.StdEncoding.EncodeToString([]byte("u:" + secret)), "base64 1": base64.URLEncoding.EncodeToString([]byte("user:" + secret)),
		"base64 2": base64.RawStdEncoding.EncodeToString([]byte("user1:" + secret)), "base64 3": base64.StdEncoding.EncodeToString([]byte(secret)),
		"URL": url.QueryEscape(secret), "path": url.PathEscape(secret), "Go": fmt.Sprintf("%q", secret), "bytes": fmt.Sprint([]byte(secret)),
	} {
		text := strings.Replace(r.all(), "edgehold", "edgehold "+shown, 1)
		if found := e.leaks([]byte(text)); len(found) == 0 {
			t.Errorf("%s: not found in %q", form, text)
		}
	}
}

// echo is an environment that shows the token in everything it answers.
type echo struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	seen   map[string]int // status and token -> requests
	bodies func([]byte)
}

func newEcho(t *testing.T, bodies func([]byte)) *echo {
	e := &echo{status: http.StatusAccepted, seen: map[string]int{}, bodies: bodies}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Api-Token ")
	if r.Method == http.MethodHead { // somebody asks for the time, and has no token to show
		return
	}
	var text []byte
	if body, err := gzip.NewReader(r.Body); err == nil {
		text, _ = io.ReadAll(body)
	}
	e.bodies(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen[fmt.Sprint(e.status, " ", token)]++
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("WWW-Authenticate", "Api-Token "+token)
	w.Header().Set("Location", "https://sign-in.invalid/?token="+token)
	w.WriteHeader(e.status)
	lines := strings.Count(strings.TrimSuffix(string(text), "\n"), "\n") + 1
	switch e.status {
	case http.StatusAccepted:
		fmt.Fprintf(w, `{"linesOk": %d, "linesInvalid": 0, "error": null}`, lines)
	case http.StatusBadRequest:
		fmt.Fprintf(w, `{"linesOk": %d, "linesInvalid": 1, "error": {"code": 400, "message": "by %s", "invalidLines": [{"line": 1, "error": "the token %s may not"}]}}`, lines-1, token, token)
	default:
		fmt.Fprintf(w, `{"error": {"code": %d, "message": "Api-Token %s is not welcome"}}`, e.status, token)
	}
}

// answer sets the status of the answers from now on.
func (e *echo) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func (e *echo) requests(status int, token string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[fmt.Sprint(status, " ", token)]
}

// badConfigurations are ways to put a secret where none belongs.
func badConfigurations(e *evidence) map[string]string {
	const uplink = "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: token}\n"
	bad := map[string]string{}
	for name, text := range map[string]string{
		"token":                 "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token: S}\n",
		"api_token":             "site: e2e\napi_token: S\n" + uplink[len("site: e2e\n"):],
		"token as file":         "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: dt0c01.S}\n",
		"token as variable":     "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_env: dt0c01.S}\n",
		"token as credential":   "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_credential: dt0c01.S}\n",
		"token misspelt":        "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, tokn: dt0c01.S}\n",
		"token as list":         "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: [S]}\n",
		"token as map":          "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: {S: }}\n",
		"user of the URL":       "site: e2e\nuplink:\n  dynatrace: {url: \"https://u:S@x.invalid\", token_file: token}\n",
		"URL without scheme":    "site: e2e\nuplink:\n  dynatrace: {url: \"u:S@x.invalid\", token_file: token}\n",
		"query of the URL":      "site: e2e\nuplink:\n  dynatrace: {url: \"https://x.invalid/?api-token=S\", token_file: token}\n",
		"proxy":                 "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: token, proxy: \"http://u:S@127.0.0.1:1\"}\n",
		"proxy that is no URL":  "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: token, proxy: \"http://u:S%zz@[127.0.0.1\"}\n",
		"headers":               "site: e2e\nuplink:\n  dynatrace: {url: http://127.0.0.1:1, token_file: token, headers: {Authorization: \"Api-Token S\"}}\n",
		"community":             uplink + "credentials:\n  c: {community: S}\n",
		"comunity":              uplink + "credentials:\n  c: {comunity: S}\n",
		"community in version":  uplink + "credentials:\n  c: {community_file: community, version: S}\n",
		"community glued":       uplink + "credentials:\n  c: {community:S}\n",
		"community alone":       uplink + "credentials:\n  c: S\n",
		"list of communities":   uplink + "credentials: [S]\n",
		"one community":         uplink + "credentials: S\n",
		"community as file":     uplink + "credentials:\n  c: {community_file: S}\n",
		"community as variable": uplink + "credentials:\n  c: {community_env: \"S!\"}\n",
		"pass phrase":           uplink + "credentials:\n  c: {user: u, auth: SHA256, auth_password: S, priv: S, priv_file: [S]}\n",
		"probe's community":     uplink + "probes:\n  - {kind: snmp, devices: [127.0.0.1], community: S, interval: soon}\n",
		"probe's credentials":   uplink + "probes:\n  - {kind: snmp, devices: [127.0.0.1], credentials: S}\n",
		"extension's token":     uplink + "extensions:\n  - {package: p, configuration: c, token: S, interval: soon}\n",
		"password":              uplink + "password: S\npolling: {max_in_flight: many}\n",
		"secret in a map":       uplink + "secret: {value: S, more: [S]}\n",
		"twice":                 uplink + "credentials:\n  c: {community: S}\n  c: {community: S}\n",
		"alias":                 uplink + "credentials:\n  c: {community: *S}\n",
		"anchor":                uplink + "credentials:\n  c: {community: &S x}\n",
		"tag":                   uplink + "credentials:\n  c: {community: !S x}\n",
		"open quote":            uplink + "credentials:\n  c: {community: \"S}\n",
		"reserved sign":         uplink + "credentials:\n  c:\n    community: @S\n",
		"second colon":          uplink + "credentials:\n  c:\n    community: S: x\n",
		"tab":                   uplink + "credentials:\n\tc: {community: S}\n",
		"escape":                uplink + "credentials:\n  c: {community: \"S\\q\"}\n",
		"percent":               "%S\n" + uplink,
		"binary":                uplink + "credentials:\n  c: {community: !!binary S}\n",
		"number":                uplink + "credentials:\n  c: {community_file: !!int S}\n",
	} {
		bad[name] = strings.ReplaceAll(text, "S", e.plant("YAML: "+name, "", ""))
	}
	return bad
}

// badMonitoring are monitoring configurations that hold a secret and a fault.
func badMonitoring(e *evidence) map[string]string {
	const device = `{"enabled": true, "snmp": {"devices": [{"ip": "127.0.0.1", "port": 161, "authentication": %s}]}}`
	bad := map[string]string{"trailing text": fmt.Sprintf(device, `{"type": "SNMPv2c", "community": "S"}`) + "S"}
	for name, authentication := range map[string]string{
		"no comma":            `{"community": "S" "type": "SNMPv2c"}`,
		"open quote":          `{"type": "SNMPv2c", "community": "S}`,
		"bare":                `{"type": "SNMPv2c", "community": S}`,
		"escape":              `{"type": "SNMPv2c", "community": "S\q"}`,
		"list":                `{"type": "SNMPv2c", "community": ["S"]}`,
		"map":                 `{"type": "SNMPv2c", "community": {"S": 1}}`,
		"alone":               `"S"`,
		"misspelt":            `{"type": "SNMPv2c", "comunity": "S"}`,
		"type":                `{"type": "S", "community": "S"}`,
		"type of a number":    `{"type": 7, "community": "S"}`,
		"braces":              `{"type": "SNMPv2c", "community": "{{S"}`,
		"version 3":           `{"type": "SNMPv3", "userName": "u", "authPassword": "S", "privPassword": "S"}`,
		"pass phrase as list": `{"type": "SNMPv3", "userName": "u", "authPassword": ["S"], "privPassword": 7}`,
		"vault":               `{"type": "SNMPv2c", "community": "S", "useCredentialVault": "yes"}`,
	} {
		bad[name] = fmt.Sprintf(device, authentication)
	}
	for name, text := range bad {
		bad[name] = strings.NewReplacer("SNMPv", "SNMPv", "S", e.plant("JSON: "+name, "", "")).Replace(text)
	}
	return bad
}

func TestE2ESecretsStaySilent(t *testing.T) {
	t.Parallel()
	e := newEvidence()
	s := newSite(t)
	token := e.plant("token file", "dt0c01.", "")
	s.file("token", token)
	s.file("community", e.plant("community file", "", "+/ä"))
	s.file("other", e.plant("community of another device", "", ""))
	s.file("credentials/systemd", e.plant("systemd credential", "", ""))
	community, inJSON := e.all["community file"], e.plant("monitoring configuration", "", "")
	s.env = []string{
		"GOTRACEBACK=all", "CREDENTIALS_DIRECTORY=" + filepath.Join(s.dir, "credentials"),
		"E2E_COMMUNITY=" + e.plant("community variable", "", ""), "E2E_UNUSED_TOKEN=" + e.plant("another variable", "", ""),
	}

	good := newSwitch(t, "127.0.2.1", community, inJSON, e.all["community variable"], e.all["systemd credential"])
	silent, other := newSwitch(t, "127.0.2.2", community), newSwitch(t, "127.0.2.3", "public")
	silent.SetFaults(snmptest.Faults{Silent: true})
	echoing := newSwitch(t, "127.0.2.4", community)
	echoing.SetFaults(snmptest.Faults{WrongCommunity: true})
	noise := garbage(t, "127.0.2.5")
	env := newEcho(t, func(body []byte) { e.add("what was sent", body) })

	s.file("good/extension.yaml", goodPackage)
	s.file("py/extension.yaml", pythonPackage)
	s.file("good.json", monitoring(good.Addr(), inJSON))
	s.file("torn.json", strings.Replace(monitoring(good.Addr(), inJSON), `"community":`, `"community"`, 1))
	write := func(more string) {
		s.yaml(env.URL, "  other: {community_file: other, version: 1}\n  variable: {community_env: E2E_COMMUNITY}\n  systemd: {community_credential: systemd}\n",
			"extensions:\n", extension("py", "good.json"), extension("good", "good.json"), extension("good", "torn.json"),
			"probes:\n", polled("1s", good.Addr(), silent.Addr(), other.Addr(), echoing.Addr(), noise),
			strings.Replace(polled("1s", "127.0.2.1:9"), "[good]", "[other, variable, systemd]", 1), more)
	}
	write("")
	s.flags = []string{"--log-level", "debug", "--log-format", "json"}
	agent := s.start()
	s.await("every device to be polled", func(st control.Status) bool {
		return !slices.ContainsFunc(st.Devices, func(d control.Device) bool { return d.Polls == 0 })
	})
	for _, status := range []int{202, 401, 403, 404, 500, 302, 407, 429, 400, 202} {
		env.answer(status)
		before := env.requests(status, token)
		eventually(t, fmt.Sprintf("a request that is answered with %d", status), func() bool {
			s.agent.signal(syscall.SIGHUP) // tries again now
			return env.requests(status, token) > before
		})
		e.capture(t, s, false)
	}
	s.await("a dead letter", func(st control.Status) bool { return st.Account.DeadLetter > 0 })

	checkBad(t, e, s)
	write("polling: {max_in_flight: 5}\n")
	e.run(t, "reload", "--config", s.config)
	e.capture(t, s, true)
	pollAll(t, e, s, []string{good.Addr(), silent.Addr(), other.Addr(), noise})
	env.Close()
	s.await("the uplink to be refused", func(st control.Status) bool {
		s.agent.signal(syscall.SIGHUP) // tries again now
		return strings.Contains(st.Uplink.LastError, "connection refused")
	})
	e.capture(t, s, true)
	if good.Requests().Unknown != 0 || other.Requests().Unknown == 0 {
		t.Error("the communities were not used, so the test proves nothing")
	}
	if r := agent.end(syscall.SIGQUIT); r.code != 2 || !strings.Contains(r.err, "goroutine 1 ") {
		t.Errorf("SIGQUIT gave no dump: exit code %d\n%s", r.code, agent.tail())
	}
	e.add("log and dump of the agent", []byte(agent.said()))
	e.folder(t, filepath.Join(s.dir, "state"))
	e.store(t, filepath.Join(s.dir, "state", "edgehold.db"))
	e.wantSilence(t, 60, 40)
}

// capture keeps what status says, in all its forms.
func (e *evidence) capture(t *testing.T, s *site, reload bool) {
	t.Helper()
	e.run(t, "status", "--config", s.config)
	e.run(t, "status", "--config", s.config, "--json")
	requests := map[string]string{"/v1/status": http.MethodGet, "/nowhere": http.MethodGet}
	if reload {
		requests["/v1/reload"] = http.MethodPost
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}}
	for path, method := range requests {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://edgehold"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var answer bytes.Buffer
		_ = resp.Write(&answer)
		_ = resp.Body.Close()
		e.add("socket "+path, answer.Bytes())
	}
}

// checkBad runs check and reload over files that hold a secret and a fault.
func checkBad(t *testing.T, e *evidence, s *site) {
	t.Helper()
	for name, text := range badConfigurations(e) {
		s.file("edgehold.yaml", text)
		if r := e.run(t, "check", "--config", s.config); r.code != 78 {
			t.Errorf("%s: check ended with %d\n%s", name, r.code, r.all())
		}
		e.run(t, "check", "--config", s.config, "--json")
		e.run(t, "poll", "--config", s.config, "127.0.0.1")
		e.run(t, "run", "--config", s.config).mustSay(t, 78)
		e.run(t, "reload", "--config", s.config, "--socket", s.socket)
		e.run(t, "status", "--socket", s.socket)
	}
	i := 0
	for name, text := range badMonitoring(e) {
		i++
		path := s.file(fmt.Sprintf("bad-%d.json", i), text)
		if r := e.run(t, "poll", "--package", filepath.Join(s.dir, "good"), "--configuration", path); r.code == 0 {
			t.Errorf("%s: poll ended with 0\n%s", name, r.all())
		}
		s.yaml("http://127.0.0.1:1", "extensions:\n", extension("good", path))
		if r := e.run(t, "check", "--config", s.config); r.code != 78 {
			t.Errorf("%s: check ended with %d\n%s", name, r.code, r.all())
		}
		e.run(t, "reload", "--config", s.config, "--socket", s.socket)
		e.run(t, "status", "--socket", s.socket)
	}
	wrong := e.plant("file of two lines", "", "")
	e.run(t, "poll", "127.0.0.1", "--community-file", s.file("lines", wrong+"\n"+wrong))
	e.run(t, "poll", "127.0.0.1", "--community-file", s.file("control", wrong+"\x01"))
	e.run(t, "poll", "127.0.0.1", "--community-file", s.file("long", strings.Repeat(wrong, 20)))
	open := s.file("open", wrong)
	_ = os.Chmod(open, 0o644)
	e.run(t, "poll", "127.0.0.1", "--community-file", open)
}

// pollAll polls devices that answer and devices that do not, side by side.
func pollAll(t *testing.T, e *evidence, s *site, addrs []string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, addr := range addrs {
		for _, flags := range [][]string{nil, {"--json"}, {"--version", "v1"}} {
			wg.Go(func() {
				args := append([]string{"poll", addr, "--community-file", filepath.Join(s.dir, "community")}, flags...)
				e.run(t, args...)
			})
		}
	}
	for _, flags := range [][]string{nil, {"--json"}} {
		wg.Go(func() { e.run(t, append([]string{"poll", "--config", s.config}, flags...)...) })
		wg.Go(func() {
			args := []string{"poll", "--package", filepath.Join(s.dir, "good"), "--configuration", filepath.Join(s.dir, "good.json")}
			e.run(t, append(args, flags...)...)
		})
	}
	wg.Wait()
}

// The password of a proxy comes from the environment, the token too.
func TestE2EProxySecretsStaySilent(t *testing.T) {
	t.Parallel()
	e := newEvidence()
	s := newSite(t)
	password := e.plant("proxy password", "", "+ä=")
	token := e.plant("token variable", "dt0c01.", "")
	hold, err := net.Listen("tcp", "127.0.2.9:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := hold.Addr().String()
	_ = hold.Close() // refuses, to begin with
	address := url.URL{Scheme: "http", Host: addr, User: url.UserPassword("u", password)}
	s.env = []string{"GOTRACEBACK=all", "HTTPS_PROXY=" + address.String(), "E2E_TOKEN=" + token}
	device := newSwitch(t, "127.0.2.10", goodCommunity)
	s.yaml("https://e2e.invalid", "probes:\n", polled("1s", device.Addr()))
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.file("edgehold.yaml", strings.Replace(string(text), "token_file: token", "token_env: E2E_TOKEN", 1))
	check := exec.Command(program(t), "check", "--config", s.config)
	check.Env = append(os.Environ(), s.env...)
	r := finish(t, check)
	r.mustSay(t, 0, "token_file is safer")
	e.add("check", []byte(r.all()))

	s.flags = []string{"--log-level", "debug", "--log-format", "text"}
	agent := s.start()
	s.await("the proxy to refuse", func(st control.Status) bool { return strings.Contains(st.Uplink.LastError, "refused") })
	e.capture(t, s, true)
	for status, words := range map[int]string{
		http.StatusProxyAuthRequired: "Proxy Authentication Required", http.StatusBadGateway: "Bad Gateway", http.StatusOK: "does not look like a TLS handshake",
	} {
		p := newProxy(t, addr, status)
		s.await(fmt.Sprintf("the proxy to answer %d", status), func(st control.Status) bool {
			s.agent.signal(syscall.SIGHUP) // tries again now
			return strings.Contains(st.Uplink.LastError, words)
		})
		e.capture(t, s, true)
		if sent := p.stop(); sent != password {
			t.Errorf("the proxy got the password %q, so the test proves nothing", sent)
		}
	}
	s.await("points in the store", func(st control.Status) bool { return st.Account.Buffered > 0 })
	if r := agent.end(syscall.SIGABRT); r.code != 2 || !strings.Contains(r.err, "goroutine 1 ") {
		t.Errorf("SIGABRT gave no dump: exit code %d\n%s", r.code, agent.tail())
	}
	e.add("log and dump of the agent", []byte(agent.said()))
	e.folder(t, filepath.Join(s.dir, "state"))
	if n := e.store(t, filepath.Join(s.dir, "state", "edgehold.db")); n == 0 {
		t.Error("no points in the store, so the test proves little")
	}
	e.wantSilence(t, 2, 6)
}

// proxy answers all requests with one status and repeats the password in its
// answer; 200 is a tunnel to nobody.
type proxy struct {
	status int
	server http.Server
	served chan struct{}

	mu       sync.Mutex
	password string // that came last
}

func newProxy(t *testing.T, addr string, status int) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{status: status, served: make(chan struct{})}
	p.server.Handler = p
	go func() { defer close(p.served); _ = p.server.Serve(l) }()
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Proxy-Authorization")
	_, password, _ := (&http.Request{Header: http.Header{"Authorization": {authorization}}}).BasicAuth()
	p.mu.Lock()
	p.password = password
	p.mu.Unlock()
	w.Header().Set("Proxy-Authenticate", authorization)
	w.WriteHeader(p.status)
	fmt.Fprintln(w, "you are", authorization, password)
}

// stop ends the proxy and returns the password it was given.
func (p *proxy) stop() string {
	_ = p.server.Close()
	<-p.served
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.password
}
