package tenants

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/livefn/livefn/internal/fault"
)

// nodeVersion asks the hub's node, once, which version it is.
func (c Config) nodeVersion() (*semver.Version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.node(), "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask node for its version: %w", err)
	}
	return semver.NewVersion(strings.TrimSpace(string(out)))
}

// checkEngines refuses a package.json whose engines.node the hub's node does not satisfy. Ranges are npm's.
func (r *Registry) checkEngines(packageJSON []byte) error {
	var m struct {
		Engines json.RawMessage `json:"engines"`
	}
	var engines struct {
		Node string `json:"node"`
	}
	if json.Unmarshal(packageJSON, &m) != nil || json.Unmarshal(m.Engines, &engines) != nil || engines.Node == "" {
		return nil // no such field, or an older form of it that means nothing to npm
	}
	wanted, err := semver.NewConstraint(engines.Node)
	if err != nil {
		return fault.New(fault.InvalidRequest, "%s: engines.node: %.80q is not a range of versions.", packageFile, engines.Node)
	}
	have, err := r.node()
	if err != nil {
		return err
	}
	if !wanted.Check(have) {
		return fault.New(fault.InvalidRequest, "%s: engines.node: it wants Node %.80s, and this hub runs functions with Node %s. Widen the range, or have the operator start the hub with another --node.",
			packageFile, engines.Node, have)
	}
	return nil
}
