package demoapp

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
)

// files are those that the tutorial begins with: the package, its monitoring
// configuration and the agent's.
//
//go:embed tutorial
var files embed.FS

// Write makes a new folder with the files of the tutorial.
func Write(folder string) error {
	tutorial, err := fs.Sub(files, "tutorial")
	if err != nil {
		return fmt.Errorf("write the files of the tutorial: %w", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("write the files of the tutorial: %w; name a folder that is not there yet", err)
	}
	if err := os.CopyFS(folder, tutorial); err != nil {
		return fmt.Errorf("write the files of the tutorial: %w", err)
	}
	return nil
}
