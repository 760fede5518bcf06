package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/edgehold/edgehold/sign"
)

// packageOf is extension.zip of a name and version; content tells builds apart.
func packageOf(t testing.TB, name, version, content string) []byte {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("name: %s\nversion: %s\n# %s\n", name, version, content)
	if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signed is a candidate as a verified bundle gives it.
func signed(inner []byte, name, version, signer string) Candidate {
	return Candidate{
		Bundle: sign.WriteBundle(inner, []byte("signature of "+signer)), Name: name, Version: version,
		Verdict: &sign.Verdict{
			Digest: hashOf(inner), Chain: []sign.Certificate{{Fingerprint: signer}}, Categories: []sign.Category{{Name: "plant"}},
		},
	}
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.By = "test"
	return s
}

func install(t testing.TB, s *Store, c Candidate) Entry {
	t.Helper()
	e, err := s.Install(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func list(t testing.TB, s *Store) string {
	t.Helper()
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range entries {
		word := e.Name + "@" + e.Version
		if e.Active {
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// kinds are the kinds of all records; a fault is "!".
func kinds(s *Store) string {
	var words []string
	for r, err := range s.History() {
		if err != nil {
			r.Kind = "!"
		}
		words = append(words, r.Kind)
	}
	return strings.Join(words, " ")
}

func verify(t testing.TB, s *Store, want int) string {
	t.Helper()
	head, n, err := s.VerifyHistory()
	if err != nil || n != want {
		t.Fatalf("history of %d records, want %d: %v", n, want, err)
	}
	return head
}

func mustRefuse(t testing.TB, err error, rule sign.Rule) {
	t.Helper()
	var refusal *sign.Refusal
	if !errors.As(err, &refusal) || refusal.Rule != rule || refusal.Mend == "" {
		t.Errorf("got %v, want a refusal by the rule %s, with a mend", err, rule)
	}
}

const name = "custom:plant.switch"

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if got := list(t, s); got != "" {
		t.Errorf("a new store lists %s", got)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("reading made %v, %v", files, err)
	}
	one := packageOf(t, name, "1.0.0", "")
	first := install(t, s, signed(one, name, "1.0.0", "aa"))
	if want := (Entry{Name: name, Version: "1.0.0", Digest: hashOf(one), Signer: "aa", Categories: []string{"plant"}, Active: true, Installed: first.Installed}); !reflect.DeepEqual(first, want) {
		t.Errorf("entry %+v, want %+v", first, want)
	}
	install(t, s, signed(one, name, "1.0.0", "aa")) // once more is nothing new
	if got := kinds(s); got != "install" {
		t.Errorf("history: %s", got)
	}
	install(t, s, signed(packageOf(t, name, "1.10.0", ""), name, "1.10.0", "aa"))
	install(t, s, signed(packageOf(t, "other", "0.1.0", ""), "other", "0.1.0", "aa"))
	if got := list(t, s); got != name+"@1.0.0 "+name+"@1.10.0* other@0.1.0*" {
		t.Errorf("installed: %s", got)
	}

	_, err := s.Install(signed(packageOf(t, name, "1.9.0", ""), name, "1.9.0", "aa"))
	mustRefuse(t, err, RuleDowngrade)
	_, err = s.Install(signed(one, name, "1.0.0", "aa"))
	mustRefuse(t, err, RuleDowngrade)
	_, err = s.Install(signed(packageOf(t, name, "1.0.0", "changed"), name, "1.0.0", "aa"))
	mustRefuse(t, err, RuleSameVersion)
	_, err = s.Activate(name, "1.0.0", false)
	mustRefuse(t, err, RuleDowngrade)
	if _, err := s.Activate(name, "1.0.0", true); err != nil {
		t.Error(err)
	}
	if got := list(t, s); got != name+"@1.0.0* "+name+"@1.10.0 other@0.1.0*" {
		t.Errorf("after the downgrade: %s", got)
	}
	if _, err := s.Activate(name, "1.10.0", false); err != nil {
		t.Error(err)
	}
	e, path, err := s.Find(name, "")
	if err != nil || e.Version != "1.10.0" || !strings.HasPrefix(path, dir) || strings.ContainsAny(strings.TrimPrefix(path, dir), ":") {
		t.Errorf("found %+v at %s, %v", e, path, err)
	}
	if p, err := sign.Open(path, sign.DefaultLimits()); err != nil || p.Digest != e.Digest {
		t.Errorf("the bundle: %v", err)
	}
	odd := signed(packageOf(t, "odd", "1.0.0", ""), "odd", "1.0.0", strings.Repeat("f", 300))
	odd.Verdict.Categories = []sign.Category{{Name: strings.Repeat("c", 300)}, {Name: "\xff"}}
	install(t, s, odd)
	verify(t, s, 6)
	list(t, s)
	if said := s.Warnings(); len(said) > 0 {
		t.Errorf("warnings: %q", said)
	}
}

func TestRemove(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two := packageOf(t, name, "1.0.0", ""), packageOf(t, name, "2.0.0", "")
	install(t, s, signed(one, name, "1.0.0", "aa"))
	install(t, s, signed(two, name, "2.0.0", "aa"))
	_, path, err := s.Find(name, "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(name, "2.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files are left: %v", err)
	}
	for _, c := range []struct{ name, version, want string }{
		{name, "", "has no active version; installed are 1.0.0: activate one with `edgehold ext install " + name + "@1.0.0`"},
		{name, "2.0.0", "version 2.0.0 of extension " + name + " is not installed; installed are 1.0.0"},
		{"x", "", "extension x is not installed; installed are " + name},
	} {
		if _, _, err := s.Find(c.name, c.version); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.name, c.version, err)
		}
	}
	// What was removed stays known: neither other bytes nor a way back.
	_, err = s.Install(signed(packageOf(t, name, "2.0.0", "changed"), name, "2.0.0", "aa"))
	mustRefuse(t, err, RuleSameVersion)
	_, err = s.Install(signed(one, name, "1.0.0", "aa"))
	mustRefuse(t, err, RuleDowngrade)
	install(t, s, signed(two, name, "2.0.0", "aa"))
	if err := errors.Join(s.Remove(name, ""), s.Remove(name, "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(path))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	if err := s.Remove(name, ""); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "ext install BUNDLE") {
		t.Errorf("removed what is not there: %v", err)
	}
}

func TestSignedAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	inner := packageOf(t, name, "1.0.0", "")
	install(t, s, signed(inner, name, "1.0.0", "leaked"))
	if e := install(t, s, signed(inner, name, "1.0.0", "new")); e.Signer != "new" || !e.Active {
		t.Errorf("entry %+v", e)
	}
	_, path, _ := s.Find(name, "")
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), "signature of new") {
		t.Errorf("the old bundle is kept: %v", err)
	}
	_, err := s.Install(Candidate{Bundle: inner, Name: name, Version: "1.0.0"})
	mustRefuse(t, err, RuleUnsigned)
	// An unsigned package may get a signature.
	other := packageOf(t, "other", "1.0.0", "")
	install(t, s, Candidate{Bundle: other, Name: "other", Version: "1.0.0"})
	if e := install(t, s, signed(other, "other", "1.0.0", "new")); e.Signer != "new" {
		t.Errorf("entry %+v", e)
	}
	wrong := signed(inner, name, "1.0.0", "new")
	wrong.Verdict.Digest = hashOf(other)
	if _, err := s.Install(wrong); err == nil || !strings.Contains(err.Error(), "of another package") {
		t.Errorf("a verdict of another package: %v", err)
	}
	for _, c := range []Candidate{{Bundle: []byte("x"), Name: "x", Version: "1"}, {Bundle: inner, Version: "1"}, {Bundle: inner, Name: "x"}} {
		if _, err := s.Install(c); err == nil {
			t.Errorf("installed %q %q", c.Name, c.Version)
		}
	}
	verify(t, s, 4)
}

func admission(number string, inner []byte, signer string) Admission {
	return Admission{Name: name, Version: number, Digest: hashOf(inner), Signer: signer}
}

func TestAdmit(t *testing.T) {
	s := openStore(t, t.TempDir())
	one := packageOf(t, name, "1.0.0", "")
	for range 3 {
		if err := s.Admit(admission("1.0.0", one, "aa")); err != nil {
			t.Fatal(err)
		}
	}
	mustRefuse(t, s.Admit(admission("1.0.0", []byte("other"), "aa")), RuleSameVersion)
	_, err := s.Install(signed(packageOf(t, name, "1.0.0", "changed"), name, "1.0.0", "aa"))
	mustRefuse(t, err, RuleSameVersion)
	if got := list(t, s); got != "" {
		t.Errorf("admitted packages are listed as installed: %s", got)
	}
	install(t, s, signed(one, name, "1.0.0", "aa"))
	if err := s.Admit(admission("1.0.0", one, "aa")); err != nil {
		t.Error(err)
	}
	if got := kinds(s); got != "admit install" {
		t.Errorf("history: %s", got)
	}
}

// A lower version than the highest that was ever here is admitted only where
// somebody has installed it with leave.
func TestAdmitLowerVersions(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two, three := packageOf(t, name, "1.0.0", ""), packageOf(t, name, "2.0.0", ""), packageOf(t, name, "3.0.0", "")
	if err := errors.Join(s.Admit(admission("1.0.0", one, "aa")), s.Admit(admission("2.0.0", two, "aa"))); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, s.Admit(admission("1.0.0", one, "aa")), RuleDowngrade)
	mustRefuse(t, s.Admissible(admission("1.0.0", one, "aa")), RuleDowngrade)
	lower := signed(one, name, "1.0.0", "aa")
	_, err := s.Install(lower)
	mustRefuse(t, err, RuleDowngrade)
	lower.AllowDowngrade = true
	install(t, s, lower)
	if err := s.Admit(admission("1.0.0", one, "aa")); err != nil {
		t.Errorf("after an installation with leave: %v", err)
	}
	install(t, s, signed(three, name, "3.0.0", "aa"))
	if err := s.Remove(name, "3.0.0"); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, s.Admit(admission("2.0.0", two, "aa")), RuleDowngrade) // also after it was removed
}

// Packages without a signature are remembered too, and never take the place of
// one that had a signature.
func TestAdmitUnsigned(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := packageOf(t, name, "1.0.0", ""), packageOf(t, name, "2.0.0", "")
	if err := s.Admit(admission("1.0.0", one, "")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, s.Admit(admission("1.0.0", two, "")), RuleSameVersion)
	if err := s.Admissible(admission("2.0.0", two, "")); err != nil {
		t.Error(err)
	}
	if got := kinds(s); got != "admit" {
		t.Errorf("a look has left its mark: %s", got)
	}
	for range 2 {
		if err := s.Admit(admission("1.0.0", one, "aa")); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, dir)
	mustRefuse(t, s.Admit(admission("1.0.0", one, "")), RuleUnsigned)
	mustRefuse(t, s.Admit(admission("2.0.0", two, "")), RuleUnsigned)
	if got := kinds(s); got != "admit admit" {
		t.Errorf("history: %s", got)
	}
	verify(t, s, 2)
}

// Several that write at once lose nothing.
func TestWritersAtOnce(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		inner := packageOf(t, fmt.Sprintf("custom:w%d", w), "1.0.0", "")
		wg.Go(func() {
			s := openStore(t, dir)
			for i := range each {
				if err := s.Append(Record{Kind: "configuration", Detail: fmt.Sprint(w, i)}); err != nil {
					t.Error(err)
				}
			}
			if _, err := s.Install(signed(inner, fmt.Sprintf("custom:w%d", w), "1.0.0", "aa")); err != nil {
				t.Error(err)
			}
			if _, err := s.List(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openStore(t, dir)
	verify(t, s, writers*(each+1))
	if entries, err := s.List(); err != nil || len(entries) != writers {
		t.Errorf("%d packages, %v", len(entries), err)
	}
}

func TestAppendRefuses(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, kind := range []string{"", KindInstall, KindActivate, KindRemove, KindAdmit, kindMended, kindRebuilt, kindDamaged} {
		if err := s.Append(Record{Kind: kind}); err == nil {
			t.Errorf("appended a record of kind %q", kind)
		}
	}
	if _, err := Open(os.Args[0]); err == nil {
		t.Error("opened a file")
	}
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		name: "custom%3aplant.switch", "com.dynatrace.extension.x-1_2": "com.dynatrace.extension.x-1_2",
		"..": "%2e.", ".": "%2e", "a/b": "a%2fb", "A": "%41", "%41": "%2541", "ü": "%c3%bc", "1.0.0": "1.0.0",
	} {
		got, err := escape(text)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", strings.Repeat("a", 201), strings.Repeat(":", 100)} {
		if got, err := escape(text); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// FuzzEscape: what comes out is one safe file name, and goes back to what it was.
func FuzzEscape(f *testing.F) {
	f.Add("custom:x", "a%3ab")
	f.Add("../..", "%zz")
	f.Fuzz(func(t *testing.T, text, file string) {
		if got, err := escape(text); err == nil {
			if got != filepath.Base(got) || got[0] == '.' || len(got) > 255 || strings.ToLower(got) != got {
				t.Errorf("%q became the file name %q", text, got)
			}
			if back, ok := unescape(got); !ok || back != text {
				t.Errorf("%q became %q and then %q", text, got, back)
			}
		}
		if back, ok := unescape(file); ok {
			if again, err := escape(back); err != nil || again != file {
				t.Errorf("file %q is of %q, which makes %q, %v", file, back, again, err)
			}
		}
	})
}

// The index is valid JSON that another program can read.
func TestIndexIsJSON(t *testing.T) {
	s := openStore(t, t.TempDir())
	install(t, s, signed(packageOf(t, name, "1.0.0", ""), name, "1.0.0", "aa"))
	data, err := os.ReadFile(s.path(indexFile))
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Format, Number int
		Versions       []struct {
			Name    string
			Present bool
		}
	}
	if err := json.Unmarshal(data, &x); err != nil || x.Number != 1 || len(x.Versions) != 1 || x.Versions[0].Name != name || !x.Versions[0].Present {
		t.Errorf("%+v, %v", x, err)
	}
}

// What root makes is the agent's, who owns the state folder.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const agent = 65534
	dir := t.TempDir()
	if err := os.Chown(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir)
	install(t, s, signed(packageOf(t, name, "1.0.0", ""), name, "1.0.0", "aa"))
	if err := s.Append(Record{Kind: "x"}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files++
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != agent || owner.Gid != agent || info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s is of %d:%d, %v", path, owner.Uid, owner.Gid, info.Mode())
		}
		return nil
	})
	if err != nil || files != 9 {
		t.Errorf("%d files, %v", files, err)
	}
}

// One version has one spelling: others never get in, and are found as the same.
func TestVersionsHaveOneSpelling(t *testing.T) {
	s := openStore(t, t.TempDir())
	one := packageOf(t, name, "1.0.0", "")
	install(t, s, signed(one, name, "1.0.0", "aa"))
	for _, odd := range []string{"1.0", "1", "1.0.00", "01.0.0", "1.0.0.0", "1.0.0/.."} {
		_, err := s.Install(signed(packageOf(t, name, odd, "x"), name, odd, "aa"))
		mustRefuse(t, err, sign.RuleIdentity)
		mustRefuse(t, s.Admit(admission(odd, one, "")), sign.RuleIdentity)
	}
	_, err := s.Install(signed(packageOf(t, "custom:a/../b", "1.0.0", "x"), "custom:a/../b", "1.0.0", "aa"))
	mustRefuse(t, err, sign.RuleIdentity)
	if e, _, err := s.Find(name, "1.0"); err != nil || e.Version != "1.0.0" {
		t.Errorf("%+v, %v", e, err)
	}
}
