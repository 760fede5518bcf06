package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersionJSON(t *testing.T) {
	s := run("version", "--json")
	var doc versionDocument
	dec := json.NewDecoder(bytes.NewReader([]byte(s.out)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil || s.code != exitOK {
		t.Fatalf("exit code %d, %v of %s", s.code, err, s.out)
	}
	if doc.Version != version || doc.Go != runtime.Version() || doc.OS != runtime.GOOS || doc.Arch != runtime.GOARCH || doc.Modules == nil {
		t.Errorf("got %+v", doc)
	}
	run("version").want(t, exitOK, "edgehold "+version+" ", "")
}

func TestAboutVersion(t *testing.T) {
	info := &debug.BuildInfo{
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-22T01:02:03Z"}},
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v1.2.3", Sum: "h1:x="},
			{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/c", Version: "v2.0.0"}},
		},
	}
	doc := aboutVersion(info, "", "")
	if doc.Commit != "abc" || doc.Date != "2026-11-22T01:02:03Z" {
		t.Errorf("of the toolchain: %q of %q", doc.Commit, doc.Date)
	}
	want := []moduleVersion{{"example.com/a", "v1.2.3", "h1:x="}, {"example.com/c", "v2.0.0", ""}}
	if !reflect.DeepEqual(doc.Modules, want) {
		t.Errorf("modules %v", doc.Modules)
	}
	if doc := aboutVersion(info, "def", "1795311412"); doc.Commit != "def" || doc.Date != "2026-11-22T01:36:52Z" {
		t.Errorf("of the linker: %q of %q", doc.Commit, doc.Date)
	}
	if doc := aboutVersion(&debug.BuildInfo{}, "", "soon"); doc.Commit != "" || doc.Date != "" || doc.Modules == nil {
		t.Errorf("of nobody: %+v", doc)
	}
}
