package tenants

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The files of a tenant's packages are on the disk once: files/<tenant>/ab/ab12… is one by the hash of its
// content, and the packages of the tenant's versions have hard links to it.
//
// An install works on files of its own, and only when it has ended are they exchanged for links. So no
// lifecycle script ever sees a file that something else has too. What is in the store is believed only as far
// as it is the same, byte by byte, as what was just installed: whatever a function or a power loss did to a
// file there spreads no further.

// shareFiles exchanges the regular files below dir for links into the store, and puts into it what it lacks.
// Where a link can't be had (the file system has none, or no more of one file) a file stays the version's own.
func shareFiles(dir, store string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p == dir && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return shareFile(p, store)
	})
}

func shareFile(p, store string) error {
	info, err := os.Lstat(p)
	if err != nil {
		return err
	}
	sum, err := hashFile(p)
	if err != nil {
		return err
	}
	name := hex.EncodeToString(sum)
	if info.Mode()&0o111 != 0 {
		name += "x" // a link shares the permissions, too
	}
	shared := filepath.Join(store, name[:2], name)
	if err := os.MkdirAll(filepath.Dir(shared), 0o750); err != nil {
		return err
	}
	mode := os.FileMode(0o444)
	if info.Mode()&0o111 != 0 {
		mode = 0o555
	}
	if err := os.Chmod(p, mode); err != nil {
		return err
	}
	for range 3 { // another install, or a sweep, may come between
		err := os.Link(p, shared)
		if !errors.Is(err, fs.ErrExist) {
			return nil //nolint:nilerr // it is in the store now; or can't be, and stays as it is
		}
		same, err := sameContent(p, shared)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !same:
			if err := os.Remove(shared); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		link := p + ".livefn-link"
		if err := os.Link(shared, link); err != nil {
			if errors.Is(err, syscall.EMLINK) { // as many as the file system allows: begin with another
				_ = os.Remove(shared)
				continue
			}
			return nil //nolint:nilerr // it stays as it is
		}
		return os.Rename(link, p)
	}
	return nil
}

func hashFile(p string) ([]byte, error) {
	f, err := os.Open(p) //nolint:gosec // below a folder of the hub's
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// sameContent compares two files.
func sameContent(a, b string) (bool, error) {
	fa, err := os.Open(a) //nolint:gosec // below a folder of the hub's
	if err != nil {
		return false, err
	}
	defer fa.Close()      //nolint:errcheck // only read
	fb, err := os.Open(b) //nolint:gosec // below a folder of the hub's
	if err != nil {
		return false, err
	}
	defer fb.Close() //nolint:errcheck // only read
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(fa, bufA)
		m, errB := io.ReadFull(fb, bufB)
		ends := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		switch {
		case !bytes.Equal(bufA[:n], bufB[:m]):
			return false, nil
		case ends:
			return true, nil
		case errA != nil || errB != nil:
			return false, errors.Join(errA, errB)
		}
	}
}

// linkTree makes to a copy of from whose files are links, or copies where no link can be had.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.Mkdir(target, 0o750)
		case d.Type()&fs.ModeSymlink != 0:
			text, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(text, target) //nolint:gosec // nobody writes to a build's folder meanwhile
		case !d.Type().IsRegular():
			return nil
		}
		if os.Link(p, target) == nil { //nolint:gosec // nobody writes to a version's folder
			return nil
		}
		return copyFile(p, target)
	})
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(from) //nolint:gosec // below a folder of the hub's
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm()) //nolint:gosec // below a build's folder
}

// unswept is a file in a store from before folders with links to it are removed until it was swept: an Open
// after a crash in between does that. A sweep, which goes by names, comes to it last, and removes it as it does
// all that has no links.
const unswept = "unswept"

// markUnswept says that a tenant's store is about to have files that no version has. Without a store there are none.
func (r *Registry) markUnswept(tenant string) {
	f, err := os.OpenFile(filepath.Join(r.filesDir(tenant), unswept), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is swept all the same, if nothing crashes
		r.cfg.Log.Warn("A tenant's store of packages can't be marked.", "tenant", tenant, "error", err)
	}
}

// sweepStore removes the files that no version of a tenant has any more.
func (r *Registry) sweepStore(tenant string) {
	r.sweeping.Lock()
	defer r.sweeping.Unlock()
	if err := sweepFiles(r.filesDir(tenant)); err != nil {
		r.cfg.Log.Error("A tenant's store of packages can't be swept; the next start does it.", "tenant", tenant, "error", err)
	}
}

// sweepFiles removes from a tenant's store what no version has a link to any more. An install may link a file
// just before it is removed here: it keeps the file then, and the store gets another one by the next install.
func sweepFiles(store string) error {
	err := filepath.WalkDir(store, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if hasLinks(p) {
			return nil
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // only the hub writes there
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep the files of packages: %w", err)
	}
	return nil
}

// hasLinks says whether a file has other names.
func hasLinks(p string) bool {
	info, err := os.Lstat(p)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}
