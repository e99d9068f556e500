package tenants

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Bounds of aliases.
const (
	maxAliases = 100       // of one function
	maxTargets = 16        // versions among which one chooses
	maxWeight  = 1_000_000 // of one of them
)

// Target is a version that an alias points at, and its part in all weights of the alias.
type Target struct {
	Version int `json:"version"`
	Weight  int `json:"weight"`
}

// Alias is a name for a version of a function, or for several among which each call chooses. It is never
// changed: a new value takes its place.
type Alias struct {
	Name      string
	Targets   []Target // by version; one means all calls
	Previous  []Target // where it pointed before, for a rollback; nil: nowhere
	UpdatedAt time.Time

	versions []*Version // of the targets
	upTo     []uint32   // of each target: the sum of the weights so far
}

// newAlias makes the alias of a record; a target that is not among the function's versions is left out.
func newAlias(name string, rec aliasRecord, fn *Function) *Alias {
	a := &Alias{Name: name, Previous: rec.Previous, UpdatedAt: rec.UpdatedAt}
	sum := uint32(0)
	for _, target := range rec.Targets {
		v := fn.Version(target.Version)
		if v == nil {
			continue
		}
		sum += uint32(target.Weight) //nolint:gosec // checked: at most maxTargets times maxWeight
		a.Targets, a.versions, a.upTo = append(a.Targets, target), append(a.versions, v), append(a.upTo, sum)
	}
	return a
}

// pick chooses a version: by chance, or, with a key, always the same for the same key and weights.
func (a *Alias) pick(key string) *Version {
	switch {
	case len(a.versions) == 0:
		return nil
	case len(a.versions) == 1:
		return a.versions[0]
	}
	all := a.upTo[len(a.upTo)-1]
	at := uint32(0)
	if key == "" {
		at = rand.Uint32N(all) //nolint:gosec // not a secret; the runtime's own, so without a lock
	} else {
		sum := sha256.Sum256([]byte(key))
		at = uint32(binary.BigEndian.Uint64(sum[:]) % uint64(all)) //nolint:gosec // less than all
	}
	i := 0
	for at >= a.upTo[i] {
		i++
	}
	return a.versions[i]
}

// reaches reports whether calls of the alias may come to v: a weight of 0 sends none.
func (a *Alias) reaches(v *Version) bool {
	i := slices.Index(a.versions, v)
	return i >= 0 && (len(a.versions) == 1 || a.Targets[i].Weight > 0)
}

// shownTargets is how users write targets: {"version": 3}, or {"weights": {"3": 90, "4": 10}}.
type shownTargets struct {
	Version int            `json:"version,omitempty"`
	Weights map[string]int `json:"weights,omitempty"`
}

func shown(targets []Target) *shownTargets {
	switch len(targets) {
	case 0:
		return nil
	case 1:
		return &shownTargets{Version: targets[0].Version}
	}
	weights := make(map[string]int, len(targets))
	for _, target := range targets {
		weights[strconv.Itoa(target.Version)] = target.Weight
	}
	return &shownTargets{Weights: weights}
}

// MarshalJSON gives {name, version | weights, previous, updatedAt}.
func (a *Alias) MarshalJSON() ([]byte, error) {
	out := struct {
		Name string `json:"name"`
		shownTargets
		Previous  *shownTargets `json:"previous,omitempty"`
		UpdatedAt string        `json:"updatedAt"`
	}{Name: a.Name, Previous: shown(a.Previous), UpdatedAt: shownTime(a.UpdatedAt)}
	if t := shown(a.Targets); t != nil {
		out.shownTargets = *t
	}
	return json.Marshal(out)
}

// ParseTargets reads {"version": 3} or {"weights": {"3": 90, "4": 10}}.
func ParseTargets(b []byte) ([]Target, error) {
	var version *int
	var weights map[string]json.RawMessage
	if err := readFields("alias", b, map[string]any{"version": &version, "weights": &weights}); err != nil {
		return nil, err
	}
	if (version == nil) == (weights == nil) {
		return nil, fault.New(fault.InvalidRequest, `alias: it is {"version": 3} or {"weights": {"3": 90, "4": 10}}.`)
	}
	if version != nil {
		if *version < 1 {
			return nil, fault.New(fault.InvalidRequest, "alias.version: it is the number of a version.")
		}
		return []Target{{Version: *version, Weight: 1}}, nil
	}
	if len(weights) == 0 || len(weights) > maxTargets {
		return nil, fault.New(fault.InvalidRequest, "alias.weights: there are 1 to %d.", maxTargets)
	}
	var targets []Target
	for _, text := range slices.Sorted(maps.Keys(weights)) {
		number, ok := parseNumber(text)
		if !ok {
			return nil, fault.New(fault.InvalidRequest, "alias.weights.%.40s: the name is not the number of a version.", text)
		}
		target := Target{Version: number}
		if err := readMembers("alias.weights", map[string]json.RawMessage{text: weights[text]}, map[string]any{text: &target.Weight}); err != nil {
			return nil, err
		}
		if target.Weight < 0 || target.Weight > maxWeight {
			return nil, fault.New(fault.InvalidRequest, "alias.weights.%s: it is 0 to %d.", text, maxWeight)
		}
		targets = append(targets, target)
	}
	if !slices.ContainsFunc(targets, func(t Target) bool { return t.Weight > 0 }) {
		return nil, fault.New(fault.InvalidRequest, "alias.weights: one must be above 0.")
	}
	slices.SortFunc(targets, func(a, b Target) int { return cmp.Compare(a.Version, b.Version) })
	return targets, nil
}

// parseNumber reads a version's number in the one way in which it may be written.
func parseNumber(s string) (n int, ok bool) {
	if len(s) == 0 || len(s) > 9 || s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func checkAlias(name string) error {
	if err := checkName("alias", name); err != nil {
		return err
	}
	if name == "latest" {
		return fault.New(fault.InvalidRequest, "latest always means the newest ready version. Take another name for the alias, such as prod.")
	}
	if strings.Trim(name, "0123456789") == "" {
		return fault.New(fault.InvalidRequest, "%q is a number, which means a version. Take another name for the alias, such as prod.", name)
	}
	return nil
}

// SetAlias points an alias of a function at ready versions; created says that there was none of the name.
// Calls that come after it has returned go there.
func (r *Registry) SetAlias(ctx context.Context, t *Tenant, name, alias string, targets []Target) (a *Alias, created bool, err error) {
	if err := checkAlias(alias); err != nil {
		return nil, false, err
	}
	a, err = r.changeAlias(ctx, t, name, alias, func(fn *Function, old *Alias) (*aliasRecord, error) {
		created = old == nil
		if created && len(fn.aliases) >= maxAliases {
			return nil, fault.New(fault.Conflict, "The function %q has %d aliases already.", name, maxAliases)
		}
		rec := &aliasRecord{Targets: targets, UpdatedAt: time.Now().UTC()}
		if old != nil {
			if rec.Previous = old.Previous; !slices.Equal(old.Targets, targets) {
				rec.Previous = old.Targets
			}
		}
		return rec, nil
	})
	return a, created, err
}

// Rollback points an alias back at where it pointed before; a second one undoes the first.
func (r *Registry) Rollback(ctx context.Context, t *Tenant, name, alias string) (*Alias, error) {
	return r.changeAlias(ctx, t, name, alias, func(_ *Function, old *Alias) (*aliasRecord, error) {
		switch {
		case old == nil:
			return nil, noAlias(name, alias)
		case len(old.Previous) == 0:
			return nil, fault.New(fault.Conflict, "The alias %q of the function %q has pointed nowhere else before.", alias, name)
		}
		return &aliasRecord{Targets: old.Previous, Previous: old.Targets, UpdatedAt: time.Now().UTC()}, nil
	})
}

// DeleteAlias deletes an alias. What runs is not touched.
func (r *Registry) DeleteAlias(ctx context.Context, t *Tenant, name, alias string) error {
	_, err := r.changeAlias(ctx, t, name, alias, func(_ *Function, old *Alias) (*aliasRecord, error) {
		if old == nil {
			return nil, noAlias(name, alias)
		}
		return nil, nil
	})
	return err
}

func noAlias(name, alias string) error {
	return fault.New(fault.NotFound, "The function %q has no alias %q.", name, alias)
}

// changeAlias puts what decide gives in the place of an alias, on disk and then for all; nil deletes it.
func (r *Registry) changeAlias(ctx context.Context, t *Tenant, name, alias string, decide func(fn *Function, old *Alias) (*aliasRecord, error)) (a *Alias, err error) {
	err = r.changeFunction(ctx, t, name, func(fn *Function, rec *functionRecord) error {
		next, err := decide(fn, fn.aliases[alias])
		if err != nil {
			return err
		}
		fn.aliases, rec.Aliases = cloned(fn.aliases), cloned(rec.Aliases)
		delete(fn.aliases, alias)
		delete(rec.Aliases, alias)
		if next == nil {
			return nil
		}
		for _, target := range next.Targets {
			if err := fn.usable(target.Version); err != nil {
				return err
			}
		}
		a = newAlias(alias, *next, fn)
		fn.aliases[alias], rec.Aliases[alias] = a, *next
		return nil
	})
	return a, err
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
