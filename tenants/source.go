package tenants

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/Masterminds/semver/v3"

	"github.com/livefn/livefn/internal/fault"
)

// Names of files with a meaning.
const (
	packageFile = "package.json"
	lockFile    = "package-lock.json"
	shrinkwrap  = "npm-shrinkwrap.json" // a lock file that goes before the other
	npmrcFile   = ".npmrc"
	modulesDir  = "node_modules"
	entryFile   = "index.js" // of a Publication with Source
)

// Publication is what is published: either Source with Dependencies, or Files.
type Publication struct {
	Source       string            // one module
	Dependencies map[string]string // as in package.json
	Files        map[string][]byte // by path with slashes
	Settings     *Settings         // instead of those in package.json, all of them; nil: those
}

// tree is a publication made ready: its files, its settings and a hash of both.
type tree struct {
	files    map[string][]byte
	settings Settings
	hash     string
	install  bool                // it has dependencies
	engines  string              // its engines.node; "": it has none
	wanted   *semver.Constraints // that; nil: any Node
	node     *nodeRuntime        // that was chosen; nil: the hub's own
}

// tree checks a publication and gives what is to be built.
func (c Config) tree(p Publication) (*tree, error) {
	files, err := c.files(p)
	if err != nil {
		return nil, err
	}
	var m manifest
	if b, ok := files[packageFile]; ok {
		if m, err = readManifest(b); err != nil {
			return nil, err
		}
		files = maps.Clone(files) // they are the caller's
		files[packageFile] = withoutSecrets(b)
	}
	tr := &tree{files: files, install: len(m.Dependencies)+len(m.OptionalDependencies) > 0}
	switch {
	case p.Settings != nil:
		tr.settings = *p.Settings
		err = tr.settings.check("settings")
	case m.Livefn != nil:
		tr.settings, err = parseSettings(packageFile+": livefn", m.Livefn)
	}
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(storedSettings(tr.settings))
	if err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	h := sha256.New()
	add := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		add([]byte(name))
		add(files[name])
	}
	add(settings)
	tr.hash = hex.EncodeToString(h.Sum(nil))
	return tr, nil
}

// files gives a publication's files, after checking their names and sizes.
func (c Config) files(p Publication) (map[string][]byte, error) {
	switch {
	case p.Source != "" && p.Files != nil:
		return nil, fault.New(fault.InvalidRequest, "A publication has source or files, not both.")
	case p.Source != "":
		b, err := json.MarshalIndent(struct {
			Name         string            `json:"name"`
			Version      string            `json:"version"`
			Private      bool              `json:"private"`
			Main         string            `json:"main"`
			Dependencies map[string]string `json:"dependencies,omitempty"`
		}{"function", "0.0.0", true, entryFile, p.Dependencies}, "", "  ") // its own name may be none for npm, or a dependency's
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", packageFile, err)
		}
		p.Files = map[string][]byte{entryFile: []byte(p.Source), packageFile: b}
	case len(p.Files) == 0:
		return nil, fault.New(fault.InvalidRequest, "A publication has source or files; this one has neither.")
	case p.Dependencies != nil:
		return nil, fault.New(fault.InvalidRequest, "dependencies go with source; with files they are in %s.", packageFile)
	}
	if len(p.Files) > c.MaxFiles {
		return nil, fault.New(fault.PayloadTooLarge, "There are %d files; a version has at most %d.", len(p.Files), c.MaxFiles)
	}
	total := 0
	for name, b := range p.Files {
		if err := checkPath(name); err != nil {
			return nil, err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := p.Files[dir]; ok {
				return nil, fault.New(fault.InvalidRequest, "%q is a file and a folder.", dir)
			}
		}
		total += len(b)
		if len(b) > c.MaxFileSize {
			return nil, fault.New(fault.PayloadTooLarge, "%s has %d bytes; a file has at most %d.", name, len(b), c.MaxFileSize)
		}
	}
	if total > c.MaxTreeSize {
		return nil, fault.New(fault.PayloadTooLarge, "The files have %d bytes; a version has at most %d.", total, c.MaxTreeSize)
	}
	return p.Files, checkCollisions(p.Files)
}

// maxPath bounds a file's path, in bytes; maxPathPart a name in it.
const (
	maxPath     = 512
	maxPathPart = 255
)

// checkPath says what is wrong with a file's path.
func checkPath(name string) error {
	wrong := func(why string) error {
		return fault.New(fault.InvalidRequest, "%q is not a file's path: %s.", name, why)
	}
	switch {
	case name == "" || len(name) > maxPath:
		return wrong(fmt.Sprintf("it has 1 to %d bytes", maxPath))
	case strings.ContainsAny(name, "\\\x00") || !fs.ValidPath(name) || name == ".":
		return wrong("paths are relative, with slashes, without . or .. or empty parts")
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxPathPart {
			return wrong("a name in it is too long")
		}
		if strings.EqualFold(part, modulesDir) {
			return wrong(modulesDir + " is made by the install; leave it out")
		}
	}
	return nil
}

// write puts the files into dir.
func (tr *tree) write(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // read-only handle of a folder
	for name, b := range tr.files {
		if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
			return err
		}
		if err := root.WriteFile(name, b, 0o640); err != nil {
			return err
		}
	}
	return nil
}

// readTree gives a version's own files: all but what the install made.
// Together they have at most limit bytes: a script may have made more.
func readTree(dir string, limit int64) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == modulesDir:
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := readIfThere(dir, filepath.ToSlash(rel), limit)
		limit -= int64(len(b))
		files[filepath.ToSlash(rel)] = b
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of a version: %w", err)
	}
	return files, nil
}

// installed gives the versions of the direct dependencies, from their own package.json.
func installed(dir string, limit int64) (map[string]string, error) {
	b, err := readIfThere(dir, packageFile, limit)
	if err != nil || b == nil {
		return nil, err
	}
	m, err := readManifest(b)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, deps := range []map[string]string{m.Dependencies, m.OptionalDependencies} {
		for name := range deps {
			var p struct {
				Version string `json:"version"`
			}
			b, err := readIfThere(dir, path.Join(modulesDir, path.Clean("/" + name)[1:], packageFile), limit)
			if err == nil && b != nil && json.Unmarshal(b, &p) == nil {
				found[name] = cmp.Or(p.Version, "?")
			}
		}
	}
	return found, nil
}

// flush has the files of a finished build on disk when it returns. An install's thousands take seconds
// one by one and little together; a few are better not kept waiting for all that the machine writes. Files
// that are links to another version's (linked) are on disk already.
func flush(dir string, linked bool) error {
	if !linked && fileExists(filepath.Join(dir, modulesDir)) {
		syscall.Sync()
		return nil
	}
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSymlink != 0 || linked && d.Type().IsRegular() && hasLinks(p):
			return nil
		}
		return syncPath(p)
	})
}

// syncPath syncs a file, or a folder's list of names.
func syncPath(p string) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened to read
	return f.Sync()
}
