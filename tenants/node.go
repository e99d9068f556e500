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

// readEngines reads engines.node of a tree's package.json. Ranges are npm's.
func (tr *tree) readEngines() (err error) {
	var m struct {
		Engines json.RawMessage `json:"engines"`
	}
	var engines struct {
		Node string `json:"node"`
	}
	if json.Unmarshal(tr.files[packageFile], &m) != nil || json.Unmarshal(m.Engines, &engines) != nil || engines.Node == "" {
		return nil // no such field, or an older form of it that means nothing to npm
	}
	tr.engines = engines.Node
	if tr.wanted, err = semver.NewConstraint(engines.Node); err != nil {
		return fault.New(fault.InvalidRequest, "%s: engines.node: %.80q is not a range of versions.", packageFile, engines.Node)
	}
	return nil
}

// suits says whether a version with a tree's content runs on a Node that the tree wants: the hub's own may be
// another one by now.
func (r *Registry) suits(v *Version, tr *tree) bool {
	if tr.wanted == nil || v.runtime != nil {
		return true
	}
	own, err := r.node()
	return err == nil && tr.wanted.Check(own)
}
