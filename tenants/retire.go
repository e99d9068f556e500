package tenants

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Use is what is on the versions of a function, as whoever runs them knows it.
type Use interface {
	// On says what is on versions, as a fault conflict; nil: nothing that a deletion would break.
	On(fn *Function, vs []*Version) error
	// Drained waits, as long as ctx lasts, until nothing runs on versions that take nothing new. Its
	// fault conflict says what is left.
	Drained(ctx context.Context, fn *Function, vs []*Version) error
	// Needed gives the numbers of the versions on which something is, or may be tried again.
	Needed(fn *Function) (map[int]bool, error)
}

// unused stands for a registry that nobody runs anything of.
type unused struct{}

func (unused) On(*Function, []*Version) error                       { return nil }
func (unused) Drained(context.Context, *Function, []*Version) error { return nil }
func (unused) Needed(*Function) (map[int]bool, error)               { return nil, nil }

// SetUse says who knows what is on versions. Call it before anything runs.
func (r *Registry) SetUse(u Use) { r.use = u }

// DeleteVersion deletes a version on which nothing is. With drain it takes nothing new from now on, and what
// runs on it is waited for as long as ctx lasts. If it is the latest, the one before becomes that.
func (r *Registry) DeleteVersion(ctx context.Context, t *Tenant, name string, number int, drain bool) error {
	fn, err := t.Function(name)
	if err != nil {
		return err
	}
	v := fn.Version(number)
	if v == nil {
		return fn.usable(number)
	}
	if !drain {
		if err := r.use.On(fn, []*Version{v}); err != nil {
			return err
		}
	}
	return r.deleteVersion(ctx, t, fn, v, drain)
}

func (r *Registry) deleteVersion(ctx context.Context, t *Tenant, fn *Function, v *Version, drain bool) error {
	if err := r.markGoing(t, v, true); err != nil {
		return err
	}
	if err := r.release(ctx, fn, v.gate, []*Version{v}, drain); err != nil {
		_ = r.markGoing(t, v, false) // it is there still: nobody else deletes it
		return err
	}
	if err := r.remove(ctx, t, v); err != nil {
		v.gate.state.Store(gateOpen)
		_ = r.markGoing(t, v, false) // as above
		return err
	}
	r.removeFolders([]*Version{v})
	return nil
}

// markGoing takes a version out of what new calls and aliases mean, or back in. On disk nothing changes yet.
func (r *Registry) markGoing(t *Tenant, v *Version, going bool) error {
	t.change.Lock()
	defer t.change.Unlock()
	old, err := t.Function(v.Function)
	if err != nil {
		return err
	}
	if old.Version(v.Number) != v {
		return old.usable(v.Number)
	}
	fn := *old
	fn.going = cloned(fn.going)
	switch {
	case !going:
		delete(fn.going, v.Number)
	case fn.going[v.Number]:
		return fault.New(fault.Conflict, "Version %d of the function %q is being deleted already.", v.Number, fn.Name)
	case len(fn.versions)-len(fn.going) == 1:
		return fault.New(fault.Conflict, "Version %d is the only one of the function %q: delete the function.", v.Number, fn.Name)
	default:
		for _, a := range fn.Aliases() {
			if slices.ContainsFunc(a.Targets, func(t Target) bool { return t.Version == v.Number }) {
				return fault.New(fault.Conflict, "The alias %q of the function %q points at version %d: point it elsewhere first.", a.Name, fn.Name, v.Number)
			}
		}
		fn.going[v.Number] = true
	}
	fn.withLatest()
	t.mu.Lock()
	t.setLocked(&fn)
	t.mu.Unlock()
	r.tellChanged(t.name)
	return nil
}

// release closes a gate behind which nothing is; on a fault it is as open as before.
func (r *Registry) release(ctx context.Context, fn *Function, g *gate, vs []*Version, drain bool) error {
	if drain {
		g.state.Store(gateDraining)
	}
	for {
		closed, err := g.closeIf(func() error { return r.use.On(fn, vs) })
		switch {
		case closed:
			return nil
		case !drain && err == nil:
			err = fault.New(fault.Conflict, "An execution or a trigger has just come onto what is to be deleted of the function %q.", fn.Name)
		case drain:
			g.state.Store(gateDraining)
			if err = r.use.Drained(ctx, fn, vs); err == nil {
				continue
			}
		}
		g.state.Store(gateOpen)
		return err
	}
}

// remove deletes a version that was released; its folder is left to removeFolders.
func (r *Registry) remove(ctx context.Context, t *Tenant, gone *Version) error {
	err := r.changeFunction(ctx, t, gone.Function, func(fn *Function, rec *functionRecord) error {
		fn.versions = slices.DeleteFunc(slices.Clone(fn.versions), func(v *Version) bool { return v == gone })
		fn.going, fn.aliases, rec.Aliases = cloned(fn.going), cloned(fn.aliases), cloned(rec.Aliases)
		delete(fn.going, gone.Number)
		for alias, a := range rec.Aliases {
			if slices.ContainsFunc(a.Previous, func(t Target) bool { return t.Version == gone.Number }) {
				a.Previous = nil // there is no way back any more
				rec.Aliases[alias] = a
				fn.aliases[alias] = newAlias(alias, a, fn)
			}
		}
		return nil
	}, store.Op{Key: versionKey(t.name, gone.Function, gone.Number), Delete: true}, store.Op{Key: logKey(t.name, gone.Function, gone.Number), Delete: true})
	return err
}

// removeFolders removes the files of deleted versions of one tenant, once nobody keeps them, and what only they
// had of its packages; what it can't is swept at the next Open.
func (r *Registry) removeFolders(vs []*Version) {
	sweep := false
	r.folders.Lock()
	for _, v := range vs {
		if fileExists(filepath.Join(v.Dir, modulesDir)) && !sweep {
			sweep = true
			r.markUnswept(v.Tenant)
		}
		r.removeLocked(v.Dir)
	}
	sweep = sweep && r.keeping == 0
	r.folders.Unlock()
	if sweep {
		r.sweepStore(vs[0].Tenant)
	}
}

// removeLocked removes a folder, at once or when nobody keeps it any more. r.folders is held.
func (r *Registry) removeLocked(dir string) {
	if r.keeping > 0 {
		r.leftFolders = append(r.leftFolders, dir)
	} else {
		_ = os.RemoveAll(dir) // what stays is swept at the next Open
	}
}

// keeps reports whether something of a tenant's folder that is to be removed is kept.
func (r *Registry) keeps(tenantDir string) bool {
	r.folders.Lock()
	defer r.folders.Unlock()
	return slices.ContainsFunc(r.leftFolders, func(dir string) bool { return dir == tenantDir || filepath.Dir(dir) == tenantDir })
}

// KeepFolders has the files of versions that are deleted meanwhile stay until release is called: a backup of
// the store as it is now needs them whole.
func (r *Registry) KeepFolders() (release func()) {
	r.folders.Lock()
	defer r.folders.Unlock()
	r.keeping++
	return sync.OnceFunc(func() {
		if !r.releaseFolders() {
			return
		}
		for _, t := range r.Tenants() {
			if fileExists(filepath.Join(r.filesDir(t.name), unswept)) {
				r.sweepStore(t.name)
			}
		}
	})
}

// releaseFolders has one fewer keep folders; last says that nobody does any more.
func (r *Registry) releaseFolders() (last bool) {
	r.folders.Lock()
	defer r.folders.Unlock()
	if r.keeping--; r.keeping > 0 {
		return false
	}
	for _, dir := range r.leftFolders {
		r.removeLocked(dir)
	}
	r.leftFolders = nil
	return true
}

// DeleteFunction deletes a function on which nothing is, with all its versions and aliases; their numbers
// are never used again. drain is as with DeleteVersion.
func (r *Registry) DeleteFunction(ctx context.Context, t *Tenant, name string, drain bool) error {
	end, err := t.turn(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	fn, err := t.Function(name)
	if err != nil {
		return err
	}
	if !drain {
		if err := r.use.On(fn, fn.versions); err != nil {
			return err
		}
	}
	if err := r.release(ctx, fn, fn.gate, fn.versions, drain); err != nil {
		return err
	}
	return r.removeFunction(context.WithoutCancel(ctx), t, name)
}

// removeFunction deletes a function whose gate is closed.
func (r *Registry) removeFunction(ctx context.Context, t *Tenant, name string) error {
	t.change.Lock()
	defer t.change.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	fn, err := t.Function(name)
	switch {
	case t.deleted:
		return noTenant(t.name)
	case err != nil:
		return err
	}
	t.mu.Lock()
	frec := functionRecord{Next: t.records[name].Next, Deleted: true}
	t.mu.Unlock()
	if err := r.store.Commit(ctx, putRecord(functionKey(t.name, name), frec)); err != nil {
		fn.gate.state.Store(gateOpen)
		return err // else it is deleted; the rest is tidied here, or at the next Open
	}
	t.mu.Lock()
	t.records[name] = frec
	t.setLocked(&Function{Name: name})
	t.mu.Unlock()
	r.tellChanged(t.name)
	r.removeFolders(fn.versions)
	var ops []store.Op
	for _, v := range fn.versions {
		ops = append(ops,
			store.Op{Key: versionKey(t.name, name, v.Number), Delete: true},
			store.Op{Key: logKey(t.name, name, v.Number), Delete: true})
	}
	return r.commitInParts(ctx, ops)
}

// Retire deletes the versions of a function beyond the newest that are to be kept, those excepted that
// something needs: they become surplus.
func (r *Registry) Retire(ctx context.Context, t *Tenant, fn *Function) error {
	keep := r.cfg.KeepVersions
	if fn.latest != nil && fn.latest.Settings.KeepVersions > 0 {
		keep = fn.latest.Settings.KeepVersions
	}
	if keep < 0 || len(fn.versions) <= keep {
		return nil
	}
	old := slices.DeleteFunc(slices.Clone(fn.versions[:len(fn.versions)-keep]), func(v *Version) bool { return fn.pointedAt(v.Number) })
	if len(old) == 0 {
		return nil
	}
	for _, v := range old { // before the look: what ends from now on says so
		v.surplus.Store(true)
	}
	needed, err := r.use.Needed(fn)
	if err != nil {
		return err
	}
	if old = slices.DeleteFunc(old, func(v *Version) bool { return needed[v.Number] }); len(old) == 0 {
		return nil
	}
	return r.retire(ctx, t, fn, old)
}

// retire deletes versions that nothing needed just now, those excepted that something needs by now: with their
// gates closing, one more look finds what came since, for all of them. It may be a long one.
func (r *Registry) retire(ctx context.Context, t *Tenant, fn *Function, old []*Version) error {
	var closing, gone []*Version
	for _, v := range old {
		if r.markGoing(t, v, true) == nil { // else an alias points at it, or somebody else deletes it
			v.gate.state.Store(gateClosing)
			closing = append(closing, v)
		}
	}
	needed, err := r.use.Needed(fn)
	for _, v := range closing {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil && !needed[v.Number] && v.gate.state.CompareAndSwap(gateClosing, gateClosed) {
			if err = r.remove(ctx, t, v); err == nil {
				gone = append(gone, v)
				continue
			}
		}
		v.gate.state.Store(gateOpen)
		_ = r.markGoing(t, v, false) // it is there still: nobody else deletes it
	}
	if len(gone) > 0 {
		r.removeFolders(gone)
	}
	if fault.Is(err, fault.NotFound) { // deleted with its function
		return nil
	}
	return err
}

// pointedAt reports whether a version is the latest, or an alias points at it or did before.
func (fn *Function) pointedAt(number int) bool {
	if fn.Current(number) {
		return true
	}
	for _, a := range fn.aliases {
		if slices.ContainsFunc(a.Previous, func(t Target) bool { return t.Version == number }) {
			return true
		}
	}
	return false
}
