package extension

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What stands in a package twice might be read as the one or the other, by the
// reviewer and by the machine.
func TestDoubleKeysAreRefused(t *testing.T) {
	const head = "name: custom:a\nversion: 1.0.0\n"
	for _, tt := range []struct{ manifest, want string }{
		{head + "name: custom:b\n", `p/extension.yaml:3:1: the key "name" is given twice, on line 1 and on line 3`},
		{head + "snmp:\n- group: g\n  x: {k: 1, k: 2}\n", `"k" is given twice, on line 5 and on line 5`},
		{head + "\"version\": 2.0.0\n", `"version" is given twice, on line 2 and on line 3`},
		{head + "a: &a {k: 1}\nb:\n  <<: *a\n  <<: *a\n", `"<<" is given twice, on line 5 and on line 6`},
		{head + "a: &a {k: 1}\nb:\n  <<: *a\n  k: 2\n", ""}, // what is merged in gives way
		{head + "a: {k: 1}\nb: {k: 1}\n", ""},
	} {
		files := fstest.MapFS{"extension.yaml": {Data: []byte(tt.manifest)}}
		_, _, err := Identity(files, "p")
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.manifest, err, tt.want)
		}
		if tt.want != "" && len(Lint(files, "p").Errors) == 0 {
			t.Errorf("%q: lint finds nothing", tt.manifest)
		}
	}
}
