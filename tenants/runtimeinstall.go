package tenants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/sandbox"
)

// runtimePackage is the package in the npm registry that has Node for this machine, as the package node depends on
// it: with the program in bin and its headers in include.
func runtimePackage() string {
	arch := map[string]string{"amd64": "x64", "386": "x86", "ppc64le": "ppc64le"}[runtime.GOARCH]
	return "node-" + runtime.GOOS + "-" + cmp.Or(arch, runtime.GOARCH)
}

// offeredNodes lists the versions of Node that can be installed. They are asked for again after ResolveAgain.
func (r *Registry) offeredNodes(ctx context.Context, log io.Writer) ([]*semver.Version, error) {
	r.runtimes.mu.Lock()
	offered, at := r.runtimes.offered, r.runtimes.lookedUp
	r.runtimes.mu.Unlock()
	if len(offered) > 0 && time.Since(at) < r.cfg.ResolveAgain {
		return offered, nil
	}
	out := &tailBuffer{limit: 1 << 20} // some 50 KB
	err := r.runtimeNpm(ctx, log, out, "view", runtimePackage(), "versions", "--json")
	if err != nil {
		return nil, aboutRuntime(err, "The hub could not look up which versions of Node there are")
	}
	var names []string
	if json.Unmarshal(out.b, &names) != nil {
		names = []string{""}
		if err := json.Unmarshal(out.b, &names[0]); err != nil { // npm says so of a single one
			return nil, fault.Because(err, fault.InstallFailed, "The hub could not look up which versions of Node there are: the registry's answer has another shape than npm's.")
		}
	}
	offered = nil
	for _, name := range names {
		if v, err := semver.StrictNewVersion(name); err == nil && v.Prerelease() == "" && v.Metadata() == "" && v.Major() >= minRuntime {
			offered = append(offered, v)
		}
	}
	r.runtimes.mu.Lock()
	r.runtimes.offered, r.runtimes.lookedUp = offered, time.Now()
	r.runtimes.mu.Unlock()
	return offered, nil
}

// aboutRuntime has an install's fault say that it is of a Node, and leaves other errors as they are.
func aboutRuntime(err error, what string) error {
	if !fault.Is(err, fault.InstallFailed) {
		return err
	}
	return fault.Because(err, fault.InstallFailed, "%s. %s", what, fault.From(err).Detail)
}

// installRuntime puts a runtime into its place; the caller has the turn to install.
func (r *Registry) installRuntime(ctx context.Context, n *nodeRuntime, log io.Writer) error {
	err := r.buildRuntime(ctx, n, log)
	return aboutRuntime(err, fmt.Sprintf("Node %s could not be installed", n.version))
}

func (r *Registry) buildRuntime(ctx context.Context, n *nodeRuntime, log io.Writer) error {
	return r.inProject(func(b project) error {
		name := runtimePackage()
		if err := r.projectNpm(ctx, b, log, nil, "install", "--ignore-scripts", "--no-save", "--no-package-lock", name+"@"+n.version.String()); err != nil {
			return err
		}
		got := filepath.Join(b.dir, modulesDir, name)
		if err := r.tryRuntime(ctx, got, n.version); err != nil {
			return err
		}
		if err := flush(b.dir, false); err != nil {
			return fmt.Errorf("sync a runtime's files: %w", err)
		}
		final := r.runtimeDir(n)
		if err := os.MkdirAll(r.cfg.Runtimes, 0o750); err != nil {
			return fmt.Errorf("make the folder of runtimes: %w", err)
		}
		if err := os.RemoveAll(final); err != nil {
			return fmt.Errorf("clear a runtime's folder: %w", err)
		}
		if err := os.Rename(got, final); err != nil {
			return fmt.Errorf("move a runtime into place: %w", err)
		}
		for _, p := range []string{r.cfg.Runtimes, filepath.Dir(r.cfg.Runtimes)} { // both may be new
			if err := syncPath(p); err != nil {
				return fmt.Errorf("sync the folder of runtimes: %w", err)
			}
		}
		return nil
	})
}

// tryRuntime runs a Node that was fetched, behind the walls, and sees that it is what it is said to be.
func (r *Registry) tryRuntime(ctx context.Context, dir string, want *semver.Version) error {
	if err := checkLeft(dir, int64(r.cfg.MaxTreeSize)); err != nil {
		return err
	}
	node := nodeIn(dir)
	info, err := os.Lstat(node)
	if err != nil || !info.Mode().IsRegular() {
		return fault.Because(err, fault.InstallFailed, "The package has no program bin/node.")
	}
	if err := os.Chmod(node, 0o755); err != nil { //nolint:gosec // a program
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd, err := r.cfg.Walls.Command(ctx, sandbox.Spec{Program: node, Prefix: sandbox.RuntimePrefix, Args: []string{"--version"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"})
	if err != nil {
		return fmt.Errorf("start a runtime: %w", err)
	}
	var said bytes.Buffer
	out := &boundedWriter{w: &said, left: 4 << 10, over: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	out.end()
	if got := strings.TrimSpace(said.String()); err != nil || got != "v"+want.String() {
		return fault.Because(err, fault.InstallFailed, "It does not run on the hub's machine: asked for its version it says %.200q.", got)
	}
	return nil
}

// project is a folder to build in, with a home and a cache for npm that go with it.
type project struct{ dir, home, cache string }

// inProject has f build in an empty project, which is removed after it.
func (r *Registry) inProject(f func(project) error) error {
	if err := os.MkdirAll(r.buildDir(), 0o750); err != nil {
		return fmt.Errorf("make the build folder: %w", err)
	}
	root, err := os.MkdirTemp(r.buildDir(), "node-")
	if err != nil {
		return fmt.Errorf("make a folder for a runtime: %w", err)
	}
	defer os.RemoveAll(root) //nolint:errcheck // swept at the next start
	b := project{filepath.Join(root, "project"), filepath.Join(root, "home"), filepath.Join(root, "cache")}
	for _, dir := range []string{b.dir, b.home, b.cache} {
		if err := os.Mkdir(dir, 0o750); err != nil {
			return fmt.Errorf("make a folder for a runtime: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(b.dir, packageFile), []byte(`{"private":true}`), 0o600); err != nil { // else npm looks for one above
		return fmt.Errorf("write %s: %w", packageFile, err)
	}
	return f(b)
}

// runtimeNpm runs npm in a project of its own.
func (r *Registry) runtimeNpm(ctx context.Context, log, stdout io.Writer, args ...string) error {
	return r.inProject(func(b project) error { return r.projectNpm(ctx, b, log, stdout, args...) })
}

// projectNpm runs npm with the operator's settings alone: what it fetches is for all tenants.
func (r *Registry) projectNpm(ctx context.Context, b project, log, stdout io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.InstallTimeout,
		fault.New(fault.InstallFailed, "It did not end within %s.", r.cfg.InstallTimeout))
	defer cancel()
	return r.npm(ctx, npmRun{packages: &PackageSettings{}, dir: b.dir, home: b.home, cache: b.cache, trusted: true, log: log, stdout: stdout, args: args})
}
