package drain

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// scrubbed shows an error without its secrets and still unwraps to it.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// scrub leaves the cause of a client's error, and takes secrets out of its
// text, should they ever get there.
func scrub(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the method and the URL
	}
	if text := hide(err.Error(), secrets); text != err.Error() {
		return &scrubbed{text, err}
	}
	return err
}

func hide(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return text
}

// secretsOf lists what a server or proxy could repeat of a request: the token,
// and the password for the proxy in the forms in which it travels.
func secretsOf(client *http.Client, req *http.Request, token probes.Secret) []string {
	var secrets []string
	if !token.IsZero() {
		secrets = append(secrets, token.Reveal())
	}
	way, ok := client.Transport.(*transport)
	if !ok || way.Proxy == nil {
		return secrets
	}
	proxy, err := way.Proxy(req)
	if err != nil || proxy == nil || proxy.User == nil {
		return secrets
	}
	password, _ := proxy.User.Password()
	if password == "" {
		return secrets
	}
	_, escaped, _ := strings.Cut(proxy.User.String(), ":")
	plain := proxy.User.Username() + ":" + password
	return append(secrets, base64.StdEncoding.EncodeToString([]byte(plain)), password, escaped)
}
