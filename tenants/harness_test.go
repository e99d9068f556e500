package tenants

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var bg = context.Background()

// openRegistry gives a registry on a real store in dir; stop ends it, at the latest in Cleanup.
func openRegistry(t testing.TB, dir string, cfg Config) (r *Registry, stop func()) {
	t.Helper()
	st, err := store.Open(dir+"/store", store.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("store.Run: %v", err)
			}
			if err := st.Close(); err != nil {
				t.Errorf("store.Close: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	cfg.Dir = dir + "/functions"
	if r, err = Open(cfg, st); err != nil {
		t.Fatal(err)
	}
	return r, stop
}

// acme gives the tenant acme, which is made if need be.
func acme(t testing.TB, r *Registry) *Tenant {
	t.Helper()
	tn, err := r.Tenant("acme")
	if err != nil {
		if tn, _, err = r.CreateTenant(bg, "acme"); err != nil {
			t.Fatal(err)
		}
	}
	return tn
}

func wantFault(t testing.TB, err error, code fault.Code, words ...string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want a fault %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(fault.From(err).Detail, w) {
			t.Errorf("%q does not say %q", fault.From(err).Detail, w)
		}
	}
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pkg is a package that the test's registry has.
type pkg struct {
	name, version, source string
	peers                 map[string]string
	scripts               map[string]string
	os                    []string
	integrity             string            // instead of the right one
	files                 map[string]string // more
}

// npmRegistry serves packages as the npm registry does, and points npm at itself. It ends with the
// test, or with what is returned.
func npmRegistry(t *testing.T, pkgs ...pkg) (closeIt func()) {
	t.Helper()
	url, closeIt := registryServer(t, func(*http.Request) bool { return true }, pkgs...)
	t.Setenv("npm_config_registry", url)
	t.Setenv("npm_config_fetch_retries", "0")
	return closeIt
}

// registryServer serves packages to whom it lets in.
func registryServer(t *testing.T, letIn func(*http.Request) bool, pkgs ...pkg) (base string, closeIt func()) {
	t.Helper()
	tarballs := map[string][]byte{}
	documents := map[string]map[string]any{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !letIn(req) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		name, err := url.PathUnescape(strings.TrimPrefix(req.URL.EscapedPath(), "/"))
		if b, ok := tarballs[name]; err == nil && ok {
			_, _ = w.Write(b)
			return
		}
		doc, ok := documents[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"Not found"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(doc)
	}))
	t.Cleanup(srv.Close)
	base = srv.URL
	for _, p := range pkgs {
		manifest := map[string]any{"name": p.name, "version": p.version, "main": "index.js", "peerDependencies": p.peers}
		if p.os != nil {
			manifest["os"] = p.os
		}
		if p.scripts != nil {
			manifest["scripts"] = p.scripts
		}
		var buf bytes.Buffer
		gz := gzip.NewWriter(&buf)
		tw := tar.NewWriter(gz)
		files := map[string]string{"package.json": encode(t, manifest), "index.js": p.source}
		maps.Copy(files, p.files)
		for _, file := range slices.Sorted(maps.Keys(files)) { // always the same bytes
			if err := tw.WriteHeader(&tar.Header{Name: "package/" + file, Mode: 0o644, Size: int64(len(files[file]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(tw, files[file]); err != nil {
				t.Fatal(err)
			}
		}
		if tw.Close() != nil || gz.Close() != nil {
			t.Fatal("the tarball could not be closed")
		}
		file := p.name + "/-/" + p.version + ".tgz"
		tarballs[file] = buf.Bytes()
		sum := sha512.Sum512(buf.Bytes())
		manifest["dist"] = map[string]any{"tarball": base + "/" + file, "integrity": cmp.Or(p.integrity, "sha512-"+base64.StdEncoding.EncodeToString(sum[:]))}
		doc := documents[p.name]
		if doc == nil {
			doc = map[string]any{"name": p.name, "versions": map[string]any{}}
			documents[p.name] = doc
		}
		doc["versions"].(map[string]any)[p.version] = manifest
		doc["dist-tags"] = map[string]string{"latest": p.version}
	}
	return base, srv.Close
}
