package cli

import (
	"log/slog"
	"strings"
	"testing"
)

// Who takes the network away must not find it there because a package is missing.
func TestAHubWithoutNetworkAndWithoutWallsDoesNotStart(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, isolation := range []string{"none", "auto", "bwrap"} {
		c := ServeCmd{Isolation: isolation, Network: "none", Data: t.TempDir()}
		if w, err := c.walls(slog.New(slog.DiscardHandler)); w != nil || err == nil || (isolation != "bwrap" && !strings.Contains(err.Error(), "--network=none takes walls")) {
			t.Errorf("%s: %v", isolation, err)
		}
	}
}
