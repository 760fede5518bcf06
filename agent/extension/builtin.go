package extension

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/edgehold/edgehold/probes/plan"
)

//go:embed builtin/extension.yaml
var builtin embed.FS

// Builtin compiles the package for devices that have none of their own: the
// system group and the interfaces.
func Builtin() (*plan.Plan, error) {
	sub, err := fs.Sub(builtin, "builtin")
	if err != nil {
		return nil, fmt.Errorf("open the built-in package: %w", err)
	}
	m, _, err := parseManifest(sub, "built-in", true)
	if err != nil {
		return nil, fmt.Errorf("read the built-in package: %w", err)
	}
	p, _, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, CompileOptions{})
	if err != nil {
		return nil, fmt.Errorf("compile the built-in package: %w", err)
	}
	return p, nil
}
