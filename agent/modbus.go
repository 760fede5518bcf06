package agent

import (
	"io/fs"
	"os"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes/plan"
)

// OpenModbusProfiles reads the built-in Modbus profiles and, where it is not "",
// those in the folder modbus of a site's folder.
func OpenModbusProfiles(folder string) (plan.ModbusProfiles, error) {
	var site fs.FS
	if folder != "" {
		site = os.DirFS(folder)
	}
	return extension.OpenModbusProfiles(site, folder)
}
