package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever way a file changes, somebody waits for it; and nobody waits for the files of an install.
func TestAWatcherTellsOfEveryChangeThatCouldBePublished(t *testing.T) {
	dir := project(t, map[string]string{"index.js": "1", "lib/x.js": "1", "node_modules/p/index.js": "1"})
	w, err := watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, change := range map[string]func() error{
		"written":             func() error { return os.WriteFile(filepath.Join(dir, "index.js"), []byte("2"), 0o600) },
		"written in a folder": func() error { return os.WriteFile(filepath.Join(dir, "lib/x.js"), []byte("2"), 0o600) },
		"replaced": func() error {
			write(t, filepath.Join(dir, "index.js.new"), "3")
			return os.Rename(filepath.Join(dir, "index.js.new"), filepath.Join(dir, "index.js"))
		},
		"removed":    func() error { return os.Remove(filepath.Join(dir, "lib/x.js")) },
		"new folder": func() error { return os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o700) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := w.next(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	write(t, filepath.Join(dir, "a/b/c/x.js"), "1") // in a folder that is new itself
	if err := w.next(ctx); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"index.js": true, "lib/.x.js": true, "node_modules": false, "node_modules/p/x.js": false, ".git/index": false,
		"lib/.x.js.swp": false, "x.js~": false, "lib/.#x.js": false, "._x.js": false, ".DS_Store": false,
	} {
		if got := w.matters(filepath.Join(dir, name)); got != want {
			t.Errorf("%s matters: %v", name, got)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = w.next(ctx)
	}
	if !strings.Contains(err.Error(), "is gone") {
		t.Errorf("of a folder that is gone it says %v", err)
	}
}

func TestDevNamesFilesAsTheyAreCalledHere(t *testing.T) {
	dir := project(t, map[string]string{"index.js": "", "src/a.ts": "", "node_modules/p/x.js": ""})
	o := &devOutput{dir: dir}
	for text, want := range map[string]string{
		"TypeError: x\n    at f (index.js:1:7)\n    at src/a.ts:2:3": "TypeError: x\n    at f (DIR/index.js:1:7)\n    at DIR/src/a.ts:2:3",
		"SyntaxError: index.js:3: Unexpected token":                  "SyntaxError: DIR/index.js:3: Unexpected token",
		"index.js:3\n  }":                            "DIR/index.js:3\n  }",
		"    at g (node_modules/p/x.js:1:1)":         "    at g (DIR/node_modules/p/x.js:1:1)",
		"    at g (gone.js:1:1) (node:fs:1:1)":       "    at g (gone.js:1:1) (node:fs:1:1)",
		"    at g (../index.js:1:1) /etc/passwd:1:1": "    at g (../index.js:1:1) /etc/passwd:1:1",
		"at 12:30:15 src:1 http://127.0.0.1:80/":     "at 12:30:15 src:1 http://127.0.0.1:80/",
	} {
		if got := strings.ReplaceAll(o.places(text), dir, "DIR"); got != want {
			t.Errorf("%q\nis shown as %q\nwant %q", text, got, want)
		}
	}
}
