package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/client"
)

// What a published folder may hold.
const (
	maxFiles = 5000
	maxBytes = 32 << 20
)

type publishCmd struct {
	Dir  string `arg:"" type:"existingdir" help:"Folder with the project."`
	Name string `help:"The function's name; without it the name in package.json, or the folder's."`
}

func (c *publishCmd) Run(ctx context.Context, s *session) error {
	files, left, err := readProject(os.DirFS(c.Dir))
	if err != nil {
		return fmt.Errorf("publish %s: %w", c.Dir, err)
	}
	if len(left) > 0 {
		fmt.Fprintf(s.note, "left out: %s\n", strings.Join(left, ", "))
	}
	name := c.Name
	if name == "" {
		if name, err = projectName(c.Dir, files["package.json"]); err != nil {
			return err
		}
	}
	tarball, err := pack(files)
	if err != nil {
		return fmt.Errorf("pack %s: %w", c.Dir, err)
	}
	result, err := s.upload(ctx, name, tarball, func(line string) {
		if !s.json {
			fmt.Fprintf(s.note, "  %s\n", plain(line))
		}
	})
	switch {
	case err != nil:
		return err
	case s.json:
		return s.result(result)
	}
	var done published
	if err := json.Unmarshal(result, &done); err != nil {
		return err
	}
	if err := s.say("%s@%d is %s (%d ms)", done.Name, done.Version, done.State, done.MS); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(done.Installed)) {
		if err := s.say("  %s %s", plain(p), plain(done.Installed[p])); err != nil {
			return err
		}
	}
	return nil
}

// published is what the hub says of a new version.
type published struct {
	Name      string
	Version   int
	State     string
	Installed map[string]string
	MS        int64
}

// upload publishes a tarball as a function's next version and gives what the hub says of it. line is called
// with each line of the install's log, as it happens.
func (s *session) upload(ctx context.Context, name string, tarball []byte, line func(string)) (result json.RawMessage, err error) {
	body := client.Raw{Type: "application/gzip", Content: tarball}
	err = s.hub.Stream(ctx, http.MethodPut, "/v1/functions/"+url.PathEscape(name), body, "", func(m client.Message) error {
		switch m.Type {
		case "log":
			var log struct{ Line string }
			if json.Unmarshal(m.Data, &log) == nil {
				line(log.Line)
			}
		case "error":
			p := &client.Problem{}
			if err := json.Unmarshal(m.Data, p); err != nil {
				return err
			}
			return p
		case "result":
			result = m.Data
		}
		return nil
	})
	if err == nil && result == nil {
		err = errors.New("the hub ended the connection without a result; publishing again is safe")
	}
	return result, err
}

// isIgnored reports whether files and folders of this name are never part of a project: what the install
// makes, what version control keeps, and what editors and desktops leave beside a file for a while.
func isIgnored(base string) bool {
	switch base {
	case "node_modules", ".git", ".hg", ".svn", ".DS_Store":
		return true
	}
	for _, pattern := range []string{".*.sw[a-p]", "*~", ".#*", "._*"} {
		if ok, _ := path.Match(pattern, base); ok { // the patterns are good
			return true
		}
	}
	return false
}

// readProject reads the files to publish, and lists what it left out on purpose. Settings for secrets
// are the function's env: files that usually hold them are never sent.
func readProject(dir fs.FS) (files map[string][]byte, left []string, err error) {
	files = map[string][]byte{}
	total := 0
	err = fs.WalkDir(dir, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(file)
		switch {
		case d.IsDir() && isIgnored(base):
			return fs.SkipDir
		case d.IsDir() || isIgnored(base):
			return nil
		case base == ".npmrc" || base == ".env" || strings.HasPrefix(base, ".env."):
			left = append(left, file+" (may hold secrets; use the setting env)")
			return nil
		case !d.Type().IsRegular():
			return wrongUsage("%s is no plain file; a function is made of plain files", file)
		}
		b, err := fs.ReadFile(dir, file)
		if err != nil {
			return err
		}
		if total += len(b); total > maxBytes || len(files) == maxFiles {
			return wrongUsage("the folder is over %d files or %d MiB (at %s); move data that a function reads elsewhere",
				maxFiles, maxBytes>>20, file)
		}
		files[file] = b
		return nil
	})
	if err == nil && len(files) == 0 {
		err = wrongUsage("the folder is empty")
	}
	return files, left, err
}

// pack makes a tarball of files as npm pack does: in the folder package/, the same bytes for the same files.
func pack(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{Typeflag: tar.TypeReg, Name: "package/" + name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// projectName gives the name that the project has; a scope is left out.
func projectName(dir string, manifest []byte) (string, error) {
	var p struct{ Name string }
	if manifest != nil {
		if err := json.Unmarshal(manifest, &p); err != nil {
			return "", wrongUsage("package.json: %w", err)
		}
	}
	if p.Name != "" {
		return path.Base(p.Name), nil
	}
	full, err := filepath.Abs(dir)
	return filepath.Base(full), err
}
