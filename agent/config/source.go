package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// secretSource names where a secret is to be had. One of file, credential and
// env is set.
type secretSource struct {
	name       string // begins the keys: token_file, token_credential, token_env
	what       string // is read there; "": what name says
	file       string
	credential string // a file in $CREDENTIALS_DIRECTORY
	env        string
}

func (s secretSource) words() string { return cmp.Or(s.what, s.name) }

// key is the key that is set.
func (s secretSource) key() string {
	switch {
	case s.credential != "":
		return s.name + "_credential"
	case s.env != "":
		return s.name + "_env"
	}
	return s.name + "_file"
}

func (s secretSource) read() (probes.Secret, error) {
	switch {
	case s.file != "":
		return readExisting(s.file)
	case s.credential != "":
		folder := os.Getenv("CREDENTIALS_DIRECTORY")
		if folder == "" {
			return probes.Secret{}, errors.New("the agent was started without credentials; add LoadCredential=NAME:FILE to its systemd unit")
		}
		return readExisting(filepath.Join(folder, s.credential))
	case s.env != "":
		secret, err := secretOf(os.Getenv(s.env))
		if err != nil {
			return secret, fmt.Errorf("the environment variable it names %w", err)
		}
		return secret, nil
	}
	return probes.Secret{}, errors.New("missing; name the file that holds the " + s.words())
}

// readExisting does not name a file that is not there: the name may be the
// secret itself, written in the wrong place.
func readExisting(path string) (probes.Secret, error) {
	_, err := os.Lstat(path)
	if err == nil {
		return ReadSecretFile(path)
	}
	what := reason(err)
	if errors.Is(err, fs.ErrNotExist) {
		what = "no such file"
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err == nil && info.IsDir() && filepath.Dir(folder) != folder {
		what += " in " + folder
	}
	return probes.Secret{}, fmt.Errorf("%s; write the secret into a file, run `chmod 600` on it and name it here", what)
}

var (
	credentialName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	variableName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func under(at []string, key string) []string { return append(slices.Clone(at), key) }

// source checks that one of the three keys is given and can be a name.
func (c *checker) source(s secretSource, example string, at []string) {
	var given []string
	for _, g := range []struct {
		key, value, what string
		fits             bool
	}{
		{s.name + "_file", s.file, "a file", !tokenShape.MatchString(s.file)},
		{s.name + "_credential", s.credential, "a systemd credential", credentialName.MatchString(s.credential) && !tokenShape.MatchString(s.credential)},
		{s.name + "_env", s.env, "an environment variable", variableName.MatchString(s.env)},
	} {
		keys := under(at, g.key)
		if !c.given(keys...) {
			continue
		}
		given = append(given, g.key)
		switch {
		case g.value == "":
			c.fault(Error{Found: "is empty", Expected: "the name of " + g.what}, keys...)
		case !g.fits:
			c.fault(Error{Found: "not the name of " + g.what, Mend: "name where the " + s.words() + " is to be read, not the " + s.words() + " itself"}, keys...)
		}
	}
	switch {
	case len(given) == 0:
		c.need(example, under(at, s.name+"_file")...)
	case len(given) > 1:
		c.fault(Error{Found: strings.Join(given, " and ") + " are given", Expected: "one of them"}, under(at, given[1])...)
	case s.env != "":
		c.warn("an environment is easily shown to others (process listings, crash reports); "+s.name+"_file is safer", under(at, given[0])...)
	}
}
