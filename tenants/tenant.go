package tenants

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Tenant is a customer: what it owns.
type Tenant struct {
	name      string
	createdAt time.Time
	functions atomic.Pointer[map[string]*Function] // the map and its values are replaced, never changed
	limits    atomic.Pointer[Limits]               // replaced, never changed

	change sync.Mutex // held while a function's record is decided, written and shown: one at a time; before life and mu

	packages turns // publishes that want the same packages
	cache    npmCache
	building builds

	settingPackages sync.Mutex                      // held while packageSettings are read, written and shown
	packageSettings atomic.Pointer[PackageSettings] // nil: the hub's defaults

	mu         sync.Mutex               // guards publishing, records, own, and changes of functions
	publishing map[string]chan struct{} // by function: holds a token while one is published
	records    map[string]functionRecord
	own        ownLimits // replaced, never changed

	auth    tokenAuth
	origins atomic.Pointer[[]origin] // nil: pages of any origin may act as the tenant

	life    sync.RWMutex // held to read while records are written, so that none are once deleted is set
	deleted bool         // by DeleteTenant; stays so if that fails half-way, until it is repeated
}

func newTenant(name string, rec tenantRecord, limits Limits) *Tenant {
	t := &Tenant{name: name, createdAt: rec.CreatedAt, own: rec.Limits, publishing: map[string]chan struct{}{}, records: map[string]functionRecord{}}
	t.functions.Store(&map[string]*Function{})
	t.limits.Store(&limits)
	t.auth.apiKeys, t.auth.keys, t.auth.revoked = map[string]struct{}{}, map[string]*tokenKey{}, map[string]revokedToken{}
	return t
}

// Name gives the tenant's name.
func (t *Tenant) Name() string { return t.name }

// CreatedAt says when it was made.
func (t *Tenant) CreatedAt() time.Time { return t.createdAt }

// Resolve gives the version that a reference means: name or name@latest is the newest ready one, name@3
// the third, name@prod one of those at which the alias prod points. ref is not kept. It takes no lock and
// allocates nothing.
func (t *Tenant) Resolve(ref string) (*Version, error) {
	v, _, err := t.ResolveFor(ref, "")
	return v, err
}

// ResolveFor is Resolve where an alias chooses the same version each time for the same key; via says how
// the version was found: "" as the latest, ViaVersion, or the alias.
func (t *Tenant) ResolveFor(ref, key string) (v *Version, via string, err error) {
	name, wanted, given := strings.Cut(ref, "@")
	fn, err := t.Function(name)
	if err != nil {
		return nil, "", err
	}
	if given && wanted == "" {
		return nil, "", fault.New(fault.NotFound, "Behind %s@ there is no version or alias.", fn.Name)
	}
	return fn.resolve(wanted, key)
}

// Version gives a version, whether it can be called or not, as long as there is it.
func (t *Tenant) Version(name string, number int) (*Version, error) {
	fn, err := t.Function(name)
	if err != nil {
		return nil, err
	}
	if v := fn.Version(number); v != nil {
		return v, nil
	}
	return nil, fn.usable(number)
}

// Function gives a function by its name.
func (t *Tenant) Function(name string) (*Function, error) {
	if fn, ok := (*t.functions.Load())[name]; ok {
		return fn, nil
	}
	return nil, noFunction(name)
}

// Functions lists the functions by name.
func (t *Tenant) Functions() []*Function {
	var fns []*Function
	for _, fn := range *t.functions.Load() {
		fns = append(fns, fn)
	}
	slices.SortFunc(fns, func(a, b *Function) int { return cmp.Compare(a.Name, b.Name) })
	return fns
}

func noFunction(name string) error {
	return fault.New(fault.NotFound, "There is no function %q.", strings.Clone(name))
}

func noTenant(name string) error { return fault.New(fault.NotFound, "There is no tenant %q.", name) }

// checkName says what is wrong with the name of a tenant or function.
func checkName(what, name string) error {
	ok := len(name) >= 1 && len(name) <= 64
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !ok {
		return fault.New(fault.InvalidRequest, "%q is not a %s's name: 1 to 64 letters, digits, _ and -.", name, what)
	}
	return nil
}
