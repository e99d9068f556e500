package tenants

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/livefn/livefn/internal/fault"
)

// What an install leaves is not the hub's own work: npm links dependencies to where they say they are, and a
// lifecycle script may leave anything at all. Once it has ended nothing changes there any more; what the hub
// would follow or wait for is refused then, before anything is read.

// ownFiles are the files of a version's folder that the hub itself reads.
var ownFiles = []string{packageFile, lockFile, shrinkwrap, npmrcFile}

// checkLeft refuses an install that left a link out of the version's folder, or to nothing, or what is neither
// file nor folder; and a file of the hub's reading that is no file of at most limit bytes. npm makes links of
// dependencies like file:../x, which would be whatever lies beside this version on the hub.
func checkLeft(dir string, limit int64) error {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name := strings.TrimPrefix(p, root+string(filepath.Separator))
		if slices.Contains(ownFiles, name) {
			return checkOwn(d, limit)
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			return checkLink(root, name)
		case !d.IsDir() && !d.Type().IsRegular():
			return fault.New(fault.InstallFailed, "The install left %s, which is neither a file nor a folder. Leave out the script that makes it.", name)
		}
		return nil
	})
}

func checkOwn(d fs.DirEntry, limit int64) error {
	info, err := d.Info()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fault.New(fault.InstallFailed, "The install left a %s that is not a file. Leave out the script that makes it.", d.Name())
	case info.Size() > limit:
		return fault.New(fault.InstallFailed, "The install left a %s of %d bytes; it has at most %d (MaxTreeSize).", d.Name(), info.Size(), limit)
	}
	return nil
}

func checkLink(root, name string) error {
	p := filepath.Join(root, name)
	text, err := os.Readlink(p)
	if err != nil {
		return err
	}
	to, err := filepath.EvalSymlinks(p)
	if err == nil && !filepath.IsAbs(text) && strings.HasPrefix(to, root+string(filepath.Separator)) {
		return nil
	}
	if dependency, ok := strings.CutPrefix(name, modulesDir+string(filepath.Separator)); ok {
		return fault.New(fault.InstallFailed, "The dependency %s leads out of the function's folder. Publish the package to a registry, or put it among the function's files.", dependency)
	}
	return fault.New(fault.InstallFailed, "The install left %s, a link that leads out of the function's folder. Leave out the script that makes it.", name)
}

// readIfThere gives a file of at most limit bytes below dir; nil if there is none. Links are followed only
// within dir, and only regular files are read: this holds for versions of earlier releases, too.
func readIfThere(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()                                               //nolint:errcheck // read-only handle of a folder
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for who writes
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read %s: not a regular file", name)
	case info.Size() > limit:
		return nil, fmt.Errorf("read %s: it has %d bytes, and at most %d are read", name, info.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
