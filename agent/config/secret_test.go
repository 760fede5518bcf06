package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadSecretFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		want, err     string
	}{
		{"plain", "s3cret", 0o600, "s3cret", ""},
		{"newline", "s3cret\r\n\n", 0o400, "s3cret", ""},
		{"group", "s3cret\n", 0o640, "s3cret", ""},
		{"bom", "\xef\xbb\xbfs3cret", 0o660, "s3cret", ""},
		{"others read", "s3cret", 0o644, "", "others read is readable by others (mode 0644); run: chmod o-rwx 'others read'"},
		{"write", "s3cret", 0o602, "", "write is readable by others (mode 0602); run: chmod o-rwx write"},
		{"o'x", "s3cret", 0o601, "", `o'x is readable by others (mode 0601); run: chmod o-rwx 'o'\''x'`},
		{"empty", " \n", 0o600, "", "read empty: is empty; write the secret there, on one line"},
		{"lines", "s3cret\nmore", 0o600, "", "read lines: holds more than one line; leave the secret alone there"},
		{"binary", "s3cret\x00", 0o600, "", "read binary: holds control characters or is not UTF-8; save it as plain text"},
		{"utf16", "\xff\xfes\x003", 0o600, "", "read utf16: holds control characters or is not UTF-8; save it as plain text"},
		{"large", strings.Repeat("s3cret", 4000), 0o600, "", "read large: is larger than 16384 bytes"},
	} {
		write(t, tt.name, tt.content)
		if err := os.Chmod(tt.name, tt.mode); err != nil {
			t.Fatal(err)
		}
		secret, err := ReadSecretFile(tt.name)
		if secret.Reveal() != tt.want || fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
			t.Errorf("%s: got %q and error %v, want %q and %q", tt.name, secret.Reveal(), err, tt.want, tt.err)
		}
	}
}

func TestReadSecretFileNeverWaits(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecretFile("pipe"); fmt.Sprint(err) != "read pipe: is not a regular file" {
		t.Errorf("pipe: %v", err)
	}
	if _, err := ReadSecretFile("none"); fmt.Sprint(err) != "none: no such file; write the secret alone into a file, run `chmod 600` on it and name it" {
		t.Errorf("missing: %v", err)
	}
}

func TestSecretFilesOfAConfiguration(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials: {a: {community_file: c}, b: {community_file: ok}, c: {community_file: empty}}\n",
		"c":             "hunter2", "ok": "fine", "empty": "",
	})
	if err := os.Chmod("c", 0o644); err != nil {
		t.Fatal(err)
	}
	here, _ := os.Getwd()
	want := strings.ReplaceAll(`edgehold.yaml:4:35: credentials.a.community_file: DIR/c is readable by others (mode 0644); run: chmod o-rwx DIR/c
edgehold.yaml:4:84: credentials.c.community_file: read DIR/empty: is empty; write the secret there, on one line`, "DIR", here)
	if got := errorsOf(t, "edgehold.yaml").Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestToken(t *testing.T) {
	t.Chdir(t.TempDir())
	here, _ := os.Getwd()
	write(t, "token", "dt0c01.OLD\n")
	d := Endpoint{TokenFile: filepath.Join(here, "token")}
	for _, want := range []string{"dt0c01.OLD", "dt0c01.NEW"} {
		if got, err := d.Token(); err != nil || got.Reveal() != want {
			t.Errorf("token %q, %v; want %q", got.Reveal(), err, want)
		}
		write(t, "token", "dt0c01.NEW\n")
	}
	if err := os.Chmod("token", 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, "blank", "two words")
	write(t, "umlaut", "tökén")
	t.Setenv("EH_EMPTY", "")
	t.Setenv("CREDENTIALS_DIRECTORY", here)
	for _, tt := range []struct {
		d    Endpoint
		want string
	}{
		{d, "token_file: DIR/token is readable by others (mode 0644); run: chmod o-rwx DIR/token"},
		{Endpoint{TokenFile: here + "/gone"}, "token_file: no such file in DIR; write the secret into a file, run `chmod 600` on it and name it here"},
		{Endpoint{TokenFile: here}, "token_file: DIR is a folder; name the file in it"},
		{Endpoint{TokenFile: here + "/token/x"}, "token_file: not a directory; write the secret into a file, run `chmod 600` on it and name it here"},
		{Endpoint{TokenFile: here + "/blank"}, "token_file: the token holds blanks or characters that no token has; copy it again"},
		{Endpoint{TokenFile: here + "/umlaut"}, "token_file: the token holds blanks or characters that no token has; copy it again"},
		{Endpoint{TokenEnv: "EH_EMPTY"}, "token_env: the environment variable it names is empty; write the secret there, on one line"},
		{Endpoint{TokenCredential: "gone"}, "token_credential: no such file in DIR; write the secret into a file, run `chmod 600` on it and name it here"},
		{Endpoint{}, "token_file: missing; name the file that holds the token"},
	} {
		token, err := tt.d.Token()
		if err == nil || strings.ReplaceAll(err.Error(), here, "DIR") != tt.want || !token.IsZero() {
			t.Errorf("got %v\nwant %s", err, tt.want)
		}
	}
}
