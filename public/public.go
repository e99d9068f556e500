// Package public is what the hub serves to browsers: the JavaScript SDK under /sdk/, and the dashboard
// at / with its parts under /dashboard/; and the description of the HTTP API. All of it is embedded, plain
// ES modules without a build step: what is in these folders is what runs. The package knows no HTTP; conn asks it by path.
//
// The addresses carry no version, so nothing may be kept unasked: every asset is revalidated by its
// ETag, and a new hub's dashboard never runs with an old SDK.
package public

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed sdk/*.js sdk/*.d.ts sdk/package.json
//go:embed openapi.yaml
//go:embed dashboard/*.html dashboard/*.css dashboard/*.svg dashboard/*.js dashboard/views/*.js
var files embed.FS

// CacheControl is what every asset is served with: keep it, but ask whether it is still the one.
const CacheControl = "no-cache"

// Asset is one file as it is served. Its slices must not be changed.
type Asset struct {
	Body        []byte
	Gzip        []byte // Body compressed; nil where that gains nothing
	ContentType string
	ETag        string // strong, with its quotes; that of the compressed form is another
	GzipETag    string
}

var assets = sync.OnceValue(load)

// Lookup gives the asset at a URL's path: "/", "/dashboard/…", "/sdk/…" or "/openapi.yaml".
func Lookup(urlPath string) (Asset, bool) {
	a, ok := assets()[urlPath]
	return a, ok
}

func load() map[string]Asset {
	m := map[string]Asset{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		m["/"+name] = newAsset(name, body)
		return nil
	})
	if err != nil { // the files are in the binary
		panic(fmt.Sprintf("read embedded files: %v", err))
	}
	m["/"] = m["/dashboard/index.html"]
	m["/dashboard/"] = m["/"]
	return m
}

func newAsset(name string, body []byte) Asset {
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:12])
	a := Asset{Body: body, ContentType: contentType(name), ETag: `"` + tag + `"`}
	if z := compress(body); len(z) < len(body) {
		a.Gzip, a.GzipETag = z, `"`+tag+`-gzip"`
	}
	return a
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is legal
	_, _ = w.Write(body)                                  // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// contentType doesn't ask the machine, whose tables differ: browsers refuse modules of a wrong type.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".yaml":
		return "application/yaml"
	default:
		if strings.HasSuffix(name, ".d.ts") {
			return "text/plain; charset=utf-8"
		}
		panic("no content type for " + name)
	}
}
