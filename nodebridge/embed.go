package nodebridge

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed js/*.js js/package.json
var script embed.FS

// writeScript writes the JavaScript half into dir and gives the path of its start.
func writeScript(dir string) (string, error) {
	if err := os.CopyFS(dir, script); err != nil {
		return "", fmt.Errorf("write the bridge's script: %w", err)
	}
	return filepath.Join(dir, "js", "main.js"), nil
}
