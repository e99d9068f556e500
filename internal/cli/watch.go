package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How saves become one change: editors write a file in several steps, and branches are switched in many.
const (
	quietFor = 25 * time.Millisecond // without a further step, a change is whole
	quietMax = time.Second           // after its first step a change is whole anyhow
)

// watcher tells when a project's files change. It watches folders, not files: many editors replace a
// file by renaming another one to its name.
type watcher struct {
	dir   string
	files *fsnotify.Watcher
}

// watch starts to watch a folder. The caller closes the watcher.
func watch(dir string) (*watcher, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &watcher{dir: filepath.Clean(dir), files: files}
	if err := w.add(w.dir); err != nil {
		_ = files.Close() // the first error says more
		return nil, fmt.Errorf("watch %s: %w; the system may allow too few watches (on Linux fs.inotify.max_user_watches)", dir, err)
	}
	return w, nil
}

func (w *watcher) close() { _ = w.files.Close() } // nothing is left to be done with it

// add watches a folder and those below it, but for folders whose files are not published.
func (w *watcher) add(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && p != w.dir:
			return nil // gone since
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case p != w.dir && isIgnored(d.Name()):
			return fs.SkipDir
		}
		err = w.files.Add(p)
		if errors.Is(err, fs.ErrNotExist) && p != w.dir {
			return nil
		}
		return err
	})
}

// next returns when something has changed since the last time, and the change is whole.
func (w *watcher) next(ctx context.Context) error {
	quiet := time.NewTimer(quietMax)
	quiet.Stop()
	var end time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-quiet.C:
			return nil
		case ev, ok := <-w.files.Events:
			switch {
			case !ok:
				return fsnotify.ErrClosed
			case ev.Name == w.dir && ev.Has(fsnotify.Remove|fsnotify.Rename):
				return fmt.Errorf("the folder %s is gone", w.dir)
			case ev.Op == fsnotify.Chmod || !w.matters(ev.Name):
				continue
			case ev.Has(fsnotify.Create):
				if err := w.add(ev.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("watch %s: %w", ev.Name, err)
				}
			}
		case err, ok := <-w.files.Errors:
			switch {
			case !ok:
				return fsnotify.ErrClosed
			case !errors.Is(err, fsnotify.ErrEventOverflow):
				return fmt.Errorf("watch %s: %w", w.dir, err)
			}
			if err := w.add(w.dir); err != nil { // folders may have come unseen
				return fmt.Errorf("watch %s: %w", w.dir, err)
			}
		}
		now := time.Now()
		if end.IsZero() {
			end = now.Add(quietMax)
		}
		quiet.Reset(min(quietFor, end.Sub(now)))
	}
}

// matters reports whether what lies at a path could be published.
func (w *watcher) matters(p string) bool {
	rel, err := filepath.Rel(w.dir, p)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		if isIgnored(part) {
			return false
		}
	}
	return true
}
