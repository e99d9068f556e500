// Package e2e tests livefn as its users meet it: the real program, as a process of its own that can be
// killed and started again, a real Node with packages from npm, a WebSocket client that is not ours,
// and a real browser. Nothing here reaches into the program.
//
// The packages come from a registry in this process (registry_test.go), packed from what npm ci
// installed for the root: the tests need no internet.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// root is the repository, program the livefn that was built from it.
var (
	root     string
	program  string
	registry *npmRegistry
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	bin, err := os.MkdirTemp("", "livefn-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	program = filepath.Join(bin, "livefn")
	// With the race detector: here the parts meet as they do in earnest.
	build := exec.Command("go", "build", "-race", "-o", program, ".")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("build livefn: %w", err)
	}
	if registry, err = newRegistry(filepath.Join(root, "node_modules")); err != nil {
		return 1, err
	}
	defer registry.close()
	return m.Run(), nil
}
