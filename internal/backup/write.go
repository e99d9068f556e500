package backup

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/livefn/livefn/internal/store"
)

// Source is what a backup is made of.
type Source struct {
	Store   *store.Store
	Dir     string   // the data folder
	Skip    []string // paths within it that a hub makes anew
	Program string   // version of livefn
}

// Write writes a backup of what a running hub keeps. A backup that ends with an error lacks its checksum.
func Write(ctx context.Context, to io.Writer, src Source) error {
	sum := sha256.New()
	out := io.MultiWriter(to, sum)
	if _, err := fmt.Fprintf(out, "%s%d\n", magic, format); err != nil {
		return err
	}
	packed, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compress the backup: %w", err)
	}
	e := &encoder{w: packed}
	h, err := json.Marshal(head{time.Now().UTC(), src.Program})
	if err != nil {
		return err
	}
	e.bytes(h)
	records := uint64(0)
	if err := src.Store.Snapshot(ctx, func(r store.Record) error {
		records++
		e.raw([]byte{kindRecord})
		expires := uint64(0)
		if !r.Expires.IsZero() {
			expires = uint64(r.Expires.Unix()) //nolint:gosec // not before 1970
		}
		e.number(expires)
		e.bytes(r.Key)
		e.bytes(r.Value)
		return e.err
	}); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	files, err := e.tree(ctx, src)
	if err != nil {
		return fmt.Errorf("read the data folder: %w", err)
	}
	e.raw([]byte{kindEnd})
	e.number(records)
	e.number(files)
	if e.err != nil {
		return e.err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	_, err = to.Write(sum.Sum(nil))
	return err
}

// tree writes the data folder's files but the store's, and gives their number.
func (e *encoder) tree(ctx context.Context, src Source) (files uint64, err error) {
	root, err := os.OpenRoot(src.Dir)
	if err != nil {
		return 0, err
	}
	defer root.Close() //nolint:errcheck // only read
	skip := append([]string{storeDir}, src.Skip...)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist): // deleted since its folder was read
			return nil
		case err != nil:
			return err
		case slices.Contains(skip, filepath.FromSlash(path)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == ".":
			return nil
		}
		written, err := e.file(root, path, d)
		if written {
			files++
		}
		return err
	})
	return files, err
}

// file writes one file, folder or link. Sockets and the like are left out: a process made them.
func (e *encoder) file(root *os.Root, path string, d fs.DirEntry) (written bool, err error) {
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mode := uint64(info.Mode().Perm())
	switch {
	case d.IsDir():
		e.raw([]byte{kindFolder})
		e.bytes([]byte(path))
		e.number(mode)
		return true, e.err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		e.raw([]byte{kindLink})
		e.bytes([]byte(path))
		e.bytes([]byte(target))
		return true, e.err
	case !info.Mode().IsRegular():
		return false, nil
	}
	f, err := root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	e.raw([]byte{kindFile})
	e.bytes([]byte(path))
	e.number(mode)
	buf := make([]byte, piece)
	for e.err == nil {
		n, err := f.Read(buf)
		if n > 0 {
			e.bytes(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	e.number(0)
	return true, e.err
}
