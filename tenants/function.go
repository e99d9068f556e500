package tenants

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Function is a named function with its versions. It is never changed: a publish replaces it.
type Function struct {
	Name     string
	Latest   int // the newest ready version; 0: none is
	versions []*Version
	latest   *Version // that of Latest
	aliases  map[string]*Alias
	going    map[int]bool // versions that are being deleted: nothing new is to mean them
	gate     *gate        // of all versions, for the deletion of the function
}

// Versions lists the versions, oldest first.
func (fn *Function) Versions() []*Version { return slices.Clone(fn.versions) }

// Version gives a version by its number; nil if there is none.
func (fn *Function) Version(number int) *Version {
	i, ok := slices.BinarySearchFunc(fn.versions, number, func(v *Version, n int) int { return v.Number - n })
	if !ok {
		return nil
	}
	return fn.versions[i]
}

// Alias gives an alias by its name; nil if there is none.
func (fn *Function) Alias(name string) *Alias { return fn.aliases[name] }

// Aliases lists the aliases by name.
func (fn *Function) Aliases() []*Alias {
	return slices.SortedFunc(maps.Values(fn.aliases), func(a, b *Alias) int { return cmp.Compare(a.Name, b.Name) })
}

// Current reports whether calls may come to a version that do not name it: as the latest, or by an alias.
func (fn *Function) Current(number int) bool {
	if number == fn.Latest {
		return true
	}
	for _, a := range fn.aliases {
		if slices.ContainsFunc(a.Targets, func(t Target) bool { return t.Version == number }) {
			return true
		}
	}
	return false
}

// PausesOnDeploy reports whether a version wants what runs on it to be paused when calls go to another.
func (fn *Function) PausesOnDeploy() bool {
	return slices.ContainsFunc(fn.versions, func(v *Version) bool { return v.Settings.OnDeploy == DeployPause })
}

// Later gives the version to which calls go now that were made like one that came to v: via says how, and
// key who it was. nil: they may still come to v.
func (fn *Function) Later(v *Version, via, key string) *Version {
	switch via {
	case "":
		if fn.latest != v {
			return fn.latest
		}
	case ViaVersion:
	default:
		a := fn.aliases[via]
		if a == nil || a.reaches(v) {
			return nil
		}
		if next := a.pick(key); next != nil && next.State == Ready {
			return next
		}
	}
	return nil
}

// NewestReady gives the newest ready version, also one that is being deleted, which may yet stay; nil: none is.
func (fn *Function) NewestReady() *Version {
	for _, v := range slices.Backward(fn.versions) {
		if v.State == Ready {
			return v
		}
	}
	return nil
}

// withLatest finds the newest ready version that is not being deleted.
func (fn *Function) withLatest() *Function {
	fn.Latest, fn.latest = 0, nil
	for _, v := range slices.Backward(fn.versions) {
		if v.State == Ready && !fn.going[v.Number] {
			fn.Latest, fn.latest = v.Number, v
			break
		}
	}
	return fn
}

// usable says why a version can't be called, if so.
func (fn *Function) usable(number int) error {
	v := fn.Version(number)
	switch {
	case v == nil:
		return fault.New(fault.NotFound, "The function %q has no version %d; its latest is %d.", fn.Name, number, fn.Latest)
	case v.State == Broken:
		return fault.New(fault.VersionBroken, "Version %d of the function %q is broken. %s", number, fn.Name, v.Error)
	case fn.going[number]:
		return fault.New(fault.Conflict, "Version %d of the function %q is being deleted.", number, fn.Name)
	}
	return nil
}

// ViaVersion says that a reference named a version by its number. No alias has such a name.
const ViaVersion = "@"

// resolve gives the version that is meant by what stands behind the function's name and an @, and how it
// was found: "" as the latest, ViaVersion, or the alias.
func (fn *Function) resolve(wanted, key string) (v *Version, via string, err error) {
	v = fn.latest
	if wanted == "" || wanted == "latest" {
		if v == nil {
			return nil, "", fault.New(fault.VersionBroken, "No version of the function %q is ready. %s", fn.Name, fn.versions[len(fn.versions)-1].Error)
		}
		return v, "", v.runnable()
	}
	if number, ok := parseNumber(wanted); ok {
		via = ViaVersion
		if v = fn.Version(number); v == nil {
			return nil, "", fn.usable(number)
		}
	} else {
		a := fn.aliases[wanted]
		if a == nil {
			return nil, "", fault.New(fault.NotFound, "The function %q has no version or alias %q.", fn.Name, strings.Clone(wanted))
		}
		via = a.Name // not wanted, which is the caller's
		if v = a.pick(key); v == nil {
			return nil, "", fault.New(fault.NotFound, "The versions that the alias %q of the function %q points at are gone.", a.Name, fn.Name)
		}
	}
	if v.State == Broken {
		return nil, "", fn.usable(v.Number)
	}
	return v, via, v.runnable()
}

// MarshalJSON gives {name, latest, versions, aliases, state, updatedAt, settings}: state and settings are the
// latest version's, or, if none is ready, the newest one's.
func (fn *Function) MarshalJSON() ([]byte, error) {
	newest := fn.versions[len(fn.versions)-1]
	current := fn.Version(fn.Latest)
	if current == nil {
		current = newest
	}
	return json.Marshal(struct {
		Name      string            `json:"name"`
		Latest    int               `json:"latest"`
		Versions  int               `json:"versions"`
		Aliases   map[string]*Alias `json:"aliases"`
		State     VersionState      `json:"state"`
		UpdatedAt string            `json:"updatedAt"`
		Settings  Settings          `json:"settings"`
	}{fn.Name, fn.Latest, len(fn.versions), cloned(fn.aliases), current.State, shownTime(newest.CreatedAt), current.Settings})
}

// VersionState says whether a version can be called.
type VersionState string

// The states of a version.
const (
	Ready  VersionState = "ready"
	Broken VersionState = "broken" // it could not be installed or loaded; Error says why
)

// Version is one immutable version of a function.
type Version struct {
	Tenant, Function string
	Number           int
	State            VersionState
	Hash             string // sha256 of its files and settings, hex
	Dir              string // absolute folder of its files and node_modules
	Settings         Settings
	CreatedAt        time.Time
	Installed        map[string]string // its direct dependencies and their installed versions
	Took             time.Duration     // what publishing took
	Error            string            // why it is broken

	packages string    // hash of what decided on its packages; "": nobody else has the same
	resolved time.Time // when they were chosen
	registry *Registry
	why      error        // the fault that its publish gave, if it is broken and was published by this process
	runtime  *nodeRuntime // nil: the hub's own Node
	gate     *gate
	function *gate        // of all versions of the function
	surplus  *atomic.Bool // it is to go as soon as nothing needs it
}

// Surplus reports whether the version is to go as soon as nothing needs it.
func (v *Version) Surplus() bool { return v.surplus.Load() }

// MarshalJSON gives {name, version, state, hash, createdAt, installed, ms, error, settings, node}.
func (v *Version) MarshalJSON() ([]byte, error) {
	installed := v.Installed
	if installed == nil {
		installed = map[string]string{}
	}
	return json.Marshal(struct {
		Name      string            `json:"name"`
		Version   int               `json:"version"`
		State     VersionState      `json:"state"`
		Hash      string            `json:"hash"`
		CreatedAt string            `json:"createdAt"`
		Installed map[string]string `json:"installed"`
		MS        int64             `json:"ms"`
		Error     string            `json:"error,omitempty"`
		Settings  Settings          `json:"settings"`
		Node      string            `json:"node"`
	}{v.Function, v.Number, v.State, v.Hash, shownTime(v.CreatedAt), installed, v.Took.Milliseconds(), v.Error, v.Settings, v.NodeVersion()})
}

// Log gives what installing it printed.
func (v *Version) Log() ([]byte, error) {
	b, err := v.registry.store.Get(logKey(v.Tenant, v.Function, v.Number))
	if err != nil {
		return nil, fmt.Errorf("read the install log of %s@%d: %w", v.Function, v.Number, err)
	}
	return b, nil
}

// Source gives its files as they were published, but for the secrets in package.json, and with the lock
// file.
func (v *Version) Source() (map[string][]byte, error) {
	return readTree(v.Dir, 2*int64(v.registry.cfg.MaxTreeSize)) // as much as was published, and a lock file
}

// Lock gives its lock file; nil if it has no dependencies.
func (v *Version) Lock() ([]byte, error) {
	limit := int64(v.registry.cfg.MaxTreeSize)
	if b, err := readIfThere(v.Dir, shrinkwrap, limit); b != nil || err != nil {
		return b, err
	}
	return readIfThere(v.Dir, lockFile, limit)
}

func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// unready is the fault of a publish that gave a broken version.
func (v *Version) unready(code fault.Code, cause error) error {
	return fault.Because(cause, code, "Version %d of %s is broken: %s", v.Number, v.Function, v.Error)
}
