package tenants

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/livefn/livefn/internal/fault"
)

// install runs npm in dir. The lock file it writes stays with the version. Of the function's own .npmrc
// only what safeOptions names is in effect.
//
// Packages are fetched first, and none of their code runs: that run knows the tokens of registries. Where
// lifecycle scripts are allowed and there are some, the lock file is installed once more from the tenant's
// cache, now with scripts, and without any token and with a copy of the cache. A failed
// install keeps its log, and of its folder only what was published.
func (r *Registry) install(ctx context.Context, t *Tenant, dir string, tr *tree, log io.Writer) error {
	err := r.fetchAndRun(ctx, t, dir, tr, log)
	if err == nil {
		err = checkLeft(dir, int64(r.cfg.MaxTreeSize))
	}
	if err != nil {
		if again := rewrite(dir, tr); again != nil { // a fault of the hub: what is left there must not become a version
			return fmt.Errorf("clear a failed install: %w", again)
		}
	}
	return err
}

// rewrite leaves in dir what was published and nothing else.
func rewrite(dir string, tr *tree) error {
	left, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return tr.write(dir)
}

func (r *Registry) fetchAndRun(ctx context.Context, t *Tenant, dir string, tr *tree, log io.Writer) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.InstallTimeout,
		fault.New(fault.InstallFailed, "The install did not end within %s.", r.cfg.InstallTimeout))
	defer cancel()
	home, err := os.MkdirTemp(r.buildDir(), "home-")
	if err != nil {
		return fmt.Errorf("make a home for the install: %w", err)
	}
	defer os.RemoveAll(home) //nolint:errcheck // swept at the next start
	if npmrc := tr.files[npmrcFile]; npmrc != nil {
		rc := filepath.Join(dir, npmrcFile)
		if err := os.WriteFile(rc, safeOptions(npmrc), 0o640); err != nil { //nolint:gosec // as the function's other files
			return fmt.Errorf("write %s: %w", npmrcFile, err)
		}
		defer func() {
			if err == nil { // else all of it is written again
				err = restore(dir, npmrcFile, npmrc)
			}
		}()
	}
	fetched, leave, err := r.useCache(t)
	if err != nil {
		return err
	}
	defer leave()
	run := npmRun{packages: t.Packages(), node: tr.node, dir: dir, home: home, cache: fetched, trusted: true, log: log, args: []string{"install", "--ignore-scripts"}}
	if tr.locked() {
		run.args = append(run.args, "--prefer-offline") // what was fetched once is as good as anything newer
	}
	if err := r.npm(ctx, run); err != nil {
		return err
	}
	if !r.runsScripts(t) || !r.hasScripts(dir, tr) {
		return nil
	}
	if t.Limits().Network == NetworkNone { // npm can't run them without: it may ask the registry again
		return fault.New(fault.InstallFailed, "The install has scripts to run, which would have the network, and the tenant's functions have none (limit network). "+
			"Leave the scripts out: PUT /v1/packages with scripts none.")
	}
	cache, err := os.MkdirTemp(r.buildDir(), "cache-")
	if err != nil {
		return fmt.Errorf("make a cache for the install: %w", err)
	}
	defer os.RemoveAll(cache) //nolint:errcheck // swept at the next start
	if err := copyCache(run.cache, cache); err != nil {
		return fmt.Errorf("copy the cache for the install: %w", err)
	}
	leave()
	run.cache, run.trusted, run.args = cache, false, []string{"ci", "--prefer-offline", "--foreground-scripts"}
	return r.npm(ctx, run)
}

// restore puts a file back as it was published, whatever a script made of it: a link there is not followed.
func restore(dir, name string, b []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // read-only handle of a folder
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	return root.WriteFile(name, b, 0o640)
}

// copyCache makes a copy of a tenant's cache for scripts: they must not write to what later installs believe.
// Contents are links, since npm holds them to their hashes; the index has none.
func copyCache(from, to string) error {
	const contents, index = "_cacache/content-v2", "_cacache/index-v5" // npm's cacache
	if err := os.Mkdir(filepath.Join(to, filepath.Dir(contents)), 0o750); err != nil {
		return err
	}
	if !fileExists(filepath.Join(from, contents)) {
		return nil
	}
	if err := linkTree(filepath.Join(from, contents), filepath.Join(to, contents)); err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(to, index), os.DirFS(filepath.Join(from, index)))
}

// hasScripts says whether an install of what was fetched runs scripts.
func (r *Registry) hasScripts(dir string, tr *tree) bool {
	var m struct {
		Scripts map[string]string `json:"scripts"`
	}
	if json.Unmarshal(tr.files[packageFile], &m) == nil && runsOwn(m.Scripts, tr) {
		return true
	}
	for _, name := range []string{lockFile, shrinkwrap} {
		if b, err := readIfThere(dir, name, int64(r.cfg.MaxTreeSize)); err == nil && bytes.Contains(b, []byte(`"hasInstallScript": true`)) {
			return true
		}
	}
	return false
}

// safeOption are the lines of a function's .npmrc that are in effect on the hub: how versions are
// chosen. Others could name programs to run, or have the hub's variables sent away.
var safeOption = regexp.MustCompile(`(?m)^[ \t]*(legacy-peer-deps|strict-peer-deps|engine-strict|prefer-dedupe)[ \t]*=[ \t]*(true|false)[ \t]*\r?$`)

func safeOptions(npmrc []byte) []byte {
	var lines []byte
	for _, m := range safeOption.FindAllSubmatch(npmrc, -1) {
		lines = fmt.Appendf(lines, "%s=%s\n", m[1], m[2])
	}
	return lines
}
