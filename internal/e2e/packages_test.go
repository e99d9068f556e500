package e2e

import "testing"

// What the program says of packages to a hub is what the hub understands, and a token stays in it.
func TestTheProgramChangesHowPackagesAreInstalled(t *testing.T) {
	h := startHub(t)
	t.Setenv("LIVEFN_KEY", h.key)
	t.Setenv("LIVEFN_REGISTRY_TOKEN", "npm_SECRET")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"set", "scripts=all", "registry=https://npm.test", "@acme=https://npm.test/private"},
			`{"scripts":"all","registry":"https://npm.test/","scopes":{"@acme":"https://npm.test/private/"},"tokens":[]}`},
		{[]string{"set", "scripts=none", "--token-for", "https://npm.test"},
			`{"scripts":"none","registry":"https://npm.test/","scopes":{"@acme":"https://npm.test/private/"},"tokens":["https://npm.test/"]}`},
		{[]string{"unset", "scripts", "@acme"}, `{"scripts":"none","registry":"https://npm.test/","scopes":{},"tokens":["https://npm.test/"]}`},
		{[]string{"show", "--key", adminKey, "--tenant", "e2e"}, `{"scripts":"none","registry":"https://npm.test/","scopes":{},"tokens":["https://npm.test/"]}`},
		{[]string{"unset", "registry", "https://npm.test"}, `{"scripts":"none","scopes":{},"tokens":[]}`},
	} {
		out, err := h.cli(append([]string{"packages", "--json"}, step.args...)...)
		if err != nil || out != step.want+"\n" {
			t.Errorf("packages %q: %v, %s, want %s", step.args, err, out, step.want)
		}
	}
}

// No list and an empty one are opposites: the program must send and show each as what it is.
func TestTheProgramSaysWhosePagesMayActAsTheTenant(t *testing.T) {
	h := startHub(t)
	t.Setenv("LIVEFN_KEY", h.key)
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"show"}, `{"origins":null}`},
		{[]string{"set", "https://app.example.com", "https://*.example.org"}, `{"origins":["https://app.example.com","https://*.example.org"]}`},
		{[]string{"set", "--none"}, `{"origins":[]}`},
		{[]string{"show"}, `{"origins":[]}`},
		{[]string{"unset"}, `{"origins":null}`},
		{[]string{"show"}, `{"origins":null}`},
	} {
		out, err := h.cli(append([]string{"origins", "--json"}, step.args...)...)
		if err != nil || out != step.want+"\n" {
			t.Errorf("origins %q: %v, %s, want %s", step.args, err, out, step.want)
		}
	}
}
