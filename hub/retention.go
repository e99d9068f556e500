package hub

import (
	"fmt"

	"github.com/livefn/livefn/internal/store"
)

// forgetLocked deletes everything about an ended execution whose time is over.
func (x *Execution) forgetLocked() (*write, error) {
	x.forgotten = true
	ops := []store.Op{{Key: executionKey(x.t.name, x.rec.ID), Delete: true}}
	for _, op := range x.indexOps() {
		ops = append(ops, store.Op{Key: op.Key, Delete: true})
	}
	x.pending++
	return x.t.hub.sweep(x.t.name, x.rec.ID, x.rec.Timer, ops, func(error) {
		x.mu.Lock()
		x.pending--
		x.mu.Unlock()
		x.evictIfIdle()
		x.overOn(x.rec.Function, x.rec.Version)
	})
}

// sweep deletes what lies beside an execution's record. The record (in first) goes before, so that a
// crash in between leaves nothing that anybody can see; the timer goes last, so that the next start
// does what was left.
func (h *Hub) sweep(tenant, id string, timer int64, first []store.Op, after func(error)) (*write, error) {
	ops := first
	for _, prefix := range [][]byte{eventsPrefix(tenant, id), blobsPrefix(tenant, id), inboxPrefix(tenant, id)} {
		err := h.store.Scan(store.Range{Prefix: prefix, KeysOnly: true}, func(k, _ []byte) (bool, error) {
			ops = append(ops, store.Op{Key: k, Delete: true})
			if len(ops) >= purgeBatch {
				h.store.Enqueue(ops, nil)
				ops = nil
			}
			return true, nil
		})
		if err != nil {
			return nil, fmt.Errorf("forget execution %s: %w", id, err)
		}
	}
	w := newWrite(h)
	h.store.Enqueue(append(ops, store.Op{Key: timerKey(timer, tenant, id), Delete: true}), func(err error) {
		w.err = err
		after(err)
		close(w.done)
	})
	return w, nil
}
