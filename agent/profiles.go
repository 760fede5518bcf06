package agent

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes/plan"
)

// OpenProfiles reads the built-in SNMP profiles and, where it is not "", those
// of a site's folder.
func OpenProfiles(folder string) (plan.Profiles, error) {
	var site fs.FS
	if folder != "" {
		site = os.DirFS(folder)
		if _, err := os.Stat(folder); err != nil {
			return nil, fmt.Errorf("profiles: %w; make the folder or remove the key `profiles`", err)
		}
	}
	return extension.OpenProfiles(site, folder)
}
