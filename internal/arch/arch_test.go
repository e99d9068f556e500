// Package arch holds what is true of the program as a whole: which package may import which, where
// the process may be ended, and that words which stand in several places are the same in all.
package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/livefn/livefn"

// root is the repository, seen from this package's folder.
const root = "../.."

// arrows lists what of livefn each package may import. A package that is missing may be imported by
// nobody and import nothing: adding one means deciding where it stands.
var arrows = map[string][]string{
	"":                   {"internal/cli"},
	"internal/cli":       {"conn", "hub", "tenants", "nodebridge", "loadtest", "public", "internal/fault", "internal/units", "internal/store", "internal/samples", "internal/client", "internal/backup", "internal/sandbox"},
	"conn":               {"hub", "tenants", "nodebridge", "public", "internal/fault", "internal/pattern", "internal/units"},
	"hub":                {"tenants", "nodebridge", "internal/fault", "internal/pattern", "internal/units", "internal/store", "internal/crash"},
	"tenants":            {"internal/fault", "internal/pattern", "internal/units", "internal/store", "internal/crash", "internal/sandbox"},
	"nodebridge":         {"internal/fault", "internal/units", "internal/sandbox"},
	"internal/store":     {"internal/fault", "internal/crash"},
	"internal/crash":     {}, // empty, but in the torture test's build
	"internal/torture":   {"internal/crash"},
	"internal/backup":    {"internal/store"},
	"internal/sandbox":   {},
	"internal/units":     {"internal/fault"},
	"internal/fault":     {},
	"internal/pattern":   {"internal/fault"},
	"internal/samples":   {},
	"public":             {},
	"internal/client":    {"internal/fault", "internal/units"}, // of the public API, and so nothing of the hub
	"loadtest":           {"internal/client", "internal/units"},
	"internal/packages":  {}, // only tests, with a registry
	"internal/smalldisk": {}, // for tests
	"internal/e2e":       {},
	"internal/arch":      {},
}

// The layers are drawn in the design; an arrow against them makes a part that cannot be tested alone.
func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, known := arrows[name]
		if !known {
			t.Errorf("package %s has no row in arrows: say what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			if isOwn && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which its layer may not", name, own)
			}
		}
	}
}

// Whoever ends the process skips everybody else's clean-up: the store's last commit, the children.
func TestOnlyMainEndsTheProcess(t *testing.T) {
	endings := map[string][]string{
		"os":  {"Exit"},
		"log": {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
	}
	files := token.NewFileSet()
	eachGoFile(t, func(path string) {
		if path == "main.go" || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(files, filepath.Join(root, path), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{} // what a package is called in this file
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if endings[imported] == nil {
				continue
			}
			called := imported
			if spec.Name != nil {
				called = spec.Name.Name
			}
			names[called] = imported
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if of, ok := sel.X.(*ast.Ident); ok && slices.Contains(endings[names[of.Name]], sel.Sel.Name) {
					t.Errorf("%s: %s.%s: only main.go ends the process; return an error", files.Position(sel.Pos()), of.Name, sel.Sel.Name)
				}
			}
			return true
		})
	})
}

type listed struct {
	ImportPath string
	Imports    []string // without those of its tests, which may build what they test from real parts
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// eachGoFile calls f with the path of every Go file, slash-separated from the root.
func eachGoFile(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel != "." && (name == "node_modules" || name == "testdata" || name == "data" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			f(filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
