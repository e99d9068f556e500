package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// disk is what the store asks of the disk below Badger.
type disk interface {
	free() (int64, error) // bytes that the hub's user may still write
	probe() error         // writes and syncs a file
	commit() error        // is asked before each transaction is handed to Badger
	synced() error        // is asked after it
}

type realDisk struct {
	dir string
	ask func() (int64, error) // nil: the system
}

func (d realDisk) free() (int64, error) {
	if d.ask != nil {
		return d.ask()
	}
	return freeOf(d.dir)
}

// probe leaves a file named probe behind only if the disk fails meanwhile.
func (d realDisk) probe() error {
	path := filepath.Join(d.dir, "probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if rerr := os.Remove(path); err == nil {
		err = rerr
	}
	if err != nil {
		return err
	}
	return syncFolder(d.dir)
}

func (realDisk) commit() error { return nil }
func (realDisk) synced() error { return nil }

// folderState knows which state of the folder's entries is on disk. Badger makes a new log without
// syncing its folder: by POSIX the file, and all that was acknowledged into it, may be gone after a power
// loss (ext4, XFS and btrfs keep it, since they sync a new file's name with its content).
type folderState struct{ synced time.Time }

// granularity is more than the steps in which file systems count an entry's time.
const granularity = 20 * time.Millisecond

// sync syncs the folder if its entries changed since the last time, or may have.
func (f *folderState) sync(dir string) error {
	info, err := os.Stat(dir) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}
	changed := info.ModTime()
	if changed.Equal(f.synced) {
		return nil
	}
	settled := time.Since(changed) > granularity // else another entry may come with the same time
	for _, suffix := range []string{".mem", ".vlog"} {
		if err := reserveNewest(dir, suffix); err != nil {
			return err
		}
	}
	if err := syncFolder(dir); err != nil {
		return err
	}
	if settled {
		f.synced = changed
	}
	return nil
}

// reserveNewest gives the newest log with a suffix the blocks that it will need, so that what is written to
// it later cannot meet a full disk: Badger makes its logs at their full size and without blocks, and writes
// through memory. What stays open is a log's first group, and the tables that Badger makes by itself.
func reserveNewest(dir, suffix string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix)) // sorted, and of equal length
	if err != nil || len(names) == 0 {
		return err
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_RDWR, 0) //nolint:gosec // the store's own folder
	if errors.Is(err, fs.ErrNotExist) {                      // its table was written meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = reserve(f, info.Size()/2) // Badger makes logs twice as large as it means to fill them
	}
	return errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
