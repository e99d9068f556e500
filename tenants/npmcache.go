package tenants

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// npmCache is what npm has fetched for a tenant, in its folder below npm-cache. npm never forgets anything: once
// the folder has more than Config.InstallCache it is removed by the last install that uses it, and those that
// come until then have one of their own. So none waits, and none has files taken away under it.
type npmCache struct {
	mu    sync.Mutex // guards all
	users int        // installs that use the folder
	full  bool
}

// useCache gives an install a folder for what npm fetches; end must be called once npm has ended.
func (r *Registry) useCache(t *Tenant) (dir string, end func(), err error) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	if !t.cache.full {
		t.cache.users++
		return r.cacheDir(t.name), sync.OnceFunc(func() { r.leaveCache(t) }), nil
	}
	if dir, err = os.MkdirTemp(r.buildDir(), "cache-"); err != nil {
		return "", nil, fmt.Errorf("make a cache for the install: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil // what stays is swept at the next Open
}

func (r *Registry) leaveCache(t *Tenant) {
	dir := r.cacheDir(t.name)
	over := sizeOf([]string{dir}) > r.cfg.InstallCache
	t.cache.mu.Lock()
	t.cache.full = t.cache.full || over
	t.cache.users--
	away := ""
	if t.cache.full && t.cache.users == 0 {
		var err error
		if away, err = moveAway(dir, r.buildDir()); err != nil {
			r.cfg.Log.Error("A tenant's cache of packages is full and can't be removed.", "tenant", t.name, "error", err)
		} else {
			t.cache.full = false
		}
	}
	t.cache.mu.Unlock()
	if away != "" {
		_ = os.RemoveAll(away) // as above; it takes a while
	}
}

// moveAway gives a folder, if it is there, another name in the folder aside.
func moveAway(dir, aside string) (away string, err error) {
	if away, err = os.MkdirTemp(aside, "gone-"); err != nil {
		return "", err
	}
	if err = os.Rename(dir, filepath.Join(away, "cache")); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return away, err
}
