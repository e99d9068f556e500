package tenants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Publish makes a new version of a function of t. What the install prints goes to log as it happens.
// The same content as a ready version gives that version and created false. A version that can't be
// installed or loaded is kept as broken, with its log, and returned beside the fault (install_failed,
// version_broken); latest stays where it was.
func (r *Registry) Publish(ctx context.Context, t *Tenant, name string, p Publication, log io.Writer) (v *Version, created bool, err error) {
	if err := checkName("function", name); err != nil {
		return nil, false, err
	}
	tr, err := r.cfg.tree(name, p)
	if err != nil {
		return nil, false, err
	}
	turn := t.turn(name)
	turn.Lock()
	defer turn.Unlock()
	if fn, err := t.Function(name); err == nil {
		for _, v := range slices.Backward(fn.versions) {
			if v.Hash == tr.hash && v.State == Ready {
				return v, false, nil
			}
		}
	}
	v, err = r.build(ctx, t, name, tr, log)
	return v, v != nil, err
}

// turn gives the lock under which a function's publishes take turns.
func (t *Tenant) turn(name string) *sync.Mutex {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.publishing[name]
	if m == nil {
		m = &sync.Mutex{}
		t.publishing[name] = m
	}
	return m
}

// build installs a version aside, moves its folder into place, has it checked, and commits its record.
// On a fault of the version's own, both the version and the fault are given.
func (r *Registry) build(ctx context.Context, t *Tenant, name string, tr *tree, log io.Writer) (*Version, error) {
	started := time.Now()
	t.mu.Lock()
	number := max(1, t.records[name].Next)
	t.mu.Unlock()
	if err := os.MkdirAll(r.buildDir(), 0o750); err != nil {
		return nil, fmt.Errorf("make the build folder: %w", err)
	}
	dir, err := os.MkdirTemp(r.buildDir(), "build-")
	if err != nil {
		return nil, fmt.Errorf("make a build folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // gone already if all went well, else swept at the next start
	if err := tr.write(dir); err != nil {
		return nil, fmt.Errorf("write the files: %w", err)
	}
	kept := &boundedLog{limit: r.cfg.MaxLog}
	var why error
	if tr.install {
		why = r.install(ctx, t.name, dir, io.MultiWriter(kept, log))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	rec := versionRecord{
		State: Ready, Hash: tr.hash, Folder: fmt.Sprintf("%s@%d-%s", name, number, tr.hash[:12]),
		Settings: storedSettings(tr.settings), CreatedAt: started.UTC(),
	}
	if why == nil {
		if rec.Installed, err = installed(dir); err != nil {
			return nil, fmt.Errorf("read what was installed: %w", err)
		}
	}
	if err := r.place(dir, filepath.Join(r.tenantDir(t.name), rec.Folder)); err != nil {
		return nil, err
	}
	if why == nil {
		r.mu.Lock()
		check := r.check
		r.mu.Unlock()
		why = check(ctx, r.version(t.name, name, number, rec))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx) // the folder has no record: swept at the next start
		}
		if why != nil && !fault.Is(why, fault.VersionBroken) {
			return nil, why // not the version's fault
		}
	}
	if why != nil {
		rec.State, rec.Error = Broken, fault.From(why).Detail
		fmt.Fprintln(io.MultiWriter(kept, log), rec.Error)
	}
	rec.Took = time.Since(started)
	v := r.version(t.name, name, number, rec)
	if err := r.commit(ctx, t, v, rec, kept.Bytes()); err != nil {
		return nil, err
	}
	if why != nil {
		return v, v.unready(fault.From(why).Code, errors.Unwrap(why))
	}
	return v, nil
}

// place moves a finished build to where it stays; after it, the folder survives a power loss.
func (r *Registry) place(dir, final string) error {
	if err := os.MkdirAll(filepath.Dir(final), 0o750); err != nil {
		return fmt.Errorf("make the tenant's folder: %w", err)
	}
	if err := os.RemoveAll(final); err != nil { // of a publish that got no further than this
		return fmt.Errorf("clear the version's folder: %w", err)
	}
	syscall.Sync() // one call for thousands of files; fsync for each takes seconds
	if err := os.Rename(dir, final); err != nil {
		return fmt.Errorf("move the version into place: %w", err)
	}
	parent, err := os.Open(filepath.Dir(final))
	if err != nil {
		return fmt.Errorf("sync the tenant's folder: %w", err)
	}
	defer parent.Close() //nolint:errcheck // opened to read
	if err := parent.Sync(); err != nil {
		return fmt.Errorf("sync the tenant's folder: %w", err)
	}
	return nil
}

// commit writes a version's record and makes it visible.
func (r *Registry) commit(ctx context.Context, t *Tenant, v *Version, rec versionRecord, log []byte) error {
	fn := &Function{Name: v.Function}
	if old, err := t.Function(v.Function); err == nil {
		*fn = *old
	}
	fn.versions = append(slices.Clone(fn.versions), v)
	if v.State == Ready {
		fn.Latest = v.Number
	}
	frec := functionRecord{Latest: fn.Latest, Next: v.Number + 1}
	if err := r.store.Commit(ctx,
		putRecord(versionKey(t.name, v.Function, v.Number), rec),
		putRecord(functionKey(t.name, v.Function), frec),
		store.Op{Key: logKey(t.name, v.Function, v.Number), Value: log},
	); err != nil {
		return err
	}
	t.mu.Lock()
	t.records[v.Function] = frec
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

// DeleteFunction deletes a function with all its versions. Their folders go at the next Open, so that
// what still runs is not broken; their numbers are never used again.
func (r *Registry) DeleteFunction(ctx context.Context, t *Tenant, name string) error {
	turn := t.turn(name)
	turn.Lock()
	defer turn.Unlock()
	fn, err := t.Function(name)
	if err != nil {
		return err
	}
	frec := functionRecord{Next: fn.versions[len(fn.versions)-1].Number + 1, Deleted: true}
	ops := []store.Op{putRecord(functionKey(t.name, name), frec)}
	for _, v := range fn.versions {
		ops = append(ops,
			store.Op{Key: versionKey(t.name, name, v.Number), Delete: true},
			store.Op{Key: logKey(t.name, name, v.Number), Delete: true})
	}
	if err := r.store.Commit(ctx, ops...); err != nil {
		return err
	}
	t.mu.Lock()
	t.records[name] = frec
	t.setLocked(&Function{Name: name})
	t.mu.Unlock()
	r.tellChanged(t.name)
	return nil
}

// boundedLog keeps the first bytes written to it and says how many more there were.
type boundedLog struct {
	buf     bytes.Buffer
	limit   int
	dropped int
}

func (l *boundedLog) Write(p []byte) (int, error) {
	keep := min(len(p), max(0, l.limit-l.buf.Len()))
	l.buf.Write(p[:keep])
	l.dropped += len(p) - keep
	return len(p), nil
}

func (l *boundedLog) Bytes() []byte {
	if l.dropped > 0 {
		return fmt.Appendf(bytes.Clone(l.buf.Bytes()), "\n… %d bytes more\n", l.dropped)
	}
	return l.buf.Bytes()
}
