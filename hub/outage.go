package hub

import (
	"context"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// What the hub does while its store cannot write (store.Outage). New durable work is refused at once.
// What is decided stays decided: the store writes it when it can, in order. Those who wait for it are told
// after Config.StoreWait that it is not on disk yet; that is neither a yes nor a no. Calls go on.

// CanWrite gives a fault storage_unavailable, with the reason, while durable work is refused.
func (h *Hub) CanWrite() error { return h.store.Check() }

// beginsLocked says whether the next write is the first of an execution that somebody started: nothing
// follows from it before it is on disk, so it can still be refused.
func (x *Execution) beginsLocked() bool { return x.shown.Load() == nil && x.rec.Attempt == 0 }

// wait waits until the transition is on disk.
func (w *write) wait(ctx context.Context) (View, error) {
	patience := time.NewTimer(w.hub.cfg.StoreWait)
	defer patience.Stop()
	for {
		select {
		case <-w.done:
			return w.view, w.err
		case <-ctx.Done():
			return View{}, context.Cause(ctx)
		case <-patience.C:
			if err := w.hub.store.Check(); err != nil { // else it is slow, and comes
				return View{}, undecided(err)
			}
			patience.Reset(w.hub.cfg.StoreWait)
		}
	}
}

// undecided is what is told of a transition that is decided and not on disk.
func undecided(cause error) *fault.Fault {
	f := fault.Because(cause, fault.StorageUnavailable,
		"The hub cannot write to its store now. This was decided, and takes effect once it can; look again then, or repeat it with an idempotency key.")
	f.RetryAfter = time.Second
	return f
}

// watchStore tells those who wait for an end or a pause that the store cannot take.
func (h *Hub) watchStore(ctx context.Context) {
	tick := time.NewTicker(min(time.Second, h.cfg.StoreWait))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if o, ok := h.store.Unavailable(); ok && time.Since(o.Since) >= h.cfg.StoreWait {
			h.tellUndecided()
		}
	}
}

func (h *Hub) tellUndecided() {
	f := undecided(nil)
	var b nodebridge.Batch
	for _, t := range h.tenants.Range {
		for id, x := range t.live.Range {
			x.mu.Lock()
			var repliers []Replier
			version := x.rec.Version
			if shown := x.shown.Load(); x.durable && (x.rec.State.Ended() || x.rec.State == Paused) && (shown == nil || shown.State != x.rec.State) {
				repliers, x.repliers = x.repliers, nil
			}
			x.mu.Unlock()
			answer := Answer{Execution: id, Version: version, State: Failed, Failure: &Failure{Code: f.Code, Message: f.Detail}}
			for _, to := range repliers {
				to.Reply(&answer, &b)
			}
		}
	}
	b.Flush()
}
