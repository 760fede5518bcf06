package tenant

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Whatever a reader takes can stand in a path and in the name of a file, and
// means the same when it is written and read again.
func FuzzReadAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"extensions":[{"extensionName":"custom:a.b-c","version":"1.2.3"}],"nextPageKey":"AQAAABQBAAAABQ==","pageSize":1,"totalCount":1}`,
		`{"extensions":[],"nextPageKey":null}`,
		`{"items":[{"objectId":"x","scope":"ag_group-a","value":{"a":[1,2]}}],"nextPageKey":null}`,
		`{"extensionName":"com.dynatrace.extension.x","version":"10.0.0-rc.1","dataSources":["snmp"],"featureSets":[],"fileHash":"00","author":{"name":"x"}}`,
		`{"version":"1.2.3"}`, `{"error":{"code":400,"message":"m","constraintViolations":[{"path":"p","message":"m"},{}]}}`,
		`{"extensions":[{"extensionName":"..","version":"1"}]}`, `{"extensions":null}`, `[]`, `nul`, `{"items":[{"value":1}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, next, err := readExtensions(data); err == nil {
			for _, e := range all {
				checkSafe(t, e)
			}
			again, key, err := readExtensions(encode(t, map[string]any{"extensions": all, "nextPageKey": next}))
			same(t, all, again, err)
			same(t, next, key, err)
		}
		if all, next, err := readConfigurations(data); err == nil {
			for _, c := range all {
				var value map[string]any
				if err := json.Unmarshal(c.Value, &value); err != nil && !strings.Contains(err.Error(), "number") {
					t.Errorf("no object: %s", c.Value)
				}
			}
			again, key, err := readConfigurations(encode(t, map[string]any{"items": all, "nextPageKey": next}))
			if err != nil || len(again) != len(all) || key != next {
				t.Errorf("read again: %v, %q, %v", again, key, err)
			}
		}
		if m, err := readMetadata(data); err == nil {
			checkSafe(t, m.Extension)
			again, err := readMetadata(encode(t, m))
			same(t, m, again, err)
		}
		if v, err := readVersion(data); err == nil {
			again, err := readVersion(encode(t, map[string]string{"version": v}))
			same(t, v, again, err)
		}
		if e := readError(data); len(e.Violations) > maxViolations+1 {
			t.Errorf("%d violations", len(e.Violations))
		}
	})
}

func checkSafe(t *testing.T, e Extension) {
	t.Helper()
	name := e.FileName()
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") || len(name) > 255 {
		t.Errorf("%q is no name for a file", name)
	}
	for _, r := range e.Name + e.Version {
		if r <= ' ' || r > '~' || strings.ContainsRune(`/\%?#&"'`, r) {
			t.Errorf("%q in %+v", r, e)
		}
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func same(t *testing.T, want, got any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read again: %+v, %v; at first %+v", got, err, want)
	}
}
