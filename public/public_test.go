package public

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

func TestEveryAssetHasAContentTypeATagAndItsCompressedForm(t *testing.T) {
	seen := map[string]string{}
	for p, a := range assets() {
		if a.ContentType == "" || len(a.Body) == 0 {
			t.Errorf("%s: %q, %d bytes", p, a.ContentType, len(a.Body))
		}
		if other, ok := seen[a.ETag]; ok && !bytes.Equal(assets()[other].Body, a.Body) {
			t.Errorf("%s and %s have one tag", p, other)
		}
		seen[a.ETag] = p
		if a.Gzip == nil {
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(a.Gzip))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(plain, a.Body) || a.GzipETag == a.ETag {
			t.Errorf("%s: the compressed form differs (%v)", p, err)
		}
	}
}

func TestLookupKnowsTheAddressesOfTheContractAndNoOthers(t *testing.T) {
	for p, want := range map[string]string{
		"/":                  "text/html; charset=utf-8",
		"/dashboard/":        "text/html; charset=utf-8",
		"/dashboard/main.js": "text/javascript; charset=utf-8",
		"/sdk/livefn.js":     "text/javascript; charset=utf-8",
		"/sdk/livefn.d.ts":   "text/plain; charset=utf-8",
		"/sdk/package.json":  "application/json",
	} {
		if a, ok := Lookup(p); !ok || a.ContentType != want {
			t.Errorf("%s: %v %q, want %q", p, ok, a.ContentType, want)
		}
	}
	for _, p := range []string{"", "/sdk", "/sdk/", "/sdk/test/hub.js", "/sdk/package-lock.json", "/sdk/../public.go", "/nothing"} {
		if _, ok := Lookup(p); ok {
			t.Errorf("%q is served", p)
		}
	}
}

// TestModulesImportOnlyWhatIsServed: no build step means that a forgotten file shows only in a browser.
func TestModulesImportOnlyWhatIsServed(t *testing.T) {
	imports := regexp.MustCompile(`(?m)(?:from|import) '([^']+)'|(?:src|href)="([^"#]+)"`)
	for p, a := range assets() {
		if !strings.HasSuffix(p, ".js") && !strings.HasSuffix(p, ".html") {
			continue
		}
		for _, m := range imports.FindAllSubmatch(a.Body, -1) {
			to := string(m[1]) + string(m[2])
			if strings.HasPrefix(to, ".") {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(p), to))
			}
			if _, ok := Lookup(to); !ok {
				t.Errorf("%s refers to %s, which is not served", p, to)
			}
		}
	}
}

// TestTheDashboardAsksNobodyElse: it must work without a network, and tell nobody that it is open.
func TestTheDashboardAsksNobodyElse(t *testing.T) {
	for p, a := range assets() {
		if strings.HasPrefix(p, "/dashboard/") && regexp.MustCompile(`(?:src|href|url\(|fetch\(|import)[^\n]*https?://`).Match(a.Body) {
			t.Errorf("%s refers to another host", p)
		}
	}
	if a, _ := Lookup("/"); !bytes.Contains(a.Body, []byte("default-src 'none'")) {
		t.Error("the page has no content security policy")
	}
}

func TestTheSDKKnowsExactlyTheHubsCodes(t *testing.T) {
	var want []string
	for _, e := range fault.Table {
		want = append(want, string(e.Code))
	}
	want = append(want, "connection_failed", "connection_lost", "closed") // the client's own
	for name, pattern := range map[string]string{
		"sdk/errors.js":   `(?m)^  '([a-z_]+)'`,
		"sdk/livefn.d.ts": `(?m)^  \| '([a-z_]+)'`,
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			got = append(got, string(m[1]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lists\n%q, want\n%q", name, got, want)
		}
	}
}
