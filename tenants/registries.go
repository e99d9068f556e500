package tenants

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/fault"
)

// Bounds of a tenant's settings of packages.
const (
	maxRegistries    = 50
	maxRegistryURL   = 1024
	maxRegistryToken = 8 << 10
)

// What PackageSettings.Scripts may be.
const (
	ScriptsNone = "none" // no script of a package or of the function runs
	ScriptsAll  = "all"  // npm runs them as it does by itself
)

// PackageSettings say how a tenant's packages are installed. They are never changed: new ones take their place.
type PackageSettings struct {
	Scripts  string            // "": the hub's default
	Registry string            // "": the hub's
	Scopes   map[string]string // registries of scopes: @acme → address
	Tokens   map[string]string // of registries, by their addresses; secret
}

// packagesRecord is PackageSettings in the store.
type packagesRecord struct {
	Scripts  string            `json:"scripts,omitempty"`
	Registry string            `json:"registry,omitempty"`
	Scopes   map[string]string `json:"scopes,omitempty"`
	Sealed   []byte            `json:"sealed,omitempty"` // tokens
}

const packagesPurpose = "tokens of registries"

// MarshalJSON gives {scripts, registry, scopes, tokens}: of tokens only for which registries there are some.
func (p *PackageSettings) MarshalJSON() ([]byte, error) {
	scopes := p.Scopes
	if scopes == nil {
		scopes = map[string]string{}
	}
	return json.Marshal(struct {
		Scripts  string            `json:"scripts"`
		Registry string            `json:"registry,omitempty"`
		Scopes   map[string]string `json:"scopes"`
		Tokens   []string          `json:"tokens"`
	}{p.Scripts, p.Registry, scopes, slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(p.Tokens))))})
}

// String and GoString keep tokens out of logs.
func (p *PackageSettings) String() string {
	b, err := p.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// GoString is String.
func (p *PackageSettings) GoString() string { return p.String() }

// npmrc gives the settings as lines of an .npmrc.
func (p *PackageSettings) npmrc(tokens bool) (rc []byte) {
	if p.Registry != "" {
		rc = fmt.Appendf(rc, "registry=%s\n", p.Registry)
	}
	for _, scope := range slices.Sorted(maps.Keys(p.Scopes)) {
		rc = fmt.Appendf(rc, "%s:registry=%s\n", scope, p.Scopes[scope])
	}
	for _, at := range slices.Sorted(maps.Keys(p.Tokens)) {
		if _, place, ok := strings.Cut(at, ":"); ok && tokens {
			rc = fmt.Appendf(rc, "%s:_authToken=%s\n", place, p.Tokens[at])
		}
	}
	return rc
}

var (
	scopeName     = regexp.MustCompile(`^@[a-z0-9][a-z0-9._-]{0,63}$`)
	registryToken = regexp.MustCompile(`^[!-~]+$`) // printable, without spaces: it stands in a header and in a line
)

// parsePackages reads settings of packages. A token true stays what it is in old.
func parsePackages(b []byte, old *PackageSettings) (*PackageSettings, error) {
	const where = "packages"
	p := &PackageSettings{}
	var tokens map[string]any
	if err := readFields(where, b, map[string]any{"scripts": &p.Scripts, "registry": &p.Registry, "scopes": &p.Scopes, "tokens": &tokens}); err != nil {
		return nil, err
	}
	wrong := func(format string, args ...any) error {
		return fault.New(fault.InvalidRequest, "%s.%s", where, fmt.Sprintf(format, args...))
	}
	if p.Scripts != "" && p.Scripts != ScriptsNone && p.Scripts != ScriptsAll {
		return nil, wrong("scripts: it is %q or %q.", ScriptsNone, ScriptsAll)
	}
	if len(p.Scopes) > maxRegistries || len(tokens) > maxRegistries {
		return nil, wrong("scopes, packages.tokens: there are at most %d.", maxRegistries)
	}
	var err error
	if p.Registry != "" {
		if p.Registry, err = registryURL(p.Registry); err != nil {
			return nil, wrong("registry: %v.", err)
		}
	}
	for scope, at := range p.Scopes {
		if !scopeName.MatchString(scope) {
			return nil, wrong("scopes: %.80q is not a scope like @acme.", scope)
		}
		if p.Scopes[scope], err = registryURL(at); err != nil {
			return nil, wrong("scopes.%s: %v.", scope, err)
		}
	}
	p.Tokens = map[string]string{}
	for at, value := range tokens {
		full, err := registryURL(at)
		if err != nil {
			return nil, wrong("tokens: %v.", err)
		}
		if _, twice := p.Tokens[full]; twice {
			return nil, wrong("tokens: %s stands there twice, with and without the last slash.", full)
		}
		token, isText := value.(string)
		kept, had := old.Tokens[full]
		switch {
		case value == true && had:
			token = kept
		case value == true:
			return nil, wrong("tokens: there is none yet for %s.", full)
		case !isText || len(token) > maxRegistryToken || !registryToken.MatchString(token) || strings.Contains(token, "${"):
			return nil, wrong("tokens: that of %s is not a token (printable characters, %d at most), nor true to keep the one there is.", full, maxRegistryToken)
		}
		p.Tokens[full] = token
	}
	return p, nil
}

// registryURL checks a registry's address and ends it with a slash.
func registryURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxRegistryURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(text, " \t\r\n\"'`$\\=;#"):
		return "", fmt.Errorf("%.80q is not an address like https://npm.example.com/", text)
	case u.User != nil:
		return "", fmt.Errorf("%s has a name or password in it; they belong into tokens", u.Host)
	}
	return strings.TrimSuffix(u.String(), "/") + "/", nil
}

// Packages gives how the tenant's packages are installed.
func (t *Tenant) Packages() *PackageSettings {
	if p := t.packageSettings.Load(); p != nil {
		return p
	}
	return &PackageSettings{}
}

// ShownPackages gives them with what is in effect in place of defaults.
func (r *Registry) ShownPackages(t *Tenant) *PackageSettings {
	p := *t.Packages()
	p.Scripts = ScriptsNone
	if r.runsScripts(t) {
		p.Scripts = ScriptsAll
	}
	return &p
}

// runsScripts says whether lifecycle scripts run in installs of t: if it or, where it says nothing, the hub
// wants so; and never without walls that the operator has not done without knowingly.
func (r *Registry) runsScripts(t *Tenant) bool {
	switch t.Packages().Scripts {
	case ScriptsAll:
		return r.cfg.Walls != nil || r.cfg.AllowScripts
	case ScriptsNone:
		return false
	}
	return r.cfg.AllowScripts
}

// SetPackages replaces a tenant's settings of packages by those in b, JSON. Later publishes follow them; what is
// installed stays.
func (r *Registry) SetPackages(ctx context.Context, t *Tenant, b []byte) error {
	return r.changePackages(ctx, t, func(old *PackageSettings) (*PackageSettings, error) { return parsePackages(b, old) })
}

// PatchPackages changes those settings that are in b, a JSON merge patch (RFC 7396): null takes one away.
func (r *Registry) PatchPackages(ctx context.Context, t *Tenant, b []byte) error {
	return r.changePackages(ctx, t, func(old *PackageSettings) (*PackageSettings, error) { return patchedPackages(b, old) })
}

// changePackages puts the settings that next makes of a tenant's in their place, one change after the other.
func (r *Registry) changePackages(ctx context.Context, t *Tenant, next func(old *PackageSettings) (*PackageSettings, error)) error {
	t.settingPackages.Lock()
	defer t.settingPackages.Unlock()
	p, err := next(t.Packages())
	if err != nil {
		return err
	}
	if p.Scripts == ScriptsAll && r.cfg.Walls == nil && !r.cfg.AllowScripts {
		return fault.New(fault.Forbidden, "This hub has no walls around installs, so scripts of packages run only if its operator starts it with --allow-scripts.")
	}
	rec := packagesRecord{Scripts: p.Scripts, Registry: p.Registry, Scopes: p.Scopes}
	if len(p.Tokens) > 0 {
		plain, err := json.Marshal(p.Tokens)
		if err != nil {
			return fmt.Errorf("encode tokens: %w", err)
		}
		if rec.Sealed, err = r.seal(ctx, t, packagesPurpose, plain); err != nil {
			return err
		}
	}
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return noTenant(t.name)
	}
	if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(packagesSettingsKey(t.name), rec)); err != nil {
		return err
	}
	t.packageSettings.Store(p)
	return nil
}

func (r *Registry) loadPackages() error {
	return r.scan(packageSettingsPrefix, func(key []byte, parts []string, v []byte) error {
		var rec packagesRecord
		if err := readRecord(key, v, &rec); err != nil {
			return err
		}
		t := r.tenants[parts[0]]
		if t == nil {
			return nil
		}
		p := &PackageSettings{Scripts: rec.Scripts, Registry: rec.Registry, Scopes: rec.Scopes, Tokens: map[string]string{}}
		if rec.Sealed != nil {
			plain, err := r.unseal(t.name, packagesPurpose, rec.Sealed)
			if err == nil {
				err = json.Unmarshal(plain, &p.Tokens)
			}
			if err != nil { // as with a version's env: the rest works
				r.cfg.Log.Error("A tenant's tokens of registries can't be opened; it sets them again.", "tenant", t.name, "error", err)
			}
		}
		t.packageSettings.Store(p)
		return nil
	})
}
