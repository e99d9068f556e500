// Package samples holds the functions that `livefn serve --dev` publishes, so that there is something
// to call. Each folder is a plain Node project that runs and tests without livefn.
package samples

import (
	"embed"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// The patterns name files one and two levels deep, so that a node_modules folder, left by somebody
// who tried a sample in place, is not taken in.
//
//go:embed */package.json */*.js */*.csv */test/*.js
var files embed.FS

// Sample is one function as it is published.
type Sample struct {
	Name  string
	Files map[string][]byte // by slash-separated path inside the project
}

// All gives the samples, sorted by name.
func All() []Sample {
	byName := map[string]map[string][]byte{}
	err := fs.WalkDir(files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(file)
		if err != nil {
			return err
		}
		name, inside, _ := strings.Cut(file, "/")
		if byName[name] == nil {
			byName[name] = map[string][]byte{}
		}
		byName[name][inside] = data
		return nil
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	all := make([]Sample, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, Sample{Name: name, Files: byName[name]})
	}
	return all
}
