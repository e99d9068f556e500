package tenants

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/livefn/livefn/internal/fault"
)

// headRoom is how much of an unpacked tarball may be something other than files' content, for each entry
// that there may be: its header, its padding, and the records of a long name.
const headRoom = 4 << 10

// Tarball gives the files of what `npm pack` makes: a gzipped tar whose files lie in one folder, mostly
// package/. What could be more than files is refused: links, devices, paths out of the folder, names that
// mean the same file twice. Nothing larger than a version may be is unpacked. Faults: invalid_request,
// payload_too_large.
func (r *Registry) Tarball(b []byte) (map[string][]byte, error) { return r.cfg.tarball(b) }

func (c Config) tarball(b []byte) (map[string][]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fault.New(fault.InvalidRequest, "The body is not gzip: %v.", err)
	}
	entries := 2 * c.MaxFiles // folders, too
	limit := int64(c.MaxTreeSize) + int64(entries)*headRoom
	unpacked := &io.LimitedReader{R: z, N: limit}
	files, total := map[string][]byte{}, 0
	for t := tar.NewReader(unpacked); ; entries-- {
		head, err := t.Next()
		switch {
		case err == io.EOF:
			if len(files) == 0 {
				return nil, fault.New(fault.InvalidRequest, "The tarball has no files.")
			}
			return files, checkCollisions(files)
		case err != nil:
			return nil, c.notTar(err, unpacked)
		case entries == 0:
			return nil, fault.New(fault.PayloadTooLarge, "The tarball has more than %d entries; a version has at most %d files.", 2*c.MaxFiles, c.MaxFiles)
		}
		switch head.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		default:
			return nil, fault.New(fault.InvalidRequest, "%q is a link or a device; a version has plain files.", head.Name)
		}
		_, name, found := strings.Cut(strings.TrimPrefix(head.Name, "./"), "/")
		if strings.HasPrefix(head.Name, "/") || !found {
			return nil, fault.New(fault.InvalidRequest, "%q does not lie in the tarball's one folder.", head.Name)
		}
		if err := checkPath(name); err != nil {
			return nil, err
		}
		if _, twice := files[name]; twice {
			return nil, fault.New(fault.InvalidRequest, "%q is in the tarball twice.", name)
		}
		switch {
		case len(files) == c.MaxFiles:
			return nil, fault.New(fault.PayloadTooLarge, "There are more than %d files; a version has at most so many.", c.MaxFiles)
		case head.Size > int64(c.MaxFileSize):
			return nil, fault.New(fault.PayloadTooLarge, "%s has %d bytes; a file has at most %d.", name, head.Size, c.MaxFileSize)
		case total+int(head.Size) > c.MaxTreeSize:
			return nil, fault.New(fault.PayloadTooLarge, "The files have more than %d bytes; a version has at most so many.", c.MaxTreeSize)
		}
		content := make([]byte, 0, min(head.Size, 64<<10)) // what is said of the size need not be so
		w := bytes.NewBuffer(content)
		if _, err := io.Copy(w, t); err != nil { //nolint:gosec // of the size that was checked, and behind a limit
			return nil, c.notTar(err, unpacked)
		}
		total += w.Len()
		files[name] = w.Bytes()
	}
}

// notTar says why a tarball could not be read.
func (c Config) notTar(err error, unpacked *io.LimitedReader) error {
	if unpacked.N <= 0 {
		return fault.New(fault.PayloadTooLarge, "The tarball unpacks to more than a version may have (%d bytes of files).", c.MaxTreeSize)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.InvalidRequest, "The tarball ends too early.")
	}
	return fault.New(fault.InvalidRequest, "The body is not a tarball as npm pack makes it: %v.", err)
}

// checkCollisions refuses names that are the same on some machine: where case does not count, or where
// accents are written in two ways (Unicode TR 15). A folder that is a file there is refused, too.
func checkCollisions(files map[string][]byte) error {
	fold := cases.Fold()
	key := func(name string) string { return fold.String(norm.NFC.String(name)) }
	same := func(a, b string) error {
		return fault.New(fault.InvalidRequest, "%q and %q are the same file on some machines.", min(a, b), max(a, b))
	}
	seen := make(map[string]string, len(files))
	for name := range files {
		if other, ok := seen[key(name)]; ok {
			return same(name, other)
		}
		seen[key(name)] = name
	}
	checked := map[string]bool{}
	for name := range files {
		for dir := path.Dir(name); dir != "." && !checked[dir]; dir = path.Dir(dir) {
			checked[dir] = true
			if other, ok := seen[key(dir)]; ok {
				return same(dir, other)
			}
		}
	}
	return nil
}
