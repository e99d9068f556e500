package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve has the file system give blocks to a file's first bytes, where it can.
func reserve(f *os.File, bytes int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) { // NFS and others
		return nil
	}
	return err
}
