package agent

import (
	"path/filepath"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
)

// tools lets the commands for the store reach it through the control socket
// while it is open here.
func (a *Agent) tools() []control.Tool {
	var tools []control.Tool
	for _, e := range export.Endpoints(a.store, filepath.Join(a.atStart.StateDir, StoreFile)) {
		tools = append(tools, control.Tool(e))
	}
	for _, e := range a.audits().Endpoints() {
		tools = append(tools, control.Tool(e))
	}
	return tools
}
