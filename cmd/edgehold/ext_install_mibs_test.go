package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The MIB files of a package are compiled when it is installed, not at the start.
func TestExtInstallCompilesMIBs(t *testing.T) {
	w := newWorkshop(t)
	w.file("build/1.0.0upanna/src/snmp/plant.mib", "PLANT-MIB DEFINITIONS ::= BEGIN\nIMPORTS enterprises FROM SNMPv2-SMI;\nplant OBJECT IDENTIFIER ::= { enterprises 99999 }\nEND\n")
	w.install(w.bundle("1.0.0", "up", "anna")).want(t, exitOK, "is installed", "")
	kept, err := filepath.Glob(w.in("state/mibs/*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("compiled files %q, %v", kept, err)
	}
	if info, err := os.Stat(kept[0]); err != nil || info.Mode().Perm() != 0o644 || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}
