package ca

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFoldersApart: a developer's files never come to where a root key is.
func TestFoldersApart(t *testing.T) {
	a := newRoot(t, func(o *RootOptions) { o.Phrase = []byte(phrase) })
	plain := newRoot(t)
	parent := filepath.Dir(a.Dir())
	link := func(to string) string {
		path := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	holding := func(name, text string) string {
		return filepath.Dir(write(t, filepath.Join(t.TempDir(), "dev", name), text))
	}
	rootKey, plainKey := read(t, filepath.Join(a.Dir(), keyName)), read(t, filepath.Join(plain.Dir(), keyName))
	both := holding("old.pem", read(t, filepath.Join(plain.Dir(), certName)))
	write(t, filepath.Join(both, "old.key"), plainKey)
	linked := filepath.Dir(link(filepath.Join(a.Dir(), keyName)))
	hard := holding("notes.txt", "")
	if err := os.Link(filepath.Join(a.Dir(), keyName), filepath.Join(hard, "x")); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"the same":                     a.Dir(),
		"with dots":                    filepath.Join(a.Dir(), "x") + "/..",
		"inside":                       filepath.Join(a.Dir(), "dev"),
		"deep inside":                  filepath.Join(a.Dir(), "a/b/c"),
		"through a link":               link(a.Dir()),
		"inside through a link":        filepath.Join(link(a.Dir()), "dev"),
		"link to a link":               link(link(a.Dir())),
		"holds the authority":          parent,
		"holds it, through a link":     link(parent),
		"the root":                     "/",
		"copy of the encrypted key":    holding("backup.pem", rootKey),
		"fused copy":                   holding("all.pem", read(t, filepath.Join(a.Dir(), certName))+rootKey),
		"link to the key":              linked,
		"hard link to the key":         hard,
		"another authority's ca.key":   holding(keyName, plainKey),
		"another authority, both file": both,
		"inside another authority":     filepath.Join(plain.Dir(), "a/dev"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Issue(request(dir, "anna"))
			mustFail(t, err, "--out", "root key")
			resolved, _ := resolve(dir)
			if files := taken(filepath.Join(resolved, "anna")); len(files) > 0 {
				t.Errorf("wrote %q", files)
			}
		})
	}
	if got := filesIn(t, a.Dir()); len(got) != 3 {
		t.Errorf("the authority's folder holds %q", got)
	}
	_, err := plain.Issue(request(holding("mine.key", plainKey), "anna"))
	mustFail(t, err, "root key", "mine.key")

	_, err = a.Issue(request(link(filepath.Join(t.TempDir(), "nowhere")), "anna"))
	mustFail(t, err, "nowhere")

	dev := t.TempDir()
	issue(t, a, request(link(dev), "anna"))
	issue(t, a, request(filepath.Join(dev, "deeper"), "anna"))
	issue(t, a, request(a.Dir()+"-dev", "anna")) // begins like the authority's folder and is another
}

// TestNoOverwriting: a key that is there stays.
func TestNoOverwriting(t *testing.T) {
	a := newRoot(t)
	for _, ending := range []string{certEnding, keyEnding, fusedEnding} {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, "anna"+ending), "precious")
		_, err := a.Issue(request(dir, "anna"))
		mustFail(t, err, path, "exists already")
		if read(t, path) != "precious" || len(filesIn(t, dir)) != 1 {
			t.Errorf("%s was changed: %q", path, filesIn(t, dir))
		}
	}
	path := write(t, filepath.Join(t.TempDir(), "x"), "precious")
	mustFail(t, writeNew(path, []byte("other")), "exists already")
	if read(t, path) != "precious" || len(filesIn(t, filepath.Dir(path))) != 1 {
		t.Error("writeNew replaced it")
	}
}
