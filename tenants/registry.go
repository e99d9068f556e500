package tenants

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/puzpuzpuz/xsync/v3"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/sandbox"
	"github.com/livefn/livefn/internal/store"
)

// Config sets the registry up. Zero values are the defaults given beside the fields.
type Config struct {
	Dir            string         // folder of the versions' files
	Node           string         // program that npm and packages' scripts find as node: the first in PATH
	Runtimes       string         // folder of the Nodes that ranges of engines.node ask for: "runtimes" beside Dir
	NodeRuntimes   int            // how many are kept; 0: none is installed
	RuntimeRetry   time.Duration  // first pause between attempts to install one that is missing at the start: 10 s
	Npm            string         // program that installs packages: npm
	AdminKey       string         // the operator's key; "": there is none
	AllowScripts   bool           // run packages' lifecycle scripts on install where a tenant says nothing, and without walls
	Walls          *sandbox.Walls // around installs; nil: none
	InstallTimeout time.Duration  // 5 min
	InstallMemory  int64          // bytes in use by one at once: 2 GiB
	InstallDisk    int64          // bytes that one may have in files, with what it adds to npm's cache: 2 GiB
	InstallCache   int64          // bytes that npm may keep of what it fetched for a tenant, between installs: 2 GiB
	InstallOutput  int            // bytes that one may print: 16 MiB
	ResolveAgain   time.Duration  // how long versions chosen without a lock file are taken over: 10 min
	MaxFiles       int            // files of a version: 2,000
	MaxFileSize    int            // bytes of one: 32 MiB
	MaxTreeSize    int            // bytes of all: 64 MiB
	MaxLog         int            // bytes kept of an install's log: 256 KiB
	KeepVersions   int            // newest versions of a function that are kept, where its settings say nothing: 50; -1: all
	Limits         Limits         // of a tenant that was not given its own; DefaultLimits is where to begin
	MaxToken       int            // bytes of a token: 8 KiB
	MaxTokenTTL    time.Duration  // how long a token may live: 24 h; 30 d at most
	TokenLeeway    time.Duration  // how far apart the clocks of who signs tokens and the hub may be: 5 s
	TokenCache     int            // tokens that are remembered once they were verified: 16,384
	MaxTokenKeys   int            // keys for tokens of one tenant: 32
	MaxRevoked     int            // revocations of one tenant that are kept: 100,000
	MaxOrigins     int            // origins of one tenant's pages: 100

	SecretKey        MasterKey    // wraps what is secret; none: one that is made in SecretFile when it is needed
	FormerSecretKeys []MasterKey  // what they wrap is wrapped anew at Open
	SecretFile       string       // "secret.key" beside Dir
	ForgetSecrets    bool         // give up secrets whose key is none of these
	Log              *slog.Logger // slog.Default
}

func (c Config) withDefaults() Config {
	c.Npm = cmp.Or(c.Npm, "npm")
	c.InstallTimeout = cmp.Or(c.InstallTimeout, 5*time.Minute)
	c.InstallMemory = cmp.Or(c.InstallMemory, 2<<30)
	c.InstallDisk = cmp.Or(c.InstallDisk, 2<<30)
	c.InstallCache = cmp.Or(c.InstallCache, 2<<30)
	c.InstallOutput = cmp.Or(c.InstallOutput, 16<<20)
	c.ResolveAgain = cmp.Or(c.ResolveAgain, 10*time.Minute)
	c.MaxFiles = cmp.Or(c.MaxFiles, 2_000)
	c.MaxFileSize = cmp.Or(c.MaxFileSize, 32<<20)
	c.MaxTreeSize = cmp.Or(c.MaxTreeSize, 64<<20)
	c.MaxLog = cmp.Or(c.MaxLog, 256<<10)
	c.KeepVersions = cmp.Or(c.KeepVersions, 50)
	c.MaxToken = cmp.Or(c.MaxToken, 8<<10)
	c.MaxTokenTTL = min(cmp.Or(c.MaxTokenTTL, 24*time.Hour), revocationsKept)
	c.TokenLeeway = cmp.Or(c.TokenLeeway, 5*time.Second)
	c.TokenCache = cmp.Or(c.TokenCache, 16_384)
	c.MaxTokenKeys = cmp.Or(c.MaxTokenKeys, 32)
	c.MaxRevoked = cmp.Or(c.MaxRevoked, 100_000)
	c.MaxOrigins = cmp.Or(c.MaxOrigins, 100)
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	c.Runtimes = cmp.Or(c.Runtimes, filepath.Join(filepath.Dir(c.Dir), "runtimes"))
	c.RuntimeRetry = cmp.Or(c.RuntimeRetry, 10*time.Second)
	c.SecretFile = cmp.Or(c.SecretFile, filepath.Join(filepath.Dir(c.Dir), "secret.key"))
	c.Log = cmp.Or(c.Log, slog.Default())
	return c
}

// Registry holds all tenants.
type Registry struct {
	cfg      Config
	store    *store.Store
	seals    *keyring
	node     func() (*semver.Version, error) // version of the hub's node; asked once
	keys     *xsync.MapOf[[32]byte, *Grant]  // by the key's hash
	use      Use
	runtimes runtimes

	folders     sync.Mutex // guards keeping and leftFolders; held while folders are removed
	keeping     int        // those who want folders of deleted versions to stay
	leftFolders []string   // that stayed because of them
	sweeping    sync.Mutex // held while a store of packages is swept
	known       *tokenCache

	admin sync.Mutex // held while a tenant or a key is made or deleted: one at a time; before mu

	mu      sync.Mutex // guards tenants and the hooks
	tenants map[string]*Tenant
	check   func(ctx context.Context, v *Version) error
	dropped func(v *Version)
	changed func(tenant string)
	deleted func(ctx context.Context, tenant string) error
	limited func(t *Tenant)
	revoked func(tenant string)
}

// Open loads all records and sweeps away the folders that no version owns.
func Open(cfg Config, st *store.Store) (*Registry, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of functions: %w", err)
	}
	cfg.Dir = dir
	cfg = cfg.withDefaults()
	seals, err := openKeyring(cfg)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		cfg: cfg, store: st, seals: seals, keys: xsync.NewMapOf[[32]byte, *Grant](), tenants: map[string]*Tenant{}, use: unused{},
		check:    func(context.Context, *Version) error { return nil },
		dropped:  func(*Version) {},
		changed:  func(string) {},
		deleted:  func(context.Context, string) error { return nil },
		limited:  func(*Tenant) {},
		revoked:  func(string) {},
		known:    newTokenCache(cfg.TokenCache),
		node:     sync.OnceValues(cfg.nodeVersion),
		runtimes: runtimes{all: map[string]*nodeRuntime{}},
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of functions: %w", err)
	}
	if err := r.findRuntimes(); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	if err := r.sweepRuntimes(); err != nil {
		return nil, err
	}
	if err := r.sweep(); err != nil {
		return nil, err
	}
	if cfg.AdminKey != "" {
		r.keys.Store(hashKey(cfg.AdminKey), &Grant{Admin: true, KeyID: adminKeyID})
	}
	return r, nil
}

// SetCheck has f called with each new version before it is ready; its error makes the version broken.
func (r *Registry) SetCheck(f func(ctx context.Context, v *Version) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check = f
}

// OnDrop has f called with a version that was checked and comes to nothing, or is broken.
func (r *Registry) OnDrop(f func(v *Version)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = f
}

// OnChange has f called after what a tenant's references mean has changed.
func (r *Registry) OnChange(f func(tenant string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = f
}

// OnDelete has f called when a tenant is deleted, after its references mean nothing any more and before
// its records go.
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
		limits, err := rec.Limits.over(r.cfg.Limits)
		r.tenants[parts[0]] = newTenant(parts[0], rec, limits)
		return err
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
			r.storeKey(hash, &Grant{Tenant: t, KeyID: rec.ID, createdAt: rec.CreatedAt})
		}
		return err
	}); err != nil {
		return err
	}
	for _, load := range []func() error{r.loadSeals, r.loadTokenKeys, r.loadRevoked, r.loadOrigins, r.loadPackages} {
		if err := load(); err != nil {
			return err
		}
	}
	var clear []*clearVersion
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
		if len(rec.Settings.Env) > 0 {
			clear = append(clear, &clearVersion{parts[0], parts[1], n, rec})
		}
		unsealed := r.unsealEnv(parts[0], parts[1], n, &rec)
		loaded := r.version(parts[0], parts[1], n, rec)
		if unsealed != nil {
			loaded.State, loaded.Error = Broken, "Its secrets can't be opened: "+unsealed.Error()+". Publish it again."
		}
		if rec.Node != "" {
			node, err := semver.StrictNewVersion(rec.Node)
			if err != nil {
				return fmt.Errorf("read %s: the version of Node: %w", k, err)
			}
			loaded.runtime = r.runtimes.get(node)
		}
		if loaded.State == Ready && !fileExists(loaded.Dir) { // known now, and not at the first call
			loaded.State, loaded.Error = Broken, "Its files are gone from the hub's data folder. Publish it again."
		}
		versions[of] = append(versions[of], loaded)
		return nil
	}); err != nil {
		return err
	}
	r.sealClear(clear, versions)
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
		vs := versions[parts[0]+"/"+parts[1]]
		if rec.Deleted {
			for _, v := range vs { // DeleteFunction did not come so far; committed once the store runs
				r.store.Enqueue([]store.Op{{Key: versionKey(parts[0], parts[1], v.Number), Delete: true},
					{Key: logKey(parts[0], parts[1], v.Number), Delete: true}}, nil)
			}
			return nil
		}
		if len(vs) > 0 {
			fn := (&Function{Name: parts[1], versions: vs, aliases: map[string]*Alias{}, gate: &gate{}}).withLatest()
			for _, v := range vs {
				v.function = fn.gate
			}
			for name, a := range rec.Aliases {
				fn.aliases[name] = newAlias(name, a, fn)
			}
			t.setLocked(fn)
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
		Installed: rec.Installed, Took: rec.Took, Error: rec.Error,
		packages: rec.Packages, resolved: rec.Resolved, registry: r, gate: &gate{}, surplus: &atomic.Bool{},
	}
}

// Folders below Config.Dir: a tenant's versions, and what is being built.
// Folder is where each tenant has a folder of its name with what its functions consist of, and nothing else.
func (r *Registry) Folder() string { return filepath.Join(r.cfg.Dir, "tenants") }

func (r *Registry) tenantDir(tenant string) string {
	return filepath.Join(r.Folder(), tenant)
}
func (r *Registry) cacheDir(tenant string) string {
	return filepath.Join(r.cfg.Dir, "npm-cache", tenant)
}
func (r *Registry) filesDir(tenant string) string { return filepath.Join(r.cfg.Dir, "files", tenant) }
func (r *Registry) buildDir() string              { return filepath.Join(r.cfg.Dir, "building") }

// sweep removes what a crash left: builds, and folders without a record.
func (r *Registry) sweep() error {
	unfinished := fileExists(r.buildDir())
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
	swept := map[string]bool{}
	for _, dir := range folders {
		if !owned[dir] {
			swept[filepath.Base(filepath.Dir(dir))] = true
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("sweep a folder without a record: %w", err)
			}
		}
	}
	stores, err := filepath.Glob(r.filesDir("*"))
	if err != nil {
		return fmt.Errorf("sweep the files of packages: %w", err)
	}
	for _, dir := range stores {
		name := filepath.Base(dir)
		if r.tenants[name] == nil {
			err = os.RemoveAll(dir)
		} else if swept[name] || unfinished || fileExists(filepath.Join(dir, unswept)) { // else all are in use
			err = sweepFiles(dir)
		}
		if err != nil {
			return err
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
	return nil, noTenant(name)
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
	r.admin.Lock()
	defer r.admin.Unlock()
	if _, err := r.Tenant(name); err == nil {
		return nil, "", fault.New(fault.Conflict, "There is a tenant %q already.", name)
	}
	if r.keeps(r.tenantDir(name)) {
		return nil, "", fault.New(fault.Conflict, "There was a tenant %q, whose files a backup still reads. Try again when it has ended.", name)
	}
	rec := tenantRecord{CreatedAt: time.Now().UTC()}
	t := newTenant(name, rec, r.cfg.Limits)
	secret, hash, key := newKey(name)
	if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(tenantKey(name), rec), putRecord(keyKey(hash), key)); err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	r.tenants[name] = t
	r.mu.Unlock()
	r.storeKey(hash, &Grant{Tenant: t, KeyID: key.ID, createdAt: key.CreatedAt})
	return t, secret, nil
}

// DeleteTenant deletes a tenant with its keys, functions and files. Its keys go first and its own record
// last: if it fails half-way nobody comes in any more, the tenant is still listed, and it is to be
// repeated. A later tenant of the same name finds nothing.
func (r *Registry) DeleteTenant(ctx context.Context, name string) error {
	r.admin.Lock()
	defer r.admin.Unlock()
	t, err := r.Tenant(name)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.deleteKeys(ctx, t, func(*Grant) bool { return true }); err != nil {
		return err
	}
	t.life.Lock() // waits for records that are being written
	t.deleted = true
	t.functions.Store(&map[string]*Function{})
	t.life.Unlock()
	t.building.end(noTenant(name)) // and for installs
	t.auth.change(func() { t.auth.closed = true })
	r.tellRevoked(name)
	r.tellChanged(name)
	r.mu.Lock()
	deleted := r.deleted
	r.mu.Unlock()
	if err := deleted(ctx, name); err != nil {
		return fmt.Errorf("delete what belongs to tenant %s: %w", name, err)
	}
	var ops []store.Op
	for _, prefix := range tenantPrefixes(name) {
		if err := r.scan(prefix, func(k []byte, _ []string, _ []byte) error {
			ops = append(ops, store.Op{Key: k, Delete: true})
			return nil
		}); err != nil {
			return err
		}
	}
	if err := r.commitInParts(ctx, append(ops, store.Op{Key: tenantKey(name), Delete: true})); err != nil {
		return err
	}
	r.folders.Lock()
	r.removeLocked(r.tenantDir(name))
	r.folders.Unlock()
	_ = os.RemoveAll(r.cacheDir(name)) // what stays is swept at the next Open
	_ = os.RemoveAll(r.filesDir(name))
	r.seals.forget(name)
	r.mu.Lock()
	delete(r.tenants, name)
	r.mu.Unlock()
	r.tellChanged(name)
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
