package store

import (
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
	if err := syncFolder(dir); err != nil {
		return err
	}
	if settled {
		f.synced = changed
	}
	return nil
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
