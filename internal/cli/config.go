package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// configFile is a YAML file of flags. Its values go before defaults, and behind flags and environment. A
// command's flags stand at the top or, which goes first, under the command's name:
//
//	url: http://127.0.0.1:8080
//	serve:
//	  listen: 0.0.0.0:80
type configFile string

// BeforeResolve is called by kong before it looks for the values of flags that were not given.
func (configFile) BeforeResolve(k *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(configFile)) //nolint:forcetypeassert // the flag's own type
	b, err := os.ReadFile(path)                            //nolint:gosec // the user's own file
	if err != nil {
		return err
	}
	var content any
	if err := yaml.Unmarshal(b, &content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	file, ok := content.(map[string]any)
	if !ok && content != nil {
		return fmt.Errorf("%s must hold flags and their values, like url: %s", path, defaultURL)
	}
	if err := checkConfig(k.Model.Node, file, ""); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
		return fromConfig(parent.Node(), file, flag.Name), nil
	}))
	ctx.AddResolver(kong.ResolverFunc(fromEnvironment)) // kong takes the last that has a value
	return nil
}

// checkConfig refuses what no command would look for: a typing error must not be a setting that is ignored.
func checkConfig(n *kong.Node, config map[string]any, within string) error {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		inner, isMap := config[name].(map[string]any)
		i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == name })
		switch {
		case isMap && i >= 0:
			if err := checkConfig(n.Children[i], inner, within+name+": "); err != nil {
				return err
			}
		case isMap:
			return fmt.Errorf("%s%s is no command that has flags", within, name)
		case config[name] == nil && i >= 0: // a command without flags below it
		case !takes(n, name):
			return fmt.Errorf("%s%s is no flag", within, name)
		}
	}
	return nil
}

// takes reports whether a command, or one below it, has a flag that a file may set.
func takes(n *kong.Node, name string) bool {
	if name == "help" || name == "config" {
		return false
	}
	return slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == name }) ||
		slices.ContainsFunc(n.Children, func(c *kong.Node) bool { return takes(c, name) })
}

// fromConfig gives the value of a flag of n: from its own part of the file, else from the parts around that.
func fromConfig(n *kong.Node, config map[string]any, name string) any {
	var path []string
	for ; n != nil && n.Type != kong.ApplicationNode; n = n.Parent {
		path = append([]string{n.Name}, path...)
	}
	value := config[name]
	for _, command := range path {
		config, _ = config[command].(map[string]any)
		if v, ok := config[name]; ok {
			value = v
		}
	}
	if _, isCommand := value.(map[string]any); isCommand {
		return nil
	}
	return value
}

func fromEnvironment(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if v, ok := os.LookupEnv(name); ok {
			return v, nil
		}
	}
	return nil, nil //nolint:nilnil // "no value" in kong's terms
}
