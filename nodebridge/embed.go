package nodebridge

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed js/*.js js/package.json
var script embed.FS

// scriptStart is the file that Node is started with.
const scriptStart = "main.js"

// scriptDir is where writeScript puts the JavaScript half.
func scriptDir(dir string) string { return filepath.Join(dir, "js") }

// writeScript writes the JavaScript half into dir.
func writeScript(dir string) error {
	if err := os.CopyFS(dir, script); err != nil {
		return fmt.Errorf("write the bridge's script: %w", err)
	}
	return nil
}
