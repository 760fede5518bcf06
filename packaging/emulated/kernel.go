package emulated

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// cacheVariable names the folder of the unpacked kernels.
const cacheVariable = "EDGEHOLD_EMULATED_CACHE"

// The kernels are of this release, whatever this machine is.
const (
	suite   = "bookworm"
	mirror  = "http://deb.debian.org/debian"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// repository is the root of the repository, from the module's folder.
const repository = "../.."

// kernel is an unpacked kernel package.
type kernel struct{ image, modules, dtbs string }

// cache is the folder of what is kept for the next time.
func cache() string {
	return cmp.Or(os.Getenv(cacheVariable), filepath.Join(repository, ".tools", "emulated"))
}

// kernelOf gives the kernel of an architecture; the first time it is downloaded.
func kernelOf(ctx context.Context, a arch) (kernel, error) {
	root := filepath.Join(cache(), a.debian)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		if err := fetchKernel(ctx, a, root); err != nil {
			return kernel{}, fmt.Errorf("fetch the kernel of %s: %w", a.debian, err)
		}
	}
	var k kernel
	for _, part := range []struct {
		at      *string
		pattern string
	}{
		{&k.image, "boot/vmlinuz-*"}, {&k.modules, "lib/modules/*"}, {&k.dtbs, "usr/lib/linux-image-*"},
	} {
		found, err := filepath.Glob(filepath.Join(root, part.pattern))
		if err != nil {
			return k, err
		}
		if len(found) != 1 {
			return k, fmt.Errorf("%s holds %d of %s, expected one: remove the folder, and it is fetched again", root, len(found), part.pattern)
		}
		*part.at = found[0]
	}
	return k, nil
}

// fetchKernel unpacks the newest kernel package into root. It uses an apt of
// its own, so that this machine's lists and architectures stay what they are.
func fetchKernel(ctx context.Context, a arch, root string) error {
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(root), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	apt, err := newApt(dir, a)
	if err != nil {
		return err
	}
	if _, err := apt.run(ctx, "apt-get", "-q", "update"); err != nil {
		return err
	}
	depends, err := apt.run(ctx, "apt-cache", "depends", a.kernel)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`Depends: (linux-image-\S+)`).FindSubmatch(depends)
	if found == nil {
		return fmt.Errorf("%s depends on no kernel: %s", a.kernel, depends)
	}
	if _, err := apt.run(ctx, "apt-get", "-q", "download", string(found[1])); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("%d packages were downloaded, expected one (%w)", len(debs), err)
	}
	if _, err := apt.run(ctx, "dpkg-deb", "-x", debs[0], "unpacked"); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, "unpacked"), root)
}

// apt is an apt with lists, cache and architecture of its own.
type apt struct{ dir string }

func newApt(dir string, a arch) (apt, error) {
	for _, folder := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return apt{}, err
		}
	}
	for name, text := range map[string]string{
		"status":       "",
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite),
		"apt.conf": fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "";
Acquire::Languages "none";
`, dir, a.debian),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return apt{}, err
		}
	}
	return apt{dir}, nil
}

func (a apt) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %q: %w: %s", name, args, err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
