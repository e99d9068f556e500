package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// span is the versions of the writes in a log.
type span struct{ from, to uint64 }

// checkTables compares the checksums of all tables that the manifest names. Badger would meet a damaged
// one with a panic on a goroutine of its own.
func checkTables(dir string) error {
	m, _, err := manifest(dir)
	if err != nil {
		return err
	}
	for id := range m.Tables {
		file := fmt.Sprintf("%06d.sst", id)
		if _, err := newestOf(dir, file, options.OnTableRead); errors.Is(err, fs.ErrNotExist) {
			return damaged(dir, "the file %s is missing", file)
		} else if err != nil {
			return damaged(dir, "the file %s cannot be read (%v)", file, err)
		}
	}
	return nil
}

// manifest reads Badger's list of tables, and says where its last whole change ends.
func manifest(dir string) (m badger.Manifest, end int64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename)) //nolint:gosec // the store's own folder
	if err != nil {
		return m, 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	if m, end, err = badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir)); err != nil {
		return m, 0, damaged(dir, "the file %s cannot be read (%v)", badger.ManifestFilename, err)
	}
	return m, end, nil
}

// checkManifest refuses a manifest that was cut: Badger takes it as it is and deletes the tables that it
// does not name. After a power loss its last change may be half there, and then tables of that change are
// not named, from a log that is still there or from tables that are.
func checkManifest(dir string, files map[string]int64, logs []span) error {
	name := badger.ManifestFilename
	m, end, err := manifest(dir)
	if err != nil {
		return err
	}
	if end == files[name] {
		return nil
	}
	named, newest := map[string]bool{}, uint64(0)
	for id := range m.Tables {
		file := fmt.Sprintf("%06d.sst", id)
		named[file] = true
		if v, err := newestOf(dir, file, options.NoVerification); err == nil {
			newest = max(newest, v)
		}
	}
	for file := range files {
		if filepath.Ext(file) != ".sst" || named[file] {
			continue
		}
		v, err := newestOf(dir, file, options.NoVerification)
		if err != nil || v <= newest { // an unfinished one; or made of others
			continue
		}
		known := false
		for _, log := range logs {
			known = known || log.from <= v && v <= log.to
		}
		if !known {
			return damaged(dir, "the file %s ends within a change, and does not name %s", name, file)
		}
	}
	return nil
}

// newestOf gives the highest version of a write in a table.
func newestOf(dir, file string, how options.ChecksumVerificationMode) (v uint64, err error) {
	path := filepath.Join(dir, file)
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return 0, errors.Join(err, errors.New("it is empty"))
	}
	mapped, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { // what is damaged may make Badger panic
		if p := recover(); p != nil {
			err = fmt.Errorf("read %s: %v", file, p)
		}
	}()
	t, err := table.OpenTable(mapped, table.Options{ChkMode: how})
	if err != nil {
		return 0, err
	}
	return t.MaxVersion(), mapped.Close(-1)
}
