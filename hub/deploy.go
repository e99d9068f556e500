package hub

import (
	"context"
	"sync"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// What becomes of executions when calls of their function go to another version, and of the versions that
// nothing needs any more.

// deployed asks the running executions of a function whose settings want it (onDeploy: pause) to pause,
// where what they were called by means another version now. They resume there by themselves.
func (t *tenant) deployed(fn *tenants.Function) {
	if !fn.PausesOnDeploy() || t.hub.draining.Load() {
		return
	}
	t.live.Range(func(_ string, x *Execution) bool {
		if x.rec.Function != fn.Name { // never changes
			return true
		}
		x.mu.Lock()
		if x.rec.State == Running && x.run != nil && x.laterLocked() != nil {
			_, _ = x.pauseLocked(reasonDeploy, 0) // legal: it is running
		}
		x.mu.Unlock()
		return true
	})
}

// laterLocked gives the version that a deploy moves the execution to; nil: it stays.
func (x *Execution) laterLocked() *tenants.Version {
	own, err := x.t.owner.Version(x.rec.Function, x.rec.Version)
	if err != nil || own.Settings.OnDeploy != tenants.DeployPause {
		return nil
	}
	fn, err := x.t.owner.Function(x.rec.Function)
	if err != nil {
		return nil
	}
	return fn.Later(own, x.rec.Via, x.rec.ID)
}

// goesOnLocked queues an execution again that was paused for a while only; after a deploy, on the version
// that took the place of its own.
func (x *Execution) goesOnLocked(s *Snapshot) {
	var more []store.Op
	if s.Reason == reasonDeploy {
		if v := x.laterLocked(); v != nil && v.Enter(false) {
			x.rec.Version = v.Number
			more = x.indexOps()
		}
	}
	x.wakeLocked(s, more...)
}

// errGoing is the answer to what comes onto a version that is being deleted.
func errGoing(v *tenants.Version) error {
	return fault.New(fault.NotFound, "Version %d of the function %q is being deleted, and takes nothing new.", v.Number, v.Function)
}

// retiring is the tenants that may have versions that nothing needs any more.
type retiring struct {
	mu    sync.Mutex // guards names
	names map[string]bool
	soon  chan struct{} // holds one element when names is not empty any more
}

func newRetiring() *retiring {
	return &retiring{names: map[string]bool{}, soon: make(chan struct{}, 1)}
}

func (r *retiring) add(tenant string) {
	r.mu.Lock()
	r.names[tenant] = true
	r.mu.Unlock()
	select {
	case r.soon <- struct{}{}:
	default:
	}
}

func (r *retiring) take() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := r.names
	r.names = map[string]bool{}
	return names
}

// retireEvery is how often all tenants are looked at, should something have gone wrong before.
const retireEvery = 10 * time.Minute

// retire deletes the versions that are beyond those that are to be kept, as soon as nothing needs them.
func (h *Hub) retire(ctx context.Context) {
	all := time.NewTicker(retireEvery)
	defer all.Stop()
	everybody := func() {
		for _, owner := range h.registry.Tenants() {
			h.retiring.add(owner.Name())
		}
	}
	everybody()
	for {
		select {
		case <-ctx.Done():
			return
		case <-all.C:
			everybody()
		case <-h.retiring.soon:
		}
		before := h.looks.took.Load()
		for name := range h.retiring.take() {
			owner, err := h.registry.Tenant(name)
			if err != nil {
				continue
			}
			for _, fn := range owner.Functions() {
				if err := h.registry.Retire(ctx, owner, fn); err != nil && ctx.Err() == nil {
					h.log.Error("delete old versions", "tenant", name, "function", fn.Name, "error", err)
				}
			}
		}
		rest := time.NewTimer(restAfter(time.Duration(h.looks.took.Load() - before)))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// overOn says that an execution no longer needs its version.
func (x *Execution) overOn(fn string, version int) {
	v := x.version
	if v == nil || v.Number != version {
		v, _ = x.t.owner.Version(fn, version)
	}
	if v != nil && v.Surplus() {
		x.t.hub.retiring.add(x.t.name)
	}
}
