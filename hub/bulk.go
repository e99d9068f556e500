package hub

import (
	"context"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// Commands on all executions of a function, or of a tenant where fn is "".

// PauseAll pauses the executions that run or wait to run; it gives the number that pause or are paused
// because of it.
func (h *Hub) PauseAll(ctx context.Context, owner *tenants.Tenant, fn string) (int, error) {
	return h.each(ctx, owner, fn, func(s State) bool { return s == Queued || s == Running }, func(id string) error {
		_, err := h.Pause(ctx, owner, id)
		return err
	})
}

// ResumeAll resumes the paused executions, those that sleep or wait for an event excepted: they were
// paused by themselves. It gives their number.
func (h *Hub) ResumeAll(ctx context.Context, owner *tenants.Tenant, fn string) (int, error) {
	t := h.tenant(owner)
	return h.each(ctx, owner, fn, func(s State) bool { return s == Paused }, func(id string) error {
		v, err := t.look(id)
		if err != nil {
			return err
		}
		if s := v.r.Snapshot; s != nil && (s.Until != 0 || s.Event != "") {
			return fault.New(fault.Conflict, "The execution waits.")
		}
		_, err = h.Resume(ctx, owner, id, nil, 0)
		return err
	})
}

// CancelAll cancels the executions that have not ended; it gives their number.
func (h *Hub) CancelAll(ctx context.Context, owner *tenants.Tenant, fn string) (int, error) {
	return h.each(ctx, owner, fn, func(s State) bool { return !s.Ended() }, func(id string) error {
		_, err := h.Cancel(ctx, owner, id)
		return err
	})
}

// each does something with every execution that is in one of the states wanted, and counts those where
// it could be done: others have moved on meanwhile.
func (h *Hub) each(ctx context.Context, owner *tenants.Tenant, fn string, wanted func(State) bool, do func(id string) error) (n int, err error) {
	if fn != "" {
		if _, err := owner.Function(fn); err != nil {
			return 0, err
		}
	}
	if err := h.store.Check(); err != nil {
		return 0, err
	}
	t := h.tenant(owner)
	ids := map[string]bool{}
	t.live.Range(func(id string, x *Execution) bool {
		if fn == "" || x.rec.Function == fn { // never changes
			ids[id] = true
		}
		return true
	})
	prefix := functionPrefix(t.name, fn)
	if fn == "" {
		prefix = functionsPrefix(t.name)
	}
	err = h.store.Scan(store.Range{Prefix: prefix}, func(k, v []byte) (bool, error) {
		if ended, _, _ := indexed(v); !ended {
			_, id := executionOfKey(k)
			ids[id] = true
		}
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	for id := range ids {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		v, err := t.look(id)
		if err != nil || !wanted(v.State()) {
			continue
		}
		switch err := do(id); {
		case err == nil:
			n++
		case fault.Is(err, fault.StorageUnavailable):
			return n, err // nor the others
		}
	}
	return n, nil
}
