package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
)

// registryTokenEnv has the token that `packages set` is to store; without it standard input has. It is no flag:
// other users of the machine see those.
const registryTokenEnv = "LIVEFN_REGISTRY_TOKEN"

// maxTokenLine bounds what is read as a token, well above what the hub takes.
const maxTokenLine = 64 << 10

const packagesPath = "/v1/packages"

// packagesCmd is about how a tenant's packages are installed; all of it wants a tenant's key.
type packagesCmd struct {
	Show  showPackagesCmd  `cmd:"" help:"Show them: scripts, registries, and for which registries there are tokens."`
	Set   setPackagesCmd   `cmd:"" help:"Change some of them: name=value. What is not named stays."`
	Unset unsetPackagesCmd `cmd:"" help:"Take some of them away, and the hub's defaults again."`
}

type showPackagesCmd struct{}

func (*showPackagesCmd) Run(ctx context.Context, s *session) error {
	return answer(ctx, s, http.MethodGet, packagesPath, nil, s.showPackages)
}

// packagesView is the settings as the hub shows them.
type packagesView struct {
	Scripts, Registry string
	Scopes            map[string]string
	Tokens            []string
}

// showPackages prints the settings by the names that unset takes.
func (s *session) showPackages(p packagesView) error {
	if p.Registry == "" {
		p.Registry = "(the hub's)"
	}
	rows := [][]string{{"scripts", plain(p.Scripts)}, {"registry", plain(p.Registry)}}
	for _, scope := range slices.Sorted(maps.Keys(p.Scopes)) {
		rows = append(rows, []string{plain(scope), plain(p.Scopes[scope])})
	}
	for _, at := range p.Tokens {
		rows = append(rows, []string{plain(at), "(a token, never shown)"})
	}
	return table(s.out, "SETTING VALUE", rows)
}

// packagesPatch is a JSON merge patch (RFC 7396) of a tenant's settings of packages; nil is null, which takes away.
type packagesPatch map[string]any

func (p packagesPatch) in(object, name string, value any) {
	if p[object] == nil {
		p[object] = map[string]any{}
	}
	p[object].(map[string]any)[name] = value
}

// apply sends the patch and prints what holds then.
func (p packagesPatch) apply(ctx context.Context, s *session) error {
	return answer(ctx, s, http.MethodPatch, packagesPath, p, s.showPackages)
}

type setPackagesCmd struct {
	Settings []string `arg:"" optional:"" name:"setting" help:"scripts=none, scripts=all, registry=ADDRESS, or @scope=ADDRESS for the registry of a scope."`
	TokenFor string   `help:"Store a token for the registry at this address: LIVEFN_REGISTRY_TOKEN, or a line of standard input." placeholder:"ADDRESS"`
}

func (c *setPackagesCmd) Run(ctx context.Context, s *session) error {
	patch := packagesPatch{}
	for _, setting := range c.Settings {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case value == "":
			return wrongUsage("%q is not a setting and its value, like scripts=none", setting)
		case strings.HasPrefix(name, "@"):
			patch.in("scopes", name, value)
		case name == "scripts", name == "registry":
			patch[name] = value
		default:
			return wrongUsage("there is no setting %q: they are scripts, registry and @scope; tokens are set with --token-for", name)
		}
	}
	switch {
	case c.TokenFor != "":
		token, err := s.registryToken(c.TokenFor)
		if err != nil {
			return err
		}
		patch.in("tokens", c.TokenFor, token)
	case len(patch) == 0:
		return wrongUsage("give a setting, like scripts=none, or --token-for")
	}
	return patch.apply(ctx, s)
}

// registryToken gives the token for the registry at an address, from the environment or standard input.
func (s *session) registryToken(at string) (string, error) {
	if token := strings.TrimSpace(os.Getenv(registryTokenEnv)); token != "" {
		return token, nil
	}
	if f, ok := s.in.(*os.File); ok {
		if about, err := f.Stat(); err == nil && about.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintf(s.note, "The token for %s, and Enter:\n", plain(at))
		}
	}
	line, err := bufio.NewReader(io.LimitReader(s.in, maxTokenLine)).ReadString('\n') // the line ends a terminal's
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	token := strings.TrimSpace(line)
	if token == "" {
		return "", wrongUsage("there is no token: set %s, or give it to standard input", registryTokenEnv)
	}
	return token, nil
}

type unsetPackagesCmd struct {
	Settings []string `arg:"" name:"setting" help:"scripts, registry, @scope, or the address of a registry, whose token is forgotten."`
}

func (c *unsetPackagesCmd) Run(ctx context.Context, s *session) error {
	patch := packagesPatch{}
	for _, name := range c.Settings {
		switch {
		case strings.HasPrefix(name, "@"):
			patch.in("scopes", name, nil)
		case strings.Contains(name, "://"):
			patch.in("tokens", name, nil)
		case name == "scripts", name == "registry":
			patch[name] = nil
		default:
			return wrongUsage("there is no setting %q: they are scripts, registry, @scope, and for a token the address of its registry", name)
		}
	}
	return patch.apply(ctx, s)
}
