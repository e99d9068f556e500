package tenants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/livefn/livefn/internal/fault"
)

// A runtime is a Node beside the hub's own, in a folder of its version below Config.Runtimes. All tenants share it,
// so it comes from where the operator's settings say, and nobody's code writes to it. The folder comes into its
// place whole or not at all.
type nodeRuntime struct {
	version *semver.Version
	here    atomic.Bool // it can be run
	users   int         // publishes that may give it to a version; guarded by runtimes.mu
}

// runtimes are the runtimes that are here or that versions need.
type runtimes struct {
	installing turns // one install at a time

	mu       sync.Mutex // guards all below; before Registry.mu
	all      map[string]*nodeRuntime
	offered  []*semver.Version // what the registry has
	lookedUp time.Time         // when it was asked
}

// minRuntime is the first major version of Node that the bridge's script runs on.
const minRuntime = 20

// get gives a runtime by its version, whether it is here or not.
func (rs *runtimes) get(v *semver.Version) *nodeRuntime {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	n := rs.all[v.String()]
	if n == nil {
		n = &nodeRuntime{version: v}
		rs.all[v.String()] = n
	}
	return n
}

// use gives the newest runtime that is here and satisfies a range; nil: none does. leave ends the use.
func (rs *runtimes) use(wanted *semver.Constraints) (best *nodeRuntime) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, n := range rs.all {
		if n.here.Load() && wanted.Check(n.version) && (best == nil || n.version.GreaterThan(best.version)) {
			best = n
		}
	}
	if best != nil {
		best.users++
	}
	return best
}

func (rs *runtimes) leave(n *nodeRuntime) {
	rs.mu.Lock()
	n.users--
	rs.mu.Unlock()
}

func (r *Registry) runtimeDir(n *nodeRuntime) string {
	return filepath.Join(r.cfg.Runtimes, n.version.String())
}

func nodeIn(dir string) string { return filepath.Join(dir, "bin", "node") }

// runtimeFor gives the Node that is to run a tree's function; nil: the hub's own. leave is to be called once a
// version has it, or none will.
func (r *Registry) runtimeFor(ctx context.Context, tr *tree, log io.Writer) (n *nodeRuntime, leave func(), err error) {
	nothing := func() {}
	if tr.wanted == nil {
		return nil, nothing, nil
	}
	own, err := r.node()
	if err != nil {
		return nil, nothing, err
	}
	if tr.wanted.Check(own) {
		return nil, nothing, nil
	}
	if r.cfg.NodeRuntimes <= 0 {
		return nil, nothing, fault.New(fault.InvalidRequest, "%s: engines.node: it wants Node %.80s, and this hub runs functions with Node %s. Widen the range, or have the operator start the hub with another --node, or with --node-runtimes.",
			packageFile, tr.engines, own)
	}
	if n = r.runtimes.use(tr.wanted); n == nil {
		end, err := r.runtimes.installing.take(ctx, "")
		if err != nil {
			return nil, nothing, err
		}
		defer end()
		if n = r.runtimes.use(tr.wanted); n == nil {
			if n, err = r.newRuntime(ctx, tr, own, log); err != nil {
				return nil, nothing, err
			}
		}
	}
	return n, sync.OnceFunc(func() { r.runtimes.leave(n) }), nil
}

// newRuntime installs the newest Node that satisfies a tree's range; the caller has the turn to install.
func (r *Registry) newRuntime(ctx context.Context, tr *tree, own *semver.Version, log io.Writer) (*nodeRuntime, error) {
	offered, err := r.offeredNodes(ctx, log)
	if err != nil {
		return nil, err
	}
	var best *semver.Version
	newest := map[uint64]*semver.Version{} // by major version
	for _, v := range offered {
		if tr.wanted.Check(v) && (best == nil || v.GreaterThan(best)) {
			best = v
		}
		if n := newest[v.Major()]; n == nil || v.GreaterThan(n) {
			newest[v.Major()] = v
		}
	}
	if best == nil {
		var can []string
		for _, major := range slices.Sorted(maps.Keys(newest)) {
			can = append(can, newest[major].String())
		}
		return nil, fault.New(fault.InvalidRequest, "%s: engines.node: it wants Node %.80s, which can't be had. This hub's own Node is %s; those that it can install are %d or newer, of each major version up to: %s. Change the range.",
			packageFile, tr.engines, own, minRuntime, strings.Join(can, ", "))
	}
	if err := r.roomForRuntime(best); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "Installing Node %s, since engines.node is %.80s.\n", best, tr.engines)
	n := r.runtimes.get(best)
	if err := r.installRuntime(ctx, n, log); err != nil {
		return nil, err
	}
	r.runtimes.mu.Lock()
	n.users++
	n.here.Store(true)
	r.runtimes.mu.Unlock()
	return n, nil
}

// roomForRuntime removes a runtime that no version needs if there are as many as are kept. The caller has the turn
// to install.
func (r *Registry) roomForRuntime(wanted *semver.Version) error {
	r.runtimes.mu.Lock()
	needed := r.neededRuntimes()
	var kept, unused []*nodeRuntime
	for _, n := range r.runtimes.all {
		switch {
		case n.version.Equal(wanted):
		case n.here.Load() && n.users == 0 && !needed[n]:
			unused = append(unused, n)
		case n.here.Load() || needed[n]:
			kept = append(kept, n)
		}
	}
	var gone []*nodeRuntime
	if len(kept) < r.cfg.NodeRuntimes {
		gone = unused[:max(0, len(kept)+len(unused)+1-r.cfg.NodeRuntimes)]
	}
	for _, n := range gone {
		n.here.Store(false)
		delete(r.runtimes.all, n.version.String())
	}
	r.runtimes.mu.Unlock()
	if len(kept) >= r.cfg.NodeRuntimes {
		var has []string
		for _, n := range kept {
			has = append(has, n.version.String())
		}
		slices.Sort(has)
		return fault.New(fault.InvalidRequest, "The hub keeps at most %d versions of Node beside its own (--node-runtimes), and functions need each of them: %s. Change engines.node so that one of them will do, or have the operator raise the number.",
			r.cfg.NodeRuntimes, strings.Join(has, ", "))
	}
	for _, n := range gone {
		if away, err := moveAway(r.runtimeDir(n), r.buildDir()); err == nil {
			_ = os.RemoveAll(away) // what stays is swept at the next Open
		}
	}
	return nil
}

// neededRuntimes are those of versions that can be called.
func (r *Registry) neededRuntimes() map[*nodeRuntime]bool {
	needed := map[*nodeRuntime]bool{}
	for _, t := range r.Tenants() {
		for _, fn := range *t.functions.Load() {
			for _, v := range fn.versions {
				if v.runtime != nil && v.State == Ready {
					needed[v.runtime] = true
				}
			}
		}
	}
	return needed
}

// findRuntimes looks which runtimes are here.
func (r *Registry) findRuntimes() error {
	found, err := os.ReadDir(r.cfg.Runtimes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for runtimes: %w", err)
	}
	for _, e := range found {
		v, err := semver.StrictNewVersion(e.Name())
		if info, gone := os.Lstat(nodeIn(filepath.Join(r.cfg.Runtimes, e.Name()))); err == nil && gone == nil && info.Mode().IsRegular() {
			r.runtimes.get(v).here.Store(true)
		}
	}
	return nil
}

// sweepRuntimes removes the folders of runtimes that no version needs; nobody uses any yet.
func (r *Registry) sweepRuntimes() error {
	needed := r.neededRuntimes()
	for name, n := range r.runtimes.all {
		if !needed[n] {
			delete(r.runtimes.all, name)
		}
	}
	found, err := os.ReadDir(r.cfg.Runtimes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for runtimes: %w", err)
	}
	for _, e := range found {
		if n := r.runtimes.all[e.Name()]; n == nil || !n.here.Load() {
			if err := os.RemoveAll(filepath.Join(r.cfg.Runtimes, e.Name())); err != nil {
				return fmt.Errorf("remove a runtime that nothing needs: %w", err)
			}
		}
	}
	return nil
}

// maxRuntimeRetry is the longest pause between two attempts to install what is missing.
const maxRuntimeRetry = 5 * time.Minute

// Run installs, until ctx ends, the runtimes that versions need and that are missing: a backup leaves them out.
func (r *Registry) Run(ctx context.Context) error {
	if r.cfg.NodeRuntimes > 0 {
		r.restoreRuntimes(ctx)
	}
	<-ctx.Done()
	return nil
}

func (r *Registry) restoreRuntimes(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := r.cfg.RuntimeRetry; ; pause = min(2*pause, maxRuntimeRetry) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		failed := false
		for n := range r.neededRuntimes() {
			if n.here.Load() {
				continue
			}
			if err := r.restoreRuntime(ctx, n); err != nil && ctx.Err() == nil {
				r.cfg.Log.Warn("A Node that functions need is missing and can't be installed; the hub tries again.", "node", n.version.String(), "in", pause, "error", err)
				failed = true
			}
		}
		if !failed {
			return
		}
		timer.Reset(pause)
	}
}

func (r *Registry) restoreRuntime(ctx context.Context, n *nodeRuntime) error {
	end, err := r.runtimes.installing.take(ctx, "")
	if err != nil {
		return err
	}
	defer end()
	if n.here.Load() {
		return nil
	}
	if err := r.installRuntime(ctx, n, io.Discard); err != nil {
		return err
	}
	n.here.Store(true)
	r.cfg.Log.Info("A Node that functions need was installed again.", "node", n.version.String())
	return nil
}

// Program is the Node that runs the version, in the bin of a folder that is its own; "": the hub's.
func (v *Version) Program() string {
	if v.runtime == nil {
		return ""
	}
	return nodeIn(v.registry.runtimeDir(v.runtime))
}

// NodeVersion is the version of that Node; "" if the hub's does not say.
func (v *Version) NodeVersion() string {
	if v.runtime != nil {
		return v.runtime.version.String()
	}
	own, err := v.registry.node()
	if err != nil {
		return ""
	}
	return own.String()
}

// runnable says why a ready version can't be run now: its Node is missing.
func (v *Version) runnable() error {
	if v.runtime == nil || v.runtime.here.Load() {
		return nil
	}
	if v.registry.cfg.NodeRuntimes <= 0 {
		return fault.New(fault.VersionBroken, "Version %d of the function %q runs on Node %s, which is missing, and the hub installs none. Have the operator start it with --node-runtimes.",
			v.Number, v.Function, v.runtime.version)
	}
	busy := fault.New(fault.Overloaded, "Version %d of the function %q runs on Node %s, which is missing: the hub is installing it. Try again.", v.Number, v.Function, v.runtime.version)
	busy.RetryAfter = v.registry.cfg.RuntimeRetry
	return busy
}
