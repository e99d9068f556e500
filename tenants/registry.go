package tenants

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Config sets the registry up. Zero values are the defaults given beside the fields.
type Config struct {
	Dir            string        // folder of the versions' files
	Npm            string        // program that installs packages: npm
	AdminKey       string        // the operator's key; "": there is none
	AllowScripts   bool          // run packages' lifecycle scripts on install
	InstallTimeout time.Duration // 5 min
	MaxFiles       int           // files of a version: 2,000
	MaxFileSize    int           // bytes of one: 32 MiB
	MaxTreeSize    int           // bytes of all: 64 MiB
	MaxLog         int           // bytes kept of an install's log: 256 KiB
}

func (c Config) withDefaults() Config {
	c.Npm = cmp.Or(c.Npm, "npm")
	c.InstallTimeout = cmp.Or(c.InstallTimeout, 5*time.Minute)
	c.MaxFiles = cmp.Or(c.MaxFiles, 2_000)
	c.MaxFileSize = cmp.Or(c.MaxFileSize, 32<<20)
	c.MaxTreeSize = cmp.Or(c.MaxTreeSize, 64<<20)
	c.MaxLog = cmp.Or(c.MaxLog, 256<<10)
	return c
}

// Registry holds all tenants.
type Registry struct {
	cfg   Config
	store *store.Store
	keys  *xsync.MapOf[[32]byte, *Grant] // by the key's hash

	mu      sync.Mutex // guards tenants and the hooks
	tenants map[string]*Tenant
	check   func(ctx context.Context, v *Version) error
	changed func(tenant string)
	deleted func(ctx context.Context, tenant string) error
}

// Open loads all records and sweeps away the folders that no version owns.
func Open(cfg Config, st *store.Store) (*Registry, error) {
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of functions: %w", err)
	}
	cfg.Dir = dir
	r := &Registry{
		cfg: cfg, store: st, keys: xsync.NewMapOf[[32]byte, *Grant](), tenants: map[string]*Tenant{},
		check:   func(context.Context, *Version) error { return nil },
		changed: func(string) {},
		deleted: func(context.Context, string) error { return nil },
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of functions: %w", err)
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	if err := r.sweep(); err != nil {
		return nil, err
	}
	if cfg.AdminKey != "" {
		r.keys.Store(hashKey(cfg.AdminKey), &Grant{Admin: true, KeyID: "admin"})
	}
	return r, nil
}

// SetCheck has f called with each new version before it is ready; its error makes the version broken.
func (r *Registry) SetCheck(f func(ctx context.Context, v *Version) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check = f
}

// OnChange has f called after what a tenant's references mean has changed.
func (r *Registry) OnChange(f func(tenant string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = f
}

// OnDelete has f called when a tenant is deleted, before its records go.
func (r *Registry) OnDelete(f func(ctx context.Context, tenant string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deleted = f
}

func (r *Registry) load() error {
	if err := r.scan(tenantsPrefix, func(k []byte, parts []string, v []byte) error {
		var rec tenantRecord
		if err := readRecord(k, v, &rec); err != nil {
			return err
		}
		r.tenants[parts[0]] = newTenant(parts[0], rec.CreatedAt)
		return nil
	}); err != nil {
		return err
	}
	if err := r.scan(keysPrefix, func(k []byte, parts []string, v []byte) error {
		var rec keyRecord
		if err := readRecord(k, v, &rec); err != nil {
			return err
		}
		hash, err := parseHash(parts[0])
		if t := r.tenants[rec.Tenant]; t != nil && err == nil {
			r.keys.Store(hash, &Grant{Tenant: t, KeyID: rec.ID, createdAt: rec.CreatedAt})
		}
		return err
	}); err != nil {
		return err
	}
	versions := map[string][]*Version{} // by tenant/function
	if err := r.scan(versionsPrefix, func(k []byte, parts []string, v []byte) error {
		var rec versionRecord
		if err := readRecord(k, v, &rec); err != nil {
			return err
		}
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			return fmt.Errorf("read %s: %w", k, err)
		}
		of := parts[0] + "/" + parts[1]
		versions[of] = append(versions[of], r.version(parts[0], parts[1], n, rec))
		return nil
	}); err != nil {
		return err
	}
	return r.scan(functionsPrefix, func(k []byte, parts []string, v []byte) error {
		var rec functionRecord
		if err := readRecord(k, v, &rec); err != nil {
			return err
		}
		t := r.tenants[parts[0]]
		if t == nil {
			return nil
		}
		t.records[parts[1]] = rec
		if vs := versions[parts[0]+"/"+parts[1]]; !rec.Deleted && len(vs) > 0 {
			t.setLocked(&Function{Name: parts[1], Latest: rec.Latest, versions: vs})
		}
		return nil
	})
}

func (r *Registry) scan(prefix string, f func(k []byte, parts []string, v []byte) error) error {
	return r.store.Scan(store.Range{Prefix: []byte(prefix)}, func(k, v []byte) (bool, error) {
		return true, f(k, partsOf(k), v)
	})
}

func (r *Registry) version(tenant, fn string, n int, rec versionRecord) *Version {
	return &Version{
		Tenant: tenant, Function: fn, Number: n, State: rec.State, Hash: rec.Hash,
		Dir: filepath.Join(r.tenantDir(tenant), rec.Folder), Settings: Settings(rec.Settings), CreatedAt: rec.CreatedAt,
		Installed: rec.Installed, Took: rec.Took, Error: rec.Error, registry: r,
	}
}

// Folders below Config.Dir: a tenant's versions, and what is being built.
func (r *Registry) tenantDir(tenant string) string {
	return filepath.Join(r.cfg.Dir, "tenants", tenant)
}
func (r *Registry) buildDir() string { return filepath.Join(r.cfg.Dir, "building") }

// sweep removes what a crash left: builds, and folders without a record.
func (r *Registry) sweep() error {
	if err := os.RemoveAll(r.buildDir()); err != nil {
		return fmt.Errorf("sweep unfinished builds: %w", err)
	}
	owned := map[string]bool{}
	for _, t := range r.tenants {
		for _, fn := range t.Functions() {
			for _, v := range fn.versions {
				owned[v.Dir] = true
			}
		}
	}
	folders, err := filepath.Glob(filepath.Join(r.cfg.Dir, "tenants", "*", "*"))
	if err != nil {
		return fmt.Errorf("sweep folders: %w", err)
	}
	for _, dir := range folders {
		if !owned[dir] {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("sweep a folder without a record: %w", err)
			}
		}
	}
	return nil
}

// Tenant gives a tenant by its name.
func (r *Registry) Tenant(name string) (*Tenant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.tenants[name]; ok {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "There is no tenant %q.", name)
}

// Tenants lists all tenants by name.
func (r *Registry) Tenants() []*Tenant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.tenants), func(a, b *Tenant) int { return cmp.Compare(a.name, b.name) })
}

// CreateTenant makes a tenant with its first key, which is shown this once.
func (r *Registry) CreateTenant(ctx context.Context, name string) (*Tenant, string, error) {
	if err := checkName("tenant", name); err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	if _, ok := r.tenants[name]; ok {
		r.mu.Unlock()
		return nil, "", fault.New(fault.Conflict, "There is a tenant %q already.", name)
	}
	t := newTenant(name, time.Now().UTC())
	r.tenants[name] = t
	r.mu.Unlock()
	secret, hash, key := newKey(name)
	err := r.store.Commit(ctx, putRecord(tenantKey(name), tenantRecord{t.createdAt}), putRecord(keyKey(hash), key))
	if err != nil {
		r.mu.Lock()
		delete(r.tenants, name)
		r.mu.Unlock()
		return nil, "", err
	}
	r.keys.Store(hash, &Grant{Tenant: t, KeyID: key.ID, createdAt: key.CreatedAt})
	return t, secret, nil
}

// DeleteTenant deletes a tenant with its keys and functions. Its folders go at the next Open, so that
// what still runs is not broken.
func (r *Registry) DeleteTenant(ctx context.Context, name string) error {
	t, err := r.Tenant(name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	deleted, changed := r.deleted, r.changed
	r.mu.Unlock()
	r.keys.Range(func(hash [32]byte, g *Grant) bool { // first, so that nobody comes in any more
		if g.Tenant == t {
			r.keys.Delete(hash)
		}
		return true
	})
	if err := deleted(ctx, name); err != nil {
		return fmt.Errorf("delete what belongs to tenant %s: %w", name, err)
	}
	var ops []store.Op
	for _, prefix := range []string{functionsPrefix + name + "/", versionsPrefix + name + "/", "t/l/" + name + "/"} {
		if err := r.scan(prefix, func(k []byte, _ []string, _ []byte) error {
			ops = append(ops, store.Op{Key: k, Delete: true})
			return nil
		}); err != nil {
			return err
		}
	}
	if err := r.scan(keysPrefix, func(k []byte, _ []string, v []byte) error {
		var rec keyRecord
		if err := readRecord(k, v, &rec); err == nil && rec.Tenant == name {
			ops = append(ops, store.Op{Key: k, Delete: true})
		}
		return nil
	}); err != nil {
		return err
	}
	if err := r.store.Commit(ctx, append(ops, store.Op{Key: tenantKey(name), Delete: true})...); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.tenants, name)
	r.mu.Unlock()
	changed(name)
	return nil
}

// setLocked replaces a function, or removes it if it has no versions.
func (t *Tenant) setLocked(fn *Function) {
	fns := maps.Clone(*t.functions.Load())
	if len(fn.versions) == 0 {
		delete(fns, fn.Name)
	} else {
		fns[fn.Name] = fn
	}
	t.functions.Store(&fns)
}

func readIfThere(dir, name string) ([]byte, error) {
	b, err := fs.ReadFile(os.DirFS(dir), name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b, err
}
