package tenants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/livefn/livefn/internal/crash"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Publish makes a new version of a function of t. What the install prints goes to log as it happens.
// The same content as the latest version gives that version and created false; that of an older one is
// published anew, so that calls of latest go there. A version that can't be
// installed or loaded is kept as broken, with its log, and returned beside the fault (install_failed,
// version_broken); latest stays where it was.
func (r *Registry) Publish(ctx context.Context, t *Tenant, name string, p Publication, log io.Writer) (v *Version, created bool, err error) {
	if err := checkName("function", name); err != nil {
		return nil, false, err
	}
	if err := r.store.Check(); err != nil { // now, and not after an install of minutes
		return nil, false, err
	}
	tr, err := r.cfg.tree(p)
	if err != nil {
		return nil, false, err
	}
	if err := tr.readEngines(); err != nil {
		return nil, false, err
	}
	if err := r.keyHash(ctx, t, tr); err != nil {
		return nil, false, err
	}
	next := t.nextVersion(name)
	end, err := t.turn(ctx, name)
	if err != nil {
		return nil, false, err
	}
	defer end()
	if fn, err := t.Function(name); err == nil {
		if fn.latest != nil && fn.latest.Hash == tr.hash && r.suits(fn.latest, tr) {
			return fn.latest, false, nil
		}
		for _, v := range fn.versions { // published while we waited, and broken: it would be again
			if v.Number >= next && v.Hash == tr.hash && v.why != nil {
				if text, err := v.Log(); err == nil {
					_, _ = log.Write(text) // whoever looked on has gone
				}
				return v, false, v.why
			}
		}
	}
	ctx, leave, err := t.build(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	v, err = r.build(ctx, t, name, tr, log)
	return v, v != nil, ifFull(err)
}

// turn waits until no other publish of the function is under way; end gives the turn to the next.
func (t *Tenant) turn(ctx context.Context, name string) (end func(), err error) {
	t.mu.Lock()
	busy := t.publishing[name]
	if busy == nil {
		busy = make(chan struct{}, 1)
		t.publishing[name] = busy
	}
	t.mu.Unlock()
	select {
	case busy <- struct{}{}:
		return func() { <-busy }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// nextVersion gives the number of the next version of a function.
func (t *Tenant) nextVersion(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(1, t.records[name].Next)
}

// build installs a version aside, moves its folder into place, has it checked, and commits its record.
// On a fault of the version's own, both the version and the fault are given.
func (r *Registry) build(ctx context.Context, t *Tenant, name string, tr *tree, log io.Writer) (*Version, error) {
	started := time.Now()
	number := t.nextVersion(name)
	if err := os.MkdirAll(r.buildDir(), 0o750); err != nil {
		return nil, fmt.Errorf("make the build folder: %w", err)
	}
	dir, err := os.MkdirTemp(r.buildDir(), "build-")
	if err != nil {
		return nil, fmt.Errorf("make a build folder: %w", err)
	}
	recorded, shared := false, false
	defer func() {
		_ = os.RemoveAll(dir) // gone already if all went well, else swept at the next start
		if shared && !recorded {
			r.sweepStore(t.name)
		}
	}()
	if err := tr.write(dir); err != nil {
		return nil, fmt.Errorf("write the files: %w", err)
	}
	kept := &boundedLog{limit: r.cfg.MaxLog, live: log}
	var why error
	var got packages
	node, leave, err := r.runtimeFor(ctx, tr, kept)
	if err != nil {
		return nil, err
	}
	defer leave() // when a version that has it is recorded
	tr.node = node
	if tr.install {
		got, why = r.provide(ctx, t, dir, tr, kept)
		defer got.end()
		shared = !got.linked
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if why != nil && !fault.Is(why, fault.InstallFailed) {
			return nil, why // not the version's fault
		}
	}
	rec := versionRecord{
		State: Ready, Hash: tr.hash, Folder: fmt.Sprintf("%s@%d-%s", name, number, tr.hash[:12]),
		Settings: storedSettings(tr.settings), CreatedAt: started.UTC(), Packages: got.key, Resolved: got.resolved,
	}
	if node != nil {
		rec.Node = node.version.String()
	}
	if why == nil {
		if rec.Installed, err = installed(dir, int64(r.cfg.MaxTreeSize)); err != nil {
			return nil, fmt.Errorf("read what was installed: %w", err)
		}
	}
	final := filepath.Join(r.tenantDir(t.name), rec.Folder)
	defer func() {
		if !recorded {
			_ = os.RemoveAll(final) // else swept at the next start
		}
	}()
	if err := r.place(dir, final, got.linked); err != nil {
		return nil, err
	}
	v := r.version(t.name, name, number, rec)
	v.runtime = node
	if why == nil {
		r.mu.Lock()
		check, dropped := r.check, r.dropped
		r.mu.Unlock()
		defer func() {
			if !recorded || v.State == Broken {
				dropped(v)
			}
		}()
		why = check(ctx, v)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if why != nil && !fault.Is(why, fault.VersionBroken) {
			return nil, why // not the version's fault
		}
	}
	if why != nil {
		rec.State, rec.Error = Broken, fault.From(why).Detail
		fmt.Fprintln(kept, rec.Error)
	}
	rec.Took = time.Since(started)
	v.State, v.Error, v.Took = rec.State, rec.Error, rec.Took // nobody else sees it yet
	if why != nil {
		v.why = v.unready(fault.From(why).Code, errors.Unwrap(why))
	}
	if err := r.commit(ctx, t, v, rec, kept.Bytes()); err != nil {
		return nil, err
	}
	recorded = true
	return v, v.why
}

// place moves a finished build to where it stays; after it, the folder survives a power loss.
func (r *Registry) place(dir, final string, linked bool) error {
	parent := filepath.Dir(final)
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return fmt.Errorf("make the tenant's folder: %w", err)
	}
	if err := os.RemoveAll(final); err != nil { // of a publish that got no further than this
		return fmt.Errorf("clear the version's folder: %w", err)
	}
	if err := flush(dir, linked); err != nil {
		return fmt.Errorf("sync the version's files: %w", err)
	}
	crash.At(crash.PublishBuilt)
	if err := os.Rename(dir, final); err != nil {
		return fmt.Errorf("move the version into place: %w", err)
	}
	for _, p := range []string{parent, filepath.Dir(parent), r.cfg.Dir} { // any of them may be new
		if err := syncPath(p); err != nil {
			return fmt.Errorf("sync the tenant's folder: %w", err)
		}
	}
	crash.At(crash.PublishPlaced)
	return nil
}

// commit writes a version's record and makes it visible.
func (r *Registry) commit(ctx context.Context, t *Tenant, v *Version, rec versionRecord, log []byte) error {
	vop, err := r.putVersion(ctx, t, v.Function, v.Number, rec)
	if err != nil {
		return err
	}
	return r.changeRecord(ctx, t, v.Function, func(fn *Function, frec *functionRecord) error {
		if fn.gate == nil {
			fn.gate, fn.aliases = &gate{}, map[string]*Alias{}
		}
		v.function = fn.gate
		fn.versions = append(slices.Clone(fn.versions), v)
		frec.Next, frec.Deleted = v.Number+1, false
		return nil
	}, vop, store.Op{Key: logKey(t.name, v.Function, v.Number), Value: log})
}

// changeFunction changes a function that there is.
func (r *Registry) changeFunction(ctx context.Context, t *Tenant, name string, f func(fn *Function, rec *functionRecord) error, more ...store.Op) error {
	return r.changeRecord(ctx, t, name, func(fn *Function, rec *functionRecord) error {
		if len(fn.versions) == 0 {
			return noFunction(name)
		}
		return f(fn, rec)
	}, more...)
}

// changeRecord has f change copies of a function and its record, writes the record together with more, and
// then shows the function: what f puts into either must be new.
func (r *Registry) changeRecord(ctx context.Context, t *Tenant, name string, f func(fn *Function, rec *functionRecord) error, more ...store.Op) error {
	t.change.Lock()
	defer t.change.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return noTenant(t.name)
	}
	fn := &Function{Name: name}
	if old, err := t.Function(name); err == nil {
		*fn = *old
	}
	t.mu.Lock()
	rec := t.records[name]
	t.mu.Unlock()
	if err := f(fn, &rec); err != nil {
		return err
	}
	rec.Latest = fn.withLatest().Latest
	ops := append(more[:len(more):len(more)], putRecord(functionKey(t.name, name), rec))
	if err := r.store.Commit(context.WithoutCancel(ctx), ops...); err != nil { // the store always answers; a write that may still happen is worse than a wait
		return err
	}
	t.mu.Lock()
	t.records[name] = rec
	t.setLocked(fn)
	t.mu.Unlock()
	r.tellChanged(t.name)
	return nil
}

func (r *Registry) tellChanged(tenant string) {
	r.mu.Lock()
	changed := r.changed
	r.mu.Unlock()
	changed(tenant)
}

// commitInParts commits more than one transaction may hold, in order, but not at once.
func (r *Registry) commitInParts(ctx context.Context, ops []store.Op) error {
	for part := range slices.Chunk(ops, 512) {
		if err := r.store.Commit(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// boundedLog keeps the beginning and the end of what is written to it, each up to half of the limit,
// and passes all on to live, whose faults are not the publish's.
type boundedLog struct {
	limit      int
	live       io.Writer // may be nil
	head, tail []byte
	dropped    int
}

func (l *boundedLog) Write(p []byte) (int, error) {
	if l.live != nil {
		_, _ = l.live.Write(p) // whoever looked on has gone
	}
	n := min(len(p), max(0, l.limit/2-len(l.head)))
	l.head = append(l.head, p[:n]...)
	l.tail = append(l.tail, p[n:]...)
	if over := len(l.tail) - l.limit/2; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
		l.dropped += over
	}
	return len(p), nil
}

func (l *boundedLog) Bytes() []byte {
	if l.dropped == 0 {
		return slices.Concat(l.head, l.tail)
	}
	return slices.Concat(l.head, fmt.Appendf(nil, "\n… %d bytes left out …\n", l.dropped), l.tail)
}
