package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Where Badger finds damage that looks like a crash's traces, it drops what comes after, or deletes the
// files that its manifest does not name. So it must not see a damaged folder: check looks before it.

// sealFile is written when the store was closed well, and removed before Badger may change anything: it
// lists the files with their sizes.
const sealFile = "SEAL"

type seal struct {
	Files map[string]int64 `json:"files"`
}

// damaged is the error of a folder that has lost what was acknowledged.
func damaged(dir, format string, args ...any) error {
	return fmt.Errorf("the store in %s is damaged: %s; restore a backup (livefn restore), or ask for help before anything changes it", dir, fmt.Sprintf(format, args...))
}

// sealed lists what a seal is about.
func sealed(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]int64{}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".sst" || ext == ".vlog" || ext == ".mem" || e.Name() == badger.ManifestFilename || e.Name() == "KEYREGISTRY" {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			files[e.Name()] = info.Size()
		}
	}
	return files, nil
}

// writeSeal notes that the store was closed well.
func writeSeal(dir string) error {
	files, err := sealed(dir)
	if err != nil {
		return err
	}
	b, err := json.Marshal(seal{files})
	if err != nil {
		return err
	}
	return writeFile(dir, sealFile, b)
}

// breakSeal is for before Badger may write.
func breakSeal(dir string) error {
	err := os.Remove(filepath.Join(dir, sealFile)) //nolint:gosec // the store's own folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFolder(dir)
	}
	return err
}

// check refuses a folder that lacks something acknowledged, as far as that can be known: all of it after a
// proper end but for a changed bit in an older value-log file, which reading finds (value); after a crash,
// the logs' content but for the very last transaction, of which nobody can say whether it was acknowledged.
func check(dir string) error {
	files, err := sealed(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, ok := files[badger.ManifestFilename]; !ok {
		return damaged(dir, "the file %s is missing", badger.ManifestFilename)
	}
	b, err := os.ReadFile(filepath.Join(dir, sealFile)) //nolint:gosec // the store's own folder
	switch {
	case err == nil:
		err = checkSealed(dir, b, files)
	case errors.Is(err, fs.ErrNotExist):
		err = checkCrashed(dir, files)
	}
	if err != nil {
		return err
	}
	return checkTables(dir)
}

func checkSealed(dir string, b []byte, files map[string]int64) error {
	var s seal
	if err := json.Unmarshal(b, &s); err != nil {
		return damaged(dir, "the file %s cannot be read", sealFile)
	}
	last := ""
	for name, size := range s.Files {
		if now, ok := files[name]; !ok {
			return damaged(dir, "the file %s is missing", name)
		} else if now != size {
			return damaged(dir, "the file %s has %d bytes in place of %d", name, now, size)
		}
		if filepath.Ext(name) == ".vlog" && name > last {
			last = name
		}
	}
	for name := range files {
		if _, ok := s.Files[name]; !ok {
			return damaged(dir, "the file %s was not there when the hub ended", name)
		}
	}
	if last == "" {
		return nil
	}
	log, err := os.ReadFile(filepath.Join(dir, last)) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}
	if end := walk(log, func(*entry) {}); end != len(log) {
		return damaged(dir, "the file %s cannot be read from byte %d on", last, end)
	}
	return nil
}

// checkCrashed reads the write-ahead logs, and the values to which they point.
func checkCrashed(dir string, files map[string]int64) error {
	var logs []string
	for name := range files {
		if filepath.Ext(name) == ".mem" {
			logs = append(logs, name)
		}
	}
	slices.Sort(logs)
	var spans []span
	for _, name := range logs {
		path := filepath.Join(dir, name)
		log, err := os.ReadFile(path) //nolint:gosec // the store's own folder
		if err != nil {
			return err
		}
		if len(log) == 0 { // made and not begun: Badger would not open it
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		var lost error
		kept := span{from: math.MaxUint64}
		end := walk(log, func(e *entry) {
			kept = span{min(kept.from, e.version()), max(kept.to, e.version())}
			if e.meta&metaPointer != 0 && lost == nil {
				lost = checkPointer(dir, e)
			}
		})
		if lost != nil {
			return lost
		}
		if n := later(log, end); n > 1 {
			return damaged(dir, "the file %s cannot be read from byte %d on, and has %d later writes", name, end, n)
		}
		spans = append(spans, kept)
	}
	return checkManifest(dir, files, spans)
}

// checkPointer reads the value to which an entry points. Values are synced before what points to them.
func checkPointer(dir string, e *entry) error {
	if len(e.value) != 12 {
		return damaged(dir, "a pointer has %d bytes", len(e.value))
	}
	fid, size, offset := binary.LittleEndian.Uint32(e.value), binary.LittleEndian.Uint32(e.value[4:]), binary.LittleEndian.Uint32(e.value[8:])
	name := fmt.Sprintf("%06d.vlog", fid)
	f, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // the store's own folder
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(dir, "the file %s is missing", name)
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, size)
	if _, err := f.ReadAt(b, int64(offset)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if v, ok := entryAt(b); !ok || !bytes.Equal(v.key, e.key) {
		return damaged(dir, "the file %s cannot be read at byte %d", name, offset)
	}
	return nil
}
