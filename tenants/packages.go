package tenants

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/livefn/livefn/internal/crash"
)

// packages is what a version's dependencies came to.
type packages struct {
	key      string    // of what decided on them; "": nobody else can have the same
	resolved time.Time // when npm chose their versions
	linked   bool      // they are another version's, by links
	end      func()    // lets the next publish with the same key go on
}

// provide puts node_modules and a lock file into dir. If another version of the tenant wanted the same, they
// are linked from there, which takes milliseconds and no network. Each version has a tree of its own all the
// same, so no state of a package's modules is shared.
//
// Without a lock file among the published files, what npm chose is taken over only for Config.ResolveAgain;
// after that it chooses anew.
func (r *Registry) provide(ctx context.Context, t *Tenant, dir string, tr *tree, log io.Writer) (p packages, err error) {
	p.end = func() {}
	if p.key = r.packagesKey(t, tr); p.key != "" {
		if p.end, err = t.packages.take(ctx, p.key); err != nil {
			return p, err
		}
		for _, v := range r.havePackages(t, p.key, tr.locked()) {
			if takeOver(t, v, dir) {
				fmt.Fprintf(log, "The packages are those of version %d of %s.\n", v.Number, v.Function)
				p.resolved, p.linked = v.resolved, true
				return p, nil
			}
		}
	}
	p.resolved = time.Now().UTC()
	if err := r.install(ctx, t, dir, tr, log); err != nil {
		return p, err
	}
	crash.At(crash.InstallEnded)
	if err := shareFiles(filepath.Join(dir, modulesDir), r.filesDir(t.name)); err != nil {
		return p, fmt.Errorf("share the files of packages: %w", err)
	}
	crash.At(crash.InstallShared)
	return p, nil
}

// locked says whether the published files have a lock file.
func (tr *tree) locked() bool { return tr.files[lockFile] != nil || tr.files[shrinkwrap] != nil }

// undecided are the fields of a package.json that neither npm nor a lock file has to do with.
var undecided = []string{"livefn", "scripts", "main", "module", "browser", "types", "exports", "imports", "type", "files", "private",
	"description", "keywords", "author", "contributors", "repository", "bugs", "homepage"}

// installScripts are the scripts of a function's own that an install runs.
var installScripts = []string{"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}

// runsOwn says whether an install runs scripts of the function's own.
func runsOwn(scripts map[string]string, tr *tree) bool {
	_, gyp := tr.files["binding.gyp"] // npm builds it without being told
	return gyp || slices.ContainsFunc(installScripts, func(name string) bool { return scripts[name] != "" })
}

// plainRange is a range, a tag or an alias of a package in a registry; anything else is a place, and what is
// there may change.
var plainRange = regexp.MustCompile(`^(npm:(@[\w.-]+/)?[\w.-]+@)?[\w.*|<>=~^+ -]*$`)

// packagesKey gives a hash of all that decides what npm installs for a tree: equal keys, equal packages. ""
// if more than this decides, such as files of its own.
func (r *Registry) packagesKey(t *Tenant, tr *tree) string {
	var fields map[string]any
	var m struct {
		Scripts          map[string]string `json:"scripts"`
		DevDependencies  map[string]string `json:"devDependencies"`
		PeerDependencies map[string]string `json:"peerDependencies"`
		Workspaces       json.RawMessage   `json:"workspaces"`
		Overrides        json.RawMessage   `json:"overrides"`
		manifest
	}
	if json.Unmarshal(tr.files[packageFile], &fields) != nil || json.Unmarshal(tr.files[packageFile], &m) != nil || m.Workspaces != nil {
		return ""
	}
	for _, deps := range []map[string]string{m.Dependencies, m.OptionalDependencies, m.DevDependencies, m.PeerDependencies} {
		for _, wanted := range deps {
			if !plainRange.MatchString(wanted) {
				return ""
			}
		}
	}
	scripts := r.runsScripts(t)
	if scripts && runsOwn(m.Scripts, tr) {
		return ""
	}
	for _, name := range undecided {
		delete(fields, name)
	}
	node := ""
	if tr.node != nil {
		node = "of its own " + tr.node.version.String()
	} else if version, err := r.node(); err == nil { // else npm will say so
		node = version.String() // what is built for one may not run on the next
	}
	h := sha256.New()
	err := json.NewEncoder(h).Encode(struct {
		Package                    map[string]any
		Lock, Shrinkwrap, Npmrc    []byte
		Scripts                    bool
		Registries, Node, Platform string
	}{fields, tr.files[lockFile], tr.files[shrinkwrap], safeOptions(tr.files[npmrcFile]), scripts, string(t.Packages().npmrc(false)), r.cfg.Node + " " + node, runtime.GOOS + "/" + runtime.GOARCH})
	if err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// havePackages lists the tenant's versions with the same packages, the one resolved last first.
func (r *Registry) havePackages(t *Tenant, key string, locked bool) []*Version {
	var found []*Version
	for _, fn := range *t.functions.Load() {
		for _, v := range fn.versions {
			if v.State == Ready && v.packages == key && (locked || time.Since(v.resolved) < r.cfg.ResolveAgain) {
				found = append(found, v)
			}
		}
	}
	slices.SortFunc(found, func(a, b *Version) int {
		return cmp.Or(b.resolved.Compare(a.resolved), cmp.Compare(a.Function, b.Function), cmp.Compare(a.Number, b.Number))
	})
	return found[:min(len(found), 3)] // all are alike; more than one only for those that are being removed
}

// takeOver links the packages and the lock file of v into dir; false if they are not all there, and then
// nothing is in dir. A version's folder is removed only after nobody finds the version: if it is found after
// the links were made, the folder was whole meanwhile.
func takeOver(t *Tenant, v *Version, dir string) bool {
	modules := filepath.Join(dir, modulesDir)
	err := linkTree(filepath.Join(v.Dir, modulesDir), modules)
	locks := map[string][]byte{}
	for _, name := range []string{lockFile, shrinkwrap} {
		if err == nil {
			locks[name], err = readIfThere(v.Dir, name, int64(v.registry.cfg.MaxTreeSize))
		}
	}
	fn, gone := t.Function(v.Function)
	if err != nil || gone != nil || fn.Version(v.Number) == nil {
		_ = os.RemoveAll(modules) // npm makes it anew
		return false
	}
	for name, b := range locks {
		if b != nil && os.WriteFile(filepath.Join(dir, name), b, 0o640) != nil { //nolint:gosec // as the function's other files
			return false // the disk is full, as npm will say
		}
	}
	return true
}
