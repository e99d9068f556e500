package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/store"
)

// Restored says what a restored folder holds.
type Restored struct {
	CreatedAt time.Time `json:"createdAt"`
	Program   string    `json:"program"`
	Records   uint64    `json:"records"`
	Files     uint64    `json:"files"`
}

// Check reads a whole backup and compares its checksum; size is the backup's. It gives where its content
// begins.
func Check(f io.ReaderAt, size int64) (content int64, err error) {
	first := make([]byte, len(magic)+8)
	n, err := f.ReadAt(first, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	line, _, complete := bytes.Cut(first[:n], []byte("\n"))
	number, isBackup := bytes.CutPrefix(line, []byte(magic))
	v, err := strconv.Atoi(string(number))
	switch {
	case !isBackup || !complete || err != nil:
		return 0, errors.New("this is no backup of livefn")
	case v > format:
		return 0, fmt.Errorf("the backup has format %d, and this version of livefn knows those up to %d: restore it with the one that wrote it, or a later one", v, format)
	case size < int64(len(line))+1+sha256.Size:
		return 0, errCut
	}
	sum, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size-sha256.Size)); err != nil {
		return 0, err
	}
	if _, err := f.ReadAt(want, size-sha256.Size); err != nil {
		return 0, err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return 0, fmt.Errorf("%w: its checksum is wrong", errCut)
	}
	return int64(len(line)) + 1, nil
}

// Restore makes the data folder dir, which must not exist or be empty, of a backup. It is built beside
// and renamed once it is whole and on disk: dir is what it was, or all of it.
func Restore(ctx context.Context, file, dir string) (r Restored, err error) {
	f, err := os.Open(file) //nolint:gosec // the operator's own file
	if err != nil {
		return r, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return r, fmt.Errorf("%s is not empty: give a folder that is, or none", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	content, err := Check(f, info.Size())
	if err != nil {
		return r, fmt.Errorf("read %s: %w", file, err)
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return r, err
	}
	aside, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".restoring-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // gone already if all went well
	unpacked, err := zstd.NewReader(io.NewSectionReader(f, content, info.Size()-sha256.Size-content), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return r, fmt.Errorf("read %s: %w", file, err)
	}
	defer unpacked.Close()
	if r, err = unpack(ctx, &decoder{r: bufio.NewReaderSize(unpacked, piece)}, aside); err != nil {
		return r, fmt.Errorf("read %s: %w", file, err)
	}
	if err := syncTree(aside); err != nil {
		return r, fmt.Errorf("sync %s: %w", aside, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // empty, as seen above
		return r, err
	}
	if err := os.Rename(aside, dir); err != nil {
		return r, err
	}
	return r, syncPath(filepath.Dir(dir))
}

// unpack makes the folder of what d holds.
func unpack(ctx context.Context, d *decoder, dir string) (r Restored, err error) {
	var h head
	if b := d.bytes(); d.err == nil {
		if err := json.Unmarshal(b, &h); err != nil {
			return r, fmt.Errorf("%w: %w", errCut, err)
		}
	}
	r.CreatedAt, r.Program = h.CreatedAt, h.Program
	st, err := store.Open(filepath.Join(dir, storeDir), store.Options{})
	if err != nil {
		return r, err
	}
	running, stop := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return st.Run(running) })
	err = r.fill(ctx, d, dir, st)
	stop()
	return r, errors.Join(err, g.Wait(), st.Close())
}

// fill reads until the end.
func (r *Restored) fill(ctx context.Context, d *decoder, dir string, st *store.Store) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()                //nolint:errcheck // a folder
	modes := map[string]fs.FileMode{} // of folders, set when they are full: one may be read-only
	batch := &batch{st: st}
	for {
		switch kind := d.kind(); {
		case d.err != nil:
			return d.err
		case kind == kindRecord:
			expires, k, v := d.number(), d.bytes(), d.bytes()
			if d.err != nil {
				return d.err
			}
			r.Records++
			if err := batch.add(ctx, k, v, expires); err != nil {
				return err
			}
			continue
		case kind == kindEnd:
			if records, files := d.number(), d.number(); d.err == nil && (records != r.Records || files != r.Files) {
				return fmt.Errorf("%w: of %d records and %d files it has %d and %d", errCut, records, files, r.Records, r.Files)
			}
			for path, mode := range modes {
				if err := root.Chmod(path, mode); err != nil {
					return err
				}
			}
			if err := errors.Join(d.err, batch.flush(ctx)); err != nil {
				return err
			}
			return st.MarkRestored(ctx)
		case kind == kindFolder || kind == kindLink || kind == kindFile:
			r.Files++
			if err := d.entry(root, kind, modes); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: a part of the unknown kind %q", errCut, kind)
		}
	}
}

// entry makes a folder, link or file. Root keeps it within the data folder, whatever its path says.
func (d *decoder) entry(root *os.Root, kind byte, modes map[string]fs.FileMode) error {
	path := filepath.FromSlash(string(d.bytes()))
	if d.err != nil {
		return d.err
	}
	if path == storeDir || strings.HasPrefix(path, storeDir+string(filepath.Separator)) {
		return fmt.Errorf("%w: a file within the store", errCut)
	}
	if kind == kindLink {
		target := string(d.bytes())
		if d.err != nil {
			return d.err
		}
		return root.Symlink(target, path)
	}
	mode := fs.FileMode(d.number()) & fs.ModePerm //nolint:gosec // nine bits
	if d.err != nil {
		return d.err
	}
	if kind == kindFolder {
		modes[path] = mode
		return root.Mkdir(path, 0o700)
	}
	f, err := root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for {
		b := d.bytes()
		if d.err != nil || len(b) == 0 {
			break
		}
		if _, err := f.Write(b); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(d.err, f.Chmod(mode), f.Close())
}

// batch gathers records for a write.
type batch struct {
	st   *store.Store
	ops  []store.Op
	size int
}

func (b *batch) add(ctx context.Context, k, v []byte, expires uint64) error {
	op := store.Op{Key: k, Value: v}
	if expires > 0 {
		if op.TTL = time.Until(time.Unix(int64(expires), 0)); op.TTL <= 0 { //nolint:gosec // seconds since 1970
			return nil
		}
	}
	b.ops = append(b.ops, op)
	if b.size += len(k) + len(v); len(b.ops) < 256 && b.size < 1<<20 {
		return nil
	}
	return b.flush(ctx)
}

func (b *batch) flush(ctx context.Context) error {
	ops := b.ops
	b.ops, b.size = nil, 0
	if len(ops) == 0 {
		return nil
	}
	return b.st.Commit(ctx, ops...)
}

// syncTree brings all files and folders below dir to the disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path) //nolint:gosec // made here
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
