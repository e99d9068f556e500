package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // npm's shasum is SHA-1
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// npmRegistry is as much of an npm registry as npm install asks for: a document for each package, and
// tarballs.
type npmRegistry struct {
	server   *httptest.Server
	packages map[string]map[string]packed // by name and version
}

type packed struct {
	manifest map[string]any // package.json
	tarball  []byte
}

// newRegistry packs what the samples need from an installed node_modules, and makes up a pair of
// packages that cannot be installed together.
func newRegistry(nodeModules string) (*npmRegistry, error) {
	r := &npmRegistry{packages: map[string]map[string]packed{}}
	for _, folder := range []string{"csv-parse", "lodash", "lodash3"} {
		if err := r.addFolder(filepath.Join(nodeModules, folder)); err != nil {
			return nil, fmt.Errorf("pack %s (run npm ci first): %w", folder, err)
		}
	}
	for _, manifest := range []map[string]any{
		{"name": "plug", "version": "1.0.0", "peerDependencies": map[string]string{"socket": "^2.0.0"}},
		{"name": "socket", "version": "1.0.0"},
		{"name": "socket", "version": "2.0.0"},
	} {
		b, err := json.Marshal(manifest)
		if err != nil {
			return nil, err
		}
		if err := r.add(map[string][]byte{"package.json": b, "index.js": []byte("module.exports = 1\n")}); err != nil {
			return nil, err
		}
	}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	return r, nil
}

func (r *npmRegistry) close() { r.server.Close() }

func (r *npmRegistry) addFolder(dir string) error {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return err
	}
	return r.add(files)
}

func (r *npmRegistry) add(files map[string][]byte) error {
	var manifest map[string]any
	if err := json.Unmarshal(files["package.json"], &manifest); err != nil {
		return err
	}
	delete(manifest, "devDependencies")
	delete(manifest, "scripts")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		head := tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := w.WriteHeader(&head); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	name, version := manifest["name"].(string), manifest["version"].(string)
	if r.packages[name] == nil {
		r.packages[name] = map[string]packed{}
	}
	r.packages[name][version] = packed{manifest, b.Bytes()}
	return nil
}

func (r *npmRegistry) serve(w http.ResponseWriter, req *http.Request) {
	name, file, isTarball := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/-/")
	versions, known := r.packages[name]
	if !known {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"Not found"}`))
		return
	}
	if isTarball {
		version := strings.TrimSuffix(strings.TrimPrefix(file, name+"-"), ".tgz")
		_, _ = w.Write(versions[version].tarball)
		return
	}
	all := map[string]any{}
	latest := ""
	for version, p := range versions {
		latest = max(latest, version) // good enough for one digit
		manifest := map[string]any{}
		for k, v := range p.manifest {
			manifest[k] = v
		}
		sum1, sum512 := sha1.Sum(p.tarball), sha512.Sum512(p.tarball) //nolint:gosec // as above
		manifest["dist"] = map[string]string{
			"tarball":   r.server.URL + "/" + name + "/-/" + name + "-" + version + ".tgz",
			"shasum":    hex.EncodeToString(sum1[:]),
			"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum512[:]),
		}
		all[version] = manifest
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "dist-tags": map[string]string{"latest": latest}, "versions": all})
}
