package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/livefn/livefn/internal/sandbox"
	"github.com/livefn/livefn/tenants"
)

// Values of --isolation beside bwrap: without walls functions run as the hub's user, and see what it sees.
const (
	isolationAuto = "auto"
	isolationNone = "none"
)

const unwalled = "NO WALLS AROUND FUNCTIONS: they can read and change whatever the hub's user can, " +
	"the hub's keys and other tenants' functions among it. Run only code that you trust."

// errOpen says that the operator wants what only walls give.
var errOpen = errors.New("--network=none takes walls around functions, and there are none")

// walls gives the walls that functions run behind; nil: none, as the operator said. The hub does not
// start without an answer: code of others must not run unwalled because a package is missing.
func (c *ServeCmd) walls(log *slog.Logger) (*sandbox.Walls, error) {
	if c.Isolation == isolationNone {
		if c.Network == tenants.NetworkNone {
			return nil, errOpen
		}
		log.Warn(unwalled, "isolation", isolationNone)
		return nil, nil
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	walls, err := sandbox.Find(data)
	switch {
	case err == nil:
		return walls, nil
	case c.Isolation == isolationAuto && c.Network == tenants.NetworkNone:
		return nil, fmt.Errorf("%w: %w", errOpen, err)
	case c.Isolation == isolationAuto:
		log.Warn(unwalled, "isolation", isolationAuto, "cause", err)
		return nil, nil
	}
	return nil, fmt.Errorf("no walls can be built around functions: %w. "+
		"To run without them, which is for code that you trust only: --isolation=none", err)
}

// keeperCmd is the process that holds a room; the hub starts it in namespaces of its own.
type keeperCmd struct {
	Slots string `arg:""`
	Shown string `arg:""`
}

// Run does what the hub says until it ends.
func (c *keeperCmd) Run(s *session) error { return sandbox.Keep(s.in, s.out, c.Slots, c.Shown) }

// keeper is how the hub starts it.
func keeper() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the hub's own program: %w", err)
	}
	return []string{self, "keeper"}, nil
}
