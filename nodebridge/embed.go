package nodebridge

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed doc.go
var script embed.FS

// writeScript writes the JavaScript half into dir and gives the path of its start.
func writeScript(dir string) (string, error) {
	names, err := fs.Glob(script, "js/*.js")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		b, err := script.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o444); err != nil {
			return "", fmt.Errorf("write the bridge's script: %w", err)
		}
	}
	return filepath.Join(dir, "main.js"), nil
}
