package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/edgehold/edgehold/agent/extension/mib"
)

const rackMIB = `RACK-MIB DEFINITIONS ::= BEGIN
IMPORTS MODULE-IDENTITY, OBJECT-TYPE, enterprises FROM SNMPv2-SMI RackState FROM SITE-TC;
rack OBJECT IDENTIFIER ::= { enterprises 99999 }
rackDoor OBJECT-TYPE
    SYNTAX RackState
    MAX-ACCESS read-only
    STATUS current
    DESCRIPTION "door"
    ::= { rack 1 }
END
`

const siteTC = `SITE-TC DEFINITIONS ::= BEGIN
IMPORTS TEXTUAL-CONVENTION FROM SNMPv2-TC;
RackState ::= TEXTUAL-CONVENTION
    STATUS current
    DESCRIPTION "state"
    SYNTAX INTEGER { open(1), shut(2) }
END
`

func TestMIBShelf(t *testing.T) {
	site, state := t.TempDir(), t.TempDir()
	write(t, filepath.Join(site, "site.mib"), siteTC)
	files := fstest.MapFS{"snmp/rack.mib": {Data: []byte(rackMIB)}, "extension.yaml": {}}
	open := func(writes bool) (*mib.Set, []string) {
		return NewMIBShelf(MIBShelfOptions{State: state, Writes: writes, Site: site}).Of(files, "digest")
	}
	kept := func() int {
		all, err := os.ReadDir(filepath.Join(state, mibsFolder))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(all)
	}
	for _, tt := range []struct {
		name   string
		before func()
		writes bool
		kept   int
	}{
		{"a look writes nothing", nil, false, 0},
		{"compiled", nil, true, 2},
		{"from the cache", func() { files["snmp/rack.mib"] = &fstest.MapFile{Data: []byte("damaged")} }, true, 2},
		{"a damaged cache", func() {
			files["snmp/rack.mib"] = &fstest.MapFile{Data: []byte(rackMIB)}
			all, _ := filepath.Glob(filepath.Join(state, mibsFolder, "*"))
			for _, path := range all {
				write(t, path, "EHM1 damaged")
			}
		}, true, 2},
		{"another file of the site", func() { write(t, filepath.Join(site, "b.mib"), strings.ReplaceAll(siteTC, "SITE-TC", "B-TC")) }, true, 4},
	} {
		if tt.before != nil {
			tt.before()
		}
		set, warnings := open(tt.writes)
		o, _, ok := set.Find("rackDoor")
		if !ok || o.OID != "1.3.6.1.4.1.99999.1" || o.Enum[2] != "shut" || len(warnings) > 0 {
			t.Errorf("%s: %+v, %v, %q", tt.name, o, ok, warnings)
		}
		if n := kept(); n != tt.kept {
			t.Errorf("%s: %d files are kept, want %d", tt.name, n, tt.kept)
		}
	}
	if set, warnings := NewMIBShelf(MIBShelfOptions{State: state, Site: filepath.Join(site, "none")}).Of(fstest.MapFS{}, "x"); set != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "mibs") {
		t.Errorf("without a folder: %v, %q", set, warnings)
	}
	shelf := NewMIBShelf(MIBShelfOptions{State: state, Writes: true})
	for i := range 2 * mostMIBs {
		shelf.Of(files, strings.Repeat("x", i+1))
	}
	if n := kept(); n > mostMIBs {
		t.Errorf("%d files are kept", n)
	}
}

// The objects of the site are marked, those of a package are not: it is told
// apart whose words a package's author knew.
func TestMIBShelfTellsTheSiteApart(t *testing.T) {
	site := t.TempDir()
	write(t, filepath.Join(site, "tc.mib"), siteTC)
	write(t, filepath.Join(site, "row.mib"), strings.NewReplacer("RACK-MIB", "ROW-MIB", "rack", "row", "99999", "99998").Replace(rackMIB))
	files := fstest.MapFS{"snmp/rack.mib": {Data: []byte(rackMIB)}}
	state := t.TempDir()
	for range 2 { // compiled, then from the cache
		set, warnings := NewMIBShelf(MIBShelfOptions{State: state, Writes: true, Site: site}).Of(files, "digest")
		own, _, found := set.At("1.3.6.1.4.1.99999.1.0")
		other, _, also := set.At("1.3.6.1.4.1.99998.1.0")
		if !found || !also || own.OfSite || !other.OfSite || len(warnings) > 0 {
			t.Errorf("%+v, %+v, %q", own, other, warnings)
		}
	}
}

// Of a folder with too many files as many are read as may be, and it is said once.
func TestMIBShelfOfALargeFolder(t *testing.T) {
	site := t.TempDir()
	for i := range mostMIBsFiles + 3 {
		write(t, filepath.Join(site, fmt.Sprintf("%05d.mib", i)), fmt.Sprintf("M%d DEFINITIONS ::= BEGIN a%d OBJECT IDENTIFIER ::= { enterprises %d } END", i, i, i))
	}
	set, warnings := NewMIBShelf(MIBShelfOptions{Site: site}).Of(fstest.MapFS{}, "x")
	if len(warnings) != 1 || !strings.Contains(warnings[0], "too large") || set.Len() != mostMIBsFiles {
		t.Errorf("%d objects, %q", set.Len(), warnings)
	}
}
