package hub

import (
	"context"
	"fmt"

	"github.com/livefn/livefn/internal/store"
)

// recover takes up what the last process left: queued executions, those that ran, which run again
// from their snapshot or their start, and those that paused only because the hub went. What sleeps or
// waits is not touched: it costs nothing until its timer fires.
func (h *Hub) recover(ctx context.Context) error {
	type found struct {
		t  *tenant
		id string
	}
	var all []found
	err := h.store.Scan(store.Range{Prefix: queuedPrefix(), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		name, id := executionOfKey(k)
		owner, err := h.registry.Tenant(name)
		if err != nil {
			return true, nil //nolint:nilerr // the tenant was deleted: its executions go with it
		}
		all = append(all, found{h.tenant(owner), id})
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("recover executions: %w", err)
	}
	for _, f := range all {
		x, err := f.t.find(f.id)
		if err != nil {
			h.log.Error("recover an execution", "execution", f.id, "error", err)
			continue
		}
		x.mu.Lock()
		queued := x.rec.State == Queued
		if queued && x.rec.NotBefore > 0 && x.rec.Timer == 0 {
			x.commitLocked("", nil) // of a format without timers: this gives it one
		}
		if x.rec.State == Running || x.rec.State == Pausing {
			x.againLocked(0, nil) // not counted as lost: a stop of the hub is not the function's doing
		}
		if x.rec.State == Paused && resumesItself(x.rec.Snapshot.Reason) {
			x.goesOnLocked(x.rec.Snapshot)
		}
		x.mu.Unlock()
		if queued {
			f.t.admit(x)
		}
	}
	if len(all) > 0 {
		h.log.Info("recovered executions", "count", len(all))
	}
	return nil
}
