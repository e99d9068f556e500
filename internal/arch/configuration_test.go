package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A limit that nobody can look up is a hidden cap.
func TestTheDocsListEveryLimit(t *testing.T) {
	// Not limits, or set by a flag.
	elsewhere := []string{"Log", "Dir", "Node", "NodeArgs", "Runtimes", "NodeRuntimes", "Npm", "AdminKey", "AllowScripts", "Bridges", "Free", "Walls", "Functions", "Warm", "Keeper",
		"Limits", "SecretKey", "FormerSecretKeys", "SecretFile", "ForgetSecrets", "Origins"}
	docs := read(t, "docs/configuration.md")
	for section, at := range map[string]struct{ file, name string }{
		"conn":       {"conn/config.go", "Config"},
		"hub":        {"hub/hub.go", "Config"},
		"nodebridge": {"nodebridge/config.go", "Config"},
		"tenants":    {"tenants/registry.go", "Config"},
		"store":      {"internal/store/store.go", "Options"},
	} {
		_, rest, found := strings.Cut(docs, "\n### "+section+"\n")
		if !found {
			t.Errorf("docs/configuration.md has no section %s", section)
			continue
		}
		rest, _, _ = strings.Cut(rest, "\n### ")
		documented := words(rest, regexp.MustCompile("(?m)^\\| `(\\w+)` \\|"))
		var limits []string
		for _, f := range fields(t, at.file, at.name) {
			if !slices.Contains(elsewhere, f.Names[0].Name) {
				for _, name := range f.Names {
					limits = append(limits, name.Name)
				}
			}
		}
		equal(t, "docs/configuration.md, "+section, documented, limits)
	}
}

func TestTheDocsListEveryFlagOfServe(t *testing.T) {
	var flags []string
	for _, f := range fields(t, "internal/cli/serve.go", "ServeCmd") {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		name := tag.Get("name")
		if name == "" {
			name = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(f.Names[0].Name, "$1-$2"))
		}
		env, byDefault := "", tag.Get("default")
		if e := tag.Get("env"); e != "" {
			env = "`" + e + "` "
		}
		switch {
		case f.Type.(*ast.Ident).Name == "bool":
			byDefault = "off"
		case byDefault == "":
			byDefault = "none"
		case f.Type.(*ast.Ident).Name == "string":
			byDefault = "`" + byDefault + "`"
		}
		flags = append(flags, "| `--"+name+"` | "+env+"| "+byDefault+" |")
	}
	part := within(t, "docs/configuration.md", "## The hub", "All other commands")
	rows := words(part, regexp.MustCompile("(?m)^(\\| `--[^|]+\\|[^|]*\\|[^|]+\\|)"))
	equal(t, "docs/configuration.md, the hub's flags", rows, flags)
}

// fields gives the fields of a struct type in a file.
func fields(t *testing.T, path, name string) []*ast.Field {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []*ast.Field
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == name {
			if s, ok := spec.Type.(*ast.StructType); ok {
				found = s.Fields.List
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("%s has no struct %s", path, name)
	}
	return found
}
