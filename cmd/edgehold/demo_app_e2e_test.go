package main_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// startDemoApp runs the demo application on a free port and returns its address.
func startDemoApp(t *testing.T, log string, args ...string) (*process, string) {
	t.Helper()
	args = append([]string{"demo-app"}, args...)
	app := launch(t, exec.Command(program(t), append(args, "--listen", "127.0.0.1:0")...), log)
	var found []string
	eventually(t, "the demo application to answer", func() bool {
		select {
		case <-app.done:
			t.Fatalf("it ended right after its start:\n%s", app.tail())
		default:
		}
		found = regexp.MustCompile(`^http://(127\.0\.0\.1:\d+) and http://\S+/topology answer`).FindStringSubmatch(app.said())
		return found != nil
	})
	return app, found[1]
}

func get(t *testing.T, url, user, password string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestE2EDemoApp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name           string
		args           []string
		user, password string
		want           []string // parts of the topology
	}{
		{"plain", nil, "", "", []string{`"name":"My Group 01","devices":[{"name":"My Device 01"`, `"counter":1,`, `"battery_level":99.9`}},
		{"older spelling", []string{"--spelling", "tutorial"}, "", "", []string{`"nodes":[{"name":"My Node 01"`, `"stats_counter":[`}},
		{"larger", []string{"--groups", "3", "--devices", "4", "--counter", "850", "--seed", "5"}, "", "", []string{`"My Group 03"`, `"My Device 04"`, `"counter":851,`, `"battery_level":14.9`}},
		{"one more", []string{"--appear", "1"}, "", "", []string{`"My Device 03"`}},
		{"basic", []string{"--basic"}, "ruxit", "ruxit", []string{`"counter":1,`}},
		{"own user", []string{"--auth", "anna:" + secret}, "anna", "open sesame", []string{`"counter":1,`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			app, addr := startDemoApp(t, filepath.Join(t.TempDir(), "log"), c.args...)
			if c.user != "" {
				if status, body := get(t, "http://"+addr+"/topology", "", ""); status != 401 || strings.Contains(body, "Group") {
					t.Errorf("without a user: %d %s", status, body)
				}
				if status, _ := get(t, "http://"+addr+"/topology", c.user, "wrong"); status != 401 {
					t.Errorf("with a wrong password: %d", status)
				}
			}
			status, body := get(t, "http://"+addr+"/topology", c.user, c.password)
			for _, part := range c.want {
				if status != 200 || !strings.Contains(body, part) {
					t.Errorf("%q is not in %d %s", part, status, body)
				}
			}
			app.end(syscall.SIGINT).mustSay(t, 0, `GET "/topology": 200 OK`)
			if strings.Contains(app.said(), "sesame") {
				t.Errorf("it tells the password: %s", app.said())
			}
		})
	}
}

func TestE2EDemoAppRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, taken := startDemoApp(t, filepath.Join(dir, "log"))
	cases := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--groups", "0"}, 2, "--groups is 0, expected 1 to 99"},
		{[]string{"--spelling", "x"}, 2, `--spelling is "x", expected 1.221 or tutorial`},
		{[]string{"--basic", "--auth", "a:b"}, 2, "basic"},
		{[]string{"--auth", "anna"}, 2, "expected USER:FILE"},
		{[]string{"--auth", "anna:" + file("open", "sesame", 0o644)}, 1, "readable by others"},
		{[]string{"--auth", "anna:" + file("empty", "", 0o600)}, 1, "is empty"},
		{[]string{"--auth", "anna:" + filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"--listen", taken}, 1, "listen on " + taken + ": bind: address already in use; --listen names another address"},
		{[]string{"--listen", "nowhere"}, 1, "--listen"},
		{[]string{"more"}, 2, "demo-app"},
	}
	for _, c := range cases {
		edgehold(t, append([]string{"demo-app"}, c.args...)...).mustSay(t, c.code, c.want)
	}
}
