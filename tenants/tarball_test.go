package tenants

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// entry is one of a tarball.
type entry struct {
	name, content string
	kind          byte
	link          string
	size          int64 // what the header says; 0: the truth
}

func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o644, Size: int64(len(e.content))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.size != 0 {
			h.Size = e.size
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close() // an entry whose size is a lie is not whole
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var small = Config{MaxFiles: 10, MaxFileSize: 1000, MaxTreeSize: 3000}

func TestWhatNpmPacksIsPublished(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"package.json": `{"name":"@acme/packed","version":"1.0.0","main":"lib/main.js","files":["lib"]}`,
		"lib/main.js":  "module.exports = 1", "lib/data.bin": "\x00\xff\x01", "left-out.js": "1", ".npmignore": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("npm", "pack", "--ignore-scripts", "--silent")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("npm pack: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(string(out))))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := openRegistry(t, t.TempDir(), Config{})
	files, err := r.Tarball(b)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"lib/data.bin", "lib/main.js", "package.json"}) || string(files["lib/data.bin"]) != "\x00\xff\x01" {
		t.Errorf("it has %v, %q", names, files["lib/data.bin"])
	}
	v, created, err := r.Publish(bg, acme(t, r), "packed", Publication{Files: files}, io.Discard)
	if err != nil || !created || v.State != Ready {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestATarballThatIsMoreThanFilesIsRefused(t *testing.T) {
	ok := entry{name: "package/index.js", content: "1"}
	var many []entry
	for i := range 11 {
		many = append(many, entry{name: fmt.Sprintf("package/%d.js", i), content: "1"})
	}
	var folders []entry
	for i := range 30 {
		folders = append(folders, entry{name: fmt.Sprintf("package/%d/", i), kind: tar.TypeDir})
	}
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 20<<20)) // to memory
		_ = z.Close()
		return b.Bytes()
	}()
	long := tarball(t, entry{name: "package/" + strings.Repeat("d/", 300) + "x", content: "1"})
	for name, c := range map[string]struct {
		b    []byte
		code fault.Code
	}{
		"nothing": {nil, fault.InvalidRequest},
		"no gzip": {[]byte("PK\x03\x04"), fault.InvalidRequest},
		"no tar": {func() []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(strings.Repeat("text ", 300)))
			_ = z.Close()
			return b.Bytes()
		}(), fault.InvalidRequest},
		"empty":                  {tarball(t), fault.InvalidRequest},
		"cut off":                {tarball(t, entry{name: "package/a.js", content: strings.Repeat("x", 900)})[:60], fault.InvalidRequest},
		"size is a lie":          {tarball(t, entry{name: "package/a.js", content: "1", size: 900}), fault.InvalidRequest},
		"out of the folder":      {tarball(t, ok, entry{name: "package/../../etc/passwd", content: "1"}), fault.InvalidRequest},
		"out by the first part":  {tarball(t, ok, entry{name: "../x.js", content: "1"}, entry{name: "a/../../x", content: "1"}), fault.InvalidRequest},
		"absolute":               {tarball(t, ok, entry{name: "/etc/passwd", content: "1"}), fault.InvalidRequest},
		"beside the folder":      {tarball(t, ok, entry{name: "x.js", content: "1"}), fault.InvalidRequest},
		"backslashes":            {tarball(t, ok, entry{name: `package/..\..\x.js`, content: "1"}), fault.InvalidRequest},
		"symbolic link":          {tarball(t, ok, entry{name: "package/l", kind: tar.TypeSymlink, link: "/etc/passwd"}), fault.InvalidRequest},
		"hard link":              {tarball(t, ok, entry{name: "package/l", kind: tar.TypeLink, link: "package/index.js"}), fault.InvalidRequest},
		"device":                 {tarball(t, ok, entry{name: "package/d", kind: tar.TypeChar}), fault.InvalidRequest},
		"pipe":                   {tarball(t, ok, entry{name: "package/p", kind: tar.TypeFifo}), fault.InvalidRequest},
		"twice":                  {tarball(t, ok, ok), fault.InvalidRequest},
		"twice by case":          {tarball(t, ok, entry{name: "package/INDEX.js", content: "2"}), fault.InvalidRequest},
		"twice by accents":       {tarball(t, entry{name: "package/caf\u00e9.js", content: "1"}, entry{name: "package/cafe\u0301.js", content: "2"}), fault.InvalidRequest},
		"a folder by case":       {tarball(t, ok, entry{name: "package/Index.JS/x", content: "2"}), fault.InvalidRequest},
		"a socket":               {tarball(t, ok, entry{name: "package/s", kind: 'S'}), fault.InvalidRequest},
		"a block device":         {tarball(t, ok, entry{name: "package/b", kind: tar.TypeBlock}), fault.InvalidRequest},
		"modules of its own":     {tarball(t, ok, entry{name: "package/node_modules/x/index.js", content: "1"}), fault.InvalidRequest},
		"a path too long":        {long, fault.InvalidRequest},
		"too many files":         {tarball(t, many...), fault.PayloadTooLarge},
		"too many folders":       {tarball(t, folders...), fault.PayloadTooLarge},
		"a file too large":       {tarball(t, entry{name: "package/a.js", content: strings.Repeat("x", 1001)}), fault.PayloadTooLarge},
		"files too large":        {tarball(t, entry{name: "package/a", content: strings.Repeat("x", 1000)}, entry{name: "package/b", content: strings.Repeat("x", 1000)}, entry{name: "package/c", content: strings.Repeat("x", 1000)}, entry{name: "package/d", content: "x"}), fault.PayloadTooLarge},
		"zeros without an end":   {bomb, fault.InvalidRequest},
		"a size without a limit": {tarball(t, entry{name: "package/a.js", content: "1", size: 1 << 40}), fault.PayloadTooLarge},
	} {
		files, err := small.tarball(c.b)
		if !fault.Is(err, c.code) {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
	}
}

func FuzzTarball(f *testing.F) {
	f.Add(tarball(f, entry{name: "package/index.js", content: "1"}, entry{name: "package/lib/", kind: tar.TypeDir}, entry{name: "package/lib/a.js", content: "2"}))
	f.Add(tarball(f, entry{name: "package/../x", content: "1"}))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := small.tarball(b)
		if err != nil {
			if !fault.Is(err, fault.InvalidRequest) && !fault.Is(err, fault.PayloadTooLarge) {
				t.Errorf("%v", err)
			}
			return
		}
		total := 0
		for name, content := range files {
			if checkPath(name) != nil || len(content) > small.MaxFileSize {
				t.Errorf("%q with %d bytes", name, len(content))
			}
			total += len(content)
		}
		if len(files) > small.MaxFiles || total > small.MaxTreeSize {
			t.Errorf("%d files of %d bytes", len(files), total)
		}
	})
}

// What holds for tarballs holds for files as JSON.
func TestFilesThatAreTheSameOnSomeMachineAreRefused(t *testing.T) {
	for _, names := range [][]string{{"a.js", "A.js"}, {"caf\u00e9.js", "cafe\u0301.js"}, {"lib", "LIB/a.js"}, {"a/b", "a/B/c/d.js"}, {"stra\u00dfe", "STRASSE"}} {
		p := Publication{Files: map[string][]byte{}}
		for _, name := range names {
			p.Files[name] = []byte("1")
		}
		_, err := small.tree(p)
		wantFault(t, err, fault.InvalidRequest, "are the same file on some machines")
	}
	if _, err := small.tree(Publication{Files: map[string][]byte{"Lib/a.js": nil, "lib/b.js": nil, "LIB2": nil}}); err != nil {
		t.Error(err)
	}
}
