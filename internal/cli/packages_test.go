package cli

import (
	"slices"
	"strings"
	"testing"
)

const shownPackages = `{"scripts":"all","registry":"https://npm.acme.example/","scopes":{"@acme":"https://npm.acme.example/private/"},"tokens":["https://npm.acme.example/private/"]}`

// packagesAnswers are what the stub of a hub says of how packages are installed.
var packagesAnswers = map[string]string{
	"GET /v1/packages": shownPackages,
	`PATCH /v1/packages {"registry":"https://npm.acme.example/","scopes":{"@acme":"https://npm.acme.example/private/"},"scripts":"all"}`: shownPackages,
	`PATCH /v1/packages {"tokens":{"https://npm.acme.example/private/":"npm_SECRET"}}`:                                                   shownPackages,
	`PATCH /v1/packages {"registry":null,"scopes":{"@acme":null},"scripts":null,"tokens":{"https://npm.acme.example/private/":null}}`:    `{"scripts":"none","scopes":{},"tokens":[]}`,
}

// A token on the command line would be seen by other users of the machine, and kept by the shell.
func TestARegistrysTokenComesFromTheEnvironmentOrStandardInput(t *testing.T) {
	h := newHubStub(t)
	set := []string{"--url", h.URL, "--key", testKey, "packages", "set", "--token-for", "https://npm.acme.example/private/"}
	run := func(in string) {
		t.Helper()
		code, out, errs := livefn(t, in, set...)
		if code != exitDone || errs != "" || strings.Contains(out, "SECRET") || !strings.Contains(out, "never shown") {
			t.Errorf("%q: %d %q %q", in, code, out, errs)
		}
	}
	run("npm_SECRET")
	run(" npm_SECRET\r\nwhat comes after it\n")
	for _, in := range []string{"", "\n"} {
		if code, _, errs := livefn(t, in, set...); code != exitUsage || !strings.Contains(errs, "LIVEFN_REGISTRY_TOKEN") {
			t.Errorf("%q: %d %q", in, code, errs)
		}
	}
	t.Setenv("LIVEFN_REGISTRY_TOKEN", "npm_SECRET")
	run("another")
	if code, out, _ := livefn(t, "", "packages", "set", "--help"); code != exitDone || strings.Contains(out, "SECRET") {
		t.Errorf("help: %d %q", code, out)
	}
	want := `PATCH /v1/packages {"tokens":{"https://npm.acme.example/private/":"npm_SECRET"}}`
	if got := h.seen; !slices.Equal(got, []string{want, want, want}) {
		t.Errorf("the hub saw %q", got)
	}
}
