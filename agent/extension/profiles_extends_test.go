package extension

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// What two profiles extend does not undo what the first of them has changed.
func TestProfilesThatShareWhatTheyExtend(t *testing.T) {
	opened, err := openSite(t, map[string]string{
		"base.yaml":  siteBase,
		"first.yaml": "name: site.first\nversion: 1.0.0\nprofile: {extends: [site.base]}\nsnmp:\n  - group: g\n    subgroups:\n      - {subgroup: b, metrics: [{key: mended, value: \"oid:1.3.6.1.3.0\"}]}\n",
		"other.yaml": "name: site.other\nversion: 1.0.0\nprofile: {extends: [site.base]}\n",
		"both.yaml":  "name: site.both\nversion: 1.0.0\nprofile: {extends: [site.first, site.other]}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := opened.Named("site.both", plan.ProfileOptions{Interval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range p.Blocks {
		if b.Path == "g/b" && b.Metrics[0].Key != "mended" {
			t.Errorf("%s is %s again", b.Path, b.Metrics[0].Key)
		}
	}
}

// A deep lattice is read in no time: each profile once, not once for each way
// to it.
func TestProfilesInALattice(t *testing.T) {
	files := map[string]string{"base.yaml": siteBase}
	left, right := "site.base", "site.base"
	for i := range 40 {
		for _, side := range "lr" {
			files[fmt.Sprintf("%c%d.yaml", side, i)] = fmt.Sprintf("name: site.%c%d\nversion: 1.0.0\nprofile: {extends: [%s, %s]}\n", side, i, left, right)
		}
		left, right = fmt.Sprintf("site.l%d", i), fmt.Sprintf("site.r%d", i)
	}
	if _, err := openSite(t, files); err != nil {
		t.Error(err)
	}
}
