package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/agent/config"
)

// Group is the group of the service, which reads the configuration and its
// secrets.
const Group = "edgehold"

// Owner is whose the files are to be.
type Owner struct {
	UID, GID int // -1: those of this process
	Mode     fs.FileMode
	Folder   fs.FileMode // of folders that are made
}

// OwnerHere is root with the group of the service where there is one, else the
// user of this process alone.
func OwnerHere() Owner {
	if os.Geteuid() != 0 {
		return Owner{-1, -1, 0o600, 0o700}
	}
	if g, err := user.LookupGroup(Group); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			return Owner{0, gid, 0o640, 0o750}
		}
	}
	return Owner{0, 0, 0o600, 0o700}
}

// String is the owner as ls shows it.
func (o Owner) String() string {
	switch {
	case o.UID < 0:
		return fmt.Sprintf("%04o, of this user alone", o.Mode)
	case o.GID == 0:
		return fmt.Sprintf("%04o root:root", o.Mode)
	}
	return fmt.Sprintf("%04o root:%s", o.Mode, Group)
}

// file is one that is to be written.
type file struct {
	place string // from the folder of the configuration
	data  []byte
	owner Owner
}

// Plan is what is to be written.
type Plan struct {
	Path  string // of the configuration, absolute
	Owner Owner
	files []file // the configuration last
	doc   document
}

// NewPlan reads the files that were given and says what is to be written for
// the configuration at path. Nothing is written yet.
func NewPlan(a Answers, path string, owner Owner, when time.Time) (*Plan, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the folder of the configuration: %w", err)
	}
	p := &Plan{Path: path, Owner: owner}
	p.doc = document{Answers: a, folder: filepath.Dir(path), when: when, name: func(place string) string { return place }}
	p.secret(tokenFile, a.Uplink.Token.Reveal())
	p.secret(passwordFile, a.Uplink.Password.Reveal())
	for _, c := range a.Credentials {
		p.secret(secretPlace(c.Name, "community"), c.Community.Reveal())
		p.secret(secretPlace(c.Name, "auth"), c.AuthPass.Reveal())
		p.secret(secretPlace(c.Name, "priv"), c.PrivPass.Reveal())
	}
	u := a.Uplink
	for _, x := range [][2]string{{u.CAFile, caFile}, {u.CertFile, certFile}, {u.KeyFile, keyFile}} {
		if err := p.copied(x[0], x[1]); err != nil {
			return nil, err
		}
	}
	if err := p.backup(); err != nil {
		return nil, err
	}
	p.files = append(p.files, file{filepath.Base(path), p.doc.yaml(), owner})
	return p, nil
}

func (p *Plan) secret(place, text string) {
	if text != "" {
		p.files = append(p.files, file{place, []byte(text + "\n"), p.Owner})
	}
}

// copied takes a file that was given.
func (p *Plan) copied(given, meant string) error {
	if given == "" {
		return nil
	}
	data, err := os.ReadFile(given)
	if err != nil {
		return fmt.Errorf("copy a file: %w", err)
	}
	at := place(p.doc.folder, given, meant)
	if !slices.ContainsFunc(p.files, func(f file) bool { return f.place == at }) { // one file may hold two things
		p.files = append(p.files, file{at, data, p.Owner})
	}
	return nil
}

// backup keeps a configuration that is there, with its owner and mode.
func (p *Plan) backup() error {
	info, err := os.Stat(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep the old configuration: %w", err)
	}
	data, err := os.ReadFile(p.Path)
	if err != nil {
		return fmt.Errorf("keep the old configuration: %w", err)
	}
	owner := Owner{UID: -1, GID: -1, Mode: info.Mode().Perm()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && p.Owner.UID >= 0 {
		owner.UID, owner.GID = int(sys.Uid), int(sys.Gid)
	}
	p.files = append(p.files, file{filepath.Base(p.Path) + ".bak", data, owner})
	return nil
}

// YAML is the configuration.
func (p *Plan) YAML() []byte { return p.files[len(p.files)-1].data }

// Files are the paths that are to be written, the configuration last.
func (p *Plan) Files() (paths []string) {
	for _, f := range p.files {
		paths = append(paths, filepath.Join(p.doc.folder, f.place))
	}
	return paths
}

// Write writes every file beside its place, has check look at the configuration
// that names those, and then moves all to their places. What ends it before
// that, and an error of check, leaves everything as it was. A configuration that
// is refused is an error of check with the names that the files would have had.
func (p *Plan) Write(ctx context.Context, check func(path string) error) (err error) {
	if err := p.folders(); err != nil {
		return err
	}
	defer func() {
		for _, f := range p.files {
			_ = os.Remove(p.staged(f.place)) // what was moved is not there
		}
	}()
	trial := p.doc
	trial.name = stagedPlace
	tried := append(slices.Clone(p.files[:len(p.files)-1]), file{filepath.Base(p.Path) + ".try", trial.yaml(), p.Owner})
	defer func() { _ = os.Remove(p.staged(tried[len(tried)-1].place)) }()
	for _, f := range append(tried, p.files[len(p.files)-1]) {
		if err := p.stage(f); err != nil {
			return err
		}
	}
	if err := check(p.staged(tried[len(tried)-1].place)); err != nil {
		return p.renamed(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.commit()
}

// folders makes those that are missing, and lets the service into the one of
// the secrets.
func (p *Plan) folders() error {
	if err := makeFolder(p.doc.folder, p.Owner); err != nil {
		return err
	}
	for _, f := range p.files {
		folder := filepath.Dir(filepath.Join(p.doc.folder, f.place))
		if folder == p.doc.folder {
			continue
		}
		if err := makeFolder(folder, p.Owner); err != nil {
			return err
		}
	}
	secrets := filepath.Join(p.doc.folder, secretsFolder)
	if err := giveFolder(secrets, p.Owner); err != nil {
		return fmt.Errorf("set the owner of the folder of the secrets: %w", err)
	}
	return nil
}

// giveFolder gives a folder that is there to its owner. What a link leads to keeps
// its own: root may be at work in a folder of another user.
func giveFolder(path string, o Owner) error {
	folder, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) {
		return nil // makeFolder has refused what is no folder
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return giveOpen(folder, o, o.Folder)
}

func makeFolder(path string, o Owner) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder; remove it, or name another with --config", path)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if err := os.Mkdir(path, o.Folder); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if err := giveFolder(path, o); err != nil {
		return fmt.Errorf("set the owner of the folder: %w", err)
	}
	return nil
}

// giveOpen gives an open file or folder to its owner, down to the disk. It does not
// go by the name: in a folder of another user a link could stand there now.
func giveOpen(file *os.File, o Owner, mode fs.FileMode) error {
	if o.UID >= 0 {
		if err := file.Chown(o.UID, o.GID); err != nil {
			return err
		}
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

const stagedEnd = ".new"

// stagedPlace is where a file lies before it is moved to its place.
func stagedPlace(place string) string {
	return filepath.Join(filepath.Dir(place), "."+filepath.Base(place)+stagedEnd)
}

func (p *Plan) staged(place string) string { return filepath.Join(p.doc.folder, stagedPlace(place)) }

// stage writes a file beside its place, down to the disk. It is private before
// it has any content; what an earlier try has left is taken away.
func (p *Plan) stage(f file) error {
	path := p.staged(f.place)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", f.place, err)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.place, err)
	}
	_, err = out.Write(f.data)
	if err == nil {
		err = giveOpen(out, f.owner, f.owner.Mode)
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.place, err)
	}
	return nil
}

// commit moves the files to their places, the configuration last.
func (p *Plan) commit() error {
	for _, f := range p.files {
		if err := os.Rename(p.staged(f.place), filepath.Join(p.doc.folder, f.place)); err != nil {
			return fmt.Errorf("move a file to its place: %w", err)
		}
	}
	for _, folder := range []string{filepath.Join(p.doc.folder, secretsFolder), p.doc.folder} {
		if err := syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write the folder to the disk: %w", err)
		}
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// renamed gives the errors of a configuration the names of the files that it
// would have had.
func (p *Plan) renamed(err error) error {
	var list config.Errors
	if !errors.As(err, &list) {
		return err
	}
	pairs := []string{p.staged(filepath.Base(p.Path) + ".try"), p.Path}
	for _, f := range p.files {
		pairs = append(pairs, stagedPlace(f.place), f.place)
	}
	named := strings.NewReplacer(pairs...)
	out := slices.Clone(list)
	for i := range out {
		out[i].File, out[i].Found, out[i].Mend = named.Replace(out[i].File), named.Replace(out[i].Found), named.Replace(out[i].Mend)
	}
	return out
}

// Configured tells the site of a configuration that somebody has written, or
// that there is one with errors. The one of the package, without site and
// uplink, is none.
func Configured(path string) (site string, written bool) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", true
	}
	if !slices.ContainsFunc(strings.Split(string(data), "\n"), holdsKey) {
		return "", false
	}
	cfg, _, err := config.Examine(path, nil)
	if cfg == nil {
		return "", err != nil
	}
	named := cfg.Site != "" || cfg.Uplink.URL != "" || len(cfg.Uplink.MQTT.Brokers) > 0
	return cfg.Site, named
}

// holdsKey tells a line that is no comment.
func holdsKey(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && !strings.HasPrefix(line, "#")
}
