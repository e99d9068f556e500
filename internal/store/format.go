package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// format is the number of what this package makes of the folder; records have formats of their own. It
// goes up when an older version could not read, or would destroy, what is there.
const format = 1

// formatFile holds it, beside Badger's files. A folder without one is from before there was any: format 1.
const formatFile = "FORMAT"

// checkFormat refuses the folder of a later version.
func checkFormat(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, formatFile)) //nolint:gosec // the store's own folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the store's format: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil:
		return fmt.Errorf("the store in %s has no readable format number in %s; restore a backup", dir, formatFile)
	case n > format:
		return fmt.Errorf("the store in %s has format %d, and this version of livefn knows those up to %d: start the version that wrote it, or a later one", dir, n, format)
	}
	return nil
}

// noteFormat writes the number where it is missing.
func noteFormat(dir string) error {
	path := filepath.Join(dir, formatFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeFile(dir, formatFile, fmt.Appendln(nil, format))
}

// writeFile makes a small file, whole or not at all.
func writeFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil { //nolint:gosec // the store's own folder
		return err
	}
	return syncFolder(dir)
}
